# SPDX-License-Identifier: AGPL-3.0-or-later
"""What lives in rendered wild country, as capsules with the warmth of each part: people, game, and how far-off people look.

A figure is a list of capsules in metres, z up, standing on z = 0 at the origin. People are given by the places of their
joints in each posture, moved about at random; limb lengths are those of an adult of 1.75 m (Winter, Biomechanics and
Motor Control of Human Movement, table 4.1), scaled to anybody's height. Warmth is a share of the whole that bare skin
has over the air: head and hands show it, clothes hold most of it back, a pack or a blanket nearly all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .wild_eye import Eye

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

POSTURES = ("standing", "walking", "signalling", "sitting", "kneeling", "crawling", "on the back", "on the side", "bag")
#: Who is searched for lies or sits more often than not.
POSTURE_WEIGHTS = (0.16, 0.15, 0.05, 0.13, 0.06, 0.04, 0.22, 0.12, 0.07)
GAME = ("deer", "boar", "sheep", "cow", "dog", "hare", "bird")
_DRAWN = 4  # times as large as seen, then reduced
_SHIFT = 4  # binary digits behind the point of drawn coordinates


@dataclass(frozen=True, slots=True)
class Part:
    """A capsule from a to b (metres) with a radius at either end (metres) and a warmth (share of bare skin's)."""

    a: Points
    b: Points
    radius_a: float
    radius_b: float
    warmth: float


@dataclass(frozen=True, slots=True)
class Patch:
    """A figure in the picture: cover 0..1 and warmth, both (h, w); left and top of its corner in whole pixels."""

    cover: Floats
    warmth: Floats
    left: int
    top: int


def _at(x: float, y: float, z: float) -> Points:
    return np.array([x, y, z])


def _turned(parts: list[Part], angle: float, size: float) -> list[Part]:
    """Turned about z by an angle in radians, all lengths times size."""
    c, s = math.cos(angle) * size, math.sin(angle) * size
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, size]])
    return [Part(turn @ p.a, turn @ p.b, p.radius_a * size, p.radius_b * size, p.warmth) for p in parts]


