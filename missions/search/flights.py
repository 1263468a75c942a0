# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tracks to flight plans: corners thinned, ways kept inside the fence, heights over the ground, battery respected."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry import LineString

from missions.energy import Performance, PlanEnergy, height_above_home_m, plan_energy
from missions.errors import PlanningError
from missions.geo import Altitude, Datum, FloatArray, GeoPoint
from missions.model import FlightPlan, Geofence, Mission, VehicleLimits, Waypoint
from missions.search.area import Room
from missions.search.improve import Allowance, cut_to
from missions.search.tracks import cost_m
from missions.terrain import OutsideTerrainError, Terrain, height_at
from missions.terrain_follow import Corner, HeightBand, follow, height_band

_TAKEOFF_S = 5.0
_TOP_SLACK_M = 1.0
_NARROW_BAND_M = 8.0
_THIN_M = 1.0
_NEAREST_CORNERS_M = 3.0
_TRIES = 12
_FOR_SEPARATION_S = 10.0  # of hover: keeping several flights apart costs a few metres of climb or a short hold


@dataclass(frozen=True, slots=True)
class SearchVehicle:
    """A drone: on its pad, or in the air at `at` with what its battery still holds."""

    vehicle_id: str
    home: GeoPoint
    return_height_m: float
    layer_m: float = 0.0
    battery_fraction: float = 1.0
    at: GeoPoint | None = None


@dataclass(frozen=True, slots=True)
class SearchOrder:
    """How the search is flown: whose order, height above ground, speed, and the wind to reckon with."""

    mission: Mission
    height_m: float
    cruise_speed_m_s: float
    wind_m_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Flown:
    """One flight: its plan, its energy, and the searched track (n, 2) in metres of the room's frame.

    battery_from_pad: see `Flights.battery_from_pad`.
    """

    plan: FlightPlan
    energy: PlanEnergy
    track: FloatArray
    battery_from_pad: float = 1.0


