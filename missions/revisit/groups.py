# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sites split into groups with a circuit each, so that the worst weighted idleness of all groups is least.

A group with m drones, lap L and greatest weight w has the worst weighted idleness w L / m. One group holds all drones
on one tour, k groups of one drone are a partition, and what lies between is tried too. The search takes neighbouring
sites out and puts each back where it hurts least (ruin and recreate, Schrimpf et al. 2000), under simulated annealing.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from missions.geo import FloatArray
from missions.revisit.model import Circuit, RevisitTask
from missions.revisit.tours import Order, improve, short_tour

_SUM_WEIGHT = 0.02  # of equally bad plans the one with less flying in all
_WARM, _COLD = 0.05, 0.0005
_MOST_RUINED = 8
_POLISH = 60


@dataclass(slots=True)
class _State:
    groups: list[list[int]]
    laps: list[float]

    def copy(self) -> _State:
        return _State([list(g) for g in self.groups], list(self.laps))


class GroupSearch:
    """Search over groups for one task. `tour` is a short tour through all sites, in which circuits start."""

    def __init__(self, task: RevisitTask, tour: Order) -> None:
        n = task.sites
        self.task, self.n = task, n
        self.time = task.time_s[:n, :n]
        self.tour = [int(s) for s in tour]
        self.near = np.argsort(self.time, axis=1, kind="stable")

    def search(self, drones: tuple[int, ...], iterations: int, seed: int) -> list[Circuit]:
        """Circuits for groups with these numbers of drones; the same for the same seed and iterations."""
        rng = random.Random(seed)
        current = self._start(drones)
        cost = self._cost(current, drones)
        best, best_cost = current.copy(), cost
        if len(drones) > 1 and cost > 0.0:
            for step in range(iterations):
                other = current.copy()
                self._ruin_and_recreate(other, drones, rng)
                found = self._cost(other, drones)
                heat = best_cost * _WARM * (_COLD / _WARM) ** (step / iterations)
                if found < cost or rng.random() < math.exp((cost - found) / max(heat, 1e-12)):
                    current, cost = other, found
                if cost < best_cost - 1e-9:
                    best, best_cost = current.copy(), cost
        return [Circuit(self._polished(group, seed), m) for group, m in zip(best.groups, drones, strict=True) if group]

    def _polished(self, group: list[int], seed: int) -> tuple[int, ...]:
        members = np.asarray(group, dtype=np.int64)
        own = self.time[np.ix_(members, members)]
        start = improve(own, np.arange(len(members), dtype=np.int64))
        other = short_tour(own, _POLISH, seed)
        shortest = min((start, other), key=lambda o: float(own[o, np.roll(o, -1)].sum()))
        return tuple(int(s) for s in members[shortest])

    def _lap(self, group: list[int]) -> float:
        walk = np.asarray(group, dtype=np.int64)
        return float(self.time[walk, np.roll(walk, -1)].sum() + self.task.dwell_s[walk].sum()) if group else 0.0

    def _cost(self, state: _State, drones: tuple[int, ...]) -> float:
        costs = self._costs(state, drones)
        return max(costs) + _SUM_WEIGHT * sum(costs) / len(costs)

    def _costs(self, state: _State, drones: tuple[int, ...]) -> list[float]:
        weight = self.task.weight
        return [
            max((float(weight[s]) for s in group), default=0.0) * lap / m
            for group, lap, m in zip(state.groups, state.laps, drones, strict=True)
        ]

    def _start(self, drones: tuple[int, ...]) -> _State:
        """The tour cut where its parts' lengths are to the whole as their drones are; the best of several cuts."""
        cuts: list[_State] = []
        step = max(1, self.n // 12)
        for turn in range(0, self.n, step):
            order = self.tour[turn:] + self.tour[:turn]
            walk = np.asarray(order, dtype=np.int64)
            ahead = self.time[walk, np.roll(walk, -1)] + self.task.dwell_s[walk]
            reach = np.concatenate([[0.0], np.cumsum(ahead)[:-1]]) / max(float(ahead.sum()), 1e-12)
            edges = np.cumsum(drones) / sum(drones)
            part = np.searchsorted(edges, np.minimum(reach, 1.0 - 1e-9), side="right")
            groups = [[s for s, p in zip(order, part, strict=True) if p == g] for g in range(len(drones))]
            cuts.append(_State(groups, [self._lap(g) for g in groups]))
        return min(cuts, key=lambda state: self._cost(state, drones))

    def _ruin_and_recreate(self, state: _State, drones: tuple[int, ...], rng: random.Random) -> None:
        costs = self._costs(state, drones)
        worst = state.groups[int(np.argmax(costs))]
        centre = rng.choice(worst) if worst and rng.random() < 0.6 else rng.randrange(self.n)
        count = rng.randint(1, min(_MOST_RUINED, self.n))
        pool = self.near[centre][: 2 * count + 1].tolist()
        rest = pool[1:]
        rng.shuffle(rest)
        taken = [centre, *rest[: count - 1]]
        gone = set(taken)
        for g, group in enumerate(state.groups):
            if not gone.isdisjoint(group):
                state.groups[g] = [s for s in group if s not in gone]
                state.laps[g] = self._lap(state.groups[g])
        rng.shuffle(taken)
        for site in taken:
            self._insert(state, drones, site)

    def _insert(self, state: _State, drones: tuple[int, ...], site: int) -> None:
        weight, time, dwell = self.task.weight, self.time, float(self.task.dwell_s[site])
        before: list[int] = []
        after: list[int] = []
        owner: list[int] = []
        for g, group in enumerate(state.groups):
            before += group or [site]
            after += group[1:] + group[:1] if group else [site]
            owner += [g] * max(1, len(group))
        a, b, part = (np.asarray(x, dtype=np.int64) for x in (before, after, owner))
        added: FloatArray = time[site, a] + time[site, b] - time[a, b]
        top = np.asarray([max((float(weight[s]) for s in group), default=0.0) for group in state.groups])
        new = (
            np.maximum(top, weight[site])[part]
            * (np.asarray(state.laps)[part] + added + dwell)
            / np.asarray(drones)[part]
        )
        floor = max(self._costs(state, drones))
        key = np.maximum(new, floor) + _SUM_WEIGHT * weight[site] * added + 1e-3 * new
        at = int(np.argmin(key))
        chosen = int(part[at])
        state.groups[chosen].insert(at - int(np.searchsorted(part, chosen)) + 1, site)
        state.laps[chosen] += float(added[at]) + dwell


def structures(drones: int) -> list[tuple[int, ...]]:
    """How drones may be shared among groups: all ways for up to 6 drones, else the even ones; one tour comes first."""
    if drones <= 6:
        return [tuple(p) for p in _integer_partitions(drones, drones)]
    even = []
    for parts in range(1, drones + 1):
        share, more = divmod(drones, parts)
        even.append(tuple([share + 1] * more + [share] * (parts - more)))
    return even


def _integer_partitions(total: int, largest: int) -> list[list[int]]:
    if total == 0:
        return [[]]
    found: list[list[int]] = []
    for part in range(min(total, largest), 0, -1):
        found += [[part, *rest] for rest in _integer_partitions(total - part, part)]
    return found
