# SPDX-License-Identifier: AGPL-3.0-or-later
"""Things that lie and stand about where people are, as clouds of points: none of them is a person.

Furniture, bicycles, bags, towels, pots, parasols, clothes laid down, and shrubs. Metres, z up, on z = 0.
"""

from __future__ import annotations

import itertools
import math
from typing import Final

import numpy as np
import numpy.typing as npt

from .figure_body import Figure
from .figure_cloth import bottom_colour, cloth, top_colour, waves
from .figure_pose import Cloud, turned

Floats = npt.NDArray[np.float32]
THINGS: Final = (
    "bicycle", "bench", "chair", "table", "parasol", "bin", "pot", "bag", "towel", "box", "shrub", "garment", "post",
    "ball", "hose",
)  # fmt: skip
_DENSE: Final = 9000.0  # points per square metre


class _Cloud:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.points: list[Floats] = []
        self.normals: list[Floats] = []
        self.colours: list[Floats] = []

    def add(
        self, points: npt.NDArray[np.floating], normals: npt.NDArray[np.floating], colour: Floats, rough: float = 0.08
    ) -> None:
        self.points.append(points.astype(np.float32))
        self.normals.append(normals.astype(np.float32))
        self.colours.append(cloth(self.rng, points.astype(np.float32) * 10, colour, folds=0.08, rough=rough))

    def tube(self, a: tuple[float, ...], b: tuple[float, ...], radius: float, colour: Floats) -> None:
        start, end = np.array(a), np.array(b)
        axis = end - start
        length = float(np.linalg.norm(axis))
        n = max(40, int(2 * math.pi * radius * length * _DENSE))
        axis /= max(length, 1e-6)
        side = np.cross(axis, [0.0, 0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0, 0])
        side /= np.linalg.norm(side)
        other, angle = np.cross(axis, side), self.rng.uniform(0, 2 * math.pi, n)
        normal = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
        self.add(start + self.rng.random(n)[:, None] * (end - start) + radius * normal, normal, colour)

    def ring(self, centre: tuple[float, ...], radius: float, thick: float, colour: Floats) -> None:
        """An upright ring in the plane of y and z."""
        n = max(200, int(4 * math.pi**2 * radius * thick * _DENSE))
        angle, about = self.rng.uniform(0, 2 * math.pi, n), self.rng.uniform(0, 2 * math.pi, n)
        out = np.stack([np.zeros(n), np.cos(angle), np.sin(angle)], axis=1)
        normal = np.cos(about)[:, None] * out + np.sin(about)[:, None] * np.array([1.0, 0, 0])
        self.add(np.array(centre) + radius * out + thick * normal, normal, colour)

    def block(self, low: tuple[float, ...], high: tuple[float, ...], colour: Floats) -> None:
        a, b = np.array(low), np.array(high)
        size = b - a
        for axis in range(3):
            for end in (0, 1):
                area = float(np.prod(np.delete(size, axis)))
                n = max(20, int(area * _DENSE))
                at = a + self.rng.random((n, 3)) * size
                at[:, axis] = b[axis] if end else a[axis]
                normal = np.zeros((n, 3))
                normal[:, axis] = 1.0 if end else -1.0
                self.add(at, normal, colour)

    def disc(self, centre: tuple[float, ...], radius: float, drop: float, colour: Floats) -> None:
        """A disc, its rim lower by ``drop``."""
        n = max(100, int(math.pi * radius**2 * _DENSE))
        r, angle = radius * np.sqrt(self.rng.random(n)), self.rng.uniform(0, 2 * math.pi, n)
        at = np.stack([r * np.cos(angle), r * np.sin(angle), -drop * r / radius], axis=1)
        slope = drop / radius
        normal = np.stack([slope * np.cos(angle), slope * np.sin(angle), np.ones(n)], axis=1)
        self.add(np.array(centre) + at, normal / math.hypot(1, slope), colour)

    def ball(self, centre: tuple[float, ...], radii: tuple[float, ...], colour: Floats, rough: float = 0.08) -> None:
        n = max(100, int(4 * math.pi * float(np.mean(radii)) ** 2 * _DENSE))
        normal = self.rng.standard_normal((n, 3))
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        self.add(np.array(centre) + normal * np.array(radii), normal, colour, rough)

    def done(self) -> Cloud:
        points, normals = np.concatenate(self.points), np.concatenate(self.normals)
        turn = turned(2, self.rng.uniform(0, 360)).astype(np.float32)
        points = points @ turn.T
        points[:, 2] = np.maximum(points[:, 2], 0)
        points[:, :2] -= (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
        colours = np.clip(np.concatenate(self.colours), 0.004, 0.9)
        return Cloud(points, normals @ turn.T, colours.astype(np.float32), "thing")


def _wood(rng: np.random.Generator) -> Floats:
    return np.asarray(np.array([0.22, 0.15, 0.09]) * rng.uniform(0.4, 2.2), np.float32)


def draw_thing(rng: np.random.Generator, figure: Figure | None = None) -> Cloud:
    """One thing; a garment laid down needs a figure to take it from."""
    kind = THINGS[int(rng.integers(len(THINGS)))]
    u, out = rng.uniform, _Cloud(rng)
    colour = top_colour(rng)
    dark = np.full(3, u(0.01, 0.05), np.float32)
    if kind == "garment" and figure is not None:
        return _laid_down(rng, figure)
    if kind == "bicycle":
        for y in (-0.52, 0.52):
            out.ring((0, y, 0.34), 0.32, 0.022, dark)
        joints = {"crank": (0, -0.05, 0.3), "seat": (0, -0.2, 0.8), "head": (0, 0.38, 0.8)}
        for a, b in (("crank", "seat"), ("seat", "head"), ("crank", "head")):
            out.tube(joints[a], joints[b], 0.025, colour)
        out.tube(joints["crank"], (0, -0.52, 0.34), 0.02, colour)
        out.tube(joints["seat"], (0, -0.52, 0.34), 0.015, colour)
        out.tube((0, 0.38, 0.95), (0, 0.52, 0.34), 0.02, colour)
        out.tube((-0.3, 0.36, 0.98), (0.3, 0.36, 0.98), 0.018, dark)
        out.ball((0, -0.24, 0.92), (0.08, 0.14, 0.04), dark)
        if rng.random() < 0.35:  # lying on its side
            turn = turned(1, 86).astype(np.float32)
            out.points = [p @ turn.T for p in out.points]
            out.normals = [n @ turn.T for n in out.normals]
            low = min(float(p[:, 2].min()) for p in out.points)
            out.points = [p - np.array([0, 0, low], np.float32) for p in out.points]
    elif kind == "bench":
        wood, length = _wood(rng), u(1.2, 2.2)
        for x in np.arange(0, 0.45, 0.11):
            out.block((x, 0, 0.42), (x + 0.08, length, 0.46), wood)
        if rng.random() < 0.6:
            out.block((0.46, 0, 0.5), (0.5, length, 0.85), wood)
    elif kind == "chair":
        out.block((0, 0, 0.42), (0.45, 0.45, 0.46), colour)
        out.block((0.43, 0, 0.46), (0.47, 0.45, 0.9), colour)
        for x in (0.03, 0.42):
            for y in (0.03, 0.42):
                out.tube((x, y, 0), (x, y, 0.42), 0.02, dark)
    elif kind == "table":
        top = _wood(rng) if rng.random() < 0.5 else colour
        if rng.random() < 0.5:
            out.disc((0, 0, 0.73), u(0.35, 0.7), 0.0, top)
        else:
            out.block((0, 0, 0.7), (u(0.6, 1.0), u(0.8, 2.0), 0.74), top)
    elif kind == "parasol":
        out.disc((0, 0, 2.3), u(0.9, 1.7), u(0.2, 0.5), colour)
    elif kind == "bin":
        out.block((0, 0, 0), (u(0.4, 0.7), u(0.4, 0.8), 1.0), colour * 0.5)
        out.block((0, 0, 1.0), (0.6, 0.6, 1.06), dark)
    elif kind == "pot":
        r = u(0.12, 0.35)
        out.tube((0, 0, 0), (0, 0, r * 1.4), r, np.array([0.35, 0.15, 0.08], np.float32) * np.float32(u(0.4, 1.4)))
        out.ball((0, 0, r * 1.9), (r * 1.3, r * 1.3, r), np.array([0.06, 0.12, 0.03], np.float32), 0.5)
    elif kind == "bag":
        wide, long = u(0.12, 0.25), u(0.15, 0.4)
        out.ball((0, 0, wide * 0.8), (wide, long, wide * 0.8), colour)
        out.ball((0, long * 0.4, wide * 0.9), (wide * 0.7, long * 0.4, wide * 0.6), colour * 0.7)
    elif kind == "towel":
        out.block((0, 0, 0), (u(0.5, 0.9), u(1.0, 1.9), 0.02), colour)
        if rng.random() < 0.5:
            out.block((0.1, 0.2, 0.02), (0.3, 0.5, 0.1), top_colour(rng))
    elif kind == "box":
        out.block((0, 0, 0), (u(0.2, 0.8), u(0.2, 1.2), u(0.1, 0.7)), _wood(rng) if rng.random() < 0.5 else colour)
    elif kind == "post":
        out.tube((0, 0, 0), (0, 0, u(0.8, 4.0)), u(0.03, 0.1), colour if rng.random() < 0.4 else dark * 4)
    elif kind == "ball":
        out.ball((0, 0, 0.12), (0.12, 0.12, 0.12), colour)
    elif kind == "hose":
        points = np.cumsum(rng.normal(0, 0.25, (10, 2)), axis=0)
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            out.tube((ax, ay, 0.015), (bx, by, 0.015), 0.015, colour)
    else:  # shrub, and a garment where there is no figure
        green = np.array([0.07, 0.12, 0.04], np.float32) * np.float32(u(0.4, 1.8))
        for _ in range(int(rng.integers(6, 18))):
            x, y, z = rng.normal(0, 0.3, 3)
            r = u(0.1, 0.35)
            out.ball((x, y, abs(z) + r * 0.5), (r, r, r * 0.8), green * np.float32(u(0.5, 1.7)), 0.6)
    return out.done()


def _laid_down(rng: np.random.Generator, figure: Figure) -> Cloud:
    """Half of somebody's clothes, crumpled on the ground."""
    waist = float(np.quantile(figure.points[:, 2], 0.5))
    above = bool(rng.random() < 0.5)
    mine = (figure.points[:, 2] > waist) == above
    mine &= np.abs(figure.points[:, 2] - waist) < 0.42
    points = figure.points[mine].copy()
    crumple = rng.uniform(0.4, 0.9)
    flat = np.stack([points[:, 0], points[:, 2] - waist, 0.05 + 0.25 * points[:, 1] ** 2], axis=1)
    flat[:, 0] = flat[:, 0] * crumple + 0.06 * waves(rng, flat, 0.15, 0.5)
    flat[:, 1] = flat[:, 1] * crumple + 0.06 * waves(rng, flat, 0.15, 0.5)
    flat[:, 2] = np.maximum(0.03 + 0.04 * waves(rng, flat, 0.1, 0.4), 0)
    normal = np.stack(
        [0.5 * waves(rng, flat, 0.08, 0.3), 0.5 * waves(rng, flat, 0.08, 0.3), np.ones(len(flat))], axis=1
    )
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    dye = top_colour(rng) if above else bottom_colour(rng)
    out = _Cloud(rng)
    out.add(flat.astype(np.float32), normal.astype(np.float32), dye)
    return out.done()
