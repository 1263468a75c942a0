# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bodies for rendered training pictures: people in many poses, and what is mistaken for people, as coloured spheres.

A body is a set of spheres dense enough to look like limbs (chains of spheres are capsules): metres, z up, resting
on z = 0, heading rotated in. Sizes of people follow ordinary adult proportions (height 1.75 m: hip .53, knee .28,
shoulder .81 of it), children included. Nothing here is taken from a data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

POSES = ("standing", "walking", "waving", "sitting", "crouching", "lying", "curled")
#: Lying and curled people are what a search looks for: they weigh most.
POSE_WEIGHTS = (0.22, 0.20, 0.06, 0.12, 0.08, 0.24, 0.08)
THINGS = ("rock", "stones", "log", "bag", "bush", "pole", "cone", "barrel", "board", "dog", "hoofed", "car", "tent")

SKIN = ((0.78, 0.57, 0.44), (0.66, 0.45, 0.33), (0.50, 0.32, 0.22), (0.30, 0.18, 0.12), (0.18, 0.11, 0.08))
HAIR = ((0.02, 0.02, 0.02), (0.05, 0.03, 0.02), (0.13, 0.08, 0.04), (0.35, 0.25, 0.12), (0.35, 0.34, 0.33))
DARK = ((0.02, 0.02, 0.02), (0.03, 0.03, 0.06), (0.06, 0.06, 0.06), (0.04, 0.06, 0.10), (0.10, 0.10, 0.11))
EARTH = ((0.10, 0.11, 0.05), (0.16, 0.13, 0.08), (0.22, 0.18, 0.11), (0.08, 0.12, 0.06), (0.30, 0.26, 0.19))
BRIGHT = (
    (0.55, 0.03, 0.04),
    (0.75, 0.22, 0.02),
    (0.78, 0.62, 0.03),
    (0.04, 0.12, 0.50),
    (0.05, 0.35, 0.55),
    (0.05, 0.35, 0.12),
    (0.75, 0.75, 0.75),
    (0.50, 0.10, 0.30),
    (0.55, 0.80, 0.08),
)


@dataclass
class Body:
    """Spheres of one thing: centres (n x 3, metres), radii (n, metres), linear colours (n x 3, reflectance)."""

    centres: Floats
    radii: Floats
    colours: Floats


@dataclass
class _Parts:
    centres: list[Floats] = field(default_factory=list)
    radii: list[Floats] = field(default_factory=list)
    colours: list[Floats] = field(default_factory=list)

    def capsule(self, a: Floats, b: Floats, ra: float, rb: float, colour: Floats) -> None:
        """A chain of spheres from a to b, spaced by less than half a radius."""
        length = float(np.linalg.norm(b - a))
        count = max(2, math.ceil(length / (0.45 * min(ra, rb))) + 1)
        t = np.linspace(0.0, 1.0, count)[:, None]
        self.centres.append(a + (b - a) * t)
        self.radii.append((ra + (rb - ra) * t)[:, 0])
        self.colours.append(np.broadcast_to(colour, (count, 3)))

    def body(self, turn: Floats) -> Body:
        """Turn everything, and put it down on the ground."""
        centres, radii = np.concatenate(self.centres) @ turn.T, np.concatenate(self.radii)
        centres[:, 2] -= float((centres[:, 2] - radii).min())
        return Body(centres, radii, np.concatenate(self.colours))


def _about(axis: int, angle: float) -> Floats:
    """Rotation matrix about x, y or z (0, 1, 2) by an angle in radians."""
    c, s = math.cos(angle), math.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
    return out


def _limb(pitch_deg: float, out_deg: float, side: float) -> Floats:
    """Direction of a limb hanging down, raised forward (y) by ``pitch`` and sideways (x) by ``out``."""
    turned = _about(1, -side * math.radians(out_deg)) @ _about(0, math.radians(pitch_deg))
    return np.asarray(turned @ np.array([0.0, 0.0, -1.0]))


def _pick(rng: np.random.Generator, colours: tuple[tuple[float, float, float], ...]) -> Floats:
    base = np.asarray(colours[int(rng.integers(len(colours)))])
    return np.clip(base * math.exp(rng.normal(0, 0.25)) + rng.normal(0, 0.01, 3), 0.01, 0.9)


def _cloth(rng: np.random.Generator, bright: float) -> Floats:
    draw = rng.random()
    if draw < bright:
        return _pick(rng, BRIGHT)
    return _pick(rng, DARK if draw < bright + (1 - bright) * 0.6 else EARTH)


