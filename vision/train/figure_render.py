# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clouds of points into pictures of real ground: a depth buffer, sun, sky and the ground's own light, cast shadows.

The camera is that of `render_scene` (orthographic over one tile). The sun's shadow on the figure itself comes from a
second depth buffer seen from the sun; where feet and bodies touch the ground the sky is shut out, and it is darker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from .figure_pose import Cloud
from .render_scene import View

Floats = npt.NDArray[np.float32]
_SUN: Final = np.array([1.06, 1.0, 0.90], np.float32)
_SKY: Final = np.array([0.86, 0.97, 1.16], np.float32)
_CELL: Final = 0.025  # of the depth buffer seen from the sun, metres


@dataclass(slots=True)
class Sprite:
    """A rendered figure: colour (linear, red green blue) times cover, cover, the sun's shadow, and shade at its feet."""

    colour: Floats
    cover: Floats
    shadow: Floats
    contact: Floats
    left: int
    top: int


def _splat(x: Floats, y: Floats, depth: Floats, width: int, height: int) -> npt.NDArray[np.int32]:
    """The nearest point's number per pixel, each point two pixels wide; -1 where nothing is."""
    order = np.argsort(-depth, kind="stable")
    col, row = np.floor(x[order] - 0.5).astype(np.int64), np.floor(y[order] - 0.5).astype(np.int64)
    best = np.full(height * width, -1, np.int32)
    near = np.full(height * width, np.inf, np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            c, r = col + dx, row + dy
            inside = (c >= 0) & (c < width) & (r >= 0) & (r < height)
            where, who = (r * width + c)[inside], order[inside].astype(np.int32)
            here = np.full(height * width, -1, np.int32)
            here[where] = who  # of equal places the last counts: the nearest
            seen = here >= 0
            closer = seen.copy()
            closer[seen] = depth[here[seen]] < near[seen]
            best[closer] = here[closer]
            near[closer] = depth[here[closer]]
    return best.reshape(height, width)


def figure_sprite(
    cloud: Cloud, view: View, at: tuple[float, float], size: tuple[int, int], light: Floats, ground: Floats
) -> Sprite | None:
    """Render a figure standing at a pixel of a tile of ``size``; None where it is outside.

    ``light`` turns reflectance into linear values of the picture (red, green, blue); ``ground`` is the ground's mean.
    """
    ss, axes, sun = view.supersample, view.axes().astype(np.float32), view.sun().astype(np.float32)
    step = view.scale * ss
    flat = cloud.points @ axes.T * step
    along = cloud.points - cloud.points[:, 2:3] / sun[2] * sun
    cast = along @ axes[:2].T * step
    low = np.minimum(flat[:, :2].min(axis=0), cast.min(axis=0))
    high = np.maximum(flat[:, :2].max(axis=0), cast.max(axis=0))
    pad = 3 + round(0.25 * view.scale)
    left, top = math.floor(at[0] + low[0] / ss) - pad, math.floor(at[1] + low[1] / ss) - pad
    right, bottom = math.ceil(at[0] + high[0] / ss) + pad, math.ceil(at[1] + high[1] / ss) + pad
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1] or max(right - left, bottom - top) > 600:
        return None
    width, height = (right - left) * ss, (bottom - top) * ss
    shift = np.array([(at[0] - left) * ss, (at[1] - top) * ss], np.float32)
    best = _splat(flat[:, 0] + shift[0], flat[:, 1] + shift[1], flat[:, 2], width, height)
    rows, cols = np.nonzero(best >= 0)
    who = best[rows, cols]
    colour = np.zeros((height, width, 3), np.float32)
    colour[rows, cols] = _shaded(cloud, who, view, axes, sun, light, ground)
    shape = (right - left, bottom - top)
    cover = _reduced((best >= 0).astype(np.float32), shape)
    return Sprite(
        _reduced(colour, shape),
        cover,
        _fallen(cast / ss, shape, (at[0] - left, at[1] - top), view.scale),
        _contact(cloud, axes, shape, (at[0] - left, at[1] - top), view.scale),
        left,
        top,
    )


def _reduced(layer: Floats, shape: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(layer, shape, interpolation=cv2.INTER_AREA), np.float32)


def _shaded(
    cloud: Cloud, who: npt.NDArray[np.int32], view: View, axes: Floats, sun: Floats, light: Floats, ground: Floats
) -> Floats:
    normal = cloud.normals[who]
    normal = np.where((normal @ axes[2] > 0)[:, None], -normal, normal)  # strands and hems have two sides
    height = cloud.points[who, 2]
    lit = np.clip(normal @ sun, 0, 1) * _sunlit(cloud, who, sun)
    open_sky = (0.5 + 0.5 * normal[:, 2]) * (0.62 + 0.38 * np.clip(height / 0.7, 0, 1))
    bounce = (0.5 - 0.5 * normal[:, 2]) * np.clip(1 - height / 2.5, 0.25, 1)
    direct, rest = np.float32(view.direct), np.float32(1 - view.direct)
    shade = (
        direct * lit[:, None] * _SUN
        + rest * (0.12 + 0.88 * open_sky)[:, None] * _SKY
        + bounce[:, None] * (ground / np.maximum(light, 1e-3)) * np.float32(0.8)
    )
    return np.asarray(cloud.colours[who] * light * shade, np.float32)


