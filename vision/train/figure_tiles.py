# SPDX-License-Identifier: AGPL-3.0-or-later
"""Training tiles: dressed figures and things on photographed or laid ground, under one light, with YOLO labels.

A figure's size is drawn first, in pixels, and the scale of the tile follows from it: that is how the program shows
people to the network. Seen from straight above somebody upright is a third as long as somebody lying down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from .augment import Image
from .figure_body import Figures
from .figure_pose import Cloud, bend, draw_pose
from .figure_render import Sprite, figure_sprite, place, soft
from .figure_things import draw_thing
from .render_body import THINGS, thing
from .render_people import Ground, camera_look, crop, foliage
from .render_scene import GAMMA, View, blend, render
from .render_yard import samples, shade, yard

Floats = npt.NDArray[np.float32]
Box = tuple[int, float, float, float, float]

#: Pixels per metre of tiles. The program aims at 49 to 67 where it knows the height, at 27 to 36 in streams.
SCALE_MIN, SCALE_MAX = 13.0, 92.0
LONGEST_MIN, LONGEST_MAX = 10.0, 150.0
VISIBLE_MIN = 0.4
_GROUND_REFLECTANCE: Final = 0.2
_NO_SKY_DEG: Final = 50.0
_TRIES: Final = 60


@dataclass(frozen=True, slots=True)
class Props:
    """What tiles are made with: figures, and samples of laid ground with their weights (none without a sheet)."""

    figures: Figures
    textures: tuple[Image, ...]
    weights: tuple[float, ...]

    @staticmethod
    def load(figures: Path, textures: Path | None) -> Props:
        """Read both. UserError if either cannot be read."""
        if textures is None:
            return Props(Figures(figures), (), ())
        found, weights = samples(textures)
        return Props(Figures(figures), tuple(found), tuple(weights))


@dataclass(slots=True)
class _Scene:
    """One tile while it is painted: linear, red green blue."""

    canvas: Floats
    dark: Floats  # where the ground lies in shadow, 0..1
    view: View
    light: Floats
    ground: Floats
    darkness: float
    contact: float
    blur_px: float
    cover_with: Floats


def figure_tile(
    picture: Image | None, ground: Ground | None, props: Props, size: int, rng: np.random.Generator
) -> tuple[Image, list[Box]]:
    """One tile (blue green red) and its boxes (class 0, left, top, width, height in pixels); laid ground without a picture."""
    scene = _scene(picture, ground, props, size, rng)
    people = 0 if rng.random() < 0.15 else 1 + int(rng.poisson(1.8))
    todo = ["person"] * people + ["thing"] * int(rng.poisson(2.2))
    rng.shuffle(todo)
    boxes: list[Box] = []
    taken: list[tuple[float, float, float, float]] = []
    for what in todo:
        at = (rng.uniform(0.02, 0.98) * size, rng.uniform(0.02, 0.98) * size)
        if boxes and rng.random() < 0.4:  # people stand together, things beside them
            _, x, y, w, h = boxes[-1]
            at = (x + w / 2 + rng.normal(0, 1.0) * scene.view.scale, y + h / 2 + rng.normal(0, 1.0) * scene.view.scale)
        if what == "thing" and rng.random() < 0.3:
            _old_thing(scene, at, size, rng)
            continue
        view = _local(scene, at)
        cloud = _cloud(what, view.scale, props, rng)
        light = scene.light * np.float32(1.0 if view.direct > 0.12 else 1.25)
        sprite = figure_sprite(cloud, view, at, (size, size), light, scene.ground)
        if sprite is None:
            continue
        box = bounds(sprite.cover, sprite.left, sprite.top)
        if box is None or (what == "person" and not LONGEST_MIN <= max(box[2:]) <= LONGEST_MAX):
            continue
        if any(_covers(other, box) for other in taken):
            continue
        taken.append(box)
        _put(scene, sprite, view, what, box, boxes, size, rng)
    return _photographed(scene, rng), boxes


def _put(
    scene: _Scene,
    sprite: Sprite,
    view: View,
    what: str,
    box: tuple[float, float, float, float],
    boxes: list[Box],
    size: int,
    rng: np.random.Generator,
) -> None:
    hidden = None
    if rng.random() < 0.11:
        hidden = foliage(size, rng.uniform(0.06, 0.3) * view.scale, rng.uniform(0.15, 0.6), rng)
        fade = np.zeros((size, size), np.float32)
        centre = (int(box[0] + box[2] / 2), int(box[1] + box[3] / 2))
        cv2.circle(fade, centre, int(max(box[2:]) * 0.8 + 4), 1.0, -1)
        hidden = np.asarray(hidden * soft(fade, max(2.0, max(box[2:]) / 6)), np.float32)
    darkness = scene.darkness if view.direct > 0.12 else scene.darkness * 0.12
    if what == "thing" and rng.random() < 0.06:
        sprite.colour *= 0
        sprite.cover *= 0  # a shadow without what casts it
    visible = place(scene.canvas, sprite, darkness, scene.contact, scene.blur_px, hidden)
    if hidden is not None:
        scene.canvas += (scene.cover_with - scene.canvas) * hidden[..., None]
    if what == "person" and (label := labelled(box, visible, size)) is not None:
        boxes.append(label)


def labelled(box: tuple[float, float, float, float], visible: float, size: int) -> Box | None:
    """What of a figure's box lies in the tile, as a label; None where cover leaves less than VISIBLE_MIN of the figure."""
    if visible < VISIBLE_MIN:
        return None
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    return 0, left, top, min(box[0] + box[2], size) - left, min(box[1] + box[3], size) - top


