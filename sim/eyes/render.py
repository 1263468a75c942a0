# SPDX-License-Identifier: AGPL-3.0-or-later
"""Renders one exposure, thermal or RGB, and says what was truly in it.

The ground is found by marching a coarse grid of rays onto the true terrain and interpolating between them; things are
drawn as capsules, supersampled, over it; canopy hides what is covered; the sensor blurs and adds its noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.eyes.figures import capsules, colour_of
from sim.eyes.ground import GroundLook
from sim.eyes.optics import View
from sim.eyes.overlays import KINDS, Overlays
from sim.eyes.world import Entity, World

FloatArray = NDArray[np.float64]
_GRID_PX: Final = 16
_SUPER: Final = 6
_OPTICS_SIGMA_PX: Final = 0.65
_NETD_C: Final = 0.06
_FIXED_PATTERN_C: Final = 0.05
_MARGIN_PX: Final = 6
_NOISE_ROOM_PX: Final = 256
_NIGHT_LIGHT: Final = 0.30


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing inside the picture, as it truly was at the exposure."""

    entity: Entity
    east_m: float
    north_m: float
    width_px: float
    height_px: float
    visible_fraction: float
    contrast_c: float


@dataclass(slots=True)
class _Sprite:
    """A thing's footprint in the picture: `alpha` is how much of each pixel it fills, `warmth` what it adds there."""

    left: int
    top: int
    alpha: NDArray[np.float32]
    warmth: NDArray[np.float32]
    width_px: float
    height_px: float
    whole: float  # area in pixels, also outside the picture


