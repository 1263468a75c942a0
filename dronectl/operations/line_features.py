# SPDX-License-Identifier: AGPL-3.0-or-later
"""Roads, tracks, streams and edges from a GeoJSON file: lines with a kind, or with the tags of OpenStreetMap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dronectl.errors import BadInputError
from dronectl.operations.plan_files import read_bytes
from dronectl.site_model import ReferenceSystem
from missions.errors import PlanError
from missions.formats.json_reading import parse_json
from missions.geo import GeoError, GeoPoint, from_gcj02
from missions.search.ground import LINE_PULL

_TRACKS = {"track", "path", "footway", "bridleway", "steps", "cycleway", "pedestrian"}
_TAGS = {"waterway": "stream", "railway": "track", "power": "edge", "barrier": "edge"}


@dataclass(frozen=True, slots=True)
class LineFeature:
    """A line on the ground. kind: road, track, stream or edge."""

    kind: str
    points: tuple[GeoPoint, ...]


def read_line_features(file: Path, system: ReferenceSystem) -> tuple[LineFeature, ...]:
    """All lines of a FeatureCollection. Raises BadInputError naming the feature; points and areas are refused."""
    try:
        document = parse_json(read_bytes(file).decode("utf-8-sig"), str(file))
    except PlanError as error:
        raise BadInputError(str(error)) from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{file}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not features:
        raise BadInputError(f"{file}: is no GeoJSON FeatureCollection with lines; export roads and tracks as one")
    found: list[LineFeature] = []
    for number, feature in enumerate(features):
        where = f"{file}: features[{number}]"
        if not isinstance(feature, dict):
            raise BadInputError(f"{where}: must be an object")
        kind = _kind(where, feature.get("properties"))
        paths = _paths(where, feature.get("geometry"))
        found += [LineFeature(kind, tuple(_point(where, p, system) for p in path)) for path in paths]
    return tuple(found)


def _kind(where: str, properties: Any) -> str:
    tags = properties if isinstance(properties, dict) else {}
    if "kind" in tags:
        if tags["kind"] in LINE_PULL:
            return str(tags["kind"])
        raise BadInputError(f"{where}.properties.kind: {tags['kind']!r} is none of {', '.join(LINE_PULL)}")
    if tags.get("highway"):
        return "track" if tags["highway"] in _TRACKS else "road"
    for tag, kind in _TAGS.items():
        if tags.get(tag):
            return kind
    raise BadInputError(f"{where}.properties: no kind; give kind ({', '.join(LINE_PULL)}) or tags of OpenStreetMap")


def _paths(where: str, geometry: Any) -> Iterator[list[Any]]:
    shape = geometry if isinstance(geometry, dict) else {}
    kind, coordinates = shape.get("type"), shape.get("coordinates")
    if kind == "LineString":
        paths = [coordinates]
    elif kind == "MultiLineString" and isinstance(coordinates, list):
        paths = coordinates
    else:
        raise BadInputError(f"{where}.geometry: is a {kind}, not a LineString or MultiLineString; leave it out")
    for path in paths:
        if not isinstance(path, list) or len(path) < 2:
            raise BadInputError(f"{where}.geometry: a line needs at least 2 points")
        yield path


def _point(where: str, value: Any, system: ReferenceSystem) -> GeoPoint:
    try:
        longitude, latitude = float(value[0]), float(value[1])
        return from_gcj02(latitude, longitude) if system is ReferenceSystem.GCJ02 else GeoPoint(latitude, longitude)
    except GeoError as error:
        raise BadInputError(f"{where}.geometry: {error}") from error
    except (TypeError, ValueError, IndexError, OverflowError):
        raise BadInputError(f"{where}.geometry: {value!r} is no [longitude, latitude]") from None
