# SPDX-License-Identifier: AGPL-3.0-or-later
"""A simulated PX4 1.16: datagrams of ground stations in, datagrams of a vehicle out, time by step(dt).

No sockets and no clock in here: `runner.py` brings both, and tests drive it directly. Behaviour follows what real
PX4 SITL was seen to do; the contract tests run on both.
"""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass
from typing import Any

from missions.geo import GeoPoint
from missions.terrain import Terrain
from sim import mavlink_messages as m
from sim.autopilot_commands import Commands
from sim.autopilot_core import Core, Mode
from sim.autopilot_failsafe import Failsafes
from sim.autopilot_mission import MissionFlight
from sim.autopilot_navigator import Navigator
from sim.autopilot_streams import Streams
from sim.config import WindConfig
from sim.mavlink import DecodeCounts, Encoder, MessageSpec, decode
from sim.mavlink_messages import Command, MissionItem, Result
from sim.mission import MissionServer
from sim.params import Parameters, ParameterTypeError, UnknownParameterError
from sim.pose import TruePose
from sim.sensors import Estimate
from sim.vehicle import Battery, Vehicle

_TYPE_GCS = 6
_COMPONENT_AUTOPILOT = 1
_MISSION_MESSAGES = frozenset(
    spec.message_id
    for spec in (
        m.MISSION_COUNT,
        m.MISSION_ITEM_INT,
        m.MISSION_REQUEST_LIST,
        m.MISSION_REQUEST_INT,
        m.MISSION_REQUEST,
        m.MISSION_CLEAR_ALL,
        m.MISSION_ACK,
    )
)
_PARAMETERS_PER_STEP = 5  # a list goes out over some steps, not in one burst
_FTP_NAK, _FTP_UNKNOWN_COMMAND = 129, 7


@dataclass(frozen=True, slots=True)
class AutopilotConfig:
    """One vehicle as the autopilot needs it. seed: any text; the same text gives the same vehicle."""

    vehicle_id: str
    system_id: int
    home: GeoPoint
    terrain: Terrain
    seed: str
    wind: WindConfig
    battery_fraction: float = 1.0
    endurance_s: float = 1800.0
    hardware_uid: bytes = b""
    speed: float = 1.0
    exact_sensors: bool = False


