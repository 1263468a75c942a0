# SPDX-License-Identifier: AGPL-3.0-or-later
"""Short closed tours: a matrix of times comes in, an order of nodes goes out.

New ones come from `missions.routing.tour`; an order that others have changed is repaired by 2-opt and Or-opt moves
(Croes 1958, Or 1976), all of them weighed at once in NumPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.model import Budget
from missions.routing.tour import tour_over_matrix

Order = NDArray[np.int64]

_EPSILON = 1e-9
_SEGMENTS = (1, 2, 3)
_KICKS = 50  # of the tour search to one iteration here: about as long


def tour_length(time_s: FloatArray, order: Order) -> float:
    return float(time_s[order, np.roll(order, -1)].sum())


def short_tour(time_s: FloatArray, iterations: int, seed: int) -> Order:
    """A short tour through all nodes of a symmetric matrix; the same for the same seed and iterations."""
    found = tour_over_matrix(time_s, Budget(_KICKS * iterations, seed))
    return np.asarray(found.order, dtype=np.int64)


def improve(time_s: FloatArray, order: Order) -> Order:
    """The same nodes in an order that no 2-opt and no Or-opt move shortens."""
    n = len(order)
    if n <= 3:
        return order
    while True:
        p = time_s[np.ix_(order, order)]
        ahead = np.roll(p, -1, axis=1)
        step = np.diagonal(ahead).copy()
        # 2-opt: edges (i, i+1) and (j, j+1) become (i, j) and (i+1, j+1).
        flips = p + np.roll(ahead, -1, axis=0) - step[:, None] - step[None, :]
        np.fill_diagonal(flips, 0.0)
        at = int(np.argmin(flips))
        gain, move = float(flips.flat[at]), (0, *divmod(at, n), False)
        for size in _SEGMENTS:
            if size > n - 3:
                break
            found, where = _best_or_move(p, step, size)
            if found < gain:
                gain, move = found, (size, *where)
        if gain > -_EPSILON * (1.0 + float(step.sum())):
            return order
        order = _apply(order, *move)


def _best_or_move(p: FloatArray, step: FloatArray, size: int) -> tuple[float, tuple[int, int, bool]]:
    """Cheapest move of `size` nodes from position i to behind position j, straight or turned round."""
    n = len(step)
    i = np.arange(n)
    tail, after, before = (i + size - 1) % n, (i + size) % n, (i - 1) % n
    saved = p[before, i] + p[tail, after] - p[before, after]
    behind = (i + 1) % n
    straight = p[i][:, i] + p[tail][:, behind] - step[None, :] - saved[:, None]
    turned = p[tail][:, i] + p[i][:, behind] - step[None, :] - saved[:, None]
    for shift in range(-1, size):
        straight[i, (i + shift) % n] = turned[i, (i + shift) % n] = np.inf
    a, b = int(np.argmin(straight)), int(np.argmin(turned))
    if straight.flat[a] <= turned.flat[b]:
        return float(straight.flat[a]), (*divmod(a, n), False)
    return float(turned.flat[b]), (*divmod(b, n), True)


def _apply(order: Order, size: int, i: int, j: int, turned: bool) -> Order:
    n = len(order)
    if size == 0:
        i, j = min(i, j), max(i, j)
        out = order.copy()
        out[i + 1 : j + 1] = out[i + 1 : j + 1][::-1]
        return out
    rolled = np.roll(order, -i)
    segment, rest = rolled[:size], rolled[size:]
    if turned:
        segment = segment[::-1]
    cut = (j - i) % n - size + 1
    return np.concatenate([rest[:cut], segment, rest[cut:]])
