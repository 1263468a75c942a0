# SPDX-License-Identifier: AGPL-3.0-or-later
"""UUID version 7 (RFC 9562, section 5.7): ids that sort by the millisecond in which they were made."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM_BITS: Final = 74


def uuid7(moment: datetime, random_bits: int | None = None) -> str:
    """A new id for an aware time; `random_bits` (74 of them) only to make tests repeatable."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1) & (1 << 48) - 1  # exact, unlike timestamp()
    noise = int.from_bytes(os.urandom(10)) >> 6 if random_bits is None else random_bits & (1 << _RANDOM_BITS) - 1
    high, low = noise >> 62, noise & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
