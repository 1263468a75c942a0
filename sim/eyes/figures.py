# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bodies as capsules: what a person, an animal, a vehicle, a rock or a fire is made of, in three dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.eyes.world import Entity

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Capsule:
    """A thick line between two points (east, north, up in metres about the entity's foot), with its warmth in C."""

    a: tuple[float, float, float]
    b: tuple[float, float, float]
    radius_m: float
    warmth_c: float


def capsules(entity: Entity, time_s: float) -> list[Capsule]:
    """The capsules of an entity, turned to its heading."""
    if entity.kind == "person":
        parts = _person(entity, time_s)
    elif entity.kind == "animal":
        parts = _animal(entity)
    elif entity.kind == "parked_vehicle":
        parts = _vehicle(entity)
    elif entity.kind == "fire":
        parts = _fire(entity, time_s)
    else:
        parts = _rock(entity)
    return [_turned(part, entity.heading_deg) for part in parts]


def _turned(part: Capsule, heading_deg: float) -> Capsule:
    """Local x is to the right of the heading, local y along it."""
    h = math.radians(heading_deg)
    c, s = math.cos(h), math.sin(h)

    def turn(p: tuple[float, float, float]) -> tuple[float, float, float]:
        return p[0] * c + p[1] * s, -p[0] * s + p[1] * c, p[2]

    return Capsule(turn(part.a), turn(part.b), part.radius_m, part.warmth_c)


def _person(e: Entity, time_s: float) -> list[Capsule]:
    h, w = e.size_m, e.warmth_c
    if e.posture == "lying":
        bend = 0.12 * ((e.seed % 7) - 3) / 3
        return [
            Capsule((0.0, 0.46 * h, 0.12), (0.02, 0.50 * h, 0.12), 0.10, 1.25 * w),
            Capsule((-0.10, 0.34 * h, 0.13), (0.10, 0.34 * h, 0.13), 0.13, w),
            Capsule((0.0, 0.32 * h, 0.13), (0.0, 0.02 * h, 0.13), 0.17, w),
            Capsule((-0.09, 0.0, 0.10), (-0.12 + bend, -0.46 * h, 0.08), 0.085, 0.75 * w),
            Capsule((0.09, 0.0, 0.10), (0.16 + bend, -0.44 * h, 0.08), 0.085, 0.75 * w),
            Capsule((-0.22, 0.32 * h, 0.08), (-0.34, 0.04 * h, 0.07), 0.06, 0.9 * w),
            Capsule((0.22, 0.32 * h, 0.08), (0.30, 0.08 * h, 0.07), 0.06, 0.9 * w),
        ]
    if e.posture == "curled":  # on the side, knees drawn up: some 0.9 m
        return [
            Capsule((0.05, 0.40, 0.14), (0.08, 0.42, 0.14), 0.11, 1.2 * w),
            Capsule((-0.05, 0.26, 0.15), (-0.14, -0.18, 0.16), 0.18, w),
            Capsule((-0.12, -0.20, 0.14), (0.26, -0.10, 0.14), 0.12, 0.85 * w),
            Capsule((0.26, -0.10, 0.12), (0.10, -0.36, 0.10), 0.09, 0.7 * w),
            Capsule((0.02, 0.24, 0.16), (0.26, 0.10, 0.12), 0.07, 0.9 * w),
        ]
    if e.posture == "sitting":
        return [
            Capsule((0.0, 0.0, 0.80), (0.0, 0.02, 0.84), 0.11, 1.25 * w),
            Capsule((-0.14, 0.0, 0.55), (0.14, 0.0, 0.55), 0.12, w),
            Capsule((0.0, 0.0, 0.50), (0.0, 0.0, 0.15), 0.18, w),
            Capsule((-0.10, 0.05, 0.14), (-0.12, 0.60, 0.16), 0.09, 0.8 * w),
            Capsule((0.10, 0.05, 0.14), (0.14, 0.62, 0.14), 0.09, 0.8 * w),
        ]
    stride = 0.28 * math.sin(2 * math.pi * 0.9 * time_s + e.seed) if e.posture == "walking" else 0.06
    return [
        Capsule((0.0, 0.0, 0.93 * h), (0.0, 0.02, 0.97 * h), 0.11, 1.25 * w),
        Capsule((-0.14, 0.0, 0.80 * h), (0.14, 0.0, 0.80 * h), 0.11, w),
        Capsule((0.0, 0.0, 0.76 * h), (0.0, 0.0, 0.52 * h), 0.17, w),
        Capsule((-0.09, 0.0, 0.48 * h), (-0.11, stride, 0.05), 0.09, 0.75 * w),
        Capsule((0.09, 0.0, 0.48 * h), (0.11, -stride, 0.05), 0.09, 0.75 * w),
        Capsule((-0.23, 0.0, 0.78 * h), (-0.27, -stride, 0.45 * h), 0.055, 0.9 * w),
        Capsule((0.23, 0.0, 0.78 * h), (0.27, stride, 0.45 * h), 0.055, 0.9 * w),
    ]