def _joints(rng: np.random.Generator, posture: str) -> dict[str, Points]:
    """Places of hip, chest, head, and left and right knee, foot, elbow and hand, metres; an adult facing y."""
    u = rng.uniform
    j = {"hip": _at(0, 0, 0.93), "chest": _at(0, 0.02, 1.32), "head": _at(0, 0.05, 1.64)}
    for side, x in (("l", -1.0), ("r", 1.0)):
        j["knee" + side], j["foot" + side] = _at(0.1 * x, 0.03, 0.5), _at(0.12 * x, 0.02, 0.06)
        j["elbow" + side], j["hand" + side] = _at(0.27 * x, u(-0.08, 0.08), 1.12), _at(0.28 * x, u(-0.05, 0.25), 0.88)
    if posture == "walking":
        step = u(0.12, 0.36) * rng.choice([-1.0, 1.0])
        j["kneel"][1], j["footl"][1], j["kneer"][1], j["footr"][1] = step, step * 1.1, -step * 0.5, -step * 1.3
        j["handl"][1], j["handr"][1] = -step, step
    elif posture == "signalling":
        for side, x in (("l", -1.0), ("r", 1.0))[: int(rng.integers(1, 3))]:
            j["elbow" + side], j["hand" + side] = (
                _at(u(0.3, 0.42) * x, 0.0, u(1.4, 1.6)),
                _at(u(0.1, 0.6) * x, 0.0, u(1.5, 2.0)),
            )
    elif posture in ("sitting", "kneeling"):
        low = 0.14 if posture == "sitting" else 0.45
        lean = u(-0.15, 0.3)
        j["hip"], j["chest"], j["head"] = _at(0, 0, low), _at(0, lean * 0.6, low + 0.4), _at(0, lean, low + u(0.6, 0.7))
        for side, x in (("l", -1.0), ("r", 1.0)):
            bent = u(0.05, 0.45)
            if posture == "sitting":
                j["knee" + side] = _at(u(0.08, 0.3) * x, math.sqrt(0.19 - bent * bent * 0.9), low + bent)
                j["foot" + side] = _at(u(0.08, 0.3) * x, u(0.45, 0.85), 0.07)
            else:
                j["knee" + side], j["foot" + side] = (
                    _at(0.13 * x, u(0.02, 0.3), 0.07),
                    _at(0.13 * x, u(-0.45, -0.2), 0.07),
                )
            j["elbow" + side] = _at(0.27 * x, lean * 0.5 + u(-0.05, 0.2), low + 0.2)
            j["hand" + side] = _at(u(0.0, 0.3) * x, lean * 0.5 + u(0.1, 0.4), low + u(0.05, 0.3))
    elif posture == "crawling":
        j["hip"], j["chest"], j["head"] = _at(0, 0, 0.45), _at(0, 0.45, 0.5), _at(0, 0.75, u(0.4, 0.65))
        for side, x in (("l", -1.0), ("r", 1.0)):
            j["knee" + side], j["foot" + side] = _at(0.13 * x, u(-0.05, 0.15), 0.07), _at(0.14 * x, u(-0.5, -0.3), 0.07)
            j["elbow" + side], j["hand" + side] = _at(0.2 * x, u(0.4, 0.6), 0.28), _at(0.2 * x, u(0.45, 0.75), 0.05)
    elif posture in ("on the back", "bag", "on the side"):
        j["hip"], j["chest"], j["head"] = (
            _at(0, 0, 0.13),
            _at(u(-0.05, 0.05), 0.42, 0.14),
            _at(u(-0.1, 0.1), 0.74, 0.12),
        )
        curl = u(0.0, 1.4) if posture == "on the side" else 0.0
        for side, x in (("l", -1.0), ("r", 1.0)):
            away = x * u(0.0, 0.5) if curl == 0 else curl * u(0.8, 1.1)
            shin = away + x * u(-0.3, 0.5) if curl == 0 else away - curl * u(1.0, 1.7)
            j["knee" + side] = _at(0.09 * x + 0.43 * math.sin(away), -0.43 * math.cos(away), 0.1)
            j["foot" + side] = j["knee" + side] + _at(0.43 * math.sin(shin), -0.43 * math.cos(shin), 0.0)
            arm = u(0.1, 2.9)
            lower = arm + u(-0.4, 1.2)
            shoulder = j["chest"] + _at(0.18 * x, 0.05, 0)
            j["elbow" + side] = shoulder + _at(0.3 * x * math.sin(arm), -0.3 * math.cos(arm), u(-0.02, 0.1))
            j["hand" + side] = j["elbow" + side] + _at(0.3 * x * math.sin(lower), -0.3 * math.cos(lower), u(-0.02, 0.1))
    return {name: place + rng.normal(0, 0.025, 3) for name, place in j.items()}


def person(rng: np.random.Generator) -> tuple[list[Part], str]:
    """One person in any posture and clothes, and the posture's name."""
    posture = str(rng.choice(POSTURES, p=POSTURE_WEIGHTS))
    j, u = _joints(rng, posture), rng.uniform
    dress = u(0.25, 0.95)  # how much of the skin's warmth comes through
    trunk, legs, arms = dress * u(0.8, 1.15), dress * u(0.5, 1.05), dress * u(0.6, 1.1)
    skull, fists, soles = u(0.55, 1.05), u(0.3, 1.05), dress * u(0.2, 0.9)
    bulk = u(0.9, 1.35)
    parts = [
        Part(j["hip"], j["chest"], 0.15 * bulk, 0.17 * bulk, trunk),
        Part(j["chest"], j["chest"] * 0.55 + j["head"] * 0.45, 0.12 * bulk, 0.06, trunk * 1.05),
        Part(j["head"], j["head"] + _at(0, 0.015, 0.02), 0.105, 0.1, skull),
    ]
    for side, x in (("l", -1.0), ("r", 1.0)):
        across = _at(0.17 * x, 0.0, 0.05) if j["chest"][2] > 0.3 else _at(0.18 * x, 0.05, 0.0)
        shoulder = j["chest"] + across
        parts += [
            Part(j["hip"] + _at(0.09 * x, 0, -0.02), j["knee" + side], 0.095 * bulk, 0.07, legs),
            Part(j["knee" + side], j["foot" + side], 0.062, 0.05, legs * u(0.75, 1.0)),
            Part(j["foot" + side], j["foot" + side] + _at(0.02 * x, 0.14, 0.0), 0.05, 0.045, soles),
            Part(shoulder, j["elbow" + side], 0.065 * bulk, 0.05, arms),
            Part(j["elbow" + side], j["hand" + side], 0.048, 0.04, arms * u(0.85, 1.1)),
            Part(j["hand" + side], j["hand" + side] + rng.normal(0, 0.03, 3), 0.05, 0.045, fists),
        ]
    if posture == "bag":  # wrapped to the neck, or under a blanket
        held = u(0.1, 0.45)
        parts.append(Part(_at(0, 0.45, 0.2), _at(u(-0.1, 0.1), -0.75, 0.17), u(0.2, 0.36), u(0.15, 0.28), held))
    elif rng.random() < 0.2:  # a pack, worn or laid aside
        back = j["chest"] + (_at(0, -0.22, 0.0) if j["chest"][2] > 0.3 else _at(u(-0.8, 0.8), u(-0.5, 0.5), 0.0))
        parts.append(Part(back - _at(0, 0, 0.12), back + _at(0, 0.05, 0.18), 0.16, 0.13, u(0.0, 0.25)))
    if rng.random() < 0.2:  # a hood or a hat
        parts.append(Part(j["head"] + _at(0, -0.02, 0.04), j["head"] + _at(0, -0.03, 0.06), 0.12, 0.11, u(0.15, 0.5)))
    size = u(0.6, 0.85) if rng.random() < 0.12 else float(np.clip(rng.normal(0.985, 0.06), 0.84, 1.15))
    return _turned(parts, u(0, 2 * math.pi), size), posture


