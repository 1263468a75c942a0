# SPDX-License-Identifier: AGPL-3.0-or-later
"""The filters of a vehicle's door: what a datagram's first packet must be to come in (ADR 0007).

Two programs. `headers_only` takes a datagram that is as long as its first packet says. `with_checksums` also computes
that packet's checksum (CRC-16/MCRF4XX over everything but the start byte, then the message's extra byte; mavlink.io,
"Packet Serialization"), for messages whose extra byte `dronectl.fleet.crc_extras` knows; others come in.

How a checksum fits into a machine without loops: P = x^16 + x^12 + x^5 + 1 is the polynomial of that checksum, and over
GF(2) its eighth power is P^8 = x^128 + x^96 + x^40 + 1. The packet, taken as one long polynomial, is first divided
by P^8, four bytes at a time and with nothing but whole bytes moved; then its remainder of sixteen bytes by P^4, P^2
and P. It is sound if nothing is left. To read at fixed places although packets end anywhere, the division runs
from the end to the beginning, that is, in powers of 1/x: by x^-128 + x^-88 + x^-32 + 1. Powers of x do not matter
to whether something is left, nor do zeros at either end.

MAVSDK pings every few seconds from each of its systems to all vehicles of the process, and each answers every one:
with 25 vehicles that is a seventh of all messages, and nothing reads them. Of a datagram that is one such answer and
nothing more, `with_checksums` lets in the datagram without its contents, which is neither work nor a loss to count.
"""

from __future__ import annotations

import functools
from typing import Final

from dronectl.fleet import bpf
from dronectl.fleet.bpf import Step
from dronectl.fleet.crc_extras import CRC_EXTRAS

_UDP_HEADER: Final = 8  # a filter of a UDP socket sees the packet from here on
_V1, _V2 = 0xFE, 0xFD  # first byte of a packet (mavlink.io, "Packet Serialization")
_V1_HEADER: Final = 6
_V2_HEADER: Final = 10
_CHECKSUM: Final = 2
_SIGNATURE: Final = 13
_SIGNED: Final = 0x01  # the one incompatibility flag there is; packets with others must be thrown away
_LENGTH_AT: Final = _UDP_HEADER + 1
_FLAGS_AT: Final = _UDP_HEADER + 2
_V1_MESSAGE_AT: Final = _UDP_HEADER + 5
_V2_MESSAGE_AT: Final = _UDP_HEADER + 7  # the least of three bytes

_TAKE: Final = 0x40000  # keep so many bytes: more than a datagram can have
_EMPTY: Final = _UDP_HEADER  # keep nothing but the header: an empty datagram comes in
_REFUSE: Final = 0
_PING: Final = 4
_PING_TO_ALL: Final = 12  # bytes of payload, without the target: its zeros at the end are cut
_PING_BYTES: Final = 14

_SUMMED_AT: Final = _UDP_HEADER + 1  # the checksum begins after the start byte
_MOST_SUMMED: Final = _V2_HEADER - 1 + 255
_WORDS: Final = _MOST_SUMMED // 4  # whole ones, at most
_FIRST_STATE: Final = 0xFFFF0000  # the checksum's start value, added to the first two bytes

# Memory: four words of the quotient, the word at place i in slot i % 4, and what else must be kept
_RING: Final = 4
_SUMMED: Final = 4  # bytes under the checksum
_EXTRA: Final = 5
_SUM: Final = 6  # the checksum as sent, first byte above
_TAIL: Final = 7  # the quotient's first two words
_BEYOND: Final = 8
_ID: Final = 9


@functools.cache
def headers_only() -> bytes:
    """Taken is what begins with 0xFE or 0xFD, is as long as its second byte says or longer, and has a known flag."""
    return bpf.assemble([*_header(), Step(bpf.RETURN, _TAKE, label="long enough")])


@functools.cache
def with_checksums() -> bytes:
    """The same, and where the message's extra byte is known, the first packet's checksum must be right."""
    return bpf.assemble([*_header(), *_message(), *_tail(), *_entrance(), *_division(), *_remainder(), *_verdict()])


