# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the parts of a simulated autopilot share: state, modes, arming, and the way out for messages.

`autopilot.py` puts the parts together; navigator, failsafes, commands and streams read and change the state here.
The rules of mode changes and arming are those of PX4 1.16's commander.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from missions.geo import wrap_degrees
from sim import mavlink_messages as m
from sim.mavlink import Encoder, MessageSpec
from sim.params import Parameters
from sim.sensors import Estimate
from sim.vehicle import Demand, Vehicle, degree_lengths_m


class Mode(IntEnum):
    """PX4 flight modes by the value of HEARTBEAT.custom_mode: main mode << 16 | sub mode << 24."""

    MANUAL = 1 << 16
    ALTITUDE = 2 << 16
    POSITION = 3 << 16
    TAKEOFF = 4 << 16 | 2 << 24
    HOLD = 4 << 16 | 3 << 24
    MISSION = 4 << 16 | 4 << 24
    RETURN = 4 << 16 | 5 << 24
    LAND = 4 << 16 | 6 << 24
    OFFBOARD = 6 << 16
    STABILIZED = 7 << 16


NEEDS_STICKS = frozenset({Mode.MANUAL, Mode.ALTITUDE, Mode.POSITION, Mode.STABILIZED, Mode.OFFBOARD})
PREVENTS_ARMING = frozenset({Mode.RETURN, Mode.LAND})
_LEAST_ACCELERATION_M_S2 = 0.1  # whatever the parameter says: it is divided by
_MOVING_M_S = 0.5  # a course over ground means something
_COASTING_S = 4.0  # how long the estimate stays good without satellites
LEFT_ON_DISARM = frozenset({Mode.RETURN, Mode.LAND, Mode.TAKEOFF})  # for the mode that the user wanted before


class Landed(IntEnum):
    """MAV_LANDED_STATE."""

    ON_GROUND = 1
    IN_AIR = 2
    TAKEOFF = 3
    LANDING = 4


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to be: degrees, metres above mean sea level, and a heading (None: whatever the course gives)."""

    latitude_deg: float
    longitude_deg: float
    amsl_m: float
    yaw_rad: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of flight as the parameters give them."""

    speed_m_s: float
    climb_m_s: float
    sink_m_s: float
    acceleration_m_s2: float
    yaw_rate_rad_s: float

    @classmethod
    def of(cls, params: Parameters) -> Limits:
        return cls(
            speed_m_s=params.real("MPC_XY_VEL_MAX"),
            climb_m_s=params.real("MPC_Z_V_AUTO_UP"),
            sink_m_s=params.real("MPC_Z_V_AUTO_DN"),
            acceleration_m_s2=max(_LEAST_ACCELERATION_M_S2, params.real("MPC_ACC_HOR")),
            yaw_rate_rad_s=math.radians(params.real("MPC_YAWRAUTO_MAX")),
        )


@dataclass(frozen=True, slots=True)
class Astray:
    """A fault: in mission mode it flies straight on at this speed, and its waypoint does not matter to it."""

    speed_m_s: float
    course_rad: float


