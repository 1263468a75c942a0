# SPDX-License-Identifier: AGPL-3.0-or-later
"""Geodesy: the only place that turns degrees into metres and back.

Points are WGS 84. `LocalFrame` is the metric frame that every planner and locator works in. Police and web
maps in China often carry GCJ-02; those coordinates are converted at named edges by `from_gcj02` and are never
stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pyproj import CRS, Geod, Transformer

FloatArray = NDArray[np.float64]

_GEOD = Geod(ellps="WGS84")
MAX_ABS_LATITUDE_DEG = 85.0


class GeoError(ValueError):
    """A coordinate that cannot be used; the message says which and how to mend it."""


@dataclass(frozen=True, slots=True)
class GeoPoint:
    """A WGS 84 position in degrees. Latitude is refused beyond 85 degrees, longitude is kept in [-180, 180)."""

    latitude_deg: float
    longitude_deg: float

    def __post_init__(self) -> None:
        lat, lon = self.latitude_deg, self.longitude_deg
        if not (math.isfinite(lat) and math.isfinite(lon)):
            raise GeoError(f"coordinates must be finite, not ({lat}, {lon})")
        if abs(lat) > 90.0:
            hint = "; latitude and longitude look swapped" if abs(lon) <= 90.0 else ""
            raise GeoError(f"latitude {lat} is outside [-90, 90]{hint}")
        if abs(lat) > MAX_ABS_LATITUDE_DEG:
            raise GeoError(f"latitude {lat} is within 5 degrees of a pole, which is not supported")
        if abs(lon) > 360.0:
            raise GeoError(f"longitude {lon} is outside [-360, 360]")
        object.__setattr__(self, "longitude_deg", wrap_longitude_deg(lon))


class Datum(StrEnum):
    """What a height is measured from. They differ by tens of metres: convert, never mix."""

    AMSL = "amsl"  # above mean sea level (EGM96/EGM2008 geoid)
    ELLIPSOID = "ellipsoid"  # above the WGS 84 ellipsoid
    HOME = "home"  # above the take-off position
    TERRAIN = "terrain"  # above the ground below


@dataclass(frozen=True, slots=True)
class Altitude:
    """A height and what it is measured from."""

    value_m: float
    datum: Datum

    def __post_init__(self) -> None:
        if not math.isfinite(self.value_m):
            raise GeoError(f"altitude must be finite, not {self.value_m}")


def wrap_longitude_deg(longitude_deg: float) -> float:
    """Return the same meridian in [-180, 180), leaving values already there untouched to the last bit."""
    if -180.0 <= longitude_deg < 180.0:
        return longitude_deg
    return (longitude_deg + 180.0) % 360.0 - 180.0


def wrap_degrees(angle_deg: float) -> float:
    """Return the same angle in [-180, 180)."""
    return (angle_deg + 180.0) % 360.0 - 180.0


def distance_m(a: GeoPoint, b: GeoPoint) -> float:
    """Geodesic distance on the WGS 84 ellipsoid (Karney 2013, through pyproj)."""
    return float(_GEOD.inv(a.longitude_deg, a.latitude_deg, b.longitude_deg, b.latitude_deg)[2])


def bearing_deg(a: GeoPoint, b: GeoPoint) -> float:
    """Initial bearing from a to b, clockwise from north, in [0, 360)."""
    return float(_GEOD.inv(a.longitude_deg, a.latitude_deg, b.longitude_deg, b.latitude_deg)[0]) % 360.0


def destination(start: GeoPoint, bearing: float, distance: float) -> GeoPoint:
    """The point `distance` metres from `start` along initial `bearing` (degrees clockwise from north)."""
    lon, lat, _ = _GEOD.fwd(start.longitude_deg, start.latitude_deg, bearing, distance)
    return GeoPoint(float(lat), float(lon))


_WGS84_A_M = 6_378_137.0
_WGS84_E2 = 0.00669437999014


def degree_lengths_m(latitude_deg: float) -> tuple[float, float]:
    """Metres per degree of latitude and of longitude at a latitude, from the ellipsoid's radii of curvature there.

    For offsets of some kilometres where a projection would cost too much: M = a (1 - e2) / W^3 along the meridian and
    N cos(phi) = a cos(phi) / W along the parallel, W = sqrt(1 - e2 sin(phi)^2) (Snyder 1987, pp. 24-25).
    """
    phi = math.radians(latitude_deg)
    w = math.sqrt(1.0 - _WGS84_E2 * math.sin(phi) ** 2)
    return (
        math.radians(_WGS84_A_M * (1.0 - _WGS84_E2) / w**3),
        math.radians(_WGS84_A_M * math.cos(phi) / w),
    )


_LATTICE_M = 500.0


@lru_cache(maxsize=64)
def _transformers(latitude_deg: float, longitude_deg: float) -> tuple[Transformer, Transformer]:
    local = CRS.from_proj4(
        f"+proj=aeqd +lat_0={latitude_deg!r} +lon_0={longitude_deg!r} +datum=WGS84 +units=m +no_defs"
    )
    geographic = CRS.from_epsg(4326)
    return (
        Transformer.from_crs(geographic, local, always_xy=True),
        Transformer.from_crs(local, geographic, always_xy=True),
    )


@dataclass(frozen=True, slots=True)
class LocalFrame:
    """East-north metres around an origin: the ellipsoidal azimuthal equidistant projection.

    Distances and bearings from the origin are exact; elsewhere scale is off by at most d^2 / (6 R^2), which is
    4e-7 at 10 km and 1e-5 at 50 km (Snyder 1987, p. 191). Works across the antimeridian and on both hemispheres.
    """

    origin: GeoPoint

    def to_enu(self, point: GeoPoint) -> tuple[float, float]:
        """(east_m, north_m) of a point."""
        forward, _ = _transformers(self.origin.latitude_deg, self.origin.longitude_deg)
        east, north = forward.transform(point.longitude_deg, point.latitude_deg)
        return float(east), float(north)

    def to_geo(self, east_m: float, north_m: float) -> GeoPoint:
        """The point at (east_m, north_m)."""
        _, inverse = _transformers(self.origin.latitude_deg, self.origin.longitude_deg)
        lon, lat = inverse.transform(east_m, north_m)
        return GeoPoint(float(lat), float(lon))

    def to_enu_array(self, latitude_deg: ArrayLike, longitude_deg: ArrayLike) -> FloatArray:
        """Points of shape (n,) each to an (n, 2) array of east, north in metres."""
        forward, _ = _transformers(self.origin.latitude_deg, self.origin.longitude_deg)
        east, north = forward.transform(
            np.asarray(longitude_deg, dtype=np.float64), np.asarray(latitude_deg, dtype=np.float64)
        )
        return np.stack([np.asarray(east), np.asarray(north)], axis=-1)

    def to_geo_array(self, east_north_m: ArrayLike) -> FloatArray:
        """An (n, 2) array of east, north in metres to an (n, 2) array of latitude, longitude in degrees."""
        _, inverse = _transformers(self.origin.latitude_deg, self.origin.longitude_deg)
        xy = np.asarray(east_north_m, dtype=np.float64)
        lon, lat = inverse.transform(xy[..., 0], xy[..., 1])
        return np.stack([np.asarray(lat), np.asarray(lon)], axis=-1)

    def to_frame_array(self, east_north_m: ArrayLike, other: LocalFrame) -> FloatArray:
        """(n, 2) places of this frame in another one, to 1 mm within 50 km of both origins.

        Many places go through a lattice of exact ones, bilinear between: the second derivatives of the change are at
        most the distance between the origins over R^2, so a cell of 500 m is off by less than 0.1 mm.
        """
        xy = np.asarray(east_north_m, dtype=np.float64)
        if other.origin == self.origin:
            return xy
        low = xy.min(axis=0) if len(xy) else np.zeros(2)
        span = float((xy.max(axis=0) - low).max()) if len(xy) else 0.0
        cells = int(np.ceil(span / _LATTICE_M)) or 1
        if (cells + 1) ** 2 > len(xy):
            geo = self.to_geo_array(xy)
            return other.to_enu_array(geo[:, 0], geo[:, 1])
        marks = np.stack(np.meshgrid(np.arange(cells + 1), np.arange(cells + 1)), axis=-1).reshape(-1, 2)
        geo = self.to_geo_array(low + marks * _LATTICE_M)
        knots = other.to_enu_array(geo[:, 0], geo[:, 1]).reshape(cells + 1, cells + 1, 2)
        at = (xy - low) / _LATTICE_M
        cell = np.minimum(at.astype(np.int64), cells - 1)
        share = at - cell
        (column, row), (x, y) = cell.T, share.T[..., None]
        south = knots[row, column] * (1.0 - x) + knots[row, column + 1] * x
        north = knots[row + 1, column] * (1.0 - x) + knots[row + 1, column + 1] * x
        return np.asarray(south * (1.0 - y) + north * y)


# GCJ-02, the offset reference system of web maps in China. The forward formula is the published reverse-engineered
# one (Krasovsky 1940 ellipsoid with trigonometric perturbations); it has no closed inverse, so we iterate.
_GCJ_A_M = 6378245.0
_GCJ_EE = 0.00669342162296594323


def _gcj_offset_deg(latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
    x, y = longitude_deg - 105.0, latitude_deg - 35.0
    pi = math.pi
    ripple = (20.0 * math.sin(6.0 * x * pi) + 20.0 * math.sin(2.0 * x * pi)) * 2.0 / 3.0
    d_lat = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x)) + ripple
    d_lat += (20.0 * math.sin(y * pi) + 40.0 * math.sin(y / 3.0 * pi)) * 2.0 / 3.0
    d_lat += (160.0 * math.sin(y / 12.0 * pi) + 320.0 * math.sin(y * pi / 30.0)) * 2.0 / 3.0
    d_lon = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x)) + ripple
    d_lon += (20.0 * math.sin(x * pi) + 40.0 * math.sin(x / 3.0 * pi)) * 2.0 / 3.0
    d_lon += (150.0 * math.sin(x / 12.0 * pi) + 300.0 * math.sin(x / 30.0 * pi)) * 2.0 / 3.0
    phi = math.radians(latitude_deg)
    magic = 1.0 - _GCJ_EE * math.sin(phi) ** 2
    root = math.sqrt(magic)
    return (
        d_lat * 180.0 / ((_GCJ_A_M * (1.0 - _GCJ_EE)) / (magic * root) * pi),
        d_lon * 180.0 / (_GCJ_A_M / root * math.cos(phi) * pi),
    )


def to_gcj02(point: GeoPoint) -> tuple[float, float]:
    """WGS 84 to GCJ-02 (latitude_deg, longitude_deg); a bare tuple, because a GeoPoint is always WGS 84."""
    d_lat, d_lon = _gcj_offset_deg(point.latitude_deg, point.longitude_deg)
    return point.latitude_deg + d_lat, point.longitude_deg + d_lon


def from_gcj02(latitude_deg: float, longitude_deg: float) -> GeoPoint:
    """GCJ-02 to WGS 84 by fixed-point iteration; agrees with `to_gcj02` to under 1 mm."""
    lat, lon = latitude_deg, longitude_deg
    for _ in range(10):
        d_lat, d_lon = _gcj_offset_deg(lat, lon)
        lat, lon = latitude_deg - d_lat, longitude_deg - d_lon
    return GeoPoint(lat, lon)
