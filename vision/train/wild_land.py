# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rendered wild ground in degrees: relief that the sun has warmed by slope, snow, sun and shade, water, roads, rocks.

Relief is a multifractal: one power-law surface weighs another, so that smooth meadows lie beside rough scree (Musgrave,
Kolb and Mace, The synthesis and rendering of eroded fractal terrains, 1989). Surfaces are periodic, made once in each
process, and seen through the camera wherever it looks, so that texture shrinks and flattens towards the horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from .wild_eye import Eye

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

_SURFACES = 40  # memory: a MiB each
_SIDE = 512
_SEED = 7_102_024


@lru_cache(maxsize=_SURFACES)
def surface(number: int) -> Floats:
    """One of the periodic surfaces (512, 512), mean 0 and standard deviation 1; the number is its seed."""
    rng = np.random.default_rng([_SEED, number])
    smooth = _power_law(rng, rng.uniform(1.6, 3.4))
    draw = rng.random()
    if draw < 0.25:  # ridges
        smooth = np.abs(smooth) * -1.0
    elif draw < 0.75:  # rough where another surface is high
        smooth = smooth * np.exp(rng.uniform(0.3, 0.9) * _power_law(rng, 3.0)) + 0.2 * _power_law(
            rng, rng.uniform(0.6, 1.6)
        )
    smooth -= smooth.mean()
    return np.asarray(smooth / (smooth.std() + 1e-6), np.float32)


@lru_cache(maxsize=_SURFACES)
def grain(number: int) -> Floats:
    """One of the periodic fine textures: grass, gravel, needles; as `surface`."""
    rng = np.random.default_rng([_SEED, 1, number])
    fine = _power_law(rng, rng.uniform(0.0, 1.6))
    if rng.random() < 0.4:  # tufts
        fine = np.maximum(fine, rng.uniform(-0.5, 1.0))
    fine -= fine.mean()
    return np.asarray(fine / (fine.std() + 1e-6), np.float32)


def _power_law(rng: np.random.Generator, exponent: float) -> Points:
    """A periodic Gaussian field with a spectrum that falls as frequency to -exponent, standard deviation 1."""
    across, along = np.fft.rfftfreq(_SIDE)[None], np.fft.fftfreq(_SIDE)[:, None]
    strength = np.maximum(np.hypot(across, along), 1 / _SIDE) ** (-exponent / 2)
    strength[0, 0] = 0
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((_SIDE, _SIDE))) * strength, s=(_SIDE, _SIDE))
    return np.asarray(field / field.std())


@dataclass(frozen=True, slots=True)
class Land:
    """Degrees over the air (h, w); strength of the ground's texture there in degrees (one number)."""

    degrees: Floats
    rough: float


class View:
    """The ground that an eye sees, for textures to be laid on it."""

    def __init__(self, eye: Eye) -> None:
        self.eye = eye
        self._onto = eye.onto_ground()

    def laid(self, rng: np.random.Generator, texture: Floats, length_px: float) -> Floats:
        """A periodic texture turned and moved at random, one period of so many pixels in the middle of the picture."""
        per_m = _SIDE * self.eye.px_per_m / length_px
        turn, move = rng.uniform(0, 2 * math.pi), rng.uniform(0, _SIDE, 2)
        c, s = math.cos(turn) * per_m, math.sin(turn) * per_m
        onto = np.array([[c, -s, move[0]], [s, c, move[1]], [0, 0, 1]]) @ self._onto
        size = (self.eye.width_px, self.eye.height_px)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpPerspective(texture, onto, size, flags=how, borderMode=cv2.BORDER_WRAP), np.float32)


def land(rng: np.random.Generator, view: View) -> Land:
    """Ground of any kind; what is on it is added by others."""
    u = rng.uniform
    slow = surface(int(rng.integers(_SURFACES)))
    lit = _shaded(slow, u(0, 2 * math.pi))
    long_px = u(700, 3200)
    seed = rng.integers(1 << 62)
    out = view.laid(np.random.default_rng(seed), lit, long_px) * np.float32(_between(rng, 0.08, 0.9))
    high = view.laid(np.random.default_rng(seed), slow, long_px)  # the same place and turn
    out += high * np.float32(u(-0.6, 0.6))  # cold air lies low, or the tops are bare
    middle = view.laid(rng, surface(int(rng.integers(_SURFACES))), u(350, 1100))
    out += middle * np.float32(_between(rng, 0.03, 0.5))
    fine = view.laid(rng, grain(int(rng.integers(_SURFACES))), u(330, 900))
    strength = _between(rng, 0.02, 0.45)
    where: Floats | float = 1.0
    if rng.random() < 0.28:  # one part in the sun, grainy and warm, the rest in shade
        sun = _step(high + middle * np.float32(u(0, 0.5)), rng, u(0.02, 0.8))
        out += sun * np.float32(_between(rng, 0.4, 5.0))
        where = 0.25 + sun * np.float32(u(0.7, 3.0))
    out += fine * where * np.float32(strength)
    if rng.random() < 0.28:  # snow in patches, or thin over all but the rocks
        snow = _step(middle if rng.random() < 0.6 else high, rng, _between(rng, 0.02, 0.8))
        out += snow * (
            np.float32(-_between(rng, 0.3, 5.0) if rng.random() < 0.8 else u(0.2, 2.0)) - out * np.float32(u(0.3, 0.9))
        )
    if rng.random() < 0.2:  # scree: the coarse grains of a texture stand out
        rocks = view.laid(rng, grain(int(rng.integers(_SURFACES))), u(900, 2500))
        out += np.maximum(rocks - np.float32(u(0.8, 1.8)), 0) * np.float32(u(0.2, 2.5))
    rough = float(out.std())
    if rng.random() < 0.18:
        water = _step(high * np.float32(-1), rng, 0.01)
        out += water * (np.float32(u(-5, 5)) - out * np.float32(0.95))
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.5 else 0):
        _way(rng, view.eye, out)
    return Land(out, rough)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _shaded(height: Floats, sun: float) -> Floats:
    """Slope towards the sun: what a low one warms."""
    slope = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) * math.cos(sun)
    slope = slope + (np.roll(height, -1, 0) - np.roll(height, 1, 0)) * math.sin(sun)
    slope = np.clip(slope / (slope.std() + 1e-6), -3, 3)
    return np.asarray(slope, np.float32)


