# SPDX-License-Identifier: AGPL-3.0-or-later
"""The order and direction in which swaths are flown, so that the moves between them are short.

A tour over lines that may be flown either way: reversals of stretches and moves of up to three lines (Or 1976), best
improvement, then iterated with random double bridges (Martin, Otto and Felten 1991). Same seed and iterations, same
order. All distances between ends come in, so moves may be shortest paths around whatever is in the way.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.model import Budget

_BLOCKS = (1, 2, 3)
_LEAST = 1e-7

Ints = NDArray[np.int64]


def order_swaths(between_m: FloatArray, first: list[int], budget: Budget) -> list[tuple[int, bool]]:
    """Return (line, flipped) in flying order.

    between_m: (2 n + 1, 2 n + 1), node 2 i is line i's start and 2 i + 1 its end; the last node is where the tour
        begins and ends (all zero when that is free). first: an order to start from.
    """
    count = len(first)
    base = 2 * count
    dist = np.pad(between_m, ((0, 1), (0, 1)), mode="edge")  # the depot is a line of no length: two equal nodes
    lines = np.concatenate([[count], np.asarray(first, dtype=np.int64)])
    entry, leave = 2 * lines, 2 * lines + 1
    entry[0], leave[0] = base, base + 1
    entry, leave = _alternate(dist, entry, leave)
    entry, leave = _descend(dist, entry, leave)
    best, best_m = (entry, leave), _length(dist, entry, leave)
    rng = np.random.default_rng(budget.seed)
    for _ in range(budget.iterations if count > 3 else 0):
        if budget.stop():
            break
        entry, leave = _descend(dist, *_bridge(rng, *best))
        length = _length(dist, entry, leave)
        if length < best_m - _LEAST:
            best, best_m = (entry, leave), length
    return [(int(e) // 2, bool(e % 2)) for e in best[0][1:]]


def _length(dist: FloatArray, entry: Ints, leave: Ints) -> float:
    return float(dist[leave, np.roll(entry, -1)].sum())


def _alternate(dist: FloatArray, entry: Ints, leave: Ints) -> tuple[Ints, Ints]:
    """Enter every line of the given order at its nearer end."""
    entry, leave = entry.copy(), leave.copy()
    for k in range(1, len(entry)):
        if dist[leave[k - 1], leave[k]] < dist[leave[k - 1], entry[k]]:
            entry[k], leave[k] = leave[k], entry[k]
    return entry, leave


def _bridge(rng: np.random.Generator, entry: Ints, leave: Ints) -> tuple[Ints, Ints]:
    """Swap two neighbouring stretches, near each other, so that most of the tour stays as it is."""
    n = len(entry)
    reach = min(n - 1, 30)
    start = int(rng.integers(1, n - reach + 1)) if n > reach else 1
    a, b, c = np.sort(rng.choice(np.arange(start, start + reach + 1), 3, replace=False))
    index = np.concatenate([np.arange(a), np.arange(b, c), np.arange(a, b), np.arange(c, n)])
    return entry[index], leave[index]


def _descend(dist: FloatArray, entry: Ints, leave: Ints) -> tuple[Ints, Ints]:
    """Apply the best move until none helps. Position 0 is the depot and stays."""
    n = len(entry)
    nxt = np.roll(np.arange(n), -1)
    barred = _barred(n)
    for _ in range(20 * n):
        le = dist[leave[:, None], entry]
        ll = dist[leave[:, None], leave]
        ee = dist[entry[:, None], entry]
        link = le[np.arange(n), nxt]  # from k to k + 1
        to_next = le[:, nxt] - link  # what it costs to lead the link of a column to a row's end instead
        flip_next = ee[:, nxt] - link
        # Turn the stretch i..j round.
        turned = ll[:-1] + flip_next[1:]
        turned -= link[:-1, None]
        turned += barred[0]
        at = int(turned.argmin())
        best, move = float(turned.flat[at]), (0, at // n + 1, at % n, False)
        for size in _BLOCKS:
            if n - 1 <= size:
                break
            # Take the block s..s + size - 1 (a row each, s from 1) out and put it between k and k + 1, either way round.
            gain = link[: n - size] + link[size:] - le[np.arange(n - size), (np.arange(size, n) + 1) % n]
            for flip, ends, starts in ((False, le.T, to_next), (True, ll, flip_next)):
                total = ends[1 : n - size + 1] + starts[size:] if not flip else ends[size:] + starts[1 : n - size + 1]
                total -= gain[:, None]
                total += barred[size]
                at = int(total.argmin())
                if total.flat[at] < best:
                    best, move = float(total.flat[at]), (size, at // n + 1, at % n, flip)
        if best > -_LEAST:
            break
        entry, leave = _apply(entry, leave, move)
    return entry, leave


@lru_cache(maxsize=8)
def _barred(n: int) -> tuple[FloatArray, ...]:
    """Infinite where a move makes no sense, by the size of its block (0: turning a stretch), (n - size, n) each."""
    row, k = np.arange(1, n)[:, None], np.arange(n)
    out = [np.where(k >= row, 0.0, np.inf)]
    for size in _BLOCKS:
        starts = row[: max(0, n - size)]
        out.append(np.where((k >= starts - 1) & (k < starts + size), np.inf, 0.0))
    return tuple(out)


def _apply(entry: Ints, leave: Ints, move: tuple[int, int, int, bool]) -> tuple[Ints, Ints]:
    size, i, j, flip = move
    n = len(entry)
    if size == 0:
        index = np.concatenate([np.arange(i), np.arange(j, i - 1, -1), np.arange(j + 1, n)])
        turned = np.zeros(n, dtype=bool)
        turned[i : j + 1] = True
    else:
        block = np.arange(i, i + size)
        rest = np.delete(np.arange(n), block)
        cut = int(np.flatnonzero(rest == j)[0]) + 1
        index = np.concatenate([rest[:cut], block[::-1] if flip else block, rest[cut:]])
        turned = np.zeros(n, dtype=bool)
        turned[cut : cut + size] = flip
    e, x = entry[index], leave[index]
    return np.where(turned, x, e), np.where(turned, e, x)
