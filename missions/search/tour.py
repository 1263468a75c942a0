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

    Of the closed tour the longer of the two legs at the start is left out.
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
    return np.roll(order[::-1], 1) if ahead > behind else order
