# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service's two clocks, injected so that tests can run in virtual time.

Monotonic seconds for links and time-outs, aware UTC at the edges. The third clock, vehicle time, comes with the
telemetry and is never compared with these.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def monotonic_s(self) -> float: ...

    def utc(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)
