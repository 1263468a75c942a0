# SPDX-License-Identifier: AGPL-3.0-or-later
"""When each flight of a set is handed in, so that take-offs are as far apart as planned. Pure; the caller has the clock.

The plans keep apart only if their starts keep their distances, within `SLACK_S`. A start is a take-off, and before it
come checks and an upload that nobody knows the length of. So the set's zero is taken from the first take-off, the time
that flights of this set needed before theirs is allowed for, and:

- nobody is handed in while a take-off that should be over by then is still waited for;
- one who leaves late takes all later ones along, if it is by more than what would add up to nothing;
- one who ends before its take-off is waited for no longer, and shifts nobody;
- while one holds in the air, or its link is lost, nobody else is handed in; when it flies on it is later by as much.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from missions.deconflict.starts import SLACK_S

ON_GROUND: Final = frozenset({"planned", "preflight", "uploading", "ready", "arming"})  # states of a sortie
FLYING: Final = frozenset({"taking_off", "flying"})
HELD: Final = frozenset({"paused", "lost_link"})
ENDED: Final = frozenset({"landed", "failed"})
_LET_BE_S = SLACK_S / 2.0  # lateness that is not handed on: small ones would add up over many flights


@dataclass(slots=True)
class Launches:
    """The flights of a set by their indices. starts_s: as planned; every now_s on one clock of the caller's, seconds."""

    starts_s: Sequence[float]
    _began_s: float | None = None  # the set's zero by what was handed in
    _zero_s: float | None = None  # the same by take-offs
    _handed_in_s: dict[int, float] = field(default_factory=dict)
    _left_s: dict[int, float] = field(default_factory=dict)
    _over: set[int] = field(default_factory=set)
    _late_s: dict[int, float] = field(default_factory=dict)  # the set's zero as each flight's own take-off has it
    _held_s: dict[int, float] = field(default_factory=dict)  # since when

    @property
    def waiting(self) -> list[int]:
        """Who is not handed in yet, in the order of the starts."""
        there = (i for i in range(len(self.starts_s)) if i not in self._handed_in_s)
        return sorted(there, key=lambda i: self.starts_s[i])

    @property
    def held(self) -> list[int]:
        """Who is in the air and not flying its plan, so that nobody is handed in."""
        return sorted(self._held_s)

    def next_s(self, now_s: float) -> tuple[int, float] | None:
        """Who is handed in next, and when (at once if that is over). None: nobody, or somebody is waited for."""
        waiting = self.waiting
        if not waiting or self._held_s:
            return None
        start = self.starts_s[waiting[0]]
        if self._began_s is None:
            return waiting[0], now_s
        lead_s = self._lead_s()
        pending = [i for i in self._handed_in_s if i not in self._left_s and i not in self._over]
        if any(start - self.starts_s[i] > lead_s for i in pending):
            return None
        times = [self._handed_in_s[i] + start - self.starts_s[i] for i in pending]
        if self._zero_s is not None:
            times.append(self._zero_s + start - lead_s)
        return waiting[0], max(times, default=self._began_s + start)

    def due(self, now_s: float) -> int | None:
        """Who is to be handed in now; ask again after each."""
        following = self.next_s(now_s)
        return following[0] if following is not None and following[1] <= now_s else None

    def handed_in(self, index: int, now_s: float) -> None:
        """It was handed in, or at least it was tried."""
        self._handed_in_s[index] = now_s
        if self._began_s is None:
            self._began_s = now_s - self.starts_s[index]

    def seen(self, index: int, state: str, now_s: float) -> bool:
        """What a sortie's state says of its flight, as often as it is looked at. True at the first look after a take-off."""
        left = state not in ON_GROUND and state != "failed" and index not in self._left_s
        if left:
            self._left_s[index] = now_s
            self._is_late(index, now_s - self.starts_s[index])
        if state in ENDED:
            self._over.add(index)
        self._hold(index, state, now_s)
        return left

    def _hold(self, index: int, state: str, now_s: float) -> None:
        if state in HELD:
            self._held_s.setdefault(index, now_s)
        elif index in self._held_s:
            since_s = self._held_s.pop(index)
            if state in FLYING:
                self._is_late(index, self._late_s[index] + now_s - since_s)

    def _is_late(self, index: int, zero_s: float) -> None:
        self._late_s[index] = zero_s
        if self._zero_s is None or zero_s - self._zero_s > _LET_BE_S:
            self._zero_s = zero_s

    def off_s(self, index: int) -> tuple[int, float] | None:
        """The flight in the air against which this one's take-off is off its plan by most, and by how much (late: > 0)."""
        others = [i for i in self._late_s if i != index and i not in self._over]
        off = [(i, self._late_s[index] - self._late_s[i]) for i in others]
        return max(off, key=lambda o: abs(o[1]), default=None)

    def _lead_s(self) -> float:
        """What a flight is expected to need from being handed in to its take-off: what others needed, less the odd one.

        Until two have told, the slack counts as one more: who is slow once must not send the next one up early.
        """
        needed = [left - self._handed_in_s[i] for i, left in self._left_s.items()]
        return float(statistics.median_low([*needed, SLACK_S]))
