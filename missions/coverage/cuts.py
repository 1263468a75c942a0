# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a path is cut into flights: equally long ones by a quick model, and how few of them batteries allow at best.

In the model a flight goes straight from the nearest pad to its part of the path, flies it, slows down for its bends, and
comes straight back to the nearest pad.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from missions.energy import Performance
from missions.geo import FloatArray

_HALVINGS = 30


class Cuts:
    """A path of corners (n, 2), in metres, to be flown from pads (m, 2) at a cruise speed."""

    def __init__(
        self, path_m: FloatArray, along_m: FloatArray, pads_m: FloatArray, performance: Performance, cruise_m_s: float
    ) -> None:
        """along_m: (n,) way along the path up to each corner."""
        self.path, self.along, self.pads = path_m, along_m, pads_m
        self.speed = performance.ground_speed_m_s(cruise_m_s)
        bends = np.zeros(len(path_m))
        for k, (a, b) in enumerate(pairwise(np.diff(path_m, axis=0)), 1):
            turn = abs(np.degrees(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b)))
            bends[k] = performance.corner_s(cruise_m_s, float(turn))
        self.clock = along_m / self.speed + np.cumsum(bends)

    @property
    def length_m(self) -> float:
        return float(self.along[-1])

    def at(self, along_m: float) -> FloatArray:
        """The place that far along the path."""
        return np.array([np.interp(along_m, self.along, self.path[:, c]) for c in (0, 1)])

    def _way_s(self, at_m: float) -> float:
        return float(np.hypot(*(self.pads - self.at(at_m)).T).min()) / self.speed

    def _time_s(self, at_m: float) -> float:
        return float(np.interp(at_m, self.along, self.clock))

    def _reach_m(self, start_m: float, cap_s: float) -> float:
        """How far along the path a flight of that time comes; not beyond its start where it cannot even get there."""
        low, high = start_m, self.length_m
        began = self._time_s(start_m) - self._way_s(start_m)
        if self._time_s(high) - began + self._way_s(high) <= cap_s:
            return high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            if self._time_s(middle) - began + self._way_s(middle) <= cap_s:
                low = middle
            else:
                high = middle
        return low

    def even(self, count: int) -> list[float]:
        """Places along the path, both ends included, that make so many flights, or fewer, equally long."""
        low_s, high_s = 0.0, float(self.clock[-1]) + 4.0 * max(self._way_s(float(s)) for s in self.along)
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
