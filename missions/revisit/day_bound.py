# SPDX-License-Identifier: AGPL-3.0-or-later
"""What no timetable can beat: a lower bound on the worst idleness over interval within a day.

Take items that are all wanted for a whole stretch of time W. With the ratio r every item with an interval of at most R
is arrived at in every time of r R inside the stretch, so k drones' ways in that time hold a forest over them and all
but the last k services: k r R >= forest + services - the k longest, unless r R > W. Ways between lines are counted
between their nearest ends, and no hours of closed areas are counted: both only lower the bound.
"""

from __future__ import annotations

import numpy as np

from missions.revisit.bound import forest_bound
from missions.revisit.day import DayTask, Visit


def day_bound(task: DayTask) -> float:
    """Lower bound on the worst ratio of all items; 0 where nothing can be said."""
    edges = sorted({t for v in task.visits for w in v.windows for t in w})
    best = 0.0
    seen: set[tuple[float, tuple[str, ...]]] = set()
    for number, start in enumerate(edges):
        for end in edges[number + 1 :]:
            wanted = [v for v in task.visits if any(a <= start and end <= b for a, b in v.windows)]
            key = (end - start, tuple(v.item_id for v in wanted))
            if len(wanted) < 2 or key in seen:
                continue
            seen.add(key)
            best = max(best, _stretch(task, wanted, end - start))
    return best


def _stretch(task: DayTask, visits: list[Visit], length_s: float) -> float:
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
