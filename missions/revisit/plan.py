# SPDX-License-Identifier: AGPL-3.0-or-later
"""The best circuits for a revisit task: every strategy is tried, the least worst weighted idleness is kept.

- tour: all drones on one short tour, equally spaced (Chevaleyre 2004).
- partition: a circuit of its own for every drone.
- groups: several circuits, some with several drones.
- weighted: heavy sites several times in a lap, on all of the above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from missions.geo import FloatArray
from missions.model import Budget
from missions.revisit.bound import idleness_bound
from missions.revisit.groups import GroupSearch, structures
from missions.revisit.model import Circuit, RevisitPlan, RevisitTask, idleness_s
from missions.revisit.refine import refine, rounds_by_weight, weight_classes
from missions.revisit.swaps import with_swaps
from missions.revisit.tours import Order, short_tour

_TOUR_SHARE, _FIRST_SHARE, _LONG_SHARE = 0.1, 0.25, 0.4
_KEPT = 2
_REFINED = 3


@dataclass(frozen=True, slots=True)
class _Candidate:
    strategy: str
    bare: tuple[Circuit, ...]
    circuits: tuple[Circuit, ...]
    worst: float


def plan_revisit(task: RevisitTask, budget: Budget) -> RevisitPlan:
    """The best plan found. Same task, seed and iterations, same plan; after stop() the best so far comes back."""
    total = max(1, budget.iterations)
    n = task.sites
    budget.progress(0.0, "one tour")
    tour = short_tour(task.time_s[:n, :n], max(20, int(_TOUR_SHARE * total)), budget.seed)
    search = GroupSearch(task, tour)
    found = [_candidate(task, "tour", [Circuit(tuple(int(s) for s in tour), task.drones)])]
    ways = [s for s in structures(min(task.drones, n)) if len(s) <= n]
    first = max(20, int(_FIRST_SHARE * total / len(ways)))
    ranked: list[tuple[float, tuple[int, ...]]] = []
    for number, way in enumerate(ways):
        if budget.stop():
            break
        budget.progress(0.1 + 0.25 * number / len(ways), f"{len(way)} circuits")
        candidate = _candidate(task, _name(way), search.search(_spread(way, task.drones), first, budget.seed))
        found.append(candidate)
        ranked.append((candidate.worst, way))
    ranked.sort(key=lambda r: (r[0], r[1]))
    longer = [way for _, way in ranked[:_KEPT] if len(way) > 1]
    alone = (1,) * min(task.drones, n)
    longer += [alone] if alone not in longer and len(alone) > 1 else []
    for number, way in enumerate(longer):
        if budget.stop():
            break
        budget.progress(0.35 + 0.35 * number / len(longer), f"{len(way)} circuits, longer")
        spent = max(20, int(_LONG_SHARE * total / len(longer)))
        found.append(_candidate(task, _name(way), search.search(_spread(way, task.drones), spent, budget.seed + 1)))
    found += _weighted(task, found, tour, budget, total)
    return _best(task, found, total)


def _spread(way: tuple[int, ...], drones: int) -> tuple[int, ...]:
    """Drones beyond one per site fly with the first group."""
    return (way[0] + drones - sum(way), *way[1:])


def _name(way: tuple[int, ...]) -> str:
    if len(way) == 1:
        return "tour"
    return "partition" if max(way) == 1 else "groups"


def _candidate(task: RevisitTask, strategy: str, bare: list[Circuit]) -> _Candidate:
    circuits = tuple(with_swaps(task, c) for c in bare)
    worst = float((idleness_s(task, circuits) * task.weight).max())
    return _Candidate(strategy, tuple(bare), circuits, worst)


def _weighted(task: RevisitTask, found: list[_Candidate], tour: Order, budget: Budget, total: int) -> list[_Candidate]:
    """The best candidates and the round tours, with single visits added, dropped and moved in their worst circuits."""
    rounds = [
        _candidate(task, "weighted", [Circuit(rounds_by_weight(task, tour, c), task.drones)])
        for c in range(1, weight_classes(task) + 1)
    ]
    start = sorted([*found, *rounds], key=lambda c: c.worst)[:_REFINED]
    out = list(rounds)
    each = max(10, int((1.0 - _TOUR_SHARE - _FIRST_SHARE - _LONG_SHARE) * total / _REFINED))
    for number, candidate in enumerate(start):
        if budget.stop():
            break
        budget.progress(0.7 + 0.3 * number / len(start), "heavy sites more often")
        bare = list(candidate.bare)
        steps = 1 if len(bare) == 1 else 2 * len(bare)
        for step in range(steps):
            costs = [float(np.nanmax(_finite(idleness_s(task, [c])) * task.weight)) for c in bare]
            worst = int(np.argmax(costs))
            better = refine(task, bare[worst], each // steps, budget.seed + step)
            if better == bare[worst]:
                break
            bare[worst] = better
        if tuple(bare) != candidate.bare:
            out.append(_candidate(task, "weighted", bare))
    return out


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.nan)


def _best(task: RevisitTask, found: list[_Candidate], iterations: int) -> RevisitPlan:
    least = min(c.worst for c in found)
    # Of plans that are equal up to rounding the one that was tried first is the simplest.
    best = next(c for c in found if c.worst <= least * (1.0 + 1e-9))
    tried: dict[str, _Candidate] = {}
    for candidate in found:
        known = tried.get(candidate.strategy)
        if known is None or candidate.worst < known.worst:
            tried[candidate.strategy] = candidate
    idle = idleness_s(task, best.circuits)
    n = task.sites
    bound = idleness_bound(
        task.time_s[:n, :n],
        task.dwell_s,
        task.weight,
        task.drones,
        fly_s=task.endurance.fly_s if task.endurance else math.inf,
        swap_s=task.endurance.swap_s if task.endurance else 0.0,
    )
    return RevisitPlan(
        strategy=best.strategy,
        circuits=best.circuits,
        idleness_s=tuple(float(v) for v in idle),
        worst_s=float(idle.max()),
        worst_weighted=best.worst,
        bound=bound,
        tried=tuple((name, candidate.worst) for name, candidate in tried.items()),
        bare=tuple((name, candidate.bare) for name, candidate in tried.items()),
        iterations=iterations,
    )
