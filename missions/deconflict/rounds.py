# SPDX-License-Identifier: AGPL-3.0-or-later
"""Starts of flights that are flown again every so many seconds: no flight meets another one of any round.

Each flight gets the earliest start from the wanted one on at which it meets no flight placed before, in the rounds
before and after as well; a drone's next flight comes after its battery is swapped. Where a drone is then not ready again
for the next round, the period is made longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from missions.deconflict.meetings import Meetings, earliest, tenths
from missions.geo import FloatArray

_TRIES = 40
_LATE_S = 0.1  # a tenth of a second, to which starts are rounded


@dataclass(frozen=True, slots=True)
class Round:
    """starts_s: of each flight, the first at 0. All is flown again every period_s."""

    starts_s: tuple[float, ...]
    period_s: float


def round_apart(
    meetings: Meetings,
    wanted_s: Callable[[float], Sequence[float]],
    period_s: float,
    most_s: float,
    *,
    swap_s: float,
    slack_s: float,
) -> Round | None:
    """The round with the least period that is found, from period_s up to most_s; None where there is none.

    wanted_s: the starts that are wanted in a period, in the order of the flights; a drone's flights follow one another
    in the order of theirs. slack_s: by how much any two may run early or late against each other.
    """
    period = tenths(period_s)
    for _ in range(_TRIES):
        if period > most_s:
            return None
        starts, over_s = _placed(meetings, wanted_s(period), period, swap_s, slack_s)
        if starts is not None and over_s <= 0.0:
            first = min(starts)
            return Round(tuple(round(s - first, 1) for s in starts), period)
        # Nothing free in a whole period is a matter of phases, which a little more changes.
        period = tenths(period + max(_LATE_S, over_s if starts is not None else 0.02 * period))
    return None


def _placed(
    meetings: Meetings, wanted_s: Sequence[float], period_s: float, swap_s: float, slack_s: float
) -> tuple[list[float] | None, float]:
    """Starts, and by how much the drone that is worst off is not ready for the next round; None where one finds no start."""
    flown = meetings.flown
    starts: dict[int, float] = {}
    ready: dict[str, float] = {}
    begun: dict[str, float] = {}
    for index in sorted(range(len(flown)), key=lambda i: (wanted_s[i], i)):
        motion = flown[index]
        from_s = max(wanted_s[index], ready.get(motion.vehicle_id, -math.inf))
        spans = [
            _again(meetings.differences(index, other) + np.array([start - slack_s, start + slack_s]), period_s, from_s)
            for other, start in starts.items()
            if flown[other].vehicle_id != motion.vehicle_id
        ]
        start = earliest(from_s, spans)
        if start > from_s + period_s:
            return None, 0.0
        starts[index] = start
        begun.setdefault(motion.vehicle_id, start)
        ready[motion.vehicle_id] = start + motion.longest_s + swap_s
    over_s = max(ready[drone] - begun[drone] - period_s for drone in ready)
    return [starts[i] for i in range(len(flown))], over_s


def _again(spans: FloatArray, period_s: float, from_s: float) -> FloatArray:
    """Intervals as they come again in every period, those that matter for two periods from a time on; (n, 2)."""
    if not len(spans):
        return spans
    first = math.floor((from_s - float(spans[:, 1].max())) / period_s)
    last = math.ceil((from_s + 2.0 * period_s - float(spans[:, 0].min())) / period_s)
    shifts = period_s * np.arange(first, last + 1)
    return np.asarray((spans[None] + shifts[:, None, None]).reshape(-1, 2))
