# SPDX-License-Identifier: AGPL-3.0-or-later
"""Free ports on loopback, for children that are told which to take."""

from __future__ import annotations

import random
import socket
from typing import Final

from dronectl.errors import UnavailableError

HOST: Final = "127.0.0.1"
# Below the range that kernels take outgoing connections' ports from (Linux 32768, IANA 49152): between our look and the
# child's start nobody else is given one of these by chance. Above MAVLink's usual ports.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 2_000


def free_ports(kind: socket.SocketKind, count: int) -> list[int]:
    """Different ports that nobody had at the moment of asking. Raises UnavailableError when there are not so many."""
    chance = random.SystemRandom()
    found: list[socket.socket] = []
    try:
        for _ in range(_TRIES + count):
            if len(found) == count:
                return [int(s.getsockname()[1]) for s in found]
            probe = socket.socket(socket.AF_INET, kind)
            try:
                probe.bind((HOST, chance.randint(_FIRST, _LAST)))
            except OSError:
                probe.close()
            else:
                found.append(probe)
        raise UnavailableError(f"no {count} ports between {_FIRST} and {_LAST} on {HOST} are free")
    finally:
        for probe in found:
            probe.close()