def _animal(e: Entity) -> list[Capsule]:
    s, w = e.size_m, e.warmth_c
    return [
        Capsule((0.0, -0.36 * s, 0.45 * s), (0.0, 0.26 * s, 0.45 * s), 0.16 * s, 0.85 * w),
        Capsule((0.0, 0.40 * s, 0.55 * s), (0.0, 0.48 * s, 0.56 * s), 0.10 * s, 1.15 * w),
        Capsule((0.0, -0.40 * s, 0.45 * s), (0.02, -0.60 * s, 0.40 * s), 0.03 * s, 0.5 * w),
    ]


def _vehicle(e: Entity) -> list[Capsule]:
    s, w = e.size_m, e.warmth_c
    parts = [
        Capsule((x, -0.42 * s, 0.9), (x, 0.42 * s, 0.9), 0.24, -1.5 if abs(x) < 0.6 else 0.4)
        for x in (-0.66, -0.33, 0.0, 0.33, 0.66)
    ]
    parts += [Capsule((x, -0.18 * s, 1.35), (x, 0.10 * s, 1.35), 0.24, -3.0) for x in (-0.4, 0.0, 0.4)]
    parts += [Capsule((-0.4, 0.36 * s, 0.95), (0.4, 0.36 * s, 0.95), 0.30, w)]
    return parts


def _fire(e: Entity, time_s: float) -> list[Capsule]:
    r, w = e.size_m / 2, e.warmth_c
    flicker = [0.7 + 0.3 * math.sin(time_s * f + e.seed % 17 + f) for f in (5.1, 7.3, 9.7)]
    return [
        Capsule((0.0, 0.0, 0.1), (0.0, 0.0, 0.15), 1.25 * r, 0.12 * w),
        Capsule((0.3 * r, 0.1 * r, 0.2), (0.3 * r, 0.1 * r, 0.4), 0.6 * r, w * flicker[0]),
        Capsule((-0.3 * r, 0.2 * r, 0.2), (-0.3 * r, 0.2 * r, 0.5), 0.5 * r, w * flicker[1]),
        Capsule((0.0, -0.3 * r, 0.2), (0.0, -0.3 * r, 0.5), 0.5 * r, w * flicker[2]),
    ]


def _rock(e: Entity) -> list[Capsule]:
    """A lump of many facets; those that faced the sun are warmer, large rocks are less even than small ones."""
    rng = np.random.default_rng(e.seed)
    facing = rng.uniform(0, 2 * math.pi)
    out = []
    for _ in range(14):
        angle, away = rng.uniform(0, 2 * math.pi), e.size_m * 0.33 * math.sqrt(rng.uniform())
        x, y = away * math.cos(angle), away * math.sin(angle) * 0.8
        radius = float(rng.uniform(0.10, 0.20) * e.size_m)
        sun = 0.75 + 0.35 * math.cos(angle - facing) * away / (0.33 * e.size_m)
        warmth = e.warmth_c * float(sun * rng.uniform(0.75, 1.15))
        out.append(Capsule((x, y, 0.05), (x + 0.1 * e.size_m, y, 0.1), radius, warmth))
    return out


COLOURS: dict[str, tuple[int, int, int]] = {
    "animal": (58, 72, 96),
    "rock": (116, 122, 128),
    "fire": (40, 150, 255),
}
_CLOTHES = ((52, 40, 160), (150, 90, 40), (60, 60, 60), (170, 170, 180), (50, 120, 60), (120, 60, 110))
_PAINT = ((200, 200, 205), (40, 40, 45), (120, 60, 40), (60, 60, 170), (150, 150, 150))


def colour_of(entity: Entity) -> tuple[int, int, int]:
    """BGR by daylight."""
    if entity.kind == "person":
        return _CLOTHES[entity.seed % len(_CLOTHES)]
    if entity.kind == "parked_vehicle":
        return _PAINT[entity.seed % len(_PAINT)]
    return COLOURS.get(entity.kind, (90, 90, 90))