def _header() -> list[Step]:
    around_v1 = _UDP_HEADER + _V1_HEADER + _CHECKSUM
    around_v2 = _UDP_HEADER + _V2_HEADER + _CHECKSUM
    return [
        Step(bpf.LD_BYTE, _UDP_HEADER),
        Step(bpf.IF_EQUAL, _V2, "v2", ""),
        Step(bpf.IF_EQUAL, _V1, "", "refused"),
        Step(bpf.LD_BYTE, _LENGTH_AT),
        Step(bpf.ADD, around_v1),
        Step(bpf.JUMP, if_true="compare"),
        Step(bpf.LD_BYTE, _FLAGS_AT, label="v2"),
        Step(bpf.IF_EQUAL, 0, "unsigned", ""),
        Step(bpf.IF_EQUAL, _SIGNED, "", "refused"),
        Step(bpf.LD_BYTE, _LENGTH_AT),
        Step(bpf.ADD, around_v2 + _SIGNATURE),
        Step(bpf.JUMP, if_true="compare"),
        Step(bpf.LD_BYTE, _LENGTH_AT, label="unsigned"),
        Step(bpf.ADD, around_v2),
        Step(bpf.TAX, label="compare"),
        Step(bpf.LD_LENGTH),
        Step(bpf.IF_AT_LEAST_X, 0, "long enough", "refused"),
        Step(bpf.RETURN, _REFUSE, label="refused"),
    ]


def _message() -> list[Step]:
    """Count the bytes under the checksum, and look up the extra byte, four of them in one word."""
    packed = [int.from_bytes(CRC_EXTRAS[at : at + 4], "little") for at in range(0, len(CRC_EXTRAS), 4)]
    groups = [
        (group, [Step(bpf.LD_NUMBER, word), Step(bpf.JUMP, if_true="extra")] if word else [Step(bpf.RETURN, _TAKE)])
        for group, word in enumerate(packed)
        if word or group == 0 or packed[group - 1]
    ]
    return [
        Step(bpf.LD_BYTE, _UDP_HEADER, label="long enough"),
        Step(bpf.IF_EQUAL, _V2, "v2 message", ""),
        Step(bpf.LD_BYTE, _LENGTH_AT),
        Step(bpf.ADD, _V1_HEADER - 1),
        Step(bpf.ST, _SUMMED),
        Step(bpf.LD_BYTE, _V1_MESSAGE_AT),
        Step(bpf.JUMP, if_true="message"),
        Step(bpf.LD_BYTE, _V2_MESSAGE_AT + 2, label="v2 message"),
        Step(bpf.IF_EQUAL, 0, "", "not known"),
        Step(bpf.LD_BYTE, _V2_MESSAGE_AT + 1),
        Step(bpf.IF_EQUAL, 0, "low", "not known"),
        Step(bpf.RETURN, _TAKE, label="not known"),
        Step(bpf.LD_BYTE, _LENGTH_AT, label="low"),
        Step(bpf.ADD, _V2_HEADER - 1),
        Step(bpf.ST, _SUMMED),
        Step(bpf.LD_BYTE, _V2_MESSAGE_AT),
        Step(bpf.ST, _ID, label="message"),
        Step(bpf.RIGHT, 2),
        *bpf.choose(groups, "group"),
        Step(bpf.ST, _EXTRA, label="extra"),
        Step(bpf.LD_MEMORY, _ID),
        Step(bpf.AND, 3),
        Step(bpf.LEFT, 3),
        Step(bpf.TAX),
        Step(bpf.LD_MEMORY, _EXTRA),
        Step(bpf.RIGHT_X),
        Step(bpf.AND, 0xFF),
        Step(bpf.IF_EQUAL, 0, "not known here", "known"),
        Step(bpf.RETURN, _TAKE, label="not known here"),
        Step(bpf.ST, _EXTRA, label="known"),
    ]