class Flights:
    """Makes flight plans for the vehicles of one search."""

    def __init__(
        self, order: SearchOrder, room: Room, fence: Geofence, limits: VehicleLimits, terrain: Terrain
    ) -> None:
        if order.wind_m_s > limits.max_wind_m_s:
            raise PlanningError(
                f"the wind of {order.wind_m_s:.1f} m/s is above the vehicles' limit of {limits.max_wind_m_s:.1f} m/s; wait"
            )
        self.order, self.room, self.fence, self.limits, self.terrain = order, room, fence, limits, terrain
        self.performance = Performance(limits, order.wind_m_s)
        self.speed = self.performance.ground_speed_m_s(order.cruise_speed_m_s)

    @property
    def turn_m(self) -> float:
        """Metres' worth of a full stop and start: v^2 / a."""
        return self.speed**2 / self.limits.acceleration_m_s2

    def lacking_fraction(self, vehicle: SearchVehicle) -> float:
        """How much of a full battery a vehicle lacks for take-off, turning round at once and landing; 0 or less: none."""
        return -self._free_s(vehicle) / self.limits.endurance_s

    def allowance(self, vehicle: SearchVehicle) -> Allowance:
        """How far a vehicle may fly, way out and home included, with its reserve untouched.

        Raises PlanningError for a height that the limits forbid, and for a pad where no ground height is known.
        """
        self._band(vehicle, self._home_amsl_m(vehicle))
        start = self.room.frame.to_enu(vehicle.at or vehicle.home)
        home = self.room.frame.to_enu(vehicle.home)
        metres = max(0.0, self._free_s(vehicle) / self.performance.level_power(self.speed) * self.speed)
        return Allowance(metres, start, home)

    def _free_s(self, vehicle: SearchVehicle) -> float:
        """Seconds of hover that the battery holds for level flight, with the reserve, climbs and landing kept."""
        top = max(vehicle.return_height_m, self.order.height_m + vehicle.layer_m)
        fixed = self.performance.landing(top)[1] + 2.0 * self.performance.corner_s(self.order.cruise_speed_m_s, 180.0)
        fixed += _FOR_SEPARATION_S + self.performance.climb(max(0.0, top - self.order.height_m))[1]
        if vehicle.at is None:
            fixed += self.performance.climb(self.order.height_m + vehicle.layer_m)[1] + _TAKEOFF_S
        return (vehicle.battery_fraction - self.limits.reserve_fraction) * self.limits.endurance_s - fixed

    def fly(self, vehicle: SearchVehicle, track: FloatArray, allowance: Allowance) -> Flown | None:
        """The flight of a track that begins where the vehicle stands, shortened until the battery holds.

        None when nothing is left of it. Raises PlanningError where heights cannot be kept.
        """
        reserve = self.limits.reserve_fraction + _FOR_SEPARATION_S / self.limits.endurance_s
        length = allowance.length_m
        for _ in range(_TRIES):
            short = cut_to(track, Allowance(length, allowance.start_m, allowance.home_m), self.turn_m)
            ways = self.room.joined(thinned(short))
            if len(ways) < 2:
                return None
            plan = self._plan(vehicle, ways)
            energy = self._energy(vehicle, plan)
            lacking = reserve - min(energy.landing_fraction, energy.margin_fraction)
            if lacking <= 0.0:
                return Flown(plan, energy, ways, self.battery_from_pad(vehicle, plan))
            # What is lacking is taken off the way in proportion, and a little more, so that a few tries do.
            length = min(length, cost_m(short, allowance, self.turn_m))
            length *= max(0.5, 0.998 - 1.02 * lacking / max(energy.battery_fraction_used, 0.01))
        return None

    def homeward(self, vehicle: SearchVehicle) -> Flown:
        """The flight of a vehicle in the air straight home. Raises PlanningError where heights cannot be kept."""
        here = np.asarray([self.room.frame.to_enu(vehicle.at or vehicle.home)])
        plan = self._plan(vehicle, here)
        return Flown(plan, self._energy(vehicle, plan), here, self.battery_from_pad(vehicle, plan))

    def replanned(self, vehicle: SearchVehicle, flown: Flown, plan: FlightPlan) -> Flown:
        """A flight whose plan was changed in its holds or heights, with the energy that it then takes."""
        return replace(flown, plan=plan, energy=self._energy(vehicle, plan))

    def battery_from_pad(self, vehicle: SearchVehicle, plan: FlightPlan) -> float:
        """The battery with which a flight from the pad would be where this vehicle is, with what it still holds.

        Above one for a drone far out with a full battery. Checks that know flights from pads only want this figure.
        """
        battery = vehicle.battery_fraction
        if vehicle.at is not None:
            # The model flies from the pad; what it counts up to where the drone already is, is given back.
            first = plan.waypoints[0]
            away = math.dist(self.room.frame.to_enu(vehicle.at), self.room.frame.to_enu(vehicle.home))
            rise = height_above_home_m(first.altitude, plan.home_amsl_m) - plan.takeoff_height_m
            spent = self.performance.climb(plan.takeoff_height_m)[1] + _TAKEOFF_S
            spent += self.performance.leg(away, rise, plan.cruise_speed_m_s)[1]
            battery += spent / self.limits.endurance_s
        return battery

    def _energy(self, vehicle: SearchVehicle, plan: FlightPlan) -> PlanEnergy:
        battery = self.battery_from_pad(vehicle, plan)
        return plan_energy(plan, self.limits, wind_m_s=self.order.wind_m_s, battery_fraction=battery)

    def _plan(self, vehicle: SearchVehicle, ways: FloatArray) -> FlightPlan:
        home = self.room.frame.to_enu(vehicle.home)
        try:
            home_amsl = self._home_amsl_m(vehicle)
            band = self._band(vehicle, home_amsl)
            tail = self.room.way_home((float(ways[-1, 0]), float(ways[-1, 1])), home)
            corners = [Corner(float(e), float(n), narrow=i > 0) for i, (e, n) in enumerate(ways)]
            corners += [Corner(float(e), float(n), narrow=False) for e, n in tail]
            if vehicle.at is not None:  # its own place is its first waypoint
                corners.insert(0, corners[0])
            followed = follow(corners, band, self.terrain, self.room.frame)[1:]
        except OutsideTerrainError as error:
            raise PlanningError(f"the way of {vehicle.vehicle_id}: {error}") from error
        waypoints = []
        for corner in followed:
            altitude = Altitude(round(corner.amsl_m - home_amsl, 2), Datum.HOME)
            waypoints.append(Waypoint(self.room.frame.to_geo(corner.east_m, corner.north_m), altitude))
        return FlightPlan(
            vehicle_id=vehicle.vehicle_id,
            mission=self.order.mission,
            home=vehicle.home,
            home_amsl_m=home_amsl,
            takeoff_height_m=round(min(band.wanted_m, band.top_amsl_m - home_amsl), 2),
            waypoints=tuple(waypoints),
            fence=self.fence,
            return_height_m=vehicle.return_height_m,
            cruise_speed_m_s=self.order.cruise_speed_m_s,
        )

    def _home_amsl_m(self, vehicle: SearchVehicle) -> float:
        try:
            return height_at(self.terrain, vehicle.home)
        except OutsideTerrainError as error:
            raise PlanningError(f"the pad of {vehicle.vehicle_id}: {error}") from error

    def _band(self, vehicle: SearchVehicle, home_amsl_m: float) -> HeightBand:
        top = self.fence.max_altitude
        top_amsl = math.inf if top is None else home_amsl_m + height_above_home_m(top, home_amsl_m) - _TOP_SLACK_M
        wanted = self.order.height_m + vehicle.layer_m
        return height_band(wanted, _NARROW_BAND_M, self.limits, self.terrain, top_amsl)


def thinned(track: FloatArray) -> FloatArray:
    """A track without corners that turn nothing (within a metre), and without corners on top of each other."""
    if len(track) < 2:
        return track
    line = np.asarray(LineString(track).simplify(_THIN_M, preserve_topology=False).coords)
    kept = [line[0]]
    for point in line[1:]:
        if float(np.hypot(*(point - kept[-1]))) >= _NEAREST_CORNERS_M:
            kept.append(point)
    return np.asarray(kept) if len(kept) > 1 else line[[0, -1]]


def reach_box(room: Room, half_width_m: float) -> tuple[float, float, float, float]:
    """West, south, east, north of what can be seen from inside a room."""
    west, south, east, north = shapely.bounds(room.area).tolist()
    return west - half_width_m, south - half_width_m, east + half_width_m, north + half_width_m
