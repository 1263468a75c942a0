# SPDX-License-Identifier: AGPL-3.0-or-later
"""When flights that are planned together start: each as early as it can while all keep apart, paths as they are.

A later start is all that is changed here; `resolve` knows more remedies. The next flight to be placed is always that
of the drone that is ready first, of several the one with most left to fly, and it gets the earliest start that meets
none of those placed before: which starts of one flight after another meet is found once for each pair (`meetings`).
Which drone goes first among the ready ones is tried with each in turn, and the set that is down first is kept. Real
flights do not keep to the second: the greatest slack is chosen that costs little time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from missions.deconflict.meetings import Meetings, earliest
from missions.deconflict.segments import Minima
from missions.model import FlightPlan, VehicleLimits

SLACK_S: Final = 10.0  # at least: uploads, arming and gusts move real flights by some seconds
SLACKS_S: Final = (30.0, 20.0, SLACK_S)
_FOR_SLACK_S: Final = 30.0  # and a twentieth: how much later all may be down for more slack
_FOR_SLACK_SHARE: Final = 0.05
_FIRST_TRIED = 8  # drones that are tried as the first


@dataclass(frozen=True, slots=True)
class Started:
    """Plans with their starts, in the order of the input.

    slack_s: by how much any two of them may run early or late against each other and still keep apart; None for one.
    """

    plans: tuple[FlightPlan, ...]
    slack_s: float | None


def started_apart(
    plans: Sequence[FlightPlan],
    limits: VehicleLimits,
    *,
    swap_s: float = 0.0,
    wind_m_s: float = 0.0,
    minima: Minima | None = None,
    slacks_s: Sequence[float] = SLACKS_S,
    aloft: Sequence[FlightPlan] = (),
) -> Started:
    """The same plans with starts that keep them apart, the first at 0, also over the pads, in wind and in calm.

    Plans of one drone follow one another as given, swap_s after each landing. slacks_s: to choose from, falling.
    aloft: plans of other drones that are in the air at their first waypoints and fly on at once; those that start keep
    apart from them as well, the first as early as that allows. Raises DatumError as the energy model does.
    """
    if not plans or len(plans) + len(aloft) < 2:
        return Started(tuple(replace(p, start_after_s=0.0, starts_first=False) for p in plans), None)
    meetings = Meetings([*plans, *aloft], limits, wind_m_s, minima or Minima(), aloft=len(aloft))
    board = _Board(meetings, swap_s, len(plans))
    least = board.best(slacks_s[-1])
    late_s = least.down_s + max(_FOR_SLACK_S, _FOR_SLACK_SHARE * least.down_s)
    slack_s, chosen = slacks_s[-1], least
    for more_s in slacks_s[:-1]:
        if (found := board.best(more_s)).down_s <= late_s:
            slack_s, chosen = more_s, found
            break
    started = (plan.at_start(start_s) for plan, start_s in zip(plans, chosen.starts_s[: len(plans)], strict=True))
    return Started(tuple(started), slack_s)


@dataclass(frozen=True, slots=True, order=True)
class _Starts:
    """Starts in the order of the flights; better ones compare as less."""

    down_s: float
    sum_s: float
    starts_s: tuple[float, ...]


class _Board:
    """Places flights in time, the first `count` of them; those after them fly at 0."""

    def __init__(self, meetings: Meetings, swap_s: float, count: int) -> None:
        self._meetings, self._flown, self._swap_s, self._count = meetings, meetings.flown, swap_s, count
        left: dict[str, float] = {}
        for motion in meetings.flown[:count]:
            left[motion.vehicle_id] = left.get(motion.vehicle_id, 0.0) + motion.longest_s
        self._ranked = sorted(left, key=lambda d: (-left[d], d))

    def best(self, slack_s: float) -> _Starts:
        """The best of those found with each drone as the first."""
        firsts = self._ranked[:_FIRST_TRIED]
        return min(self._placed([first, *(d for d in self._ranked if d != first)], slack_s) for first in firsts)

    def _placed(self, order: Sequence[str], slack_s: float) -> _Starts:
        """Drones earlier in the order go first where several are ready at once."""
        waiting = {d: [i for i, m in enumerate(self._flown[: self._count]) if m.vehicle_id == d] for d in order}
        ready = dict.fromkeys(order, 0.0)
        starts = dict.fromkeys(range(self._count, len(self._flown)), 0.0)
        while any(waiting.values()):
            drone = min((d for d in order if waiting[d]), key=lambda d: (ready[d], order.index(d)))
            index = waiting[drone].pop(0)
            starts[index] = self._earliest(index, ready[drone], starts, slack_s)
            ready[drone] = starts[index] + self._flown[index].longest_s + self._swap_s
        in_order = tuple(starts[i] for i in range(len(self._flown)))
        return _Starts(
            max(s + m.longest_s for s, m in zip(in_order, self._flown, strict=True)), sum(in_order), in_order
        )

    def _earliest(self, index: int, ready_s: float, starts: Mapping[int, float], slack_s: float) -> float:
        """The least start from a time on, in tenths of a second, at which a flight meets none of those with starts."""
        spans = [
            self._meetings.differences(index, other) + np.array([start - slack_s, start + slack_s])
            for other, start in starts.items()
            if self._flown[other].vehicle_id != self._flown[index].vehicle_id
        ]
        return earliest(ready_s, spans)
