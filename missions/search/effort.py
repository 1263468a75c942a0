# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much a search can find at most: optimal effort over a map, whatever way is flown.

Two sensors. Exponential detection: effort (swept width times way, in square metres) that falls on a cell at coverage
C = effort / area finds with 1 - exp(-C) (Koopman 1946). Perfect detection: what was within the sensor's radius is found.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from missions.geo import FloatArray


def koopman_pod(coverage: ArrayLike) -> FloatArray:
    """Probability of detection at a coverage: 1 - exp(-C) (Koopman 1946)."""
    return np.asarray(-np.expm1(-np.asarray(coverage, dtype=np.float64)))


def optimal_effort(p: FloatArray, cell_area_m2: float, effort_m2: float) -> tuple[FloatArray, float]:
    """Coverage per cell that finds most with a given effort, and the probability of success it gives.

    Water filling (Charnes and Cooper 1958, de Guenin 1961): C = max(0, ln(density / lambda)) with lambda such that
    all the effort is spent. p: probabilities of equal cells, any shape; it need not sum to one.
    """
    flat = p.ravel()
    coverage = np.zeros(flat.shape)
    order = np.argsort(-flat, kind="stable")
    order = order[flat[order] > 0.0]
    if effort_m2 <= 0.0 or not len(order):
        return coverage.reshape(p.shape), 0.0
    logs = np.log(flat[order])
    mean_coverage = effort_m2 / cell_area_m2  # summed over the cells that get any
    count = np.arange(1, len(order) + 1)
    level = (np.cumsum(logs) - mean_coverage) / count  # ln lambda if just the first cells got effort
    used = int(np.flatnonzero(logs > level)[-1]) + 1
    coverage[order[:used]] = logs[:used] - level[used - 1]
    return coverage.reshape(p.shape), float((flat * koopman_pod(coverage)).sum())


def perfect_bound(p: FloatArray, cell_area_m2: float, radius_m: float, length_m: float, vehicles: int) -> float:
    """The most that discs of a radius can sweep: the mass of the densest 2 r L + n pi r^2 of area."""
    area = 2.0 * radius_m * length_m + vehicles * math.pi * radius_m**2
    cells = np.sort(p.ravel())[::-1]
    whole = min(len(cells), int(area / cell_area_m2))
    rest = area / cell_area_m2 - whole
    return float(cells[:whole].sum() + (min(1.0, rest) * cells[whole] if whole < len(cells) else 0.0))


def circular_normal_bound(sigma_m: float, effort_m2: float) -> float:
    """Charnes-Cooper for a circular normal map: 1 - (1 + h) exp(-h), h = sqrt(effort / (pi sigma^2))."""
    h = math.sqrt(effort_m2 / (math.pi * sigma_m**2))
    return 1.0 - (1.0 + h) * math.exp(-h)
