# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a search may fly: the fence less its margins, ways that stay in it, and the raster cells that it rules out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from missions.errors import PlanningError
from missions.fences import fence_margin_m, fence_shape
from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Geofence, VehicleLimits
from missions.routing.visibility import shortest_paths

_SLACK_M = 1.0
_EDGE_M = 0.01
_CELLS_OFF_EDGE = 0.8
_AROUND = 1.002  # a buffer's corners lie on the circle, its sides within


@dataclass(frozen=True, slots=True)
class Room:
    """Where legs may run, as a polygon or several in metres of `frame`."""

    frame: LocalFrame
    area: BaseGeometry

    def mend(self, way: FloatArray) -> FloatArray:
        """The parts of a way (n, 2) inside the room in their order, joined by shortest paths; empty when none is."""
        if len(way) < 2:
            return way[:0]
        inside = LineString(way).intersection(self.area)
        parts = [np.asarray(p.coords) for p in shapely.get_parts(inside) if isinstance(p, LineString) and p.length > 1]
        if not parts:
            return way[:0]
        along = LineString(way)
        parts.sort(
            key=lambda p: along.project(Point(p[len(p) // 2])) if len(p) > 2 else along.project(Point(p.mean(0)))
        )
        return self.joined(np.vstack(parts))

    def joined(self, way: FloatArray) -> FloatArray:
        """The same corners (all inside), with corners put in where a straight leg would leave the room."""
        if len(way) < 2:
            return way
        legs = shapely.linestrings(np.stack([way[:-1], way[1:]], axis=1))
        roomy = self.area.buffer(_EDGE_M, join_style="mitre")
        out = np.flatnonzero(~shapely.covers(roomy, legs))
        if not len(out):
            return way
        ends = np.unique(np.concatenate([out, out + 1]))
        index = {int(e): i for i, e in enumerate(ends)}
        paths = shortest_paths(self.area, way[ends])
        pieces = []
        for k in range(len(way)):
            pieces.append(way[k : k + 1])
            if k in index and k + 1 in index and k in set(out.tolist()):
                if not np.isfinite(paths.length_m[index[k], index[k + 1]]):
                    return way[: k + 1]  # the rest lies in another part of the fence
                between = paths.between(index[k], index[k + 1])
                if between:
                    pieces.append(np.asarray(between))
        return np.vstack(pieces)

    def way_home(self, last: tuple[float, float], home: tuple[float, float]) -> FloatArray:
        """Corners between a place and home, both left out, (n, 2). Raises PlanningError when there is no way."""
        straight = LineString([last, home])
        if self.area.buffer(_EDGE_M, join_style="mitre").covers(straight):
            return np.empty((0, 2))
        paths = shortest_paths(self.area, np.asarray([last, home]))
        if not np.isfinite(paths.length_m[0, 1]):
            raise PlanningError("a drone cannot come home from its search inside the fence; widen the passage")
        return np.asarray(paths.between(0, 1)).reshape(-1, 2)

    def blocked(self, west_m: float, south_m: float, cell_m: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Cells (rows, columns) over which legs may leave the room."""
        return ~_middles_in(self.area.buffer(-_CELLS_OFF_EDGE * cell_m), west_m, south_m, cell_m, shape)

    def seen(
        self, west_m: float, south_m: float, cell_m: float, shape: tuple[int, int], half_width_m: float
    ) -> NDArray[np.bool_]:
        """Cells (rows, columns) whose middle a leg in the room can have within half a swath."""
        around = self.area.buffer(_AROUND * half_width_m + _EDGE_M, quad_segs=16)
        return _middles_in(around, west_m, south_m, cell_m, shape)


def _middles_in(
    area: BaseGeometry, west_m: float, south_m: float, cell_m: float, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    x = west_m + (np.arange(shape[1]) + 0.5) * cell_m
    y = south_m + (np.arange(shape[0]) + 0.5) * cell_m
    shapely.prepare(area)
    east, north = np.meshgrid(x, y)
    return np.asarray(shapely.contains_xy(area, east, north), dtype=np.bool_)


def search_room(
    fence: Geofence, limits: VehicleLimits, speed_m_s: float, places: Sequence[GeoPoint], frame: LocalFrame
) -> Room:
    """The fence with position error and braking way kept from every edge; less near the places where drones stand.

    Raises PlanningError when nothing is left or one of those places lies outside.
    """
    shape = fence_shape(fence, frame)
    if shape.inside.is_empty:
        raise PlanningError("the fence has no area in common to all of its inclusion rings; redraw it")
    margin = fence_margin_m(speed_m_s, limits) + _SLACK_M
    area: BaseGeometry = shape.inside.buffer(-margin, join_style="mitre")
    for ring in shape.keep_outs:
        area = area.difference(ring.buffer(margin, join_style="mitre", mitre_limit=1.5))
    near = shape.allowed(limits.position_error_m)
    for place in places:
        at = Point(frame.to_enu(place))
        if not bool(shapely.covers(near, at)):
            off = float(shapely.distance(near, at))
            raise PlanningError(
                f"the drone's place at {place.latitude_deg:.5f}, {place.longitude_deg:.5f} lies {off:.1f} m outside the fence less "
                f"the position error of {limits.position_error_m:.0f} m; move it"
            )
        area = area.union(at.buffer(margin - 2.0 * _SLACK_M).intersection(near))
    parts = [p for p in shapely.get_parts(area) if isinstance(p, Polygon) and p.area > 1.0]
    if not parts:
        raise PlanningError(f"nothing of the fence is left at {speed_m_s:.0f} m/s; widen it or fly slower")
    return Room(frame, shapely.union_all(parts))