class Autopilot:
    """One vehicle with its autopilot."""

    def __init__(self, config: AutopilotConfig) -> None:
        rng = random.Random(f"{config.seed}/boot")
        self.config = config
        self.vehicle = Vehicle(
            config.home,
            config.terrain,
            config.wind,
            config.seed,
            Battery(config.battery_fraction, config.endurance_s),
            yaw_deg=rng.uniform(0.0, 360.0),
        )
        self.params = Parameters({"MAV_SYS_ID": config.system_id})
        self._estimate = Estimate(config.seed, self.vehicle, exact=config.exact_sensors)
        self.core = Core(
            self.vehicle,
            self._estimate,
            self.params,
            Encoder(config.system_id, _COMPONENT_AUTOPILOT),
            ready_s=rng.uniform(4.0, 5.0),
        )
        self.missions = MissionServer(self.core.send, self._plan_changed, self.core.say, patience=config.speed)
        self.mission = MissionFlight(self.core, self.missions)
        self._navigator = Navigator(self.core, self.missions)
        self._failsafes = Failsafes(self.core, self.mission)
        self.streams = Streams(self.core, self.mission)
        uid = config.hardware_uid or b"dronesim" + bytes((config.system_id,))
        self.commands = Commands(self.core, self.mission, self.streams, uid)
        self.counts = DecodeCounts()
        self._mode_seen = self.core.mode_changes
        self._steps_s = 0.0
        self._to_list: list[int] = []

    def _plan_changed(self, mission_type: int) -> None:
        self.mission.plan_changed(mission_type)

    # Time -----------------------------------------------------------------------------------------------------

    def step(self, dt_s: float) -> None:
        """Advance by dt_s of simulated time; what is to be sent lies in `take()` afterwards."""
        core = self.core
        self._steps_s += dt_s
        core.now_s = self._steps_s
        if core.home is None and core.ready:
            core.set_home_here()
        self._failsafes.step()
        self._begin_modes()
        core.taking_off = core.landing = False
        if core.mode is Mode.MISSION:
            self.mission.step()
        else:
            self._navigator.step()
        self.vehicle.step(dt_s, core.demand)
        self._estimate.update(self.vehicle, dt_s)
        core.watch_ground()
        self._begin_modes()
        self.missions.step(core.now_s)
        if self._to_list:
            self._list_parameters()
        self.streams.step()

    def _begin_modes(self) -> None:
        if self._mode_seen == self.core.mode_changes:
            return
        self._mode_seen = self.core.mode_changes
        if self.core.mode is Mode.MISSION:
            self.mission.start()
        else:
            self._navigator.start()

    def take(self) -> list[bytes]:
        """The packets since the last call, in order."""
        out = self.core.out
        self.core.out = []
        return out

    def pose(self) -> TruePose:
        """Where the vehicle really is."""
        v = self.vehicle
        return TruePose(
            vehicle_id=self.config.vehicle_id,
            time_s=self.core.now_s,
            latitude_deg=v.latitude_deg,
            longitude_deg=v.longitude_deg,
            amsl_m=v.amsl_m,
            height_above_home_m=v.height_above_home_m,
            velocity_north_m_s=v.velocity_north_m_s,
            velocity_east_m_s=v.velocity_east_m_s,
            velocity_down_m_s=v.velocity_down_m_s,
            roll_deg=math.degrees(v.roll_rad),
            pitch_deg=math.degrees(v.pitch_rad),
            yaw_deg=math.degrees(v.yaw_rad) % 360.0,
            gimbal_pitch_deg=self.core.gimbal_pitch_deg,
        )

    # Messages -------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes) -> bool:
        """Act on all packets of a datagram that are for this vehicle. False when none was one we know."""
        packets = decode(datagram, m.INCOMING, self.counts)
        for packet in packets:
            spec = m.INCOMING[packet.message_id]
            values = spec.struct.unpack(packet.payload)
            target = m.TARGET_FIELDS.get(packet.message_id)
            if target is not None:
                if values[target[0]] not in (0, self.config.system_id):
                    continue
                if target[1] is not None and values[target[1]] not in (0, _COMPONENT_AUTOPILOT):
                    continue
            self._act(spec, values, (packet.system_id, packet.component_id))
        return bool(packets)

    def _act(self, spec: MessageSpec, values: tuple[Any, ...], sender: tuple[int, int]) -> None:
        core = self.core
        if spec is m.HEARTBEAT:
            if values[1] == _TYPE_GCS:
                core.last_ground_station_s = core.now_s
                core.ground_station_seen = True
        elif spec is m.COMMAND_LONG:
            *params, command, _, _, _ = values
            self._command(Command(command, *params), sender)
        elif spec is m.COMMAND_INT:
            p1, p2, p3, p4, x, y, z, command, _, _, frame, _, _ = values
            self._command(Command(command, p1, p2, p3, p4, x / 1e7, y / 1e7, z, frame), sender)
        elif spec is m.SET_MODE:
            self._acknowledge(m.Cmd.DO_SET_MODE, self.commands.set_custom_mode(values[0]), sender)
        elif spec is m.MISSION_SET_CURRENT:
            self.mission.set_current(values[0])
        elif spec.message_id in _MISSION_MESSAGES:
            item = spec is m.MISSION_ITEM_INT
            self.missions.handle(spec, MissionItem._make(values) if item else values, sender)
        else:
            self._answer(spec, values, sender)

    def _answer(self, spec: MessageSpec, values: tuple[Any, ...], sender: tuple[int, int]) -> None:
        """Parameters and the small services: PING, TIMESYNC, file transfer (which is refused)."""
        core = self.core
        if spec is m.PARAM_REQUEST_LIST:
            self._to_list = list(range(len(self.params)))
        elif spec is m.PARAM_REQUEST_READ:
            self._read_parameter(values[0], _text(values[3]))
        elif spec is m.PARAM_SET:
            self._set_parameter(values[0], _text(values[3]), values[4])
        elif spec is m.PING and values[2] == 0:
            core.send(m.PING, values[0], values[1], *sender)
        elif spec is m.TIMESYNC and values[0] == 0:
            core.send(m.TIMESYNC, int(core.now_s * 1e9), values[1])
        elif spec is m.FILE_TRANSFER_PROTOCOL:
            request = values[3]
            sequence = (int.from_bytes(request[:2], "little") + 1) & 0xFFFF
            head = struct.pack("<HBBBBBB", sequence, request[2], _FTP_NAK, 1, request[3], 0, 0)
            core.send(m.FILE_TRANSFER_PROTOCOL, 0, *sender, head + bytes(4) + bytes((_FTP_UNKNOWN_COMMAND,)))

    def _command(self, command: Command, sender: tuple[int, int]) -> None:
        self._acknowledge(command.command, self.commands.run(command), sender)

    def _acknowledge(self, command: int, result: Result, sender: tuple[int, int]) -> None:
        self.core.send(m.COMMAND_ACK, command, int(result), 255, 0, *sender)

    # Parameters -----------------------------------------------------------------------------------------------

    def _send_parameter(self, index: int) -> None:
        parameter = self.params.at(index)
        self.core.send(
            m.PARAM_VALUE,
            parameter.wire_value,
            len(self.params),
            parameter.index,
            parameter.name.encode(),
            parameter.wire_type,
        )

    def _list_parameters(self) -> None:
        for index in self._to_list[:_PARAMETERS_PER_STEP]:
            self._send_parameter(index)
        del self._to_list[:_PARAMETERS_PER_STEP]

    def _read_parameter(self, index: int, name: str) -> None:
        try:
            parameter = self.params.at(index) if index >= 0 else self.params.get(name)
        except UnknownParameterError:
            return  # PX4 does not answer; the client runs into its time-out
        self._send_parameter(parameter.index)

    def _set_parameter(self, raw: bytes, name: str, wire_type: int) -> None:
        try:
            parameter = self.params.set_wire(name, wire_type, raw)
        except UnknownParameterError:
            self.core.say(m.Severity.ERROR, f"[pm] unknown param: {name}")
            return
        except ParameterTypeError:
            self.core.say(m.Severity.ERROR, f"[pm] param types mismatch param: {name}")
            return
        self._send_parameter(parameter.index)


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("ascii", "replace")
