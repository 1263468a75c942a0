# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sites that matter more are visited more often: a closed walk may come to a site several times in one lap.

Sites fall into classes by weight, each class half as heavy as the one before; a lap has rounds, and a site of class c
is in every 2^c-th of them (the idea of Alamdari, Fata and Smith 2014). A local search then adds, drops and moves
single visits under the exact worst weighted idleness.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.revisit.model import Circuit, RevisitTask, circuit_idleness_s
from missions.revisit.tours import Order, improve

_MOST_CLASSES = 4
_TAIL = 0.02


def rounds_by_weight(task: RevisitTask, tour: Order, classes: int) -> tuple[int, ...]:
    """A closed walk of 2^classes rounds along the tour; heavy sites are in all of them, light ones in few."""
    top = float(task.weight.max())
    level = [min(classes, int(math.log2(top / float(task.weight[s])) + 1e-9)) for s in range(task.sites)]
    seen = [0] * (classes + 1)
    rounds: list[list[int]] = [[] for _ in range(2**classes)]
    for site in (int(s) for s in tour):
        c = level[site]
        every = 2**c
        # Neighbours on the tour go into the same round as long as that stays even.
        size = sum(1 for other in level if other == c)
        turn = seen[c] * every // max(size, 1)
        seen[c] += 1
        for r in range(turn % every, 2**classes, every):
            rounds[r].append(site)
    walk: list[int] = []
    for chosen in rounds:
        if not chosen:
            continue
        members = np.asarray(chosen, dtype=np.int64)
        better = members[improve(task.time_s[np.ix_(members, members)], np.arange(len(members), dtype=np.int64))]
        if walk:
            # Begin the round where it is nearest to the end of the last one.
            better = np.roll(better, -int(np.argmin(task.time_s[walk[-1], better])))
        walk += [int(s) for s in better]
    return tuple(walk)


def weight_classes(task: RevisitTask) -> int:
    """How many halvings lie between the heaviest and the lightest site, at most 4."""
    spread = float(task.weight.max() / task.weight.min())
    return min(_MOST_CLASSES, int(math.log2(spread) + 1e-9))


def refine(task: RevisitTask, circuit: Circuit, iterations: int, seed: int) -> Circuit:
    """The circuit after adding, dropping, moving and turning round visits; never a worse one."""
    rng = random.Random(seed)
    walk = list(circuit.stops)
    members = sorted(set(walk))
    if len(members) < 2:
        return circuit
    cost = _cost(task, walk, circuit.drones, members)
    longest = 4 * len(members) + 16
    for _ in range(iterations):
        other = _moved(task, walk, members, rng, longest)
        if other is None:
            continue
        found = _cost(task, other, circuit.drones, members)
        if found <= cost:
            walk, cost = other, found
    return Circuit(tuple(walk), circuit.drones)


def _cost(task: RevisitTask, walk: list[int], drones: int, members: list[int]) -> float:
    weighted = circuit_idleness_s(task, np.asarray(walk, dtype=np.int64), drones)[members] * task.weight[members]
    return float(weighted.max()) + _TAIL * float(weighted.mean())


def _moved(
    task: RevisitTask, walk: list[int], members: list[int], rng: random.Random, longest: int
) -> list[int] | None:
    kind = rng.random()
    other = list(walk)
    if kind < 0.35 and len(walk) < longest:
        site = members[_pick(task.weight[members], rng)]
        other.insert(_cheap_place(task.time_s, other, site, rng), site)
    elif kind < 0.5:
        at = rng.randrange(len(walk))
        if walk.count(walk[at]) < 2:
            return None
        del other[at]
    elif kind < 0.8:
        site = other.pop(rng.randrange(len(other)))
        other.insert(_cheap_place(task.time_s, other, site, rng), site)
    else:
        a, b = sorted((rng.randrange(len(walk)), rng.randrange(len(walk))))
        if a == b:
            return None
        other[a : b + 1] = other[a : b + 1][::-1]
    return other


def _pick(weight: FloatArray, rng: random.Random) -> int:
    edges: NDArray[np.float64] = np.cumsum(weight)
    return min(len(edges) - 1, int(np.searchsorted(edges, rng.random() * float(edges[-1]), side="right")))


def _cheap_place(time_s: FloatArray, walk: list[int], site: int, rng: random.Random) -> int:
    """One of the three places where the visit makes the lap least longer."""
    a = np.asarray(walk, dtype=np.int64)
    b = np.roll(a, -1)
    added = time_s[site, a] + time_s[site, b] - time_s[a, b]
    return int(np.argsort(added, kind="stable")[rng.randrange(min(3, len(walk)))]) + 1
