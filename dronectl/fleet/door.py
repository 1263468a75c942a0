# SPDX-License-Identifier: AGPL-3.0-or-later
"""The kernel as doorkeeper: a UDP door takes only datagrams that begin with a MAVLink packet, and counts the rest.

MAVSDK drops what it cannot read without a word, and a look at every datagram in Python would cost more than the
library itself. So a classic BPF program (`door_program.py`), which needs no privilege, is attached to the socket that
MAVSDK has opened: what it refuses never reaches the process and stands in the socket's own count of drops (ADR 0007).
That count also holds datagrams that came while the socket's buffer was full; the kernel tells no difference, so
neither do we.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import logging
import os
import socket
import struct
import sys
from typing import Final, Self
from urllib.parse import urlsplit

from dronectl.fleet.bpf import STEP_BYTES
from dronectl.fleet.door_program import headers_only, with_checksums

log = logging.getLogger(__name__)

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; Python names neither
_SO_MEMINFO: Final = 55
_MEMINFO_WORDS: Final = 9  # linux/sock_diag.h: SK_MEMINFO_VARS
_MEMINFO_DROPS: Final = 8
_WORD: Final = 1 << 32


class DoorError(Exception):
    """A door that cannot be watched; the message says why."""


def attach(sockets: list[socket.socket], program: bytes) -> None:
    """Have the kernel ask the program about each datagram. OSError where it does not take it."""
    code = ctypes.create_string_buffer(program, len(program))
    packed = struct.pack(
        "HP", len(program) // STEP_BYTES, ctypes.addressof(code)
    )  # struct sock_fprog; the kernel copies
    for one in sockets:
        one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, packed)


class Door:
    """The sockets of this process that are bound to one UDP port, filtered. They stay open as long as it lives."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._last = [_drops(one) for one in sockets]
        self._total = 0

    @classmethod
    def guard(cls, connection: str) -> Self:
        """Find the socket of a MAVSDK URL that has just been opened, and filter it. Raises DoorError.

        Where the kernel does not take the long program, which also checks checksums, it gets the short one.
        """
        url = urlsplit(connection)
        if url.scheme != "udpin" or url.port is None:
            raise DoorError("only udpin doors are")
        if sys.platform != "linux":
            raise DoorError("that needs Linux")
        sockets = _sockets_on(url.port)
        if not sockets:
            raise DoorError(f"no socket of ours is bound to port {url.port}")
        try:
            try:
                attach(sockets, with_checksums())
            except OSError as error:  # ENOMEM where net.core.optmem_max is less than its default
                attach(sockets, headers_only())
                _say_unchecked(str(error.strerror))
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


@functools.cache  # once in a process: it is the same for all its doors
def _say_unchecked(why: str) -> None:
    log.warning("checksums are not checked at the vehicles' doors: the kernel refuses the program that does: %s", why)


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
