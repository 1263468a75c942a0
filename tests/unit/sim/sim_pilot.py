# SPDX-License-Identifier: AGPL-3.0-or-later
"""A ground station in virtual time: drives one Autopilot by MAVLink bytes alone, decodes what it says with pymavlink.

Time passes only in `run`, so tests are exact and fast. pymavlink is the oracle of the vehicle's encoding; what goes
to the vehicle is encoded by pymavlink, too.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable

from pymavlink.dialects.v20 import common as mavlink

from missions.geo import GeoPoint
from missions.terrain import FlatTerrain, Terrain
from sim.autopilot import Autopilot, AutopilotConfig
from sim.autopilot_core import Mode
from sim.config import WindConfig

HOME = GeoPoint(29.7, 107.3)
NAN = math.nan
STEP_S = 0.1
AUTO = {"takeoff": 2, "hold": 3, "mission": 4, "return": 5, "land": 6}
FORCE = 21196.0
ACCEPTED, REJECTED, DENIED, UNSUPPORTED = 0, 1, 2, 3
WINDY = WindConfig(speed_m_s=4.0, from_deg=220.0, gust_m_s=1.5)


class Pilot:
    """One vehicle and its ground station. `messages` is everything the vehicle said, in order."""

    def __init__(
        self,
        *,
        seed: str = "1",
        wind: WindConfig | None = None,
        exact: bool = False,
        terrain: Terrain | None = None,
        endurance_s: float = 1800.0,
        drop: float = 0.0,
        system_id: int = 7,
    ) -> None:
        self.autopilot = Autopilot(
            AutopilotConfig(
                vehicle_id="d1",
                system_id=system_id,
                home=HOME,
                terrain=terrain or FlatTerrain(250.0),
                seed=seed,
                wind=wind or WindConfig(),
                endurance_s=endurance_s,
                exact_sensors=exact,
            )
        )
        self.core = self.autopilot.core
        self.vehicle = self.autopilot.vehicle
        self.messages: list[mavlink.MAVLink_message] = []
        self.times: list[float] = []
        self.beating = True
        self.drop = drop
        self._rng = random.Random(seed)
        self._in = mavlink.MAVLink(None)
        self._out = mavlink.MAVLink(None, srcSystem=255, srcComponent=190)
        self._next_beat_s = 0.0
        self._steps = 0

    # Time -----------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            if self.beating and self.core.now_s >= self._next_beat_s:
                self._next_beat_s = self.core.now_s + 1.0
                self.say(mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3))
            self.autopilot.step(STEP_S)
            self.listen()

    def until(self, condition: Callable[[], bool], seconds: float = 300.0) -> None:
        end = self.core.now_s + seconds
        while not condition():
            assert self.core.now_s < end, f"it did not happen within {seconds} s: {self}"
            self.run(STEP_S)

    def ready(self) -> Pilot:
        self.until(lambda: self.core.ready and self.core.home is not None, 10.0)
        return self

    def __repr__(self) -> str:
        v = self.vehicle
        return (
            f"{self.core.now_s:.1f} s {self.core.mode.name} armed={self.core.armed} landed={self.core.landed} "
            f"height={v.height_above_home_m:.1f} m, texts {self.texts[-3:]}"
        )

    # Messages -------------------------------------------------------------------------------------------------

    def say(self, message: mavlink.MAVLink_message) -> None:
        """Send one message to the vehicle (or lose it), and hear its answer at once."""
        data = message.pack(self._out)
        self._out.seq = (self._out.seq + 1) % 256
        if self._rng.random() >= self.drop:
            self.autopilot.receive(bytes(data))
        self.listen()

    def listen(self) -> None:
        for packet in self.autopilot.take():
            if self._rng.random() < self.drop:
                continue
            for message in self._in.parse_buffer(packet) or []:
                assert message.get_type() != "BAD_DATA", message
                self.messages.append(message)
                self.times.append(self.core.now_s)

    def said(self, kind: str) -> list[mavlink.MAVLink_message]:
        return [message for message in self.messages if message.get_type() == kind]

    def last(self, kind: str) -> mavlink.MAVLink_message:
        return next(message for message in reversed(self.messages) if message.get_type() == kind)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.said("STATUSTEXT")]

    def reached(self) -> list[int]:
        """Items reported reached, without the repetitions."""
        found: list[int] = []
        for message in self.said("MISSION_ITEM_REACHED"):
            if not found or found[-1] != message.seq:
                found.append(message.seq)
        return found

    # Commands -------------------------------------------------------------------------------------------------

    def command(self, number: int, *params: float) -> int:
        """COMMAND_LONG; returns the MAV_RESULT."""
        filled = [*params, *[NAN] * (7 - len(params))]
        before = len(self.messages)
        self.say(mavlink.MAVLink_command_long_message(self.autopilot.config.system_id, 1, number, 0, *filled))
        acks = [m for m in self.messages[before:] if m.get_type() == "COMMAND_ACK" and m.command == number]
        return acks[-1].result

    def mode(self, name: str) -> int:
        return self.command(176, 1.0, 4.0, float(AUTO[name]))

    def arm(self) -> int:
        return self.command(400, 1.0)

    def disarm(self) -> int:
        return self.command(400, 0.0)

    def upload(self, items: list[dict[str, float]], mission_type: int = 0, patience_s: float = 30.0) -> int | None:
        """A whole upload; returns the MAV_MISSION_RESULT, or None when no answer came in time."""
        start = len(self.messages)
        count = mavlink.MAVLink_mission_count_message(self.autopilot.config.system_id, 1, len(items), mission_type)
        self.say(count)
        heard = start
        end = self.core.now_s + patience_s
        said_count_s = self.core.now_s
        last_item = False
        while self.core.now_s < end:
            new, heard = self.messages[heard:], len(self.messages)
            for message in new:
                if message.get_type() == "MISSION_ACK" and message.mission_type == mission_type:
                    return message.type
                if message.get_type() == "MISSION_REQUEST_INT" and message.mission_type == mission_type:
                    last_item = message.seq == len(items) - 1
                    self.say(self.item(items[message.seq], message.seq, mission_type))
                    said_count_s = self.core.now_s
            # As clients do: without an answer, say the count again, or the last item.
            if self.core.now_s - said_count_s > 1.0:
                said_count_s = self.core.now_s
                asked = any(m.get_type() == "MISSION_REQUEST_INT" for m in self.messages[start:])
                if not asked:
                    self.say(count)
                elif last_item:
                    self.say(self.item(items[-1], len(items) - 1, mission_type))
            self.run(STEP_S)
        return None

    def item(self, item: dict[str, float], seq: int, mission_type: int = 0) -> mavlink.MAVLink_message:
        values = {"frame": 3, "p1": 0.0, "p2": 0.0, "p3": 0.0, "p4": NAN, "x": 0, "y": 0, "z": 0.0, **item}
        return mavlink.MAVLink_mission_item_int_message(
            self.autopilot.config.system_id,
            1,
            seq,
            int(values["frame"]),
            int(values["command"]),
            int(seq == 0),
            1,
            values["p1"],
            values["p2"],
            values["p3"],
            values["p4"],
            int(values["x"]),
            int(values["y"]),
            values["z"],
            mission_type,
        )

    def download(self, mission_type: int = 0, *, acknowledged: bool = True) -> list[mavlink.MAVLink_message]:
        system = self.autopilot.config.system_id
        self.say(mavlink.MAVLink_mission_request_list_message(system, 1, mission_type))
        count = self.last("MISSION_COUNT").count
        found = []
        for seq in range(count):
            self.say(mavlink.MAVLink_mission_request_int_message(system, 1, seq, mission_type))
            found.append(self.last("MISSION_ITEM_INT"))
        if acknowledged:
            self.say(mavlink.MAVLink_mission_ack_message(system, 1, 0, mission_type))
        return found

    def set_param(self, name: str, value: float) -> None:
        """int sets an INT32, float a REAL32."""
        kind = 6 if isinstance(value, int) else 9
        as_float = value if kind == 9 else struct.unpack("<f", struct.pack("<i", value))[0]
        self.say(mavlink.MAVLink_param_set_message(self.autopilot.config.system_id, 1, name.encode(), as_float, kind))

    # Where things are -----------------------------------------------------------------------------------------

    def offset_m(self) -> tuple[float, float]:
        """True (north, east) of home in metres, by a formula of its own (spherical degree lengths are enough)."""
        per_deg = 111_132.954 - 559.822 * math.cos(math.radians(2 * HOME.latitude_deg))
        per_lon = 111_412.84 * math.cos(math.radians(HOME.latitude_deg)) - 93.5 * math.cos(
            math.radians(3 * HOME.latitude_deg)
        )
        return (
            (self.vehicle.latitude_deg - HOME.latitude_deg) * per_deg,
            (self.vehicle.longitude_deg - HOME.longitude_deg) * per_lon,
        )


def place(north_m: float, east_m: float) -> dict[str, float]:
    """x and y of an item at an offset from home."""
    return {
        "x": round((HOME.latitude_deg + north_m / 110_848.0) * 1e7),
        "y": round((HOME.longitude_deg + east_m / 96_788.0) * 1e7),
    }


def patrol(*, back: bool = True) -> list[dict[str, float]]:
    """Take-off, speed, three waypoints, gimbal, return."""
    items: list[dict[str, float]] = [
        {"command": 22, **place(0, 0), "z": 15.0},
        {"command": 178, "frame": 2, "p1": 1.0, "p2": 8.0, "p3": -1.0, "p4": 0.0},
        {"command": 16, **place(80, 0), "z": 30.0, "p2": 3.0},
        {"command": 205, "frame": 2, "p1": -60.0, "p4": 0.0, "z": 2.0},
        {"command": 16, **place(80, 80), "z": 30.0, "p2": 3.0},
        {"command": 16, **place(0, 80), "z": 25.0, "p2": 3.0, "p1": 4.0},
    ]
    return [*items, {"command": 20, "frame": 2, "p4": 0.0}] if back else items


def square(half_m: float, command: int = 5001) -> list[dict[str, float]]:
    """A fence ring around home."""
    corners = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    return [{"command": command, "frame": 0, "p1": 4.0, "p4": 0.0, **place(n * half_m, e * half_m)} for n, e in corners]


def fly_up(pilot: Pilot, height_m: float = 20.0) -> Pilot:
    pilot.ready()
    assert pilot.arm() == ACCEPTED
    assert pilot.command(22, NAN, NAN, NAN, NAN, NAN, NAN, 250.0 + height_m) == ACCEPTED
    pilot.until(lambda: pilot.core.mode is Mode.HOLD and not pilot.core.landed)
    return pilot
