# SPDX-License-Identifier: AGPL-3.0-or-later
"""The vehicle link on MAVSDK 4.1; the only file that imports it. Runs in a link worker, one instance per process.

Here are the library's blocking calls and last values, one `NativeVehicle` per discovered system; what is done with
them is in `shard.py` and `worker_link.py`. The library's traps and how they are kept shut (ADR 0001):

- arming goes as a bare MAV_CMD_COMPONENT_ARM_DISARM: the library's own arm() aborts the process when a HOLD that it
  inserts is refused, and inserts it in flight too; its arm_force() disarms;
- nothing is ever destroyed: the process ends with `os._exit`, since calls after a destroy crash or hang;
- the blocking calls run on our own threads (`lanes.py`), not on the loop's default executor;
- telemetry is polled as last values; callbacks are few and only store; queues that drop lose nothing that matters;
- both read the C structures themselves: the binding builds a Python object for each value first, which for a hundred
  vehicles costs a fifth of what the library itself does;
- a second socket on a port that is in use would be opened without a word: the shard tries the port first.
"""

from __future__ import annotations

import ctypes
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from mavsdk import ComponentType, Configuration, Mavsdk
from mavsdk.cmavsdk_loader import _cmavsdk_lib as _library
from mavsdk.connection_result import ConnectionResult
from mavsdk.exceptions import MavsdkError
from mavsdk.logging import LogLevel, log_subscribe
from mavsdk.plugins.action import Action
from mavsdk.plugins.info import Info
from mavsdk.plugins.mavlink_direct import MavlinkDirect, MavlinkMessage
from mavsdk.plugins.mavlink_direct.mavlink_direct import MessageCallback
from mavsdk.plugins.mission_raw import MissionItem as NativeItem
from mavsdk.plugins.mission_raw import MissionRaw, MissionRawError, MissionRawResult
from mavsdk.plugins.param import Param
from mavsdk.plugins.telemetry import FlightMode as NativeMode
from mavsdk.plugins.telemetry import LandedState as NativeLanded
from mavsdk.plugins.telemetry import Telemetry
from mavsdk.plugins.telemetry.telemetry import (
    BatteryCStruct,
    EulerAngleCStruct,
    HealthCStruct,
    HomePositionCStruct,
    PositionCStruct,
    VelocityNedCStruct,
)
from mavsdk.system import System

from dronectl.fleet.last_values import FastValues, SlowValues, known, known_fraction, known_place
from dronectl.fleet.link import FlightMode, LandedState, LinkError, LinkFailure
from dronectl.fleet.native import WrongTypeError
from missions.mavlink_items import MISSION_TYPE_MISSION, MissionItem

log = logging.getLogger(__name__)
_native_log = logging.getLogger("mavsdk")

_AUTOPILOT: Final = 1  # component id
_WRONG_TYPE: Final = frozenset({"WRONG_TYPE", "TYPE_MISMATCH"})

