# SPDX-License-Identifier: AGPL-3.0-or-later
"""Families of areas for measuring coverage, all for a swath of 3 m: one area per seed, the same for the same seed."""

from __future__ import annotations

import numpy as np
import shapely
from coverage_shapes import others, star
from shapely import affinity
from shapely.geometry import LineString, Polygon

WIDTH_M = 3.0


def convex(seed):
    """The hull of random places."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-1.0, 1.0, (int(rng.integers(5, 14)), 2)) * rng.uniform(25.0, 50.0, 2)
    return shapely.convex_hull(shapely.multipoints(places))


def simple(seed):
    """A polygon through random places without crossings: a tour over them, untangled by reversing stretches."""
    rng = np.random.default_rng(seed)
    while True:
        places = rng.uniform(-45.0, 45.0, (int(rng.integers(6, 13)), 2))
        crossed = True
        while crossed:
            crossed = False
            n = len(places)
            for i in range(n - 1):
                for j in range(i + 2, n - (i == 0)):
                    first = LineString([places[i], places[i + 1]])
                    second = LineString([places[j], places[(j + 1) % n]])
                    if first.intersects(second):
                        places[i + 1 : j + 1] = places[i + 1 : j + 1][::-1]
                        crossed = True
        found = Polygon(places)
        # Needles thinner than a swath are what `sliver` is for.
        if found.is_valid and found.buffer(-WIDTH_M).area > 0.4 * found.area:
            return found


def jagged(seed):
    """A star with many corners at very different distances."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(7, 16))
    angles = (np.arange(count) + rng.uniform(0.0, 0.9, count)) * 2 * np.pi / count
    reach = 50.0 * rng.uniform(0.3, 1.0, count)
    return Polygon(np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1))


def letter(seed):
    """An L, U or S of straight arms at right angles, turned any way."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(30.0, 70.0, 3)
    arms = [[(0, 0), (a, 0), (a, b)], [(0, c), (0, 0), (a, 0), (a, b)], [(0, 0), (a, 0), (a, b), (a + c, b)]]
    thick = rng.uniform(9.0, 24.0)
    line = LineString(arms[int(rng.integers(3))])
    return affinity.rotate(line.buffer(thick / 2.0, cap_style="flat", join_style="mitre"), rng.uniform(0.0, 180.0))


def fields(seed):
    """Square-cornered outline: rectangles stuck together."""
    rng = np.random.default_rng(seed)
    boxes = [shapely.box(-20, -20, 20, 20)]
    for _ in range(int(rng.integers(2, 5))):
        x, y = rng.uniform(-25.0, 25.0, 2)
        wide, high = rng.uniform(10.0, 30.0, 2)
        boxes.append(shapely.box(x - wide, y - high, x + wide, y + high))
    shape = shapely.union_all(boxes)
    return affinity.rotate(Polygon(shape.exterior), rng.uniform(0.0, 90.0))


def coast(seed):
    """A boundary that is rough at every scale, as real ones are: midpoints of edges pushed aside again and again."""
    rng = np.random.default_rng(seed)
    while True:
        count = 6
        angles = (np.arange(count) + rng.uniform(0.0, 0.5, count)) * 2 * np.pi / count
        ring = rng.uniform(25.0, 50.0, (count, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for _ in range(4):
            after = np.roll(ring, -1, axis=0)
            across = (after - ring)[:, ::-1] * np.array([1.0, -1.0])
            middle = (ring + after) / 2.0 + across * rng.normal(0.0, 0.14, (len(ring), 1))
            ring = np.stack([ring, middle], axis=1).reshape(-1, 2)
        found = Polygon(ring)
        if found.is_valid:
            return found


def overflown(seed):
    """A star with holes that may be flown over."""
    rng = np.random.default_rng(seed)
    return star(seed, corners=int(rng.integers(5, 12)), size=50.0, holes=int(rng.integers(1, 9)), hole_m=7.0)


def keep_outs(seed):
    """A star with 15 holes that must not be entered."""
    return star(seed, size=50.0, holes=15, hole_m=4.0)


def _other(name):
    return lambda seed: dict(others(seed))[name]


FORBIDDEN = {"keep-outs"}  # families whose holes must not be entered
FAMILIES = {
    "convex": convex,
    "star": lambda seed: star(seed, size=40.0),
    "simple": simple,
    "jagged": jagged,
    "fields": fields,
    "coast": coast,
    "holes": overflown,
    "keep-outs": keep_outs,
    "letter": letter,
    "corridor": _other("corridor"),
    "spikes": _other("spikes"),
    "wings": _other("wings"),
    "sliver": _other("sliver"),
}
