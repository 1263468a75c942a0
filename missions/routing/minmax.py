# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which vehicle serves which items in what order, so that the longest flight is shortest.

Input are times: between places, of serving an item, of a vehicle's take-off and landing. The search removes a few
items and puts each back where it hurts least (ruin and recreate, Schrimpf et al. 2000), under simulated annealing.
Same seed and iterations, same answer.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from missions.model import Budget

_SUM_WEIGHT = 0.02  # of equal longest flights the one with less flying in all
_CHECK_EVERY = 64
_WARM, _COLD = 0.03, 0.0003  # annealing temperatures, as shares of the first longest flight


@dataclass(frozen=True, slots=True)
class Item:
    """Something to serve: enter at one place, leave at the other; a point has both the same.

    `service_s` is spent between them. A line may be flown either way, a `reversible` one.
    """

    entry: int
    exit: int
    service_s: float

    @property
    def reversible(self) -> bool:
        return self.entry != self.exit


@dataclass(frozen=True, slots=True)
class Task:
    """time_s[a][b] between places; `homes` is each vehicle's place and `fixed_s` its take-off and landing."""

    time_s: tuple[tuple[float, ...], ...]
    items: tuple[Item, ...]
    homes: tuple[int, ...]
    fixed_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """An item on a route; `flip` means from its exit to its entry."""

    item: int
    flip: bool


Route = tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """One route per vehicle (empty: it stays on the ground) and its time."""

    routes: tuple[Route, ...]
    time_s: tuple[float, ...]

    @property
    def longest_s(self) -> float:
        return max(self.time_s)


def route_time_s(task: Task, vehicle: int, route: Route | list[Stop]) -> float:
    """Take-off, moves, services, landing; 0 for a vehicle that does not fly."""
    if not route:
        return 0.0
    total, at = task.fixed_s[vehicle], task.homes[vehicle]
    for stop in route:
        item = task.items[stop.item]
        start, end = (item.exit, item.entry) if stop.flip else (item.entry, item.exit)
        total += task.time_s[at][start] + item.service_s
        at = end
    return total + task.time_s[at][task.homes[vehicle]]


def split(task: Task, budget: Budget) -> Routes:
    """Return routes that serve every item exactly once; minimises the longest, then the sum."""
    search = _Search(task, random.Random(budget.seed))
    search.insert(sorted(range(len(task.items)), key=search.reach, reverse=True), blink=0.0)
    best = search.snapshot()
    current = best
    warm = _WARM * best.longest_s
    for step in range(budget.iterations):
        if step % _CHECK_EVERY == 0:
            if budget.stop():
                break
            budget.progress(step / budget.iterations, f"longest flight {best.longest_s:.0f} s")
        search.insert(search.ruin(), blink=0.02)
        found = search.snapshot()
        temperature = warm * (_COLD / _WARM) ** (step / budget.iterations)
        if _cost(found) < _cost(current) - temperature * math.log(search.random.random()):
            current = found
            if _cost(found) < _cost(best):
                best = found
        else:
            search.restore(current)
    budget.progress(1.0, f"longest flight {best.longest_s:.0f} s")
    return best


def _cost(routes: Routes) -> float:
    return routes.longest_s + _SUM_WEIGHT * sum(routes.time_s)


class _Search:
    """The routes being worked on, with their times kept up to date."""

    def __init__(self, task: Task, rng: random.Random) -> None:
        self.task = task
        self.random = rng
        self.routes: list[list[Stop]] = [[] for _ in task.homes]
        self.times = [0.0] * len(task.homes)

    def reach(self, item: int) -> float:
        """How far an item is from the nearest home: the far ones are placed first."""
        entry = self.task.items[item].entry
        return min(self.task.time_s[home][entry] for home in self.task.homes)

    def snapshot(self) -> Routes:
        return Routes(tuple(tuple(r) for r in self.routes), tuple(self.times))

    def restore(self, routes: Routes) -> None:
        self.routes = [list(r) for r in routes.routes]
        self.times = list(routes.time_s)

    def ruin(self) -> list[int]:
        """Take out some items: a stretch of one route, those near one item, or any; returns them shuffled."""
        count = self.random.randint(1, min(len(self.task.items), 6))
        kind = self.random.random()
        if kind < 0.4:
            busy = [r for r in self.routes if r]
            longest = self.routes[self.times.index(max(self.times))]
            route = longest if self.random.random() < 0.5 else self.random.choice(busy)
            start = self.random.randrange(len(route))
            gone = {s.item for s in route[start : start + count]}
        elif kind < 0.8:
            seed = self.random.randrange(len(self.task.items))
            entry = self.task.items[seed].entry
            near = sorted(range(len(self.task.items)), key=lambda i: self.task.time_s[entry][self.task.items[i].entry])
            gone = set(near[:count])
        else:
            gone = set(self.random.sample(range(len(self.task.items)), count))
        for vehicle, route in enumerate(self.routes):
            kept = [s for s in route if s.item not in gone]
            if len(kept) != len(route):
                self.routes[vehicle] = kept
                self.times[vehicle] = route_time_s(self.task, vehicle, kept)
        items = sorted(gone)
        self.random.shuffle(items)
        return items

    def insert(self, items: list[int], blink: float) -> None:
        """Put every item where the longest flight grows least; `blink` is the chance to overlook a place."""
        for number in items:
            best: tuple[float, int, int, Stop, float] | None = None
            longest, total = max(self.times), sum(self.times)
            flips = (False, True) if self.task.items[number].reversible else (False,)
            for vehicle in range(len(self.routes)):
                for position in range(len(self.routes[vehicle]) + 1):
                    if best is not None and blink and self.random.random() < blink:
                        continue
                    for flip in flips:
                        stop = Stop(number, flip)
                        time_s = self.times[vehicle] + self._growth(vehicle, position, stop)
                        grown = total - self.times[vehicle] + time_s
                        score = max(longest, time_s) + _SUM_WEIGHT * grown
                        if best is None or score < best[0] - 1e-12:
                            best = score, vehicle, position, stop, time_s
            if best is None:
                raise ValueError("there is no vehicle to serve an item")
            _, vehicle, position, stop, time_s = best
            self.routes[vehicle].insert(position, stop)
            self.times[vehicle] = time_s

    def _growth(self, vehicle: int, position: int, stop: Stop) -> float:
        """Seconds that a route grows by taking a stop in at a position."""
        route, times, home = self.routes[vehicle], self.task.time_s, self.task.homes[vehicle]
        item = self.task.items[stop.item]
        start, end = (item.exit, item.entry) if stop.flip else (item.entry, item.exit)
        before = home if position == 0 else self._exit(route[position - 1])
        after = home if position == len(route) else self._entry(route[position])
        skipped = times[before][after] if route else -self.task.fixed_s[vehicle]
        return times[before][start] + item.service_s + times[end][after] - skipped

    def _entry(self, stop: Stop) -> int:
        item = self.task.items[stop.item]
        return item.exit if stop.flip else item.entry

    def _exit(self, stop: Stop) -> int:
        item = self.task.items[stop.item]
        return item.entry if stop.flip else item.exit
