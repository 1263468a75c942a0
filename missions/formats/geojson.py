# SPDX-License-Identifier: AGPL-3.0-or-later
"""GeoJSON (RFC 7946): routes as lines, fence rings as polygons, docks and other places as points.

Foreign files are read too: a line is a route of waypoints, a polygon an area to stay inside (its holes to stay
outside), unless its property "kind" says "exclusion". A third coordinate is a height above the ellipsoid, as the RFC
has it, unless the caller says what it means. A ring must be closed, and must not cross itself.
"""

from __future__ import annotations

import json
import math
from typing import Any

from missions.formats.flight_file import (
    NAV_WAYPOINT,
    Circle,
    Draft,
    FlightFile,
    Loss,
    NamedPlace,
    RallyPoint,
    Ring,
    Route,
    Scalar,
    Step,
    Written,
)
from missions.formats.json_reading import Node, parse_json
from missions.formats.steps_json import (
    NOTE_KEY,
    altitude_json,
    circle_of_note,
    read_altitude,
    read_scalar,
    route_note,
    route_of_note,
)
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.rings import closed_ring

_CIRCLE_SIDES = 36
_OWN = ("name", "kind", "altitude", NOTE_KEY)


def read_geojson(text: str, *, source: str, heights: Datum | None = None) -> FlightFile:
    """Read GeoJSON text; `heights` says what bare third coordinates are measured from. Raises PlanError."""
    root = Node(source, "", parse_json(text, source))
    return _Reader(heights or Datum.ELLIPSOID).read(root)


class _Reader:
    def __init__(self, heights: Datum) -> None:
        self.heights = heights
        self.found = Draft()

    def read(self, root: Node) -> FlightFile:
        if root.find("crs") is not None:
            root.get("crs").fail("another reference system than WGS 84 is not supported; convert the coordinates")
        top = root.find("dronectl")
        limit = top.find("max_altitude") if top else None
        self.found.max_altitude = None if limit is None else read_altitude(limit)
        kind = root.get("type").text()
        if kind == "FeatureCollection":
            for feature in root.get("features").items():
                self._feature(feature)
        elif kind == "Feature":
            self._feature(root)
        else:
            self._geometry(root, None)
        return self.found.done()

    def _feature(self, feature: Node) -> None:
        if feature.get("type").value != "Feature":
            feature.get("type").fail('must be "Feature"')
        geometry = feature.find("geometry")
        if geometry is None:
            self.found.losses.append(Loss(feature.path, "a feature without geometry has no place on a map"))
            return
        self._geometry(geometry, feature.find("properties"))

    def _geometry(self, node: Node, properties: Node | None) -> None:
        kind = node.get("type").text()
        if kind == "GeometryCollection":
            for part in node.get("geometries").items():
                self._geometry(part, properties)
            return
        coordinates = node.get("coordinates")
        if kind == "Point":
            self._point(coordinates, properties)
        elif kind == "LineString":
            self._line(coordinates, properties)
        elif kind == "Polygon":
            self._polygon(coordinates, properties)
        elif kind in {"MultiPoint", "MultiLineString", "MultiPolygon"}:
            one = {"MultiPoint": self._point, "MultiLineString": self._line, "MultiPolygon": self._polygon}[kind]
            for part in coordinates.items():
                one(part, properties)
        else:
            node.get("type").fail(f"{kind[:40]!r} is no geometry of GeoJSON")

    def _position(self, node: Node) -> tuple[GeoPoint, Altitude | None]:
        values = node.items()
        if len(values) < 2:
            node.fail("must be [longitude, latitude]")
        point = node.geo(values[1], values[0])
        return point, Altitude(values[2].number(), self.heights) if len(values) > 2 else None

    def _name(self, properties: Node | None) -> str:
        name = properties.find("name") if properties else None
        return name.text() if name is not None and isinstance(name.value, str) else ""

    def _kind(self, properties: Node | None) -> str:
        kind = properties.find("kind") if properties else None
        return kind.value if kind is not None and isinstance(kind.value, str) else ""

    def _point(self, node: Node, properties: Node | None) -> None:
        point, altitude = self._position(node)
        given = properties.find("altitude") if properties else None
        if given is not None and isinstance(given.value, dict):
            altitude = read_altitude(given)
        kind = self._kind(properties)
        if kind == "rally" and altitude is not None:
            self.found.rally.append(RallyPoint(point, altitude))
            return
        kept: list[tuple[str, Scalar]] = []
        if properties is not None:
            own = {"name", "altitude"} if isinstance(getattr(given, "value", None), dict) else {"name"}
            kept = [(key, read_scalar(_member(properties, key))) for key in properties.value if key not in own]
        self.found.places.append(NamedPlace(self._name(properties), point, altitude, tuple(kept)))

    def _line(self, node: Node, properties: Node | None) -> None:
        vertices = [self._position(v) for v in node.items()]
        name = self._name(properties) or f"route {len(self.found.routes) + 1}"
        note = properties.find(NOTE_KEY) if properties else None
        if note is not None:
            self.found.routes.append(route_of_note(note, name, [p for p, _ in vertices]))
            return
        steps = [
            Step(NAV_WAYPOINT, position=p, altitude=a, place=f"{node.path}[{i}]") for i, (p, a) in enumerate(vertices)
        ]
        self.found.routes.append(Route(name, tuple(steps)))
        self._unread(properties, node)

    def _polygon(self, node: Node, properties: Node | None) -> None:
        inclusion = self._kind(properties) not in {"exclusion", "keep-out"}
        circle = properties.find("circle") if properties else None
        if circle is not None:
            self.found.circles.append(circle_of_note(circle, inclusion=inclusion))
            return
        for number, part in enumerate(node.items()):
            corners = closed_ring([self._position(v)[0] for v in part.items()], part.fail)
            # A hole is outside the area: to stay out of where the area is to stay in.
            if number and not inclusion:
                self.found.losses.append(
                    Loss(part.path, "a hole in a keep-out is not supported: all of it is kept out of")
                )
                continue
            self.found.rings.append(
                Ring(corners, inclusion and not number, self._name(properties) if not number else "")
            )
        self._unread(properties, node)

    def _unread(self, properties: Node | None, node: Node) -> None:
        keys = [k for k in properties.value if k not in _OWN] if properties is not None else []
        if keys:
            self.found.losses.append(
                Loss(node.path, f"properties of a line or area are not kept: {', '.join(keys)[:120]}")
            )


