# SPDX-License-Identifier: AGPL-3.0-or-later
"""The kernel's filter on real sockets: no packet that is one is refused, what cannot be one is, and all is counted."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v10 import common as v1
from pymavlink.dialects.v20 import common as v2

from dronectl.fleet.door import Door, DoorError
from tests.unit.fleet.knocker import Knocker, a_door, may_come_in


@pytest.fixture
def knock() -> Iterator[Knocker]:
    with a_door() as knocker:
        yield knocker


def _packets() -> list[bytes]:
    """Packets of both versions, of the least and the greatest length, signed and not, packed by pymavlink."""
    packed: list[bytes] = []
    for dialect in (v1, v2):
        link = dialect.MAVLink(None, srcSystem=11, srcComponent=1)
        messages = (
            link.heartbeat_encode(2, 12, 129, 50593792, 4, 3),
            link.statustext_encode(6, b"x" * 50),
            link.attitude_encode(1, 0.1, 0.2, 0.3, 0.0, 0.0, 0.0),
            link.file_transfer_protocol_encode(0, 1, 1, [255] * 251),
        )
        packed += [bytes(message.pack(link)) for message in messages]
    signing = v2.MAVLink(None, srcSystem=11, srcComponent=1)
    signing.signing.secret_key = bytes(range(32))
    signing.signing.sign_outgoing = True
    signing.signing.timestamp = 1
    packed.append(bytes(signing.heartbeat_encode(2, 12, 129, 50593792, 4, 3).pack(signing)))
    assert packed[-1][2] == 1
    return packed


PACKETS = _packets()


@pytest.mark.parametrize("packet", PACKETS, ids=lambda p: f"{p[0]:x}-{len(p)}-{p[2]}")
def test_packets_come_in_alone_in_company_and_never_cut(knock: Knocker, packet: bytes) -> None:
    assert knock(packet)
    assert knock(packet + PACKETS[0])
    assert knock(packet + b"tail")
    before = knock.door.refused_or_lost()
    assert before == 0
    cut = [packet[:length] for length in range(len(packet))]
    assert not any(knock(part) for part in cut)
    assert knock.door.refused_or_lost() == len(cut)


_headers = st.builds(
    lambda magic, length, flags, rest: bytes([magic, length, flags]) + rest,
    st.sampled_from((0xFD, 0xFE, 0xFC, 0x55)),
    st.integers(0, 255),
    st.sampled_from((0, 1, 2, 3, 128, 255)),
    st.binary(max_size=300),
)


def test_what_is_refused_is_what_cannot_be_a_packet() -> None:
    with a_door() as knock:

        @settings(deadline=None)
        @given(st.binary(max_size=64) | _headers)
        @example(b"")
        @example(b"\xfd")
        @example(bytes([0xFD, 0, 0, *bytes(9)]))
        @example(bytes([0xFD, 0, 1, *bytes(21)]))
        @example(bytes([0xFD, 0, 1, *bytes(22)]))
        @example(bytes([0xFE, 0, *bytes(5)]))
        @example(bytes([0xFE, 0, *bytes(6)]))
        @example(b"\xfe\xff" + bytes(65_000))
        def check(datagram: bytes) -> None:
            before = knock.door.refused_or_lost()
            came_in = knock(datagram)
            assert came_in == may_come_in(datagram)
            assert knock.door.refused_or_lost() - before == (not came_in)

        check()


def test_what_finds_no_room_is_counted_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside, socket.socket(type=socket.SOCK_DGRAM) as outside:
        inside.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        inside.bind(("127.0.0.1", 0))
        inside.setblocking(False)
        door = Door.guard(f"udpin://127.0.0.1:{inside.getsockname()[1]}")
        for _ in range(200):
            outside.sendto(PACKETS[0], inside.getsockname())
        read = 0
        with contextlib.suppress(BlockingIOError):
            while inside.recv(2048):
                read += 1
        assert 0 < read < 200
        assert door.refused_or_lost() == 200 - read
        assert door.refused_or_lost() == 200 - read  # looking does not count


def test_other_sockets_of_the_process_are_left_alone(knock: Knocker) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, socket.socket(type=socket.SOCK_DGRAM) as outside:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        outside.sendto(b"hello", other.getsockname())
        assert other.recv(64) == b"hello"
    assert not knock(b"hello")


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        ("udpout://127.0.0.1:24999", "udpin"),
        ("serial:///dev/ttyUSB0:57600", "udpin"),
        ("tcpin://127.0.0.1:24999", "udpin"),
        ("udpin://127.0.0.1:1", "no socket of ours"),
    ],
)
def test_what_cannot_be_counted_says_why(connection: str, why: str) -> None:
    with pytest.raises(DoorError, match=why):
        Door.guard(connection)


def test_a_kernel_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may forbid the option: an option of another number stands for that here."""
    from dronectl.fleet import door

    monkeypatch.setattr(door, "_SO_ATTACH_FILTER", 9999)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside:
        inside.bind(("127.0.0.1", 0))
        with pytest.raises(DoorError, match="the kernel refuses it"):
            Door.guard(f"udpin://127.0.0.1:{inside.getsockname()[1]}")