def _cloud(what: str, scale: float, props: Props, rng: np.random.Generator) -> Cloud:
    fine = scale * _supersample(scale)
    count = int(np.clip(3.2 * fine**2, 5000, 40000))
    if what == "person":
        return bend(props.figures.draw(rng, count), draw_pose(rng), rng)
    return draw_thing(rng, props.figures.draw(rng, 6000) if rng.random() < 0.08 else None)


def _supersample(scale: float) -> int:
    return 3 if scale < 36 else 2


def _scene(picture: Image | None, ground: Ground | None, props: Props, size: int, rng: np.random.Generator) -> _Scene:
    scale = math.exp(rng.uniform(math.log(SCALE_MIN), math.log(SCALE_MAX)))
    direct = rng.uniform(0.5, 0.9) if rng.random() < 0.72 else rng.uniform(0.0, 0.25)
    darkness = rng.uniform(0.6, 0.93) * min(1.0, direct / 0.5)
    if picture is None or ground is None:
        elevation = rng.uniform(76, 90) if rng.random() < 0.6 else rng.uniform(38, 76)
        roll = rng.uniform(0, 360) if elevation > 70 else rng.normal(0, 8)
        flat = yard(rng, list(props.textures), list(props.weights), size, scale)
        dark = shade(rng, size, scale) * np.float32(min(1.0, direct / 0.5))
        blur = rng.uniform(0.0, 1.1)
        canvas = flat * (1 - np.float32(darkness) * dark)[..., None]
        canvas *= 1 + (dark * np.float32(0.25))[..., None] * np.array([-0.5, 0.0, 0.9], np.float32)
    else:
        elevation = rng.uniform(*ground.elevation_deg)
        roll = rng.uniform(0, 360) if ground.nadir else rng.normal(0, 8)
        tile, factor = _cut(picture, ground, scale, size, rng)
        canvas = np.asarray((tile[..., ::-1].astype(np.float32) / 255) ** GAMMA, np.float32)
        dark = _shaded_ground(canvas, scale)
        blur = max(rng.uniform(0.0, 0.9), 0.8 * (factor - 0.5))
        if rng.random() < 0.8:
            darkness = min(0.92, rng.uniform(*ground.shadow) + 0.1) * min(1.0, direct / 0.5)
    view = View(
        scale=scale, elevation_deg=elevation, roll_deg=roll, sun_elevation_deg=rng.uniform(22, 72),
        sun_azimuth_deg=rng.uniform(0, 360), direct=direct, supersample=_supersample(scale),
    )  # fmt: skip
    lit = canvas[dark < 0.4] if (dark < 0.4).any() else canvas.reshape(-1, 3)
    mean = np.median(lit, axis=0)
    level = float(np.clip(float(mean.mean()) / _GROUND_REFLECTANCE, 0.25, 1.7)) * math.exp(rng.normal(0, 0.25))
    light = level * np.exp(rng.normal(0, 0.05, 3))
    shift = (int(rng.integers(size)), int(rng.integers(size)))
    leaves = np.roll(canvas, shift, axis=(0, 1)) * np.float32(rng.uniform(0.6, 1.2))
    if rng.random() < 0.6:
        green = np.array([0.35, 0.6, 0.2], np.float32) * np.float32(rng.uniform(0.3, 1.4))
        leaves = leaves.mean(axis=2, keepdims=True) * green
        leaves = leaves * (0.4 + 1.2 * foliage(size, 0.08 * scale, 0.5, rng))[..., None]
    return _Scene(
        canvas, dark, view, light.astype(np.float32), np.asarray(mean, np.float32), darkness,
        float(rng.uniform(0.25, 0.6)), float(blur), np.asarray(leaves, np.float32),
    )  # fmt: skip


