# SPDX-License-Identifier: AGPL-3.0-or-later
"""A multirotor as moving mass: demands of the autopilot in, true position, attitude and battery out, by step(dt).

Good enough for planning, link and vision: limits of acceleration and climb, tilt that follows acceleration and air
drag, gusts that push, a battery that hovering and climbing empty. No rotor or attitude-loop dynamics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from missions.geo import GeoPoint, distance_m
from missions.terrain import OutsideTerrainError, Terrain, height_at
from sim.config import WindConfig
from sim.noise import Noise, OrnsteinUhlenbeck

GRAVITY_M_S2 = 9.80665
_DRAG_1_S = 0.2  # tilt per airspeed: 10 m/s needs about 11 degrees
_VELOCITY_TAU_S = 0.35
_TILT_TAU_S = 0.15
_MOST_TILT_RAD = 0.78
_TERMINAL_FALL_M_S = 25.0
_CRASH_M_S = 3.0
_GUST_TAU_S = 4.0
_GUST_PUSH_1_S = 0.12  # how much of a gust's speed arrives as acceleration


@lru_cache(maxsize=4096)
def _degree_lengths_near(latitude_millideg: int) -> tuple[float, float]:
    lat = latitude_millideg / 1000.0
    north = distance_m(GeoPoint(lat - 0.005, 0.0), GeoPoint(lat + 0.005, 0.0)) * 100.0
    east = distance_m(GeoPoint(lat, -0.005), GeoPoint(lat, 0.005)) * 100.0
    return north, east


def degree_lengths_m(latitude_deg: float) -> tuple[float, float]:
    """Metres per degree of latitude and of longitude on the ellipsoid, at the nearest thousandth of a degree."""
    return _degree_lengths_near(round(latitude_deg * 1000.0))


@dataclass(slots=True)
class Demand:
    """What the autopilot asks of the airframe in one step."""

    thrust: bool = False  # motors produce lift; False: off, or idling on the ground
    spinning: bool = False  # motors turn, which costs some battery
    velocity_north_m_s: float = 0.0
    velocity_east_m_s: float = 0.0
    velocity_down_m_s: float = 0.0
    yaw_rad: float = 0.0
    acceleration_m_s2: float = 3.0
    yaw_rate_rad_s: float = 1.0


class Battery:
    """Energy as a fraction of full; it never rises but by a swap (`fraction` set from outside)."""

    __slots__ = ("_rate_1_s", "current_a", "fraction", "voltage_v")

    def __init__(self, fraction: float, endurance_s: float) -> None:
        self.fraction = fraction
        self._rate_1_s = 1.0 / endurance_s
        self.current_a = 0.0
        self.voltage_v = 16.2

    def step(self, dt_s: float, load: float) -> None:
        """load: power as a multiple of hover."""
        self.fraction = max(0.0, self.fraction - dt_s * self._rate_1_s * load)
        self.current_a = 14.0 * load
        # 4 cells: 4.05 V full to 3.6 V at "empty" under no load, and a sag that load brings; steep at the end.
        knee = max(0.0, 0.1 - self.fraction)
        self.voltage_v = 4.0 * (3.6 + 0.45 * self.fraction - 3.0 * knee) - 0.01 * self.current_a


class Vehicle:
    """True state of one vehicle. Positions are WGS 84 degrees and metres above mean sea level; velocities NED."""

    __slots__ = (
        "_ground_at",
        "_ground_height",
        "_gust_east",
        "_gust_north",
        "_wind_east",
        "_wind_north",
        "acceleration_east",
        "acceleration_north",
        "amsl_m",
        "battery",
        "crashed",
        "distance_flown_m",
        "ground_amsl_m",
        "home_amsl_m",
        "latitude_deg",
        "longitude_deg",
        "on_ground",
        "pitch_rad",
        "roll_rad",
        "time_s",
        "velocity_down_m_s",
        "velocity_east_m_s",
        "velocity_north_m_s",
        "yaw_rad",
    )

    def __init__(
        self,
        home: GeoPoint,
        terrain: Terrain,
        wind: WindConfig,
        seed: str,
        battery: Battery,
        yaw_deg: float = 0.0,
    ) -> None:
        noise = Noise(f"{seed}/wind")
        self.latitude_deg = home.latitude_deg
        self.longitude_deg = home.longitude_deg
        self._ground_height: Callable[[GeoPoint], float] = lambda point: height_at(terrain, point)
        self.ground_amsl_m = height_at(terrain, home)
        self.home_amsl_m = self.ground_amsl_m
        self._ground_at = (home.latitude_deg, home.longitude_deg)
        self.amsl_m = self.ground_amsl_m
        self.velocity_north_m_s = self.velocity_east_m_s = self.velocity_down_m_s = 0.0
        self.acceleration_north = self.acceleration_east = 0.0
        self.roll_rad = self.pitch_rad = 0.0
        self.yaw_rad = math.radians(yaw_deg)
        self.on_ground = True
        self.crashed = False
        self.battery = battery
        self.time_s = 0.0
        self.distance_flown_m = 0.0
        toward = math.radians(wind.from_deg + 180.0)
        self._wind_north = wind.speed_m_s * math.cos(toward)
        self._wind_east = wind.speed_m_s * math.sin(toward)
        self._gust_north = OrnsteinUhlenbeck(noise, wind.gust_m_s, _GUST_TAU_S)
        self._gust_east = OrnsteinUhlenbeck(noise, wind.gust_m_s, _GUST_TAU_S)

    @property
    def height_above_home_m(self) -> float:
        return self.amsl_m - self.home_amsl_m

    def step(self, dt_s: float, demand: Demand) -> None:
        """Advance by dt_s seconds (0.02 to 0.2)."""
        self.time_s += dt_s
        if self.on_ground and (self.crashed or not (demand.thrust and demand.velocity_down_m_s < 0.0)):
            self.velocity_north_m_s = self.velocity_east_m_s = self.velocity_down_m_s = 0.0
            self.roll_rad = self.pitch_rad = 0.0
            self.battery.step(dt_s, 0.15 if demand.spinning else 0.005)
            return
        self.on_ground = False
        gust_north = self._gust_north.step(dt_s)
        gust_east = self._gust_east.step(dt_s)
        if demand.thrust and self.battery.fraction > 0.0:
            self._fly(dt_s, demand, gust_north, gust_east)
        else:
            self._fall(dt_s)
        self._move(dt_s)

    def _fly(self, dt_s: float, demand: Demand, gust_north: float, gust_east: float) -> None:
        vn, ve, vd = self.velocity_north_m_s, self.velocity_east_m_s, self.velocity_down_m_s
        an = (demand.velocity_north_m_s - vn) / _VELOCITY_TAU_S
        ae = (demand.velocity_east_m_s - ve) / _VELOCITY_TAU_S
        wanted = math.hypot(an, ae)
        if wanted > demand.acceleration_m_s2:
            an *= demand.acceleration_m_s2 / wanted
            ae *= demand.acceleration_m_s2 / wanted
        an += _GUST_PUSH_1_S * gust_north
        ae += _GUST_PUSH_1_S * gust_east
        ad = max(-4.0, min(3.0, (demand.velocity_down_m_s - vd) / _VELOCITY_TAU_S))
        self.acceleration_north, self.acceleration_east = an, ae
        self.velocity_north_m_s = vn + an * dt_s
        self.velocity_east_m_s = ve + ae * dt_s
        self.velocity_down_m_s = vd + ad * dt_s

        turn = (demand.yaw_rad - self.yaw_rad + math.pi) % (2.0 * math.pi) - math.pi
        most = demand.yaw_rate_rad_s * dt_s
        self.yaw_rad = (self.yaw_rad + max(-most, min(most, turn))) % (2.0 * math.pi)

        air_north = vn - self._wind_north - gust_north
        air_east = ve - self._wind_east - gust_east
        push_north = an + _DRAG_1_S * air_north
        push_east = ae + _DRAG_1_S * air_east
        cos_yaw, sin_yaw = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        pitch = -math.atan2(push_north * cos_yaw + push_east * sin_yaw, GRAVITY_M_S2 - ad)
        roll = math.atan2(push_east * cos_yaw - push_north * sin_yaw, GRAVITY_M_S2 - ad)
        blend = dt_s / (dt_s + _TILT_TAU_S)
        self.pitch_rad += blend * (max(-_MOST_TILT_RAD, min(_MOST_TILT_RAD, pitch)) - self.pitch_rad)
        self.roll_rad += blend * (max(-_MOST_TILT_RAD, min(_MOST_TILT_RAD, roll)) - self.roll_rad)

        # Hover 1; climbing lifts the weight, sinking saves a little; drag grows with the cube of the airspeed.
        climb = -self.velocity_down_m_s
        air = math.hypot(air_north, air_east)
        load = 1.0 + (0.08 * climb if climb > 0.0 else 0.03 * climb) + 0.35 * (air / 15.0) ** 3 - 0.004 * min(air, 8.0)
        self.battery.step(dt_s, load)

    def _fall(self, dt_s: float) -> None:
        speed = self.velocity_down_m_s
        drag = GRAVITY_M_S2 * (speed / _TERMINAL_FALL_M_S) * abs(speed / _TERMINAL_FALL_M_S)
        self.velocity_down_m_s = speed + (GRAVITY_M_S2 - drag) * dt_s
        slow = math.exp(-0.3 * dt_s)
        self.velocity_north_m_s *= slow
        self.velocity_east_m_s *= slow
        self.battery.step(dt_s, 0.005)

    def _move(self, dt_s: float) -> None:
        per_lat, per_lon = degree_lengths_m(self.latitude_deg)
        north = self.velocity_north_m_s * dt_s
        east = self.velocity_east_m_s * dt_s
        self.latitude_deg += north / per_lat
        self.longitude_deg = (self.longitude_deg + east / per_lon + 180.0) % 360.0 - 180.0
        self.distance_flown_m += math.hypot(north, east)
        self.amsl_m -= self.velocity_down_m_s * dt_s
        self._look_at_ground(per_lat, per_lon)
        if self.amsl_m <= self.ground_amsl_m:
            skid = math.hypot(self.velocity_north_m_s, self.velocity_east_m_s)
            self.crashed = self.crashed or self.velocity_down_m_s > _CRASH_M_S or skid > _CRASH_M_S
            self.amsl_m = self.ground_amsl_m
            self.velocity_north_m_s = self.velocity_east_m_s = self.velocity_down_m_s = 0.0
            self.on_ground = True

    def _look_at_ground(self, per_lat: float, per_lon: float) -> None:
        """A terrain look-up costs as much as the rest of a step: rarely when high, each metre when low."""
        moved = abs(self.latitude_deg - self._ground_at[0]) * per_lat
        moved += abs(self.longitude_deg - self._ground_at[1]) * per_lon
        if moved < max(1.0, 0.25 * (self.amsl_m - self.ground_amsl_m)):
            return
        self._ground_at = (self.latitude_deg, self.longitude_deg)
        try:
            self.ground_amsl_m = self._ground_height(GeoPoint(self.latitude_deg, self.longitude_deg))
        except OutsideTerrainError:
            return  # beyond the map the ground goes on as high as it last was
