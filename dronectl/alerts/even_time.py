# SPDX-License-Identifier: AGPL-3.0-or-later
"""Time that flows evenly, for what is meant as a duration: deadlines, how far somebody may have walked, event rules.

UTC jumps when a machine that booted with a wrong clock hears of the right one: days may pass in a moment, or come
again. Messages and records say UTC as it then is; how long something has lasted is measured here. After a restart this
time begins at UTC anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from dronectl.clock import Clock

_MOST_SETTLED: Final = 1000  # more than are held in memory


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


class Settled:
    """How long ago incidents were settled, whatever is done to the clock meanwhile."""

    def __init__(self, clock: Clock, even: EvenTime) -> None:
        self._clock = clock
        self._even = even
        self._since: dict[str, tuple[datetime, datetime]] = {}  # in UTC, and in even time; the newest last

    def note(self, incident_id: str, settled_at: datetime | None) -> None:
        """An incident as it now is. One that was settled later than now, by the clock, is settled just now."""
        if settled_at is None:
            self._since.pop(incident_id, None)
        elif incident_id not in self._since or self._since[incident_id][0] != settled_at:
            ago = max(self._clock.utc() - settled_at, timedelta(0))
            self._since[incident_id] = settled_at, self._even.now() - ago
            if len(self._since) > _MOST_SETTLED:
                del self._since[next(iter(self._since))]

    def ago(self, incident_id: str, settled_at: datetime) -> timedelta:
        """For how long it has been settled."""
        self.note(incident_id, settled_at)
        return self._even.now() - self._since[incident_id][1]
