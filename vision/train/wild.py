# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rendered wild country, by another renderer than `cold`: through a real camera's geometry, in degrees, under trees.

A detector that learns from one renderer alone learns it by heart, and what it then knows of bodies holds for no other.
Here nothing is drawn as it is there: ground is warmed by relief and sun (`wild_land`), people and game are capsules in
perspective or the plain spots that far-off people are (`wild_figures`), boughs grow over them (`wild_trees`), and
another camera looks (`wild_sensor`). Whom boughs and haze leave too little of is labelled neither way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from .labels import Boxes
from .wild_eye import Eye, eye
from .wild_figures import GAME, Patch, beast, patch, person, plain
from .wild_land import View, land, stones
from .wild_sensor import developed, exposed
from .wild_trees import Canopy, grow, plant

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

_PX_PER_M = (3.0, 34.0)
_LEAST_PX = 4.5  # smaller is not labelled
_LEAST_SEEN = 0.3  # of a body
_LEAST_CONTRAST = 2.5  # of its warm parts, in standard deviations of the ground round it
_LEAST_DEGREES = 0.8
_LEAST_GREY = 6.0
_LEAST_SIGMAS = 1.3
_GENTLE_SHARE = 0.6
_FAR_OFF_PX = 13.0  # a standing man's height: most below that look plain
_PERSON, _VEHICLE = 0, 1


@dataclass(slots=True)
class Country:
    """A scene before any camera saw it: degrees over the air (h, w), and boxes in pixels of what is in it."""

    eye: Eye
    degrees: Floats
    people: list[Box] = field(default_factory=list)
    unsure: list[Box] = field(default_factory=list)
    animals: list[Box] = field(default_factory=list)
    vehicles: list[Box] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Body:
    what: str
    box: Box
    cover: Floats
    left: int
    top: int
    contrast: float


def country(rng: np.random.Generator, width: int, height: int) -> Country:
    """One scene; a fifth has nobody in it."""
    looks = eye(rng, width, height, _PX_PER_M)
    view = View(looks)
    ground = land(rng, view)
    made = Country(looks, ground.degrees)
    skin = math.exp(rng.uniform(math.log(4.5), math.log(28.0)))  # bare skin over the air, degrees
    if rng.random() < 0.5:
        stones(rng, looks, made.degrees, min(rng.uniform(0.2, 6.0), 0.55 * skin))
    if rng.random() < 0.1:
        _roofs(rng, made)
    bodies = [_vehicle(rng, made, skin) for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.06 else 0)]
    if rng.random() < 0.4:
        _litter(rng, made, 0.5 * skin)
    if rng.random() < 0.18:
        kind = str(rng.choice(GAME))
        herd = rng.uniform(0, (width, height))
        for _ in range(int(rng.integers(1, 7))):
            at = looks.under(*np.clip(rng.normal(herd, 90), 4, (width - 4, height - 4)))
            bodies.append(_put(made, patch(rng, looks, beast(rng, kind), at), skin * rng.uniform(0.4, 1.0), "animal"))
    crowd = rng.uniform(0, (width, height))
    spots: list[tuple[float, float]] = []
    for _ in range(0 if rng.random() < 0.2 else int(rng.integers(1, 8))):
        near = rng.random() < 0.3
        u, v = rng.normal(crowd, 60) if near else rng.uniform((-4, -4), (width + 4, height + 4))
        spots.append((float(u), float(v)))
        bodies.append(_person(rng, made, spots[-1], skin))
    canopy = Canopy(looks)
    light = rng.uniform(-2.0, 3.5)
    plant(rng, canopy, light)
    for u, v in spots:
        if rng.random() < 0.25:  # a tree just beside
            tall = min(rng.uniform(1.0, 9.0), 0.5 * looks.height_m)
            at = looks.under(
                u + rng.normal(0, 0.25) * tall * looks.px_per_m, v + rng.uniform(0, 0.3) * tall * looks.px_per_m
            )
            grow(rng, canopy, int(rng.integers(3)), at, tall, light)
    mask = canopy.mask
    thick = np.float32(rng.uniform(0.55, 1.0))
    if mask.any():
        if rng.random() < 0.5:  # lit from one side
            slope = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(rng.normal(0, 1))
            canopy.degrees[mask] += np.broadcast_to(slope, mask.shape)[mask]
        made.degrees = np.where(mask, made.degrees * (1 - thick) + canopy.degrees * thick, made.degrees)
    for body in bodies:
        _label(made, body, mask)
    return made


def _person(rng: np.random.Generator, made: Country, at: tuple[float, float], skin: float) -> _Body | None:
    looks = made.eye
    place = looks.under(*at)
    _, depth = looks.project(np.array([[*place, 0.0]]))
    scale = looks.focal_px / float(depth[0])
    warmth = skin * rng.uniform(0.6, 1.15)
    far_off = 1.75 * scale < _FAR_OFF_PX
    if rng.random() < (0.55 if far_off else 0.15):
        return _put(made, plain(rng, max(scale * rng.uniform(0.55, 1.9), _LEAST_PX), at), warmth * 0.8, "person")
    parts, posture = person(rng)
    if posture in ("on the back", "on the side", "sitting", "bag") and rng.random() < 0.3:
        _imprint(rng, made, at, scale)
    return _put(made, patch(rng, looks, parts, place), warmth, "person")