_MODES: Final[dict[int, FlightMode]] = {
    NativeMode.READY: FlightMode.READY,
    NativeMode.TAKEOFF: FlightMode.TAKEOFF,
    NativeMode.HOLD: FlightMode.HOLD,
    NativeMode.MISSION: FlightMode.MISSION,
    NativeMode.RETURN_TO_LAUNCH: FlightMode.RETURN,
    NativeMode.LAND: FlightMode.LAND,
    NativeMode.OFFBOARD: FlightMode.OFFBOARD,
    NativeMode.FOLLOW_ME: FlightMode.OFFBOARD,
    NativeMode.MANUAL: FlightMode.MANUAL,
    NativeMode.ALTCTL: FlightMode.MANUAL,
    NativeMode.POSCTL: FlightMode.MANUAL,
    NativeMode.ACRO: FlightMode.MANUAL,
    NativeMode.STABILIZED: FlightMode.MANUAL,
    NativeMode.RATTITUDE: FlightMode.MANUAL,
}
_LANDED: Final[dict[int, LandedState]] = {
    NativeLanded.ON_GROUND: LandedState.ON_GROUND,
    NativeLanded.IN_AIR: LandedState.IN_AIR,
    NativeLanded.TAKING_OFF: LandedState.TAKING_OFF,
    NativeLanded.LANDING: LandedState.LANDING,
}
_FAILURES: Final = {
    "TIMEOUT": LinkFailure.TIMEOUT,
    "BUSY": LinkFailure.BUSY,
    "PROTOCOL_ERROR": LinkFailure.BUSY,  # MAV_MISSION_ERROR: PX4 is in the middle of another transfer
    "COMMAND_DENIED": LinkFailure.DENIED,
    "COMMAND_DENIED_LANDED_STATE_UNKNOWN": LinkFailure.DENIED,
    "COMMAND_DENIED_NOT_LANDED": LinkFailure.DENIED,
    "DENIED": LinkFailure.DENIED,
    "UNSUPPORTED": LinkFailure.DENIED,
    "PERMISSION_DENIED": LinkFailure.DENIED,
    "NO_SYSTEM": LinkFailure.DISCONNECTED,
    "CONNECTION_ERROR": LinkFailure.DISCONNECTED,
    "TRANSFER_CANCELLED": LinkFailure.CANCELLED,
}
# MAV_RESULT (common.xml): 1 temporarily rejected, 2 denied, 3 unsupported, 4 failed, 6 cancelled
_ACK_FAILURES: Final = {1: LinkFailure.DENIED, 2: LinkFailure.DENIED, 3: LinkFailure.DENIED, 6: LinkFailure.CANCELLED}


def _on_native_log(level: LogLevel, message: str, _file: str | None, _line: int) -> bool:
    """Keep the library's words out of stdout; its warnings are mostly about acknowledgements sent twice."""
    _native_log.log(logging.WARNING if level >= LogLevel.ERROR else logging.DEBUG, "%s", message.strip())
    return True


_kept_threads: set[int] = set()


def _keep_thread_state() -> None:
    """Keep Python's state of the library's thread that calls: else each call makes a new one, memory mapped for it."""
    if (thread := threading.get_ident()) not in _kept_threads:
        _kept_threads.add(thread)
        ctypes.pythonapi.PyGILState_Ensure()  # never released: the thread lives as long as the process


@contextmanager
def _translated(vehicle_id: str, what: str) -> Iterator[None]:
    """Turn the library's errors into LinkError."""
    try:
        yield
    except MavsdkError as error:
        result = getattr(error, "result", None)
        name = "ERROR" if result is None else str(result.name)
        if name in _WRONG_TYPE:
            raise WrongTypeError(f"{vehicle_id}: {what}: {name.lower()}") from error
        failure = _FAILURES.get(name, LinkFailure.ERROR)
        raise LinkError(failure, f"{vehicle_id}: {what}: {name.lower().replace('_', ' ')}") from error