def beast(rng: np.random.Generator, kind: str) -> list[Part]:
    """One animal: trunk, neck, head and legs in the proportions of its kind, standing, grazing or lying."""
    u = rng.uniform
    long, high, thick, neck, leg = {
        "deer": (1.1, 0.75, 0.19, 0.5, 0.045), "boar": (0.95, 0.4, 0.24, 0.15, 0.06), "sheep": (0.75, 0.4, 0.22, 0.22, 0.045),
        "cow": (1.5, 0.8, 0.36, 0.45, 0.08), "dog": (0.55, 0.4, 0.12, 0.2, 0.035), "hare": (0.3, 0.1, 0.08, 0.1, 0.03),
        "bird": (0.25, 0.15, 0.1, 0.12, 0.01),
    }[kind]  # fmt: skip
    coat, bare = u(0.2, 0.8), u(0.5, 1.0)
    lies = rng.random() < 0.35
    z = thick if lies else high + thick * 0.6
    front, rear = _at(0, long / 2 - thick, z), _at(0, thick - long / 2, z)
    nose = front + _at(u(-0.5, 0.5) * neck, u(0.4, 1.0) * neck, u(-0.7, 0.8) * neck)
    nose[2] = max(nose[2], thick * 0.5)
    parts = [
        Part(front, rear, thick, thick * u(0.85, 1.1), coat),
        Part(front, nose, thick * 0.6, thick * 0.4, coat * u(0.9, 1.2)),
        Part(nose, nose + _at(0, thick * 0.8, -thick * 0.4), thick * 0.42, thick * 0.25, bare),
    ]
    for root in (front, rear):
        for x in (-1.0, 1.0):
            hoof = _at(x * thick * (1.3 if lies else 0.7), root[1] + u(-0.2, 0.2) * high, 0.02)
            parts.append(Part(root + _at(x * thick * 0.6, 0, -thick * 0.4), hoof, leg * 1.6, leg, bare * u(0.3, 0.9)))
    return _turned(parts, u(0, 2 * math.pi), u(0.8, 1.2))