def _imprint(rng: np.random.Generator, made: Country, at: tuple[float, float], scale: float) -> None:
    """The warmth that somebody left where he lay before."""
    shape = plain(
        rng, scale * rng.uniform(0.6, 1.6), (at[0] + rng.normal(0, 2) * scale, at[1] + rng.normal(0, 2) * scale)
    )
    window = _window(made.degrees, shape)
    if window is not None:
        part, inner = window
        made.degrees[part] += shape.cover[inner] * np.float32(rng.uniform(0.1, 0.8))


def _window(picture: Floats, shape: Patch) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Which part of the picture a patch covers, and which part of the patch that is; None if it is outside."""
    height, width = shape.cover.shape
    x0, y0 = max(0, shape.left), max(0, shape.top)
    x1, y1 = min(picture.shape[1], shape.left + width), min(picture.shape[0], shape.top + height)
    if x1 <= x0 or y1 <= y0:
        return None
    inner = np.s_[y0 - shape.top : y1 - shape.top, x0 - shape.left : x1 - shape.left]
    return np.s_[y0:y1, x0:x1], inner


def _put(made: Country, shape: Patch, warmth: float, what: str) -> _Body | None:
    window = _window(made.degrees, shape)
    if window is None:
        return None
    part, inner = window
    cover, warm = shape.cover[inner], shape.warmth[inner]
    if not (cover > 0.25).any():
        return None
    grow_by = 6
    y0, x0 = max(0, part[0].start - grow_by), max(0, part[1].start - grow_by)
    round_it = made.degrees[y0 : part[0].stop + grow_by, x0 : part[1].stop + grow_by]
    ground, uneven = float(np.median(round_it)), float(round_it.std())
    made.degrees[part] = made.degrees[part] * (1 - cover) + warm * np.float32(warmth)
    ys, xs = np.nonzero(cover > 0.25)
    left, top = part[1].start, part[0].start
    box = (float(left + xs.min()), float(top + ys.min()), float(left + xs.max() + 1), float(top + ys.max() + 1))
    hot = (
        float(np.quantile((warm / np.maximum(cover, 0.25))[cover > 0.5], 0.7)) * warmth if (cover > 0.5).any() else 0.0
    )
    shown = float(cover.sum()) / max(float(shape.cover.sum()), 1e-3)
    clear = (hot - ground) / max(uneven, _LEAST_DEGREES / _LEAST_CONTRAST)
    return _Body(what, box, cover, left, top, clear if shown >= 0.4 else 0.0)


def _label(made: Country, body: _Body | None, mask: npt.NDArray[np.bool_]) -> None:
    """Enter a body under what shows of it: what branches hide is not in its box."""
    if body is None:
        return
    rows, columns = body.cover.shape
    over = mask[body.top : body.top + rows, body.left : body.left + columns]
    free = body.cover * ~over
    seen = float(free.sum()) / max(float(body.cover.sum()), 1e-3)
    ys, xs = np.nonzero(free > 0.25)
    if not len(xs):
        made.unsure.append(body.box)
        return
    box = tuple(
        float(v) for v in (body.left + xs.min(), body.top + ys.min(), body.left + xs.max() + 1, body.top + ys.max() + 1)
    )
    shown: Box = (box[0], box[1], box[2], box[3])
    if body.what == "animal":
        made.animals.append(shown)
    elif body.what == "vehicle":
        made.vehicles.append(shown)
    else:
        sure = (
            seen >= _LEAST_SEEN
            and body.contrast >= _LEAST_CONTRAST
            and max(box[2] - box[0], box[3] - box[1]) >= _LEAST_PX
        )
        (made.people if sure else made.unsure).append(shown)


def _quad(
    rng: np.random.Generator, made: Country, size: tuple[float, float], at: tuple[float, float]
) -> npt.NDArray[np.int32]:
    """A rectangle on the ground, in eighths of pixels."""
    turn = rng.uniform(0, math.pi)
    c, s = math.cos(turn), math.sin(turn)
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2
    corners = half @ np.array([[c, s], [-s, c]]) + at
    pixels, _ = made.eye.project(np.column_stack([corners, np.zeros(4)]))
    return np.asarray(np.rint(np.clip(pixels, -4000, 4000) * 8), np.int32)


def _roofs(rng: np.random.Generator, made: Country) -> None:
    """Huts, and what is stacked beside them."""
    eye_ = made.eye
    for _ in range(int(rng.integers(1, 4))):
        at = eye_.under(rng.uniform(0, eye_.width_px), rng.uniform(0, eye_.height_px))
        size = (rng.uniform(1.5, 12), rng.uniform(1.5, 8))
        cv2.fillConvexPoly(made.degrees, _quad(rng, made, size, at), float(rng.uniform(-5, 6)), cv2.LINE_8, 3)


def _litter(rng: np.random.Generator, made: Country, hottest: float) -> None:
    """Stumps, puddles, posts, warm soil, embers: small, and less warm than a body, but for the embers."""
    eye_ = made.eye
    for _ in range(int(rng.integers(1, 14))):
        u, v = rng.uniform(0, eye_.width_px), rng.uniform(0, eye_.height_px)
        at = eye_.under(u, v)
        draw = rng.random()
        warm = rng.uniform(-0.8, 1.0) * hottest
        if draw < 0.5:
            size = rng.uniform(0.15, 0.9)
            shape = plain(rng, max(1.5, size * eye_.px_per_m), (u, v))
            window = _window(made.degrees, shape)
            if window is not None:
                part, inner = window
                made.degrees[part] += shape.warmth[inner] * np.float32(warm)
        elif draw < 0.95:
            size2 = (rng.uniform(0.05, 0.3), rng.uniform(0.6, 5.0))
            cv2.fillConvexPoly(made.degrees, _quad(rng, made, size2, at), float(warm), cv2.LINE_8, 3)
        else:
            cv2.circle(made.degrees, (int(u), int(v)), int(rng.integers(0, 3)), float(hottest * rng.uniform(3, 12)), -1)


def _vehicle(rng: np.random.Generator, made: Country, skin: float) -> _Body | None:
    """A car: body, cabin with cold glass, and a bonnet that is warm or not."""
    eye_ = made.eye
    u, v = rng.uniform(20, eye_.width_px - 20), rng.uniform(20, eye_.height_px - 20)
    at, turn = eye_.under(u, v), rng.uniform(0, 2 * math.pi)
    c, s = math.cos(turn), math.sin(turn)
    drawn = np.zeros(made.degrees.shape, np.uint8)
    for (x0, x1), half, (z0, z1), warm in (
        ((-2.2, 2.2), 0.9, (0.3, 0.9), rng.uniform(-4, 3)),
        ((-1.5, 0.7), 0.8, (0.9, 1.5), rng.uniform(-5, 2)),
        ((1.0, 2.1), 0.7, (0.9, 0.95), rng.uniform(-1, 1) * skin),
    ):
        corners = np.array([(x, y, z) for x in (x0, x1) for y in (-half, half) for z in (z0, z1)])
        turned = np.column_stack(
            [corners[:, 0] * c - corners[:, 1] * s, corners[:, 0] * s + corners[:, 1] * c, corners[:, 2]]
        )
        pixels, _ = eye_.project(turned + np.array([at[0], at[1], 0.0]))
        hull = cv2.convexHull(np.rint(np.clip(pixels, -4000, 4000)).astype(np.int32))
        cv2.fillConvexPoly(made.degrees, hull, float(warm))
        cv2.fillConvexPoly(drawn, hull, 1)
    ys, xs = np.nonzero(drawn)
    if not len(xs):
        return None
    left, top = int(xs.min()), int(ys.min())
    cover = drawn[top : ys.max() + 1, left : xs.max() + 1].astype(np.float32)
    box = (float(left), float(top), float(xs.max() + 1), float(ys.max() + 1))
    return _Body("vehicle", box, cover, left, top, 9.0)


def _smallest(made: Country) -> float:
    return min((max(b[2] - b[0], b[3] - b[1]) for b in made.people), default=1e9)


def wild_picture(rng: np.random.Generator, width: int, height: int, *, gently: bool = False) -> tuple[Image, Boxes]:
    """One rendered picture (height, width) of 8 bits, and the boxes of its people, class 0, and vehicles, class 1.

    gently: most of them as the detector's own preparation makes them of raw counts.
    """
    made = country(rng, width, height)
    counts = exposed(rng, made.degrees, _smallest(made))
    picture = developed(rng, counts, gently=gently and rng.random() < _GENTLE_SHARE)
    rows = [(_PERSON, *box) for box in made.people if _stands_out(picture, box)]
    rows += [(_VEHICLE, *box) for box in made.vehicles]
    return picture, np.array(rows, dtype=np.float32).reshape(-1, 5)


def _stands_out(picture: Image, box: Box) -> bool:
    """Whether gain, noise and focus have left anything of somebody: who is not to be seen is not to be learned."""
    left, top, right, bottom = (int(v) for v in box)
    inner = picture[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
    ring = picture[max(top - 8, 0) : bottom + 9, max(left - 8, 0) : right + 9].astype(np.float32)
    ground = float(np.median(ring))
    uneven = float(np.median(np.abs(ring - ground))) * 1.48
    return float(np.percentile(inner, 85)) - ground >= max(_LEAST_GREY, _LEAST_SIGMAS * uneven)
