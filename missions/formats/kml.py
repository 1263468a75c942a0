# SPDX-License-Identifier: AGPL-3.0-or-later
"""KML 2.2 and KMZ: routes as lines, fence rings as polygons, docks and other places as points.

Foreign files are read too: a line is a route of waypoints, a polygon an area to stay inside (its holes to stay
outside), unless its data "kind" says "exclusion". Heights follow altitudeMode: absolute is above mean sea level,
relativeToGround above the terrain, and clampToGround (the default) says none. Our own files carry what KML cannot say
(commands, heights above home, orders) in ExtendedData, and read back the same.
"""

from __future__ import annotations

import json
from typing import Final

from missions.errors import PlanError
from missions.formats.flight_file import (
    NAV_WAYPOINT,
    Draft,
    FlightFile,
    Home,
    Loss,
    NamedPlace,
    RallyPoint,
    Ring,
    Route,
    Scalar,
    Step,
    Written,
    amsl_m,
)
from missions.formats.geojson import circle_corners
from missions.formats.json_reading import Node, parse_json
from missions.formats.steps_json import (
    NOTE_KEY,
    altitude_json,
    circle_of_note,
    read_altitude,
    route_note,
    route_of_note,
)
from missions.formats.xml_tree import Element, XmlText, number_of, parse_xml, plain, unzip, zipped
from missions.geo import Altitude, Datum, GeoError, GeoPoint
from missions.rings import closed_ring

KML_SPACE: Final = "http://www.opengis.net/kml/2.2"
_JSON_KEY = "dronectl_json"  # a point's properties that are no text
_UNREAD = {
    "NetworkLink": "a link to another file is not followed; bring its content",
    "GroundOverlay": "a picture is not read",
    "ScreenOverlay": "a picture is not read",
    "PhotoOverlay": "a picture is not read",
    "Model": "a model is not read",
    "Track": "a recorded track is not read; export it as a line",
    "MultiTrack": "a recorded track is not read; export it as a line",
}


def read_kml(data: bytes, *, source: str) -> FlightFile:
    """Read KML. Raises PlanError naming the line."""
    root = parse_xml(data, source)
    if root.tag != "kml":
        root.fail("is no KML: the outermost element must be <kml>")
    reader = _Reader()
    reader.walk(root)
    return reader.found.done()


def read_kmz(data: bytes, *, source: str) -> FlightFile:
    """Read a KMZ: its doc.kml, or the first .kml in it."""
    entries = {name: content for name, content in unzip(data, source).items() if name.lower().endswith(".kml")}
    if not entries:
        raise PlanError(f"{source}: holds no .kml file")
    name = "doc.kml" if "doc.kml" in entries else next(iter(entries))
    return read_kml(entries[name], source=f"{source}/{name}")


