# SPDX-License-Identifier: AGPL-3.0-or-later
"""A short open tour through points, cut out of the closed one of `missions.routing.tour`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.model import Budget
from missions.routing.tour import tour_through_points

_KICKS = 60
_POINTS_PER_STEP = 50  # that the first descent looks at in one iteration


def short_tour(points_m: FloatArray, start: int = 0) -> NDArray[np.int64]:
    """Order of points (n, 2) in which they are visited once, beginning at `start`; the way need not come back.

    Of the closed tour the longer of the two legs at the start is left out; then ends of the way are turned round while
    that shortens it, because a closed tour pays for a way back that nobody goes. Never longer than the order given.
    """
    count = len(points_m)
    if count < 3:
        rest = [i for i in range(count) if i != start]
        return np.array([start, *rest] if count else [], dtype=np.int64)
    points = np.asarray(points_m, dtype=np.float64)
    closed = tour_through_points(points, Budget(3 * count // _POINTS_PER_STEP + _KICKS))
    order = np.array(closed.order, dtype=np.int64)
    order = np.roll(order, -int(np.flatnonzero(order == start)[0]))
    ahead, behind = (float(np.hypot(*(points[start] - points[order[k]]))) for k in (1, -1))
    way = _turn_ends(points, np.roll(order[::-1], 1) if ahead > behind else order)
    given = np.array([start, *(i for i in range(count) if i != start)], dtype=np.int64)
    return min(way, given, key=lambda o: _length_m(points, o))


def _turn_ends(points_m: FloatArray, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Reverse what comes after some place while that shortens the way: only the leg into it changes."""
    while True:
        way = points_m[order]
        legs = np.hypot(*(way[1:] - way[:-1]).T)
        to_last = np.hypot(*(way[:-1] - way[-1]).T)
        at = int(np.argmax(legs - to_last))
        if legs[at] - to_last[at] <= 1e-9:
            return order
        order = np.concatenate([order[: at + 1], order[:at:-1]])


def _length_m(points_m: FloatArray, order: NDArray[np.int64]) -> float:
    way = points_m[order]
    return float(np.hypot(*(way[1:] - way[:-1]).T).sum())
