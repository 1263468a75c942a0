# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ground heights. Pure: grids come in as arrays, files are read elsewhere.

A terrain states where it comes from, its resolution and its vertical error, because every clearance check and
every ground location inherits them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from missions.geo import FloatArray, GeoPoint, LocalFrame


class OutsideTerrainError(ValueError):
    """A height was asked for where the terrain holds none; the message names the place."""


class Terrain(Protocol):
    """Heights above mean sea level."""

    @property
    def source(self) -> str:
        """Where the heights come from, in words for a reader ("synthetic, seed 7", "SRTM 1 arc second")."""

    @property
    def resolution_m(self) -> float: ...

    @property
    def vertical_error_m(self) -> float:
        """One standard deviation."""

    def height_amsl_m(self, latitude_deg: ArrayLike, longitude_deg: ArrayLike) -> FloatArray:
        """Heights in metres above mean sea level, of the inputs' shape. Raises OutsideTerrainError."""


@dataclass(frozen=True, slots=True)
class FlatTerrain:
    """Ground of one height everywhere."""

    amsl_m: float
    source: str = "flat"
    resolution_m: float = 1.0
    vertical_error_m: float = 0.0

    def height_amsl_m(self, latitude_deg: ArrayLike, longitude_deg: ArrayLike) -> FloatArray:
        """The one height, in the inputs' shape."""
        shape = np.broadcast(np.asarray(latitude_deg), np.asarray(longitude_deg)).shape
        return np.full(shape, self.amsl_m)


@dataclass(frozen=True, slots=True, eq=False)
class GridTerrain:
    """A regular east-north grid around a frame's origin, interpolated bilinearly.

    heights_amsl_m: (rows, columns); row 0 is the southernmost, column 0 the westernmost.
    west_m, south_m: place of heights_amsl_m[0, 0] in `frame`.
    """

    frame: LocalFrame
    west_m: float
    south_m: float
    resolution_m: float
    heights_amsl_m: NDArray[np.float32]
    source: str
    vertical_error_m: float
    _shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        if self.heights_amsl_m.ndim != 2 or min(self.heights_amsl_m.shape) < 2:
            raise ValueError(f"a terrain grid needs at least 2 x 2 heights, not {self.heights_amsl_m.shape}")
        object.__setattr__(self, "_shape", self.heights_amsl_m.shape)

    def height_amsl_m(self, latitude_deg: ArrayLike, longitude_deg: ArrayLike) -> FloatArray:
        """Bilinear heights; raises OutsideTerrainError for a point off the grid or on a void (NaN) cell."""
        lat = np.asarray(latitude_deg, dtype=np.float64)
        lon = np.asarray(longitude_deg, dtype=np.float64)
        lat, lon = np.broadcast_arrays(lat, lon)
        enu = self.frame.to_enu_array(lat.ravel(), lon.ravel())
        return self.height_at_enu(enu[:, 0], enu[:, 1]).reshape(lat.shape)

    def height_at_enu(self, east_m: ArrayLike, north_m: ArrayLike) -> FloatArray:
        """Bilinear heights at places given in this grid's own frame."""
        east = np.asarray(east_m, dtype=np.float64)
        north = np.asarray(north_m, dtype=np.float64)
        rows, columns = self._shape
        x = (east - self.west_m) / self.resolution_m
        y = (north - self.south_m) / self.resolution_m
        off = ~((x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1))
        if np.any(off):
            i = int(np.flatnonzero(off.ravel())[0])
            place = self.frame.to_geo(float(east.ravel()[i]), float(north.ravel()[i]))
            raise OutsideTerrainError(
                f"no terrain at {place.latitude_deg:.6f}, {place.longitude_deg:.6f} (source: {self.source})"
            )
        column = np.minimum(x.astype(np.int64), columns - 2)
        row = np.minimum(y.astype(np.int64), rows - 2)
        fx, fy = x - column, y - row
        h = self.heights_amsl_m
        south = h[row, column] * (1 - fx) + h[row, column + 1] * fx
        north_edge = h[row + 1, column] * (1 - fx) + h[row + 1, column + 1] * fx
        heights: FloatArray = np.asarray(south * (1 - fy) + north_edge * fy, dtype=np.float64)
        void = np.isnan(heights)
        if void.any():
            i = int(np.flatnonzero(void.ravel())[0])
            place = self.frame.to_geo(float(east.ravel()[i]), float(north.ravel()[i]))
            raise OutsideTerrainError(
                f"the terrain has a void at {place.latitude_deg:.6f}, {place.longitude_deg:.6f} (source: {self.source})"
            )
        return heights


def height_at(terrain: Terrain, point: GeoPoint) -> float:
    """Height of one point in metres above mean sea level."""
    return float(terrain.height_amsl_m(point.latitude_deg, point.longitude_deg))
