# SPDX-License-Identifier: AGPL-3.0-or-later
"""The kernel as doorkeeper: a UDP door takes only datagrams that begin with a MAVLink packet, and counts the rest.

MAVSDK drops what it cannot read without a word, and a look at every datagram in Python would cost more than the
library itself. So a classic BPF program, which needs no privilege, is attached to the socket that MAVSDK has opened:
what it refuses never reaches the process and stands in the socket's own count of drops (ADR 0007). That count also
holds datagrams that came while the socket's buffer was full; the kernel tells no difference, so neither do we.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
from typing import Final, Self
from urllib.parse import urlsplit

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; Python names neither
_SO_MEMINFO: Final = 55
_MEMINFO_WORDS: Final = 9  # linux/sock_diag.h: SK_MEMINFO_VARS
_MEMINFO_DROPS: Final = 8
_WORD: Final = 1 << 32

# Opcodes of classic BPF (linux/bpf_common.h)
_LD_BYTE: Final = 0x30  # A = packet[k]; beyond its end the packet is refused
_LD_LENGTH: Final = 0x80  # A = length, the UDP header included
_ADD: Final = 0x04  # A += k
_TAX: Final = 0x07  # X = A
_JUMP: Final = 0x05
_IF_EQUAL: Final = 0x15  # A == k
_IF_AT_LEAST_X: Final = 0x3D  # A >= X
_RETURN: Final = 0x06

_UDP_HEADER: Final = 8  # a filter of a UDP socket sees the packet from here on
_WHOLE: Final = 0x40000  # keep so many bytes: more than a datagram can have
_V1, _V2 = 0xFE, 0xFD  # first byte of a packet (mavlink.io, "Packet Serialization")
_V1_AROUND: Final = 6 + 2  # header and checksum around the payload
_V2_AROUND: Final = 10 + 2
_SIGNATURE: Final = 13
_SIGNED: Final = 0x01  # the one incompatibility flag there is; packets with others must be thrown away


# (label, opcode, k, label if true, label if false); an empty label is the next line
_PROGRAM: Final = (
    ("", _LD_BYTE, _UDP_HEADER, "", ""),
    ("", _IF_EQUAL, _V2, "v2", ""),
    ("", _IF_EQUAL, _V1, "", "refused"),
    ("", _LD_BYTE, _UDP_HEADER + 1, "", ""),
    ("", _ADD, _UDP_HEADER + _V1_AROUND, "", ""),
    ("", _JUMP, 0, "compare", ""),
    ("v2", _LD_BYTE, _UDP_HEADER + 2, "", ""),
    ("", _IF_EQUAL, 0, "unsigned", ""),
    ("", _IF_EQUAL, _SIGNED, "", "refused"),
    ("", _LD_BYTE, _UDP_HEADER + 1, "", ""),
    ("", _ADD, _UDP_HEADER + _V2_AROUND + _SIGNATURE, "", ""),
    ("", _JUMP, 0, "compare", ""),
    ("unsigned", _LD_BYTE, _UDP_HEADER + 1, "", ""),
    ("", _ADD, _UDP_HEADER + _V2_AROUND, "", ""),
    ("compare", _TAX, 0, "", ""),
    ("", _LD_LENGTH, 0, "", ""),
    ("", _IF_AT_LEAST_X, 0, "", "refused"),
    ("", _RETURN, _WHOLE, "", ""),
    ("refused", _RETURN, 0, "", ""),
)


def filter_program() -> bytes:
    """The program, as an array of struct sock_filter (code, jump if true, jump if false, k).

    Taken is what begins with 0xFE or 0xFD, is as long as its second byte says or longer, and (0xFD) has no other
    incompatibility flag than "signed". Checksums are MAVSDK's business, which also drops what fails them.
    """
    places = {label: number for number, (label, *_) in enumerate(_PROGRAM) if label}
    steps = []
    for number, (_, opcode, k, if_true, if_false) in enumerate(_PROGRAM, 1):
        on_true, on_false = (places[label] - number if label else 0 for label in (if_true, if_false))
        step = (opcode, 0, 0, on_true) if opcode == _JUMP else (opcode, on_true, on_false, k)
        steps.append(struct.pack("=HBBI", *step))
    return b"".join(steps)


class DoorError(Exception):
    """A door that cannot be watched; the message says why."""


class Door:
    """The sockets of this process that are bound to one UDP port, filtered. They stay open as long as it lives."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._last = [_drops(one) for one in sockets]
        self._total = 0

    @classmethod
    def guard(cls, connection: str) -> Self:
        """Find the socket of a MAVSDK URL that has just been opened, and filter it. Raises DoorError."""
        url = urlsplit(connection)
        if url.scheme != "udpin" or url.port is None:
            raise DoorError("only udpin doors are")
        if sys.platform != "linux":
            raise DoorError("that needs Linux")
        sockets = _sockets_on(url.port)
        if not sockets:
            raise DoorError(f"no socket of ours is bound to port {url.port}")
        program = filter_program()
        code = ctypes.create_string_buffer(program, len(program))
        packed = struct.pack("HP", len(_PROGRAM), ctypes.addressof(code))  # struct sock_fprog; the kernel copies
        try:
            for one in sockets:
                one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, packed)
            return cls(sockets)
        except OSError as error:
            raise DoorError(f"the kernel refuses it: {error.strerror}") from error

    def refused_or_lost(self) -> int:
        """Datagrams that were refused, or lost because the buffer was full, since the door was opened."""
        for index, one in enumerate(self._sockets):
            now = _drops(one)
            self._total += (now - self._last[index]) % _WORD
            self._last[index] = now
        return self._total


def _drops(one: socket.socket) -> int:
    words = one.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _MEMINFO_WORDS)
    return int(struct.unpack_from("=I", words, 4 * _MEMINFO_DROPS)[0])


def _sockets_on(port: int) -> list[socket.socket]:
    """Duplicates of this process's UDP sockets that are bound to the port."""
    found: dict[int, socket.socket] = {}  # by inode: a socket may have several numbers, our duplicates among them
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # numbers, not paths
        with contextlib.suppress(OSError):  # closed meanwhile
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):  # noqa: PTH115  # its target is no path
                continue
            one = socket.socket(fileno=os.dup(int(name)))
            is_udp = one.family in {socket.AF_INET, socket.AF_INET6} and one.type == socket.SOCK_DGRAM
            inode = os.fstat(one.fileno()).st_ino
            if is_udp and one.getsockname()[1] == port and inode not in found:
                found[inode] = one
            else:
                one.close()
    return list(found.values())


def port_taken(connection: str) -> str | None:
    """Why a udpin port cannot be had. The library would share it silently, and each would get half the messages."""
    url = urlsplit(connection)
    if url.scheme != "udpin" or url.port is None:
        return None
    host = url.hostname or "0.0.0.0"  # noqa: S104  # what the URL of the site file says
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, url.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"UDP port {url.port} is in use by another program"
            return f"UDP port {url.port} on {host}: {error.strerror}"
    return None
