# SPDX-License-Identifier: AGPL-3.0-or-later
"""How short a set of flights that keep apart could be at best."""

from __future__ import annotations

import math
from collections.abc import Sequence

from missions.deconflict.model import Flight
from missions.deconflict.trajectory import common_frame, places_m
from missions.energy import Performance
from missions.model import FlightPlan, VehicleLimits


def makespan_bound_s(flights: Sequence[Flight], limits: VehicleLimits, wind_m_s: float = 0.0) -> float:
    """Seconds from the first wanted start to the last touch-down that no resolution can go below.

    A resolution puts starts off, moves heights, adds holds and waypoints. None of these makes a flight's way across the
    ground shorter (triangle inequality), its speed greater or its holds shorter, and none makes it start before it
    wants to. So each flight touches down no earlier than its wanted start plus the time of its legs and of the way home
    at its speeds plus its holds; climbs, corners and landings, which a lower layer might shorten, are not counted.
    """
    if not flights:
        return 0.0
    first = min(f.start_s for f in flights)
    return max(f.start_s - first + _least_s(f.plan, limits, wind_m_s) for f in flights)


def _least_s(plan: FlightPlan, limits: VehicleLimits, wind_m_s: float) -> float:
    vehicle = Performance(limits, wind_m_s)
    places = places_m(plan, common_frame([plan]))
    speed, total = plan.cruise_speed_m_s, 0.0
    for index, waypoint in enumerate(plan.waypoints):
        speed = speed if waypoint.speed_m_s is None else waypoint.speed_m_s
        total += math.dist(places[index], places[index + 1]) / _over_ground(vehicle, speed) + waypoint.hold_s
    return total + math.dist(places[-1], places[0]) / _over_ground(vehicle, speed)


def _over_ground(vehicle: Performance, speed_m_s: float) -> float:
    """The trajectory's speed; flights are never faster than the vehicle is."""
    return vehicle.ground_speed_m_s(min(max(speed_m_s, 0.5), vehicle.limits.max_speed_m_s))