def patch(rng: np.random.Generator, eye: Eye, parts: list[Part], at: tuple[float, float]) -> Patch:
    """The figure as seen where it stands, at x and y in metres."""
    ends = np.stack([p.a for p in parts] + [p.b for p in parts]) + np.array([at[0], at[1], 0.0])
    pixels, depth = eye.project(ends)
    radii = np.array([p.radius_a for p in parts] + [p.radius_b for p in parts]) * eye.focal_px / depth
    low, high = (pixels - radii[:, None]).min(axis=0), (pixels + radii[:, None]).max(axis=0)
    left, top = math.floor(low[0]) - 1, math.floor(low[1]) - 1
    width, height = math.ceil(high[0]) + 1 - left, math.ceil(high[1]) + 1 - top
    cover = np.zeros((height * _DRAWN, width * _DRAWN), np.float32)
    warmth = np.zeros_like(cover)
    spots = np.rint(((pixels - (left, top)) * _DRAWN - 0.5) * (1 << _SHIFT)).astype(np.int64)
    sizes = np.maximum(np.rint(radii * _DRAWN * (1 << _SHIFT)), 1 << (_SHIFT - 1)).astype(int)
    count = len(parts)
    for i in np.argsort(-(depth[:count] + depth[count:])):  # the nearest last
        for canvas, value in ((cover, 1.0), (warmth, parts[i].warmth)):
            _capsule(canvas, spots[i], spots[count + i], int(sizes[i]), int(sizes[count + i]), value)
    warmth += cover * _mottled(rng, cover.shape)
    small = [
        np.asarray(cv2.resize(a, (width, height), interpolation=cv2.INTER_AREA), np.float32) for a in (cover, warmth)
    ]
    return Patch(small[0], small[1], left, top)


def _capsule(
    canvas: Floats, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], ra: int, rb: int, value: float
) -> None:
    for end, radius in ((a, ra), (b, rb)):
        cv2.circle(canvas, (int(end[0]), int(end[1])), radius, value, -1, cv2.LINE_8, _SHIFT)
    along = (b - a).astype(np.float64)
    length = float(np.hypot(*along))
    if length > 1:
        side = np.array([-along[1], along[0]]) / length
        quad = np.stack([a + side * ra, b + side * rb, b - side * rb, a - side * ra])
        cv2.fillConvexPoly(canvas, np.rint(quad).astype(np.int32), value, cv2.LINE_8, _SHIFT)


def _mottled(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Folds and gaps of clothes: unevenness of a tenth or so, some cells over the whole figure."""
    cells = rng.standard_normal((int(rng.integers(3, 8)), int(rng.integers(3, 8))), dtype=np.float32)
    return np.asarray(cv2.resize(cells, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32) * np.float32(
        rng.uniform(0.0, 0.15)
    )


def plain(rng: np.random.Generator, px: float, at: tuple[float, float]) -> Patch:
    """A person so far off or so out of focus that only a spot is left: disc, stick, two or three blobs; px: its length."""
    side = math.ceil(px) + 6
    row, column = np.mgrid[0:side, 0:side].astype(np.float32)
    turn, middle = rng.uniform(0, math.pi), (side - 1) / 2 + rng.uniform(-0.5, 0.5, 2)
    x = (column - middle[0]) * math.cos(turn) + (row - middle[1]) * math.sin(turn)
    y = (row - middle[1]) * math.cos(turn) - (column - middle[0]) * math.sin(turn)
    half, thin = px / 2, px / 2 * rng.uniform(0.22, 1.0)
    draw = rng.random()
    if draw < 0.45:  # an even ellipse or stick
        inside = (
            (x / half) ** 2 + (y / thin) ** 2 if draw < 0.3 else np.maximum(np.abs(x / half), np.abs(y / thin)) ** 2
        )
        cover = np.clip((1.0 - np.sqrt(inside)) * thin + 0.5, 0, 1)
    elif draw < 0.7:  # soft to its middle
        cover = np.exp(-1.6 * ((x / half) ** 2 + (y / thin) ** 2))
    else:  # head and trunk, or trunk and legs
        cover = np.zeros_like(x)
        for place in np.linspace(-0.55, 0.55, int(rng.integers(2, 4))):
            blob = rng.uniform(0.25, 0.5) * half
            far = ((x - place * half) ** 2 + (y - rng.normal(0, 0.15) * half) ** 2) / blob**2
            cover = np.maximum(cover, np.exp(-0.8 * far) * rng.uniform(0.5, 1.0))
    cover = np.asarray(cover, np.float32)
    slope = 1.0 + np.float32(rng.uniform(-0.4, 0.4)) * (x / half).astype(np.float32)
    return Patch(
        cover, cover * slope * np.float32(rng.uniform(0.4, 1.0)), round(at[0] - side / 2), round(at[1] - side / 2)
    )
