# SPDX-License-Identifier: AGPL-3.0-or-later
"""The legs that a plan is flown along, in metres around its home, for the rules that measure them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from shapely.geometry import LineString

from missions.energy import height_above_home_m
from missions.geo import FloatArray, LocalFrame
from missions.model import FlightPlan, VehicleLimits, Waypoint

Names = Sequence[str] | None  # what messages call the waypoints
_EARLY_M = 10.0  # PX4's usual acceptance radius: what margins allow for


def named(index: int, names: Names) -> str:
    """How a message speaks of a waypoint."""
    return f"waypoint {index + 1}" if names is None else names[index]


@dataclass(frozen=True, slots=True)
class Leg:
    """A straight piece of a plan. Places are (east, north) metres from home, heights are above home.

    `item` is the waypoint that it leads to, `from_item` the one that it starts at; None is home.
    """

    name: str
    from_item: int | None
    item: int | None
    start_m: tuple[float, float]
    end_m: tuple[float, float]
    start_height_m: float
    end_height_m: float
    speed_m_s: float

    def line(self) -> LineString:
        return LineString([self.start_m, self.end_m])

    @property
    def length_m(self) -> float:
        return float(np.hypot(self.end_m[0] - self.start_m[0], self.end_m[1] - self.start_m[1]))

    def samples(self, step_m: float) -> tuple[FloatArray, FloatArray]:
        """Places (n, 2) and heights above home (n,) at most step_m apart, both ends included."""
        count = max(2, int(np.ceil(self.length_m / step_m)) + 1)
        t = np.linspace(0.0, 1.0, count)
        start, end = np.asarray(self.start_m), np.asarray(self.end_m)
        return start + t[:, None] * (end - start), self.start_height_m + t * (self.end_height_m - self.start_height_m)


def plan_legs(plan: FlightPlan, limits: VehicleLimits, names: Names = None) -> tuple[Leg, ...]:
    """Home to the first waypoint, between waypoints, and the return at its own height.

    A waypoint with a large acceptance radius is passed on the straight line that cuts its corner: one more leg.
    Raises DatumError for an altitude that is not related to home.
    """
    frame = LocalFrame(plan.home)
    legs: list[Leg] = []
    at, height, speed = (0.0, 0.0), plan.takeoff_height_m, plan.cruise_speed_m_s
    before: int | None = None
    places = frame.to_enu_array(
        [w.position.latitude_deg for w in plan.waypoints], [w.position.longitude_deg for w in plan.waypoints]
    )
    for index, waypoint in enumerate(plan.waypoints):
        if waypoint.speed_m_s is not None:
            speed = waypoint.speed_m_s
        place = float(places[index, 0]), float(places[index, 1])
        to_height = height_above_home_m(waypoint.altitude, plan.home_amsl_m)
        start = "home" if before is None else named(before, names)
        name = f"the leg from {start} to {named(index, names)}"
        flown = min(max(speed, 0.0), limits.max_speed_m_s)
        legs.append(Leg(name, before, index, at, place, height, to_height, flown))
        at, height, before = place, to_height, index
    if before is not None:
        top = return_height_m(float(np.hypot(*at)), height, plan.return_height_m)
        name = f"the return from {named(before, names)} to home"
        flown = min(max(speed, 0.0), limits.max_speed_m_s)
        legs.append(Leg(name, before, None, at, (0.0, 0.0), top, top, flown))
    cut = [_cut_corner(a, b, plan.waypoints[a.item], names) for a, b in pairwise(legs) if a.item is not None]
    return (*legs, *(leg for leg in cut if leg is not None))


def _cut_corner(to: Leg, on: Leg, waypoint: Waypoint, names: Names) -> Leg | None:
    radius = waypoint.acceptance_radius_m
    if to.item is None or radius <= _EARLY_M or waypoint.hold_s > 0.0 or on.item is None:
        return None
    early, late = (min(1.0, radius / leg.length_m) if leg.length_m > 0.0 else 1.0 for leg in (to, on))

    def at(leg: Leg, share: float) -> tuple[tuple[float, float], float]:
        (x0, y0), (x1, y1) = leg.start_m, leg.end_m
        height = leg.start_height_m + share * (leg.end_height_m - leg.start_height_m)
        return (x0 + share * (x1 - x0), y0 + share * (y1 - y0)), height

    start, start_height = at(to, 1.0 - early)
    end, end_height = at(on, late)
    name = f"the corner cut at {named(to.item, names)} (acceptance radius {said(radius)})"
    speed = max(to.speed_m_s, on.speed_m_s)
    return Leg(name, to.item, to.item, start, end, start_height, end_height, speed)


def distinct(legs: Sequence[Leg]) -> tuple[Leg, ...]:
    """Each way only once, the first time that it is flown: loops repeat legs, and say nothing new."""
    seen: dict[tuple[object, ...], Leg] = {}
    for leg in legs:
        key = (leg.start_m, leg.end_m, leg.start_height_m, leg.end_height_m, leg.speed_m_s, leg.item is None)
        seen.setdefault(key, leg)
    return tuple(seen.values())


def return_height_m(distance: float, height_m: float, return_height: float) -> float:
    """Height above home of a return that starts `distance` from home at height_m.

    PX4 lowers the return height near home to a cone of 45 degrees (`RTL_CONE_ANG`), and never descends for it.
    """
    return max(height_m, min(return_height, distance))


def said(metres: float) -> str:
    """A distance for a reader."""
    if metres >= 9950.0:
        return f"{metres / 1000:.0f} km"
    if metres >= 995.0:
        return f"{metres / 1000:.1f} km"
    return f"{metres:.0f} m" if metres >= 10.0 else f"{metres:.1f} m"
