# SPDX-License-Identifier: AGPL-3.0-or-later
"""A drawn area from a GeoJSON file: polygons as they are, lines as corridors, every fault with its place in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dronectl.errors import BadInputError
from dronectl.site import Site
from missions.coverage.area import AreaRings, corridor
from missions.errors import PlanningError
from missions.geo import GeoError, GeoPoint, distance_m

MAX_AREA_BYTES = 16_000_000
_FAR_M = 50_000.0


def read_area(file: Path, site: Site, corridor_m: float | None = None) -> list[AreaRings]:
    """Polygons and corridors of a GeoJSON file (RFC 7946: WGS 84, [longitude, latitude], closed rings).

    corridor_m: how wide the ground along its lines is. Raises BadInputError.
    """
    try:
        if file.stat().st_size > MAX_AREA_BYTES:
            raise BadInputError(f"{file}: is larger than {MAX_AREA_BYTES // 1_000_000} MB; no area is")
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{file}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise BadInputError(f"{file}: is not JSON: {error}") from error
    found: list[AreaRings] = []
    for kind, where, rings in _geometries(document, "$", file):
        if kind == "LineString":
            found += _corridor(rings, where, file, site, corridor_m)
            continue
        if not isinstance(rings, list) or not rings:
            raise BadInputError(f"{file}: {where}: a polygon is a list of rings")
        read = [_ring(ring, f"{where}[{i}]", file, site) for i, ring in enumerate(rings)]
        found.append(AreaRings(read[0], tuple(read[1:])))
    if not found:
        raise BadInputError(f"{file}: holds no polygon and no line; draw areas as polygons, corridors as lines")
    return found


def _geometries(node: Any, where: str, file: Path) -> list[tuple[str, str, Any]]:
    """(Polygon or LineString, where, its coordinates) of everything in a document."""
    kind = node.get("type") if isinstance(node, dict) else None
    if kind == "FeatureCollection" and isinstance(node.get("features"), list):
        return [g for i, f in enumerate(node["features"]) for g in _geometries(f, f"{where}.features[{i}]", file)]
    if kind == "Feature":
        return _geometries(node.get("geometry"), f"{where}.geometry", file)
    if kind in {"Polygon", "LineString"}:
        return [(kind, f"{where}.coordinates", node.get("coordinates"))]
    if kind in {"MultiPolygon", "MultiLineString"} and isinstance(node.get("coordinates"), list):
        single = kind.removeprefix("Multi")
        return [(single, f"{where}.coordinates[{i}]", part) for i, part in enumerate(node["coordinates"])]
    raise BadInputError(
        f"{file}: {where}: is {kind or 'no GeoJSON object'}; only polygons (areas) and lines (corridors) can be covered"
    )


def _corridor(value: Any, where: str, file: Path, site: Site, width_m: float | None) -> list[AreaRings]:
    if width_m is None:
        raise BadInputError(f"{file}: {where}: is a line; say how wide a corridor along it is with --corridor METRES")
    if not isinstance(value, list) or len(value) < 2:
        raise BadInputError(f"{file}: {where}: a line is a list of at least 2 positions")
    try:
        return corridor([_position(p, f"{where}[{i}]", file, site) for i, p in enumerate(value)], width_m)
    except PlanningError as error:
        raise BadInputError(f"{file}: {where}: {error}") from error


def _ring(value: Any, where: str, file: Path, site: Site) -> tuple[GeoPoint, ...]:
    if not isinstance(value, list) or len(value) < 4:
        raise BadInputError(
            f"{file}: {where}: a ring is a list of at least 4 positions, the last the same as the first"
        )
    points = [_position(p, f"{where}[{i}]", file, site) for i, p in enumerate(value)]
    if points[0] != points[-1]:
        raise BadInputError(f"{file}: {where}: the ring is not closed; end it with its first position")
    return tuple(points[:-1])


def _position(value: Any, where: str, file: Path, site: Site) -> GeoPoint:
    numbers = isinstance(value, list) and len(value) >= 2
    if not numbers or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value[:2]):
        raise BadInputError(f"{file}: {where}: a position is [longitude, latitude] in degrees")
    home = site.frame.origin
    try:
        longitude, latitude = float(value[0]), float(value[1])
    except OverflowError:
        raise BadInputError(f"{file}: {where}: a position is [longitude, latitude] in degrees") from None
    try:
        point = GeoPoint(latitude, longitude)
    except GeoError as error:
        hint = " (GeoJSON positions are [longitude, latitude])" if abs(latitude) > 85.0 else ""
        raise BadInputError(f"{file}: {where}: {error}{hint}") from error
    away = distance_m(point, home)
    if away > _FAR_M:
        if abs(longitude) <= 85.0 and distance_m(GeoPoint(longitude, latitude), home) <= _FAR_M:
            raise BadInputError(
                f"{file}: {where}: longitude and latitude look swapped: the other way round it is near the site; "
                "GeoJSON positions are [longitude, latitude]"
            )
        raise BadInputError(
            f"{file}: {where}: is {away / 1000:.0f} km from site {site.site_id}; name its own site with --site"
        )
    return point
