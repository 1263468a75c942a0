# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rendered cold wilderness: a share of the pictures a thermal detector learns from, and all that its judge does.

Real thermal training pictures from the air show towns. What a search flies over is cold ground with texture of every
scale, bodies of every posture on it, and what else is a little warm there: stones that the day has left so, trunks,
water, game. Rendered here from parameters, drawn wider than any one place and camera would give them: who learns from
it shall not learn a renderer by heart. Bodies are those of `render_body`; what a camera makes of it is `cold_sensor`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from .cold_sensor import grey_levels, sensed
from .labels import Boxes
from .render_body import POSE_WEIGHTS, POSES, Body, person, thing

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

_SUPER = 3  # bodies are drawn so much larger, and reduced: edges as a sensor's pixels see them
_PX_PER_M = (3.5, 34.0)  # people of 6 to 60 pixels
_LEAST_PX = 5.0  # smaller is not labelled
_LEAST_SEEN = 0.3  # of a body
_PERSON = 0
_THINGS = ("rock", "stones", "log", "bush", "bag", "pole", "board")


@dataclass(frozen=True, slots=True)
class Sprite:
    """A body as the camera sees it: cover 0..1 and relative warmth, both (h, w)."""

    cover: Floats
    warmth: Floats


@dataclass(slots=True)
class ColdScene:
    """Warmth (height, width) in standard deviations of the ground's texture, and boxes in pixels of what lives in it.

    unsure: people of whom too little shows to call them seen or missed.
    """

    picture: Floats
    px_per_m: float
    people: list[Box] = field(default_factory=list)
    unsure: list[Box] = field(default_factory=list)
    animals: list[Box] = field(default_factory=list)


def ground(rng: np.random.Generator, width: int, height: int) -> Floats:
    """Cold ground with texture of standard deviation 1, and now and then what lies on it: snow, water, wood, gravel."""
    out = np.zeros((height, width), np.float32)
    roughness = rng.uniform(0.3, 1.2)
    for cell in (160, 60, 24, 9, 4):
        out += np.float32((cell / 24) ** (roughness - 0.5) * rng.uniform(0.4, 1.0)) * _noise(rng, cell, width, height)
    out /= float(out.std()) + 1e-6
    if rng.random() < 0.3:  # a slope, or a lens that is warmer on one side
        across = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(rng.normal(0, 1.5))
        out += across + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(rng.normal(0, 1.5))
    if rng.random() < 0.25:  # thin snow that lies in places
        lies = _noise(rng, int(rng.integers(8, 90)), width, height) > rng.normal(0, 0.8)
        out += cv2.GaussianBlur(lies.astype(np.float32), (0, 0), rng.uniform(0.5, 3.0)) * np.float32(rng.uniform(-3, 3))
    if rng.random() < 0.45:
        for _ in range(int(rng.integers(1, 4))):  # streams, paths, tracks
            _line(rng, out, 9, rng.uniform(-4, 2.5), int(rng.integers(1, 40)))
    if rng.random() < 0.4:
        _lumps(rng, out)
    if rng.random() < 0.3:  # trunks, lying or standing aslant
        for _ in range(int(rng.integers(3, 30))):
            at, turn, reach = rng.uniform(0, (width, height)), rng.uniform(0, math.pi), rng.uniform(8, 130)
            end = at + reach * np.array([math.cos(turn), math.sin(turn)])
            _stroke(out, np.stack([at, end]), rng.uniform(-1.5, 3.0), int(rng.integers(1, 7)))
    if rng.random() < 0.2:  # gravel, tussocks, droppings
        warm, most = rng.uniform(0.3, 3.0), int(rng.integers(1, 4))
        for x, y in rng.uniform(0, (width, height), (int(rng.integers(30, 500)), 2)):
            cv2.circle(out, (int(x), int(y)), int(rng.integers(0, most)), warm * rng.normal(0.5, 0.5), -1)
    return out


