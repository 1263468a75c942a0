# SPDX-License-Identifier: AGPL-3.0-or-later
"""Somebody who knocks at a vehicle's door, and who knows by another way who may come in."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from pymavlink.dialects.v20 import common as mavlink

from dronectl.fleet.door import Door


class Knocker:
    """Sends one datagram and says whether it came in. Over loopback it is there, or refused, when sendto returns.

    Of an answer to a ping it is there, but empty.
    """

    def __init__(self, inside: socket.socket, outside: socket.socket, door: Door) -> None:
        self.door = door
        self._inside = inside
        self._outside = outside

    def __call__(self, datagram: bytes) -> bool:
        self._outside.sendto(datagram, self._inside.getsockname())
        try:
            assert self._inside.recv(65536) == (b"" if answers_a_ping(datagram) else datagram)
        except BlockingIOError:
            return False
        return True

    def kernel_memory_bytes(self) -> int:
        """What the kernel charges the socket for its filter (SO_MEMINFO, SK_MEMINFO_OPTMEM)."""
        return int(struct.unpack_from("=I", self._inside.getsockopt(socket.SOL_SOCKET, 55, 36), 4 * 6)[0])


@contextmanager
def a_door() -> Iterator[Knocker]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside, socket.socket(type=socket.SOCK_DGRAM) as outside:
        inside.bind(("127.0.0.1", 0))
        inside.setblocking(False)
        yield Knocker(inside, outside, Door.guard(f"udpin://127.0.0.1:{inside.getsockname()[1]}"))


def may_come_in(datagram: bytes) -> bool:
    """What a reader finds who goes through the first packet's fields one after the other, and has pymavlink add up."""
    rest = list(datagram)

    def take(count: int) -> list[int]:
        if len(rest) < count:
            raise EOFError
        head, rest[:] = rest[:count], rest[count:]
        return head

    try:
        (magic,) = take(1)
        (length,) = take(1) if magic in {0xFD, 0xFE} else (None,)
        if length is None:
            return False
        signature = 0
        if magic == 0xFE:
            *_, message_id = take(4)  # sequence, system, component, message
        else:
            (incompatible, _compatible) = take(2)
            if incompatible > 1:
                return False
            signature = 13 if incompatible else 0
            take(3)  # sequence, system, component
            message_id = int.from_bytes(bytes(take(3)), "little")
        take(length)
        summed = datagram[1 : len(datagram) - len(rest)]
        checksum = bytes(take(2))
        take(signature)
    except EOFError:
        return False
    if message_id > 255 or message_id not in mavlink.mavlink_map:
        return True
    return checksum == checksum_of(summed, message_id)


def answers_a_ping(datagram: bytes) -> bool:
    """A PING of version 2, alone, unsigned and to somebody: PING's last two fields, at 12 and 13, say to whom."""
    return datagram[:1] == b"\xfd" and datagram[7:10] == b"\4\0\0" and datagram[1] > 12 and len(datagram) <= 26


def checksum_of(summed: bytes, message_id: int) -> bytes:
    """By pymavlink, over everything but the start byte."""
    crc = mavlink.x25crc(summed)
    crc.accumulate(bytes([mavlink.mavlink_map[message_id].crc_extra]))
    return struct.pack("<H", crc.crc)
