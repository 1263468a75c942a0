# SPDX-License-Identifier: AGPL-3.0-or-later
"""How long it takes from place to place at a time of day: some areas are closed to legs in some hours.

Places and an area in metres come in. A leg keeps out of every area that is closed at any moment of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

from missions.energy import Performance
from missions.geo import FloatArray
from missions.routing.visibility import ShortestPaths, shortest_paths

_SLACK_M = 0.1
Window = tuple[float, float]
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Closed:
    """An area (metres, margin included) over which no leg may go in its windows (seconds of the day)."""

    name: str
    area: Polygon
    windows: tuple[Window, ...]


class Ways:
    """Times and paths between numbered places; times are in seconds of the day, paths in metres."""

    def __init__(
        self, area: Polygon | MultiPolygon, places_m: FloatArray, performance: Performance, speed_m_s: float,
        closed: tuple[Closed, ...] = (),
    ) -> None:  # fmt: skip
        self.area, self.closed = area, closed
        self._kept_out_of = tuple(c.area.buffer(-_SLACK_M) for c in closed)
        self.places_m = np.asarray(places_m, dtype=np.float64).reshape(-1, 2)
        self._performance, self._speed = performance, speed_m_s
        self._paths: dict[frozenset[int], ShortestPaths] = {}
        self._known: dict[tuple[int, int, frozenset[int]], float] = {}

    def with_place(self, place: Place) -> Ways:
        """The same ways with one place more, which gets the next number."""
        return Ways(self.area, np.vstack([self.places_m, place]), self._performance, self._speed, self.closed)

    def closed_during(self, start_s: float, end_s: float) -> frozenset[int]:
        return frozenset(i for i, c in enumerate(self.closed) if any(a < end_s and start_s < b for a, b in c.windows))

    def travel_s(self, start: int, end: int, at_s: float) -> float:
        """Seconds of a leg that begins at a time of day; infinite when closed areas leave no way."""
        return self._leg(start, end, at_s)[0]

    def open_travel_s(self, start: int, end: int) -> float:
        """Seconds of a leg when nothing is closed: what a leg takes at least."""
        return self._seconds(start, end, frozenset())

    def path_m(self, start: int, end: int, at_s: float) -> tuple[Place, ...]:
        """The leg's corners, both ends included."""
        seconds, active = self._leg(start, end, at_s)
        if not math.isfinite(seconds):
            raise ValueError("there is no way between these places at this time")
        return self._corners(start, end, active)

    def open_for(self, path_m: tuple[Place, ...], start_s: float, end_s: float) -> bool:
        """Whether a fixed path (or a single place) stays out of all areas that are closed between two times."""
        shape: BaseGeometry = LineString(path_m) if len(path_m) > 1 else Point(path_m[0])
        return all(not self._kept_out_of[i].intersects(shape) for i in self.closed_during(start_s, end_s))

    def _leg(self, start: int, end: int, at_s: float) -> tuple[float, frozenset[int]]:
        active: frozenset[int] = frozenset()
        while True:
            seconds = self._seconds(start, end, active)
            if not math.isfinite(seconds):
                return seconds, active
            wider = active | self.closed_during(at_s, at_s + seconds)
            if wider == active:
                return seconds, active
            active = wider

    def _seconds(self, start: int, end: int, active: frozenset[int]) -> float:
        key = (start, end, active)
        if key not in self._known:
            length = float(self._shortest(active).length_m[start, end])
            if math.isfinite(length):
                corners = self._corners(start, end, active)
                slow = sum(
                    self._performance.corner_s(self._speed, _turn_deg(a, b, c))
                    for a, b, c in zip(corners, corners[1:], corners[2:], strict=False)
                )
                length = length / self._performance.ground_speed_m_s(self._speed) + slow
            self._known[key] = length
        return self._known[key]

    def _corners(self, start: int, end: int, active: frozenset[int]) -> tuple[Place, ...]:
        ends = [(float(self.places_m[i, 0]), float(self.places_m[i, 1])) for i in (start, end)]
        return (ends[0], *self._shortest(active).between(start, end), ends[1])

    def _shortest(self, active: frozenset[int]) -> ShortestPaths:
        if active not in self._paths:
            # A little less is cut away than is kept clear of, so that places on the margin can be reached.
            cut = [self.closed[i].area.buffer(-_SLACK_M) for i in sorted(active)]
            left = shapely.get_parts(self.area.difference(shapely.union_all(cut)) if cut else self.area)
            parts = shapely.union_all([p for p in left if isinstance(p, Polygon) and p.area > 1.0])
            self._paths[active] = shortest_paths(parts, self.places_m)
        return self._paths[active]


def _turn_deg(a: Place, b: Place, c: Place) -> float:
    before, after = math.atan2(b[1] - a[1], b[0] - a[0]), math.atan2(c[1] - b[1], c[0] - b[0])
    return abs(math.degrees((after - before + math.pi) % (2.0 * math.pi) - math.pi))
