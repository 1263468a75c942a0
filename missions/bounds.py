# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lower bounds on the longest flight: what no plan can beat, so that a plan can say how good it is."""

from __future__ import annotations

import numpy as np

from missions.geo import FloatArray
from missions.routing.minmax import Task

_STEPS = 250


def longest_flight_bound_s(task: Task) -> float:
    """The greater of two bounds on the longest of the flights that serve all items.

    - Reach: some vehicle flies to the item that is hardest to serve, serves it and comes home.
    - Share: all moves together cost at least a Held-Karp bound with the homes contracted to one node; the longest
      flight takes at least an equal share of moves, services, take-offs and landings.
    """
    if not task.items:
        return 0.0
    reach = max(
        min(
            fixed + task.time_s[home][item.entry] + item.service_s + task.time_s[item.exit][home]
            for home, fixed in zip(task.homes, task.fixed_s, strict=True)
        )
        for item in task.items
    )
    work = moves_bound_s(task) + sum(item.service_s for item in task.items)
    fixed = np.sort(np.asarray(task.fixed_s))
    # With u vehicles in the air an equal share is (work + their take-offs and landings) / u.
    share = min(float(work + fixed[:used].sum()) / used for used in range(1, len(fixed) + 1))
    return max(reach, share)


def moves_bound_s(task: Task) -> float:
    """Held-Karp bound (1970, 1971) on all moves of any number of tours from the homes through every item.

    Node 0 is all homes as one, every other place of an item is a node with exactly two edges; the two ends of a line
    are joined by an edge that every solution has. The union of the tours is connected, so it holds a spanning tree and
    at least one edge more; Lagrange multipliers on the degrees tighten the spanning tree's weight.
    """
    places = sorted({p for item in task.items for p in (item.entry, item.exit)})
    index = {p: i + 1 for i, p in enumerate(places)}
    n = len(places) + 1
    times = np.asarray(task.time_s)
    cost = np.zeros((n, n))
    cost[1:, 1:] = times[np.ix_(places, places)]
    cost[0, 1:] = cost[1:, 0] = times[np.ix_(task.homes, places)].min(axis=0)
    forced = [(index[item.entry], index[item.exit]) for item in task.items if item.reversible]
    big = float(cost.sum()) + 1.0
    for a, b in forced:
        cost[a, b] = cost[b, a] = -big
    np.fill_diagonal(cost, np.inf)
    multipliers = np.zeros(n)
    best = -np.inf
    step = float(np.median(cost[np.isfinite(cost) & (cost > -big / 2)])) / 4.0
    for _ in range(_STEPS):
        reduced = cost + multipliers[:, None] + multipliers[None, :]
        weight, degree, extra = _tree_and_edge(reduced)
        # The union of u tours has u edges beyond its spanning tree, 1 <= u <= vehicles.
        value = weight + big * len(forced) + min(extra, extra * len(task.homes)) - 2.0 * multipliers.sum()
        best = max(best, float(value))
        slope = degree - 2.0
        slope[0] = 0.0
        if not slope.any():
            break
        multipliers += step * slope
        step *= 0.98
    return max(0.0, best)


def _tree_and_edge(cost: FloatArray) -> tuple[float, FloatArray, float]:
    """Prim's spanning tree: (its weight, the degree of every node, the cheapest further edge).

    An edge from node 0 may be used twice: a tour of one stop flies it there and back.
    """
    n = len(cost)
    parent = np.zeros(n, dtype=np.int64)
    reach = cost[0].copy()
    inside = np.zeros(n, dtype=bool)
    inside[0] = True
    weight, degree = 0.0, np.zeros(n)
    spare = cost.copy()
    for _ in range(n - 1):
        node = int(np.argmin(np.where(inside, np.inf, reach)))
        weight += float(reach[node])
        degree[node] += 1
        degree[parent[node]] += 1
        if parent[node] != 0:
            spare[node, parent[node]] = spare[parent[node], node] = np.inf
        inside[node] = True
        closer = cost[node] < reach
        reach = np.where(closer, cost[node], reach)
        parent = np.where(closer, node, parent)
    extra = int(np.argmin(spare))
    a, b = divmod(extra, n)
    degree[a] += 1
    degree[b] += 1
    return weight, degree, float(spare[a, b])