def _cut(picture: Image, ground: Ground, scale: float, size: int, rng: np.random.Generator) -> tuple[Image, float]:
    native = 100.0 / ground.gsd_cm
    sky = ground.elevation_deg[0] < _NO_SKY_DEG
    for _ in range(_TRIES):
        factor = float(np.clip(scale / native * math.exp(rng.normal(0, 0.35)), 0.12, 1.4))
        tile = crop(picture, factor, size, rng, sky=sky)
        if tile is not None:
            return tile, factor
    return np.asarray(crop(picture, 0.5, size, rng, sky=False), np.uint8), 0.5


def _shaded_ground(canvas: Floats, scale: float) -> Floats:
    """Where a photographed ground lies in shadow: far darker than the rest over the width of a person."""
    level = soft(np.asarray(canvas.mean(axis=2), np.float32), max(2.0, 0.25 * scale))
    bright = float(np.quantile(level, 0.6))
    return np.asarray(np.clip((0.45 - level / max(bright, 1e-3)) / 0.2, 0, 1), np.float32)


def _local(scene: _Scene, at: tuple[float, float]) -> View:
    """The view with the sun shut out where the ground is in shadow."""
    size = scene.dark.shape[0]
    inside = scene.dark[min(max(int(at[1]), 0), size - 1), min(max(int(at[0]), 0), size - 1)]
    if inside < 0.5:
        return scene.view
    v = scene.view
    return View(v.scale, v.elevation_deg, v.roll_deg, v.sun_elevation_deg, v.sun_azimuth_deg, 0.06, v.supersample)


def _old_thing(scene: _Scene, at: tuple[float, float], size: int, rng: np.random.Generator) -> None:
    body = thing(rng, THINGS[int(rng.integers(len(THINGS)))])
    view = _local(scene, at)
    layer = render(body, view, at, (size, size), scene.light.astype(np.float64))
    if layer is not None:
        blend(scene.canvas, layer, scene.darkness if view.direct > 0.12 else 0.05, scene.blur_px, None)


def bounds(cover: Floats, left: int, top: int) -> tuple[float, float, float, float] | None:
    """Left, top, width, height in pixels of what a sprite with its corner at ``left``, ``top`` covers; None for nothing."""
    ys, xs = np.nonzero(cover > 0.3)
    if not len(xs):
        return None
    return float(left + xs.min()), float(top + ys.min()), float(np.ptp(xs)) + 1, float(np.ptp(ys)) + 1


def _covers(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    x, y, w, h = box
    inner_w = min(x + w, other[0] + other[2]) - max(x, other[0])
    inner_h = min(y + h, other[1] + other[3]) - max(y, other[1])
    return inner_w > 0 and inner_h > 0 and inner_w * inner_h > 0.45 * min(w * h, other[2] * other[3])


def _photographed(scene: _Scene, rng: np.random.Generator) -> Image:
    """Exposure, contrast and focus of the whole, then what the camera does."""
    canvas = scene.canvas
    if rng.random() < 0.3:
        canvas = canvas * np.float32(math.exp(rng.normal(0.1, 0.35)))
    out = np.clip(canvas, 0, 1) ** np.float32(1 / GAMMA)
    if rng.random() < 0.4:  # the steeper middle of a camera's tone curve
        k = np.float32(rng.uniform(0.2, 0.9))
        out = out + k * out * (1 - out) * (2 * out - 1)
    if rng.random() < 0.4:
        out = soft(np.asarray(out, np.float32), rng.uniform(0.4, 1.5))
    if rng.random() < 0.12:  # the drone moves
        reach = int(rng.integers(3, 9))
        kernel = np.zeros((reach, reach), np.float32)
        angle = rng.uniform(0, math.pi)
        for t in np.linspace(-1, 1, 4 * reach):
            kernel[
                round((reach - 1) / 2 * (1 + t * math.sin(angle))), round((reach - 1) / 2 * (1 + t * math.cos(angle)))
            ] = 1
        out = np.asarray(cv2.filter2D(np.asarray(out, np.float32), -1, kernel / kernel.sum()), np.float32)
    return camera_look(np.asarray(np.clip(out[..., ::-1] * 255 + 0.5, 0, 255), np.uint8), rng)
