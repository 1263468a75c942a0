# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cases and the grid that they are counted on: an area in metres is cut into square cells, each with its share inside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from missions.errors import PlanningError
from missions.geo import FloatArray, GeoPoint, LocalFrame

_MOST_CELLS = 40_000


@dataclass(frozen=True, slots=True)
class Case:
    """Something that happened: where, on which local day, and of what kind. It names a record, never a person."""

    case_id: str
    day: date
    position: GeoPoint
    kind: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class HeatGrid:
    """Square cells over an area, rows from south to north and columns from west to east.

    inside: (rows, columns) the share of each cell that lies in the area, 0 to 1.
    """

    frame: LocalFrame
    west_m: float
    south_m: float
    cell_m: float
    inside: FloatArray

    @property
    def area_m2(self) -> float:
        return float(self.inside.sum()) * self.cell_m**2

    @property
    def east_m(self) -> FloatArray:
        """Middles of the columns."""
        return np.asarray(self.west_m + self.cell_m * (np.arange(self.inside.shape[1]) + 0.5), dtype=np.float64)

    @property
    def north_m(self) -> FloatArray:
        """Middles of the rows."""
        return np.asarray(self.south_m + self.cell_m * (np.arange(self.inside.shape[0]) + 0.5), dtype=np.float64)

    def places_m(self, cases: tuple[Case, ...]) -> FloatArray:
        """(n, 2) east and north of cases."""
        if not cases:
            return np.zeros((0, 2))
        return self.frame.to_enu_array(
            [c.position.latitude_deg for c in cases], [c.position.longitude_deg for c in cases]
        )

    def counts(self, places_m: FloatArray) -> NDArray[np.int64]:
        """(rows, columns) how many of the places lie in each cell; places beyond the grid are not counted."""
        rows, columns = self.inside.shape
        column = np.floor((places_m[:, 0] - self.west_m) / self.cell_m).astype(np.int64)
        row = np.floor((places_m[:, 1] - self.south_m) / self.cell_m).astype(np.int64)
        here = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        out = np.zeros((rows, columns), dtype=np.int64)
        np.add.at(out, (row[here], column[here]), 1)
        return out


def heat_grid(area: BaseGeometry, frame: LocalFrame, cell_m: float) -> HeatGrid:
    """A grid over a polygon given in the frame's metres. Raises PlanningError for no area or too many cells."""
    if area.is_empty or area.area <= 0.0:
        raise PlanningError("the area has no size; draw a ring with an inside")
    if not (math.isfinite(cell_m) and cell_m > 0.0):
        raise PlanningError(f"the cell size is {cell_m} m; it must be above 0")
    west, south, east, north = area.bounds
    columns, rows = max(1, math.ceil((east - west) / cell_m)), max(1, math.ceil((north - south) / cell_m))
    if rows * columns > _MOST_CELLS:
        least = math.sqrt((east - west) * (north - south) / _MOST_CELLS)
        raise PlanningError(f"cells of {cell_m:g} m are {rows * columns}; take cells of at least {least:.0f} m")
    x, y = np.meshgrid(west + cell_m * np.arange(columns), south + cell_m * np.arange(rows))
    cells = shapely.box(x, y, x + cell_m, y + cell_m)
    shapely.prepare(area)
    inside = shapely.area(shapely.intersection(cells, area)) / cell_m**2
    return HeatGrid(frame, float(west), float(south), cell_m, np.asarray(inside, dtype=np.float64))
