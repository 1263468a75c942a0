# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a path is cut into flights, and who flies which: equally long ones by a quick model, how few batteries allow.

In the model a flight goes straight from the nearest pad to its part of the path, flies it, slows down for its bends, and
comes straight back to the nearest pad.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import numpy as np

from missions.energy import Performance
from missions.geo import FloatArray

TOO_FAR_M: Final = 1e9  # above all ways: what a drone cannot fly goes to another one
_HALVINGS = 30
_STATIONS = 4000  # places along the path at which times are known


class Cuts:
    """A path of corners (n, 2), in metres, to be flown from pads (m, 2) at a cruise speed."""

    def __init__(
        self, path_m: FloatArray, along_m: FloatArray, pads_m: FloatArray, performance: Performance, cruise_m_s: float
    ) -> None:
        """along_m: (n,) way along the path up to each corner."""
        self.speed = performance.ground_speed_m_s(cruise_m_s)
        bends = np.zeros(len(path_m))
        for k, (a, b) in enumerate(pairwise(np.diff(path_m, axis=0)), 1):
            turn = abs(np.degrees(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)))
            bends[k] = performance.corner_s(cruise_m_s, float(turn))
        # The way home never shortens faster than the path grows: what a flight to here takes only rises along the path.
        self.stations = np.union1d(along_m, np.linspace(0.0, float(along_m[-1]), _STATIONS))
        self.clock = np.interp(self.stations, along_m, along_m / self.speed + np.cumsum(bends))
        places = np.stack([np.interp(self.stations, along_m, path_m[:, c]) for c in (0, 1)], axis=1)
        self.way = np.hypot(*(pads_m[:, None] - places).transpose(2, 0, 1)).min(axis=0) / self.speed
        self.there_and_back = np.maximum.accumulate(self.clock + self.way)

    @property
    def length_m(self) -> float:
        return float(self.stations[-1])

    def _reach_m(self, start_m: float, cap_s: float) -> float:
        """How far along the path a flight of that time comes; not beyond its start where it cannot even get there."""
        before_s = np.interp(start_m, self.stations, self.clock) - np.interp(start_m, self.stations, self.way)
        return max(start_m, float(np.interp(cap_s + before_s, self.there_and_back, self.stations)))

    def even(self, count: int) -> list[float]:
        """Places along the path, both ends included, that make so many flights, or fewer, equally long."""
        low_s, high_s = 0.0, float(self.clock[-1] + 4.0 * self.way.max())
        for _ in range(_HALVINGS):
            cap = (low_s + high_s) / 2.0
            at = 0.0
            for _ in range(count):
                at = self._reach_m(at, cap)
            if at >= self.length_m * (1.0 - 1e-6) - 1e-6:
                high_s = cap
            else:
                low_s = cap
        cuts = [0.0]
        for _ in range(count - 1):
            cuts.append(self._reach_m(cuts[-1], high_s))
        # What is swept from one place is a flight as well, though its path has no length.
        return [0.0, *(c for c in cuts[1:] if c < self.length_m - 1e-3), self.length_m]

    def fewest(self, cap_s: float) -> int | None:
        """How many flights of at most that time the path takes at least; None where one leads nowhere."""
        at, count = 0.0, 0
        while at < self.length_m - 1e-3 or count == 0:
            before, at = at, self._reach_m(at, cap_s)
            count += 1
            if at - before < 1.0 and at < self.length_m - 1e-3:
                return None
        return count


def shared_out(cost_m: FloatArray) -> list[int]:
    """For each flight (a row) the drone (a column) that flies it: evenly shared, however near one is to all of them.

    Only what a drone cannot fly leaves more to the others.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    flights, drones = cost_m.shape
    for each in range(math.ceil(flights / drones), flights + 1):
        slots = np.tile(cost_m, (1, each))
        rows, columns = linear_sum_assignment(slots)
        if slots[rows, columns].max() < TOO_FAR_M:
            break
    return [int(column) % drones for _, column in sorted(zip(rows, columns, strict=True))]
