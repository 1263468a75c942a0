# SPDX-License-Identifier: AGPL-3.0-or-later
"""Put bodies into a picture of real ground: projection, shading with self-shadow, cast shadow, foliage, camera look.

The camera is orthographic over one tile (people are small and far away), looking down at ``elevation_deg`` (90 =
nadir) and rolled by ``roll_deg`` in the picture. One sun stands over the whole tile. Light is added in linear
values and turned back by a gamma of 2.2; a mean ground reflectance of .2 ties the exposure to the background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .augment import Image
from .render_body import Body, Floats

GAMMA = 2.2
GROUND_REFLECTANCE = 0.2


@dataclass(frozen=True)
class View:
    """Camera and sun over one tile; ``scale`` is pixels per metre."""

    scale: float
    elevation_deg: float
    roll_deg: float
    sun_elevation_deg: float
    sun_azimuth_deg: float
    direct: float
    supersample: int = 3

    def axes(self) -> Floats:
        """Rows: picture right, picture down, away from the camera (unit vectors in metres, z up)."""
        e, roll = math.radians(self.elevation_deg), math.radians(self.roll_deg)
        right, up = np.array([1.0, 0, 0]), np.array([0, math.sin(e), math.cos(e)])
        away = np.array([0, math.cos(e), -math.sin(e)])
        x = math.cos(roll) * right + math.sin(roll) * up
        y = math.sin(roll) * right - math.cos(roll) * up
        return np.stack([x, y, away])

    def sun(self) -> Floats:
        """Unit vector towards the sun."""
        e, a = math.radians(self.sun_elevation_deg), math.radians(self.sun_azimuth_deg)
        return np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])


@dataclass
class Layer:
    """A rendered body: colour (linear), cover (0..1), shadow (0..1); ``left``/``top`` is the place of its corner."""

    colour: npt.NDArray[np.float32]
    cover: npt.NDArray[np.float32]
    shadow: npt.NDArray[np.float32]
    left: int
    top: int


def _depths(
    centres: Floats, radii: Floats, width: int, height: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Nearest sphere per pixel; all values in pixels; rows of centres are x, y, depth."""
    near = np.full((height, width), np.inf, dtype=np.float32)
    which = np.full((height, width), -1, dtype=np.int32)
    for index, ((x, y, z), r) in enumerate(zip(centres.tolist(), radii.tolist(), strict=True)):
        x0, x1 = max(int(x - r), 0), min(int(x + r) + 2, width)
        y0, y1 = max(int(y - r), 0), min(int(y + r) + 2, height)
        if x0 >= x1 or y0 >= y1:
            continue
        dx = np.arange(x0, x1, dtype=np.float32) + 0.5 - x
        dy = np.arange(y0, y1, dtype=np.float32) + 0.5 - y
        rest = r * r - dx[None, :] ** 2 - dy[:, None] ** 2
        depth = z - np.sqrt(np.maximum(rest, 0))
        window = near[y0:y1, x0:x1]
        closer = (rest > 0) & (depth < window)
        window[closer] = depth[closer]
        which[y0:y1, x0:x1][closer] = index
    return near, which


def render(body: Body, view: View, at: tuple[float, float], size: tuple[int, int], light: Floats) -> Layer | None:
    """Render a body standing at a pixel of a tile of ``size`` (width, height); None where it is outside.

    ``light`` scales reflectance to linear picture values (exposure and colour cast of the background).
    """
    ss = view.supersample
    axes, sun = view.axes(), view.sun()
    flat = body.centres @ axes.T * view.scale * ss
    radii = body.radii * view.scale * ss
    along = body.centres - body.centres[:, 2:3] / sun[2] * sun
    cast = along @ axes.T * view.scale * ss
    stretch = radii / sun[2]
    low = np.minimum((flat[:, :2] - radii[:, None]).min(axis=0), (cast[:, :2] - stretch[:, None]).min(axis=0))
    high = np.maximum((flat[:, :2] + radii[:, None]).max(axis=0), (cast[:, :2] + stretch[:, None]).max(axis=0))
    left, top = math.floor(at[0] + low[0] / ss) - 2, math.floor(at[1] + low[1] / ss) - 2
    right, bottom = math.ceil(at[0] + high[0] / ss) + 3, math.ceil(at[1] + high[1] / ss) + 3
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1] or max(right - left, bottom - top) > 500:
        return None
    width, height = (right - left) * ss, (bottom - top) * ss
    shift = np.array([(at[0] - left) * ss, (at[1] - top) * ss, 0.0])
    flat = flat + shift
    near, which = _depths(flat, radii, width, height)
    seen = which >= 0
    rows, cols = np.nonzero(seen)
    index = which[rows, cols]
    point = np.stack([cols + 0.5, rows + 0.5, near[rows, cols]], axis=1)
    normal = (point - flat[index]) / radii[index, None]
    lit = np.clip(normal @ (axes @ sun), 0, 1) * _unshadowed((point - shift) @ axes, body, view, sun)
    sky = 0.5 + 0.5 * (normal @ (axes @ np.array([0, 0, 1.0])))
    shade = view.direct * lit + (1 - view.direct) * (0.25 + 0.75 * sky)
    colour = np.zeros((height, width, 3), dtype=np.float32)
    colour[rows, cols] = body.colours[index] * light * shade[:, None]
    shadow = _ground_shadow(along, body.radii, view, axes, sun, shift, (width, height))
    shape = (right - left, bottom - top)
    cover = np.asarray(cv2.resize(seen.astype(np.float32), shape, interpolation=cv2.INTER_AREA), np.float32)
    small = np.asarray(cv2.resize(colour, shape, interpolation=cv2.INTER_AREA), np.float32)
    colour = np.asarray(small / np.maximum(cover, 1e-3)[..., None], np.float32)
    shadow = np.asarray(cv2.resize(shadow, shape, interpolation=cv2.INTER_AREA), np.float32)
    return Layer(colour, cover, shadow, left, top)


