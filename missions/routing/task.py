# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of routing: what is to be served, by vehicles from where, and the routes that serve it. Times only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """Something to serve: enter at one place, leave at the other; a point has both the same.

    `service_s` is spent between them. A line may be flown either way, a `reversible` one, unless it is `one_way`.
    """

    entry: int
    exit: int
    service_s: float
    one_way: bool = False

    @property
    def reversible(self) -> bool:
        return self.entry != self.exit and not self.one_way


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
    """One route per vehicle (empty: it stays on the ground) and its time.

    `iterations` were done to find them: the same number with the same seed finds them again.
    """

    routes: tuple[Route, ...]
    time_s: tuple[float, ...]
    iterations: int = 0

    @property
    def longest_s(self) -> float:
        return max(self.time_s)


def route_time_s(task: Task, vehicle: int, route: Sequence[Stop]) -> float:
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
