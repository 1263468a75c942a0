# SPDX-License-Identifier: AGPL-3.0-or-later
"""A geofence as shapes in a local frame: what planners route in and what the feasibility rules measure against."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

from missions.geo import GeoPoint, LocalFrame
from missions.model import Geofence, VehicleLimits

_DEPTH_STEP_M = 1.0


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
    return Polygon([frame.to_enu(p) for p in ring])


def merged(first: Geofence, second: Geofence) -> Geofence:
    """Both fences at once: every ring of either (equal rings once), and the first one's height limit if it has one."""
    inclusion = first.inclusion + tuple(r for r in second.inclusion if r not in first.inclusion)
    exclusion = first.exclusion + tuple(r for r in second.exclusion if r not in first.exclusion)
    return Geofence(inclusion, exclusion, first.max_altitude or second.max_altitude)


def stopping_m(speed_m_s: float, limits: VehicleLimits) -> float:
    """Braking way v^2 / (2 a): a fence acts only after its breach."""
    return speed_m_s**2 / (2.0 * limits.acceleration_m_s2)


def fence_margin_m(speed_m_s: float, limits: VehicleLimits) -> float:
    """How far legs keep from fence edges: position error and braking way."""
    return limits.position_error_m + stopping_m(speed_m_s, limits)


def deepest(line: BaseGeometry, ring: Polygon) -> tuple[float, Point]:
    """How deep a line goes into a ring: the largest distance to the ring's edge over the part inside, and where."""
    inside = line.intersection(ring)
    best, place = 0.0, inside.representative_point() if not inside.is_empty else Point(line.coords[0])
    for part in shapely.get_parts(inside):
        samples = [part] if not isinstance(part, LineString) else _samples(part)
        for sample in samples:
            depth = float(ring.exterior.distance(sample))
            if depth > best:
                best, place = depth, sample
    return best, place


def farthest_outside(line: BaseGeometry, area: BaseGeometry) -> tuple[float, Point]:
    """How far a line strays out of an area, and where."""
    outside = line.difference(area)
    best, place = 0.0, Point(line.coords[0])
    for part in shapely.get_parts(outside):
        samples = [part] if not isinstance(part, LineString) else _samples(part)
        for sample in samples:
            away = float(area.distance(sample))
            if away > best:
                best, place = away, sample
    return best, place


def _samples(part: LineString) -> list[Point]:
    count = max(2, min(2000, int(part.length / _DEPTH_STEP_M) + 2))
    return [part.interpolate(i / (count - 1), normalized=True) for i in range(count)]