def _member(node: Node, key: str) -> Node:
    return Node(node.source, f"{node.path}.{key}", node.value[key])


def write_geojson(file: FlightFile) -> Written:
    """Everything of a flight file; reading it gives the same. Lines of less than two places are no GeoJSON."""
    losses: list[Loss] = []
    features = []
    for route in file.routes:
        line = [_xy(s.position) for s in route.steps if s.position is not None]
        if len(line) < 2:
            losses.append(Loss(route.name, "a line needs two places; a route with fewer is not written"))
            continue
        features.append(
            _feature("LineString", line, {"name": route.name, "kind": "route", NOTE_KEY: route_note(route)})
        )
    for ring in file.rings:
        kind = "inclusion" if ring.inclusion else "exclusion"
        properties = {"name": ring.name, "kind": kind} if ring.name else {"kind": kind}
        features.append(_feature("Polygon", [_closed(ring.corners)], properties))
    for circle in file.circles:
        kind = "inclusion" if circle.inclusion else "exclusion"
        note = {"centre": [circle.centre.latitude_deg, circle.centre.longitude_deg], "radius_m": circle.radius_m}
        features.append(_feature("Polygon", [_closed(circle_corners(circle))], {"kind": kind, "circle": note}))
    for rally in file.rally:
        marks: dict[str, Any] = {"kind": "rally", "altitude": altitude_json(rally.altitude)}
        features.append(_feature("Point", _xy(rally.position), marks))
    for place in file.places:
        own: dict[str, Any] = {"name": place.name} if place.name else {}
        if place.altitude is not None:
            own["altitude"] = altitude_json(place.altitude)
        features.append(_feature("Point", _xy(place.position), own | dict(place.properties)))
    document: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if file.max_altitude is not None:
        document["dronectl"] = {"max_altitude": altitude_json(file.max_altitude)}
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    return Written(text.encode(), tuple(losses))


def circle_corners(circle: Circle) -> tuple[GeoPoint, ...]:
    """A circle for the eye."""
    frame = LocalFrame(circle.centre)
    turns = (2.0 * math.pi * i / _CIRCLE_SIDES for i in range(_CIRCLE_SIDES))
    return tuple(frame.to_geo(circle.radius_m * math.cos(t), circle.radius_m * math.sin(t)) for t in turns)


def _closed(corners: tuple[GeoPoint, ...]) -> list[list[float]]:
    return [_xy(p) for p in (*corners, corners[0])]


def _xy(point: GeoPoint | None) -> list[float]:
    if point is None:  # callers have sorted those out; for the type checker
        return []
    return [point.longitude_deg, point.latitude_deg]


def _feature(kind: str, coordinates: Any, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": kind, "coordinates": coordinates},
    }
