# SPDX-License-Identifier: AGPL-3.0-or-later
"""When flights that are planned together start: each as early as it can while all keep apart, paths as they are.

A later start is all that is changed here; `resolve` knows more remedies. The next flight to be placed is always that
of the drone that is ready first, of several the one with most left to fly, and it gets the earliest start that meets
none of those placed before (`delays` gives all of these at once). Which drone goes first among the ready ones is tried
with each in turn, and the set that is down first is kept. Real flights do not keep to the second: the greatest slack is
chosen that costs little time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from missions.deconflict.delays import Forbidden, forbidden_delays
from missions.deconflict.segments import Minima, Segments, joined, segments
from missions.deconflict.trajectory import Trajectory, common_frame, fly, places_m
from missions.energy import plan_energy
from missions.model import FlightPlan, VehicleLimits

SLACKS_S: Final = (30.0, 20.0, 10.0)  # uploads, arming and gusts move real flights by some seconds
_FOR_SLACK_S: Final = 30.0  # and a twentieth: how much later all may be down for more slack
_FOR_SLACK_SHARE: Final = 0.05
_PER_S = 10.0  # starts are given in tenths of a second
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
) -> Started:
    """The same plans with starts that keep them apart, the first at 0, also over the pads, in wind and in calm.

    Plans of one drone follow one another as given, swap_s after each landing. slacks_s: to choose from, falling.
    Raises DatumError as the energy model does.
    """
    if len(plans) < 2:
        return Started(tuple(replace(p, start_after_s=0.0) for p in plans), None)
    frame = common_frame(plans)
    winds = sorted({0.0, wind_m_s})
    flown = [
        _Motion(
            plan.vehicle_id,
            tuple(fly(plan, limits, places_m(plan, frame), wind_m_s=w) for w in winds),
            max(plan_energy(plan, limits, wind_m_s=w).time_s for w in winds),
        )
        for plan in plans
    ]
    drones = list(dict.fromkeys(p.vehicle_id for p in plans))
    left = {d: sum(m.longest_s for m in flown if m.vehicle_id == d) for d in drones}
    ranked = sorted(drones, key=lambda d: (-left[d], d))
    orders = [[first, *(d for d in ranked if d != first)] for first in ranked[:_FIRST_TRIED]]

    def best(slack_s: float) -> tuple[float, float, list[float]]:
        """When all are down, the sum of the starts, the starts."""
        tried = []
        for order in orders:
            starts = _placed(flown, order, swap_s, minima or Minima(), slack_s)
            tried.append((max(s + m.longest_s for s, m in zip(starts, flown, strict=True)), sum(starts), starts))
        return min(tried)

    least = best(slacks_s[-1])
    late_s = least[0] + max(_FOR_SLACK_S, _FOR_SLACK_SHARE * least[0])
    slack_s, chosen = slacks_s[-1], least
    for more_s in slacks_s[:-1]:
        if (found := best(more_s))[0] <= late_s:
            slack_s, chosen = more_s, found
            break
    return Started(tuple(replace(p, start_after_s=start) for p, start in zip(plans, chosen[2], strict=True)), slack_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Motion:
    """A flight as it is flown in each of the winds, and how long it lasts in the worst, by the careful energy model."""

    vehicle_id: str
    in_wind: tuple[Trajectory, ...]
    longest_s: float


def _placed(
    flown: Sequence[_Motion], order: Sequence[str], swap_s: float, minima: Minima, slack_s: float
) -> list[float]:
    """A start for every flight; drones earlier in the order go first where several are ready at once."""
    waiting = {d: [i for i, m in enumerate(flown) if m.vehicle_id == d] for d in order}
    ready = dict.fromkeys(order, 0.0)
    starts = [0.0] * len(flown)
    settled: list[list[Segments]] = [[] for _ in flown[0].in_wind]
    down_s = 0.0
    while any(waiting.values()):
        drone = min((d for d in order if waiting[d]), key=lambda d: (ready[d], order.index(d)))
        index = waiting[drone].pop(0)
        motion = flown[index]
        start = ready[drone]
        if down_s > 0.0:
            start += _delay(motion, start, settled, minima, slack_s, max(0.0, down_s - start) + slack_s)
        starts[index] = start = math.ceil(round(start * _PER_S, 6)) / _PER_S
        for pieces, trajectory in zip(settled, motion.in_wind, strict=True):
            pieces.append(segments(trajectory, start_s=start, owner=index))
        ready[drone] = start + motion.longest_s + swap_s
        down_s = max(down_s, start + motion.longest_s)
    return starts


def _delay(
    motion: _Motion,
    ready_s: float,
    settled: Sequence[Sequence[Segments]],
    minima: Minima,
    slack_s: float,
    longest_s: float,
) -> float:
    """The least delay of a flight that is ready at a time, so that it meets none of those settled in any wind."""
    found = [
        forbidden_delays(segments(t, start_s=ready_s), joined(pieces), minima, longest_s, slack_s=slack_s)
        for t, pieces in zip(motion.in_wind, settled, strict=True)
    ]
    every = Forbidden(*(np.concatenate([getattr(f, name) for f in found]) for name in Forbidden.__slots__))
    return every.earliest()
