# SPDX-License-Identifier: AGPL-3.0-or-later
"""Short closed tours through points or over a matrix of costs (the travelling salesman's problem).

A greedy start, then iterated local search: 2-opt and Or-opt among near neighbours with don't-look bits (Bentley 1992),
where they find nothing chains of exchanges (Lin and Kernighan 1973), and double bridges (Martin, Otto and Felten 1991),
taken back when they do not pay. Half of these are confined to a few dozen cities; the others join long edges anew,
since it is those between clusters that nothing local changes. One iteration is one such kick. Same seed and iterations, same tour, whether compiled or not: a run that a caller stopped
says how many it did and can be repeated with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from missions.geo import FloatArray
from missions.model import Budget
from missions.routing import tour_kernel
from missions.routing.compiled import COMPILED, floats, generator, ints

_NEIGHBOURS = 10  # of each city that moves may join it to
_DIRECTIONS = 5  # of them for their direction
_RANKED = 250  # the nearest, from which they are chosen
_REACH = 50  # the longest stretch that a kick moves
_AT_ONCE = 500 if COMPILED else 5  # iterations between two looks at stop(); a few milliseconds
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tour:
    """The order in which n cities are visited, each once, beginning with city 0; `length` closes the tour.

    `iterations` were done: the budget's, or fewer when it said stop.
    """

    order: tuple[int, ...]
    length: float
    iterations: int


def tour_through_points(points_m: FloatArray, budget: Budget) -> Tour:
    """A tour through points of shape (n, 2) by straight legs; its length is in the points' unit.

    Raises ValueError for other shapes and for coordinates that are not finite.
    """
    points = np.asarray(points_m, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must have the shape (n, 2), not {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("a point's coordinates must be finite numbers")
    count = min(_RANKED, len(points) - 1)
    if count < 1:
        ranked = np.zeros((len(points), 0), dtype=np.int64)
    else:
        ranked = _without_self(cKDTree(points).query(points, k=count + 1)[1])
    return _search(points, np.empty(0), ranked, budget)


def tour_over_matrix(cost: FloatArray, budget: Budget) -> Tour:
    """A tour over a symmetric matrix of costs of shape (n, n); the diagonal is not read.

    Raises ValueError for other shapes, for an asymmetric matrix and for costs that are not finite.
    """
    matrix = np.array(cost, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"the matrix of costs must be square, not {matrix.shape}")
    np.fill_diagonal(matrix, 0.0)
    if not np.isfinite(matrix).all():
        raise ValueError("every cost must be a finite number")
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=1e-9):
        raise ValueError("the costs of a tour must be the same both ways")
    selfless = matrix.copy()
    np.fill_diagonal(selfless, -np.inf)
    count = max(0, min(_RANKED, len(matrix) - 1))
    ranked = np.argsort(selfless, axis=1, kind="stable")[:, 1 : count + 1]
    return _search(np.empty((len(matrix), 0)), matrix, ranked, budget)


def _without_self(found: IntArray) -> IntArray:
    """Neighbours of shape (n, k) from those of shape (n, k + 1) with the city itself, which doubles may displace."""
    own = found == np.arange(len(found))[:, None]
    own[~own.any(axis=1), -1] = True
    return np.asarray(found[~own]).reshape(len(found), -1)


def _neighbours(points: FloatArray, matrix: FloatArray, ranked: IntArray) -> IntArray:
    """Of cities ranked by distance, shape (n, r), those to join: the nearest, and some in other directions.

    A city is kept for its direction when no nearer one that is kept lies nearer to it (the relative neighbourhood
    graph, Toussaint 1980): where cities stand in clusters, the nearest ones alone would never leave a cluster.
    """
    n, ranks = ranked.shape
    chosen = np.zeros((n, _DIRECTIONS), dtype=np.int64)
    count = np.zeros(n, dtype=np.int64)
    keep = np.zeros((n, ranks), dtype=np.bool_)
    own = np.arange(n)
    for rank in range(ranks):
        city = ranked[:, rank]
        far = _lengths(points, matrix, own, city)
        free = count < _DIRECTIONS
        for j in range(_DIRECTIONS):
            free &= (j >= count) | (_lengths(points, matrix, chosen[:, j], city) > far)
        keep[free, rank] = True
        chosen[free, count[free]] = city[free]
        count += free
    order = np.argsort(~keep, axis=1, kind="stable")[:, :_NEIGHBOURS]
    return np.take_along_axis(ranked, np.sort(order, axis=1), axis=1)


def _search(points: FloatArray, matrix: FloatArray, ranked: IntArray, budget: Budget) -> Tour:
    n = len(points)
    near = _neighbours(points, matrix, ranked)
    order = _greedy_start(n, points, matrix, near) if n > 3 else np.arange(n)
    length = float(_lengths(points, matrix, order, np.roll(order, -1)).sum())
    done = 0
    if n > 3:
        cycle = tour_kernel.Cycle(
            n=n,
            k=near.shape[1],
            xy=floats(points),
            matrix=floats(matrix),
            near=ints(near),
            gap=floats(_lengths(points, matrix, np.repeat(np.arange(n), near.shape[1]), near.ravel())),
            tour=ints(order),
            position=ints(np.argsort(order)),
            queue=ints(order),
            queued=ints([1] * n),
            journal=ints([0] * (2 * tour_kernel.JOURNAL)),
            links=ints([0] * tour_kernel.LINKS),
            state=ints([generator(budget.seed), 0, n, 0, 0]),
        )
        reach = min(_REACH, (n - 2) // 2)
        while done < budget.iterations and not budget.stop():
            budget.progress(done / budget.iterations, f"tour of {length:.0f}")
            steps = min(_AT_ONCE, budget.iterations - done)
            length -= tour_kernel.search(steps, reach, cycle)
            done += steps
        order = np.asarray(cycle.tour)
    if n:
        order = np.roll(order, -int(np.argmin(order)))
        length = float(_lengths(points, matrix, order, np.roll(order, -1)).sum())
    budget.progress(1.0, f"tour of {length:.0f}")
    return Tour(tuple(order.tolist()), length, done)


def _lengths(points: FloatArray, matrix: FloatArray, a: IntArray, b: IntArray) -> FloatArray:
    """From cities a to cities b, one by one."""
    return np.asarray(matrix[a, b] if matrix.size else np.hypot(*(points[a] - points[b]).T))


def _greedy_start(n: int, points: FloatArray, matrix: FloatArray, near: IntArray) -> IntArray:
    """Join the nearest neighbours that may still be joined, shortest first; then the pieces, nearest end next."""
    first = np.repeat(np.arange(n), near.shape[1])
    second = near.ravel()
    shortest = np.argsort(_lengths(points, matrix, first, second), kind="stable")
    links: list[list[int]] = [[] for _ in range(n)]
    piece = list(range(n))

    def root(city: int) -> int:
        while piece[city] != city:
            piece[city] = piece[piece[city]]
            city = piece[city]
        return city

    for a, b in zip(first[shortest].tolist(), second[shortest].tolist(), strict=True):
        if len(links[a]) < 2 and len(links[b]) < 2 and root(a) != root(b):
            links[a].append(b)
            links[b].append(a)
            piece[root(a)] = root(b)
    pieces = _pieces(links)
    # Entries 2 i and 2 i + 1 are the ends of piece i.
    ends = np.array([c for p in pieces for c in (p[0], p[-1])], dtype=np.int64)
    free = np.ones(len(ends), dtype=bool)
    order: list[int] = []
    chosen = 0
    for _ in pieces:
        order += pieces[chosen // 2] if chosen % 2 == 0 else pieces[chosen // 2][::-1]
        free[[chosen, chosen ^ 1]] = False
        gaps = _lengths(points, matrix, np.full(len(ends), order[-1]), ends)
        chosen = int(np.argmin(np.where(free, gaps, np.inf)))
    return np.array(order, dtype=np.int64)


def _pieces(links: list[list[int]]) -> list[list[int]]:
    """Every path of the graph, from one of its ends to the other; a lone city is a path."""
    seen = [False] * len(links)
    pieces = []
    for start, joined in enumerate(links):
        if seen[start] or len(joined) == 2:
            continue
        piece = [start]
        seen[start] = True
        while ahead := [c for c in links[piece[-1]] if not seen[c]]:
            piece.append(ahead[0])
            seen[ahead[0]] = True
        pieces.append(piece)
    return pieces
