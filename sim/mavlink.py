# SPDX-License-Identifier: AGPL-3.0-or-later
"""MAVLink framing by hand: datagrams in, messages out, and back. No state but the sequence number of a sender.

Written out instead of using pymavlink because a process that hosts 128 vehicles sends thousands of messages a
second; the tests decode every message with pymavlink. Framing is the MAVLink developer guide's, "Packet
Serialization"; the checksum is CRC-16/MCRF4XX over everything but the start byte, then the message's extra byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from fastcrc import crc16

STX_V1 = 0xFE
STX_V2 = 0xFD
_HEADER_V2 = Struct("<BBBBBBBH")
_SIGNED = 0x01
_SIGNATURE_BYTES = 13
_mcrf4xx = crc16.mcrf4xx


class MessageSpec:
    """How one message lies on the wire: id, CRC extra, and its fields (extensions last) in wire order."""

    __slots__ = ("_extra", "message_id", "name", "struct")

    def __init__(self, name: str, message_id: int, crc_extra: int, layout: str) -> None:
        self.name = name
        self.message_id = message_id
        self.struct = Struct(layout)
        self._extra = bytes((crc_extra,))

    @property
    def extra(self) -> bytes:
        return self._extra


class Encoder:
    """Frames messages of one sender; MAVLink 2, unsigned, trailing zeros cut."""

    __slots__ = ("_component_id", "_sequence", "_system_id")

    def __init__(self, system_id: int, component_id: int = 1) -> None:
        self._system_id = system_id
        self._component_id = component_id
        self._sequence = 0

    def frame(self, spec: MessageSpec, *values: float | bytes) -> bytes:
        """One packet; values in wire order, integers where the layout has integers (struct.error if not)."""
        payload = spec.struct.pack(*values).rstrip(b"\0") or b"\0"
        number = spec.message_id
        sequence = self._sequence
        self._sequence = (sequence + 1) & 0xFF
        body = (
            _HEADER_V2.pack(
                len(payload), 0, 0, sequence, self._system_id, self._component_id, number & 0xFF, number >> 8
            )
            + payload
        )
        crc: int = _mcrf4xx(body + spec._extra)  # noqa: SLF001  (the hottest line of the simulator)
        return b"\xfd" + body + crc.to_bytes(2, "little")


@dataclass(slots=True)
class DecodeCounts:
    """What came in over one link. garbage_bytes: bytes skipped on the way to a start byte."""

    messages: int = 0
    ignored: int = 0
    bad_checksum: int = 0
    garbage_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Packet:
    """One checked packet: who sent it, which message, and its payload padded to the message's full length."""

    system_id: int
    component_id: int
    message_id: int
    payload: bytes


def decode(datagram: bytes, wanted: dict[int, MessageSpec], counts: DecodeCounts) -> list[Packet]:
    """All good packets of a datagram whose id is in `wanted`; the rest is counted, never raised.

    Unwanted ids are skipped before their checksum is looked at, because it cannot be checked without their spec.
    """
    found: list[Packet] = []
    at = 0
    end = len(datagram)
    while at < end:
        start = datagram[at]
        if start == STX_V2 and end - at >= 12:
            length = datagram[at + 1]
            head = 10
            tail = 2 + (_SIGNATURE_BYTES if datagram[at + 2] & _SIGNED else 0)
        elif start == STX_V1 and end - at >= 8:
            length = datagram[at + 1]
            head = 6
            tail = 2
        else:
            counts.garbage_bytes += 1
            at += 1
            continue
        stop = at + head + length + tail
        if stop > end:
            counts.garbage_bytes += 1
            at += 1
            continue
        if head == 10:
            system_id, component_id = datagram[at + 5], datagram[at + 6]
            number = datagram[at + 7] | datagram[at + 8] << 8 | datagram[at + 9] << 16
        else:
            system_id, component_id, number = datagram[at + 3], datagram[at + 4], datagram[at + 5]
        spec = wanted.get(number)
        if spec is None:
            counts.ignored += 1
            at = stop
            continue
        data = datagram[at + 1 : at + head + length]
        checksum = datagram[at + head + length] | datagram[at + head + length + 1] << 8
        if _mcrf4xx(data + spec.extra) != checksum:
            counts.bad_checksum += 1
            at += 1
            continue
        payload = data[head - 1 :]
        size = spec.struct.size
        payload = payload[:size] if len(payload) >= size else payload.ljust(size, b"\0")
        found.append(Packet(system_id, component_id, number, payload))
        counts.messages += 1
        at = stop
    return found
