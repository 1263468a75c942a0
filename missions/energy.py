# SPDX-License-Identifier: AGPL-3.0-or-later
"""Time and energy of a flight plan: a plan and the vehicle's limits come in, seconds and battery fractions go out.

The model is on the careful side. The wind's direction is not known when a plan is made, so every leg is flown
against it: the vehicle keeps its ground speed as long as its air speed allows, and pays for the drag.

- Battery: `endurance_s` of hover empties it. Power over hover power is
  `1 + 0.35 (air speed / greatest air speed)^3` in level flight (parasite drag grows with the cube of air speed),
  and in a climb `r + sqrt(r^2 + 1)` with `r = climb rate / (2 v_i)` (momentum theory, Leishman 2006, eq. 2.68);
  v_i, the induced velocity in hover, is taken as 5 m/s, as of a vehicle of 2 to 4 kg. A descent costs as a hover.
- Time: straight legs at their speed; passing a waypoint at `v_c = v cos(turn)` (a stop for turns of 90 degrees and
  more and for holds) loses `(v - v_c)^2 / (a v)` seconds against flying through at v. Climb and descent along a leg
  are limited by their rates.
- Landing: the last 10 m at 0.7 m/s, as PX4 does (`MPC_LAND_SPEED`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from missions.geo import Altitude, Datum, GeoPoint, distance_m
from missions.model import FlightPlan, VehicleLimits

_INDUCED_VELOCITY_M_S = 5.0
_DRAG_SHARE = 0.35
_SLOWEST_M_S = 0.5
_TAKEOFF_S = 5.0  # spin-up and the first metres
_LANDING_SLOW_M = 10.0
_LANDING_SLOW_M_S = 0.7


class DatumError(ValueError):
    """An altitude that cannot be related to home without a terrain or geoid model."""


def height_above_home_m(altitude: Altitude, home_amsl_m: float) -> float:
    """Metres above home of an altitude given above home or mean sea level; DatumError for the others."""
    if altitude.datum is Datum.HOME:
        return altitude.value_m
    if altitude.datum is Datum.AMSL:
        return altitude.value_m - home_amsl_m
    raise DatumError(f"an altitude above {altitude.datum} is not related to home yet")


@dataclass(frozen=True, slots=True)
class PlanEnergy:
    """What a plan costs.

    time_s: from take-off to touch-down, the return included.
    battery_fraction_used: over the same, of a full battery.
    return_fraction_worst: the largest fraction that coming home takes from any waypoint (climb to the return height,
        straight home, landing); `worst_item` is the index of that waypoint.
    landing_fraction: what is left at landing, from the given start.
    margin_fraction: the least, over all waypoints, of what would be left if the vehicle turned home there.
    length_m: horizontal, the return included.
    arrival_s: for each waypoint, when the vehicle reaches it, in seconds after take-off.
    """

    time_s: float
    battery_fraction_used: float
    return_fraction_worst: float
    worst_item: int | None
    landing_fraction: float
    margin_fraction: float
    length_m: float
    arrival_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Performance:
    """Speeds and powers of a vehicle in a given wind from any direction (speeds in m/s, powers over hover power)."""

    limits: VehicleLimits
    wind_m_s: float

    @property
    def air_speed_max_m_s(self) -> float:
        """The greatest of its speed limit and the wind that it can hold against."""
        return max(self.limits.max_speed_m_s, self.limits.max_wind_m_s)

    def ground_speed_m_s(self, wanted_m_s: float) -> float:
        """What is left of the wanted ground speed against the wind."""
        return max(_SLOWEST_M_S, min(wanted_m_s, self.air_speed_max_m_s - self.wind_m_s))

    def level_power(self, ground_speed_m_s: float) -> float:
        ratio = min(1.0, (ground_speed_m_s + self.wind_m_s) / self.air_speed_max_m_s)
        return 1.0 + _DRAG_SHARE * ratio**3

    def climb_power(self, climb_rate_m_s: float) -> float:
        r = max(0.0, climb_rate_m_s) / (2.0 * _INDUCED_VELOCITY_M_S)
        return r + math.hypot(r, 1.0)

    def vertical_s(self, from_m: float, to_m: float) -> float:
        """Seconds of a climb or descent on the spot."""
        rise = to_m - from_m
        return rise / self.limits.climb_rate_m_s if rise >= 0 else -rise / self.limits.descent_rate_m_s

    def leg(self, length_m: float, rise_m: float, wanted_m_s: float) -> tuple[float, float]:
        """(seconds, hover seconds' worth of energy) of a straight leg flown through without slowing."""
        speed = self.ground_speed_m_s(wanted_m_s)
        time_s = max(length_m / speed, self.vertical_s(0.0, rise_m))
        if time_s == 0.0:
            return 0.0, 0.0
        rate = max(0.0, rise_m) / time_s
        power = self.level_power(length_m / time_s) + self.climb_power(rate) - 1.0
        return time_s, time_s * power

    def corner_s(self, wanted_m_s: float, turn_deg: float) -> float:
        """Seconds lost by slowing down for a turn."""
        speed = self.ground_speed_m_s(wanted_m_s)
        kept = speed * max(0.0, math.cos(math.radians(turn_deg)))
        return (speed - kept) ** 2 / (self.limits.acceleration_m_s2 * speed)

    def landing(self, height_m: float) -> tuple[float, float]:
        """(seconds, hover seconds' worth) from hovering at a height above home to the ground."""
        slow = min(max(height_m, 0.0), _LANDING_SLOW_M)
        time_s = slow / _LANDING_SLOW_M_S + max(0.0, height_m - slow) / self.limits.descent_rate_m_s
        return time_s, time_s

    def climb(self, rise_m: float) -> tuple[float, float]:
        """(seconds, hover seconds' worth) of a climb on the spot; nothing for a rise below zero."""
        time_s = max(0.0, rise_m) / self.limits.climb_rate_m_s
        return time_s, time_s * self.climb_power(self.limits.climb_rate_m_s)

    def way_home(self, distance: float, height_m: float, return_height_m: float, speed: float) -> tuple[float, float]:
        """(seconds, hover seconds' worth) of climbing to the return height, straight home and landing."""
        top = max(height_m, return_height_m)
        parts = (
            self.climb(top - height_m),
            self.leg(distance, 0.0, speed),
            (self.corner_s(speed, 180.0), self.corner_s(speed, 180.0)),
            self.landing(top),
        )
        return sum(p[0] for p in parts), sum(p[1] for p in parts)


def turn_deg(before: GeoPoint, at: GeoPoint, after: GeoPoint) -> float:
    """Change of course at a waypoint, 0 to 180 degrees, from the planar angle of two short legs."""
    scale = math.cos(math.radians(at.latitude_deg))

    def course(a: GeoPoint, b: GeoPoint) -> float | None:
        east = ((b.longitude_deg - a.longitude_deg + 180.0) % 360.0 - 180.0) * scale
        north = b.latitude_deg - a.latitude_deg
        if math.hypot(east, north) < 1e-8:  # a millimetre
            return None
        return math.degrees(math.atan2(east, north))

    first, second = course(before, at), course(at, after)
    if first is None or second is None:
        return 0.0
    return abs((second - first + 180.0) % 360.0 - 180.0)


def plan_energy(
    plan: FlightPlan, limits: VehicleLimits, *, wind_m_s: float = 0.0, battery_fraction: float = 1.0
) -> PlanEnergy:
    """Time and energy of a whole plan: take-off, waypoints with their holds, return, landing.

    Raises DatumError when a waypoint's altitude is neither above home nor above mean sea level.
    """
    vehicle = Performance(limits, wind_m_s)
    speed = _allowed(plan.cruise_speed_m_s, limits)
    heights = [height_above_home_m(w.altitude, plan.home_amsl_m) for w in plan.waypoints]
    time_s, energy_s = vehicle.climb(plan.takeoff_height_m)
    time_s, energy_s = time_s + _TAKEOFF_S, energy_s + _TAKEOFF_S
    at, height, length_m = plan.home, plan.takeoff_height_m, 0.0
    arrivals: list[float] = []
    worst_return, worst_item = 0.0, None
    margin = math.inf
    points = [plan.home, *(w.position for w in plan.waypoints), plan.home]
    for index, waypoint in enumerate(plan.waypoints):
        if waypoint.speed_m_s is not None:
            speed = _allowed(waypoint.speed_m_s, limits)
        distance = distance_m(at, waypoint.position)
        leg_s, leg_energy = vehicle.leg(distance, heights[index] - height, speed)
        time_s, energy_s, length_m = time_s + leg_s, energy_s + leg_energy, length_m + distance
        arrivals.append(time_s)
        stops = waypoint.hold_s > 0
        turn = 180.0 if stops else turn_deg(points[index], points[index + 1], points[index + 2])
        extra = vehicle.corner_s(speed, turn) + waypoint.hold_s
        time_s, energy_s = time_s + extra, energy_s + extra
        at, height = waypoint.position, heights[index]
        _, home_energy = vehicle.way_home(distance_m(at, plan.home), height, plan.return_height_m, speed)
        if home_energy / limits.endurance_s > worst_return:
            worst_return, worst_item = home_energy / limits.endurance_s, index
        margin = min(margin, battery_fraction - (energy_s + home_energy) / limits.endurance_s)
    last = distance_m(at, plan.home)
    if plan.waypoints:
        home_s, home_energy = vehicle.way_home(last, height, plan.return_height_m, speed)
    else:
        home_s, home_energy = vehicle.landing(height)
    time_s, energy_s = time_s + home_s, energy_s + home_energy
    used = energy_s / limits.endurance_s
    return PlanEnergy(
        time_s=time_s,
        battery_fraction_used=used,
        return_fraction_worst=worst_return,
        worst_item=worst_item,
        landing_fraction=battery_fraction - used,
        margin_fraction=min(margin, battery_fraction - used),
        length_m=length_m + last,
        arrival_s=tuple(arrivals),
    )


def _allowed(speed_m_s: float, limits: VehicleLimits) -> float:
    """A speed that can be flown; one out of bounds is the speed check's finding and is not divided by here."""
    return min(max(speed_m_s, _SLOWEST_M_S), limits.max_speed_m_s)


def path_length_m(points: tuple[GeoPoint, ...] | list[GeoPoint]) -> float:
    """Geodesic length of a polyline."""
    return sum(distance_m(a, b) for a, b in pairwise(points))
