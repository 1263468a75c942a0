# SPDX-License-Identifier: AGPL-3.0-or-later
"""A short open tour through points: greedy edges by nearest neighbour, then 2-opt and Or-opt over near neighbours.

One function, `short_tour`, so that a better tour solver can take its place.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from missions.geo import FloatArray
from missions.search._compiled import compiled

_NEIGHBOURS = 8
_SWEEPS = 40


def short_tour(points_m: FloatArray, start: int = 0) -> NDArray[np.int64]:
    """Order of points (n, 2) in which they are visited once, beginning at `start`; the way need not come back."""
    count = len(points_m)
    if count < 3:
        rest = [i for i in range(count) if i != start]
        return np.array([start, *rest] if count else [], dtype=np.int64)
    points = np.ascontiguousarray(points_m, dtype=np.float64)
    near = cKDTree(points).query(points, min(_NEIGHBOURS + 1, count))[1][:, 1:].astype(np.int64)
    order = _nearest_first(points, start)
    _shorten(points, near, order, _SWEEPS)
    return order


@compiled
def _nearest_first(points: FloatArray, start: int) -> NDArray[np.int64]:
    count = len(points)
    left = np.ones(count, dtype=np.bool_)
    order = np.empty(count, dtype=np.int64)
    order[0] = start
    left[start] = False
    for k in range(1, count):
        x, y = points[order[k - 1]]
        best, found = 1e300, -1
        for i in range(count):
            if left[i]:
                away = (points[i, 0] - x) ** 2 + (points[i, 1] - y) ** 2
                if away < best:
                    best, found = away, i
        order[k] = found
        left[found] = False
    return order


@compiled
def _between(points: FloatArray, a: int, b: int) -> float:
    return math.hypot(points[a, 0] - points[b, 0], points[a, 1] - points[b, 1])


@compiled
def _shorten(points: FloatArray, near: NDArray[np.int64], order: NDArray[np.int64], sweeps: int) -> None:
    """2-opt and Or-opt (runs of up to three) on an open tour whose first point stays; changes `order` in place."""
    count = len(order)
    place = np.empty(count, dtype=np.int64)
    for k in range(count):
        place[order[k]] = k
    for _ in range(sweeps):
        better = False
        for node in range(count):
            for other in near[node]:
                # 2-opt: legs (i, i+1) and (j, j+1) become (i, j) and (i+1, j+1).
                i, j = min(place[node], place[other]), max(place[node], place[other])
                if j - i >= 2:
                    saved = _between(points, order[i], order[i + 1]) - _between(points, order[i], order[j])
                    if j + 1 < count:
                        saved += _between(points, order[j], order[j + 1])
                        saved -= _between(points, order[i + 1], order[j + 1])
                    if saved > 1e-9:
                        order[i + 1 : j + 1] = order[i + 1 : j + 1][::-1].copy()
                        for k in range(i + 1, j + 1):
                            place[order[k]] = k
                        better = True
                        continue
                # Or-opt: a run from `node` on moves between `other` and its successor, either way round.
                for run in range(1, 4):
                    a = place[node]
                    b = a + run - 1
                    c = place[other]
                    if a < 1 or b >= count or (a - 1 <= c <= b):
                        continue
                    gone = _between(points, order[a - 1], order[a])
                    if b + 1 < count:
                        gone += _between(points, order[b], order[b + 1])
                        gone -= _between(points, order[a - 1], order[b + 1])
                    straight = _between(points, order[c], order[a])
                    turned = _between(points, order[c], order[b])
                    if c + 1 < count:
                        after = order[c + 1]
                        straight += _between(points, order[b], after) - _between(points, order[c], after)
                        turned += _between(points, order[a], after) - _between(points, order[c], after)
                    if gone - min(straight, turned) > 1e-9:
                        moved = order[a : b + 1].copy()
                        if turned < straight:
                            moved = moved[::-1].copy()
                        if c > b:
                            order[a : a + c - b] = order[b + 1 : c + 1].copy()
                            order[c - run + 1 : c + 1] = moved
                        else:
                            order[c + 1 + run : b + 1] = order[c + 1 : a].copy()
                            order[c + 1 : c + 1 + run] = moved
                        for k in range(min(a, c), max(b, c) + 1):
                            place[order[k]] = k
                        better = True
                        break
        if not better:
            return