class _Reader:
    def __init__(self) -> None:
        self.found = Draft()

    def walk(self, node: Element) -> None:
        for child in node.children:
            if child.tag == "Placemark":
                self._placemark(child)
            elif child.tag in {"Document", "Folder"}:
                data = _data(child)
                if "max_altitude" in data:
                    self.found.max_altitude = read_altitude(_json(data["max_altitude"], child))
                self.walk(child)
            elif child.tag in _UNREAD:
                self.found.losses.append(Loss(child.place, f"<{child.tag}>: {_UNREAD[child.tag]}"))

    def _placemark(self, mark: Element) -> None:
        name = mark.find("name")
        label = "" if name is None else name.word()
        data = _data(mark)
        shapes = [
            c for c in mark.children if c.tag in {"Point", "LineString", "LinearRing", "Polygon", "MultiGeometry"}
        ]
        unread = [c for c in mark.children if c.tag in _UNREAD]
        self.found.losses += [Loss(c.place, f"<{c.tag}>: {_UNREAD[c.tag]}") for c in unread]
        if not shapes and not unread:
            self.found.losses.append(Loss(mark.place, "a placemark without geometry has no place on a map"))
        description = mark.find("description")
        if description is not None and description.word():
            if all(shape.tag == "Point" for shape in shapes):
                data.setdefault("description", description.word())
            else:
                self.found.losses.append(Loss(description.place, "the description of a line or area is not kept"))
        if NOTE_KEY not in data and any(shape.tag != "Point" for shape in shapes):
            more = [key for key in data if key not in {"kind", "description"}]
            if more:
                why = f"data of a line or area are not kept: {', '.join(more)[:120]}"
                self.found.losses.append(Loss(mark.place, why))
        for shape in shapes:
            self._shape(shape, label, data)

    def _shape(self, shape: Element, name: str, data: dict[str, str]) -> None:
        if shape.tag == "MultiGeometry":
            for part in shape.children:
                self._shape(part, name, data)
        elif shape.tag == "Point":
            self._point(shape, name, data)
        elif shape.tag == "LineString":
            self._line(shape, name, data)
        elif shape.tag == "Polygon":
            self._polygon(shape, name, data)
        elif shape.tag == "LinearRing":
            self._ring(shape, name, inclusion=data.get("kind") not in {"exclusion", "keep-out"})
        elif shape.tag in _UNREAD:
            self.found.losses.append(Loss(shape.place, f"<{shape.tag}>: {_UNREAD[shape.tag]}"))

    def _point(self, shape: Element, name: str, data: dict[str, str]) -> None:
        where = _coordinates(shape)
        if len(where) != 1:
            shape.fail("must hold one position")
        position, altitude = where[0]
        if "altitude" in data and NOTE_KEY in data:
            altitude = read_altitude(_json(data["altitude"], shape))
            if data.get("kind") == "rally":
                self.found.rally.append(RallyPoint(position, altitude))
                return
        kept: list[tuple[str, Scalar]] = []
        for key, value in data.items():
            if key == _JSON_KEY:
                kept += [(k, v) for k, v in _json(value, shape).value.items() if v is None or isinstance(v, _SCALARS)]
            elif key != NOTE_KEY and not (key == "altitude" and NOTE_KEY in data):
                kept.append((key, value))
        self.found.places.append(NamedPlace(name, position, altitude, tuple(kept)))

    def _line(self, shape: Element, name: str, data: dict[str, str]) -> None:
        vertices = _coordinates(shape)
        label = name or f"route {len(self.found.routes) + 1}"
        if NOTE_KEY in data:
            self.found.routes.append(route_of_note(_json(data[NOTE_KEY], shape), label, [p for p, _ in vertices]))
            return
        steps = [Step(NAV_WAYPOINT, position=p, altitude=a, place=shape.place) for p, a in vertices]
        self.found.routes.append(Route(label, tuple(steps)))

    def _polygon(self, shape: Element, name: str, data: dict[str, str]) -> None:
        inclusion = data.get("kind") not in {"exclusion", "keep-out"}
        if "circle" in data and NOTE_KEY in data:
            self.found.circles.append(circle_of_note(_json(data["circle"], shape), inclusion=inclusion))
            return
        self._ring(shape.get("outerBoundaryIs").get("LinearRing"), name, inclusion=inclusion)
        for hole in shape.all("innerBoundaryIs"):
            if inclusion:
                self._ring(hole.get("LinearRing"), "", inclusion=False)
            else:
                why = "a hole in a keep-out is not supported: all of it is kept out of"
                self.found.losses.append(Loss(hole.place, why))

    def _ring(self, shape: Element, name: str, *, inclusion: bool) -> None:
        corners = closed_ring([p for p, _ in _coordinates(shape)], shape.fail)
        self.found.rings.append(Ring(corners, inclusion, name))


_SCALARS = (str, int, float, bool)


def _data(node: Element) -> dict[str, str]:
    """ExtendedData, both of its kinds, by name."""
    extended = node.find("ExtendedData")
    if extended is None:
        return {}
    found = {}
    for data in extended.all("Data"):
        value = data.find("value")
        found[data.attributes.get("name", "")] = "" if value is None else value.text
    for schema in extended.all("SchemaData"):
        found |= {item.attributes.get("name", ""): item.text for item in schema.all("SimpleData")}
    return found


def _json(text: str, at: Element) -> Node:
    source = f"{at.source}: line {at.line}: <ExtendedData>"
    node = Node(source, "", parse_json(text, source))
    if not isinstance(node.value, dict):
        node.fail("must be an object")
    return node


def _coordinates(shape: Element) -> list[tuple[GeoPoint, Altitude | None]]:
    mode = shape.find("altitudeMode")
    kind = "clampToGround" if mode is None else mode.word()
    datum = {"absolute": Datum.AMSL, "relativeToGround": Datum.TERRAIN, "clampToGround": None}.get(kind, "unknown")
    if datum == "unknown":
        (mode or shape).fail(f"holds {kind[:40]!r}; use absolute, relativeToGround or clampToGround")
    node = shape.get("coordinates")
    out = []
    for token in node.text.split():
        parts = token.split(",")
        if len(parts) not in {2, 3}:
            node.fail(f"holds {token[:40]!r}, which is not longitude,latitude[,height]")
        values = [number_of(p, node) for p in parts]
        try:
            point = GeoPoint(values[1], values[0])
        except GeoError as error:
            node.fail(f"holds {token[:40]!r}: {error}")
        bare = datum is None or len(values) < 3
        out.append((point, None if bare or not isinstance(datum, Datum) else Altitude(values[2], datum)))
    return out


