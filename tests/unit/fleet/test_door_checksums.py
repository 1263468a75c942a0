# SPDX-License-Identifier: AGPL-3.0-or-later
"""The kernel computes checksums: what pymavlink packs comes in, what was changed on the way does not."""

from __future__ import annotations

import logging
import math
import random
import socket
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import common as mavlink

from dronectl.fleet import bpf, door
from dronectl.fleet.crc_extras import CRC_EXTRAS
from tests.unit.fleet.knocker import Knocker, a_door, answers_a_ping, checksum_of, may_come_in

_SEED = 20
_KNOWN = [number for number, extra in enumerate(CRC_EXTRAS) if extra]
_UNKNOWN = [number for number, extra in enumerate(CRC_EXTRAS) if not extra]
_SMALLEST_LIMIT_BYTES = 20_480  # net.core.optmem_max of kernels before 6.8


@pytest.fixture
def knock() -> Iterator[Knocker]:
    with a_door() as knocker:
        yield knocker


def test_extra_bytes_are_those_of_pymavlink() -> None:
    theirs = {number: message.crc_extra for number, message in mavlink.mavlink_map.items() if number < 256}
    assert len(CRC_EXTRAS) == 256
    assert {number: CRC_EXTRAS[number] for number in _KNOWN} == theirs


def test_every_message_of_the_dialect_comes_in(knock: Knocker) -> None:
    """With anything in its fields, zeros at the end cut, signed or not, in both versions of the protocol."""
    rng = random.Random(_SEED)
    plain, signing = (mavlink.MAVLink(None, srcSystem=11, srcComponent=1) for _ in range(2))
    signing.signing.secret_key = bytes(range(32))
    signing.signing.sign_outgoing = True
    signing.signing.timestamp = 1
    lengths = set()
    for number, kind in mavlink.mavlink_map.items():
        for _ in range(3):
            message = kind(*_any_values(kind, rng))
            plain.seq = signing.seq = rng.randrange(256)
            packets = [bytes(message.pack(plain)), bytes(message.pack(signing))]
            if number < 256:
                packets.append(bytes(message.pack(plain, force_mavlink1=True)))
            for packet in packets:
                assert knock(packet), (kind.msgname, packet.hex())
                lengths.add(packet[1])
    assert knock.door.refused_or_lost() == 0
    assert len(lengths) > 100


def _any_values(kind: type[mavlink.MAVLink_message], rng: random.Random) -> list[object]:
    """A value for each field, zero for many, so that trailing zeros are cut."""
    lengths = dict(zip(kind.ordered_fieldnames, kind.array_lengths, strict=True))

    def one(of_type: str) -> object:
        if rng.random() < 0.4:
            return 0
        if of_type in {"float", "double"}:
            return rng.choice((rng.uniform(-1e6, 1e6), math.nan, math.inf))
        bits = int("".join(filter(str.isdigit, of_type)))
        return rng.randrange(1 << bits) - (0 if of_type.startswith("u") else 1 << bits - 1)

    def field(name: str, of_type: str) -> object:
        if of_type == "char":
            return rng.randbytes(rng.randrange(lengths[name] + 1)) if lengths[name] else rng.randbytes(1)
        return [one(of_type) for _ in range(lengths[name])] if lengths[name] else one(of_type)

    return [field(name, of_type) for name, of_type in zip(kind.fieldnames, kind.fieldtypes, strict=True)]


def _packet(version: int, number: int, payload: bytes, header: bytes = b"\7\13\1", *, signed: bool = False) -> bytes:
    """Packed by hand: of any length, which a message of that kind may not have; that is not the door's business."""
    if version == 1:
        summed = bytes([len(payload), *header, number]) + payload
    else:
        summed = bytes([len(payload), signed, 0, *header, number, 0, 0]) + payload
    signature = bytes(range(100, 113)) if signed and version == 2 else b""
    return bytes([0xFE if version == 1 else 0xFD]) + summed + checksum_of(summed, number) + signature


