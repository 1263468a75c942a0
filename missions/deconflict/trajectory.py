# SPDX-License-Identifier: AGPL-3.0-or-later
"""A flight plan as motion: where its vehicle is at every second from take-off to touch-down.

Motion is linear between knots. Times are those of the energy model (`missions.energy`): spin-up, climb on the spot,
legs with their climbs, corners and holds as stays at the waypoint, the climb to the return height, the straight way
home and the landing. The return height is lowered near home as the autopilot does (`missions.plan_legs`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from missions.energy import Performance, height_above_home_m, turn_deg
from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import FlightPlan, VehicleLimits
from missions.plan_legs import return_height_m

HOVERED_S = 30.0  # of `from_first_waypoint`: as long as the greatest slack that planners look for
SPIN_UP_S = 5.0  # as the energy model's: on the pad, but a vehicle that others keep away from
_LANDING_SLOW_M = 10.0
_SLOWEST_M_S = 0.5


class Phase(IntEnum):
    """What a vehicle does in a piece of its motion."""

    LAUNCH = 0
    ROUTE = 1
    STAY = 2  # a hold, or the seconds that a corner costs
    RETURN = 3
    LANDING = 4


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Knots of one flight, n of them, and what happens in the n - 1 pieces between.

    time_s: (n,), from 0 (`from_first_waypoint` may begin before it), strictly rising. place_m: (n, 3) east and north in
    the common frame, height above mean sea level. phase: (n - 1,) of Phase. item: (n - 1,) the waypoint that a piece
    leads to or stays at; -1 before the first leg, the number of waypoints from the return on.
    """

    time_s: FloatArray
    place_m: FloatArray
    phase: NDArray[np.int64]
    item: NDArray[np.int64]

    @property
    def duration_s(self) -> float:
        return float(self.time_s[-1])

    def at(self, seconds: float) -> tuple[float, float, float]:
        """East, north, height above sea at a time within the flight."""
        east, north, up = (float(np.interp(seconds, self.time_s, self.place_m[:, c])) for c in range(3))
        return east, north, up

    def phase_at(self, seconds: float) -> Phase:
        piece = int(np.searchsorted(self.time_s, seconds, side="right")) - 1
        return Phase(int(self.phase[min(max(piece, 0), len(self.phase) - 1)]))


def from_first_waypoint(flown: Trajectory, *, hovered_s: float = 0.0) -> Trajectory:
    """What is left of a motion for a vehicle that is at its first waypoint already, in the air: there at 0.

    hovered_s: for how long before 0 it has stood there; the motion then begins with that, at a negative time. Whoever
    moves such a motion later in time has the vehicle wait in its place, which is what one that flies on late does.
    """
    there = (flown.item > 0) | ((flown.item == 0) & (flown.phase != Phase.ROUTE))
    first = int(np.argmax(there))
    times, places = flown.time_s[first:] - flown.time_s[first], flown.place_m[first:]
    phase, item = flown.phase[first:], flown.item[first:]
    if hovered_s > 0.0:
        times, places = np.append(-hovered_s, times), np.vstack([places[:1], places])
        phase, item = np.append(int(Phase.STAY), phase), np.append(0, item)
    return Trajectory(times, places, phase, item)


def common_frame(plans: Sequence[FlightPlan]) -> LocalFrame:
    """A frame for all: around the tenth of a degree nearest to the plan that comes first by vehicle.

    So it depends neither on the order of the plans nor on small changes of them, and neighbours share it. Distances
    within 20 km of its origin are right to 2e-6.
    """
    home = min(plans, key=lambda p: p.vehicle_id).home
    return LocalFrame(GeoPoint(round(home.latitude_deg, 1), round(home.longitude_deg, 1)))


def places_m(plan: FlightPlan, frame: LocalFrame) -> FloatArray:
    """East and north of home and of every waypoint, (1 + n, 2)."""
    points = [plan.home, *(w.position for w in plan.waypoints)]
    return frame.to_enu_array([p.latitude_deg for p in points], [p.longitude_deg for p in points])


def fly(plan: FlightPlan, limits: VehicleLimits, places: FloatArray, *, wind_m_s: float = 0.0) -> Trajectory:
    """The motion of a plan; `places` as `places_m` gives them. Raises DatumError as the energy model does."""
    return _Flight(plan, Performance(limits, wind_m_s), [(float(e), float(n)) for e, n in places]).fly()


class _Flight:
    """A vehicle on its way, writing down its knots."""

    def __init__(self, plan: FlightPlan, vehicle: Performance, places: Sequence[tuple[float, float]]) -> None:
        self.plan, self.vehicle, self.places = plan, vehicle, places
        self.knots: list[tuple[float, float, float, float]] = [(0.0, *places[0], 0.0)]
        self.phases: list[Phase] = []
        self.items: list[int] = []

    def fly(self) -> Trajectory:
        plan, vehicle, limits = self.plan, self.vehicle, self.vehicle.limits
        home = self.places[0]
        top = plan.takeoff_height_m
        self._go(SPIN_UP_S, home, 0.0, Phase.LAUNCH, -1)
        self._go(max(0.0, top) / limits.climb_rate_m_s, home, top, Phase.LAUNCH, -1)
        speed = _flown(plan.cruise_speed_m_s, limits)
        points = [plan.home, *(w.position for w in plan.waypoints), plan.home]
        height = top
        for index, waypoint in enumerate(plan.waypoints):
            if waypoint.speed_m_s is not None:
                speed = _flown(waypoint.speed_m_s, limits)
            place = self.places[index + 1]
            wanted = height_above_home_m(waypoint.altitude, plan.home_amsl_m)
            leg_s, _ = vehicle.leg(math.dist(self.places[index], place), wanted - height, speed)
            height = wanted
            self._go(leg_s, place, height, Phase.ROUTE, index)
            turn = 180.0 if waypoint.hold_s > 0 else turn_deg(points[index], points[index + 1], points[index + 2])
            self._go(vehicle.corner_s(speed, turn) + waypoint.hold_s, place, height, Phase.STAY, index)
        after = len(plan.waypoints)
        if plan.waypoints:
            last = self.places[-1]
            away = math.dist(last, home)
            top = return_height_m(away, height, plan.return_height_m)
            self._go(vehicle.climb(top - height)[0], last, top, Phase.RETURN, after)
            self._go(vehicle.leg(away, 0.0, speed)[0], home, top, Phase.RETURN, after)
            self._go(vehicle.corner_s(speed, 180.0), home, top, Phase.RETURN, after)
            height = top
        slow = min(max(height, 0.0), _LANDING_SLOW_M)
        down_s = vehicle.landing(height)[0] - vehicle.landing(slow)[0]
        self._go(down_s, home, slow, Phase.LANDING, after)
        self._go(vehicle.landing(slow)[0], home, 0.0, Phase.LANDING, after)
        table = np.asarray(self.knots)
        table[:, 3] += plan.home_amsl_m
        return Trajectory(table[:, 0], table[:, 1:], np.asarray(self.phases), np.asarray(self.items))

    def _go(self, seconds: float, place: tuple[float, float], height: float, phase: Phase, item: int) -> None:
        if seconds > 1e-9:
            self.knots.append((self.knots[-1][0] + seconds, *place, height))
            self.phases.append(phase)
            self.items.append(item)


def _flown(speed_m_s: float, limits: VehicleLimits) -> float:
    return min(max(speed_m_s, _SLOWEST_M_S), limits.max_speed_m_s)
