# SPDX-License-Identifier: AGPL-3.0-or-later
"""What batteries last for: which must-patrol items a drone can serve and come home from, flown to alone."""

from __future__ import annotations

import math
from dataclasses import replace

from missions.errors import PlanningError
from missions.patrol_ways import PatrolWays
from missions.routing.minmax import Route, Stop, Task

_OUT_OF_REACH_S = 1e6  # above all times: what a drone cannot fly to goes to another one


def too_much(share: float) -> str:
    """A share of a battery in whole percent, rounded up: what is too much is never 0 %."""
    return f"{math.ceil(100.0 * share)}%"


def within_reach(ways: PatrolWays) -> Task:
    """The task in which no drone begins with an item that its battery does not last for, flown to alone.

    Raises PlanningError with a line for each item that no drone can serve so, and by how much.
    """
    times = [list(row) for row in ways.task.time_s]
    problems = []
    for number, item in enumerate(ways.items):
        best, who = -math.inf, ""
        for vehicle, home in enumerate(ways.task.homes):
            only: list[Route] = [(Stop(number, flip),) for flip in ((False, True) if item.reversible else (False,))]
            spare = max(ways.energy(ways.flight_plan(vehicle, route)).margin_fraction for route in only)
            spare -= ways.limits.reserve_fraction
            if spare > best:
                best, who = spare, ways.vehicles[vehicle].vehicle_id
            if spare < 0.0:
                for end in {item.entry, item.exit}:
                    times[home][end] = _OUT_OF_REACH_S
        if best < 0.0:
            point = item.entry == item.exit
            what = "only to get there and back" if point else "only to get there, along it and back"
            mend = "put a dock nearer" if point else "put a dock nearer, or draw it as two lines"
            mend = f"wait for less wind, or {mend}" if ways.performance.wind_m_s > 0.0 else mend
            problems.append(
                f"{ways.names[number]!r}: {who} would use {too_much(-best)} of its battery too much, {what}; {mend}"
            )
    if problems:
        raise PlanningError("\n".join(problems))
    return replace(ways.task, time_s=tuple(tuple(row) for row in times))