def offset_m(core: Core, latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
    """(north_m, east_m) from where the vehicle believes to be to a place."""
    estimate = core.estimate
    per_lat, per_lon = degree_lengths_m(estimate.latitude_deg)
    return (
        (latitude_deg - estimate.latitude_deg) * per_lat,
        wrap_degrees(longitude_deg - estimate.longitude_deg) * per_lon,
    )


class Core:
    """State of one autopilot. `now_s` is simulated time since boot, which is also what time_boot_ms carries."""

    def __init__(
        self, vehicle: Vehicle, estimate: Estimate, params: Parameters, encoder: Encoder, *, ready_s: float
    ) -> None:
        self.vehicle = vehicle
        self.estimate = estimate
        self.params = params
        self.demand = Demand()
        self.out: list[bytes] = []
        self.now_s = 0.0
        self.ready_s = ready_s
        self.mode = Mode.HOLD
        self.mode_changes = 0  # rises with each change, also into the same mode: navigators start anew
        self.armed = False
        self.armed_at_s = 0.0
        self.landed = True
        self.landed_at_s = 0.0
        self.has_flown = False  # since arming
        self.home: Spot | None = None
        self.home_changed = False
        self.mission_valid = False
        self.failsafe = False
        self.mode_after_disarm = Mode.HOLD
        self.gps_lost_s: float | None = None  # since when there are too few satellites
        self.user_took_over = False  # set by a mode change of the user; the failsafes read and clear it
        self.gimbal_pitch_deg: float | None = None
        self.takeoff_amsl_m: float | None = None
        self.taking_off = False  # set by the navigators in each step
        self.landing = False
        self.hold_spot: Spot | None = None
        self.cruise_m_s: float | None = None
        self.astray: Astray | None = None
        self.last_ground_station_s = 0.0
        self.ground_station_seen = False
        self.battery_warning = 0  # 0 none, 1 low, 2 critical, 3 emergency
        self._encoder = encoder
        self._text_id = 0
        self._limits = Limits.of(params)
        self._limits_version = params.version

    def send(self, spec: MessageSpec, *values: float | bytes) -> None:
        self.out.append(self._encoder.frame(spec, *values))

    def say(self, severity: m.Severity, text: str) -> None:
        """A STATUSTEXT, in chunks of 50 bytes when it is longer."""
        raw = text.encode()
        if len(raw) <= 50:
            self.send(m.STATUSTEXT, int(severity), raw, 0, 0)
            return
        self._text_id = self._text_id % 65535 + 1
        for chunk, start in enumerate(range(0, len(raw), 50)):
            self.send(m.STATUSTEXT, int(severity), raw[start : start + 50], self._text_id, chunk)

    @property
    def limits(self) -> Limits:
        """Read anew when a parameter has changed: they are asked for many times in each step."""
        if self._limits_version != self.params.version:
            self._limits_version = self.params.version
            self._limits = Limits.of(self.params)
        return self._limits

    @property
    def ready(self) -> bool:
        """Position and home are there: a few seconds after boot, and until some seconds after satellites are lost."""
        if self.gps_lost_s is not None and self.now_s - self.gps_lost_s > _COASTING_S:
            return False
        return self.now_s >= self.ready_s

    @property
    def height_m(self) -> float:
        """Believed height above home; 0 before there is a home."""
        return 0.0 if self.home is None else self.estimate.amsl_m - self.home.amsl_m

    @property
    def landed_state(self) -> Landed:
        if self.landed:
            return Landed.ON_GROUND
        if self.taking_off:
            return Landed.TAKEOFF
        return Landed.LANDING if self.landing else Landed.IN_AIR

    def here(self) -> Spot:
        estimate = self.estimate
        return Spot(estimate.latitude_deg, estimate.longitude_deg, estimate.amsl_m)

    def go_astray(self, speed_m_s: float | None) -> None:
        """From now on, in mission mode, straight on the way it goes now, or the way it looks; None: no more.

        Its mode, its progress and its other modes are not touched: so development versions of PX4 were seen to miss
        waypoints. 0 stands still.
        """
        if speed_m_s is None:
            self.astray = None
            return
        north, east = self.estimate.velocity_north_m_s, self.estimate.velocity_east_m_s
        moving = math.hypot(north, east) > _MOVING_M_S
        self.astray = Astray(speed_m_s, math.atan2(east, north) if moving else self.vehicle.yaw_rad)

    def set_home_here(self) -> None:
        self.home = self.here()
        self.home_changed = True

    # Modes ----------------------------------------------------------------------------------------------------

    def can_run(self, mode: Mode) -> bool:
        """Whether an armed vehicle can be in a mode: sticks there are none, a mission must be valid."""
        if mode in NEEDS_STICKS:
            return False
        if mode is Mode.MISSION:
            return self.ready and self.mission_valid
        return self.ready or mode is Mode.LAND

    def request_mode(self, mode: Mode) -> bool:
        """A mode change by the user. Disarmed, PX4 takes any; armed, only one that can run."""
        if self.armed and not self.can_run(mode):
            self.say(m.Severity.CRITICAL, f"Switching to {mode.name.capitalize()} is currently not available")
            return False
        self.user_took_over = True
        if mode not in LEFT_ON_DISARM:
            self.mode_after_disarm = mode
        self.enter(mode)
        return True

    def enter(self, mode: Mode) -> None:
        """Be in a mode from now on, whoever wants it."""
        self.mode = mode
        self.mode_changes += 1

    # Arming ---------------------------------------------------------------------------------------------------

    def why_not_arm(self) -> str | None:
        """The reason that keeps the vehicle from arming, or None."""
        if not self.ready:
            return "Preflight Fail: ekf2 missing data"
        if self.vehicle.crashed:
            return "Preflight Fail: vehicle damaged"
        if self.mode in PREVENTS_ARMING:
            return "Arming denied: mode not suitable for takeoff"
        if not self.can_run(self.mode):
            return "Arming denied: Resolve system health failures first"
        if self.battery_warning:
            return "Preflight Fail: low battery"
        if self.params.integer("NAV_DLL_ACT") > 0 and not self.ground_station_here():
            return "Preflight Fail: No connection to the ground control station"
        return None

    def arm(self, *, forced: bool = False) -> bool:
        if self.armed:
            return True
        reason = None if forced and not self.vehicle.crashed else self.why_not_arm()
        if reason is not None:
            self.say(m.Severity.CRITICAL, reason)
            return False
        self.armed = True
        self.armed_at_s = self.now_s
        self.has_flown = False
        self.set_home_here()
        self.say(m.Severity.INFO, "Armed by external command")
        return True

    def disarm(self, *, forced: bool = False, why: str = "external command") -> bool:
        """In the air only by force, and then it falls."""
        if not self.armed:
            return True
        if not self.landed and not forced:
            self.say(m.Severity.CRITICAL, "Disarming denied: not landed")
            return False
        self.armed = False
        self.failsafe = False
        if self.mode is not self.mode_after_disarm:
            self.enter(self.mode_after_disarm)
        self.say(m.Severity.INFO, f"Disarmed by {why}")
        return True

    def ground_station_here(self) -> bool:
        return self.ground_station_seen and self.now_s - self.last_ground_station_s <= self.params.integer(
            "COM_DL_LOSS_T"
        )

    # Landing --------------------------------------------------------------------------------------------------

    def watch_ground(self) -> None:
        """Land detection and the two automatic disarms."""
        vehicle = self.vehicle
        if vehicle.crashed and vehicle.on_ground and self.armed:
            self.landed = True
            self.say(m.Severity.EMERGENCY, "Crash detected")
            self.disarm(forced=True, why="failure detector")
        if vehicle.on_ground:
            if not self.landed and self.now_s - self.landed_at_s >= 1.0:
                self.landed = True
                self.landed_at_s = self.now_s
                self.say(m.Severity.INFO, "Landing detected")
        else:
            if self.landed:
                self.say(m.Severity.INFO, "Takeoff detected")
                if not self.has_flown:
                    self.set_home_here()
            self.landed = False
            self.has_flown = True
            self.landed_at_s = self.now_s  # last moment off the ground
        if not (self.armed and self.landed):
            return
        if self.has_flown:
            wait, why = self.params.real("COM_DISARM_LAND"), "landing"
            since = self.landed_at_s
        else:
            wait, why = self.params.real("COM_DISARM_PRFLT"), "auto preflight disarming"
            since = self.armed_at_s
        if wait > 0.0 and self.now_s - since >= wait:
            self.disarm(why=why)


def finite(value: float, default: float) -> float:
    """A command's parameter, or the default where it is NaN."""
    return value if math.isfinite(value) else default
