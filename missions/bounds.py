# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lower bounds on tours and on the longest flight: what no plan can beat, so that a plan can say how good it is.

No planner's code is used here. The only thing shared is the decision whether inner loops are compiled.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.routing.compiled import COMPILED, compiled
from missions.routing.task import Task

_STEPS_PER_NODE, _FEWEST_STEPS = 4, 1000
_WORTH = 1e-6  # of the bound: what a step must raise it by to count as a help
_FIRST_PERIOD = 100  # steps of one length, at least; half as many as there are nodes where that is more
_FIRST_STEP = 1e-3  # of the mean cost; doubled while that helps
_MOMENTUM = 0.3  # of the last direction in the next (Volgenant and Jonker 1982)
_FIRST = 1e15  # seconds: below every price
IntArray = NDArray[np.int64]


def tour_bound(cost: FloatArray) -> float:
    """Held-Karp bound (1970, 1971) on a closed tour that visits every node of a symmetric (n, n) matrix once.

    A tour is a spanning tree of all nodes but one, and two edges at that one (a 1-tree) in which every node has degree
    two; subgradient ascent on prices of the degrees brings the cheapest 1-tree near it. Raises ValueError for a matrix
    that is not square.
    """
    matrix = np.array(cost, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"the matrix of costs must be square, not {matrix.shape}")
    if len(matrix) < 2:
        return 0.0
    if len(matrix) == 2:
        return float(matrix[0, 1] + matrix[1, 0])
    return _ascend(np.minimum(matrix, matrix.T), [], 1, np.ones(len(matrix) - 1, dtype=np.int64))


def longest_flight_bound_s(task: Task) -> float:
    """The greater of two bounds on the longest of the flights that serve all items.

    - Reach: some vehicle flies to the item that is hardest to serve, serves it and comes home, by the shortest ways.
    - Share: with u vehicles in the air the longest flight takes at least the u-th part of all moves, services,
      take-offs and landings. The moves cost at least `moves_bound_s` for u tours; the least share over u counts.
    """
    if not task.items:
        return 0.0
    out, back = _ways(task), _ways(task, back=True)
    reach = max(
        item.service_s
        + min(
            fixed + min(there[item.entry] + home[item.exit], there[item.exit] + home[item.entry])
            for fixed, there, home in zip(task.fixed_s, out, back, strict=True)
        )
        for item in task.items
    )
    service = sum(item.service_s for item in task.items)
    fixed = np.cumsum(np.sort(np.asarray(task.fixed_s)))
    most = min(len(task.homes), len(task.items))
    one = moves_bound_s(task)
    shares = {used: (one + service + float(fixed[used - 1])) / used for used in range(1, most + 1)}
    sharpened = {1}
    while (used := min(shares, key=lambda u: shares[u])) not in sharpened:
        sharpened.add(used)
        moves = max(one, moves_bound_s(task, used))
        shares[used] = (moves + service + float(fixed[used - 1])) / used
    return float(max(reach, min(shares.values())))


def busiest_drone_bound_s(task: Task, battery_s: float, swap_s: float) -> float:
    """Lower bound on the time of the busiest vehicle, where no flight lasts longer than battery_s and swaps lie between.

    The greater of `longest_flight_bound_s`, which holds for all that one vehicle flies where times keep the triangle
    inequality (its flights could then be one), and of shares: as many flights as all moves and services ask for, with
    swaps between those of each of u vehicles, evenly shared; the least over u counts. Infinite where take-off and
    landing alone outlast a battery.
    """
    if not task.items:
        return 0.0
    least = min(task.fixed_s)
    if battery_s <= least:
        return math.inf
    work = moves_bound_s(task) + sum(item.service_s for item in task.items)
    flights = math.ceil(work / (battery_s - least) - 1e-9)
    fixed = np.cumsum(np.sort(np.asarray(task.fixed_s)))
    shares = []
    for used in range(1, min(len(task.homes), len(task.items)) + 1):
        more = max(0, flights - used)
        shares.append((work + float(fixed[used - 1]) + more * (least + swap_s)) / used)
    return max(longest_flight_bound_s(task), min(shares))


def _ways(task: Task, *, back: bool = False) -> FloatArray:
    """Shortest seconds from (or back to) each vehicle's home to every place; flying along a line counts its service.

    Times may break the triangle inequality: other places on the way may make it shorter.
    """
    times = np.array(task.time_s, dtype=np.float64)
    for item in task.items:
        ways = ((item.entry, item.exit),) if item.one_way else ((item.entry, item.exit), (item.exit, item.entry))
        for a, b in ways:
            times[a, b] = min(times[a, b], item.service_s)
    if back:
        times = times.T
    ways_s = times[list(task.homes)]
    while True:
        shorter = np.stack([np.minimum(row, (row[:, None] + times).min(axis=0)) for row in ways_s])
        if np.allclose(shorter, ways_s, rtol=0.0, atol=1e-9):
            return shorter
        ways_s = shorter


