# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a lost person may be: a grid of probabilities that sum to one, and Bayes' rule on it.

Maps are made from a distribution of distances or from an array that somebody else computed. Searches that find
nothing change them by `after_a_miss`; nothing else does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from missions.errors import PlanningError
from missions.geo import FloatArray, LocalFrame
from missions.search.lost_person import DistanceLaw

_SUM_ERROR = 1e-6
_FINEST_M, _COARSEST_M = 20.0, 100.0
_CELLS_ACROSS = 800
_SAMPLES = 4


@dataclass(frozen=True, slots=True, eq=False)
class ProbabilityMap:
    """Probabilities of square cells around a frame's origin.

    p: (rows, columns), row 0 in the south, column 0 in the west; sums to one. west_m, south_m: the outer corner of
    p[0, 0]. `doubts`: what a reader has to know before relying on it.
    """

    frame: LocalFrame
    west_m: float
    south_m: float
    cell_m: float
    p: FloatArray
    source: str
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self.p)
        if not (math.isfinite(self.cell_m) and self.cell_m > 0.0):
            raise PlanningError(f"a probability map needs cells above 0 m, not {self.cell_m} m")
        if not (math.isfinite(self.west_m) and math.isfinite(self.south_m)):
            raise PlanningError(f"a probability map has a corner, not one at {self.west_m} m, {self.south_m} m")
        if abs(float(self.p.sum()) - 1.0) > _SUM_ERROR:
            raise PlanningError(f"a probability map sums to 1, not to {float(self.p.sum()):.6g}")

    @property
    def cell_area_m2(self) -> float:
        return self.cell_m**2

    def centres_m(self) -> tuple[FloatArray, FloatArray]:
        """East of every column's and north of every row's centre."""
        rows, columns = self.p.shape
        east: FloatArray = np.asarray(self.west_m + (np.arange(columns) + 0.5) * self.cell_m, dtype=np.float64)
        north: FloatArray = np.asarray(self.south_m + (np.arange(rows) + 0.5) * self.cell_m, dtype=np.float64)
        return east, north

    def mass_on(self, west_m: float, south_m: float, cell_m: float, shape: tuple[int, int]) -> FloatArray:
        """The probability on another grid of the same frame, spread evenly within every cell (exact overlap areas)."""
        rows = _overlap(self.south_m, self.cell_m, self.p.shape[0], south_m, cell_m, shape[0])
        columns = _overlap(self.west_m, self.cell_m, self.p.shape[1], west_m, cell_m, shape[1])
        return np.asarray(rows @ self.p @ columns.T, dtype=np.float64)

    def after_a_miss(self, pod: FloatArray) -> ProbabilityMap:
        """Bayes' rule after a search that found nothing, with a probability of detection per cell.

        p <- p (1 - POD) / (1 - sum p POD) (Koopman 1946). Raises PlanningError when the search was so good that
        nothing is left to hold a probability.
        """
        if pod.shape != self.p.shape:
            raise PlanningError(f"the detection grid is {pod.shape}, the map {self.p.shape}; they must agree")
        if not np.all((pod >= 0.0) & (pod <= 1.0)):
            raise PlanningError("a probability of detection lies between 0 and 1")
        left = self.p * (1.0 - pod)
        total = math.fsum(left.ravel().tolist())
        if total <= 1e-12:
            raise PlanningError("the whole map was searched with certain detection; the person is not where it says")
        return replace(self, p=left / total)


def _check(p: FloatArray) -> None:
    if p.ndim != 2 or min(p.shape) < 1:
        raise PlanningError(f"a probability map is a grid of rows and columns, not of shape {p.shape}")
    if not np.all(np.isfinite(p)):
        raise PlanningError(f"a probability map holds numbers; {int((~np.isfinite(p)).sum())} cells are not finite")
    if np.any(p < 0.0):
        row, column = (int(i[0]) for i in np.nonzero(p < 0.0))
        raise PlanningError(f"no probability is negative; row {row}, column {column} holds {p[row, column]:.3g}")
    if not np.any(p > 0.0):
        raise PlanningError("the probability map is empty: every cell holds 0")


def _overlap(start: float, size: float, count: int, to_start: float, to_size: float, to_count: int) -> FloatArray:
    """(to_count, count): which share of each of `count` intervals lies in each of `to_count` others."""
    edges = start + size * np.arange(count + 1)
    to_edges = to_start + to_size * np.arange(to_count + 1)
    inside = np.clip(to_edges[:, None], edges[None, :-1], edges[None, 1:]) - edges[None, :-1]
    return np.asarray(np.diff(inside, axis=0) / size, dtype=np.float64)


def from_array(
    values: ArrayLike,
    frame: LocalFrame,
    cell_m: float,
    *,
    source: str,
    west_m: float | None = None,
    south_m: float | None = None,
    doubts: tuple[str, ...] = (),
) -> ProbabilityMap:
    """A map from weights of any sum, row 0 in the south; centred on the frame's origin unless its corner is given."""
    weights = np.asarray(values, dtype=np.float64)
    _check(weights)
    rows, columns = weights.shape
    return ProbabilityMap(
        frame,
        -columns * cell_m / 2.0 if west_m is None else west_m,
        -rows * cell_m / 2.0 if south_m is None else south_m,
        cell_m,
        weights / math.fsum(weights.ravel().tolist()),
        source,
        doubts,
    )


def from_distances(law: DistanceLaw, frame: LocalFrame, *, reach_m: float | None = None) -> ProbabilityMap:
    """Rings around the last known position (the frame's origin), equal in all directions.

    reach_m: nobody can be farther; what the law has beyond is spread over the rest in proportion.
    """
    radius = law.farthest_m if reach_m is None else min(reach_m, law.farthest_m)
    if radius <= 0.0:
        raise PlanningError("a lost person who cannot have gone anywhere needs no search; check the time last seen")
    cell = min(max(2.0 * radius / _CELLS_ACROSS, _FINEST_M), _COARSEST_M)
    count = max(1, math.ceil(2.0 * radius / cell))
    low = -count * cell / 2.0
    # Samples within each cell, since the density bends sharply near the middle.
    places = low + (np.arange(count * _SAMPLES) + 0.5) * cell / _SAMPLES
    weights = np.zeros((count, count))
    for k in range(_SAMPLES):
        away = np.hypot(places[None, :], places[k::_SAMPLES, None])
        density = np.where(away <= radius, law.density_per_m2(away), 0.0)
        weights += density.reshape(count, count, _SAMPLES).sum(axis=2)
    doubts = law.doubts
    if radius < law.farthest_m:
        held = float(law.share_within(radius))
        cut = f"cut at {radius / 1000:.1f} km, as far as the person can be by now"
        doubts = (*doubts, f"{cut}; the table has {1.0 - held:.0%} beyond")
    return from_array(weights, frame, cell, source=f"{law.source}; {law.category}, {law.terrain}", doubts=doubts)
