# SPDX-License-Identifier: AGPL-3.0-or-later
"""Battery swaps on a circuit: a closed walk comes in, the same walk with stops at docks goes out.

The stops are put where they cost least, so that no flight between two swaps is longer than a battery lasts. A short lap
is flown several times on one battery; how many times is tried, since a swap makes the gaps uneven.
"""

from __future__ import annotations

import math

import numpy as np

from missions.errors import PlanningError
from missions.geo import FloatArray
from missions.revisit.model import Circuit, Endurance, RevisitTask, circuit_idleness_s
from missions.revisit.tours import Order

_MOST_STOPS = 400
_LAPS_BEYOND = 1


def with_swaps(task: RevisitTask, circuit: Circuit) -> Circuit:
    """The circuit with dock stops, the best number of laps between swaps chosen by worst weighted idleness.

    Only sites may be stops of the circuit that is given. Without endurance it comes back as it is.
    """
    if task.endurance is None:
        return circuit
    lap = float(np.sum(_ahead(task, circuit.stops)))
    most = 1 if lap <= 0 else int(task.endurance.fly_s // lap) + _LAPS_BEYOND
    most = max(1, min(most, _MOST_STOPS // len(circuit.stops)))
    found: list[tuple[float, Circuit]] = []
    for laps in sorted({1, max(1, most // 2), max(1, most - 1), most}):
        stops = _dock_stops(task, task.endurance, circuit.stops * laps)
        idle = circuit_idleness_s(task, np.asarray(stops, dtype=np.int64), circuit.drones)
        cost = float((idle * task.weight)[sorted(set(circuit.stops))].max())
        found.append((round(cost, 9), Circuit(stops, circuit.drones)))
    return min(found, key=lambda f: f[0])[1]


def _ahead(task: RevisitTask, stops: tuple[int, ...]) -> FloatArray:
    walk = np.asarray(stops, dtype=np.int64)
    out: FloatArray = task.time_s[walk, np.roll(walk, -1)] + task.dwell_s[walk]
    return out


def _dock_stops(task: RevisitTask, endurance: Endurance, stops: tuple[int, ...]) -> tuple[int, ...]:
    """Cheapest dock stops by dynamic programming along the walk, for several places of the first one."""
    n = task.sites
    docks = np.arange(n, len(task.time_s))
    fly = endurance.fly_s + 1e-9
    count = len(stops)
    walk = np.asarray(stops, dtype=np.int64)
    to_dock = task.time_s[docks[:, None], np.arange(n)[None, :]]
    found: list[tuple[float, list[int]]] = []
    for first in range(0, count, max(1, count // 24)):
        order = np.roll(walk, -first)
        inner = task.time_s[order[:-1], order[1:]]
        cost, cut = _cut(order, inner, task, to_dock, fly, endurance.swap_s)
        found.append((round(cost, 9), _joined(order, cut, task, to_dock, fly)))
    return tuple(min(found, key=lambda f: f[0])[1])


def _cut(
    order: Order,
    inner: FloatArray,
    task: RevisitTask,
    to_dock: FloatArray,
    fly: float,
    swap_s: float,
) -> tuple[float, list[int]]:
    """(time added, starts of the flights). A flight goes from any dock over a stretch of stops to any dock."""
    count = len(order)
    # Lists: single numbers of an array are slow to read.
    nearest: list[float] = to_dock.min(axis=0)[order].tolist()
    dwell: list[float] = task.dwell_s[order].tolist()
    before: list[float] = [0.0, *inner.tolist()]
    cost = [0.0] + [math.inf] * count
    start_of = [0] * (count + 1)
    for start in range(count):
        if not math.isfinite(cost[start]):
            continue
        flown = nearest[start]
        for end in range(start, count):
            flown += dwell[end] + (before[end] if end > start else 0.0)
            back = nearest[end]
            if flown + back > fly:
                if flown > fly:
                    break
                continue
            total = cost[start] + flown + back + swap_s
            if total < cost[end + 1]:
                cost[end + 1], start_of[end + 1] = total, start
    cuts = []
    at = count
    while at > 0:
        at = start_of[at]
        cuts.append(at)
    return cost[count], cuts[::-1]


def _joined(
    order: Order,
    cuts: list[int],
    task: RevisitTask,
    to_dock: FloatArray,
    fly: float,
) -> list[int]:
    """Stops with a dock before each flight: one on the way if both flights still last, else the nearest ones."""
    n = task.sites
    nearest, nearest_dock = to_dock.min(axis=0), to_dock.argmin(axis=0)
    flights = [order[a:b] for a, b in zip(cuts, [*cuts[1:], len(order)], strict=True)]
    inside = [float(task.time_s[f[:-1], f[1:]].sum() + task.dwell_s[f].sum()) for f in flights]
    chosen = [(int(nearest_dock[flights[-1][-1]]), int(nearest_dock[flights[0][0]]))]
    for i in range(1, len(flights)):
        begun, landed, starts = chosen[-1][1], int(flights[i - 1][-1]), int(flights[i][0])
        via = int(np.argmin(to_dock[:, landed] + to_dock[:, starts]))
        before = float(to_dock[begun, flights[i - 1][0]]) + inside[i - 1] + float(to_dock[via, landed])
        after = float(to_dock[via, starts]) + inside[i] + float(nearest[flights[i][-1]])
        pair = (int(nearest_dock[landed]), int(nearest_dock[starts]))
        chosen.append((via, via) if before <= fly and after <= fly else pair)
    for land, start in chosen:
        if task.time_s[n + land, n + start] > fly:
            raise PlanningError(f"docks {land} and {start} are farther apart than a battery lasts; patrol them apart")
    return _walked(flights, chosen, n)


def _walked(flights: list[Order], chosen: list[tuple[int, int]], n: int) -> list[int]:
    out: list[int] = []
    for flight, (land, start) in zip(flights, chosen, strict=True):
        out.append(n + land)
        if start != land:
            out.append(n + start)
        out += [int(s) for s in flight]
    return out
