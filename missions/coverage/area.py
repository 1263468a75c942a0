# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rings of WGS 84 points to an area in metres: checked, cleaned, in a frame of its own.

Works on both hemispheres and across the antimeridian, because rings are only looked at in the local frame. What
cannot be an area is refused with the ring and the place: a ring that crosses itself, one without area, one too large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry import LinearRing, LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from missions.errors import PlanningError
from missions.geo import GeoPoint, LocalFrame

_MAX_EXTENT_M = 50_000.0
_LEAST_M2 = 1e-3
_TOUCH_M = 1e-3

Ring = Sequence[GeoPoint]


@dataclass(frozen=True, slots=True)
class AreaRings:
    """One part of an area as it was drawn: open rings (the last point is not the first again)."""

    outer: tuple[GeoPoint, ...]
    holes: tuple[tuple[GeoPoint, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class CoverArea:
    """An area in east, north metres around `frame`'s origin. `holes` are its holes, touching ones joined."""

    frame: LocalFrame
    shape: Polygon | MultiPolygon
    holes: tuple[Polygon, ...]


def cover_area(parts: Sequence[AreaRings], frame: LocalFrame | None = None) -> CoverArea:
    """Build the area, in a frame around its middle unless one is given.

    Raises PlanningError with one line per ring that cannot be used.
    """
    if not parts:
        raise PlanningError("there is no area to cover; give at least one polygon")
    if frame is None:
        frame = _middle(parts)
    problems: list[str] = []
    outers: list[BaseGeometry] = []
    holes: list[BaseGeometry] = []
    for number, part in enumerate(parts, 1):
        label = f"area {number}" if len(parts) > 1 else "the area"
        outer = _polygon(part.outer, f"{label}: the outer ring", frame, problems)
        inner = [
            _polygon(ring, f"{label}: hole {i}", frame, problems, may_be_flat=True)
            for i, ring in enumerate(part.holes, 1)
        ]
        outers.append(outer.difference(shapely.union_all(inner)))
        holes += inner
    if problems:
        raise PlanningError("\n".join(problems))
    shape = shapely.union_all(outers)
    west, south, east, north = shape.bounds if not shape.is_empty else (0.0, 0.0, 0.0, 0.0)
    if max(east - west, north - south) > _MAX_EXTENT_M:
        raise PlanningError(
            f"the area is {max(east - west, north - south) / 1000:.0f} km across; plan at most "
            f"{_MAX_EXTENT_M / 1000:.0f} km at once, and check for swapped or mistyped coordinates"
        )
    kept = [p for p in shapely.get_parts(shape) if isinstance(p, Polygon) and p.area > _LEAST_M2]
    if not kept:
        raise PlanningError("the area's holes leave nothing of it; check the rings")
    joined = shapely.get_parts(shapely.union_all(holes)) if holes else []
    return CoverArea(
        frame,
        kept[0] if len(kept) == 1 else MultiPolygon(kept),
        tuple(h for h in joined if isinstance(h, Polygon)),
    )


def corridor(path: Sequence[GeoPoint], width_m: float) -> list[AreaRings]:
    """The ground within half a width of a line, cut off square at its ends; several rings where it meets itself.

    Raises PlanningError for a line without length or a width that is not above 0.
    """
    if not width_m > 0.0:
        raise PlanningError(f"a corridor must be wider than 0 m, not {width_m}")
    frame = LocalFrame(path[0])
    places = [frame.to_enu(p) for p in path]
    if len(set(places)) < 2:
        raise PlanningError("a corridor's line needs at least 2 different points")
    line = LineString(places)
    wide = line.buffer(width_m / 2.0, quad_segs=4, cap_style="flat")
    if not wide.buffer(_TOUCH_M).covers(line):  # GEOS may lose a first or last leg that is shorter than the width
        legs = [LineString(leg) for leg in pairwise(places) if leg[0] != leg[1]]
        wide = shapely.union_all([wide, *(leg.buffer(width_m / 2.0, cap_style="flat") for leg in legs)])
    # corners of a buffer may be nanometres apart, and would change sides on the way to degrees and back
    shape = shapely.set_precision(wide, 0.001)

    def ring(line: LinearRing) -> tuple[GeoPoint, ...]:
        return tuple(frame.to_geo(float(x), float(y)) for x, y in np.asarray(line.coords)[:-1, :2])

    return [
        AreaRings(ring(part.exterior), tuple(ring(hole) for hole in part.interiors))
        for part in shapely.get_parts(shape)
        if isinstance(part, Polygon) and part.area > _LEAST_M2
    ]


def _middle(parts: Sequence[AreaRings]) -> LocalFrame:
    first = LocalFrame(parts[0].outer[0]) if parts[0].outer else None
    if first is None:
        raise PlanningError("the area: the outer ring has no points")
    places = np.array([first.to_enu(p) for part in parts for p in part.outer])
    if not np.isfinite(places).all() or np.abs(places).max() > 10.0 * _MAX_EXTENT_M:
        raise PlanningError(
            "the area's points are hundreds of kilometres apart; check for swapped or mistyped coordinates"
        )
    low, high = places.min(axis=0), places.max(axis=0)
    east, north = (low + high) / 2.0
    return LocalFrame(first.to_geo(float(east), float(north)))


def _polygon(ring: Ring, what: str, frame: LocalFrame, problems: list[str], *, may_be_flat: bool = False) -> Polygon:
    places = [frame.to_enu(p) for p in ring]
    if len(set(places)) < 3:
        problems.append(f"{what} has {len(set(places))} different points; a ring needs at least 3")
        return Polygon()
    polygon = Polygon(places)
    if not polygon.is_valid and polygon.area >= 0.0:
        crossing = _crossing(places, frame)
        if crossing is not None:
            problems.append(f"{what} {crossing}; redraw it")
            return Polygon()
        polygon = shapely.make_valid(polygon)  # touches itself in a point or doubles an edge: the same ground
        polygon = max(
            (p for p in shapely.get_parts(polygon) if isinstance(p, Polygon)), key=lambda p: p.area, default=Polygon()
        )
    if polygon.area <= _LEAST_M2 and not may_be_flat:
        problems.append(f"{what} has no area; its points lie on one line")
        return Polygon()
    return polygon


def _crossing(places: list[tuple[float, float]], frame: LocalFrame) -> str | None:
    """Where a ring crosses itself, and which of its edges do; None when it only touches itself."""
    edges = [LineString([a, b]) for a, b in zip(places, [*places[1:], places[0]], strict=True) if a != b]
    tree = shapely.STRtree(edges)
    for first, second in sorted(tree.query(edges, predicate="crosses").T.tolist()):
        if first >= second:
            continue
        meeting = edges[first].intersection(edges[second])
        if isinstance(meeting, Point):
            at = frame.to_geo(meeting.x, meeting.y)
            return (
                f"crosses itself at {at.latitude_deg:.6f}, {at.longitude_deg:.6f} "
                f"(its edges {first + 1} and {second + 1})"
            )
    # Crossing exactly in a corner shows in no pair of edges; the ring's own check still knows the place.
    said = explain_validity(Polygon(places))
    if "Ring Self-intersection" in said or "Self-intersection" not in said:
        return None
    x, y = (float(v) for v in said.split("[")[1].rstrip("]").split())
    at = frame.to_geo(x, y)
    return f"crosses or doubles itself at {at.latitude_deg:.6f}, {at.longitude_deg:.6f}"
