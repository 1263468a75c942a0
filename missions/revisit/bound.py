# SPDX-License-Identifier: AGPL-3.0-or-later
"""What worst weighted idleness no plan can beat. Shares no code with the planners.

In any stretch of time as long as the worst idleness T every site is arrived at, so the ways of k drones cover all sites
in T: they hold a forest with at most k trees. Over a long time each site takes its dwell once per T or more often, and
a drone is in the air for at most fly / (fly + swap) of the time. Hence `k T share >= forest + dwells`. With weights this
holds for every set {sites of weight >= tau} with T / tau for T (the other sites only take time).

Drones' ways are paths, not trees: no node has more than two neighbours on them. Lagrange multipliers on the degrees
lift the forest towards paths (after Held and Karp 1970), which is never worse than the plain forest.

For a single drone T is at least the shortest closed tour: look from any moment until all sites were visited again; the
last one's previous visit was before that moment, so between its two visits the drone made a closed walk over all sites.
Take the moment at which a battery swap begins: that swap lies between the two visits as well, and more do where the walk
takes longer than the two batteries around it. (Over a long time more swaps may not do: of two docks beyond the ends of a
line the drone sees every site twice around a swap, so the share of time in the air must not be applied to the tour.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray

_STEPS = 120
_HALVINGS = 80


def idleness_bound(
    time_s: FloatArray,
    dwell_s: FloatArray,
    weight: FloatArray,
    drones: int,
    *,
    fly_s: float = math.inf,
    swap_s: float = 0.0,
) -> float:
    """Lower bound on the worst weighted idleness: max over weights tau of tau (forest + dwells) / (k share).

    For one drone also of tau (closed tour + dwells + swaps). time_s: (n, n) shortest times between sites; dwell_s,
    weight: (n,); fly_s, swap_s: what a battery lasts for, and how long it takes to swap; share: fly / (fly + swap).
    """
    share = 1.0 if math.isinf(fly_s) else fly_s / (fly_s + swap_s)
    best = 0.0
    for tau in np.unique(weight):
        chosen = np.flatnonzero(weight >= tau)
        between = time_s[np.ix_(chosen, chosen)]
        dwells = float(dwell_s[chosen].sum())
        best = max(best, float(tau) * (forest_bound(between, drones) + dwells) / (drones * share))
        if drones == 1 and len(chosen) > 1:
            closed = dwells + (_one_tree(between) if len(chosen) > 2 else 2.0 * float(between[0, 1]))
            swaps = 0 if math.isinf(fly_s) else max(1, math.ceil(closed / fly_s - 1e-9) - 1)
            best = max(best, float(tau) * (closed + swaps * swap_s))
    return best


def rates_bound(
    time_s: FloatArray,
    dock_s: FloatArray,
    dwell_s: FloatArray,
    weight: FloatArray,
    drones: int,
    *,
    fly_s: float = math.inf,
    swap_s: float = 0.0,
) -> float:
    """Lower bound on the worst weighted idleness r from how often each site is come to: sharp where weights differ much.

    A site of weight w is never left for longer than R = r / w. Of every stay of length l, and at most R until the next,
    drones spend l there and e on the ways that lead to it and away, half of a way between sites, all of one from or to
    a dock; so e >= min(way to the nearest other site, way to the nearest dock and back). The share of a drone's time
    that goes there, (l + e) / (l + R), is least for l = dwell, or 1 where somebody had rather stay (e > R). All shares
    together are at most k fly / (fly + swap); the least r that allows it is the bound. Arguments as for
    `idleness_bound`; dock_s: (n,) shortest times to a dock.
    """
    n = len(weight)
    others = np.where(np.eye(n, dtype=bool), np.inf, time_s)
    ways = np.minimum(others.min(axis=1, initial=np.inf), 2.0 * dock_s)
    ways = np.minimum(ways, 1e12)  # nothing leads there: staying is what is left
    can = drones * (1.0 if math.isinf(fly_s) else fly_s / (fly_s + swap_s))

    def shares(r: float) -> float:
        most = r / weight
        return float(np.where(ways > most, 1.0, (dwell_s + ways) / np.maximum(dwell_s + most, 1e-300)).sum())

    if shares(0.0) <= can:
        return 0.0
    low, high = 0.0, 1.0
    while shares(high) > can:
        high *= 2.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if shares(middle) > can else (low, middle)
    return low


def forest_bound(time_s: FloatArray, trees: int) -> float:
    """Lower bound on `trees` paths that together visit every node, at least the minimum spanning forest."""
    n = len(time_s)
    if n <= trees:
        return 0.0
    first, second = np.triu_indices(n, k=1)
    cost = time_s[first, second]
    extra = np.zeros(n)
    known = cost[np.isfinite(cost)]  # no way leads from one part of an area to another
    step = float(known.mean()) / 4.0 if len(known) else 0.0
    best = 0.0
    for _ in range(_STEPS):
        weight, degree = _forest(cost + extra[first] + extra[second], first, second, n, trees)
        best = max(best, weight - 2.0 * float(extra.sum()))
        slope = degree - 2.0
        if not (slope[extra > 0].any() or (slope > 0).any()):
            break
        extra = np.maximum(0.0, extra + step * slope)
        step *= 0.96
    return best


def _forest(
    cost: FloatArray, first: NDArray[np.intp], second: NDArray[np.intp], n: int, trees: int
) -> tuple[float, FloatArray]:
    """Kruskal's forest with exactly that many trees: (weight, degrees)."""
    root = list(range(n))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    degree, weight, wanted = np.zeros(n), 0.0, n - trees
    for edge in np.argsort(cost, kind="stable"):
        if wanted == 0:
            break
        a, b = int(first[edge]), int(second[edge])
        ra, rb = find(a), find(b)
        if ra == rb:
            continue
        root[ra] = rb
        weight += float(cost[edge])
        degree[a] += 1.0
        degree[b] += 1.0
        wanted -= 1
    return weight, degree


def _one_tree(time_s: FloatArray) -> float:
    """Held-Karp bound on a closed tour: a spanning tree of all nodes but 0, and the two cheapest edges at node 0."""
    n = len(time_s)
    first, second = np.triu_indices(n - 1, k=1)
    first, second = first + 1, second + 1
    extra = np.zeros(n)
    step = float(time_s.mean()) / 4.0
    best = 0.0
    for _ in range(2 * _STEPS):
        reduced = time_s + extra[:, None] + extra[None, :]
        weight, degree = _forest(reduced[first, second], first - 1, second - 1, n - 1, 1)
        at_zero = np.argsort(reduced[0, 1:], kind="stable")[:2]
        degree = np.concatenate([[2.0], degree])
        degree[at_zero + 1] += 1.0
        best = max(best, weight + float(reduced[0, at_zero + 1].sum()) - 2.0 * float(extra.sum()))
        if (degree == 2.0).all():
            break
        extra += step * (degree - 2.0)
        step *= 0.98
    return best
