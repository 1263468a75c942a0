# SPDX-License-Identifier: AGPL-3.0-or-later
"""A geofence as shapes in a local frame: what planners route in and what the feasibility rules measure against."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

from missions.energy import DatumError, height_above_home_m
from missions.geo import Altitude, GeoError, GeoPoint, LocalFrame, destination
from missions.model import Geofence, VehicleLimits
from missions.rings import ring_fault

_CIRCLE_SIDES = 36
_SAME_CORNER_M = 0.02  # corners nearer than that have the same degrees when they are uploaded
_DEPTH_STEP_M = 1.0
_COARSE = 65  # samples of a line, before those around its best one
_FINE = 17


@dataclass(frozen=True, slots=True)
class FenceShape:
    """A fence in metres around a frame's origin. `inside` is the intersection of the inclusion rings."""

    frame: LocalFrame
    inside: BaseGeometry
    keep_outs: tuple[Polygon, ...]

    def allowed(self, margin_m: float = 0.0) -> Polygon | MultiPolygon:
        """Where a vehicle's centre may be when it must stay margin_m away from every edge."""
        area = self.inside.buffer(-margin_m, join_style="mitre")
        for ring in self.keep_outs:
            area = area.difference(ring.buffer(margin_m))
        if isinstance(area, Polygon | MultiPolygon):
            return area
        return MultiPolygon([part for part in getattr(area, "geoms", ()) if isinstance(part, Polygon)])


def fence_shape(fence: Geofence, frame: LocalFrame) -> FenceShape:
    """Rings to polygons. A fence without inclusion rings bounds nothing: `inside` is then empty."""
    rings = [_polygon(ring, frame) for ring in fence.inclusion]
    common = shapely.get_parts(shapely.intersection_all(rings)) if rings else []
    # Rings that only touch have a point or a line in common; nobody flies there.
    inside: BaseGeometry = shapely.union_all([part for part in common if isinstance(part, Polygon)])
    return FenceShape(frame, inside, tuple(_polygon(ring, frame) for ring in fence.exclusion))


def _polygon(ring: tuple[GeoPoint, ...], frame: LocalFrame) -> Polygon:
    return Polygon(frame.to_enu_array([p.latitude_deg for p in ring], [p.longitude_deg for p in ring]))


def circle_ring(centre: GeoPoint, radius_m: float, *, inclusion: bool) -> tuple[GeoPoint, ...]:
    """A circle as a ring on the safe side: inside an inclusion circle, around a keep-out. GeoError beyond 85 degrees."""
    reach = radius_m if inclusion else radius_m / math.cos(math.pi / _CIRCLE_SIDES)
    try:
        return tuple(destination(centre, 360.0 * i / _CIRCLE_SIDES, reach) for i in range(_CIRCLE_SIDES))
    except GeoError as error:
        raise GeoError(f"a fence circle of {radius_m / 1000.0:.0f} km reaches a pole; make it smaller") from error


def merged(first: Geofence, second: Geofence, *, home_amsl_m: float) -> Geofence:
    """Both fences at once for a flight from a home of that height: every ring of either (equal rings once), the lower top.

    A top of the second that is not related to home does not count.
    """
    inclusion = first.inclusion + tuple(r for r in second.inclusion if r not in first.inclusion)
    exclusion = first.exclusion + tuple(r for r in second.exclusion if r not in first.exclusion)
    return Geofence(inclusion, exclusion, _lower(first.max_altitude, second.max_altitude, home_amsl_m))


def as_one_ring(fence: Geofence, home: GeoPoint) -> Geofence:
    """The fence to upload: what all inclusion rings have in common around home, as one ring.

    PX4 wants a vehicle inside every inclusion ring, its older releases inside any of them (geofence.cpp): with one ring
    all hold what the checks measure against. Rings without a common area around home stay as they are; no flight in
    them passes the checks.
    """
    if len(fence.inclusion) < 2 or any(ring_fault(ring) for ring in fence.inclusion):
        return fence
    frame = LocalFrame(home)
    for part in shapely.get_parts(fence_shape(fence, frame).inside):
        if part.covers(Point(0.0, 0.0)):
            corners = shapely.remove_repeated_points(part.exterior, _SAME_CORNER_M).coords[:-1]
            if len(corners) >= 3:
                ring = tuple(frame.to_geo(float(east), float(north)) for east, north in corners)
                return replace(fence, inclusion=(ring,))
    return fence


def _lower(first: Altitude | None, second: Altitude | None, home_amsl_m: float) -> Altitude | None:
    if first is None or second is None:
        return first or second
    try:
        lower = height_above_home_m(second, home_amsl_m) < height_above_home_m(first, home_amsl_m)
    except DatumError:
        return first
    return second if lower else first


def stopping_m(speed_m_s: float, limits: VehicleLimits) -> float:
    """Braking way v^2 / (2 a): a fence acts only after its breach."""
    return speed_m_s**2 / (2.0 * limits.acceleration_m_s2)


def fence_margin_m(speed_m_s: float, limits: VehicleLimits) -> float:
    """How far legs keep from fence edges: position error and braking way."""
    return limits.position_error_m + stopping_m(speed_m_s, limits)


def deepest(line: BaseGeometry, ring: Polygon) -> tuple[float, Point]:
    """How deep a line goes into a ring: the largest distance to the ring's edge over the part inside, and where."""
    inside = line.intersection(ring)
    nowhere = inside.representative_point() if not inside.is_empty else Point(line.coords[0])
    return _farthest_from(ring.exterior, inside, nowhere)


def farthest_outside(line: BaseGeometry, area: BaseGeometry) -> tuple[float, Point]:
    """How far a line strays out of an area, and where."""
    return _farthest_from(area, line.difference(area), Point(line.coords[0]))


def _farthest_from(target: BaseGeometry, pieces: BaseGeometry, nowhere: Point) -> tuple[float, Point]:
    """The place on the pieces that is farthest from the target: samples, then finer ones around the best."""
    best, place = 0.0, nowhere
    for part in shapely.get_parts(pieces):
        low, high, count = 0.0, float(part.length), _COARSE
        if not isinstance(part, LineString):
            count = 1
        while True:
            along = np.linspace(low, high, count)
            samples = shapely.line_interpolate_point(part, along) if count > 1 else np.asarray([part])
            away = shapely.distance(samples, target)
            k = int(np.argmax(away))
            if away[k] > best:
                best, place = float(away[k]), samples[k]
            step = (high - low) / max(1, count - 1)
            if step <= _DEPTH_STEP_M or count == 1:
                break
            low, high, count = max(0.0, along[k] - step), min(float(part.length), along[k] + step), _FINE
    return best, place
