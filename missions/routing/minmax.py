# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which vehicle serves which items in what order, so that the longest flight is shortest.

Input are times: between places, of serving an item, of a vehicle's take-off and landing. The search takes strings of
neighbouring items out of a few routes and puts each back where it costs least (slack induction by string removals,
Christiaens and Vanden Berghe 2020), under simulated annealing. Flights pay for every second beyond a target just below
the shortest longest flight known, so that the search strives for routes that all meet it.

Same seed and iterations, same answer, whether compiled or not. Annealing runs in rounds, each longer than the one
before and independent of the budget, so that a run that a caller stopped can be repeated with the iterations it did.
"""

from __future__ import annotations

import math

import numpy as np

from missions.model import Budget
from missions.routing import minmax_kernel as kernel
from missions.routing.compiled import COMPILED, floats, generator, ints
from missions.routing.task import Item, Route, Routes, Stop, Task, route_time_s

__all__ = ["Item", "Route", "Routes", "Stop", "Task", "route_time_s", "split"]

_NEAR = 200  # items that one ruin may reach
_FIRST_ROUND = 100  # iterations per item in the first round of annealing; each next one is twice as long
_WARM, _COLD = 1.0, 0.1  # annealing temperatures, as shares of an item's mean part in all flights
_SHRINK = 0.995  # the target, of the best longest flight so far
_PRICE = 2.0 / (1.0 - _SHRINK) ** 2  # so that the best longest flight pays twice the target more


def split(task: Task, budget: Budget) -> Routes:
    """Return routes that serve every item exactly once; minimises the longest, then the sum.

    Raises ValueError when there are items but no vehicle, and for times that are not finite.
    """
    if not task.items:
        return Routes(((),) * len(task.homes), (0.0,) * len(task.homes))
    if not task.homes:
        raise ValueError("there is no vehicle to serve an item")
    search = _Search(task, budget.seed)
    done = 0
    round_ends = rounds = _FIRST_ROUND * len(task.items)
    at_once = max(1, (100_000 if COMPILED else 1_000) // (len(task.items) + 10 * len(task.homes)))
    search.heat(rounds)
    while done < budget.iterations and not budget.stop():
        budget.progress(done / budget.iterations, f"longest flight {search.longest_s:.0f} s")
        steps = min(at_once, budget.iterations - done, round_ends - done)
        kernel.search(steps, search.work)
        done += steps
        if done == round_ends:
            rounds *= 2
            round_ends += rounds
            search.heat(rounds)
    budget.progress(1.0, f"longest flight {search.longest_s:.0f} s")
    return search.result(done)


class _Search:
    """The kernel's sequences for a task, and the way back from them to routes."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        n, vehicles = len(task.items), len(task.homes)
        turned = [i for i, item in enumerate(task.items) if item.reversible]
        item_of = [*range(n), *turned]
        self.visits = [Stop(i, flip=k >= n) for k, i in enumerate(item_of)]
        twin = list(range(len(item_of)))
        for k, i in enumerate(turned):
            twin[i], twin[n + k] = n + k, i
        starts = [self._ends(stop)[0] for stop in self.visits] + list(task.homes)
        ends = [self._ends(stop)[1] for stop in self.visits] + list(task.homes)
        service = np.array([task.items[i].service_s for i in item_of] + [0.0] * vehicles)
        times = np.asarray(task.time_s, dtype=np.float64)
        into = times[np.ix_(ends, starts)].T + service[:, None]
        if not (np.isfinite(into).all() and np.isfinite(task.fixed_s).all()):
            raise ValueError("every time between places, of service, take-off and landing must be finite")
        moves = (into - service[:, None])[: len(item_of), : len(item_of)]
        apart = np.full((n, n), np.inf)
        np.minimum.at(apart, np.ix_(item_of, item_of), np.minimum(moves, moves.T))
        np.fill_diagonal(apart, -np.inf)
        wide = min(n - 1, _NEAR)
        reach = times[np.ix_(task.homes, [item.entry for item in task.items])].min(axis=0)
        route, kept, best = (ints([0] * (vehicles * (n + 1))) for _ in range(3))
        self.work = kernel.Work(
            nodes=len(starts),
            room=n + 1,
            wide=wide,
            into=floats(into),
            fixed=floats(task.fixed_s),
            item_of=ints(item_of),
            twin=ints(twin),
            near=ints(np.argsort(apart, axis=1, kind="stable")[:, 1 : wide + 1]),
            reach=floats(reach),
            noise=floats(-math.log((k + 0.5) / kernel.NOISE) for k in range(kernel.NOISE)),
            route=route,
            leg=floats([0.0] * len(route)),
            size=ints([0] * vehicles),
            time=floats([0.0] * vehicles),
            where=ints([-1] * n),
            kept=kept,
            kept_size=ints([0] * vehicles),
            best=best,
            best_size=ints([0] * vehicles),
            touched=ints([0] * vehicles),
            out=ints([0] * n),
            levels=floats([0.0, _PRICE, 0.0, 1.0, 0.0, math.inf, math.inf, _SHRINK]),
            state=ints([generator(seed), 100, 0]),
        )
        self._build(np.argsort(-reach, kind="stable").tolist())

    def _ends(self, stop: Stop) -> tuple[int, int]:
        item = self.task.items[stop.item]
        return (item.exit, item.entry) if stop.flip else (item.entry, item.exit)

    @property
    def longest_s(self) -> float:
        return float(self.work.levels[kernel.LONGEST])

    def _build(self, order: list[int]) -> None:
        """Put the items in one after another; the target is what a flight must take at least as far as is known."""
        work = self.work
        floor = max(1e-6, *work.reach)
        for item in order:
            work.levels[kernel.TARGET] = max(floor, sum(work.time) / len(work.time))
            kernel.insert(item, 0, work)
        work.best[:], work.best_size[:] = work.route[:], work.size[:]
        work.levels[kernel.LONGEST], work.levels[kernel.SUM] = max(work.time), sum(work.time)

    def heat(self, steps: int) -> None:
        """Begin a round of annealing from the best routes."""
        work = self.work
        work.route[:], work.size[:] = work.best[:], work.best_size[:]
        for v in range(len(work.size)):
            kernel.measure(v, work)
            for k in range(v * work.room, v * work.room + work.size[v]):
                work.where[work.item_of[work.route[k]]] = v
        work.levels[kernel.TARGET] = self.longest_s * _SHRINK
        work.levels[kernel.TEMPERATURE] = _WARM * sum(work.time) / len(self.task.items)
        work.levels[kernel.COOLING] = (_COLD / _WARM) ** (1.0 / steps)
        work.levels[kernel.COST] = kernel.cost_of(work)

    def result(self, iterations: int) -> Routes:
        work = self.work
        routes = tuple(
            tuple(self.visits[work.best[k]] for k in range(v * work.room, v * work.room + work.best_size[v]))
            for v in range(len(work.best_size))
        )
        times = tuple(route_time_s(self.task, v, route) for v, route in enumerate(routes))
        return Routes(routes, times, iterations)
