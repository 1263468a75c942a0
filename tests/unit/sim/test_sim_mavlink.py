# SPDX-License-Identifier: AGPL-3.0-or-later
"""The hand-written MAVLink against pymavlink: layouts, both directions, and garbage."""

from __future__ import annotations

import math
import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import common as mavlink

from sim import mavlink_messages as m
from sim.mavlink import DecodeCounts, Encoder, MessageSpec, decode
from sim.px4_truth import HIL_STATE_QUATERNION

SPECS = sorted({*m.OUTGOING, *m.INCOMING.values(), HIL_STATE_QUATERNION}, key=lambda spec: spec.message_id)
_RANGES = {"B": (0, 255), "b": (-128, 127), "H": (0, 65535), "h": (-32768, 32767), "I": (0, 2**32 - 1)}
_RANGES |= {"i": (-(2**31), 2**31 - 1), "Q": (0, 2**64 - 1), "q": (-(2**63), 2**63 - 1)}


def _sizes(layout: str) -> list[int]:
    """Byte sizes of the wire fields; "4s" and "4B" are both four bytes."""
    sizes = []
    for count, kind in re.findall(r"(\d*)([a-zA-Z])", layout):
        size = struct.calcsize("<" + kind)
        sizes += [size * int(count or 1)] if kind in "sB" else [size] * int(count or 1)
    return sizes


def _values(spec: MessageSpec) -> st.SearchStrategy[tuple[float | bytes, ...]]:
    fields: list[st.SearchStrategy] = []
    for count, kind in re.findall(r"(\d*)([a-zA-Z])", spec.struct.format):
        if kind == "s":
            size = int(count or 1)
            values = st.binary(min_size=size, max_size=size)
            # four bytes are a parameter's value, a float to pymavlink: which signalling NaN it is, floats do not keep
            fields.append(values.filter(lambda v: not math.isnan(*struct.unpack("<f", v))) if size == 4 else values)
        elif kind == "f":
            fields += [st.floats(width=32, allow_nan=False)] * int(count or 1)
        else:
            fields += [st.integers(*_RANGES[kind])] * int(count or 1)
    return st.tuples(*fields)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_layout_is_that_of_common_xml(spec: MessageSpec):
    theirs = mavlink.mavlink_map[spec.message_id]
    assert theirs.msgname == spec.name
    assert theirs.crc_extra == spec.extra[0]
    assert struct.calcsize(theirs.unpacker.format) == spec.struct.size
    if not {"s"} & set(spec.struct.format):  # ours takes arrays of bytes as one field, and parameters as bytes
        assert _sizes(theirs.unpacker.format) == _sizes(spec.struct.format)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_pymavlink_reads_what_we_write(data: st.DataObject):
    spec = data.draw(st.sampled_from(m.OUTGOING))
    values = data.draw(_values(spec))
    sequence = data.draw(st.integers(0, 300))
    encoder = Encoder(data.draw(st.integers(1, 254)), 1)
    for _ in range(sequence):
        encoder.frame(m.MISSION_ITEM_REACHED, 1)
    packet = encoder.frame(spec, *values)
    (message,) = mavlink.MAVLink(None).parse_buffer(packet)
    assert message.get_type() == spec.name
    assert message.get_seq() == sequence % 256
    again = message.pack(mavlink.MAVLink(None, srcSystem=message.get_srcSystem(), srcComponent=1))
    assert spec.struct.unpack(bytes(again[10:-2]).ljust(spec.struct.size, b"\0")) == values


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_we_read_what_pymavlink_writes(data: st.DataObject):
    spec = data.draw(st.sampled_from(list(m.INCOMING.values())))
    values = data.draw(_values(spec))
    payload = spec.struct.pack(*values)
    theirs = mavlink.MAVLink(None, srcSystem=255, srcComponent=190)
    parsed = mavlink.MAVLink(None).parse_buffer(Encoder(255, 190).frame(spec, *values))[0]
    packet = bytes(parsed.pack(theirs))
    counts = DecodeCounts()
    (got,) = decode(packet, m.INCOMING, counts)
    assert (got.system_id, got.component_id, got.message_id) == (255, 190, spec.message_id)
    assert got.payload == payload
    assert counts == DecodeCounts(messages=1)


def test_mavlink_1_is_read_too():
    theirs = mavlink.MAVLink(None, srcSystem=255, srcComponent=190)
    packet = bytes(mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3).pack(theirs, force_mavlink1=True))
    assert packet[0] == 0xFE
    (got,) = decode(packet, m.INCOMING, DecodeCounts())
    assert m.HEARTBEAT.struct.unpack(got.payload)[1] == 6


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=60))
def test_garbage_is_counted_and_never_raises(before: bytes, after: bytes):
    counts = DecodeCounts()
    decode(before, m.INCOMING, counts)
    good = Encoder(255, 190).frame(m.HEARTBEAT, 0, 6, 8, 0, 4, 3)
    clean = bytes(byte for byte in before if byte not in {0xFD, 0xFE})
    counts = DecodeCounts()
    found = decode(clean + good + after, m.INCOMING, counts)
    assert found[0].message_id == 0
    assert counts.garbage_bytes >= len(clean)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 8 * 21 - 1))
def test_a_flipped_bit_is_never_taken_for_the_message(bit: int):
    good = bytearray(Encoder(255, 190).frame(m.HEARTBEAT, 0, 6, 8, 0, 4, 3))
    original = decode(bytes(good), m.INCOMING, DecodeCounts())
    good[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(good), m.INCOMING, DecodeCounts()) != original