class Renderer:
    """Renders for one camera; keeps its fixed pattern."""

    def __init__(self, world: World, look: GroundLook, camera_seed: int) -> None:
        self._world = world
        self._look = look
        self._overlays = Overlays(world)
        self._figures = [e for e in world.entities if e.kind not in KINDS]
        self._rng = np.random.default_rng([world.seed, 13, camera_seed])
        self._pattern: NDArray[np.float32] | None = None
        self._noise_field: NDArray[np.float32] | None = None

    def thermal(self, view: View, time_s: float) -> tuple[NDArray[np.float32], list[Seen]]:
        """Degrees Celsius, float32 (h, w)."""
        east, north = self._ground(view)
        picture = self._look.temperature(east, north)
        self._overlays.under(view, picture, thermal=True, ambient_c=float(self._look.coarse_c.mean()))
        seen = []
        for entity, sprite in self._sprites(view, time_s):
            hidden = self._draw_thermal(picture, entity, sprite)
            seen.append(self._truth(entity, sprite, hidden, time_s, picture))
        self._canopy(view, picture, None)
        self._overlays.over_thermal(view, picture, time_s)
        picture = _blurred(picture)
        picture += self._fixed_pattern(picture.shape)
        picture += self._noise(picture.shape, _NETD_C)
        return picture, seen

    def rgb(self, view: View, time_s: float) -> tuple[NDArray[np.uint8], list[Seen]]:
        """BGR, uint8 (h, w, 3); dim and noisy by night."""
        east, north = self._ground(view)
        picture = self._look.light(east, north)
        self._overlays.under(view, picture, thermal=False)
        light = _NIGHT_LIGHT if self._world.night else 1.0
        seen = []
        flames: list[_Sprite] = []
        for entity, sprite in self._sprites(view, time_s):
            hidden = _cover_mask(entity, sprite)
            alpha = (sprite.alpha * (1.0 - hidden))[..., None]
            window = _window(picture, sprite)
            window *= 1.0 - alpha
            window += alpha * np.array(colour_of(entity), dtype=np.float32)
            if entity.kind == "fire":
                flames.append(sprite)
            seen.append(self._truth(entity, sprite, hidden, time_s, None))
        self._canopy(view, None, picture)
        self._overlays.over_rgb(view, picture, time_s)
        picture *= light
        for sprite in flames:  # a fire is its own light
            _window(picture, sprite)[...] += sprite.alpha[..., None] * np.array([60, 150, 255], dtype=np.float32)
        picture = _blurred(picture)
        sigma = 7.0 if self._world.night else 2.5
        picture += self._noise(picture.shape[:2], sigma)[..., None]
        np.clip(picture, 0.0, 255.0, out=picture)
        return picture.astype(np.uint8), seen

    # --- ground

    def _ground(self, view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """East and north of the ground under every pixel, (h, w) each."""
        lens = view.lens
        columns, rows = lens.width_px // _GRID_PX + 2, lens.height_px // _GRID_PX + 2
        u, v = np.meshgrid(np.arange(columns) * _GRID_PX, np.arange(rows) * _GRID_PX)
        rays = view.rays(u.ravel().astype(np.float64), v.ravel().astype(np.float64))
        reach = self._march(view.position, rays)
        east = (view.position[0] + reach * rays[:, 0]).reshape(rows, columns).astype(np.float32)
        north = (view.position[1] + reach * rays[:, 1]).reshape(rows, columns).astype(np.float32)
        x, y = np.meshgrid(
            np.arange(lens.width_px, dtype=np.float32) / _GRID_PX,
            np.arange(lens.height_px, dtype=np.float32) / _GRID_PX,
        )
        return (
            np.asarray(cv2.remap(east, x, y, cv2.INTER_LINEAR), dtype=np.float32),
            np.asarray(cv2.remap(north, x, y, cv2.INTER_LINEAR), dtype=np.float32),
        )

    def _march(self, position: FloatArray, rays: FloatArray) -> FloatArray:
        """Length along each ray to the terrain, by secant steps; rays at or above the horizon end at 3 km."""
        down = np.maximum(-rays[:, 2], 0.03)
        ground = self._world.ground
        reach = (position[2] - ground.height(position[0:1], position[1:2])) / down
        for _ in range(8):
            height = ground.height(position[0] + reach * rays[:, 0], position[1] + reach * rays[:, 1])
            reach = np.clip(reach + (position[2] - reach * down - height) / down * 0.9, 0.5, 3000.0)
        return np.asarray(reach)

    # --- things

    def _sprites(self, view: View, time_s: float) -> list[tuple[Entity, _Sprite]]:
        entities = self._figures
        if not entities:
            return []
        places = np.array([e.place(time_s) for e in entities])
        heights = self._world.ground.height(places[:, 0], places[:, 1])
        pixels, depth = view.project(np.column_stack([places, heights + 0.3]))
        near = 8.0 * view.lens.fx_px / np.maximum(depth, 1.0)
        inside = (
            (depth > 1.0)
            & (pixels[:, 0] > -near)
            & (pixels[:, 0] < view.lens.width_px + near)
            & (pixels[:, 1] > -near)
            & (pixels[:, 1] < view.lens.height_px + near)
        )
        out = []
        for i in np.flatnonzero(inside):
            foot = np.array([places[i, 0], places[i, 1], heights[i]])
            sprite = _sprite(view, entities[i], foot, time_s)
            if sprite is not None:
                out.append((entities[i], sprite))
        return out

    def _draw_thermal(self, picture: NDArray[np.float32], entity: Entity, sprite: _Sprite) -> NDArray[np.float32]:
        hidden = _cover_mask(entity, sprite)
        window = _window(picture, sprite)
        local = float(np.median(window))
        alpha = sprite.alpha * (1.0 - hidden)
        window[...] = window * (1.0 - alpha) + alpha * (local + sprite.warmth)
        if entity.cover_fraction > 0:  # leaves over the thing, a little cooler than the ground
            leaves = hidden * np.float32(0.9)
            window[...] = window * (1.0 - leaves) + leaves * (local - 0.6)
        return hidden

    def _truth(
        self,
        entity: Entity,
        sprite: _Sprite,
        hidden: NDArray[np.float32],
        time_s: float,
        picture: NDArray[np.float32] | None,
    ) -> Seen:
        east, north = entity.place(time_s)
        total = max(sprite.whole, 1e-6)
        visible = float((sprite.alpha * (1.0 - hidden)).sum()) / total
        contrast = 0.0
        if picture is not None:
            weight = sprite.alpha * (1.0 - hidden)
            if weight.sum() > 0.2:
                contrast = float((sprite.warmth * weight).sum() / weight.sum())
        return Seen(entity, east, north, sprite.width_px, sprite.height_px, min(1.0, visible), contrast)

    def _canopy(self, view: View, thermal: NDArray[np.float32] | None, rgb: NDArray[np.float32] | None) -> None:
        """Draw the crowns of trees over everything; they lean away from the middle as tall things do."""
        trees = self._world.trees
        if not len(trees):
            return
        ground = self._world.ground.height(trees[:, 0], trees[:, 1])
        pixels, depth = view.project(np.column_stack([trees[:, 0], trees[:, 1], ground + trees[:, 3]]))
        radius = trees[:, 2] * view.lens.fx_px / np.maximum(depth, 1.0)
        for i in np.flatnonzero(depth > 1.0):
            x, y, r = pixels[i, 0], pixels[i, 1], radius[i]
            if -r < x < view.lens.width_px + r and -r < y < view.lens.height_px + r:
                self._crown(int(x), int(y), max(2, int(r)), int(i), thermal, rgb)

    def _crown(
        self, x: int, y: int, r: int, number: int, thermal: NDArray[np.float32] | None, rgb: NDArray[np.float32] | None
    ) -> None:
        lumps = np.random.default_rng([self._world.seed, 17, number])
        for _ in range(5):
            dx, dy = lumps.normal(0, r / 2.5, 2)
            size = max(2, int(r * lumps.uniform(0.35, 0.7)))
            shift = float(lumps.uniform(0.0, 1.0))
            at = (int(x + dx), int(y + dy))
            if thermal is not None:
                cv2.circle(thermal, at, size, float(self._look.coarse_c.mean()) + 0.2 + 0.6 * shift, -1, cv2.LINE_AA)
            if rgb is not None:
                cv2.circle(rgb, at, size, (30 + 20 * shift, 60 + 36 * shift, 38 + 20 * shift), -1, cv2.LINE_AA)

    def _noise(self, shape: tuple[int, ...], sigma: float) -> NDArray[np.float32]:
        """Fresh white noise to the eye: a random window, mirrored or not, of a field drawn once."""
        wanted = (shape[0] + _NOISE_ROOM_PX, shape[1] + _NOISE_ROOM_PX)
        if self._noise_field is None or self._noise_field.shape != wanted:
            self._noise_field = self._rng.standard_normal(wanted, dtype=np.float32) * np.float32(sigma)
        top, left = (int(n) for n in self._rng.integers(0, _NOISE_ROOM_PX, 2))
        window = self._noise_field[top : top + shape[0], left : left + shape[1]]
        return window[:: self._rng.choice([-1, 1]), :: self._rng.choice([-1, 1])]

    def _fixed_pattern(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if self._pattern is None or self._pattern.shape != shape:
            columns = self._rng.standard_normal((1, shape[1]), dtype=np.float32)
            pixels = self._rng.standard_normal(shape, dtype=np.float32)
            self._pattern = np.asarray(_FIXED_PATTERN_C * (0.7 * columns + 0.7 * pixels), dtype=np.float32)
        return self._pattern


def _blurred(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the optics leave of it."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _OPTICS_SIGMA_PX), dtype=np.float32)


def _window(picture: NDArray[Any], sprite: _Sprite) -> NDArray[Any]:
    height, width = sprite.alpha.shape
    return picture[sprite.top : sprite.top + height, sprite.left : sprite.left + width]


def _sprite(view: View, entity: Entity, foot: FloatArray, time_s: float) -> _Sprite | None:
    """Draw a thing's capsules, supersampled; None when nothing of it is in the picture."""
    parts = capsules(entity, time_s)
    ends = np.array([p for part in parts for p in (part.a, part.b)]) + foot
    pixels, depth = view.project(ends)
    if (depth <= 1.0).any():
        return None
    scale = view.lens.fx_px / depth
    radii = np.repeat([part.radius_m for part in parts], 2) * scale
    low = (pixels - radii[:, None]).min(axis=0)
    high = (pixels + radii[:, None]).max(axis=0)
    left, top = math.floor(low[0]) - _MARGIN_PX, math.floor(low[1]) - _MARGIN_PX
    width, height = math.ceil(high[0]) + _MARGIN_PX - left, math.ceil(high[1]) + _MARGIN_PX - top
    if width > 2000 or height > 2000:
        return None
    cover = np.zeros((height * _SUPER, width * _SUPER), dtype=np.float32)
    warmth = np.zeros_like(cover)
    order = np.argsort([min(part.a[2], part.b[2]) for part in parts])
    for k in order:
        # The centre of super-pixel i lies at (i + 0.5) / _SUPER - 0.5 pixels: keep whole pixels aligned.
        a = (pixels[2 * k] - (left, top) + 0.5) * _SUPER - 0.5
        b = (pixels[2 * k + 1] - (left, top) + 0.5) * _SUPER - 0.5
        thick = max(1.0, float((radii[2 * k] + radii[2 * k + 1]) * _SUPER))
        for canvas, value in ((cover, 1.0), (warmth, parts[int(k)].warmth_c)):
            ends_px = (round(float(a[0])), round(float(a[1]))), (round(float(b[0])), round(float(b[1])))
            cv2.line(canvas, ends_px[0], ends_px[1], value, round(thick))
            for end in ends_px:
                cv2.circle(canvas, end, round(thick / 2), value, -1)
    alpha = np.asarray(cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)
    added = cv2.resize(warmth, (width, height), interpolation=cv2.INTER_AREA)
    warm = np.where(alpha > 1e-3, added / np.maximum(alpha, 1e-3), 0.0).astype(np.float32)
    whole = float(alpha.sum())
    size = (float(high[0] - low[0]), float(high[1] - low[1]))
    x0, y0 = max(0, -left), max(0, -top)
    x1, y1 = min(width, view.lens.width_px - left), min(height, view.lens.height_px - top)
    if x1 <= x0 or y1 <= y0 or not alpha[y0:y1, x0:x1].any():
        return None
    return _Sprite(left + x0, top + y0, alpha[y0:y1, x0:x1], warm[y0:y1, x0:x1], size[0], size[1], whole)


def _cover_mask(entity: Entity, sprite: _Sprite) -> NDArray[np.float32]:
    """Which pixels of a thing the canopy hides: lumps that stay with the thing, over its cover fraction."""
    shape = sprite.alpha.shape
    if entity.cover_fraction <= 0.0:
        return np.zeros(shape, dtype=np.float32)
    rng = np.random.default_rng([entity.seed, 19])
    coarse = rng.standard_normal((5, 5)).astype(np.float32)
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    filled = field[sprite.alpha > 0.3]
    if filled.size == 0:
        return np.zeros(shape, dtype=np.float32)
    return np.asarray(field <= np.quantile(filled, entity.cover_fraction), dtype=np.float32)