def _sunlit(cloud: Cloud, who: npt.NDArray[np.int32], sun: Floats) -> Floats:
    across = np.cross(sun, np.array([0.0, 1.0, 0.0] if abs(sun[1]) < 0.9 else [1.0, 0.0, 0.0], np.float32))
    across /= np.linalg.norm(across)
    plane = np.stack([across, np.cross(sun, across)])
    cells = np.floor(cloud.points @ plane.T / _CELL).astype(np.int64)
    cells -= cells.min(axis=0)
    wide = int(cells[:, 0].max()) + 1
    key = cells[:, 1] * wide + cells[:, 0]
    up = cloud.points @ sun
    nearest = np.full(int(key.max()) + 1, -np.inf, np.float32)
    np.maximum.at(nearest, key, up)
    return np.asarray(np.clip(1 - (nearest[key[who]] - up[who] - 0.05) / 0.04, 0, 1), np.float32)


def _fallen(cast: Floats, shape: tuple[int, int], at: tuple[float, float], scale: float) -> Floats:
    """The cast shadow at the tile's own resolution, its holes between points closed."""
    fine = 2
    mask = np.zeros((shape[1] * fine, shape[0] * fine), np.float32)
    col = np.floor((cast[:, 0] + at[0]) * fine).astype(np.int64)
    row = np.floor((cast[:, 1] + at[1]) * fine).astype(np.int64)
    inside = (col >= 0) & (row >= 0) & (col < mask.shape[1]) & (row < mask.shape[0])
    mask[row[inside], col[inside]] = 1.0
    reach = 2 * max(1, round(0.03 * scale * fine)) + 1
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8)), np.float32)
    return _reduced(mask, shape)


def _contact(cloud: Cloud, axes: Floats, shape: tuple[int, int], at: tuple[float, float], scale: float) -> Floats:
    """Where the sky is shut out: under what is near the ground, fading over about 15 cm."""
    near = cloud.points[cloud.points[:, 2] < 0.3]
    weight = (1 - near[:, 2] / 0.3).astype(np.float32)
    foot = np.concatenate([near[:, :2], np.zeros((len(near), 1), np.float32)], axis=1) @ axes[:2].T * scale
    col, row = np.floor(foot[:, 0] + at[0]).astype(int), np.floor(foot[:, 1] + at[1]).astype(int)
    out = np.zeros((shape[1], shape[0]), np.float32)
    inside = (col >= 0) & (row >= 0) & (col < shape[0]) & (row < shape[1])
    np.maximum.at(out, (row[inside], col[inside]), weight[inside])
    return np.asarray(cv2.GaussianBlur(out, (0, 0), max(0.5, 0.07 * scale)), np.float32)


def place(
    canvas: Floats, sprite: Sprite, darkness: float, contact: float, blur_px: float, hidden: Floats | None
) -> float:
    """Blend a sprite into a linear picture (red, green, blue) in place; return the share that stays visible."""
    height, width = canvas.shape[:2]
    x0, y0 = max(sprite.left, 0), max(sprite.top, 0)
    x1, y1 = min(sprite.left + sprite.cover.shape[1], width), min(sprite.top + sprite.cover.shape[0], height)
    total = float(sprite.cover.sum())
    if x0 >= x1 or y0 >= y1 or total <= 0:
        return 0.0
    part = np.s_[y0 - sprite.top : y1 - sprite.top, x0 - sprite.left : x1 - sprite.left]
    cover, colour = sprite.cover, sprite.colour
    if blur_px > 0.2:
        cover, colour = soft(cover, blur_px), soft(colour, blur_px)
    dark = 1 - darkness * soft(sprite.shadow, max(blur_px, 0.4) * 1.3)[part]
    dark *= 1 - contact * sprite.contact[part]
    here = canvas[y0:y1, x0:x1]
    clear = np.ones(here.shape[:2], np.float32) if hidden is None else 1 - hidden[y0:y1, x0:x1]
    here *= 1 - (clear * (1 - dark))[..., None]
    here *= 1 - (cover[part] * clear)[..., None]
    here += colour[part] * clear[..., None]
    return float((sprite.cover[part] * clear).sum()) / total


def soft(layer: Floats, sigma_px: float) -> Floats:
    """Gaussian blur."""
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma_px), np.float32)
