# SPDX-License-Identifier: AGPL-3.0-or-later
"""The simulator as a process, and a ground station of pymavlink that speaks to its vehicles."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pymavlink.dialects.v20 import common as mavlink

PATIENCE_S = 90.0
END_S = 30.0  # within which a simulator has ended that was told to; a tenth of a second on a busy machine, as a rule
_LISTEN_S = 0.05
LAT, LON = 29.7, 107.3
NAN = float("nan")


class Sim:
    """A simulator process with its control pipe."""

    def __init__(self, arguments: list[str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sim", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=cwd,
        )

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def order(self, **order: object) -> dict:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()


@contextlib.contextmanager
def running(arguments: list[str], cwd: Path) -> Iterator[Sim]:
    sim = Sim(arguments, cwd)
    try:
        yield sim
    finally:
        sim.process.stdin.close()
        sim.process.terminate()  # without --exit-with-parent nothing else ends it
        try:
            sim.process.wait(END_S)
        except subprocess.TimeoutExpired:
            sim.process.kill()
            sim.process.wait()
            raise
        sim.process.stdout.close()
        sim.process.stderr.close()


class Station:
    """A pymavlink ground station on one free port."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(_LISTEN_S)
        self.port = self.socket.getsockname()[1]
        self.peer: tuple[str, int] | None = None
        self.last: dict[str, mavlink.MAVLink_message] = {}
        self.count = 0
        self._in = mavlink.MAVLink(None)
        self._in.robust_parsing = True
        self._out = mavlink.MAVLink(None, srcSystem=255, srcComponent=190)
        self._beat = 0.0
        self.items: list[mavlink.MAVLink_message] = []

    def pump(self) -> None:
        if time.monotonic() >= self._beat and self.peer:
            self._beat = time.monotonic() + 0.25
            self.say(mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3))
        with contextlib.suppress(TimeoutError):
            data, self.peer = self.socket.recvfrom(4096)
            for message in self._in.parse_buffer(data) or []:
                self.count += 1
                self.last[message.get_type()] = message
                if message.get_type() == "MISSION_REQUEST_INT":
                    self.say(self.items[message.seq])

    def drain(self) -> None:
        """Throw away what has come so far. Over loopback it is here when the sender's call returns."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(4096)
        self.socket.settimeout(_LISTEN_S)

    def say(self, message: mavlink.MAVLink_message) -> None:
        self.socket.sendto(bytes(message.pack(self._out)), self.peer)
        self._out.seq = (self._out.seq + 1) % 256

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"{what} did not come; {sorted(self.last)}"
            self.pump()

    def command(self, number: int, *params: float) -> int:
        """With retries, as clients do on a link that loses packets."""
        self.last.pop("COMMAND_ACK", None)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.say(mavlink.MAVLink_command_long_message(0, 1, number, 0, *[*params, *[NAN] * (7 - len(params))]))
            retry = time.monotonic() + 0.7
            while time.monotonic() < retry:
                self.pump()
                ack = self.last.get("COMMAND_ACK")
                if ack is not None and ack.command == number:
                    return ack.result
        raise AssertionError(f"command {number}: no acknowledgement")

    @property
    def armed(self) -> bool:
        return bool(self.last["HEARTBEAT"].base_mode & 128)

    @property
    def sub_mode(self) -> int:
        return self.last["HEARTBEAT"].custom_mode >> 24

    def upload(self, items: list[tuple[int, int, float, float, float]]) -> None:
        """(command, frame, north, east, height) each; the first of 178 gives the speed."""
        self.items = [
            mavlink.MAVLink_mission_item_int_message(
                0,
                1,
                seq,
                frame,
                command,
                int(seq == 0),
                1,
                1.0 if command == 178 else 0.0,
                8.0 if command == 178 else 3.0,
                0.0,
                NAN,
                round((LAT + north / 110_848) * 1e7) if frame != 2 else 0,
                round((LON + east / 96_788) * 1e7) if frame != 2 else 0,
                height,
                0,
            )
            for seq, (command, frame, north, east, height) in enumerate(items)
        ]
        self.last.pop("MISSION_ACK", None)
        self.say(mavlink.MAVLink_mission_count_message(0, 1, len(items), 0))
        end = time.monotonic() + PATIENCE_S
        retry = time.monotonic() + 1.5
        while "MISSION_ACK" not in self.last and time.monotonic() < end:
            self.pump()
            if time.monotonic() > retry:  # the count, or the last acknowledgement, was lost
                retry = time.monotonic() + 1.5
                asked = self.last.get("MISSION_REQUEST_INT")
                self.say(self.items[asked.seq] if asked else mavlink.MAVLink_mission_count_message(0, 1, len(items), 0))
        assert self.last["MISSION_ACK"].type == 0
