# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is believed while a search goes on: the map on the planner's fine raster, and the rest of it outside.

The raster covers what the drones can see from inside their fence. Probability outside stays there, so that Bayes'
rule is that of the whole map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Point

from missions.errors import PlanningError
from missions.geo import FloatArray, LocalFrame
from missions.search.area import Room
from missions.search.improve import Sweep
from missions.search.probability import ProbabilityMap

_ROWS_PER_SWATH = 7
_JUST_OVER = 1.0 + 1e-6
_MOST_CELLS = 2_000_000
_MOST_PASSES = 40


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """Probabilities of the raster's cells (rows, columns; row 0 in the south) and of everywhere else; sums to one.

    seen: the cells that drones can see from inside their fence, None for all; the others' probability is elsewhere.
    """

    frame: LocalFrame
    west_m: float
    south_m: float
    cell_m: float
    mass: FloatArray
    outside: float
    seen: NDArray[np.bool_] | None = None

    def after_a_miss(self, pod: FloatArray) -> Belief:
        """Bayes' rule after a search of the raster that found nothing; `pod` per cell. Raises PlanningError."""
        if pod.shape != self.mass.shape or not np.all((pod >= 0.0) & (pod <= 1.0)):
            raise PlanningError("probabilities of detection lie between 0 and 1, one for every cell of the raster")
        left = self.mass * (1.0 - pod)
        total = math.fsum(left.ravel().tolist()) + self.outside
        if total <= 1e-12:
            raise PlanningError("the whole map was searched with certain detection; the person is not where it says")
        return replace(self, mass=left / total, outside=self.outside / total)


def belief_in(
    chart: ProbabilityMap, box_m: tuple[float, float, float, float], half_width_m: float, room: Room | None = None
) -> Belief:
    """A map on a raster over box_m = (west, south, east, north), fine enough for a sensor of that half width.

    room: where legs may run; what cannot be seen from there counts as outside. Raises PlanningError when the map holds
    no probability in the box, or none that can be seen.
    """
    west, south, east, north = box_m
    rows_m, columns_m = max(north - south, 1.0), max(east - west, 1.0)
    # A swath is a whole number of rows, just not quite: one that lies well on the raster never counts a row too many,
    # which an optimiser would find and use. Seven, since seven times the root of two is just below ten: diagonals too.
    # Fewer, where the area is huge, guide the search; what it finds is then counted on smaller cells (`tracks.success`).
    coarsest = math.sqrt(rows_m * columns_m / _MOST_CELLS)
    rows = max(1, min(_ROWS_PER_SWATH, math.floor(2.0 * half_width_m / coarsest)))
    cell = 2.0 * half_width_m / rows * _JUST_OVER
    if rows_m * columns_m / cell**2 > 4 * _MOST_CELLS:
        raise PlanningError(
            f"an area of {rows_m / 1000:.1f} x {columns_m / 1000:.1f} km is too large for a sweep width of "
            f"{2.0 * half_width_m:.0f} m; fence in what is to be searched first"
        )
    shape = (math.ceil(rows_m / cell), math.ceil(columns_m / cell))
    mass = chart.mass_on(west, south, cell, shape)
    seen = None if room is None else room.seen(west, south, cell, shape, half_width_m)
    if seen is not None:
        mass = np.where(seen, mass, 0.0)
    held = float(mass.sum())
    if held <= 1e-9:
        row, column = np.unravel_index(int(np.argmax(chart.p)), chart.p.shape)
        x, y = float(chart.centres_m()[0][column]), float(chart.centres_m()[1][row])
        if room is None:
            beyond = math.hypot(max(west - x, x - east, 0.0), max(south - y, y - north, 0.0))
        else:
            beyond = max(0.0, float(room.area.distance(Point(x, y))) - half_width_m)
        place = chart.frame.to_geo(x, y)
        raise PlanningError(
            "no drone can reach the area: the map holds no probability where they can see from inside the fence; its "
            f"likeliest place {place.latitude_deg:.5f}, {place.longitude_deg:.5f} lies {beyond:.0f} m beyond. Check the "
            "place, the fence and the map's frame"
        )
    return Belief(chart.frame, west, south, cell, mass, max(0.0, 1.0 - held), seen)


def disc_sensor(radius_m: float) -> Sweep:
    """A sensor that finds whatever comes within a radius."""
    return Sweep(radius_m, np.array([0.0, 1.0]), round_ends=True)


def exponential_sensor(sweep_width_m: float) -> Sweep:
    """A sensor of a sweep width: every pass over a place adds a coverage of one, POD = 1 - exp(-C) (Koopman 1946)."""
    return Sweep(sweep_width_m / 2.0, -np.expm1(-np.arange(_MOST_PASSES + 1.0)), round_ends=False)
