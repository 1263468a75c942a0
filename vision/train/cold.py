# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rendered cold wilderness as a share of the pictures a thermal detector learns from.

Real thermal training pictures from the air show towns. What a search flies over is cold ground with texture of every
scale, bodies of every posture on it, and stones that the day has left a little warm: rendered here from parameters.
Bodies are those of `render_body`, warm by part; cover, focus, noise and the stretch to 8 bits vary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .labels import Boxes
from .render_body import POSE_WEIGHTS, POSES, Body, person, thing

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

_SUPER = 3  # bodies are drawn so much larger, and reduced: edges as a sensor's pixels see them
_PX_PER_M = (3.5, 32.0)  # people of 6 to 60 pixels
_LEAST_PX = 5.0  # smaller is not labelled
_PERSON = 0
_DECOYS = ("rock", "rock", "stones", "log", "bush")


@dataclass(frozen=True, slots=True)
class Sprite:
    """A body as the camera sees it: cover 0..1 and relative warmth, both (h, w)."""

    cover: Floats
    warmth: Floats


def ground(rng: np.random.Generator, width: int, height: int) -> Floats:
    """Cold ground with texture of standard deviation 1: slopes, tussocks, now and then trees, a stream, rows."""
    out = np.zeros((height, width), np.float32)
    roughness = rng.uniform(0.3, 1.2)
    for cell in (160, 60, 24, 9, 4):
        grid = rng.standard_normal((height // cell + 3, width // cell + 3), dtype=np.float32)
        layer = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        out += np.float32((cell / 24) ** (roughness - 0.5) * rng.uniform(0.4, 1.0)) * layer
    out /= float(out.std()) + 1e-6
    if rng.random() < 0.35:
        line = np.stack([np.linspace(-20, width + 20, 9), rng.uniform(0, height) + rng.normal(0, 40, 9)], axis=1)
        band = np.zeros_like(out)
        cv2.polylines(band, [line.astype(np.int32)], False, 1.0, int(rng.integers(3, 40)), cv2.LINE_AA)
        out += band * np.float32(rng.uniform(-4, 2.0))
    if rng.random() < 0.4:
        warm = rng.uniform(-2.0, 3.0)
        for _ in range(int(rng.integers(5, 60))):
            at = (int(rng.integers(0, width)), int(rng.integers(0, height)))
            radius = rng.uniform(4, 45)
            for _ in range(6):
                lump = (int(at[0] + rng.normal(0, radius / 3)), int(at[1] + rng.normal(0, radius / 3)))
                cv2.circle(out, lump, max(1, int(radius * rng.uniform(0.2, 0.7))), warm + rng.normal(0, 0.6), -1)
    return out


def sprite(rng: np.random.Generator, body: Body, px_per_m: float) -> Sprite:
    """A body seen from above or aslant, its parts unevenly warm."""
    tilt = rng.uniform(0.0, 0.95) if rng.random() < 0.6 else 0.0  # from the vertical, radians
    x = body.centres[:, 0]
    y = body.centres[:, 1] * math.cos(tilt) + body.centres[:, 2] * math.sin(tilt)
    depth = body.centres[:, 2] * math.cos(tilt) - body.centres[:, 1] * math.sin(tilt)
    scale = px_per_m * _SUPER
    radii = body.radii * scale
    left, top = float((x * scale - radii).min()), float((-y * scale - radii).min())
    width = math.ceil((float((x * scale + radii).max()) - left) / _SUPER) + 2
    height = math.ceil((float((-y * scale + radii).max()) - top) / _SUPER) + 2
    _, part = np.unique(body.colours.round(4), axis=0, return_inverse=True)
    of_part = rng.uniform(0.45, 1.15, int(part.max()) + 1)
    cover = np.zeros((height * _SUPER, width * _SUPER), np.float32)
    warmth = np.zeros_like(cover)
    for i in np.argsort(depth):
        at = (round(x[i] * scale - left) + _SUPER, round(-y[i] * scale - top) + _SUPER)
        radius = max(1, round(float(radii[i])))
        cv2.circle(cover, at, radius, 1.0, -1)
        cv2.circle(warmth, at, radius, float(of_part[part[i]]), -1)
    small = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)
    return Sprite(
        np.asarray(small, np.float32), np.asarray(cv2.resize(warmth, (width, height), interpolation=cv2.INTER_AREA))
    )


def hide(rng: np.random.Generator, seen: Sprite, share: float) -> Sprite:
    """Take away a share of a body, in lumps, as branches, snow and stones do."""
    shape = seen.cover.shape
    cells = int(rng.integers(3, 7))
    lumps = rng.standard_normal((cells, cells), dtype=np.float32)
    field = cv2.resize(lumps, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    left = (field > np.quantile(field[seen.cover > 0.3], share)).astype(np.float32)
    return Sprite(seen.cover * left, seen.warmth * left)


def _put(
    picture: Floats, seen: Sprite, contrast: float, at: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Add a body to the picture with its corner at (x, y); the box of what shows of it, None where too little does."""
    height, width = seen.cover.shape
    x0, y0 = max(0, at[0]), max(0, at[1])
    x1, y1 = min(picture.shape[1], at[0] + width), min(picture.shape[0], at[1] + height)
    if x1 <= x0 or y1 <= y0:
        return None
    part = np.s_[y0 - at[1] : y1 - at[1], x0 - at[0] : x1 - at[0]]
    cover, warmth = seen.cover[part], seen.warmth[part]
    window = picture[y0:y1, x0:x1]
    local = float(np.median(window))
    window *= 1.0 - cover
    window += cover * local + warmth * contrast
    ys, xs = np.nonzero(cover > 0.25)
    if len(xs) == 0 or cover.sum() < 0.3 * max(float(seen.cover.sum()), 1.0):
        return None
    return float(xs.min() + x0), float(ys.min() + y0), float(xs.max() + 1 + x0), float(ys.max() + 1 + y0)


def sensor(rng: np.random.Generator, picture: Floats) -> Image:
    """What a camera makes of it: focus, fall-off towards the corners, columns, noise, the stretch to 8 bits, local equalising."""
    height, width = picture.shape
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.4)), np.float32)
    noise = math.exp(rng.uniform(math.log(0.03), math.log(0.7)))
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(noise)
    if rng.random() < 0.3:
        picture += rng.standard_normal((1, width), dtype=np.float32) * np.float32(noise * rng.uniform(0.2, 0.8))
    if rng.random() < 0.3:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        picture += np.asarray(x * x + y * y, np.float32) * np.float32(rng.uniform(-2.0, 2.0))
    low, high = np.percentile(picture[::3, ::3], (rng.uniform(0, 2), rng.uniform(98.5, 100)))
    middle, span = (low + high) / 2, max(float(high - low), rng.uniform(4.0, 30.0))
    grey = (picture - middle) * (255 / span) + rng.uniform(60, 150)
    out = np.asarray(np.clip(grey, 0, 255), np.uint8)
    if rng.random() < 0.2:  # many cameras equalise locally
        out = np.asarray(cv2.createCLAHE(rng.uniform(1.5, 5.0), (8, 8)).apply(out), np.uint8)
    return out


def cold_picture(rng: np.random.Generator, width: int, height: int) -> tuple[Image, Boxes]:
    """One rendered picture (height, width) and the boxes of its people, class 0; a fifth of them has nobody."""
    picture = ground(rng, width, height)
    low, high = (math.log(v) for v in _PX_PER_M)
    px_per_m = math.exp(rng.uniform(low, high))
    warm = math.exp(rng.uniform(math.log(4.0), math.log(60.0)))  # people over ground, in units of its texture

    def place(seen: Sprite) -> tuple[int, int]:
        rows, columns = seen.cover.shape
        return int(rng.integers(-columns // 3, width - columns // 2)), int(rng.integers(-rows // 3, height - rows // 2))

    if rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 9))):
            decoy = sprite(rng, thing(rng, _DECOYS[int(rng.integers(len(_DECOYS)))]), px_per_m)
            _put(picture, decoy, warm * rng.uniform(-0.15, 0.35), place(decoy))
    rows: list[tuple[float, ...]] = []
    for _ in range(0 if rng.random() < 0.2 else int(rng.integers(1, 7))):
        pose = str(rng.choice(POSES, p=POSE_WEIGHTS))
        seen = sprite(rng, person(rng, pose), px_per_m)
        if rng.random() < 0.3 and (seen.cover > 0.3).any():
            seen = hide(rng, seen, rng.uniform(0.1, 0.6))
        box = _put(picture, seen, warm * rng.uniform(0.6, 1.3), place(seen))
        if box is not None and max(box[2] - box[0], box[3] - box[1]) >= _LEAST_PX:
            rows.append((_PERSON, *box))
    return sensor(rng, picture), np.array(rows, dtype=np.float32).reshape(-1, 5)
