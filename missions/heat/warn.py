# SPDX-License-Identifier: AGPL-3.0-or-later
"""Warnings of hot spots that stand a test: at most a given share of months without any hot spot raises one.

Circles of many sizes are laid everywhere (Kulldorff's scan statistic, 1997); the score of a circle is its
log-likelihood ratio of more cases inside than expected. The highest score of all circles is held against the highest
scores of many months that are drawn where nothing is the matter, so that looking at many places is paid for:

- concentrated: are this month's cases closer together than cases spread evenly over the area? Months are drawn evenly.
- rising: are there more in one place than its past says? Months are drawn from all cases, past and present, at random
  (a permutation test; the past may be as uneven as it likes).

Both share the level alpha. A score that at most a share alpha / 2 of the drawn months reach is warned of (Barnard 1963:
with the observed month counted among the drawn ones this is exact, not approximate).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.heat.grid import HeatGrid

_RADII = (1.0, 1.6, 2.3, 3.2, 4.5, 6.2)  # in cells
_GREATEST_SHARE = 0.5
_BATCH = 250
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A circle with more cases than expected, in metres of the grid's frame. p is corrected for all circles."""

    test: Literal["concentrated", "rising"]
    east_m: float
    north_m: float
    radius_m: float
    cases: int
    expected: float
    p: float


@dataclass(frozen=True, slots=True)
class Warnings:
    """What was found, of how many cases this month and before, and the level of each test that was made.

    tests: which could be made; the rising one needs past cases.
    """

    hot_spots: tuple[HotSpot, ...]
    month_cases: int
    past_cases: int
    level: float
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Circles:
    """All circles of a scan. member: (circles, cells) 0 or 1; share: (cells,) of the area in each cell, sums to 1."""

    east_m: FloatArray
    north_m: FloatArray
    radius_m: FloatArray
    member: NDArray[np.float32]
    share: FloatArray


def circles(grid: HeatGrid) -> Circles:
    """Circles around every cell that lies in the area, up to half of the area each. Equal ones are kept once.

    Raises ValueError where the cells are too large for any.
    """
    flat = grid.inside.ravel()
    used = np.flatnonzero(flat > 0.0)
    x, y = (v.ravel()[used] for v in np.meshgrid(grid.east_m, grid.north_m))
    share = flat[used] / flat.sum()
    gap = np.hypot(x[:, None] - x[None, :], y[:, None] - y[None, :])
    members, centre, radius = [], [], []
    for times in _RADII:
        member = gap <= times * grid.cell_m
        small = (member @ share) <= _GREATEST_SHARE
        members.append(member[small])
        centre.append(np.flatnonzero(small))
        radius.append(np.full(int(small.sum()), times * grid.cell_m))
    within, at = np.vstack(members), np.concatenate(centre)
    if not len(within):
        fit = math.sqrt(grid.area_m2) / 4.0
        raise ValueError(
            f"cells of {grid.cell_m:g} m leave no circle of less than half of the area; take cells of at most {fit:.0f} m"
        )
    _, first = np.unique(np.packbits(within, axis=1), axis=0, return_index=True)
    first.sort()
    return Circles(x[at][first], y[at][first], np.concatenate(radius)[first], within[first].astype(np.float32), share)


def hot_spots(
    grid: HeatGrid,
    month_m: FloatArray,
    past_m: FloatArray,
    *,
    seed: int,
    alpha: float = 0.05,
    draws: int = 999,
) -> Warnings:
    """Hot spots of a month: month_m and past_m are (n, 2) places in metres of the grid's frame.

    alpha: the greatest share of months without a hot spot in which anything at all may be warned of.
    draws: how many months are drawn for each test. Same seed, same answer. Raises ValueError when they are too few.
    """
    ring = circles(grid)
    used = np.flatnonzero(grid.inside.ravel() > 0.0)
    month, past = (grid.counts(p).ravel()[used] for p in (month_m, past_m))
    n, before = int(month.sum()), int(past.sum())
    tests = ("concentrated", "rising") if before and n else ("concentrated",) if n else ()
    level = alpha / max(1, len(tests))
    if (draws + 1) * level < 1.0:
        raise ValueError(f"{draws} draws cannot tell a level of {level:g}; take at least {math.ceil(1 / level) - 1}")
    rng = np.random.default_rng(seed)
    found: list[HotSpot] = []
    if n:
        even = np.asarray(ring.share * n, dtype=np.float64)
        drawn = _maxima(ring, lambda size: rng.multinomial(n, ring.share, size=size), even, draws)
        found += _spots("concentrated", ring, month, even, drawn, level)
    if n and before:
        pooled = month + past
        expected = np.asarray(pooled * (n / float(pooled.sum())), dtype=np.float64)
        drawn = _maxima(
            ring,
            lambda size: rng.multivariate_hypergeometric(pooled, n, size=size, method="marginals"),
            expected,
            draws,
        )
        found += _spots("rising", ring, month, expected, drawn, level)
    return Warnings(tuple(found), n, before, level, tests)


def scores(ring: Circles, counts: Counts, expected: FloatArray) -> FloatArray:
    """(circles, months) log-likelihood ratios of counts of shape (months, cells); 0 where there are not more."""
    inside = (ring.member @ counts.T.astype(np.float32)).astype(np.float64)
    mean = np.clip(ring.member @ expected, 1e-12, None)[:, None]
    total = counts.sum(axis=1)[None, :].astype(np.float64)
    out, rest = total - inside, np.clip(total - mean, 1e-12, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = inside * np.log(inside / mean) + np.where(out > 0.0, out * np.log(out / rest), 0.0)
    return np.where(inside > mean, value, 0.0)


def _maxima(ring: Circles, draw: Callable[[int], Counts], expected: FloatArray, draws: int) -> FloatArray:
    """The highest score of each drawn month."""
    out: list[FloatArray] = []
    left = draws
    while left:
        size = min(left, _BATCH)
        out.append(scores(ring, draw(size), expected).max(axis=0))
        left -= size
    return np.concatenate(out)


def _spots(
    test: Literal["concentrated", "rising"],
    ring: Circles,
    month: Counts,
    expected: FloatArray,
    drawn: FloatArray,
    level: float,
) -> list[HotSpot]:
    """Circles that reach the level, the highest first, those that overlap a higher one left out."""
    value = scores(ring, month[None, :], expected)[:, 0]
    taken = np.zeros(len(month), dtype=bool)
    found: list[HotSpot] = []
    for at in np.argsort(-value, kind="stable"):
        # Scores that differ by rounding are ties, and ties count against a warning.
        p = (1.0 + float((drawn >= value[at] - 1e-9).sum())) / (len(drawn) + 1.0)
        if p > level or value[at] <= 0.0:
            break
        member = ring.member[at] > 0
        if (taken & member).any():
            continue
        taken |= member
        found.append(
            HotSpot(
                test,
                float(ring.east_m[at]),
                float(ring.north_m[at]),
                float(ring.radius_m[at]),
                int(month[member].sum()),
                float(expected[member].sum()),
                p,
            )
        )
    return found
