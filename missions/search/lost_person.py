# SPDX-License-Identifier: AGPL-3.0-or-later
"""How far from where they were last seen lost people are found: a category and a kind of ground to a distribution.

The distances are the quartiles and the 95 % point of ISRID, the international database of search incidents (Koester,
Lost Person Behavior, 2008). Between them the share grows evenly with the logarithm of the distance. Nearer than the
first quartile people are spread evenly over the disc; beyond the last point the last slope goes on up to everybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from missions.errors import PlanningError
from missions.geo import FloatArray

SHARES: Final = (0.25, 0.50, 0.75, 0.95)
TERRAINS: Final = ("temperate_mountain", "temperate_flat", "dry_flat", "urban")

# km at 25, 50, 75 and 95 %, in the order of TERRAINS; None: the source has no figures.
_Row = tuple[tuple[float, float, float, float] | None, ...]
_TABLE: Final[dict[str, _Row]] = {
    "dementia": (
        (0.32, 0.80, 1.93, 8.21),
        (0.32, 0.97, 2.41, 12.71),
        (0.48, 1.61, 3.54, 11.75),
        (0.32, 1.13, 3.22, 12.55),
    ),
    "hiker": ((1.13, 3.06, 5.79, 18.2), (0.64, 1.77, 3.22, 9.81), (1.29, 2.09, 6.60, 13.0), None),
    "child_1_3": (
        (0.16, 0.32, 0.97, 3.22),
        (0.16, 0.32, 0.97, 3.22),
        (0.64, 1.29, 3.86, 9.01),
        (0.16, 0.48, 0.80, 1.13),
    ),
    "child_4_6": (
        (0.16, 0.80, 1.45, 3.70),
        (0.16, 0.64, 1.45, 6.60),
        (0.64, 1.93, 3.22, 8.21),
        (0.10, 0.48, 0.97, 3.38),
    ),
    "child_7_9": (
        (0.80, 1.61, 3.22, 11.3),
        (0.16, 0.80, 2.09, 8.04),
        (0.48, 1.29, 3.22, 7.24),
        (0.16, 0.48, 1.45, 5.15),
    ),
    "child_10_12": (
        (0.80, 1.61, 3.22, 9.01),
        (0.48, 1.61, 4.83, 9.98),
        (0.80, 2.09, 7.24, 16.1),
        (0.32, 1.45, 2.90, 5.79),
    ),
    "despondent": (
        (0.32, 1.13, 3.22, 21.4),
        (0.32, 0.80, 2.25, 17.2),
        (0.48, 1.93, 3.70, 20.6),
        (0.10, 0.48, 1.45, 13.0),
    ),
    "autistic": ((0.64, 1.61, 3.70, 15.3), (0.64, 1.61, 3.70, 15.3), None, (0.32, 0.97, 3.86, 8.04)),
}
CATEGORIES: Final = tuple(_TABLE)

SOURCE: Final = "Koester, Lost Person Behavior (2008), ISRID: distance from the last known position"
_ALWAYS: Final = (
    "distances are straight lines to where people were found; those never found are not in them",
    "the direction is taken as unknown: no roads, rivers or watersheds (on MapScore rings score .78, watersheds .81)",
    "nearer than the first quartile people are spread evenly, beyond the 95 % point the last slope goes on: assumed",
)


@dataclass(frozen=True, slots=True)
class DistanceLaw:
    """The distribution of the distance from the last known position.

    knots_km and shares: the cumulative share at rising distances, log-linear in between; `doubts`: what a reader has
    to know before relying on it.
    """

    category: str
    terrain: str
    knots_km: tuple[float, ...]
    shares: tuple[float, ...]
    source: str
    doubts: tuple[str, ...]

    @property
    def farthest_m(self) -> float:
        """Where the share reaches one."""
        return self.knots_km[-1] * 1000.0

    def share_within(self, distance_m: ArrayLike) -> FloatArray:
        """Share of people found within distances in metres, of the input's shape."""
        d = np.asarray(distance_m, dtype=np.float64) / 1000.0
        inner = self.shares[0] * np.minimum(1.0, np.maximum(d, 0.0) / self.knots_km[0]) ** 2
        outer = np.interp(np.log(np.maximum(d, self.knots_km[0])), np.log(self.knots_km), self.shares)
        return np.asarray(np.where(d < self.knots_km[0], inner, outer), dtype=np.float64)

    def density_per_m2(self, distance_m: ArrayLike) -> FloatArray:
        """Probability per square metre at distances in metres: the share's slope over the ring's length."""
        d = np.asarray(distance_m, dtype=np.float64) / 1000.0
        knots, shares = np.asarray(self.knots_km), np.asarray(self.shares)
        slopes = np.diff(shares) / np.diff(np.log(knots))  # per unit of log distance
        ring = np.clip(np.searchsorted(knots, d, side="right") - 1, 0, len(slopes) - 1)
        outer = slopes[ring] / (2.0 * math.pi * np.maximum(d, knots[0]) ** 2)
        inner = shares[0] / (math.pi * knots[0] ** 2)
        per_km2 = np.where(d < knots[0], inner, np.where(d < knots[-1], outer, 0.0))
        return np.asarray(per_km2 / 1e6, dtype=np.float64)


def distance_law(category: str, terrain: str) -> DistanceLaw:
    """Look up a category on a kind of ground. Raises PlanningError naming what there is."""
    if category not in _TABLE:
        raise PlanningError(f"there is no category {category!r}; there are: {', '.join(CATEGORIES)}")
    if terrain not in TERRAINS:
        raise PlanningError(f"there is no terrain {terrain!r}; there are: {', '.join(TERRAINS)}")
    row = _TABLE[category][TERRAINS.index(terrain)]
    if row is None:
        known = ", ".join(t for t, r in zip(TERRAINS, _TABLE[category], strict=True) if r is not None)
        raise PlanningError(f"the source has no figures for {category} on {terrain}; there are some for: {known}")
    # The slope of the last two points, continued to everybody.
    last = row[3] * (row[3] / row[2]) ** ((1.0 - SHARES[3]) / (SHARES[3] - SHARES[2]))
    return DistanceLaw(category, terrain, (*row, last), (*SHARES, 1.0), SOURCE, _doubts(category, terrain))


def _doubts(category: str, terrain: str) -> tuple[str, ...]:
    doubts = list(_ALWAYS)
    if category.startswith("child") or category == "despondent":
        doubts.insert(0, f"the figures for {category} rest on one transcription of the source; check them in the book")
    if category == "dementia":
        doubts.append("a British sample (n = 279) has 50 % within 1.2 km, 80 % within 5.0 km and 90 % within 9.5 km")
    if category == "autistic" and terrain == "temperate_flat":
        doubts.append("the source has one row for autistic people on temperate ground, flat or mountain")
    return tuple(doubts)
