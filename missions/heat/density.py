# SPDX-License-Identifier: AGPL-3.0-or-later
"""How dense cases are: a Gaussian kernel per case, weighted by how recent it is (Silverman 1986).

A case loses half of its weight in a half-life. The part of a kernel that would lie outside the area is given back to
the inside (dividing by the mass inside, Jones 1993), so that the map does not fade towards its edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np

from missions.errors import PlanningError
from missions.geo import FloatArray
from missions.heat.grid import Case, HeatGrid

_CANDIDATES = 12
_MOST_PAIRS = 1500
_WIDEST_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """The density of cases.

    per_km2: (rows, columns) recency-weighted cases per square kilometre.
    places_m: (n, 2); recency: (n,) weight of each case, 1 on the day as_of; scale: (n,) recency over the kernel's mass
        inside the area. mean_per_km2: over the whole area.
    """

    grid: HeatGrid
    cases: tuple[Case, ...]
    as_of: date
    bandwidth_m: float
    half_life_days: float
    per_km2: FloatArray
    places_m: FloatArray
    recency: FloatArray
    scale: FloatArray
    mean_per_km2: float

    def contributions(self, at_m: FloatArray) -> FloatArray:
        """(k, n) what each of n cases adds to the density at k places, per km2; rows sum to the density there."""
        gap2 = ((at_m[:, None, :] - self.places_m[None, :, :]) ** 2).sum(axis=2)
        kernel = np.exp(-gap2 / (2.0 * self.bandwidth_m**2)) / (2.0 * math.pi * self.bandwidth_m**2)
        return np.asarray(1e6 * kernel * self.scale[None, :])


def recency_weights(cases: tuple[Case, ...], as_of: date, half_life_days: float) -> FloatArray:
    """(n,) 0.5 to the power of age over half-life; cases after as_of weigh nothing."""
    age = np.asarray([(as_of - c.day).days for c in cases], dtype=np.float64)
    return np.where(age >= 0.0, 0.5 ** (age / half_life_days), 0.0)


def heat_map(
    cases: tuple[Case, ...],
    grid: HeatGrid,
    as_of: date,
    *,
    half_life_days: float = 60.0,
    bandwidth_m: float | None = None,
) -> HeatMap:
    """The heat map on a day; without a bandwidth the one that best foretells each case from the others is taken.

    Raises PlanningError when no case is left: an empty map would say that nothing ever happens.
    """
    if half_life_days <= 0.0 or (bandwidth_m is not None and bandwidth_m <= 0.0):
        raise PlanningError("half-life and bandwidth must be above 0")
    known = tuple(c for c in cases if c.day <= as_of)
    if not known:
        raise PlanningError(
            f"no case lies in the area up to {as_of.isoformat()}: an empty map is no map; check the file, its reference "
            "system and the area"
        )
    places = grid.places_m(known)
    recency = recency_weights(known, as_of, half_life_days)
    width = best_bandwidth_m(places, recency, grid) if bandwidth_m is None else bandwidth_m
    per_km2, scale = density_per_km2(places, recency, grid, width)
    if float(per_km2.sum()) <= 0.0:
        raise PlanningError("all cases are so old that they weigh nothing; take a longer half-life")
    mean = float((per_km2 * grid.inside).sum()) / float(grid.inside.sum())
    return HeatMap(grid, known, as_of, width, half_life_days, per_km2, places, recency, scale, mean)


def density_per_km2(
    places_m: FloatArray, weight: FloatArray, grid: HeatGrid, bandwidth_m: float
) -> tuple[FloatArray, FloatArray]:
    """((rows, columns) density, (n,) weight over the mass inside the area); the kernel is a product of two Gaussians."""
    across = _gauss(grid.east_m[:, None] - places_m[None, :, 0], bandwidth_m)
    along = _gauss(grid.north_m[:, None] - places_m[None, :, 1], bandwidth_m)
    mass = ((grid.inside @ across) * along).sum(axis=0) * grid.cell_m**2
    scale = weight / np.clip(mass, 0.05, None)
    return np.asarray(1e6 * (along * scale[None, :]) @ across.T), scale


def _gauss(gap_m: FloatArray, width_m: float) -> FloatArray:
    return np.asarray(np.exp(-((gap_m / width_m) ** 2) / 2.0) / (width_m * math.sqrt(2.0 * math.pi)))


def best_bandwidth_m(places_m: FloatArray, weight: FloatArray, grid: HeatGrid) -> float:
    """The width under which each case is most likely given the others (leave-one-out likelihood, Duin 1976).

    From one cell to a quarter of the area's side. A case far from all others counts as a uniform one with 1 % of all
    weight, so that one outlier does not blur the whole map. Of more than 1,500 cases the weightiest are looked at.
    """
    side = math.sqrt(grid.area_m2)
    least, most = grid.cell_m, max(grid.cell_m, _WIDEST_SHARE * side)
    keep = np.argsort(-weight, kind="stable")[:_MOST_PAIRS]
    places, weight = places_m[keep], weight[keep]
    total = float(weight.sum())
    if len(places) < 3 or total <= 0.0:
        return math.sqrt(least * most)
    gap2 = ((places[:, None, :] - places[None, :, :]) ** 2).sum(axis=2)
    best, best_value = least, -math.inf
    for width in np.geomspace(least, most, _CANDIDATES):
        kernel = np.exp(-gap2 / (2.0 * width**2)) / (2.0 * math.pi * width**2)
        np.fill_diagonal(kernel, 0.0)
        others = np.maximum(total - weight, 1e-300)
        chance = 0.99 * (kernel @ weight) / others + 0.01 / grid.area_m2
        value = float((weight * np.log(chance)).sum())
        if value > best_value:
            best, best_value = float(width), value
    return best