def _angles(pose: str, rng: np.random.Generator) -> dict[str, Floats]:
    """Joint angles in degrees, each (left, right): thigh pitch and spread, knee, arm pitch and spread, elbow; torso."""
    u = rng.uniform

    def pair(low: float, high: float) -> Floats:
        return rng.uniform(low, high, 2)

    a = {
        "thigh": pair(-6, 8), "spread": pair(0, 9), "knee": pair(0, 10), "arm": pair(-15, 20),
        "lift": pair(4, 22), "elbow": pair(5, 50), "torso": np.array([u(-5, 12)]),
    }  # fmt: skip
    if pose == "walking":
        stride = u(14, 38) * (1 if rng.random() < 0.5 else -1)
        a["thigh"], a["arm"] = np.array([stride, -stride * 0.7]), np.array([-stride, stride]) * u(0.4, 1.1)
        a["knee"], a["torso"] = pair(4, 45), np.array([u(0, 15)])
    elif pose == "waving":
        a["arm"], a["lift"], a["elbow"] = pair(0, 40), pair(110, 170), pair(0, 60)
        if rng.random() < 0.4:
            a["lift"][0], a["arm"][0] = u(4, 25), u(-10, 20)
    elif pose == "sitting":
        a["thigh"], a["spread"], a["knee"] = pair(60, 100), pair(2, 30), pair(5, 115)
        a["torso"], a["arm"], a["elbow"] = np.array([u(-25, 45)]), pair(-30, 70), pair(5, 80)
    elif pose == "crouching":
        a["thigh"], a["spread"], a["knee"] = pair(80, 120), pair(5, 30), pair(95, 140)
        a["torso"], a["arm"], a["elbow"] = np.array([u(20, 70)]), pair(0, 80), pair(10, 100)
    elif pose == "lying":
        a["thigh"], a["spread"], a["knee"] = pair(-5, 50), pair(2, 35), pair(0, 80)
        a["arm"], a["lift"], a["elbow"], a["torso"] = pair(-10, 60), pair(5, 165), pair(0, 110), np.array([u(-8, 15)])
    elif pose == "curled":
        a["thigh"], a["spread"], a["knee"] = pair(75, 125), pair(0, 12), pair(80, 140)
        a["arm"], a["lift"], a["elbow"], a["torso"] = pair(30, 100), pair(0, 25), pair(60, 140), np.array([u(20, 60)])
    return a


