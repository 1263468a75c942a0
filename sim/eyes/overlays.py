# SPDX-License-Identifier: AGPL-3.0-or-later
"""Smoke, and what is taken for fire and smoke: roofs hot from the sun, the sun in metal and water, shadows of clouds.

A plume is a row of puffs that rise, drift with the wind, widen and thin out. A glint is a set of small mirrors: each
shows the sun to whoever stands in its lobe, and to nobody else; those of metal hold still, those of water turn with the
waves. Everything follows from an entity's own seed.
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.eyes.optics import View
from sim.eyes.world import Entity, World

FloatArray = NDArray[np.float64]
Picture = NDArray[np.float32]

KINDS: Final = frozenset({"smoke", "hot_roof", "glint", "cloud"})
_PUFFS_PER_S: Final = 2.0
_PUFF_LIFE_S: Final = 22.0
_NOISE_PX: Final = 128
_ROOF_UP_M: Final = 4.0
_LIGHT_ADDED: Final = 700.0
_SUN_DOWN: Final = 0.02


class Overlays:
    """Draws one world's overlays into the pictures of one camera."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._entities = [e for e in world.entities if e.kind in KINDS]
        rng = np.random.default_rng([world.seed, 41])
        elevation, azimuth = math.radians(rng.uniform(35.0, 65.0)), rng.uniform(0.0, 2 * math.pi)
        self.sun = np.array(
            [math.cos(elevation) * math.sin(azimuth), math.cos(elevation) * math.cos(azimuth), math.sin(elevation)]
        )
        wind = math.radians(world.wind_to_deg)
        self._wind = world.wind_m_s * np.array([math.sin(wind), math.cos(wind)])
        noise = cv2.GaussianBlur(rng.standard_normal((_NOISE_PX, _NOISE_PX)), (0, 0), 5.0)
        self._noise = np.asarray(np.clip(0.5 + noise / (3.0 * noise.std()), 0.0, 1.0), dtype=np.float32)

    def under(self, view: View, picture: Picture, *, thermal: bool, ambient_c: float = 0.0) -> None:
        """What things stand on: roofs."""
        for entity in self._entities:
            if entity.kind == "hot_roof":
                self._roof(view, picture, entity, ambient_c if thermal else None)
            elif entity.kind == "glint" and entity.posture == "water" and not thermal:
                self._pond(view, picture, entity)

    def over_thermal(self, view: View, picture: Picture, time_s: float) -> None:
        """Mirrored sun; smoke is as good as clear at these wavelengths, warm only just above its source."""
        for entity in self._entities:
            if entity.kind == "glint" and not self._world.night:
                for x, y, radius, share in self._mirrors(view, entity, time_s):
                    _add_disc(picture, x, y, radius, share * entity.warmth_c)
            elif entity.kind == "smoke":
                for x, y, radius, alpha, number in self._puffs(view, entity, time_s)[-3:]:
                    self._blend(picture, (x, y), radius, 0.2 * alpha, number, float(picture.mean()) + entity.warmth_c)

    def over_rgb(self, view: View, picture: Picture, time_s: float) -> None:
        """Shadows of clouds, mirrored sun and smoke, in this order."""
        for entity in self._entities:
            if entity.kind == "cloud":
                self._shadow(view, picture, entity, time_s)
        for entity in self._entities:
            if entity.kind == "glint" and not self._world.night:
                for x, y, radius, share in self._mirrors(view, entity, time_s):
                    _add_disc(picture, x, y, radius, _LIGHT_ADDED * share)
        for entity in self._entities:
            if entity.kind == "smoke":
                tone = self._tone(entity)
                for x, y, radius, alpha, number in self._puffs(view, entity, time_s):
                    self._blend(picture, (x, y), radius, alpha, number, tone)

    # --- smoke

    @staticmethod
    def _tone(entity: Entity) -> FloatArray:
        rng = np.random.default_rng([entity.seed, 43])
        grey = rng.uniform(165.0, 215.0) if entity.posture == "white" else rng.uniform(35.0, 65.0)
        return np.array([grey * 1.03, grey, grey * 0.98])

    def _puffs(self, view: View, entity: Entity, time_s: float) -> list[tuple[float, float, float, float, int]]:
        """Pixels (x, y), radius, opacity and number of each puff in the air, the oldest first."""
        newest = math.floor(time_s * _PUFFS_PER_S)
        numbers = np.arange(newest - int(_PUFF_LIFE_S * _PUFFS_PER_S) + 1, newest + 1)
        age = time_s - numbers / _PUFFS_PER_S
        draws = np.array(
            [np.random.default_rng([entity.seed, 47, int(n) & 0x7FFFFFFF]).normal(size=4) for n in numbers]
        )
        turn = 0.12 * draws[:, 0]
        along = age[:, None] * self._wind * (1.0 + 0.15 * draws[:, 1:2])
        drift = np.column_stack(
            [
                along[:, 0] * np.cos(turn) - along[:, 1] * np.sin(turn),
                along[:, 0] * np.sin(turn) + along[:, 1] * np.cos(turn),
            ]
        )
        # a fire that gains strength: the younger a puff, the larger it started
        strength = np.clip(0.5 + 0.02 * (time_s - age - entity.begins_s), 0.5, 1.6)
        radius = entity.size_m * strength * (0.5 + 0.32 * age**0.8)
        up = 0.8 + 1.2 * age**0.75
        ground = self._world.ground.height_at(entity.east_m, entity.north_m)
        places = np.column_stack([entity.east_m + drift[:, 0], entity.north_m + drift[:, 1], ground + up])
        pixels, depth = view.project(places)
        alpha = (1.0 - entity.cover_fraction) * (1.0 - age / _PUFF_LIFE_S) * np.clip(0.75 + 0.2 * draws[:, 3], 0.2, 1.0)
        scale = view.lens.fx_px / np.maximum(depth, 1.0)
        return [
            (float(p[0]), float(p[1]), float(r * s), float(a), int(n))
            for p, r, s, a, n, d in zip(pixels, radius, scale, alpha, numbers, depth, strict=True)
            if d > 1.0 and a > 0.0
        ]

    def _blend(
        self, picture: NDArray[Any], at: tuple[float, float], radius: float, alpha: float, number: int, tone: Any
    ) -> None:
        half = max(2, round(1.6 * radius))
        x0, y0 = round(at[0]) - half, round(at[1]) - half
        height, width = picture.shape[:2]
        left, top = max(0, x0), max(0, y0)
        right, bottom = min(width, x0 + 2 * half + 1), min(height, y0 + 2 * half + 1)
        if right <= left or bottom <= top:
            return
        y, x = np.mgrid[top:bottom, left:right]
        d2 = ((x - at[0]) ** 2 + (y - at[1]) ** 2) / max(radius, 1.0) ** 2
        shift = np.random.default_rng([number & 0x7FFFFFFF, 53]).integers(0, _NOISE_PX // 2, 2)
        tile = self._noise[shift[0] : shift[0] + _NOISE_PX // 2, shift[1] : shift[1] + _NOISE_PX // 2]
        lumps = cv2.resize(tile, (2 * half + 1, 2 * half + 1), interpolation=cv2.INTER_LINEAR)
        lumps = lumps[top - y0 : bottom - y0, left - x0 : right - x0]
        mask = (alpha * np.exp(-1.4 * d2) * (0.35 + 0.9 * lumps)).clip(0.0, 0.95).astype(np.float32)
        light = (0.88 + 0.24 * lumps).astype(np.float32)  # billows have a lit and a shaded side
        window = picture[top:bottom, left:right]
        if picture.ndim == 3:
            window *= 1.0 - mask[..., None]
            window += mask[..., None] * light[..., None] * np.asarray(tone, dtype=np.float32)
        else:
            window *= 1.0 - mask
            window += mask * np.float32(tone)

    # --- decoys

    def _roof(self, view: View, picture: Picture, entity: Entity, ambient_c: float | None) -> None:
        rng = np.random.default_rng([entity.seed, 59])
        half_e, half_n = entity.size_m / 2, entity.size_m / 2 * rng.uniform(0.5, 1.0)
        h = math.radians(entity.heading_deg)
        up = self._world.ground.height_at(entity.east_m, entity.north_m) + _ROOF_UP_M
        corners = [
            (
                entity.east_m + e * math.cos(h) + n * math.sin(h),
                entity.north_m - e * math.sin(h) + n * math.cos(h),
                up,
            )
            for e, n in ((-half_e, -half_n), (half_e, -half_n), (half_e, half_n), (-half_e, half_n))
        ]
        pixels, depth = view.project(np.array(corners))
        if (depth <= 1.0).any() or np.abs(pixels).max() > 20_000:
            return
        outline = np.round(pixels * 16).astype(np.int32)
        if ambient_c is not None:
            colour: Any = ambient_c + entity.warmth_c
        else:
            grey = float(rng.uniform(120, 225))
            colour = (grey, grey * 1.01, grey * rng.uniform(0.9, 1.05))
        cv2.fillPoly(picture, [outline], colour, cv2.LINE_AA, 4)
        for row in range(1, 12):  # ribs of the sheet metal, some hotter than others
            f = row / 12
            a, b = outline[0] + f * (outline[3] - outline[0]), outline[1] + f * (outline[2] - outline[1])
            share = float(rng.uniform(0.88, 1.08))
            tint = ambient_c + share * entity.warmth_c if ambient_c is not None else tuple(share * c for c in colour)
            ends = tuple(int(v) for v in a.round()), tuple(int(v) for v in b.round())
            cv2.line(picture, ends[0], ends[1], tint, 1, cv2.LINE_AA, 4)

    def _pond(self, view: View, picture: Picture, entity: Entity) -> None:
        """Round water as wide as its glitter."""
        angles = np.linspace(0.0, 2 * math.pi, 40, endpoint=False)
        up = self._world.ground.height_at(entity.east_m, entity.north_m)
        reach = 0.6 * entity.size_m
        rim = np.column_stack(
            [entity.east_m + reach * np.sin(angles), entity.north_m + reach * np.cos(angles), np.full(40, up)]
        )
        pixels, depth = view.project(rim)
        if (depth > 1.0).all() and np.abs(pixels).max() < 20_000:
            cv2.fillPoly(picture, [np.round(pixels * 16).astype(np.int32)], (84.0, 70.0, 50.0), cv2.LINE_AA, 4)

    def _mirrors(self, view: View, entity: Entity, time_s: float) -> list[tuple[float, float, float, float]]:
        """Pixels (x, y), radius and share of the full reflection of each facet that shows the sun."""
        rng = np.random.default_rng([entity.seed, 61])
        count = int(rng.integers(12, 40)) if entity.posture == "water" else int(rng.integers(3, 10))
        offsets = rng.uniform(-0.5, 0.5, (count, 2)) * entity.size_m
        up = self._world.ground.height_at(entity.east_m, entity.north_m)
        up += 0.0 if entity.posture == "water" else _ROOF_UP_M
        places = np.column_stack([entity.east_m + offsets[:, 0], entity.north_m + offsets[:, 1], np.full(count, up)])
        lobe = math.radians(rng.uniform(1.5, 4.0))
        halfway = self.sun + np.array([0.0, 0.0, 1.0])  # the normal of a mirror that shows the sun straight above it
        tilt = np.tile(halfway[:2] / np.linalg.norm(halfway), (count, 1))
        if entity.posture == "water":
            spread, rate = math.radians(rng.uniform(5.0, 12.0)), rng.uniform(2.0, 6.0, (count, 2))
            tilt += spread * np.sin(rate * time_s + rng.uniform(0.0, 2 * math.pi, (count, 2)))
        else:
            tilt += rng.normal(0.0, math.radians(2.0), 2) + rng.normal(0.0, math.radians(1.0), (count, 2))
        normals = np.column_stack([tilt, np.sqrt(np.maximum(0.05, 1.0 - (tilt**2).sum(axis=1)))])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        to_camera = view.position - places
        to_camera /= np.linalg.norm(to_camera, axis=1, keepdims=True)
        mirrored = 2.0 * (normals * to_camera).sum(axis=1, keepdims=True) * normals - to_camera
        angle = np.arccos(np.clip(mirrored @ self.sun, -1.0, 1.0))
        share = np.exp(-((angle / lobe) ** 2))
        pixels, depth = view.project(places)
        size = rng.uniform(0.08, 0.4, count) * view.lens.fx_px / np.maximum(depth, 1.0)
        return [
            (float(p[0]), float(p[1]), float(r), float(s))
            for p, r, s, d in zip(pixels, size, share, depth, strict=True)
            if d > 1.0 and s > _SUN_DOWN
        ]

    def _shadow(self, view: View, picture: Picture, entity: Entity, time_s: float) -> None:
        """A soft patch of less light that moves with the wind, twice as fast as smoke near the ground."""
        moved = 2.0 * self._wind * (time_s - entity.begins_s)
        ground = self._world.ground.height_at(entity.east_m, entity.north_m)
        pixels, depth = view.project(np.array([[entity.east_m + moved[0], entity.north_m + moved[1], ground]]))
        if depth[0] <= 1.0:
            return
        radius = entity.size_m * view.lens.fx_px / depth[0]
        y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
        away = np.hypot(x - np.float32(pixels[0, 0]), y - np.float32(pixels[0, 1])) / np.float32(radius)
        picture *= (1.0 - 0.45 / (1.0 + np.exp(np.minimum(12.0 * (away - 1.0), 50.0))))[..., None].astype(np.float32)


def _add_disc(picture: NDArray[Any], x: float, y: float, radius: float, value: float) -> None:
    """Add light or warmth to a small disc with a soft edge; smaller than a pixel it fills its share of one."""
    half = max(2, math.ceil(radius + 2.0))
    left, top = max(0, round(x) - half), max(0, round(y) - half)
    right, bottom = min(picture.shape[1], round(x) + half + 1), min(picture.shape[0], round(y) + half + 1)
    if right <= left or bottom <= top:
        return
    rows, columns = np.mgrid[top:bottom, left:right]
    cover = np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0.0, 1.0) * min(1.0, 4.0 * radius * radius)
    added = (value * cover).astype(np.float32)
    picture[top:bottom, left:right] += added[..., None] if picture.ndim == 3 else added
