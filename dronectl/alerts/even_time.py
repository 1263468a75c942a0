# SPDX-License-Identifier: AGPL-3.0-or-later
"""Time that flows evenly, for what is meant as a duration: deadlines, how far somebody may have walked, event rules.

UTC jumps when a machine that booted with a wrong clock hears of the right one: days may pass in a moment, or come
again. Messages and records say UTC as it then is; how long something has lasted is measured here. After a restart this
time begins at UTC anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dronectl.clock import Clock


class EvenTime:
    """UTC as it would be if nobody had set the clock since the start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start, self._start_s = clock.utc(), clock.monotonic_s()

    def now(self) -> datetime:
        """Aware; compare it with nothing but itself."""
        return self._start + timedelta(seconds=self._clock.monotonic_s() - self._start_s)

    def behind_s(self) -> float:
        """By how much the clock has been set forward since the start; negative: back."""
        return (self._clock.utc() - self.now()).total_seconds()


class Deadlines:
    """When open alerts are overdue, whatever is done to the clock meanwhile."""

    def __init__(self, clock: Clock, even: EvenTime) -> None:
        self._clock = clock
        self._even = even
        self._due: dict[str, tuple[datetime, datetime]] = {}  # the deadline in UTC, and in even time

    def note(self, alert_id: str, expires_at: datetime | None, longest: timedelta) -> None:
        """An alert as it now is. `longest` is what its level allows: a clock that is days behind adds nothing to it."""
        if expires_at is None:
            self._due.pop(alert_id, None)
        elif alert_id not in self._due or self._due[alert_id][0] != expires_at:
            left = min(expires_at - self._clock.utc(), longest)
            self._due[alert_id] = expires_at, self._even.now() + left

    def overdue(self) -> list[str]:
        """The alerts whose time is up."""
        now = self._even.now()
        return [alert_id for alert_id, (_, due) in self._due.items() if due <= now]