def test_every_length_is_checked(knock: Knocker) -> None:
    rng = random.Random(_SEED)
    for length in range(256):
        for version, signed in ((1, False), (2, False), (2, True)):
            packet = _packet(version, rng.choice(_KNOWN), rng.randbytes(length), signed=signed)
            assert knock(packet), packet.hex()
            wrong = bytearray(packet)
            wrong[len(packet) - (13 if signed else 0) - rng.choice((1, 2))] ^= rng.randrange(1, 256)
            assert not knock(bytes(wrong)), wrong.hex()
            if length:
                other = bytearray(packet)
                other[(6 if version == 1 else 10) + rng.randrange(length)] ^= rng.randrange(1, 256)
                assert not knock(bytes(other)), other.hex()


_packets = st.builds(
    _packet,
    st.sampled_from((1, 2)),
    st.sampled_from(_KNOWN),
    st.binary(max_size=255),
    st.binary(min_size=3, max_size=3),
    signed=st.booleans(),
)


def test_a_bit_changed_on_the_way_is_noticed() -> None:
    """Whatever bit it is; where it makes the packet another one (length, flags, id), by what that one should be."""
    with a_door() as knock:

        @settings(deadline=None, max_examples=500)
        @given(_packets, st.data())
        def check(packet: bytes, data: st.DataObject) -> None:
            assert knock(packet)
            header = 6 if packet[0] == 0xFE else 10
            end = header + packet[1] + 2
            bit = data.draw(st.integers(8, 8 * end - 1))
            changed = bytearray(packet)
            changed[bit // 8] ^= 1 << bit % 8
            came_in = knock(bytes(changed))
            assert came_in == may_come_in(bytes(changed))
            another_packet = bit // 8 in ((1, 5) if header == 6 else (1, 2, 7, 8, 9))
            assert another_packet or not came_in

        check()


def test_what_is_refused_is_what_pymavlink_adds_up_otherwise() -> None:
    """Anything with a sound header, the right checksum or any two bytes for it, and anything behind."""
    with a_door() as knock:

        @settings(deadline=None, max_examples=500)
        @given(_packets, st.none() | st.binary(min_size=2, max_size=2), st.binary(max_size=20))
        @example(_packet(1, 4, bytes(17)), None, b"")
        @example(_packet(2, 4, bytes(12)), None, b"1234")
        @example(_packet(2, 4, bytes(13)), None, b"1")
        @example(_packet(2, 0, b""), b"\0\0", b"")
        @example(_packet(1, 0, b""), b"\0\0", b"")
        @example(_packet(2, 254, bytes(255)), b"\xff\xff", b"")
        def check(packet: bytes, checksum: bytes | None, tail: bytes) -> None:
            at = len(packet) - 2 - (13 if packet[0] == 0xFD and packet[2] else 0)
            datagram = packet[:at] + (checksum or packet[at : at + 2]) + packet[at + 2 :] + tail
            before = knock.door.refused_or_lost()
            assert knock(datagram) == may_come_in(datagram)
            assert knock.door.refused_or_lost() - before == (not may_come_in(datagram))

        check()


def test_only_the_first_packet_of_a_datagram_is_looked_at(knock: Knocker) -> None:
    sound = _packet(2, 0, b"123456789")
    broken = sound[:-1] + bytes([sound[-1] ^ 1])
    assert knock(sound + broken)
    assert not knock(broken + sound)


@pytest.mark.parametrize(
    ("target", "signed", "version", "tail", "empty"),
    [
        ((255, 190), False, 2, b"", True),
        ((255, 0), False, 2, b"", True),
        ((0, 0), False, 2, b"", False),  # a question to all: MAVSDK answers it
        ((255, 190), True, 2, b"", False),
        ((255, 190), False, 1, b"", False),
        ((0, 0), False, 1, b"", False),
        ((255, 190), False, 2, b"behind", False),  # another packet, perhaps
    ],
)
def test_an_answer_to_a_ping_comes_in_without_its_contents(
    knock: Knocker, target: tuple[int, int], signed: bool, version: int, tail: bytes, empty: bool
) -> None:
    link = mavlink.MAVLink(None, srcSystem=11, srcComponent=1)
    if signed:
        link.signing.secret_key = bytes(range(32))
        link.signing.sign_outgoing = True
        link.signing.timestamp = 1
    packet = bytes(link.ping_encode(1_000_000, 7, *target).pack(link, force_mavlink1=version == 1)) + tail
    assert answers_a_ping(packet) == empty
    assert knock(packet)
    assert knock.door.refused_or_lost() == 0
    wrong = packet[:11] + bytes([packet[11] ^ 1]) + packet[12:]
    assert not knock(wrong)
    assert knock.door.refused_or_lost() == 1


@pytest.mark.parametrize("number", [_UNKNOWN[0], _UNKNOWN[-1], 256, 331, 0x010000, 0xFFFFFF])
def test_messages_we_do_not_know_come_in(knock: Knocker, number: int) -> None:
    """Dialects are many; a message of one of them is MAVSDK's business."""
    assert knock(bytes([0xFD, 4, 0, 0, 7, 11, 1]) + number.to_bytes(3, "little") + b"four" + b"??")
    if number < 256:
        assert knock(bytes([0xFE, 4, 7, 11, 1, number]) + b"four" + b"??")


def test_the_program_is_small_enough_for_older_kernels(knock: Knocker) -> None:
    assert 0 < knock.kernel_memory_bytes() < _SMALLEST_LIMIT_BYTES


def test_where_the_kernel_refuses_the_long_program_it_gets_the_short_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A program with more steps than the kernel takes stands for one with more than its memory limit allows."""
    too_long = bpf.assemble([bpf.Step(bpf.RETURN)] * 4096) + bytes(bpf.STEP_BYTES)
    monkeypatch.setattr(door, "with_checksums", lambda: too_long)
    door._say_unchecked.cache_clear()
    with caplog.at_level(logging.WARNING), a_door() as knock, a_door() as another:
        sound = _packet(2, 0, b"123456789")
        assert knock(sound[:-1] + bytes([sound[-1] ^ 1]))
        assert another(sound)
        assert not knock(sound[:-1])
        assert not another(b"hello")
    assert [r.message for r in caplog.records if "checksums are not checked" in r.message] == [
        "checksums are not checked at the vehicles' doors: the kernel refuses the program that does: Invalid argument"
    ]


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([bpf.Step(bpf.RETURN)] * 4097, "more than the kernel takes"),
        ([bpf.Step(bpf.RETURN, label="a"), bpf.Step(bpf.JUMP, if_true="a")], "jump back"),
        ([bpf.Step(bpf.IF_EQUAL, 0, "far"), *[bpf.Step(bpf.TAX)] * 256, bpf.Step(bpf.RETURN, label="far")], "too far"),
        ([bpf.Step(bpf.TAX, label="a"), bpf.Step(bpf.RETURN, label="a")], "two steps"),
    ],
)
def test_programs_the_kernel_would_not_take_are_not_assembled(steps: list[bpf.Step], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        bpf.assemble(steps)


def test_a_search_finds_every_number() -> None:
    """Asked through a real socket: the first byte of a datagram chooses how much of it is kept."""
    cases = [(first, [bpf.Step(bpf.RETURN, 9 + place)]) for place, first in enumerate((0, 1, 5, 6, 20, 200, 255))]
    program = bpf.assemble([bpf.Step(bpf.LD_BYTE, 8), *bpf.choose(cases, "case")])
    with socket.socket(type=socket.SOCK_DGRAM) as inside, socket.socket(type=socket.SOCK_DGRAM) as outside:
        inside.bind(("127.0.0.1", 0))
        inside.setblocking(False)
        door.attach([inside], program)
        for first in range(256):
            outside.sendto(bytes([first]) + bytes(20), inside.getsockname())
            assert len(inside.recv(64)) == max(place for place, (at, _) in enumerate(cases) if at <= first) + 1
