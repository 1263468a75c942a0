# SPDX-License-Identifier: AGPL-3.0-or-later
"""Return layers: when a site is lost, all its vehicles come home at once, and only their heights keep them apart.

From wherever the loss strikes, a vehicle climbs to its return height (it never descends for it) and flies straight
home. The heights at which that can happen are its band; two bands whose ways can come near each other must be the
vertical minimum apart. Layers do not protect the cone of 45 degrees around a pad, in which returns are lower, nor the
column over it in which vehicles descend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import shapely
from shapely.geometry import MultiPoint
from shapely.geometry.base import BaseGeometry

from missions.deconflict.segments import Minima
from missions.energy import height_above_home_m
from missions.feasibility_terrain import check_return_height
from missions.geo import FloatArray
from missions.model import FlightPlan, VehicleLimits
from missions.plan_legs import plan_legs
from missions.terrain import Terrain

_IMPOSSIBLE = 1e7
_SHORTAGE = 1e5
_LATE = 20.0  # a second beyond the last landing weighs as much as so many metres of change
_CHANGE_M = 5.0
_LOWER_M = 300.0  # other heights of the whole plan, only to let everyone have a layer
_EPSILON_M = 1e-6
_RESOLUTION_M = 0.5


@dataclass(frozen=True, slots=True)
class ReturnClash:
    """Two flights (by index) whose ways home can meet, and how far their heights are apart."""

    first: int
    second: int
    vertical_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Returning:
    """What a flight's return needs: all heights in metres above mean sea level.

    area: where its ways home can run. low_m, high_m: lowest and highest waypoint. return_m: its return height.
    top_m: the highest return that is allowed.
    """

    area: BaseGeometry
    low_m: float
    high_m: float
    return_m: float
    top_m: float

    @property
    def band_m(self) -> tuple[float, float]:
        return max(self.low_m, self.return_m), max(self.high_m, self.return_m)


def returning(plan: FlightPlan, limits: VehicleLimits, places: FloatArray) -> Returning:
    """`places` are east and north of home and the waypoints, (1 + n, 2), in the common frame."""
    heights = [height_above_home_m(w.altitude, plan.home_amsl_m) for w in plan.waypoints] or [plan.takeoff_height_m]
    limit = plan.fence.max_altitude
    top = limits.max_height_above_ground_m  # which it is over home, at least
    if limit is not None:
        top = min(top, height_above_home_m(limit, plan.home_amsl_m))
    base = plan.home_amsl_m
    return Returning(
        MultiPoint(places).convex_hull,
        base + min(heights),
        base + max(heights),
        base + plan.return_height_m,
        base + max(top, plan.return_height_m),
    )


def return_clashes(flights: Sequence[Returning], minima: Minima) -> list[ReturnClash]:
    """Pairs of flights that layers do not separate on their ways home."""
    found = []
    for i, j in combinations(range(len(flights)), 2):
        one, two = flights[i], flights[j]
        apart = max(one.band_m[0] - two.band_m[1], two.band_m[0] - one.band_m[1])
        if apart < minima.vertical_bound_m and shapely.dwithin(one.area, two.area, minima.lateral_bound_m):
            found.append(ReturnClash(i, j, max(0.0, apart)))
    return found


def meeting_place(one: Returning, two: Returning, minima: Minima) -> tuple[float, float]:
    """A place (east, north) over which both may come home."""
    reach = minima.lateral_m / 2.0
    place = one.area.buffer(reach).intersection(two.area.buffer(reach)).representative_point()
    return float(place.x), float(place.y)


def layered(
    flights: Sequence[Returning],
    durations_s: Sequence[float],
    limits: VehicleLimits,
    minima: Minima,
    lowest_m: Callable[[int], tuple[float, float]],
) -> list[float]:
    """New return heights (above mean sea level) in layers, with as little change and lengthening as can be.

    lowest_m(i) is the least height above sea at which flight i may come home, and the least if its whole plan may be
    lowered for it: a result below its highest waypoint asks for that. Flights that find no layer keep theirs;
    `return_clashes` of the result tells. Flights of different neighbourhoods may share a layer.
    """
    heights = [f.return_m for f in flights]
    for group in _neighbourhoods(flights, minima):
        if return_clashes([flights[i] for i in group], minima):
            for i, height in zip(group, _assign(flights, group, durations_s, limits, minima, lowest_m), strict=True):
                heights[i] = height
    return heights


def lowest_return_m(plan: FlightPlan, limits: VehicleLimits, terrain: Terrain | None, high_m: float) -> float:
    """The least return height (above home) from a plan's highest waypoint up that clears the ground.

    Without terrain the ground is as high as home everywhere.
    """
    low, top = max(high_m, limits.min_height_above_ground_m), plan.return_height_m
    if low >= top or terrain is None:
        return min(low, top)
    legs = plan_legs(plan, limits)

    def clear(height: float) -> bool:
        return not check_return_height(replace(plan, return_height_m=height), limits, terrain, legs)

    if clear(low):
        return low
    if not clear(top):
        return top  # as it is: lowering would not mend it
    while top - low > _RESOLUTION_M:
        middle = (low + top) / 2.0
        low, top = (low, middle) if clear(middle) else (middle, top)
    return top


def _neighbourhoods(flights: Sequence[Returning], minima: Minima) -> list[list[int]]:
    """Groups of flights whose areas touch, directly or through others."""
    group = list(range(len(flights)))
    for i, j in combinations(range(len(flights)), 2):
        if group[i] != group[j] and shapely.dwithin(flights[i].area, flights[j].area, minima.lateral_bound_m):
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
    return [[i for i, g in enumerate(group) if g == name] for name in sorted(set(group))]


def _assign(
    flights: Sequence[Returning],
    group: Sequence[int],
    durations_s: Sequence[float],
    limits: VehicleLimits,
    minima: Minima,
    lowest_m: Callable[[int], tuple[float, float]],
) -> list[float]:
    """The cheapest matching of flights to layers, over all ways to place the lowest layer under someone's height."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    members = [flights[i] for i in group]
    as_it_is, low = (np.array(side) for side in zip(*(lowest_m(i) for i in group), strict=True))
    top = np.array([f.top_m for f in members])
    now = np.array([f.return_m for f in members])
    last = max(durations_s)
    spare = last - np.array([durations_s[i] for i in group])
    per_m = 1.0 / limits.climb_rate_m_s + 1.0 / limits.descent_rate_m_s
    step = minima.vertical_m
    best: tuple[float, list[float]] | None = None
    for phase in sorted({round(float(h) % step, 6): float(h) % step for h in (*now, *low)}.values()):
        first = np.floor((low.min() - phase) / step)
        levels = phase + step * np.arange(first, np.floor((top.max() - phase) / step) + 2)
        change = levels[None, :] - now[:, None]
        cost = np.abs(change) + np.where(np.abs(change) > _EPSILON_M, _CHANGE_M, 0.0)
        cost += np.where(levels[None, :] < as_it_is[:, None] - _EPSILON_M, _LOWER_M, 0.0)
        cost += _LATE * np.maximum(0.0, change * per_m - spare[:, None])
        barred = (levels[None, :] < low[:, None] - _EPSILON_M) | (levels[None, :] > top[:, None] + _EPSILON_M)
        cost[barred] = _IMPOSSIBLE
        # Whoever finds no layer stays where it is, at a price.
        cost = np.hstack([cost, np.full((len(members), len(members)), _SHORTAGE)])
        rows, columns = linear_sum_assignment(cost)
        total = float(cost[rows, columns].sum())
        if best is None or total < best[0] - 1e-9:
            chosen = [
                float(levels[c]) if c < len(levels) and cost[r, c] < _IMPOSSIBLE else float(now[r])
                for r, c in zip(rows, columns, strict=True)
            ]
            best = total, chosen
    return now.tolist() if best is None else best[1]
