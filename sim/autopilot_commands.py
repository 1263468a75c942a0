# SPDX-License-Identifier: AGPL-3.0-or-later
"""COMMAND_LONG, COMMAND_INT and SET_MODE: each command to a result, as PX4 1.16 answers.

ACCEPTED means that the autopilot took the command, no more: the take-off of a disarmed vehicle is accepted, too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

from sim import mavlink_messages as m
from sim.autopilot_core import Core, Mode, Spot, finite
from sim.autopilot_mission import MissionFlight
from sim.autopilot_streams import Streams
from sim.mavlink_messages import Cmd, Command, Result

_FORCE = 21196.0
_CUSTOM_MODE_ENABLED = 1
_HIGHEST_HOME_M = 100_000.0  # far more would not fit into the messages that tell it
_FRAME_RELATIVE = frozenset({3, 6})
_SOFTWARE_VERSION = 0x01_10_00_FF  # 1.16.0, release
# mission int, command int, parameters bytewise, fence, rally, MAVLink 2
_CAPABILITIES = 4 | 8 | 16 | 2048 | 8192 | 16384 | 32768


class Commands:
    """The commands of one vehicle."""

    def __init__(self, core: Core, mission: MissionFlight, streams: Streams, hardware_uid: bytes) -> None:
        self._core = core
        self._mission = mission
        self._streams = streams
        self._uid = hardware_uid.ljust(18, b"\0")
        self._table: dict[int, Callable[[Command], Result]] = {
            Cmd.COMPONENT_ARM_DISARM: self._arm_disarm,
            Cmd.NAV_TAKEOFF: self._takeoff,
            Cmd.NAV_LAND: lambda _: self._mode(Mode.LAND),
            Cmd.NAV_RETURN_TO_LAUNCH: lambda _: self._mode(Mode.RETURN),
            Cmd.NAV_LOITER_UNLIM: lambda _: self._mode(Mode.HOLD),
            Cmd.DO_SET_MODE: self._set_mode,
            Cmd.DO_REPOSITION: self._reposition,
            Cmd.DO_CHANGE_SPEED: self._change_speed,
            Cmd.DO_SET_MISSION_CURRENT: self._set_mission_current,
            Cmd.MISSION_START: self._mission_start,
            Cmd.DO_MOUNT_CONTROL: self._gimbal,
            Cmd.DO_GIMBAL_MANAGER_PITCHYAW: self._gimbal,
            Cmd.DO_GIMBAL_MANAGER_CONFIGURE: lambda _: Result.ACCEPTED,
            Cmd.DO_MOUNT_CONFIGURE: lambda _: Result.ACCEPTED,
            Cmd.DO_SET_HOME: self._set_home,
            Cmd.DO_FLIGHTTERMINATION: self._terminate,
            Cmd.RUN_PREARM_CHECKS: lambda _: Result.ACCEPTED,
            Cmd.SET_MESSAGE_INTERVAL: self._set_interval,
            Cmd.GET_MESSAGE_INTERVAL: self._get_interval,
            Cmd.REQUEST_MESSAGE: self._request_message,
            Cmd.GET_HOME_POSITION: lambda _: self._send_stream(m.HOME_POSITION.message_id),
            Cmd.REQUEST_AUTOPILOT_CAPABILITIES: lambda _: self._version(),
        }

    def run(self, command: Command) -> Result:
        """Do a command; UNSUPPORTED for one that is not known."""
        handler = self._table.get(command.command)
        return Result.UNSUPPORTED if handler is None else handler(command)

    # Flight ---------------------------------------------------------------------------------------------------

    def _mode(self, mode: Mode) -> Result:
        return Result.ACCEPTED if self._core.request_mode(mode) else Result.TEMPORARILY_REJECTED

    def _arm_disarm(self, command: Command) -> Result:
        core = self._core
        forced = command.param2 == _FORCE
        if command.param1 not in (0.0, 1.0):
            return Result.UNSUPPORTED
        done = core.arm(forced=forced) if command.param1 == 1.0 else core.disarm(forced=forced)
        return Result.ACCEPTED if done else Result.TEMPORARILY_REJECTED

    def _takeoff(self, command: Command) -> Result:
        core = self._core
        core.takeoff_amsl_m = command.param7 if math.isfinite(command.param7) else None
        return self._mode(Mode.TAKEOFF)

    def _set_mode(self, command: Command) -> Result:
        if not int(finite(command.param1, 0.0)) & _CUSTOM_MODE_ENABLED:
            return Result.DENIED
        main, sub = int(finite(command.param2, 0.0)), int(finite(command.param3, 0.0))
        return self.set_custom_mode(main << 16 | sub << 24)

    def set_custom_mode(self, custom_mode: int) -> Result:
        """By the value of a heartbeat's custom_mode."""
        try:
            mode = Mode(custom_mode)
        except ValueError:
            return Result.DENIED
        if mode is Mode.MISSION and self._core.armed and not self._core.mission_valid and self._mission.items:
            self._core.say(m.Severity.CRITICAL, "Mission rejected: geofence violation")
        return self._mode(mode)

    def _reposition(self, command: Command) -> Result:
        """Fly to a place in HOLD. Outside the fence PX4 says OK and holds where it is."""
        core = self._core
        if command.frame in _FRAME_RELATIVE:
            return Result.UNSUPPORTED_FRAME
        here = core.here()
        lat, lon = finite(command.param5, here.latitude_deg), finite(command.param6, here.longitude_deg)
        if abs(lat) > 90.0 or abs(lon) > 180.0:
            return Result.DENIED
        amsl = finite(command.param7, here.amsl_m)
        yaw = math.radians(command.param4) if math.isfinite(command.param4) else None
        if self._mission.fence.allows(lat, lon):
            core.hold_spot = None if core.landed else Spot(lat, lon, amsl, yaw)
        else:
            core.hold_spot = None
            core.say(m.Severity.CRITICAL, "Reposition is outside geofence")
        result = self._mode(Mode.HOLD)
        if result is not Result.ACCEPTED:
            core.hold_spot = None
        elif math.isfinite(command.param1) and command.param1 > 0.0:
            core.cruise_m_s = command.param1
        return result

    def _change_speed(self, command: Command) -> Result:
        if math.isfinite(command.param2) and command.param2 > 0.0:
            self._core.cruise_m_s = command.param2
        return Result.ACCEPTED

    def _set_mission_current(self, command: Command) -> Result:
        seq = int(finite(command.param1, -1.0))
        return Result.ACCEPTED if self._mission.set_current(seq) else Result.DENIED

    def _mission_start(self, command: Command) -> Result:
        """Unlike the mode change, this arms, too."""
        core = self._core
        if not core.mission_valid:
            return Result.DENIED
        first = int(finite(command.param1, 0.0))
        if first > 0 and not self._mission.set_current(first):
            return Result.DENIED
        if not core.request_mode(Mode.MISSION) or not core.arm():
            return Result.DENIED
        return Result.ACCEPTED

    def _gimbal(self, command: Command) -> Result:
        if math.isfinite(command.param1):
            self._core.gimbal_pitch_deg = command.param1
        return Result.ACCEPTED

    def _set_home(self, command: Command) -> Result:
        core = self._core
        if not core.ready:
            return Result.TEMPORARILY_REJECTED
        if command.param1 == 1.0:
            core.set_home_here()
            return Result.ACCEPTED
        values = (command.param5, command.param6, command.param7)
        if not all(math.isfinite(value) for value in values) or abs(values[0]) > 85.0 or abs(values[1]) > 180.0:
            return Result.DENIED
        if abs(values[2]) > _HIGHEST_HOME_M:
            return Result.DENIED
        core.home = Spot(*values)
        core.home_changed = True
        return Result.ACCEPTED

    def _terminate(self, command: Command) -> Result:
        """Refused while the circuit breaker CBRK_FLIGHTTERM (121212) is in, as it is by default."""
        core = self._core
        if command.param1 <= 0.5 or core.params.integer("CBRK_FLIGHTTERM") == 121212:
            return Result.DENIED
        core.disarm(forced=True, why="flight termination")
        return Result.ACCEPTED

    # Messages -------------------------------------------------------------------------------------------------

    def _set_interval(self, command: Command) -> Result:
        message = int(finite(command.param1, -1.0))
        known = self._streams.set_interval_us(message, finite(command.param2, 0.0))
        return Result.ACCEPTED if known else Result.FAILED

    def _get_interval(self, command: Command) -> Result:
        message = int(finite(command.param1, -1.0))
        if not 0 <= message <= 65535:
            return Result.DENIED
        self._core.send(m.MESSAGE_INTERVAL, self._streams.interval_us(message), message)
        return Result.ACCEPTED

    def _request_message(self, command: Command) -> Result:
        message = int(finite(command.param1, -1.0))
        if message == m.AUTOPILOT_VERSION.message_id:
            return self._version()
        if message == m.MESSAGE_INTERVAL.message_id:
            return self._get_interval(command._replace(param1=command.param2))
        return self._send_stream(message)

    def _send_stream(self, message: int) -> Result:
        return Result.ACCEPTED if self._streams.request(message) else Result.DENIED

    def _version(self) -> Result:
        uid = int.from_bytes(hashlib.sha256(self._uid).digest()[:8], "little")
        custom = b"\0" * 8
        self._core.send(
            m.AUTOPILOT_VERSION,
            _CAPABILITIES,
            uid,
            _SOFTWARE_VERSION,
            _SOFTWARE_VERSION,
            0,
            0,
            0,
            0,
            custom,
            custom,
            custom,
            self._uid,
        )
        return Result.ACCEPTED