def _step(field: Floats, rng: np.random.Generator, soft: float) -> Floats:
    """0 to 1 where a field passes one of its quantiles, over so many of its standard deviations."""
    edge = float(np.quantile(field[::8, ::8], rng.uniform(0.15, 0.85)))
    return np.asarray(np.clip((field - edge) / (soft * float(field.std()) + 1e-6) + 0.5, 0, 1), np.float32)


def _way(rng: np.random.Generator, eye: Eye, out: Floats) -> None:
    """A stream, a road or a trail across the picture, with both its banks."""
    start, end = (
        eye.under(rng.uniform(-50, eye.width_px + 50), v) for v in rng.permutation((-0.05, 1.05)) * eye.height_px
    )
    if rng.random() < 0.5:
        start, end = (eye.under(u, rng.uniform(0, eye.height_px)) for u in (-30.0, eye.width_px + 30.0))
    t = np.linspace(0, 1, 40)[:, None]
    reach = math.dist(start, end)
    wave = np.cumsum(np.cumsum(rng.normal(0, 1, 40)))
    wave = (wave - np.linspace(wave[0], wave[-1], 40)) / (np.abs(wave).max() + 1e-6) * reach * rng.uniform(0.0, 0.12)
    line = np.array(start) + (np.array(end) - np.array(start)) * t
    along = np.gradient(line, axis=0)
    side = np.stack([-along[:, 1], along[:, 0]], 1) / (np.hypot(*along.T)[:, None] + 1e-9)
    line = line + side * wave[:, None]
    half = _between(rng, 0.15, 4.0)
    edges = [line + side * half * s * rng.uniform(0.8, 1.2, (40, 1)) for s in (-1, 1)]
    ring = np.concatenate([edges[0], edges[1][::-1]])
    pixels, _ = eye.project(np.column_stack([ring, np.zeros(len(ring))]))
    band = np.zeros(out.shape, np.uint8)
    cv2.fillPoly(band, [np.rint(np.clip(pixels, -4000, 4000) * 8).astype(np.int32)], 255, cv2.LINE_AA, 3)
    share = band.astype(np.float32) * np.float32(1 / 255)
    out += share * (np.float32(rng.uniform(-3, 3)) - out * np.float32(rng.uniform(0.3, 0.95)))


def stones(rng: np.random.Generator, eye: Eye, out: Floats, hottest: float) -> None:
    """Single boulders or fields of them: hulls of random points, warm on the side of the sun, cold on the other."""
    sun, middle = rng.uniform(0, 2 * math.pi), rng.uniform(0, (eye.width_px, eye.height_px))
    spread = rng.uniform(20, 400)
    most = _between(rng, 0.15, 2.0)
    many = int(rng.integers(1, 8)) if rng.random() < 0.5 else int(rng.integers(8, 70))
    for _ in range(many):
        u, v = rng.normal(middle, spread)
        if not (0 <= u < eye.width_px and 0 <= v < eye.height_px):
            continue
        ground = eye.under(u, v)
        _, depth = eye.project(np.array([[*ground, 0.0]]))
        size = most * rng.uniform(0.15, 1.0) * eye.focal_px / float(depth[0])
        if size < 1.2:
            continue
        side = math.ceil(size) + 4
        left, top = int(u) - side // 2, int(v) - side // 2
        if left < 0 or top < 0 or left + side >= eye.width_px or top + side >= eye.height_px:
            continue
        points = rng.normal(0, 0.33, (9, 2)) * size * (1.0, rng.uniform(0.6, 1.0)) + side / 2
        hull = cv2.convexHull(points.astype(np.float32))[:, 0]
        shape = np.zeros((side, side), np.uint8)
        cv2.fillConvexPoly(shape, np.rint(hull * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
        row, column = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
        warm = hottest * rng.uniform(0.1, 1.0) * (0.75 + 0.6 * (column * math.cos(sun) + row * math.sin(sun)))
        share = shape.astype(np.float32) * np.float32(1 / 255)
        window = out[top : top + side, left : left + side]
        window += share * (warm.astype(np.float32) + np.float32(window.mean()) - window)