def _unshadowed(points: Floats, body: Body, view: View, sun: Floats) -> Floats:
    """1 where the sun reaches a point of the surface, else 0 (a depth picture from the sun's side)."""
    scale = view.scale * view.supersample
    across = np.cross(sun, np.array([0.0, 1.0, 0.0]) if abs(sun[1]) < 0.9 else np.array([1.0, 0, 0]))
    across /= np.linalg.norm(across)
    basis = np.stack([across, np.cross(sun, across), -sun])
    spheres = body.centres @ basis.T * scale
    radii = body.radii * scale
    low = (spheres[:, :2] - radii[:, None]).min(axis=0) - 1
    extent = np.ceil((spheres[:, :2] + radii[:, None]).max(axis=0) - low).astype(int) + 2
    spheres[:, :2] -= low
    near, _ = _depths(spheres, radii, int(extent[0]), int(extent[1]))
    seen = points @ basis.T
    x = np.clip(seen[:, 0] - low[0], 0, extent[0] - 1).astype(int)
    y = np.clip(seen[:, 1] - low[1], 0, extent[1] - 1).astype(int)
    return np.asarray(seen[:, 2] <= near[y, x] + 0.06 * scale, dtype=np.float64)


def _ground_shadow(
    along: Floats, radii: Floats, view: View, axes: Floats, sun: Floats, shift: Floats, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Cover of the ground by the shadow: each sphere's is an ellipse, 1 / sin(sun elevation) longer along the sun."""
    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    angles = np.linspace(0, 2 * math.pi, 14, endpoint=False)
    direction = sun[:2] / max(float(np.linalg.norm(sun[:2])), 1e-9)
    long_axis, short_axis = np.append(direction, 0) / sun[2], np.array([-direction[1], direction[0], 0])
    ring = np.cos(angles)[:, None] * long_axis + np.sin(angles)[:, None] * short_axis
    for centre, radius in zip(along, radii, strict=True):
        outline = (centre + ring * radius) @ axes.T * view.scale * view.supersample + shift
        cv2.fillConvexPoly(mask, np.round(outline[:, :2]).astype(np.int32), 1)
    return mask.astype(np.float32)


def exposure(background: Image, rng: np.random.Generator) -> Floats:
    """Light (blue, green, red) that turns reflectance into linear values, from the background's mean brightness."""
    linear = (background[::4, ::4].astype(np.float64) / 255.0) ** GAMMA
    mean = float(np.median(linear.mean(axis=2)))
    level = float(np.clip(mean / GROUND_REFLECTANCE, 0.15, 1.6)) * math.exp(rng.normal(0, 0.2))
    return np.asarray(level * np.exp(rng.normal(0, 0.05, 3)), dtype=np.float64)


def blend(
    canvas: npt.NDArray[np.float32],
    layer: Layer,
    darkness: float,
    blur_px: float,
    hidden: npt.NDArray[np.float32] | None,
) -> float:
    """Blend a layer into a linear picture in place; return the share of the body that stays visible.

    ``hidden`` (0..1, the canvas' size) is what foliage covers: there the background stays as it was.
    """
    height, width = canvas.shape[:2]
    x0, y0 = max(layer.left, 0), max(layer.top, 0)
    x1, y1 = min(layer.left + layer.cover.shape[1], width), min(layer.top + layer.cover.shape[0], height)
    total = float(layer.cover.sum())
    if x0 >= x1 or y0 >= y1 or total <= 0:
        return 0.0
    part = np.s_[y0 - layer.top : y1 - layer.top, x0 - layer.left : x1 - layer.left]
    cover, shadow, colour = layer.cover, layer.shadow, layer.colour * layer.cover[..., None]
    if blur_px > 0.2:
        cover, colour = _soft(cover, blur_px), _soft(colour, blur_px)
    shadow = _soft(shadow, max(blur_px, 0.3) * 1.5)
    place = canvas[y0:y1, x0:x1]
    open_air = np.ones(place.shape[:2], np.float32) if hidden is None else 1 - hidden[y0:y1, x0:x1]
    cover, colour = cover[part] * open_air, colour[part] * open_air[..., None]
    place *= 1 - darkness * (shadow[part] * open_air)[..., None]
    place *= 1 - cover[..., None]
    place += colour
    return float((layer.cover[part] * open_air).sum()) / total


def _soft(layer: npt.NDArray[np.float32], sigma_px: float) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma_px), dtype=np.float32)
