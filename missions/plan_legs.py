# SPDX-License-Identifier: AGPL-3.0-or-later
"""The legs that a plan is flown along, in metres around its home, for the rules that measure them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely.geometry import LineString

from missions.energy import height_above_home_m
from missions.geo import FloatArray, LocalFrame
from missions.model import FlightPlan, VehicleLimits


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


def plan_legs(plan: FlightPlan, limits: VehicleLimits) -> tuple[Leg, ...]:
    """Home to the first waypoint, between waypoints, and the return at its own height.

    Raises DatumError for an altitude that is not related to home.
    """
    frame = LocalFrame(plan.home)
    legs: list[Leg] = []
    at, height, speed = (0.0, 0.0), plan.takeoff_height_m, plan.cruise_speed_m_s
    before: int | None = None
    for index, waypoint in enumerate(plan.waypoints):
        if waypoint.speed_m_s is not None:
            speed = waypoint.speed_m_s
        place = frame.to_enu(waypoint.position)
        to_height = height_above_home_m(waypoint.altitude, plan.home_amsl_m)
        start = "home" if before is None else f"waypoint {before + 1}"
        name = f"the leg from {start} to waypoint {index + 1}"
        flown = min(max(speed, 0.0), limits.max_speed_m_s)
        legs.append(Leg(name, before, index, at, place, height, to_height, flown))
        at, height, before = place, to_height, index
    if before is not None:
        top = return_height_m(float(np.hypot(*at)), height, plan.return_height_m)
        name = f"the return from waypoint {before + 1} to home"
        flown = min(max(speed, 0.0), limits.max_speed_m_s)
        legs.append(Leg(name, before, None, at, (0.0, 0.0), top, top, flown))
    return tuple(legs)


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