def _tail() -> list[Step]:
    """The quotient's first words: what is left of the packet after whole words, the extra byte and the checksum.

    That is three to six bytes, zeros behind. Where they reach into a second word, that one is the quotient's first,
    and five bytes on is added to the other.
    """
    rest_at = _SUMMED_AT - 1  # behind X: the last byte under the checksum
    return [
        Step(bpf.LD_MEMORY, _SUMMED),
        Step(bpf.TAX),
        Step(bpf.LD_HALF_X, _SUMMED_AT),
        Step(bpf.ST, _SUM),
        Step(bpf.LD_NUMBER, 0),
        Step(bpf.ST, _BEYOND),
        Step(bpf.TXA),
        Step(bpf.AND, 3),
        Step(bpf.IF_EQUAL, 1, "one", ""),
        Step(bpf.IF_EQUAL, 2, "two", ""),
        Step(bpf.IF_EQUAL, 3, "three", ""),
        Step(bpf.LD_MEMORY, _EXTRA),  # none: extra, sum, sum, zero
        Step(bpf.LEFT, 16),
        Step(bpf.LDX_MEMORY, _SUM),
        Step(bpf.OR_X),
        Step(bpf.LEFT, 8),
        Step(bpf.JUMP, if_true="tail"),
        Step(bpf.LD_BYTE_X, rest_at, label="one"),  # byte, extra, sum, sum
        Step(bpf.LEFT, 8),
        Step(bpf.LDX_MEMORY, _EXTRA),
        Step(bpf.OR_X),
        Step(bpf.LEFT, 16),
        Step(bpf.LDX_MEMORY, _SUM),
        Step(bpf.OR_X),
        Step(bpf.JUMP, if_true="tail"),
        Step(bpf.LD_HALF_X, rest_at - 1, label="two"),  # byte, byte, extra, sum; sum
        Step(bpf.LEFT, 8),
        Step(bpf.LDX_MEMORY, _EXTRA),
        Step(bpf.OR_X),
        Step(bpf.LEFT, 8),
        Step(bpf.ST, _TAIL),
        Step(bpf.LD_MEMORY, _SUM),
        Step(bpf.LEFT, 24),
        Step(bpf.ST, _BEYOND),
        Step(bpf.LD_MEMORY, _SUM),
        Step(bpf.RIGHT, 8),
        Step(bpf.LDX_MEMORY, _TAIL),
        Step(bpf.OR_X),
        Step(bpf.JUMP, if_true="tail"),
        Step(bpf.LD_WORD_X, rest_at - 3, label="three"),  # byte, byte, byte, extra; sum, sum
        Step(bpf.LEFT, 8),
        Step(bpf.LDX_MEMORY, _EXTRA),
        Step(bpf.OR_X),
        Step(bpf.ST, _TAIL),
        Step(bpf.LD_MEMORY, _SUM),
        Step(bpf.LEFT, 16),
        Step(bpf.ST, _BEYOND),
        Step(bpf.LEFT, 8),
        Step(bpf.LDX_MEMORY, _TAIL),
        Step(bpf.XOR_X),
        Step(bpf.ST, _TAIL, label="tail"),
    ]


def _entrance() -> list[Step]:
    """Put the tail's words where the quotient's words of their place belong, and go to the word before them."""
    slots = [
        (
            at,
            [
                Step(bpf.LD_NUMBER, 0),
                Step(bpf.ST, (at + 2) % _RING),
                Step(bpf.ST, (at + 3) % _RING),
                Step(bpf.LD_MEMORY, _BEYOND),
                Step(bpf.ST, (at + 1) % _RING),
                Step(bpf.LD_MEMORY, _TAIL),
                Step(bpf.ST, at),
                Step(bpf.JUMP, if_true="enter"),
            ],
        )
        for at in range(_RING)
    ]
    # At least five bytes are under a checksum (0xFE, no payload), so that there is always a whole word
    words = [(count, [Step(bpf.JUMP, if_true=f"word {count - 1}")]) for count in range(1, _WORDS + 1)]
    return [
        Step(bpf.LD_MEMORY, _SUMMED),
        Step(bpf.RIGHT, 2),
        Step(bpf.AND, 3),
        *bpf.choose(slots, "slot"),
        Step(bpf.LD_MEMORY, _TAIL, label="enter"),
        Step(bpf.LEFT, 8),
        Step(bpf.TAX),
        Step(bpf.LD_MEMORY, _SUMMED),
        Step(bpf.RIGHT, 2),
        *bpf.choose(words, "words"),
    ]


def _division() -> list[Step]:
    """The quotient's words, the last one first: the packet's, plus the quotient 5, 12 and 16 bytes further on."""
    steps = []
    for at in reversed(range(_WORDS)):
        steps += [
            Step(bpf.LD_MEMORY, (at + 2) % _RING, label=f"word {at}"),  # X is the word at + 1, a byte to the left
            Step(bpf.RIGHT, 24),
            Step(bpf.XOR_X),
            Step(bpf.TAX),
            Step(bpf.LD_WORD, _SUMMED_AT + 4 * at),
            Step(bpf.XOR_X),
            Step(bpf.LDX_MEMORY, (at + 3) % _RING),
            Step(bpf.XOR_X),
            Step(bpf.LDX_MEMORY, at % _RING),  # still the word at + 4
            Step(bpf.XOR_X),
            *([Step(bpf.XOR, _FIRST_STATE)] if at == 0 else []),
            Step(bpf.ST, at % _RING),
            *([Step(bpf.LEFT, 8), Step(bpf.TAX)] if at else []),
        ]
    return steps


