# SPDX-License-Identifier: AGPL-3.0-or-later
"""A UDP relay between a vehicle and its link: counts MAVLink frames, drops, delays and cuts, the same for any vehicle.

    vehicle  <-->  [vehicle side: 127.0.0.1:target_port]  relay  [own port]  <-->  link (udpin 127.0.0.1:link_port)

Frames are told apart by their headers only (MAVLink 1 and 2), so that it is an oracle apart from both ends' parsers.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from dronectl.ports import free_ports

_COMMAND_LONG = 76
_COMMAND_INT = 75
_ATTITUDE = 30
_AUTOPILOT_VERSION = 148
_VERSION_KINDS = {0: "dev", 64: "alpha", 128: "beta", 192: "rc", 255: "release"}


_given: set[int] = set()


def free_udp_port() -> int:
    """One that the system does not hand out by itself, and never the same twice in a run.

    Nobody listens yet on those that were given a moment ago.
    """
    while (port := free_ports(socket.SOCK_DGRAM, 1)[0]) in _given:
        pass
    _given.add(port)
    return port


def frames(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """(message id, payload, whole frame) of each frame in a datagram."""
    found = []
    at = 0
    while at < len(data):
        if data[at] == 0xFD and at + 12 <= len(data):
            length = data[at + 1]
            signed = 13 if data[at + 2] & 1 else 0
            end = at + 12 + length + signed
            number = int.from_bytes(data[at + 7 : at + 10], "little")
            found.append((number, data[at + 10 : at + 10 + length], data[at:end]))
        elif data[at] == 0xFE and at + 8 <= len(data):
            length = data[at + 1]
            end = at + 8 + length
            found.append((data[at + 5], data[at + 6 : at + 6 + length], data[at:end]))
        else:
            at += 1
            continue
        at = end
    return found


@dataclass
class Tap:
    """What went by. Times are the vehicle's, from ATTITUDE."""

    from_vehicle: Counter[int] = field(default_factory=Counter)
    commands: list[tuple[int, float]] = field(default_factory=list)  # (MAV_CMD, param1) sent to the vehicle
    attitude_s: list[float] = field(default_factory=list)


class Relay:
    """One vehicle's relay, in a thread of its own, for the length of a with block."""

    def __init__(self, seed: int = 7) -> None:
        self.target_port = free_udp_port()
        self.link_port = free_udp_port()
        self.cut = False
        self.drop = 0.0
        self.delay_s = 0.0
        self.lost_to_link: frozenset[int] = frozenset()  # message ids
        self.lost_to_vehicle: frozenset[int] = frozenset()
        self.tap = Tap()
        self.version: str | None = None  # the autopilot's, from AUTOPILOT_VERSION: "1.16.0-dev"
        self._rng = random.Random(seed)
        self._vehicle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._vehicle.bind(("127.0.0.1", self.target_port))
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.bind(("127.0.0.1", 0))
        self._peer: tuple[str, int] | None = None
        self._late: list[tuple[float, bytes, bool]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)
        self._vehicle.close()
        self._link.close()

    def fresh_tap(self) -> Tap:
        """Count from here."""
        self.tap = Tap()
        return self.tap

    def _run(self) -> None:
        while not self._stop.is_set():
            readable, _, _ = select.select([self._vehicle, self._link], [], [], 0.01 if self._late else 0.05)
            for sock in readable:
                with contextlib.suppress(ConnectionError):
                    data, sender = sock.recvfrom(65536)
                    if sock is self._vehicle:
                        self._peer = sender
                    self._pass(data, to_link=sock is self._vehicle)
            now = time.monotonic()
            due, self._late = [e for e in self._late if e[0] <= now], [e for e in self._late if e[0] > now]
            for _, frame, to_link in due:
                self._send(frame, to_link=to_link)

    def _pass(self, data: bytes, *, to_link: bool) -> None:
        if self.cut:
            return
        kept = []
        for number, payload, frame in frames(data):
            if self.drop and self._rng.random() < self.drop:
                continue
            self._note(number, payload, to_link=to_link)
            if number in (self.lost_to_link if to_link else self.lost_to_vehicle):
                continue
            kept.append(frame)
        if self.delay_s:
            self._late.extend((time.monotonic() + self.delay_s, frame, to_link) for frame in kept)
        elif kept:
            self._send(b"".join(kept), to_link=to_link)

    def _note(self, number: int, payload: bytes, *, to_link: bool) -> None:
        if to_link:
            self.tap.from_vehicle[number] += 1
            if number == _ATTITUDE:
                self.tap.attitude_s.append(int.from_bytes(payload[:4].ljust(4, b"\0"), "little") / 1e3)
            if number == _AUTOPILOT_VERSION:
                (word,) = struct.unpack_from("<I", payload.ljust(60, b"\0"), 16)
                kind = _VERSION_KINDS.get(word & 0xC0 if word & 0xFF != 0xFF else 0xFF, "dev")
                self.version = f"{word >> 24}.{word >> 16 & 255}.{word >> 8 & 255}-{kind}"
        elif number in {_COMMAND_LONG, _COMMAND_INT}:
            param1, command = struct.unpack_from("<f24xH", payload.ljust(33, b"\0"))
            self.tap.commands.append((command, param1))

    def _send(self, data: bytes, *, to_link: bool) -> None:
        with contextlib.suppress(ConnectionError):
            if to_link:
                self._link.sendto(data, ("127.0.0.1", self.link_port))
            elif self._peer is not None:
                self._vehicle.sendto(data, self._peer)
