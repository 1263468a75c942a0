# SPDX-License-Identifier: AGPL-3.0-or-later
"""What other thermal cameras make of rendered wild country: a coarse detector enlarged, their gain control, their video.

Written apart from `cold_sensor`, with other parts: noise that filters have spread, haloes, gain by histogram or by
detail, marks that cameras draw into their pictures. Whoever learns from both shall know neither.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

_DETECTORS = ((160, 120), (320, 256), (336, 256), (384, 288))
_ENLARGE = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4)


def exposed(rng: np.random.Generator, degrees: Floats, least_px: float = 1e9) -> Floats:
    """Degrees as the detector counts them, still in degrees: optics, pixels, noise, drift.

    least_px: the smallest labelled person, in pixels; a detector so coarse that little is left of him is not taken.
    """
    height, width = degrees.shape
    out = degrees
    size = _DETECTORS[int(rng.integers(len(_DETECTORS)))]
    if rng.random() > 0.3 or least_px * size[0] / width < 3.0:
        size = (width, height)
    out = _blurred(out, rng.uniform(0.3, 1.1) * width / size[0])
    if size != (width, height):
        out = np.asarray(cv2.resize(out, size, interpolation=cv2.INTER_AREA), np.float32)
    if rng.random() < 0.12:
        out = _dragged(rng, out)
    noise = math.exp(rng.uniform(math.log(0.015), math.log(0.35)))
    grains = rng.standard_normal(out.shape, dtype=np.float32)
    if rng.random() < 0.4:  # a filter has spread the noise
        grains = _blurred(grains, rng.uniform(0.4, 1.2))
        grains /= float(grains.std())
    out = out + grains * np.float32(noise)
    rows, columns = out.shape
    if rng.random() < 0.4:
        lines = rng.standard_normal((1, columns), dtype=np.float32)
        if rng.random() < 0.5:  # broad bands, as between two closings of the shutter
            lines = cv2.GaussianBlur(lines, (0, 0), rng.uniform(1, 12)) * np.float32(3)
        out += lines * np.float32(noise * rng.uniform(0.3, 1.5))
    if rng.random() < 0.2:
        out += rng.standard_normal((rows, 1), dtype=np.float32) * np.float32(noise * rng.uniform(0.2, 1.0))
    if rng.random() < 0.45:
        y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        far = np.hypot(x - rng.normal(0, 0.3), y - rng.normal(0, 0.3)).astype(np.float32)
        out -= far ** np.float32(rng.uniform(1.5, 5.0)) * np.float32(
            math.exp(rng.uniform(math.log(0.1), math.log(4.0)))
        )
    if rng.random() < 0.15:  # pixels that do not answer, or always shout
        for _ in range(int(rng.integers(1, 9))):
            out[int(rng.integers(rows)), int(rng.integers(columns))] += np.float32(rng.normal(0, 8))
    if size != (width, height):
        how = _ENLARGE[int(rng.integers(len(_ENLARGE)))]
        out = np.asarray(cv2.resize(out, (width, height), interpolation=how), np.float32)
    return out


def _blurred(picture: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def _dragged(rng: np.random.Generator, picture: Floats) -> Floats:
    """Moved while it was exposed, along any line."""
    steps, move = 6, rng.uniform(-3.5, 3.5, 2)
    total = np.zeros_like(picture)
    for share in np.linspace(-0.5, 0.5, steps):
        shift = np.array([[1, 0, move[0] * share], [0, 1, move[1] * share]])
        total += cv2.warpAffine(
            picture, shift, picture.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
    return total / np.float32(steps)


def developed(rng: np.random.Generator, counts: Floats, *, gently: bool = False) -> Image:
    """8 bits, white hot, as cameras, their recorders and those who export from them make them.

    gently: as the detector's own preparation does it, from what holds raw counts.
    """
    if gently or rng.random() < 0.2:
        return _stretched(counts, 1.0, 99.5)
    draw = rng.random()
    if draw < 0.3:
        grey = _stretched(counts, rng.uniform(0, 1.5), rng.uniform(99.0, 100)).astype(np.float32)
    elif draw < 0.5:
        grey = _spread(rng, counts)
    elif draw < 0.75:
        grey = _detailed(rng, counts)
    else:  # fixed degrees of scale, with dark or light to spare
        span = max(math.exp(rng.uniform(math.log(8), math.log(45))), 1.0)
        grey = (counts - np.float32(np.median(counts[::4, ::4]))) * np.float32(255 / span) + np.float32(
            rng.uniform(40, 160)
        )
    if rng.random() < 0.25:  # an S, or a knee that keeps the hot end apart
        share = np.clip(grey, 0, 255) / np.float32(255)
        bend = np.float32(rng.uniform(0.2, 0.8))
        grey = 255 * ((1 - bend) * share + bend * share * share * (3 - 2 * share))
    if rng.random() < 0.3:  # sharpened until edges have haloes
        grey = grey + (grey - cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.8, 2.5))) * np.float32(rng.uniform(0.3, 2.0))
    out = np.asarray(np.clip(grey, 0, 255), np.uint8)
    if rng.random() < 0.06:
        _marked(rng, out)
    if rng.random() < 0.5:
        out = _filmed(rng, out)
    return out


def _stretched(counts: Floats, low: float, high: float) -> Image:
    bottom, top = (float(v) for v in np.percentile(counts[::3, ::3], (low, high)))
    return np.asarray(np.clip((counts - bottom) * (255 / max(top - bottom, 0.6)), 0, 255), np.uint8)


def _spread(rng: np.random.Generator, counts: Floats) -> Floats:
    """Gain by histogram: each level gets room by how many pixels have it, up to a plateau, at a gain with a limit."""
    bottom, top = float(counts.min()), float(counts.max())
    levels = 2048
    index = np.clip((counts - bottom) * ((levels - 1) / max(top - bottom, 1e-3)), 0, levels - 1).astype(np.int32)
    many = np.bincount(index.ravel()[::3], minlength=levels).astype(np.float64)
    plateau = max(1.0, float(np.percentile(many[many > 0], rng.uniform(40, 95))))
    room = np.minimum(many, plateau) + plateau * rng.uniform(0.0, 0.05)
    rise = np.cumsum(room)
    table = (255 * rise / rise[-1]).astype(np.float32)
    return np.asarray(table[index], np.float32)


def _detailed(rng: np.random.Generator, counts: Floats) -> Floats:
    """What is broad pressed together, what is small lifted: the cameras' enhancement of detail."""
    small = cv2.resize(counts, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    base = cv2.GaussianBlur(small, (0, 0), rng.uniform(3, 16))
    base = cv2.resize(base, counts.shape[::-1], interpolation=cv2.INTER_LINEAR)
    detail = counts - base
    spread = float(np.percentile(np.abs(detail[::3, ::3]), rng.uniform(97, 99.9))) + 0.05
    broad = (base - base.mean()) / (float(base.std()) + 0.05)
    kept = rng.uniform(0.0, 0.6)
    return np.asarray(rng.uniform(90, 140) + 45 * kept * broad + rng.uniform(50, 115) * detail / spread, np.float32)


def _marked(rng: np.random.Generator, out: Image) -> None:
    """A cross, a maker's name, figures in a corner."""
    height, width = out.shape
    value = int(rng.choice([0, 255]))
    if rng.random() < 0.5:
        x, y, reach = width // 2, height // 2, int(rng.integers(5, 25))
        cv2.line(out, (x - reach, y), (x + reach, y), value, 1)
        cv2.line(out, (x, y - reach), (x, y + reach), value, 1)
    for _ in range(int(rng.integers(0, 4))):
        text = "".join(rng.choice(list("0123456789.:-NESWmCHTZX%"), int(rng.integers(2, 12))))
        at = (int(rng.integers(2, width - 60)), int(rng.choice([16, 32, height - 20, height - 6])))
        cv2.putText(out, text, at, int(rng.integers(0, 4)), rng.uniform(0.3, 0.8), value, 1, cv2.LINE_AA)


def _filmed(rng: np.random.Generator, out: Image) -> Image:
    """Through JPEG, once at good quality or as a frame of a video of low rate."""
    if rng.random() < 0.3:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 0.8)), np.uint8)
    ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 98))])
    if not ok:
        raise RuntimeError("a rendered picture could not be compressed")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
