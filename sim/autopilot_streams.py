# SPDX-License-Identifier: AGPL-3.0-or-later
"""Telemetry: which messages are sent how often, and how each is filled from the autopilot's state.

Rates are in simulated time, as on PX4 SITL: at speed 4 a 10 Hz stream brings 40 messages per real second. A message
goes out at most once per step. The default set brings about 55 messages/s; SET_MESSAGE_INTERVAL changes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sim import mavlink_messages as m
from sim.autopilot_core import NEEDS_STICKS, PREVENTS_ARMING, Core, Landed
from sim.autopilot_mission import MissionFlight
from sim.vehicle import degree_lengths_m

_TYPE_QUADROTOR, _AUTOPILOT_PX4 = 2, 12
_ARMED, _MANUAL, _STABILIZE, _GUIDED, _AUTO, _CUSTOM = 128, 64, 16, 8, 4, 1
_UNINIT, _STANDBY, _ACTIVE, _CRITICAL = 0, 3, 4, 5
_GPS, _BATTERY, _PREARM = 0x20, 0x0200_0000, 0x1000_0000
# gyro, accelerometer, magnetometer, pressure, rate and attitude control, position control, motors, AHRS
_SENSORS = 0x1 | 0x2 | 0x4 | 0x8 | 0x400 | 0x800 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x0020_0000
_UNIX_START_US = 1_767_225_600_000_000  # the simulated day begins 2026-01-01T00:00:00Z
_NAN = math.nan
_LONGEST_S = 2000.0  # MESSAGE_INTERVAL tells microseconds in 32 bits
_NO_CELLS = (65535,) * 6
_DEFAULT_HZ: dict[int, float] = {
    m.HEARTBEAT.message_id: 1.0,
    m.SYS_STATUS.message_id: 1.0,
    m.SYSTEM_TIME.message_id: 1.0,
    m.GPS_RAW_INT.message_id: 1.0,
    m.ATTITUDE.message_id: 10.0,
    m.ATTITUDE_QUATERNION.message_id: 10.0,
    m.LOCAL_POSITION_NED.message_id: 10.0,
    m.GLOBAL_POSITION_INT.message_id: 10.0,
    m.MISSION_CURRENT.message_id: 1.0,
    m.MISSION_ITEM_REACHED.message_id: 1.0,
    m.VFR_HUD.message_id: 4.0,
    m.ALTITUDE.message_id: 4.0,
    m.BATTERY_STATUS.message_id: 0.5,
    m.HOME_POSITION.message_id: 0.5,
    m.EXTENDED_SYS_STATE.message_id: 1.0,
}


class _Stream:
    __slots__ = ("due_s", "fill", "interval_s")

    def __init__(self, fill: Callable[[], None], interval_s: float) -> None:
        self.fill = fill
        self.interval_s = interval_s  # 0: off
        self.due_s = 0.0


class Streams:
    """All telemetry streams of one vehicle."""

    def __init__(self, core: Core, mission: MissionFlight) -> None:
        self._core = core
        self._mission = mission
        fills: dict[int, Callable[[], None]] = {
            m.HEARTBEAT.message_id: self.heartbeat,
            m.SYS_STATUS.message_id: self._sys_status,
            m.SYSTEM_TIME.message_id: self._system_time,
            m.GPS_RAW_INT.message_id: self._gps_raw,
            m.ATTITUDE.message_id: self._attitude,
            m.ATTITUDE_QUATERNION.message_id: self._attitude_quaternion,
            m.LOCAL_POSITION_NED.message_id: self._local_position,
            m.GLOBAL_POSITION_INT.message_id: self._global_position,
            m.MISSION_CURRENT.message_id: mission.tell_current,
            m.MISSION_ITEM_REACHED.message_id: mission.tell_reached,
            m.VFR_HUD.message_id: self._vfr_hud,
            m.ALTITUDE.message_id: self._altitude,
            m.BATTERY_STATUS.message_id: self._battery,
            m.HOME_POSITION.message_id: self.home_position,
            m.EXTENDED_SYS_STATE.message_id: self._extended_sys_state,
        }
        self._streams = {number: _Stream(fill, 1.0 / _DEFAULT_HZ[number]) for number, fill in fills.items()}
        self._running = list(self._streams.values())
        self._said: tuple[object, ...] = ()
        self._landed_said: Landed | None = None

    def interval_us(self, message_id: int) -> int:
        """As PX4 answers GET_MESSAGE_INTERVAL: microseconds, -1 for off and for unknown."""
        stream = self._streams.get(message_id)
        return round(stream.interval_s * 1e6) if stream is not None and stream.interval_s > 0.0 else -1

    def set_interval_us(self, message_id: int, interval_us: float) -> bool:
        """0 restores the default, negative switches off. False for a message that is not a stream here."""
        stream = self._streams.get(message_id)
        if stream is None:
            return False
        if interval_us == 0.0:
            stream.interval_s = 1.0 / _DEFAULT_HZ[message_id]
        else:
            stream.interval_s = min(max(0.0, interval_us * 1e-6), _LONGEST_S)
        stream.due_s = self._core.now_s
        self._running = [one for one in self._streams.values() if one.interval_s > 0.0]
        return True

    def request(self, message_id: int) -> bool:
        """Send one now. False when there is no such message, or nothing to say yet."""
        stream = self._streams.get(message_id)
        if stream is None:
            return False
        before = len(self._core.out)
        stream.fill()
        return len(self._core.out) > before

    def step(self) -> None:
        """Send what is due; mode, arming and landing are told at once."""
        core = self._core
        state = (core.mode, core.armed, core.failsafe)
        if state != self._said:
            self._said = state
            self.heartbeat()
        landed = core.landed_state
        if landed is not self._landed_said:
            self._landed_said = landed
            self._extended_sys_state()
        if core.home_changed:
            core.home_changed = False
            self.home_position()
        now = core.now_s + 1e-6
        for stream in self._running:
            if now >= stream.due_s:
                stream.fill()
                stream.due_s += stream.interval_s
                stream.due_s = max(stream.due_s, now)

    def _boot_ms(self) -> int:
        return int(self._core.now_s * 1000.0 + 0.5) & 0xFFFFFFFF

    def heartbeat(self) -> None:
        core = self._core
        sticks = core.mode in NEEDS_STICKS
        base = _CUSTOM | _STABILIZE | (_MANUAL if sticks else _AUTO | _GUIDED)
        if core.armed:
            base |= _ARMED
            status = _CRITICAL if core.failsafe else _ACTIVE
        else:
            status = _STANDBY if core.can_run(core.mode) and core.mode not in PREVENTS_ARMING else _UNINIT
        core.send(m.HEARTBEAT, int(core.mode), _TYPE_QUADROTOR, _AUTOPILOT_PX4, base, status, 3)

    def _sys_status(self) -> None:
        core = self._core
        battery = core.vehicle.battery
        present = _SENSORS | _GPS | _BATTERY | _PREARM
        health = _SENSORS | (_BATTERY if core.battery_warning == 0 else 0)
        if core.ready:
            health |= _GPS
            if core.armed or core.why_not_arm() is None:
                health |= _PREARM
        core.send(
            m.SYS_STATUS,
            present,
            present,
            health,
            320,
            int(battery.voltage_v * 1000.0),
            int(battery.current_a * 100.0),
            0,
            0,
            0,
            0,
            0,
            0,
            math.ceil(battery.fraction * 100.0 - 1e-9),
            0,
            0,
            0,
        )

    def _system_time(self) -> None:
        self._core.send(m.SYSTEM_TIME, _UNIX_START_US + int(self._core.now_s * 1e6), self._boot_ms())

    def _gps_raw(self) -> None:
        core = self._core
        e = core.estimate
        fix, satellites = (3, 14) if core.now_s > 2.0 and core.gps_lost_s is None else (0, 0)
        speed = math.hypot(e.velocity_north_m_s, e.velocity_east_m_s)
        course = math.degrees(math.atan2(e.velocity_east_m_s, e.velocity_north_m_s)) % 360.0
        core.send(
            m.GPS_RAW_INT,
            int(core.now_s * 1e6),
            round(e.latitude_deg * 1e7),
            round(e.longitude_deg * 1e7),
            round(e.amsl_m * 1000.0),
            80,
            110,
            int(speed * 100.0),
            int(course * 100.0) % 36000,
            fix,
            satellites,
            0,
            900,
            1200,
            250,
            0,
            0,
        )

    def _attitude(self) -> None:
        e = self._core.estimate
        yaw = e.yaw_rad if e.yaw_rad <= math.pi else e.yaw_rad - 2.0 * math.pi
        self._core.send(m.ATTITUDE, self._boot_ms(), e.roll_rad, e.pitch_rad, yaw, 0.0, 0.0, e.yaw_rate_rad_s)

    def _attitude_quaternion(self) -> None:
        e = self._core.estimate
        cr, sr = math.cos(0.5 * e.roll_rad), math.sin(0.5 * e.roll_rad)
        cp, sp = math.cos(0.5 * e.pitch_rad), math.sin(0.5 * e.pitch_rad)
        cy, sy = math.cos(0.5 * e.yaw_rad), math.sin(0.5 * e.yaw_rad)
        self._core.send(
            m.ATTITUDE_QUATERNION,
            self._boot_ms(),
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            0.0,
            0.0,
            e.yaw_rate_rad_s,
            0.0,
            0.0,
            0.0,
            0.0,
        )

    def _local_position(self) -> None:
        core = self._core
        if core.home is None:
            return
        e = core.estimate
        per_lat, per_lon = degree_lengths_m(core.home.latitude_deg)
        core.send(
            m.LOCAL_POSITION_NED,
            self._boot_ms(),
            (e.latitude_deg - core.home.latitude_deg) * per_lat,
            (e.longitude_deg - core.home.longitude_deg) * per_lon,
            core.home.amsl_m - e.amsl_m,
            e.velocity_north_m_s,
            e.velocity_east_m_s,
            e.velocity_down_m_s,
        )

    def _global_position(self) -> None:
        core = self._core
        if not core.ready:
            return
        e = core.estimate
        core.send(
            m.GLOBAL_POSITION_INT,
            self._boot_ms(),
            round(e.latitude_deg * 1e7),
            round(e.longitude_deg * 1e7),
            round(e.amsl_m * 1000.0),
            round(core.height_m * 1000.0),
            round(e.velocity_north_m_s * 100.0),
            round(e.velocity_east_m_s * 100.0),
            round(e.velocity_down_m_s * 100.0),
            round(math.degrees(e.yaw_rad) * 100.0) % 36000,
        )

    def _vfr_hud(self) -> None:
        core = self._core
        e = core.estimate
        speed = math.hypot(e.velocity_north_m_s, e.velocity_east_m_s)
        throttle = 50 if core.demand.thrust else 0
        heading = int(math.degrees(e.yaw_rad)) % 360
        core.send(m.VFR_HUD, speed, speed, e.amsl_m, -e.velocity_down_m_s, heading, throttle)

    def _altitude(self) -> None:
        core = self._core
        amsl = core.estimate.amsl_m
        core.send(m.ALTITUDE, int(core.now_s * 1e6), amsl, amsl, core.height_m, core.height_m, _NAN, _NAN)

    def _battery(self) -> None:
        core = self._core
        battery = core.vehicle.battery
        cell = int(battery.voltage_v * 250.0)
        charge_state = (1, 2, 3, 4)[core.battery_warning]
        core.send(
            m.BATTERY_STATUS,
            -1,
            -1,
            32767,
            cell,
            cell,
            cell,
            cell,
            *_NO_CELLS,
            int(battery.current_a * 100.0),
            0,
            0,
            1,
            math.ceil(battery.fraction * 100.0 - 1e-9),
            0,
            charge_state,
            0,
            0,
            0,
            0,
            0,
            0,
        )

    def home_position(self) -> None:
        core = self._core
        home = core.home
        if home is None:
            return
        core.send(
            m.HOME_POSITION,
            round(home.latitude_deg * 1e7),
            round(home.longitude_deg * 1e7),
            round(home.amsl_m * 1000.0),
            0.0,
            0.0,
            0.0,
            1.0,
            0.0,
            0.0,
            0.0,
            _NAN,
            _NAN,
            _NAN,
            int(core.now_s * 1e6),
        )

    def _extended_sys_state(self) -> None:
        self._core.send(m.EXTENDED_SYS_STATE, 0, int(self._core.landed_state))
