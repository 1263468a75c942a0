# SPDX-License-Identifier: AGPL-3.0-or-later
"""What no timetable can beat: a lower bound on the worst idleness over interval within a day.

A flight visits an item at most once, flies for at most fly_s, and its drone then swaps its battery. Take a stretch of
time of length L during all of which some items are wanted, and let r be the worst ratio. An item with interval I and n
arrivals in the stretch has n + 1 gaps there of at most r I, so n >= L / (r I) - 1. Three things follow; the bound is the
greatest of them over all stretches between edges of windows. Ways are as when nothing is closed, which only lowers it.

**Air time.** The move before an arrival at item i comes from another item or a dock and takes at least t, the least of
these ways; its service takes s. The times [arrival - t, arrival + s] of one drone do not overlap and lie within a time of
T = L + max t + max s. In one flight they add up to at most U = fly_s - take-off - landing - least way back, and between
those of two flights lie O = least way back + landing + swap + take-off. So a drone has at most
P(T) = q U + min(U, T - q (U + O)) seconds for them, q = floor(T / (U + O)), and the sum of n (t + s) over all items is at
most the sum of P over all drones. The left side falls with r, so the least r that fits is a bound.

**One item.** Two arrivals of one drone at an item are in two flights, so they are at least D = s + way back + landing +
swap + take-off + way out apart. k drones arrive at most sum (floor(L / D) + 1) times, hence r >= L / (I (that + 1)).

**One sweep.** In every time of r R inside the stretch all items with intervals of at most R are arrived at, so k drones'
ways in that time hold a forest over them and all but the last k services: k r R >= forest + services - the k longest,
unless r R > L (forest: `missions.revisit.bound`, after Held and Karp 1970).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from missions.revisit.bound import forest_bound
from missions.revisit.day import Craft, DayTask, Visit

_EPSILON = 1e-9
_HALVINGS = 60


def day_bound(task: DayTask) -> float:
    """Lower bound on the worst ratio of all items; 0 where nothing can be said."""
    edges = sorted({t for v in task.visits for w in v.windows for t in w})
    best = 0.0
    seen: set[tuple[float, tuple[str, ...]]] = set()
    for number, start in enumerate(edges):
        for end in edges[number + 1 :]:
            wanted = [v for v in task.visits if any(a <= start and end <= b for a, b in v.windows)]
            key = (end - start, tuple(v.item_id for v in wanted))
            if not wanted or key in seen:
                continue
            seen.add(key)
            length = end - start
            best = max([best, *(length / v.interval_s for v in wanted if not _in_reach(task, v))])
            wanted = [v for v in wanted if _in_reach(task, v)]
            if wanted:
                best = max(best, _air_time(task, wanted, length), _one_item(task, wanted, length))
                best = max(best, _one_sweep(task, wanted, length))
    return best


def _in_reach(task: DayTask, visit: Visit) -> bool:
    """Whether any way leads from a dock to an item; one that lies on the fence's margin is never arrived at."""
    return any(math.isfinite(_to_dock_s(task, craft, visit)) for craft in task.craft)


def _air_time(task: DayTask, visits: Sequence[Visit], length_s: float) -> float:
    least = [_least_move_s(task, v) + v.service_s for v in visits]
    reach = length_s + max(_least_move_s(task, v) for v in visits) + max(v.service_s for v in visits)
    capacity = sum(_productive_s(task, craft, reach) for craft in task.craft)

    def needed(ratio: float) -> float:
        return sum(
            max(0, math.ceil(length_s / (ratio * v.interval_s) - 1.0 - _EPSILON)) * seconds
            for v, seconds in zip(visits, least, strict=True)
        )

    high = max(length_s / v.interval_s for v in visits)  # then no arrival at all is needed
    low = 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if needed(middle) <= capacity else (middle, high)
    return low


def _productive_s(task: DayTask, craft: Craft, reach_s: float) -> float:
    """P of the module's text."""
    back = min(_to_dock_s(task, craft, v) for v in task.visits)
    usable = craft.fly_s - craft.takeoff_s - craft.landing_s - back
    if usable <= 0.0:
        return 0.0
    cycle = usable + back + craft.landing_s + task.swap_s + craft.takeoff_s
    rounds = math.floor(reach_s / cycle)
    return rounds * usable + min(usable, reach_s - rounds * cycle)


def _one_item(task: DayTask, visits: Sequence[Visit], length_s: float) -> float:
    best = 0.0
    for visit in visits:
        arrivals = 0
        for craft in task.craft:
            ways = (
                2.0 * _to_dock_s(task, craft, visit)
                if len(visit.ways) == 2 or visit.entry == visit.exit
                else (
                    task.ways.open_travel_s(craft.dock, visit.entry) + task.ways.open_travel_s(visit.exit, craft.dock)
                )
            )
            apart = visit.service_s + ways + craft.landing_s + task.swap_s + craft.takeoff_s
            if math.isfinite(apart):
                arrivals += math.floor(length_s / apart + _EPSILON) + 1
        best = max(best, length_s / (visit.interval_s * (arrivals + 1)))
    return best


def _to_dock_s(task: DayTask, craft: Craft, visit: Visit) -> float:
    """Seconds between a dock and the nearer end of an item."""
    return min(task.ways.open_travel_s(craft.dock, p) for p in (visit.entry, visit.exit))


def _least_move_s(task: DayTask, visit: Visit) -> float:
    """The shortest move that an arrival at an item can come after: from a dock, or from any end of another item."""
    before = {c.dock for c in task.craft}
    before |= {p for v in task.visits if v.item_id != visit.item_id for p in (v.entry, v.exit)}
    starts = (visit.entry,) if visit.one_way else (visit.entry, visit.exit)
    return min(task.ways.open_travel_s(p, q) for p in before for q in starts)


def _one_sweep(task: DayTask, visits: Sequence[Visit], length_s: float) -> float:
    """Over all sets of the visits with the shortest intervals."""
    best = 0.0
    drones = len(task.craft)
    for longest in sorted({v.interval_s for v in visits}):
        chosen = [v for v in visits if v.interval_s <= longest]
        if len(chosen) <= drones:
            continue
        n = len(chosen)
        between = np.zeros((n, n))
        for i, a in enumerate(chosen):
            for j, b in enumerate(chosen):
                if i != j:
                    between[i, j] = min(
                        task.ways.open_travel_s(p, q) for p in (a.entry, a.exit) for q in (b.entry, b.exit)
                    )
        services = sorted(v.service_s for v in chosen)[: n - drones]
        needed = (forest_bound(between, drones) + sum(services)) / drones
        best = max(best, min(needed, length_s) / longest)
    return best
