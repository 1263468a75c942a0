# SPDX-License-Identifier: AGPL-3.0-or-later
"""How well a map foretells: what it marks as its hottest area is held against the cases of the month after.

Hit rate: the share of the next month's cases in the hottest tenth of the area. Predictive accuracy index: hit rate over
that share of the area (Chainey, Tompson and Uhlig 2008); 1 is what an even map reaches. Where cells are equally hot,
as all are on an even map, the missing part of the area is taken from all of them alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.heat.density import density_per_km2, heat_map
from missions.heat.grid import Case, HeatGrid

_AREA_SHARE = 0.10
_TIE = 1e-9
Month = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Score:
    """Cases foretold of all; a share of the area. low, high: 95 % interval of the hit rate (Wilson 1927)."""

    name: str
    hits: float
    cases: int
    area_share: float

    @property
    def hit_rate(self) -> float:
        return self.hits / self.cases if self.cases else 0.0

    @property
    def accuracy_index(self) -> float:
        return self.hit_rate / self.area_share

    @property
    def interval(self) -> tuple[float, float]:
        if not self.cases:
            return 0.0, 1.0
        z, n, p = 1.959964, self.cases, self.hit_rate
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


@dataclass(frozen=True, slots=True)
class Backtest:
    """Months that were foretold, each from the months before it only, and the scores over all of them."""

    months: tuple[Month, ...]
    ours: Score
    last_month: Score
    uniform: Score


def hits(per_km2: FloatArray, counts: NDArray[np.int64], grid: HeatGrid, area_share: float = _AREA_SHARE) -> float:
    """How many of the counted cases lie in the hottest share of the area; all arrays are (rows, columns)."""
    used = grid.inside.ravel() > 0.0
    area, heat, here = grid.inside.ravel()[used], per_km2.ravel()[used], counts.ravel()[used]
    wanted = area_share * float(area.sum())
    order = np.argsort(-heat, kind="stable")
    area, heat, here = area[order], heat[order], here[order]
    covered = np.cumsum(area)
    edge = int(np.searchsorted(covered, wanted - 1e-12))
    edge = min(edge, len(heat) - 1)
    tie = np.abs(heat - heat[edge]) <= _TIE * max(1.0, abs(float(heat[edge])))
    above = (heat > heat[edge]) & ~tie
    missing = wanted - float(area[above].sum())
    part = min(1.0, missing / float(area[tie].sum()))
    return float(here[above].sum()) + part * float(here[tie].sum())


def backtest(
    cases: tuple[Case, ...],
    grid: HeatGrid,
    *,
    half_life_days: float = 60.0,
    bandwidth_m: float | None = None,
    area_share: float = _AREA_SHARE,
) -> Backtest:
    """Foretell every month that has one before it: by our map, by last month's cases alone, and by an even map."""
    by_month: dict[Month, list[Case]] = defaultdict(list)
    for case in cases:
        by_month[case.day.year, case.day.month].append(case)
    first = min(by_month, default=(0, 0))
    done: list[Month] = []
    total = {"ours": 0.0, "last": 0.0, "even": 0.0}
    foretold = 0
    for month in sorted(by_month):
        before = tuple(c for c in cases if first <= (c.day.year, c.day.month) < month)
        if not before:
            continue
        as_of = max(c.day for c in before)
        known = heat_map(before, grid, as_of, half_life_days=half_life_days, bandwidth_m=bandwidth_m)
        last = grid.places_m(tuple(by_month.get(_before(month), ())))
        counted = grid.counts(grid.places_m(tuple(by_month[month])))
        # The baseline is given the same kernel, so that only the memory differs.
        last_map = density_per_km2(last, np.ones(len(last)), grid, known.bandwidth_m)[0] if len(last) else None
        even = np.ones_like(known.per_km2)
        total["ours"] += hits(known.per_km2, counted, grid, area_share)
        total["last"] += hits(even if last_map is None else last_map, counted, grid, area_share)
        total["even"] += hits(even, counted, grid, area_share)
        foretold += int(counted[grid.inside > 0.0].sum())
        done.append(month)
    return Backtest(
        tuple(done),
        Score("heat map", total["ours"], foretold, area_share),
        Score("last month", total["last"], foretold, area_share),
        Score("uniform", total["even"], foretold, area_share),
    )


def _before(month: Month) -> Month:
    return (month[0] - 1, 12) if month[1] == 1 else (month[0], month[1] - 1)
