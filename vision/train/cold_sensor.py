# SPDX-License-Identifier: AGPL-3.0-or-later
"""What thermal cameras make of a cold scene: lens, detector, and the file that is left of it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]


def sensed(rng: np.random.Generator, scene: Floats) -> Floats:
    """The scene through lens and detector: focus, shake, noise good to poor, lines, fall-off, drift, bad pixels."""
    height, width = scene.shape
    picture = np.asarray(cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.35, 1.6)), np.float32)
    if rng.random() < 0.15:
        picture = _shaken(rng, picture)
    noise = math.exp(rng.uniform(math.log(0.02), math.log(0.6)))
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(noise)
    if rng.random() < 0.35:
        picture += rng.standard_normal((1, width), dtype=np.float32) * np.float32(noise * rng.uniform(0.2, 1.0))
    if rng.random() < 0.2:
        picture += rng.standard_normal((height, 1), dtype=np.float32) * np.float32(noise * rng.uniform(0.2, 0.8))
    if rng.random() < 0.4:  # fall-off, or the warmth of the housing
        middle = rng.normal(0, 0.15, 2)
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        away = np.asarray((x - middle[0]) ** 2 + (y - middle[1]) ** 2, np.float32)
        picture += away * np.float32(rng.uniform(-3.0, 3.0))
    if rng.random() < 0.2:  # a pattern that drifted since the shutter last closed
        cells = rng.standard_normal((5, 6), dtype=np.float32)
        picture += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(rng.uniform(0, 1.5))
    if rng.random() < 0.25:
        for x, y in rng.uniform(0, (width - 1, height - 1), (int(rng.integers(1, 12)), 2)).astype(int):
            long = 1 if rng.random() < 0.8 else 2
            picture[y : y + long, x : x + long] += np.float32(rng.normal(0, 15))
    return picture


def _shaken(rng: np.random.Generator, picture: Floats) -> Floats:
    reach, turn = rng.uniform(1.0, 5.0), rng.uniform(0, math.pi)
    kernel = np.zeros((11, 11), np.float32)
    ends = [(round(5 + s * reach * math.cos(turn) / 2), round(5 + s * reach * math.sin(turn) / 2)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.float32)


def grey_levels(rng: np.random.Generator, picture: Floats) -> Image:
    """The 8 bits that cameras and their tools write: gain by percentiles or by histogram, equalised, sharpened, JPEG."""
    sample = picture[::3, ::3]
    low, high = (float(v) for v in np.percentile(sample, (rng.uniform(0, 2), rng.uniform(98.5, 100))))
    draw = rng.random()
    if draw < 0.15:
        out = _equalised(rng, picture)
    else:
        if draw < 0.5:  # all of the scale is used, whatever the scene
            high = max(float(np.percentile(sample, rng.uniform(99.7, 100))), low + 2.0)
            grey = (picture - low) * (255 / (high - low))
        else:  # a gain that is not turned up without limit
            grey = (picture - (low + high) / 2) * (255 / max(high - low, rng.uniform(4.0, 30.0))) + rng.uniform(60, 150)
        if rng.random() < 0.2:
            grey = 255 * (np.clip(grey, 0, 255) / 255) ** np.float32(math.exp(rng.uniform(-0.5, 0.5)))
        out = np.asarray(np.clip(grey, 0, 255), np.uint8)
    if rng.random() < 0.3:
        tiles = int(rng.choice([4, 8, 8, 8, 12, 16]))
        out = np.asarray(cv2.createCLAHE(rng.uniform(1.2, 6.0), (tiles, tiles)).apply(out), np.uint8)
    if rng.random() < 0.15:
        soft = cv2.GaussianBlur(out, (0, 0), rng.uniform(1.0, 3.0))
        strength = rng.uniform(0.3, 1.5)
        out = np.asarray(cv2.addWeighted(out, 1 + strength, soft, -strength, 0), np.uint8)
    if rng.random() < 0.45:
        ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 97))])
        if not ok:
            raise RuntimeError("a rendered picture could not be compressed")
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
    return out


def _equalised(rng: np.random.Generator, picture: Floats) -> Image:
    """By a histogram whose bins are cut at a plateau, mixed with the plain stretch."""
    low, high = float(picture.min()), float(picture.max())
    bins = ((picture - low) * (1023 / max(high - low, 1e-3))).astype(np.int32)
    counts = np.bincount(bins.ravel(), minlength=1024).astype(np.float64)
    plateau = counts[counts > 0].mean() * math.exp(rng.uniform(math.log(0.3), math.log(8.0)))
    rising = np.cumsum(np.minimum(counts, plateau))
    share = rng.uniform(0.3, 1.0)
    table = share * rising / rising[-1] + (1 - share) * np.linspace(0, 1, 1024)
    return np.asarray((255 * table[bins]).astype(np.uint8), np.uint8)