def write_kml(file: FlightFile, *, title: str = "flight") -> Written:
    """Everything of a flight file; reading it gives the same."""
    losses: list[Loss] = []
    xml = XmlText()
    xml.start("kml", xmlns=KML_SPACE)
    xml.start("Document")
    xml.leaf("name", title)
    _style(xml, "inclusion", "ff33aa33", "2033aa33")
    _style(xml, "exclusion", "ff2222dd", "502222dd")
    if file.max_altitude is not None:
        _extended(xml, {"max_altitude": json.dumps(altitude_json(file.max_altitude))})
    for route in file.routes:
        _write_route(xml, route, losses)
    for ring in file.rings:
        _write_polygon(xml, ring.name, ring.corners, {"kind": "inclusion" if ring.inclusion else "exclusion"})
    for circle in file.circles:
        note = {"centre": [circle.centre.latitude_deg, circle.centre.longitude_deg], "radius_m": circle.radius_m}
        kind = "inclusion" if circle.inclusion else "exclusion"
        _write_polygon(xml, "", circle_corners(circle), {"kind": kind, NOTE_KEY: "{}", "circle": json.dumps(note)})
    for rally in file.rally:
        data = {"kind": "rally", NOTE_KEY: "{}", "altitude": json.dumps(altitude_json(rally.altitude))}
        _write_point(xml, "rally point", rally.position, None, data)
    for place in file.places:
        own = {key: value for key, value in place.properties if not isinstance(value, str)}
        data = {key: value for key, value in place.properties if isinstance(value, str)}
        if own:
            data[_JSON_KEY] = json.dumps(own, ensure_ascii=False)
        if place.altitude is not None and place.altitude.datum not in {Datum.AMSL, Datum.TERRAIN}:
            data |= {NOTE_KEY: "{}", "altitude": json.dumps(altitude_json(place.altitude))}
        _write_point(xml, place.name, place.position, place.altitude, data)
    xml.end()
    xml.end()
    return Written(xml.data(), tuple(losses))


def write_kmz(file: FlightFile, *, title: str = "flight") -> Written:
    """The same in an archive, as doc.kml."""
    written = write_kml(file, title=title)
    return Written(zipped({"doc.kml": written.data}), written.losses)


def _write_route(xml: XmlText, route: Route, losses: list[Loss]) -> None:
    placed = [s for s in route.steps if s.position is not None]
    if len(placed) < 2:
        losses.append(Loss(route.name, "a line needs two places; a route with fewer is not written"))
        return
    mode, heights = _heights(placed, route.home)
    xml.start("Placemark")
    xml.leaf("name", route.name)
    _extended(xml, {NOTE_KEY: json.dumps(route_note(route), ensure_ascii=False)})
    xml.start("LineString")
    xml.leaf("tessellate", "1")
    xml.leaf("altitudeMode", mode)
    xml.leaf("coordinates", " ".join(_xyz(s.position, h) for s, h in zip(placed, heights, strict=True)))
    xml.end()
    xml.end()


def _heights(placed: list[Step], home: Home | None) -> tuple[str, list[float | None]]:
    """How a viewer draws the line; the note has the heights as they are meant."""
    above_sea = [amsl_m(s.altitude, home) for s in placed]
    if None not in above_sea:
        return "absolute", above_sea
    if all(s.altitude is not None and s.altitude.datum in {Datum.HOME, Datum.TERRAIN} for s in placed):
        return "relativeToGround", [None if s.altitude is None else s.altitude.value_m for s in placed]
    return "clampToGround", [None] * len(placed)


def _write_polygon(xml: XmlText, name: str, corners: tuple[GeoPoint, ...], data: dict[str, str]) -> None:
    xml.start("Placemark")
    if name:
        xml.leaf("name", name)
    xml.leaf("styleUrl", f"#{data['kind']}")
    _extended(xml, data)
    xml.start("Polygon")
    xml.start("outerBoundaryIs")
    xml.start("LinearRing")
    xml.leaf("coordinates", " ".join(_xyz(p, None) for p in (*corners, corners[0])))
    for _ in range(4):
        xml.end()


def _write_point(xml: XmlText, name: str, position: GeoPoint, altitude: Altitude | None, data: dict[str, str]) -> None:
    xml.start("Placemark")
    if name:
        xml.leaf("name", name)
    if data:
        _extended(xml, data)
    xml.start("Point")
    mode = {Datum.AMSL: "absolute", Datum.TERRAIN: "relativeToGround"}.get(altitude.datum) if altitude else None
    if mode is not None:
        xml.leaf("altitudeMode", mode)
    xml.leaf("coordinates", _xyz(position, altitude.value_m if altitude and mode else None))
    xml.end()
    xml.end()


def _extended(xml: XmlText, data: dict[str, str]) -> None:
    xml.start("ExtendedData")
    for key, value in data.items():
        xml.start("Data", name=key)
        xml.leaf("value", value)
        xml.end()
    xml.end()


def _style(xml: XmlText, name: str, line: str, fill: str) -> None:
    xml.start("Style", id=name)
    xml.start("LineStyle")
    xml.leaf("color", line)
    xml.leaf("width", "2")
    xml.end()
    xml.start("PolyStyle")
    xml.leaf("color", fill)
    xml.end()
    xml.end()


def _xyz(point: GeoPoint | None, height: float | None) -> str:
    if point is None:  # callers have sorted those out; for the type checker
        return ""
    place = f"{point.longitude_deg!r},{point.latitude_deg!r}"
    return place if height is None else f"{place},{plain(height)}"
