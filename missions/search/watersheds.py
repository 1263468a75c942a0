# SPDX-License-Identifier: AGPL-3.0-or-later
"""Watersheds of a height grid, and how many divides lie between places.

Flooding from below (Vincent and Soille 1991): cells are taken by rising height and join the pool beside them. Where two
pools meet, they are one if the shallower is less than `shallow_m` deep; else a divide begins there.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray

SHALLOW_M = 15.0
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
Labels = NDArray[np.int64]


def watersheds(heights_amsl_m: FloatArray, shallow_m: float = SHALLOW_M) -> Labels:
    """A label per cell (rows, columns), the same within a watershed; -1 where the height is not known (NaN).

    Water that leaves over the grid's edge belongs to the watershed whose lowest cell lies there.
    """
    rows, columns = heights_amsl_m.shape
    flat = heights_amsl_m.ravel()
    known = np.flatnonzero(np.isfinite(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    height = flat.tolist()
    pool = [-1] * len(height)  # of each cell
    parent: list[int] = []
    bottom: list[float] = []

    def root(a: int) -> int:
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a

    for cell in order.tolist():
        r, c = divmod(cell, columns)
        beside: list[int] = []
        for dr, dc in _AROUND:
            if 0 <= r + dr < rows and 0 <= c + dc < columns:
                other = pool[cell + dr * columns + dc]
                if other >= 0 and (found := root(other)) not in beside:
                    beside.append(found)
        if not beside:
            parent.append(len(parent))
            bottom.append(height[cell])
            pool[cell] = len(parent) - 1
            continue
        beside.sort(key=lambda a: (bottom[a], a))
        pool[cell] = beside[0]
        for other in beside[1:]:
            if height[cell] - bottom[other] < shallow_m:
                parent[other] = beside[0]
    labels = np.array([root(a) if a >= 0 else -1 for a in pool], dtype=np.int64)
    return labels.reshape(rows, columns)


def crossings(labels: Labels, start: tuple[int, int]) -> Labels:
    """How many divides lie on the way from a cell to every other, at least; -1 where no way of known heights leads."""
    beside: dict[int, set[int]] = {}
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        other = (a != b) & (a >= 0) & (b >= 0)
        for first, second in set(zip(a[other].tolist(), b[other].tolist(), strict=True)):
            beside.setdefault(first, set()).add(second)
            beside.setdefault(second, set()).add(first)
    away = {int(labels[start]): 0}
    waiting = deque(away)
    while waiting:
        at = waiting.popleft()
        for other in beside.get(at, ()):
            if other not in away:
                away[other] = away[at] + 1
                waiting.append(other)
    most = int(labels.max(initial=0))
    table = np.full(most + 2, -1, dtype=np.int64)
    for label, count in away.items():
        table[label] = count
    table[-1] = -1  # what label -1 reads
    return table[labels]
