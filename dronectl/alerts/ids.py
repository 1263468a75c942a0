# SPDX-License-Identifier: AGPL-3.0-or-later
"""UUID version 7 (RFC 9562, section 5.7): ids that sort by the millisecond in which they were made."""

from __future__ import annotations

import os
import uuid
from datetime import datetime

_RANDOM_BITS = 74


def uuid7(moment: datetime, random_bits: int | None = None) -> str:
    """A new id for an aware time; `random_bits` (74 of them) only to make tests repeatable."""
    milliseconds = int(moment.timestamp() * 1000) & (1 << 48) - 1
    noise = int.from_bytes(os.urandom(10)) >> 6 if random_bits is None else random_bits & (1 << _RANDOM_BITS) - 1
    high, low = noise >> 62, noise & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