def person(rng: np.random.Generator, pose: str) -> Body:
    """One clothed person in a pose; the heading is random."""
    child = rng.random() < 0.12
    h = (rng.uniform(1.0, 1.45) if child else float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.98))) / 1.75
    w = h * rng.uniform(0.9, 1.3)
    a = _angles(pose, rng)
    top, legs = _cloth(rng, 0.5), _cloth(rng, 0.2)
    if rng.random() < 0.12:
        legs = top  # overalls, dresses
    skin, hair = _pick(rng, SKIN), _pick(rng, HAIR) if rng.random() < 0.65 else _cloth(rng, 0.5)
    shoes = _pick(rng, DARK) if rng.random() < 0.75 else _pick(rng, BRIGHT)
    bare_arms, shorts, coat = rng.random() < 0.3, rng.random() < 0.15, rng.random() < 0.15
    parts = _Parts()
    lean = _about(0, -math.radians(float(a["torso"][0])))
    neck = lean @ np.array([0, 0, 0.50 * h])
    parts.capsule(np.array([0, 0, 0.02 * h]), lean @ np.array([0, 0, 0.20 * h]), 0.135 * w, 0.130 * w, top)
    chest = lean @ np.array([0, 0, 0.36 * h])
    for side in (-1.0, 1.0):
        parts.capsule(
            chest + lean @ np.array([side * 0.06 * w, 0, -0.16 * h]),
            chest + lean @ np.array([side * 0.08 * w, 0, 0.02 * h]), 0.115 * w, 0.12 * w, top,
        )  # fmt: skip
    nod = lean @ _about(0, -math.radians(rng.uniform(-20, 30)))
    head = neck + nod @ np.array([0, 0.01, 0.165 * h])
    parts.capsule(neck - 0.03 * h * lean[:, 2], head, 0.06 * h, 0.07 * h, skin)
    parts.capsule(head, head + nod @ np.array([0, 0.025, -0.02]) * h, 0.098 * h, 0.09 * h, skin)
    crown = head + nod @ np.array([0, -0.022, 0.03]) * h
    parts.capsule(crown, crown + nod @ np.array([0, 0.02, 0.012]) * h, 0.105 * h, 0.10 * h, hair)
    if rng.random() < 0.18:  # a brim
        for angle in np.linspace(0, 2 * math.pi, 12, endpoint=False):
            rim = head + nod @ np.array([0.13 * math.cos(angle), 0.13 * math.sin(angle), 0.05]) * h
            parts.capsule(crown, rim, 0.05 * h, 0.02 * h, hair)
    for index, side in enumerate((-1.0, 1.0)):
        hip = np.array([side * 0.095 * w, 0, 0])
        thigh = _limb(float(a["thigh"][index]), float(a["spread"][index]), side)
        shin = _limb(float(a["thigh"][index] - a["knee"][index]), float(a["spread"][index]) * 0.6, side)
        knee = hip + thigh * 0.43 * h
        ankle = knee + shin * 0.42 * h
        parts.capsule(hip, knee, (0.12 if coat else 0.095) * w, (0.10 if coat else 0.065) * w, top if coat else legs)
        parts.capsule(knee, ankle, 0.06 * w, 0.045 * h, skin if shorts else legs)
        forward = np.cross(shin, np.array([1.0, 0, 0]))
        parts.capsule(ankle, ankle + forward * 0.17 * h + shin * 0.03, 0.045 * h, 0.04 * h, shoes)
        shoulder = neck + lean @ np.array([side * 0.185 * w, 0, -0.05 * h])
        upper = lean @ _limb(float(a["arm"][index]), float(a["lift"][index]), side)
        lower = lean @ _limb(float(a["arm"][index] + a["elbow"][index]), float(a["lift"][index]) * 0.8, side)
        elbow = shoulder + upper * 0.29 * h
        wrist = elbow + lower * 0.25 * h
        parts.capsule(shoulder, elbow, 0.062 * w, 0.048 * w, top)
        parts.capsule(elbow, wrist, 0.045 * w, 0.036 * w, skin if bare_arms else top)
        parts.capsule(wrist, wrist + lower * 0.10 * h, 0.04 * h, 0.035 * h, skin)
    if rng.random() < 0.22:
        pack = chest + lean @ np.array([0, -0.2 * w, 0.0])
        up = lean @ np.array([0, 0, 0.14 * h])
        parts.capsule(pack - up, pack + up, 0.13 * w, 0.12 * w, _cloth(rng, 0.6))
    if rng.random() < 0.12:  # a reflective or light band round the chest
        band = np.clip(top * 0.2 + 0.65, 0, 0.9)
        parts.capsule(
            chest + lean @ np.array([-0.08 * w, 0, -0.1 * h]), chest + lean @ np.array([0.08 * w, 0, -0.1 * h]),
            0.128 * w, 0.128 * w, band,
        )  # fmt: skip
    heading = _about(2, rng.uniform(0, 2 * math.pi))
    if pose == "lying":
        fall = _about(0, math.radians(rng.choice([-90.0, 90.0]) + rng.normal(0, 6))) @ _about(2, rng.normal(0, 0.5))
        return parts.body(heading @ fall)
    if pose == "curled":
        return parts.body(heading @ _about(1, math.radians(rng.choice([-90.0, 90.0]) + rng.normal(0, 10))))
    return parts.body(heading)