def _remainder() -> list[Step]:
    """What the division by P^8 leaves, the highest power in slot 0, with the bits in the checksum's own order.

    That order has the first bit of a byte lowest, but words come from the packet with their first byte highest.
    """
    steps = [
        *_sum(3, (0, 8), (1, -24), (3, 0), (2, 0)),
        *_sum(2, (0, -24), (2, 0), (1, 0)),
        *_sum(1, (1, 0), (0, 0)),
    ]
    for slot in range(_RING):
        steps += [
            *_sum(slot, (slot, 16), (slot, -16)),
            Step(bpf.AND, 0x00FF00FF),
            Step(bpf.LEFT, 8),
            Step(bpf.TAX),
            Step(bpf.LD_MEMORY, slot),
            Step(bpf.RIGHT, 8),
            Step(bpf.AND, 0x00FF00FF),
            Step(bpf.XOR_X),
            Step(bpf.ST, slot),
        ]
    return steps


def _verdict() -> list[Step]:
    """Divide by P^4 = x^64 + x^48 + x^20 + 1, P^2 = x^32 + x^24 + x^10 + 1 and P; lower powers are higher bits."""
    return [
        # P^4: the quotient's two words over slots 0 and 1, what is left in 2 and 3
        *_sum(0, (0, 16), (0, 0)),
        *_sum(1, (0, -16), (0, 12), (1, 0)),
        *_sum(1, (1, 16), (1, 0)),
        *_sum(2, (1, -16), (0, -20), (1, 12), (2, 0), (0, 0)),
        *_sum(3, (1, -20), (3, 0), (1, 0)),
        # P^2: the quotient in slot 0
        *_sum(0, (2, 8), (2, 0)),
        *_sum(0, (0, 16), (2, 22), (0, 0)),
        *_sum(3, (0, -24), (0, -10), (3, 0), (0, 0)),
        # P: the quotient in slot 0, sixteen bits
        *_sum(0, (3, 4), (3, 0)),
        *_sum(0, (0, 8), (3, 11), (0, 0)),
        Step(bpf.AND, 0xFFFF),
        Step(bpf.ST, 0),
        *_sum(0, (3, -16), (0, -12), (0, -5), (0, 0)),
        Step(bpf.IF_EQUAL, 0, "sound", ""),
        Step(bpf.RETURN, _REFUSE),
        # An answer to a ping of ours is longer than a question to all, where zeros at the end are cut: in version 2
        Step(bpf.LD_MEMORY, _ID, label="sound"),
        Step(bpf.IF_EQUAL, _PING, "", "taken"),
        Step(bpf.LD_BYTE, _UDP_HEADER),
        Step(bpf.IF_EQUAL, _V2, "", "taken"),
        Step(bpf.LD_BYTE, _LENGTH_AT),
        Step(bpf.IF_ABOVE, _PING_TO_ALL, "", "taken"),
        Step(bpf.LD_LENGTH),
        Step(bpf.IF_ABOVE, _UDP_HEADER + _V2_HEADER + _PING_BYTES + _CHECKSUM, "taken", ""),
        Step(bpf.RETURN, _EMPTY),
        Step(bpf.RETURN, _TAKE, label="taken"),
    ]


def _sum(into: int, *terms: tuple[int, int]) -> list[Step]:
    """M[into] = A = the terms added in GF(2): slots, each with how far to the left it is shifted; 0 only at the end."""
    steps: list[Step] = []
    for number, (slot, left) in enumerate(terms):
        if left == 0 and number > 0:
            steps += [Step(bpf.LDX_MEMORY, slot), Step(bpf.XOR_X)]
            continue
        shift = [Step(bpf.LEFT, left)] if left > 0 else [Step(bpf.RIGHT, -left)] if left < 0 else []
        steps += (
            [Step(bpf.LD_MEMORY, slot), *shift]
            if number == 0
            else [
                Step(bpf.TAX),
                Step(bpf.LD_MEMORY, slot),
                *shift,
                Step(bpf.XOR_X),
            ]
        )
    return [*steps, Step(bpf.ST, into)]