def _noise(rng: np.random.Generator, cell: int, width: int, height: int) -> Floats:
    grid = rng.standard_normal((height // cell + 3, width // cell + 3), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _line(rng: np.random.Generator, out: Floats, corners: int, warm: float, thickness: int) -> None:
    height, width = out.shape
    points = np.stack([np.linspace(-20, width + 20, corners), rng.uniform(0, height) + rng.normal(0, 40, corners)], 1)
    if rng.random() < 0.5:
        points = points[:, ::-1] * (width / height, height / width)
    _stroke(out, points, warm, thickness)


def _stroke(out: Floats, points: npt.NDArray[np.float64], warm: float, thickness: int) -> None:
    band = np.zeros(out.shape, np.uint8)
    cv2.polylines(band, [points.astype(np.int32)], False, 255, thickness, cv2.LINE_AA)
    out += band * np.float32(warm / 255)


def _lumps(rng: np.random.Generator, out: Floats) -> None:
    """Crowns of trees and bushes, a little warmer or colder than the ground."""
    height, width = out.shape
    warm = rng.uniform(-2.0, 3.0)
    for _ in range(int(rng.integers(5, 60))):
        at, radius = rng.uniform(0, (width, height)), rng.uniform(4, 45)
        for x, y in rng.normal(at, radius / 3, (6, 2)):
            size = max(1, int(radius * rng.uniform(0.2, 0.7)))
            cv2.circle(out, (int(x), int(y)), size, warm + rng.normal(0, 0.6), -1)


def sprite(rng: np.random.Generator, body: Body, px_per_m: float) -> Sprite:
    """A body seen from above or aslant, its parts unevenly warm: bare, clothed, or wrapped up so that little shows."""
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
    coldest = rng.choice([0.25, 0.45, 0.8], p=[0.25, 0.5, 0.25])
    of_part = rng.uniform(coldest, 1.15, int(part.max()) + 1)
    cover = np.zeros((height * _SUPER, width * _SUPER), np.float32)
    warmth = np.zeros_like(cover)
    for i in np.argsort(depth):
        at = (round(x[i] * scale - left) + _SUPER, round(-y[i] * scale - top) + _SUPER)
        radius = max(1, round(float(radii[i])))
        cv2.circle(cover, at, radius, 1.0, -1)
        cv2.circle(warmth, at, radius, float(of_part[part[i]]), -1)
    return _reduced(cover, warmth)


def stone(rng: np.random.Generator, size_px: float) -> Sprite:
    """A boulder of any outline, warmer on the side where the sun stood, its facets uneven."""
    side = (math.ceil(size_px) + 2) * _SUPER
    count = int(rng.integers(5, 13))
    turn = np.sort(rng.uniform(0, 2 * math.pi, count))
    reach = rng.uniform(0.45, 1.0, count) * size_px * _SUPER / 2
    flat, lie = rng.uniform(0.45, 1.0), rng.uniform(0, math.pi)
    x, y = reach * np.cos(turn), reach * np.sin(turn) * flat
    outline = np.stack([x * math.cos(lie) - y * math.sin(lie), x * math.sin(lie) + y * math.cos(lie)], 1) + side / 2
    cover = np.zeros((side, side), np.float32)
    cv2.fillPoly(cover, [outline.astype(np.int32)], 1.0)
    sun, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.6)
    row, column = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    facets = _noise(rng, max(2, side // int(rng.integers(2, 6))), side, side) * np.float32(rng.uniform(0, 0.4))
    warmth = cover * (1 + strength * (column * math.cos(sun) + row * math.sin(sun)) + facets).astype(np.float32)
    return _reduced(cover, np.maximum(warmth, 0))


def _reduced(cover: Floats, warmth: Floats) -> Sprite:
    size = (cover.shape[1] // _SUPER, cover.shape[0] // _SUPER)
    small = (np.asarray(cv2.resize(a, size, interpolation=cv2.INTER_AREA), np.float32) for a in (cover, warmth))
    return Sprite(*small)


def hide(rng: np.random.Generator, seen: Sprite, share: float) -> Sprite:
    """Take away a share of a body, as branches, snow and stones do: in lumps, or all beyond an edge; or veil it there."""
    shape = seen.cover.shape
    if rng.random() < 0.7:
        cells = int(rng.integers(3, 9))
        lumps = rng.standard_normal((cells, cells), dtype=np.float32)
        over = np.asarray(cv2.resize(lumps, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    else:
        turn = rng.uniform(0, 2 * math.pi)
        row, column = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
        over = (row * math.sin(turn) + column * math.cos(turn)).astype(np.float32)
    away = over <= np.quantile(over[seen.cover > 0.3], share)
    left = np.where(away, np.float32(rng.uniform(0.2, 0.6) if rng.random() < 0.3 else 0.0), np.float32(1.0))
    return Sprite(seen.cover * left, seen.warmth * left)


def _put(picture: Floats, seen: Sprite, contrast: float, at: tuple[int, int]) -> tuple[Box, float] | None:
    """Add a body to the picture with its corner at (x, y); the box of what shows of it and which share that is."""
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
    if len(xs) == 0:
        return None
    box = float(xs.min() + x0), float(ys.min() + y0), float(xs.max() + 1 + x0), float(ys.max() + 1 + y0)
    return box, float(cover.sum()) / max(float(seen.cover.sum()), 1.0)


def cold_scene(rng: np.random.Generator, width: int, height: int) -> ColdScene:
    """One scene before any camera saw it; a quarter has nobody in it."""
    low, high = (math.log(v) for v in _PX_PER_M)
    made = ColdScene(ground(rng, width, height), math.exp(rng.uniform(low, high)))
    warm = math.exp(rng.uniform(math.log(5.0), math.log(60.0)))  # people over ground, in units of its texture
    count = 0 if rng.random() < 0.25 else int(rng.integers(1, 7))

    def put(seen: Sprite, contrast: float) -> tuple[Box, float] | None:
        rows, columns = seen.cover.shape
        at = int(rng.integers(-columns // 3, width - columns // 2)), int(rng.integers(-rows // 3, height - rows // 2))
        return _put(made.picture, seen, contrast, at)

    _put_things(rng, made, warm, put)
    if rng.random() < 0.12:
        for _ in range(int(rng.integers(1, 5))):
            where = put(sprite(rng, _animal(rng), made.px_per_m), warm * rng.uniform(0.5, 1.2))
            if where is not None:
                made.animals.append(where[0])
    for _ in range(count):
        seen = sprite(rng, person(rng, str(rng.choice(POSES, p=POSE_WEIGHTS))), made.px_per_m)
        whole = float(seen.cover.sum())
        if rng.random() < 0.4 and (seen.cover > 0.3).any():
            seen = hide(rng, seen, rng.uniform(0.1, 0.65))
        where = put(seen, warm * rng.uniform(0.6, 1.3))
        if where is None:
            continue
        box, share = where
        shows = share * float(seen.cover.sum()) / max(whole, 1.0)
        sure = shows >= _LEAST_SEEN and max(box[2] - box[0], box[3] - box[1]) >= _LEAST_PX
        (made.people if sure else made.unsure).append(box)
    return made


def _put_things(rng: np.random.Generator, made: ColdScene, warm: float, put: Callable[[Sprite, float], object]) -> None:
    """Stones and other dead things: less warm than a body, but in a scene without one nothing says so."""
    hottest = warm * rng.uniform(0.05, 0.65) if rng.random() < 0.7 else rng.uniform(0.5, 6.0)
    hottest = min(hottest, 0.7 * warm)
    draw = rng.random()
    if draw < 0.65:
        most = math.exp(rng.uniform(math.log(0.3), math.log(3.0)))  # metres
        for _ in range(int(rng.integers(1, 6)) if draw < 0.4 else int(rng.integers(6, 40))):
            size = rng.uniform(0.15, 1.0) * most * made.px_per_m
            put(stone(rng, max(size, 2.0)), hottest * rng.uniform(0.2, 1.0))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 8))):
            kind = _THINGS[int(rng.integers(len(_THINGS)))]
            put(sprite(rng, thing(rng, kind), made.px_per_m), hottest * rng.uniform(-0.5, 1.0))


def _animal(rng: np.random.Generator) -> Body:
    body = thing(rng, "hoofed" if rng.random() < 0.7 else "dog")
    if rng.random() < 0.4:  # lies, its legs under it
        body.centres = body.centres * (1.0, 1.0, 0.4)
    return body


def cold_picture(rng: np.random.Generator, width: int, height: int) -> tuple[Image, Boxes]:
    """One rendered picture (height, width) of 8 bits and the boxes of its people, class 0."""
    made = cold_scene(rng, width, height)
    rows = [(_PERSON, *box) for box in made.people]
    return grey_levels(rng, sensed(rng, made.picture)), np.array(rows, dtype=np.float32).reshape(-1, 5)
