# SPDX-License-Identifier: AGPL-3.0-or-later
"""The look of the ground: fields, woods, roads, water and roofs as temperature and colour, seeded.

A coarse map (1 m cells) carries what is large, a fine tile repeats the grain of soil and grass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

AMBIENT_NIGHT_C = 14.0
AMBIENT_DAY_C = 27.0
_FINE_PX = 512
_FINE_M = 0.12


@dataclass(frozen=True, slots=True)
class GroundLook:
    """coarse_c: (n, n) degrees Celsius; colour: (n, n, 3) BGR by day; both span +-half_m at cell_m, row 0 south."""

    half_m: float
    cell_m: float
    coarse_c: NDArray[np.float32]
    colour: NDArray[np.uint8]
    fine: NDArray[np.float32]

    def temperature(self, east_m: Picture, north_m: Picture) -> Picture:
        """Degrees Celsius at each place; arrays of the picture's shape."""
        x, y = self._cells(east_m, north_m)
        base = cv2.remap(self.coarse_c, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.add(base, self._grain(east_m, north_m)), dtype=np.float32)

    def light(self, east_m: Picture, north_m: Picture) -> Picture:
        """BGR by day as float32, with the grain of the soil."""
        x, y = self._cells(east_m, north_m)
        colour = cv2.remap(self.colour, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        grain = 1.0 + 0.35 * self._grain(east_m, north_m)
        return np.asarray(cv2.multiply(colour, cv2.merge([grain, grain, grain]), dtype=cv2.CV_32F), dtype=np.float32)

    def _cells(self, east_m: Picture, north_m: Picture) -> tuple[Picture, Picture]:
        scale = np.float32(1.0 / self.cell_m)
        half = np.float32(self.half_m / self.cell_m)
        return east_m * scale + half, north_m * scale + half

    def _grain(self, east_m: Picture, north_m: Picture) -> Picture:
        """The fine tile under each place. It is held 3 x 3, so that an ordinary picture needs no wrapping."""
        scale = np.float32(1.0 / _FINE_M)
        x, y = east_m * scale, north_m * scale
        x -= np.float32(_FINE_PX * np.floor(float(x.min()) / _FINE_PX))
        y -= np.float32(_FINE_PX * np.floor(float(y.min()) / _FINE_PX))
        return np.asarray(cv2.remap(self.fine, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), dtype=np.float32)


def make_ground(half_m: float, seed: int, *, night: bool) -> GroundLook:
    """The look of one world."""
    rng = np.random.default_rng([seed, 7])
    n = int(2 * half_m)
    ambient = AMBIENT_NIGHT_C if night else AMBIENT_DAY_C
    temperature = np.full((n, n), ambient, dtype=np.float32)
    colour = np.empty((n, n, 3), dtype=np.uint8)
    colour[:] = (62, 96, 84)
    _fields(temperature, colour, rng)
    for scale, sigma in ((120, 0.7), (40, 0.4), (9, 0.25)):
        noise = rng.standard_normal((max(2, n // scale), max(2, n // scale))).astype(np.float32)
        temperature += sigma * cv2.resize(noise, (n, n), interpolation=cv2.INTER_CUBIC)
    _water(temperature, colour, rng)
    _roads(temperature, colour, rng)
    _roofs(temperature, colour, rng)
    temperature = np.asarray(cv2.GaussianBlur(temperature, (0, 0), 0.8), dtype=np.float32)
    fine = rng.standard_normal((_FINE_PX, _FINE_PX)).astype(np.float32)
    fine = 0.30 * _wrapped_blur(fine, 1.2) + 0.30 * _wrapped_blur(fine[::-1], 4.0)
    return GroundLook(half_m, 1.0, temperature, colour, np.tile(fine, (3, 3)).astype(np.float32))


def _wrapped_blur(tile: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur with unit standard deviation kept, seamless at the tile's edges."""
    pad = int(4 * sigma) + 1
    wide = cv2.GaussianBlur(np.pad(tile, pad, mode="wrap"), (0, 0), sigma)[pad:-pad, pad:-pad]
    return np.asarray(wide / wide.std(), dtype=np.float32)


def _fields(temperature: NDArray[np.float32], colour: NDArray[np.uint8], rng: np.random.Generator) -> None:
    n = temperature.shape[0]
    palette = [(58, 104, 92), (52, 88, 70), (70, 118, 128), (46, 76, 58), (88, 126, 140), (40, 66, 48)]
    for _ in range(n * n // 9000):
        centre = rng.uniform(0, n, 2)
        size = rng.uniform(20, 90, 2)
        box = cv2.boxPoints(
            ((float(centre[0]), float(centre[1])), (float(size[0]), float(size[1])), float(rng.uniform(0, 90)))
        )
        corners = box.astype(np.int32)
        shift = float(rng.normal(0, 0.9))
        x0, y0 = np.maximum(corners.min(axis=0), 0)
        x1, y1 = np.minimum(corners.max(axis=0) + 1, n)
        if x1 <= x0 or y1 <= y0:
            continue
        patch = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        cv2.fillPoly(patch, [corners - np.array([x0, y0], dtype=np.int32)], 1)
        temperature[y0:y1, x0:x1] += shift * patch
        cv2.fillPoly(colour, [corners], palette[int(rng.integers(len(palette)))])


def _water(temperature: NDArray[np.float32], colour: NDArray[np.uint8], rng: np.random.Generator) -> None:
    n = temperature.shape[0]
    for _ in range(6):
        centre = (int(rng.uniform(0, n)), int(rng.uniform(0, n)))
        axes = (int(rng.uniform(8, 30)), int(rng.uniform(6, 18)))
        mean = float(temperature.mean())
        cv2.ellipse(temperature, centre, axes, float(rng.uniform(0, 180)), 0, 360, mean + 2.5, -1)
        cv2.ellipse(colour, centre, axes, float(rng.uniform(0, 180)), 0, 360, (92, 74, 48), -1)


def _roads(temperature: NDArray[np.float32], colour: NDArray[np.uint8], rng: np.random.Generator) -> None:
    n = temperature.shape[0]
    mean = float(temperature.mean())
    for _ in range(7):
        a = rng.uniform(0, n, 2)
        angle = rng.uniform(0, 2 * math.pi)
        points = [a]
        for _step in range(14):
            angle += rng.normal(0, 0.18)
            points.append(points[-1] + n / 12 * np.array([math.cos(angle), math.sin(angle)]))
        line = np.array(points).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(temperature, [line], isClosed=False, color=mean + 1.8, thickness=4)
        cv2.polylines(colour, [line], isClosed=False, color=(120, 122, 124), thickness=4)


def _roofs(temperature: NDArray[np.float32], colour: NDArray[np.uint8], rng: np.random.Generator) -> None:
    n = temperature.shape[0]
    mean = float(temperature.mean())
    for _ in range(max(4, n // 40)):
        centre = rng.uniform(0, n, 2)
        size = rng.uniform(7, 16, 2)
        box = cv2.boxPoints(
            ((float(centre[0]), float(centre[1])), (float(size[0]), float(size[1])), float(rng.uniform(0, 90)))
        )
        cv2.fillPoly(temperature, [box.astype(np.int32)], mean - float(rng.uniform(1.0, 4.0)))
        cv2.fillPoly(colour, [box.astype(np.int32)], (70, 72, 128) if rng.uniform() < 0.5 else (128, 126, 122))
