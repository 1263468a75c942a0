# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where one vehicle in the air waits, and how long, so that it keeps apart from others whose waits are settled.

The way is fixed and waiting is possible at waypoints only, so this is safe interval path planning (Phillips and
Likhachev 2011) along a line: for every stretch the delays at which it is free form gaps, and of all ways to fly it
inside one gap the earliest is enough, for whoever can fly it later can as well fly it now and wait after it. What is
kept from waypoint to waypoint is therefore one label for each gap. All holds have to do in every wind at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from missions.deconflict.delays import Forbidden
from missions.deconflict.meetings import tenths
from missions.deconflict.ways import Clash, Way
from missions.geo import FloatArray

_LEAST_HOLD_S: Final = 1.0  # shorter ones an autopilot hardly makes
_MOST_LABELS: Final = 24


@dataclass(frozen=True, slots=True)
class Hold:
    """seconds: more than the plan holds at a waypoint already. from_s, until_s: of the whole stay, in each wind."""

    item: int
    seconds: float
    from_s: tuple[float, ...]
    until_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A way with its holds. delay_s: for each wind and group by how much later than without any it is flown."""

    way: Way
    holds: tuple[Hold, ...]
    delay_s: tuple[FloatArray, ...]

    @property
    def total_s(self) -> float:
        """By how much later all is done, in the wind in which that is most: also the seconds of hover that it costs."""
        return max(float(d[-1]) for d in self.delay_s)


@dataclass(frozen=True, slots=True)
class Blocked:
    """No holds within what the battery has keep a way apart from others.

    group: the farthest that cannot be flown. earlier_s: by how much earlier than it could be there it is free again.
    """

    group: int
    earlier_s: float


class Taken:
    """What others, whose waits are settled, forbid one way in one wind, with a slack early and late."""

    def __init__(self, wind: int, slack_s: float) -> None:
        self._wind, self._slack_s = wind, slack_s
        self._others: list[tuple[Clash, Waiting]] = []
        self._groups: dict[int, list[tuple[float, float]]] = {}
        self._places: dict[int, list[tuple[float, float]]] | None = None

    def add(self, clash: Clash, other: Waiting) -> None:
        """Take in another one."""
        self._others.append((clash, other))
        found = clash.moving
        self._spans(self._groups, found.piece, found, other.delay_s[self._wind][found.other], 0.0)
        for hold in other.holds:
            found = clash.passing.of_others(hold.item)
            begin = hold.from_s[self._wind]
            self._spans(self._groups, found.piece, found, begin, hold.until_s[self._wind] - begin)

    def delays(self, group: int) -> list[tuple[float, float]]:
        """Open intervals of delays that a group must not have, by their begin."""
        return sorted(self._groups.get(group, ()))

    def times(self, item: int) -> list[tuple[float, float]]:
        """Open intervals of times at which a waypoint must not be stood at."""
        if self._places is None:
            self._places = {}
            for clash, other in self._others:
                found = clash.standing
                self._spans(self._places, found.piece, found, other.delay_s[self._wind][found.other], 0.0)
                for hold in other.holds:
                    begin, end = hold.from_s[self._wind] - self._slack_s, hold.until_s[self._wind] + self._slack_s
                    for mine, theirs in clash.both:
                        if theirs == hold.item:
                            self._places.setdefault(mine, []).append((begin, end))
        return self._places.get(item, [])

    def _spans(
        self,
        into: dict[int, list[tuple[float, float]]],
        keys: NDArray[np.int64],
        found: Forbidden,
        later_s: FloatArray | float,
        longer_s: float,
    ) -> None:
        low, high = found.low_s + later_s - self._slack_s, found.high_s + later_s + longer_s + self._slack_s
        for key, begin, end in zip(keys.tolist(), low.tolist(), high.tolist(), strict=True):
            into.setdefault(key, []).append((begin, end))


@dataclass(frozen=True, slots=True)
class _Label:
    """How a waypoint can be left: the delay in each wind, and how it came to that (the label before, and the hold)."""

    delay_s: tuple[float, ...]
    before: _Label | None
    held_s: float


def wait(way: Way, taken: Sequence[Taken], spare_s: float) -> Waiting | Blocked:
    """The holds with which all is done earliest, at most spare_s later than without any; `taken` for each wind."""
    count = len(way.plan.waypoints)
    start = _Label((0.0,) * len(taken), None, 0.0)
    if any(_inside(t.delays(0), 0.0) for t in taken):
        return Blocked(0, math.inf)
    labels = [start]
    for item in range(count):
        spans = [t.delays(item + 1) for t in taken]
        kept: dict[tuple[int, ...], _Label] = {}
        for label in labels:
            for held_s in _departures(way, taken, spans, label, item, spare_s):
                left = _left(way, label, item, held_s)
                gap = tuple(sum(end <= d for _, end in s) for s, d in zip(spans, left.delay_s, strict=True))
                if gap not in kept or left.delay_s < kept[gap].delay_s:
                    kept[gap] = left
        if not kept:
            return Blocked(item + 1, min(_earlier(spans, label) for label in labels))
        labels = sorted(kept.values(), key=lambda label: label.delay_s)[:_MOST_LABELS]
    return _traced(way, min(labels, key=lambda label: max(label.delay_s)))


def unhindered(way: Way) -> Waiting:
    """A way as if nobody was in it."""
    groups = len(way.plan.waypoints) + 1
    return Waiting(way, (), tuple(np.zeros(groups) for _ in way.in_wind))


def _departures(
    way: Way,
    taken: Sequence[Taken],
    spans: Sequence[list[tuple[float, float]]],
    label: _Label,
    item: int,
    spare_s: float,
) -> list[float]:
    """Holds with which a waypoint is left in one gap each of the next stretch, the first of each; 0 is none at all."""
    free = not any(_inside(s, d) for s, d in zip(spans, label.delay_s, strict=True))
    out = [0.0] if free else []
    if free and not any(end > d for s, d in zip(spans, label.delay_s, strict=True) for _, end in s):
        return out
    most, closed = spare_s, []
    crossed = not free
    for flying, around, span, delay in zip(way.in_wind, taken, spans, label.delay_s, strict=True):
        base = delay + float(flying.stop_s[item])
        arrives = float(flying.arrive_s[item]) + delay
        until = min((begin for begin, end in around.times(item) if end > arrives), default=math.inf)
        most = min(most, spare_s - base, until - float(flying.leave_s[item]) - base)
        closed += [(begin - base, end - base) for begin, end in span if end > delay]
    held = _LEAST_HOLD_S
    for begin, end in sorted(closed):
        if held > most:
            break
        if begin >= held and crossed:
            out.append(held)
        if end > held:
            held = tenths(end)
        crossed = True
    if held <= most and crossed:
        out.append(held)
    return [h for h in out if h <= most or h == 0.0]


def _left(way: Way, label: _Label, item: int, held_s: float) -> _Label:
    if held_s == 0.0:
        return _Label(label.delay_s, label, 0.0)
    later = (d + float(f.stop_s[item]) + held_s for f, d in zip(way.in_wind, label.delay_s, strict=True))
    return _Label(tuple(later), label, held_s)


def _traced(way: Way, last: _Label) -> Waiting:
    labels = [last]
    while labels[-1].before is not None:
        labels.append(labels[-1].before)
    labels.reverse()  # the first has left nothing yet, the one at k + 1 has left waypoint k
    holds = []
    for item, (before, after) in enumerate(pairwise(labels)):
        if after.held_s > 0.0:
            begin = tuple(float(f.arrive_s[item]) + d for f, d in zip(way.in_wind, before.delay_s, strict=True))
            end = tuple(float(f.leave_s[item]) + d for f, d in zip(way.in_wind, after.delay_s, strict=True))
            holds.append(Hold(item, after.held_s, begin, end))
    delays = np.array([label.delay_s for label in labels])
    return Waiting(way, tuple(holds), tuple(delays[:, w].copy() for w in range(delays.shape[1])))


def _inside(spans: Sequence[tuple[float, float]], delay_s: float) -> bool:
    return any(begin < delay_s < end for begin, end in spans)


def _earlier(spans: Sequence[list[tuple[float, float]]], label: _Label) -> float:
    """By how much earlier than a label the next stretch is free in every wind."""
    back = 0.0
    closed = sorted(
        ((begin - d, end - d) for s, d in zip(spans, label.delay_s, strict=True) for begin, end in s),
        key=lambda span: -span[1],
    )
    for begin, end in closed:
        if begin < -back < end:
            back = tenths(-begin)
    return back