def moves_bound_s(task: Task, tours: int | None = None) -> float:
    """Lower bound on all moves of tours from the homes through every item; of exactly so many tours when given.

    All homes are one node, 0. A point is a node with two edges, a line two nodes with one edge between them that every
    solution has. Without node 0 the tours are paths: a forest with one tree per tour. So the cheapest such forest and
    twice as many edges at node 0 cost no more; for one tour that is a 1-tree. Any number of tours becomes one when all
    but one passage i-0-j of node 0 is cut short to i-j, so the bound for one holds for all if i-j costs at most i-0-j.
    """
    if not task.items:
        return 0.0
    ends: list[int] = []
    lines: list[tuple[int, int]] = []
    copies: list[int] = []  # how often an edge to node 0 may be used: a tour of one point flies it there and back
    again = 2 if len(task.items) == 1 or (tours or 1) > 1 else 1
    for item in task.items:
        ends.append(item.entry)
        copies.append(again)
        if item.entry != item.exit:
            ends.append(item.exit)
            copies[-1:] = [1, 1]
            lines.append((len(ends) - 1, len(ends)))
    times = np.asarray(task.time_s, dtype=np.float64)
    times = np.minimum(times, times.T)
    cost = np.zeros((len(ends) + 1, len(ends) + 1))
    cost[1:, 1:] = times[np.ix_(ends, ends)]
    cost[0, 1:] = cost[1:, 0] = times[np.ix_(task.homes, ends)].min(axis=0)
    if tours is None:
        cost[1:, 1:] = np.minimum(cost[1:, 1:], cost[1:, :1] + cost[:1, 1:])
    return max(0.0, _ascend(cost, lines, tours or 1, np.array(copies)))


def _ascend(cost: FloatArray, lines: list[tuple[int, int]], tours: int, copies: IntArray) -> float:
    """The best bound that prices on the degrees of nodes 1 to n - 1 of an (n, n) matrix find; each is a true bound.

    Steps of one length in periods: the length doubles while every step helps, then length and period are halved in
    turn; a period that still helps at its end is doubled (the schedule of Helsgaun, EJOR 126, 2000). Uniform points end
    near what the relaxation can give; clusters far apart want more steps than are taken, their bound is looser.
    """
    n = len(cost)
    forest = _Forest(cost, lines, tours, copies)
    prices = np.zeros(n - 1)
    best, slope = forest.at(prices)
    last = slope
    most = max(_FEWEST_STEPS, _STEPS_PER_NODE * n)
    longest = period = max(_FIRST_PERIOD, n // 2)
    step = _FIRST_STEP * max(float(cost.mean()), 1e-12)
    first, done = True, 1
    while period > 0 and done < most:
        number = 1
        while number <= period and done < most:
            if not slope.any():
                return best  # every node has degree two: a solution, so nothing is greater
            prices += step * ((1.0 - _MOMENTUM) * slope + _MOMENTUM * last)
            last = slope
            found, slope = forest.at(prices)
            done += 1
            helped = found > best + _WORTH * abs(best)
            best = max(best, found)
            if helped:
                if first:
                    step *= 2.0
                if number == period:
                    period = min(2 * period, longest)
            elif first and number > period // 2:
                first, number, step = False, 0, 0.75 * step
            number += 1
        period //= 2
        step /= 2.0
    return best


class _Forest:
    """The cheapest forest and edges at node 0 under prices: what `moves_bound_s` describes."""

    def __init__(self, cost: FloatArray, lines: list[tuple[int, int]], tours: int, copies: IntArray) -> None:
        self.cost, self.tours = cost, tours
        self.order = cost[1:, 1:].copy()  # what the tree is grown by: lines before everything
        self.real = cost[1:, 1:].copy()
        for a, b in lines:
            self.order[a - 1, b - 1] = self.order[b - 1, a - 1] = -_FIRST
            self.real[a - 1, b - 1] = self.real[b - 1, a - 1] = 0.0
        self.doors = np.repeat(np.arange(len(cost) - 1), copies)

    def at(self, prices: FloatArray) -> tuple[float, FloatArray]:
        """The bound at prices, and by how much each node's degree differs from two."""
        n, tours, doors = len(self.cost), self.tours, self.doors
        parent = _tree(self.order, prices)
        nodes = np.arange(1, n - 1)
        joined = parent[1:]
        weight = self.real[nodes, joined] + prices[nodes] + prices[joined]
        if tours > 1:
            # One tree per tour: the heaviest edges go, never a line's.
            rank = np.where(self.order[nodes, joined] == -_FIRST, -np.inf, weight)
            left = np.argsort(rank, kind="stable")[: n - 1 - tours]
            weight, nodes, joined = weight[left], nodes[left], joined[left]
        ways = self.cost[0, 1 + doors] + prices[doors]
        chosen = np.argpartition(ways, 2 * tours - 1)[: 2 * tours]
        bound = float(weight.sum() + ways[chosen].sum() - 2.0 * prices.sum())
        degree = np.bincount(np.concatenate([nodes, joined, doors[chosen]]), minlength=n - 1)
        return bound, np.asarray(degree - 2.0, dtype=np.float64)


def _tree(order: FloatArray, prices: FloatArray) -> IntArray:
    """Prim's spanning tree (1957) of the priced matrix: the parent of every node; node 0 is the root."""
    parent = np.zeros(len(order), dtype=np.int64)
    if COMPILED:
        _grow(order, prices, parent)
        return parent
    inside = np.zeros(len(order), dtype=np.bool_)
    inside[0] = True
    reach = order[0] + prices[0] + prices
    for _ in range(len(order) - 1):
        node = int(np.argmin(np.where(inside, np.inf, reach)))
        inside[node] = True
        length = order[node] + prices[node] + prices
        nearer = ~inside & (length < reach)
        parent[nearer] = node
        reach[nearer] = length[nearer]
    return parent


@compiled
def _grow(order: FloatArray, prices: FloatArray, parent: IntArray) -> None:
    """The same, in plain loops. parent is all zeros on entry."""
    n = len(parent)
    reach = np.empty(n)
    inside = np.zeros(n, dtype=np.bool_)
    inside[0] = True
    for other in range(n):
        reach[other] = order[0, other] + prices[0] + prices[other]
    for _ in range(n - 1):
        node = -1
        for other in range(n):
            if not inside[other] and (node < 0 or reach[other] < reach[node]):
                node = other
        inside[node] = True
        for other in range(n):
            length = order[node, other] + prices[node] + prices[other]
            if not inside[other] and length < reach[other]:
                reach[other] = length
                parent[other] = node