class NativeVehicle:
    """The library's handles of one discovered system. Every request blocks and raises LinkError."""

    def __init__(self, vehicle_id: str, system: System) -> None:
        self._vehicle_id = vehicle_id
        self._system = system
        self._system_id = int(system.get_system_id())
        self._telemetry = Telemetry(system)
        self._action = Action(system)
        self._mission = MissionRaw(system)
        self._param = Param(system)
        self._info = Info(system)
        self._direct = MavlinkDirect(system)
        self._values = ctypes.c_void_p(self._telemetry._handle)  # noqa: SLF001  # the binding gives no other way
        self._trampolines: list[Any] = []

    # last values: quick, from any thread

    def is_connected(self) -> bool:
        """Heartbeats come in; the library notices a lost link after 2-3 s."""
        return bool(self._system.is_connected())

    def fast_values(self) -> FastValues:
        values, at = self._values, ctypes.byref
        attitude, position, velocity = EulerAngleCStruct(), PositionCStruct(), VelocityNedCStruct()
        mode, armed, landed = ctypes.c_int(), ctypes.c_bool(), ctypes.c_int()
        _library.mavsdk_telemetry_attitude_euler(values, at(attitude))
        _library.mavsdk_telemetry_position(values, at(position))
        _library.mavsdk_telemetry_velocity_ned(values, at(velocity))
        _library.mavsdk_telemetry_flight_mode(values, at(mode))
        _library.mavsdk_telemetry_armed(values, at(armed))
        _library.mavsdk_telemetry_landed_state(values, at(landed))
        latitude_deg, longitude_deg = known_place(position.latitude_deg, position.longitude_deg)
        return FastValues(
            timestamp_us=attitude.timestamp_us,
            mode=_MODES.get(mode.value, FlightMode.UNKNOWN),
            armed=armed.value,
            landed=_LANDED.get(landed.value, LandedState.UNKNOWN),
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            amsl_m=known(position.absolute_altitude_m),
            height_above_home_m=known(position.relative_altitude_m),
            velocity_north_m_s=known(velocity.north_m_s),
            velocity_east_m_s=known(velocity.east_m_s),
            velocity_down_m_s=known(velocity.down_m_s),
            roll_deg=known(attitude.roll_deg),
            pitch_deg=known(attitude.pitch_deg),
            yaw_deg=known(attitude.yaw_deg),
        )

    def slow_values(self) -> SlowValues:
        values, at = self._values, ctypes.byref
        battery, health, home = BatteryCStruct(), HealthCStruct(), HomePositionCStruct()
        _library.mavsdk_telemetry_battery(values, at(battery))
        _library.mavsdk_telemetry_health(values, at(health))
        _library.mavsdk_telemetry_home(values, at(home))
        home_latitude_deg, home_longitude_deg = known_place(home.latitude_deg, home.longitude_deg)
        return SlowValues(
            battery_fraction=known_fraction(battery.remaining_percent),
            battery_v=known(battery.voltage_v),
            home_latitude_deg=home_latitude_deg,
            home_longitude_deg=home_longitude_deg,
            home_amsl_m=known(home.absolute_altitude_m),
            position_ok=health.is_global_position_ok,
            home_ok=health.is_home_position_ok,
            armable=health.is_armable,
        )

    # callbacks: on a thread of the library

    def subscribe(self, name: str, callback: Callable[[str, bytes], None]) -> None:
        """Messages of this name as (name, fields in JSON), as long as the process lives."""

        def take(message: Any, _data: Any) -> None:
            _keep_thread_state()
            fields = message.fields_json
            _library.mavsdk_mavlink_direct_mavlink_message_destroy(ctypes.byref(message))
            try:
                callback(name, fields)
            except Exception:
                log.exception("%s: a %s is not taken", self._vehicle_id, name)

        trampoline = MessageCallback(take)
        self._trampolines.append(trampoline)
        handle = self._direct._handle  # noqa: SLF001  # as above
        _library.mavsdk_mavlink_direct_subscribe_message(handle, name.encode(), trampoline, None)

    def listen(self, callback: Callable[[str], None]) -> Any:
        """The name of every message that comes in, until `unlisten`."""
        return self._direct.subscribe_message("", lambda message, _data: callback(message.message_name))

    def unlisten(self, handle: Any) -> None:
        """Stop it."""
        self._direct.unsubscribe_message(handle)

    def subscribe_texts(self, callback: Callable[[str], None]) -> None:
        """STATUSTEXT, put together from its parts."""
        self._telemetry.subscribe_status_text(lambda status, _data: callback(status.text.strip()))

    # requests

    def hardware_uid(self) -> str:
        with _translated(self._vehicle_id, "identification"):
            return str(self._info.get_identification().hardware_uid).lower()

    def _command_long(self, command: int, *parameters: float) -> MavlinkMessage:
        values = {f"param{number}": 0.0 for number in range(1, 8)}
        values.update({f"param{number}": value for number, value in enumerate(parameters, 1)})
        fields = {"target_system": self._system_id, "target_component": _AUTOPILOT, "command": command}
        text = json.dumps({**fields, "confirmation": 0, **values})
        return MavlinkMessage("COMMAND_LONG", 0, 0, self._system_id, _AUTOPILOT, text)

    def command(self, command: int, *parameters: float) -> None:
        """Send a COMMAND_LONG and wait for its acknowledgement: 4 tries in 2 s."""
        with _translated(self._vehicle_id, f"command {command}"):
            answer = self._direct.send_command(self._command_long(command, *parameters))
        result = int(json.loads(answer.fields_json)["result"])
        if result != 0:
            failure = _ACK_FAILURES.get(result, LinkFailure.ERROR)
            raise LinkError(failure, f"{self._vehicle_id}: command {command} was answered with MAV_RESULT {result}")

    def command_at_once(self, command: int, *parameters: float) -> None:
        """Send a COMMAND_LONG past the library's queue, which lets no two of one kind out at a time. No answer."""
        with _translated(self._vehicle_id, f"command {command}"):
            self._direct.send_message(self._command_long(command, *parameters))

    def hold(self) -> None:
        with _translated(self._vehicle_id, "hold"):
            self._action.hold()

    def return_to_launch(self) -> None:
        with _translated(self._vehicle_id, "return"):
            self._action.return_to_launch()

    def land(self) -> None:
        with _translated(self._vehicle_id, "land"):
            self._action.land()

    def start_mission(self) -> None:
        with _translated(self._vehicle_id, "start mission"):
            self._mission.start_mission()

    def upload(self, items: Sequence[MissionItem], mission_type: int) -> None:
        native = [
            NativeItem(
                i.seq, i.frame, i.command, i.current, i.autocontinue,
                i.param1, i.param2, i.param3, i.param4, i.x, i.y, i.z, mission_type,
            )
            for i in items
        ]  # fmt: skip
        if mission_type == MISSION_TYPE_MISSION:
            with _translated(self._vehicle_id, "upload mission"):
                self._mission.upload_mission(native)
        else:
            with _translated(self._vehicle_id, "upload fence"):
                self._mission.upload_geofence(native)

    def cancel_upload(self) -> None:
        with _translated(self._vehicle_id, "cancel upload"):
            self._mission.cancel_mission_upload()

    def download(self, mission_type: int) -> tuple[MissionItem, ...]:
        """The stored items; none if there are none."""
        with _translated(self._vehicle_id, "download"):
            try:
                if mission_type == MISSION_TYPE_MISSION:
                    items = self._mission.download_mission()
                else:
                    items = self._mission.download_geofence()
            except MissionRawError as error:
                if error.result == MissionRawResult.NO_MISSION_AVAILABLE:
                    return ()
                raise
        return tuple(
            MissionItem(
                i.seq, i.frame, i.command, i.param1, i.param2, i.param3, i.param4, i.x, i.y, i.z,
                i.current, i.autocontinue, i.mission_type,
            )
            for i in items
        )  # fmt: skip

    def cancel_download(self) -> None:
        with _translated(self._vehicle_id, "cancel download"):
            self._mission.cancel_mission_download()

    def get_int(self, name: str) -> int:
        with _translated(self._vehicle_id, f"get {name}"):
            return int(self._param.get_param_int(name))

    def get_real(self, name: str) -> float:
        with _translated(self._vehicle_id, f"get {name}"):
            return float(self._param.get_param_float(name))

    def set_int(self, name: str, value: int) -> None:
        with _translated(self._vehicle_id, f"set {name}"):
            self._param.set_param_int(name, value)

    def set_real(self, name: str, value: float) -> None:
        with _translated(self._vehicle_id, f"set {name}"):
            self._param.set_param_float(name, value)


class Library:
    """The process's one MAVSDK instance."""

    _created = False

    def __init__(self) -> None:
        if Library._created:
            raise RuntimeError("one MAVSDK instance per process: many of them corrupt the heap")
        Library._created = True
        log_subscribe(_on_native_log)
        self._mavsdk = Mavsdk(Configuration.create_with_component_type(ComponentType.GROUND_STATION))

    @property
    def version(self) -> str:
        return str(self._mavsdk.version())

    def open(self, connection: str) -> str | None:
        """Open a connection; why it cannot be opened, or None. Blocks."""
        result = self._mavsdk.add_any_connection(connection)
        if result == ConnectionResult.SUCCESS:
            return None
        return f"cannot be opened: {ConnectionResult(result).name.lower()}"

    def autopilots(self) -> Iterator[tuple[int, System]]:
        """System id and system of each autopilot that was heard on any connection."""
        for system in self._mavsdk.get_systems():
            system_id = int(system.get_system_id())
            if system.has_autopilot():
                yield system_id, system
