# SPDX-License-Identifier: AGPL-3.0-or-later
"""GPX 1.1: routes (and, when reading, segments of tracks) as routes of waypoints, waypoints as named places.

GPX holds places and heights, nothing else of a flight: whatever more there is becomes a loss. <ele> is taken as above
mean sea level, as receivers write it, unless the caller says what it means.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from missions.formats.flight_file import (
    NAV_WAYPOINT,
    FlightFile,
    Home,
    Loss,
    NamedPlace,
    Route,
    Step,
    Written,
    amsl_m,
    losses_of_fence,
    losses_of_orders,
)
from missions.formats.waypoint_view import plain_route
from missions.formats.xml_tree import Element, XmlText, number_of, parse_xml
from missions.geo import Altitude, Datum, GeoError, GeoPoint

GPX_SPACE: Final = "http://www.topografix.com/GPX/1/1"
_WHAT = "a GPX file"


def read_gpx(data: bytes, *, source: str, heights: Datum | None = None) -> FlightFile:
    """Read GPX; `heights` says what <ele> is measured from. Raises PlanError naming the line."""
    root = parse_xml(data, source)
    if root.tag != "gpx":
        root.fail("is no GPX: the outermost element must be <gpx>")
    datum = heights or Datum.AMSL
    routes: list[Route] = []
    places: list[NamedPlace] = []
    losses: list[Loss] = []
    for child in root.children:
        _say_unread(child, losses)
        if child.tag == "rte":
            routes.append(_route(child, list(child.all("rtept")), len(routes), datum))
        elif child.tag == "trk":
            # Between two segments nothing is known, of what was flown and looked at as well: each is a route of its own.
            segments = [points for segment in child.all("trkseg") if (points := list(segment.all("trkpt")))] or [[]]
            tracks = [_route(child, points, len(routes), datum) for points in segments]
            if len(tracks) > 1:
                tracks = [replace(track, name=f"{track.name}, part {n}") for n, track in enumerate(tracks, 1)]
            routes += tracks
        elif child.tag == "wpt":
            position, altitude = _point(child, datum)
            places.append(NamedPlace(_name(child), position, altitude))
        elif child.tag not in {"metadata", "name", "desc", "author", "time", "bounds"}:
            losses.append(Loss(child.place, f"<{child.tag}> is not read"))
    return FlightFile(tuple(routes), places=tuple(places), losses=tuple(losses))


def _say_unread(node: Element, losses: list[Loss]) -> None:
    """What stands inside a route, track or waypoint and is not kept: each kind once, where it comes first."""
    if node.tag not in {"rte", "trk", "wpt"}:
        return
    first: dict[str, Element] = {}
    todo = [node]
    while todo:
        at = todo.pop()
        for child in at.children:
            if child.tag in _PARTS:
                todo.append(child)
            elif child.tag not in _KEPT:
                first.setdefault(child.tag, child)
    losses += [Loss(c.place, f"<{c.tag}> of a <{node.tag}> is not kept") for c in first.values()]


_PARTS = frozenset({"trkseg", "rtept", "trkpt"})
_KEPT = frozenset({"name", "ele"})


def _route(node: Element, points: list[Element], before: int, datum: Datum) -> Route:
    steps = []
    for point in points:
        position, altitude = _point(point, datum)
        steps.append(Step(NAV_WAYPOINT, position=position, altitude=altitude, place=point.place))
    return Route(_name(node) or f"route {before + 1}", tuple(steps))


def _name(node: Element) -> str:
    name = node.find("name")
    return "" if name is None else name.word()


def _point(node: Element, datum: Datum) -> tuple[GeoPoint, Altitude | None]:
    for key in ("lat", "lon"):
        if key not in node.attributes:
            node.fail(f"lacks the attribute {key!r}")
    try:
        point = GeoPoint(number_of(node.attributes["lat"], node), number_of(node.attributes["lon"], node))
    except GeoError as error:
        node.fail(str(error))
    height = node.find("ele")
    return point, None if height is None else Altitude(height.number(), datum)


def write_gpx(file: FlightFile) -> Written:
    """All routes and places; heights above home need the home's own height."""
    losses = list(losses_of_fence(file, _WHAT))
    xml = XmlText()
    xml.start("gpx", version="1.1", creator="dronectl", xmlns=GPX_SPACE)
    for place in file.places:
        if place.properties:
            losses.append(Loss(place.name or "a place", f"its properties have no place in {_WHAT}"))
        _write_point(xml, "wpt", place.position, place.altitude, None, place.name, losses)
    for route in file.routes:
        plain = plain_route(route, _WHAT)
        losses += [*plain.losses, *losses_of_orders(route, _WHAT)]
        if route.home is not None:
            losses.append(Loss(route.name, f"its home has no place in {_WHAT}"))
        if any(w.hold_s for w in plain.waypoints):
            losses.append(Loss(route.name, f"holds at waypoints have no place in {_WHAT}"))
        if route.cruise_speed_m_s is not None or any(w.speed_m_s is not None for w in plain.waypoints):
            losses.append(Loss(route.name, f"speeds have no place in {_WHAT}"))
        orders = [(w.gimbal_pitch_deg, w.yaw_deg, w.trigger_m, w.photo or None) for w in plain.waypoints]
        if any(order is not None for of_one in orders for order in of_one):
            losses.append(Loss(route.name, f"headings, gimbal angles and photos have no place in {_WHAT}"))
        if plain.returns or plain.lands:
            losses.append(Loss(route.name, f"how the flight ends has no place in {_WHAT}"))
        xml.start("rte")
        xml.leaf("name", route.name)
        for number, waypoint in enumerate(plain.waypoints, 1):
            name = f"{number}"
            _write_point(xml, "rtept", waypoint.position, waypoint.altitude, route.home, name, losses)
        xml.end()
    xml.end()
    return Written(xml.data(), tuple(losses))


def _write_point(
    xml: XmlText,
    tag: str,
    position: GeoPoint,
    altitude: Altitude | None,
    home: Home | None,
    name: str,
    losses: list[Loss],
) -> None:
    xml.start(tag, lat=repr(position.latitude_deg), lon=repr(position.longitude_deg))
    height = amsl_m(altitude, home)
    if height is not None:
        xml.leaf("ele", height)
    elif altitude is not None:
        why = f"its height above {altitude.datum.value} cannot be turned into one above mean sea level here"
        losses.append(Loss(f"{tag} {name}".strip(), why))
    if name:
        xml.leaf("name", name)
    xml.end()
