# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a search that was really flown does to a map: footprints, probability of detection per cell, Bayes' rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from missions.geo import FloatArray
from missions.search.flights import thinned
from missions.search.improve import Raster, Sweep
from missions.search.probability import ProbabilityMap
from missions.search.tracks import pod_grid

_CELLS_PER_SWATH = 6
_MOST_CELLS = 8_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """A map after a search that found nothing.

    chart: the posterior. pod: probability of detection per cell of that map. found: the probability that the search
    would have found the person, before it was flown.
    """

    chart: ProbabilityMap
    pod: FloatArray
    found: float


def refined(chart: ProbabilityMap, cell_m: float) -> ProbabilityMap:
    """The same map on cells of at most that size, as far as a map of a few million cells goes.

    A cell's probability is spread evenly over its parts, as every other reader of the map takes it.
    """
    parts = max(1, math.ceil(chart.cell_m / cell_m - 1e-9))
    parts = max(1, min(parts, math.isqrt(_MOST_CELLS // chart.p.size)))
    if parts == 1:
        return chart
    p = np.repeat(np.repeat(chart.p, parts, axis=0), parts, axis=1) / parts**2
    return replace(chart, cell_m=chart.cell_m / parts, p=p)


def after_tracks(chart: ProbabilityMap, tracks: Sequence[FloatArray], sweep: Sweep) -> Swept:
    """Exact Bayes after tracks (n, 2), metres in the map's frame, were flown with a sensor and found nothing.

    Cells are made small enough to show swaths. A logged track is thinned to a metre first, since every little bend of
    it would count as a leg. Raises PlanningError when nothing is left to hold a probability.
    """
    fine = refined(chart, 2.0 * sweep.half_width_m / _CELLS_PER_SWATH)
    raster = Raster(fine.west_m, fine.south_m, fine.cell_m, fine.p, np.zeros(fine.p.shape, dtype=np.bool_))
    pod = pod_grid([thinned(t) for t in tracks if len(t) > 1], raster, sweep)
    return Swept(fine.after_a_miss(pod), pod, float((fine.p * pod).sum()))


def after_detection(chart: ProbabilityMap, pod: FloatArray) -> Swept:
    """The same where probabilities of detection (rows, columns) are known, of a search on foot for instance."""
    return Swept(chart.after_a_miss(pod), pod, float((chart.p * pod).sum()))
