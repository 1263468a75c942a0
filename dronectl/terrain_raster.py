# SPDX-License-Identifier: AGPL-3.0-or-later
"""Height models as rasters (GeoTIFF, ASCII grid and whatever else GDAL reads) to a terrain grid around a site.

Only the window around the site is read. Its heights are put on a metric grid of the raster's own resolution, by
bilinear interpolation between the middles of its cells. Heights are above mean sea level or refused: above the
ellipsoid they would be off by the geoid, up to 100 m. Cells without a height stay voids, and are named.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyproj

from dronectl.errors import BadInputError
from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.terrain import GridTerrain

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

log = logging.getLogger(__name__)

AMSL: Final = "amsl"
ELLIPSOID: Final = "ellipsoid"
_MARGIN_M: Final = 500.0  # around the site: what cameras see beyond the fence
_MAX_CELLS: Final = 25_000_000  # 100 MB
_MAX_EXTENT_M: Final = 100_000.0
_FEET: Final = {"ft": 0.3048, "foot": 0.3048, "us survey foot": 1200.0 / 3937.0, "ftus": 1200.0 / 3937.0}
_METRES: Final = frozenset({"", "m", "metre", "meter", "metres", "meters"})
_COARSE_M: Final = 10.0
_COARSE_ERROR_M: Final = 5.0  # SRTM and its like, one standard deviation
_FINE_ERROR_M: Final = 1.0


@dataclass(frozen=True, slots=True)
class RasterOptions:
    """What a raster may not say itself. datum: "amsl" or "ellipsoid"; crs: anything PROJ reads ("EPSG:32648")."""

    datum: str | None = None
    crs: str | None = None
    vertical_error_m: float | None = None


def load_raster(path: Path, around: Sequence[GeoPoint], options: RasterOptions | None = None) -> GridTerrain:
    """Read the heights around these points. Raises BadInputError with one line."""
    import rasterio  # GDAL takes a second to load, and most sites bring their own grid
    from rasterio.errors import RasterioError

    if not path.is_file():
        raise BadInputError(f"{path}: cannot be read: there is no such file")
    try:
        with rasterio.open(path) as raster:
            return _Reading(path, raster, options or RasterOptions()).around(around)
    except RasterioError as error:
        raise BadInputError(f"{path}: cannot be read as a height model: {str(error).splitlines()[0]}") from error


class _Reading:
    def __init__(self, path: Path, raster: DatasetReader, options: RasterOptions) -> None:
        self.path, self.raster, self.options = path, raster, options
        self.crs = self._crs()
        self.note = self._datum()
        self.to_raster = pyproj.Transformer.from_crs("EPSG:4326", self.crs.to_2d(), always_xy=True)

    def _fail(self, message: str) -> BadInputError:
        return BadInputError(f"{self.path}: {message}")

    def _crs(self) -> pyproj.CRS:
        named = self.options.crs
        if named is None and self.raster.crs is None:
            raise self._fail(
                "does not say its reference system; name it in the site file: terrain: {file: ..., crs: EPSG:...}"
            )
        try:
            return pyproj.CRS.from_user_input(named if named is not None else self.raster.crs.to_wkt())
        except pyproj.exceptions.CRSError as error:
            raise self._fail(f"the reference system {named or 'it names'} is unknown: {error}") from error

    def _datum(self) -> str:
        """What is known of the heights' zero, for the terrain's source. Raises BadInputError for the ellipsoid."""
        vertical = next((part for part in self.crs.sub_crs_list if part.is_vertical), None)
        own = None
        if vertical is not None:
            own = ELLIPSOID if "ellipsoid" in vertical.name.lower() else AMSL
        elif len(self.crs.axis_info) == 3:
            own = ELLIPSOID
        named = self.options.datum
        if named is not None and own is not None and named != own:
            raise self._fail(f"says itself that its heights are above {own}, not above {named}; correct the datum")
        if ELLIPSOID in (own, named):
            raise self._fail(
                "its heights are above the ellipsoid; convert them to above mean sea level (EGM96), for example with "
                "gdalwarp -s_srs EPSG:4979 -t_srs EPSG:4326+5773"
            )
        if vertical is not None:
            return f"heights in {vertical.name}"
        if named is not None:
            return "heights above mean sea level as declared"
        log.warning(
            "%s: does not say what its heights are measured from; taken as above mean sea level (EGM96). "
            "Declare it in the site file: terrain: {file: ..., datum: amsl}",
            self.path,
        )
        return "heights taken as above mean sea level, the file does not say"

    def around(self, points: Sequence[GeoPoint]) -> GridTerrain:
        first = LocalFrame(points[0])
        places = np.array([first.to_enu(p) for p in points])
        low, high = places.min(axis=0), places.max(axis=0)
        if max(high - low) > _MAX_EXTENT_M:
            raise self._fail(f"the places that need heights are {max(high - low) / 1000:.0f} km apart")
        frame = LocalFrame(first.to_geo(*(float(v) for v in (low + high) / 2.0)))
        inner = np.array([frame.to_enu(p) for p in points])
        low, high = inner.min(axis=0), inner.max(axis=0)
        step = self._resolution_m(frame)
        columns, rows = (int(n) for n in np.ceil((high - low + 2.0 * _MARGIN_M) / step) + 1)
        if columns * rows > _MAX_CELLS:
            raise self._fail(
                f"has cells of {step:.2f} m: {columns} x {rows} of them lie around the site, too many; resample it, for "
                f"example with gdalwarp -tr (about {math.sqrt(columns * rows / _MAX_CELLS) * step:.1f} m)"
            )
        west, south = low - _MARGIN_M
        east, north = np.meshgrid(west + step * np.arange(columns), south + step * np.arange(rows))
        heights = self._sample(frame, east, north)
        needed = (
            (east >= low[0] - step) & (east <= high[0] + step) & (north >= low[1] - step) & (north <= high[1] + step)
        )
        self._complete(frame, east, north, needed, heights)
        given = self.options.vertical_error_m
        usual = _COARSE_ERROR_M if step >= _COARSE_M else _FINE_ERROR_M
        return GridTerrain(
            frame=frame,
            west_m=float(west),
            south_m=float(south),
            resolution_m=step,
            heights_amsl_m=heights.astype(np.float32),
            source=f"{self.path.name}, {step:.3g} m cells, {self.note}",
            vertical_error_m=usual if given is None else given,
        )

    def _pixels(self, frame: LocalFrame, east: FloatArray, north: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(column, row) of places, counted from the middle of the first cell."""
        geo = frame.to_geo_array(np.column_stack([np.ravel(east), np.ravel(north)]))
        x, y = self.to_raster.transform(geo[:, 1], geo[:, 0])
        inverse = ~self.raster.transform
        column = inverse.a * x + inverse.b * y + inverse.c - 0.5
        row = inverse.d * x + inverse.e * y + inverse.f - 0.5
        return column.reshape(np.shape(east)), row.reshape(np.shape(east))

    def _resolution_m(self, frame: LocalFrame) -> float:
        """The finer of a cell's two sides, at the site."""
        reach = 100.0
        columns, rows = self._pixels(frame, np.array([0.0, reach, 0.0]), np.array([0.0, 0.0, reach]))
        if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
            raise self._fail("its reference system does not reach to the site; check the system and the site's places")
        matrix = np.array([[columns[1] - columns[0], columns[2] - columns[0]], [rows[1] - rows[0], rows[2] - rows[0]]])
        sides = np.hypot(*np.linalg.inv(matrix / reach))
        return float(sides.min())

    def _sample(self, frame: LocalFrame, east: FloatArray, north: FloatArray) -> FloatArray:
        """Heights at places, NaN where there is none; only the window that they need is read."""
        from scipy import ndimage  # 19 MB that a service on a grid of its own does without

        column, row = self._pixels(frame, east, north)
        left, right = max(0, math.floor(column.min()) - 1), min(self.raster.width, math.ceil(column.max()) + 2)
        top, bottom = max(0, math.floor(row.min()) - 1), min(self.raster.height, math.ceil(row.max()) + 2)
        if left >= right or top >= bottom:
            raise self._fail(f"does not cover the site: it holds {self._extent()}")
        data: Any = self.raster.read(1, window=((top, bottom), (left, right)), masked=True)
        cells = np.ma.filled(data.astype(np.float64), np.nan) * self.raster.scales[0] + self.raster.offsets[0]
        unit = (self.raster.units[0] or "").strip().lower()
        if unit not in _METRES and unit not in _FEET:
            raise self._fail(f"its heights are in {unit!r}; convert them to metres")
        cells *= _FEET.get(unit, 1.0)
        # The outer half of the outermost cells has no neighbour to interpolate with: it has the cell's own height.
        inside = (
            (column >= -0.5) & (column <= self.raster.width - 0.5) & (row >= -0.5) & (row <= self.raster.height - 0.5)
        )
        at = [row - top, column - left]
        heights: FloatArray = ndimage.map_coordinates(cells, at, order=1, mode="nearest", prefilter=False)
        return np.where(inside, heights, np.nan)

    def _extent(self) -> str:
        bounds = self.raster.bounds
        back = pyproj.Transformer.from_crs(self.crs.to_2d(), "EPSG:4326", always_xy=True)
        west, south, east, north = back.transform_bounds(bounds.left, bounds.bottom, bounds.right, bounds.top)
        return f"latitudes {south:.4f} to {north:.4f}, longitudes {west:.4f} to {east:.4f}"

    def _complete(
        self, frame: LocalFrame, east: FloatArray, north: FloatArray, needed: np.ndarray, heights: FloatArray
    ) -> None:
        """Refuse a raster that ends inside the site; name the voids."""
        column, row = self._pixels(frame, east[needed], north[needed])
        off = (column < -0.5) | (column > self.raster.width - 0.5) | (row < -0.5) | (row > self.raster.height - 0.5)
        if off.any():
            at = frame.to_geo(float(east[needed][off][0]), float(north[needed][off][0]))
            raise self._fail(
                f"does not cover the site: it holds {self._extent()}, and {off.mean():.0%} of the site lies outside, "
                f"as {at.latitude_deg:.5f}, {at.longitude_deg:.5f} does; bring a height model of the whole fence"
            )
        empty = np.isnan(heights) & needed
        if empty.sum() == needed.sum():
            raise self._fail("holds no heights at the site, only voids")
        if empty.any():
            from scipy import ndimage

            labels, count = ndimage.label(empty)
            sizes = np.bincount(labels.ravel())[1:]
            spot = np.argwhere(labels == int(sizes.argmax()) + 1)[int(sizes.max()) // 2]
            at = frame.to_geo(float(east[tuple(spot)]), float(north[tuple(spot)]))
            log.warning(
                "%s: has %d voids at the site, the largest of %.0f m2 near %.5f, %.5f; nothing can be planned over them",
                self.path,
                count,
                sizes.max() * abs(east[0, 1] - east[0, 0]) ** 2,
                at.latitude_deg,
                at.longitude_deg,
            )
