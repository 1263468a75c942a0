# SPDX-License-Identifier: AGPL-3.0-or-later
"""One time for things on the ground, by which merging knows how far somebody may have walked. Pure.

Sightings carry the clocks of their vehicles, which are not comparable with each other: each started at its own boot.
So this time starts at the caller's and goes on as the furthest of them does, never slower than the caller's own and
never backwards. A vehicle joins at the time as it then is. Where vehicle time runs faster than ours (a simulator, a
recording), people walk by vehicle time.
"""

from __future__ import annotations

from typing import Final

_MAX_PACE: Final = 20.0  # no vehicle's clock runs faster; one that jumps starts anew
_SLACK_S: Final = 5.0


class Pace:
    """The time of things. Feed it every sighting's clock."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s
        self._caller_s = now_s
        self._offsets_s: dict[str, float] = {}

    def at_least(self, time_s: float) -> None:
        """Go on from a time that an earlier run had reached."""
        self._now_s = max(self._now_s, time_s)

    def of(self, clock: str, clock_s: float) -> float:
        """When `clock` said `clock_s`, for a moment of which `at` has heard: in the past, if it is told late."""
        return min(self._now_s, clock_s + self._offsets_s[clock])

    def at(self, clock: str, clock_s: float, caller_s: float) -> float:
        """The time of something that `clock` (a vehicle) says is at `clock_s`, as the caller hears of it."""
        passed_s = max(0.0, caller_s - self._caller_s)
        self._caller_s = max(self._caller_s, caller_s)
        before_s = self._now_s
        self._now_s += passed_s
        offset_s = self._offsets_s.get(clock)
        if offset_s is not None:
            by_clock_s = clock_s + offset_s
            ahead_s = by_clock_s - before_s
            if -_MAX_PACE * _SLACK_S <= ahead_s <= _MAX_PACE * passed_s + _SLACK_S:
                self._now_s = max(self._now_s, by_clock_s)
                return self._now_s
        self._offsets_s[clock] = self._now_s - clock_s
        return self._now_s
