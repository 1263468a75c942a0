# SPDX-License-Identifier: AGPL-3.0-or-later
"""Colours of people: skin, hair, what clothes are dyed with, folds and prints. Linear reflectances, red green blue."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import numpy.typing as npt

from .render_body import HAIR, SKIN

Floats = npt.NDArray[np.float32]
_GAMMA = 2.2


def _linear(hue: float, saturation: float, value: float) -> Floats:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0.02, 0.97))),
                    np.float32) ** _GAMMA  # fmt: skip


def skin_colour(rng: np.random.Generator) -> Floats:
    """Between two neighbours of the usual tones."""
    i, t = int(rng.integers(len(SKIN) - 1)), rng.random()
    return np.asarray(np.array(SKIN[i]) * (1 - t) + np.array(SKIN[i + 1]) * t, np.float32)


def hair_colour(rng: np.random.Generator) -> Floats:
    """Dark far more often than fair, grey or red."""
    draw = rng.random()
    if draw < 0.6:
        return np.asarray(np.array(HAIR[int(rng.integers(3))]) * rng.uniform(0.5, 1.6), np.float32)
    if draw < 0.85:
        return _linear(rng.uniform(0.06, 0.12), rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.75))
    return _linear(0.1, rng.uniform(0, 0.1), rng.uniform(0.45, 0.85))


def top_colour(rng: np.random.Generator) -> Floats:
    """Shirts and jackets: black, white, grey, navy, any colour, high visibility."""
    draw = rng.random()
    if draw < 0.22:
        return _linear(rng.uniform(0.55, 0.72), rng.uniform(0, 0.4), rng.uniform(0.08, 0.22))
    if draw < 0.37:
        return _linear(rng.uniform(0, 1), rng.uniform(0, 0.08), rng.uniform(0.75, 0.95))
    if draw < 0.47:
        return _linear(rng.uniform(0, 1), rng.uniform(0, 0.12), rng.uniform(0.3, 0.65))
    if draw < 0.60:
        return _linear(rng.uniform(0.55, 0.66), rng.uniform(0.4, 0.85), rng.uniform(0.25, 0.75))
    if draw < 0.69:
        return _linear(rng.uniform(0.06, 0.25), rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.6))
    if draw < 0.75:
        return _linear(float(rng.choice([0.07, 0.16, 0.2])), rng.uniform(0.8, 1.0), rng.uniform(0.85, 0.97))
    return _linear(rng.uniform(0, 1), rng.uniform(0.3, 0.95), rng.uniform(0.3, 0.95))


def bottom_colour(rng: np.random.Generator) -> Floats:
    """Trousers and skirts: denim, black, khaki, light, now and then a colour."""
    draw = rng.random()
    if draw < 0.35:
        return _linear(rng.uniform(0.57, 0.64), rng.uniform(0.2, 0.65), rng.uniform(0.2, 0.6))
    if draw < 0.68:
        return _linear(rng.uniform(0.5, 0.75), rng.uniform(0, 0.3), rng.uniform(0.07, 0.25))
    if draw < 0.85:
        return _linear(rng.uniform(0.07, 0.15), rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.7))
    if draw < 0.93:
        return _linear(rng.uniform(0, 1), rng.uniform(0, 0.1), rng.uniform(0.6, 0.92))
    return _linear(rng.uniform(0, 1), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9))


def waves(rng: np.random.Generator, at: Floats, shortest: float, longest: float, count: int = 7) -> Floats:
    """Smooth noise over points, about -1..1: waves of random direction, lengths between two bounds."""
    direction = rng.standard_normal((count, 3)).astype(np.float32)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = np.exp(rng.uniform(math.log(shortest), math.log(longest), count)).astype(np.float32)
    phase = rng.uniform(0, 2 * math.pi, count).astype(np.float32)
    field = np.sin(at.astype(np.float32) @ (direction / length[:, None]).T * np.float32(2 * math.pi) + phase)
    return np.asarray(field.sum(axis=1) / np.float32(math.sqrt(count / 2) * 1.6), np.float32)


def cloth(
    rng: np.random.Generator,
    at: Floats,
    base: Floats,
    folds: float = 0.22,
    rough: float = 0.06,
    *,
    prints: bool = False,
) -> Floats:
    """Colours of one cloth at points at rest (decimetres, y up): dye, prints, folds that darken, grain."""
    colour = np.broadcast_to(base, at.shape).astype(np.float32).copy()
    if prints and rng.random() < 0.4:
        _print(rng, at, colour)
    shade = 1 + np.float32(folds) * waves(rng, at * np.array([1, 0.6, 1], np.float32), 0.5, 3.0)
    grain = 1 + np.float32(rough) * rng.standard_normal(len(at), dtype=np.float32)
    colour *= np.maximum(shade * grain, 0.25)[:, None]
    return colour


def _print(rng: np.random.Generator, at: Floats, colour: Floats) -> None:
    second = top_colour(rng)
    kind = int(rng.integers(6))
    if kind == 0:  # stripes round the body
        mark = np.sin(at[:, 1] * rng.uniform(4, 14)) > rng.uniform(-0.3, 0.7)
    elif kind == 1:  # checks
        mark = (np.sin(at[:, 1] * 9) > 0) ^ (np.sin(at[:, 0] * 9) > 0)
    elif kind == 2:  # another colour over the shoulders
        mark = at[:, 1] > np.quantile(at[:, 1], rng.uniform(0.5, 0.85))
    elif kind == 3:  # spots, camouflage
        mark = waves(rng, at, 0.8, 3.0) > rng.uniform(-0.2, 0.6)
    elif kind == 4:  # back and front unlike, open jacket
        mark = at[:, 2] > rng.uniform(0.2, 1.0) if rng.random() < 0.5 else np.abs(at[:, 0]) < rng.uniform(0.3, 0.8)
    else:  # sleeves of another colour, or bands of high visibility
        mark = np.abs(at[:, 0]) > rng.uniform(1.7, 2.2)
    colour[mark] = second