def thing(rng: np.random.Generator, kind: str) -> Body:
    """One object that is no person: rocks, logs, bags, bushes, poles, animals, vehicles; the heading is random."""
    parts, u = _Parts(), rng.uniform
    heading = _about(2, u(0, 2 * math.pi))
    zero = np.zeros(3)
    if kind in ("rock", "stones"):
        grey = np.full(3, u(0.08, 0.5)) * (1 + rng.normal(0, 0.06, 3))
        for _ in range(1 if kind == "rock" else int(rng.integers(3, 9))):
            at = np.append(rng.normal(0, 0.0 if kind == "rock" else 0.8, 2), 0)
            size = u(0.1, 0.5)
            for _ in range(5):
                parts.capsule(
                    at + rng.normal(0, 0.4 * size, 3) * (1, 1, 0.3),
                    at,
                    size * u(0.4, 0.8),
                    size * 0.7,
                    grey * u(0.8, 1.2),
                )
    elif kind in ("log", "pole", "board"):
        brown = np.array([0.20, 0.14, 0.09]) * u(0.4, 2.2) if kind != "pole" else np.full(3, u(0.1, 0.6))
        length, r = (u(0.8, 5), u(0.06, 0.22)) if kind != "pole" else (u(1.2, 5), u(0.03, 0.08))
        end = np.array([0, 0, length]) if kind == "pole" else np.array([length, u(-0.3, 0.3), u(0, 0.1)])
        if kind == "board":
            brown, length = _pick(rng, BRIGHT), u(0.5, 2)
            for y in np.arange(0, u(0.2, 1.2), 0.05):
                parts.capsule(np.array([0, y, 0]), np.array([length, y, 0]), 0.04, 0.04, brown)
        else:
            parts.capsule(zero, end, r, r * u(0.6, 1), brown)
            if kind == "log" and rng.random() < 0.5:
                parts.capsule(end * 0.5, end * 0.5 + np.array([u(-1, 1), u(0.3, 1.2), 0.1]), r * 0.6, r * 0.3, brown)
    elif kind in ("bag", "barrel", "cone"):
        colour, size = _cloth(rng, 0.6), u(0.12, 0.35)
        if kind == "bag":
            parts.capsule(zero, np.array([u(0.05, 0.5), 0, 0]), size, size * u(0.6, 1), colour)
        else:
            parts.capsule(zero, np.array([0, 0, u(0.4, 0.9)]), size, size * (1 if kind == "barrel" else 0.2), colour)
    elif kind == "bush":
        green = np.array([0.07, 0.12, 0.04]) * u(0.5, 2) * (1 + rng.normal(0, 0.2, 3))
        for _ in range(40):
            at = rng.normal(0, 1, 3) * (0.35, 0.35, 0.2) * u(0.6, 2)
            parts.capsule(at, at + 0.05, u(0.05, 0.15), u(0.05, 0.12), np.clip(green * u(0.5, 1.6), 0.01, 0.8))
    elif kind in ("dog", "hoofed"):
        s = u(0.45, 0.7) if kind == "dog" else u(0.9, 1.7)
        coat = np.clip(
            np.array([0.3, 0.22, 0.15]) * u(0.1, 2.5) if rng.random() < 0.7 else np.full(3, u(0.3, 0.8)), 0.01, 0.8
        )
        chest, rump = np.array([0, 0.4, 0.6]) * s, np.array([0, -0.4, 0.62]) * s
        parts.capsule(chest, rump, 0.2 * s, 0.19 * s, coat)
        head = chest + np.array([u(-0.15, 0.15), u(0.25, 0.45), u(-0.2, 0.35)]) * s
        parts.capsule(chest, head, 0.12 * s, 0.10 * s, coat)
        parts.capsule(head, head + np.array([0, 0.2, -0.08]) * s, 0.10 * s, 0.06 * s, coat)
        for root in (chest, rump):
            for side in (-1, 1):
                parts.capsule(
                    root + np.array([side * 0.12, 0, -0.1]) * s,
                    np.array([side * 0.13 * s, root[1] + u(-0.15, 0.15) * s, 0]), 0.06 * s, 0.04 * s, coat * 0.8,
                )  # fmt: skip
    elif kind == "car":
        paint, glass = _pick(rng, (*DARK, *BRIGHT, (0.5, 0.5, 0.5), (0.8, 0.8, 0.8))), np.array([0.03, 0.035, 0.04])
        length, half, high = u(3.6, 5.2), u(0.8, 0.95), u(0.55, 0.9)
        for x in np.linspace(-half + 0.25, half - 0.25, 5):
            parts.capsule(np.array([x, -length / 2, 0.55]), np.array([x, length / 2, 0.5]), 0.35, 0.3, paint)
            parts.capsule(
                np.array([x * 0.85, -length * 0.3, 0.6 + high * 0.5]),
                np.array([x * 0.85, length * 0.18, 0.6 + high * 0.5]),
                0.33,
                0.33,
                glass,
            )
            parts.capsule(
                np.array([x * 0.75, -length * 0.22, 0.68 + high * 0.55]),
                np.array([x * 0.75, length * 0.08, 0.68 + high * 0.55]),
                0.31,
                0.31,
                paint,
            )
    else:  # tent
        colour = _cloth(rng, 0.7)
        length, half = u(1.2, 3), u(0.6, 1.1)
        for t in np.linspace(0, 1, 9):
            x, z = half * (2 * t - 1), 1.1 * (1 - abs(2 * t - 1))
            parts.capsule(np.array([x, 0, z]), np.array([x, length, z]), 0.15, 0.15, colour)
    return parts.body(heading)
