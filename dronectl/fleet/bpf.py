# SPDX-License-Identifier: AGPL-3.0-or-later
"""Classic BPF in so few words as the filters of the vehicles' doors need: opcodes, labels, and what the kernel takes.

The machine (linux/filter.h, "BPF classic"): an accumulator A, an index register X, sixteen words of memory M, all of
32 bits, big-endian loads from the packet, and jumps that only go forward. A load from beyond the packet's end refuses
the packet. Conditional jumps reach 255 steps, plain ones any distance. The kernel wants every word of memory written
before it is read, and takes the step behind a RETURN for one that may follow it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

LD_WORD: Final = 0x20  # A = four bytes of the packet at k
LD_BYTE: Final = 0x30  # A = packet[k]
LD_WORD_X: Final = 0x40  # the same at X + k
LD_HALF_X: Final = 0x48
LD_BYTE_X: Final = 0x50
LD_LENGTH: Final = 0x80  # A = length, the UDP header included
LD_NUMBER: Final = 0x00  # A = k
LD_MEMORY: Final = 0x60  # A = M[k]
LDX_MEMORY: Final = 0x61  # X = M[k]
ST: Final = 0x02  # M[k] = A
TAX: Final = 0x07  # X = A
TXA: Final = 0x87  # A = X
ADD: Final = 0x04  # A += k, and so on
OR_X: Final = 0x4C
AND: Final = 0x54
LEFT: Final = 0x64
RIGHT: Final = 0x74
RIGHT_X: Final = 0x7C
XOR: Final = 0xA4
XOR_X: Final = 0xAC
JUMP: Final = 0x05
IF_EQUAL: Final = 0x15  # A == k
IF_ABOVE: Final = 0x25  # A > k
IF_AT_LEAST_X: Final = 0x3D  # A >= X
RETURN: Final = 0x06  # keep k bytes of the packet; none of them: refused

STEP_BYTES: Final = 8  # struct sock_filter
_NEAR: Final = 255
_MOST_STEPS: Final = 4096  # BPF_MAXINSNS


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction. `label` names its place; an empty one for a jump is the next step."""

    opcode: int
    k: int = 0
    if_true: str = ""
    if_false: str = ""
    label: str = ""


def assemble(steps: Sequence[Step]) -> bytes:
    """An array of struct sock_filter (code, jump if true, jump if false, k). ValueError where the kernel would balk."""
    if len(steps) > _MOST_STEPS:
        raise ValueError(f"{len(steps)} steps are more than the kernel takes")
    places: dict[str, int] = {}
    for number, step in enumerate(steps):
        if step.label and places.setdefault(step.label, number) != number:
            raise ValueError(f"two steps are called {step.label}")
    packed = []
    for number, step in enumerate(steps, 1):
        on_true, on_false = (places[label] - number if label else 0 for label in (step.if_true, step.if_false))
        if min(on_true, on_false) < 0:
            raise ValueError(f"step {number} would jump back")
        if step.opcode == JUMP:
            packed.append(struct.pack("=HBBI", JUMP, 0, 0, on_true))
            continue
        if max(on_true, on_false) > _NEAR:
            raise ValueError(f"step {number} would jump too far")
        packed.append(struct.pack("=HBBI", step.opcode, on_true, on_false, step.k))
    return b"".join(packed)


def choose(cases: Sequence[tuple[int, Sequence[Step]]], prefix: str) -> list[Step]:
    """A binary search: the steps of the last case whose number is A or less; A must not be below the first.

    `cases` ascend. None may fall through to the next, nor begin with a label. `prefix` makes this search's labels its own.
    """
    if len(cases) == 1:
        return list(cases[0][1])
    half = len(cases) // 2
    first = cases[half][0]
    label = f"{prefix}>={first}"
    above = choose(cases[half:], prefix)
    above[0] = replace(above[0], label=label)
    return [Step(IF_ABOVE, first - 1, label, ""), *choose(cases[:half], prefix), *above]
