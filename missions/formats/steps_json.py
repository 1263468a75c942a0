# SPDX-License-Identifier: AGPL-3.0-or-later
"""Routes beside their drawn lines: what a line of coordinates does not say, as JSON for GeoJSON properties and KML data.

A line holds the places in order; the note holds commands, parameters, altitudes with datum, home and orders. They must
agree: a line that somebody edited no longer fits its note, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from missions.errors import PlanError
from missions.formats.flight_file import Circle, Home, Orders, Params, Route, Scalar, Step, Survey
from missions.formats.json_reading import Node, parse_json
from missions.geo import Altitude, Datum, GeoPoint
from missions.model import Authority, Category, FlightPlan, Mission

NOTE_KEY = "dronectl_route"
TRANSECT = "TransectStyleComplexItem"
PLANNER_KEYS = ("firmwareType", "vehicleType", "cruiseSpeed")
_SCHEMA_VERSION = 1


def route_note(route: Route) -> dict[str, Any]:
    """Everything of a route but its name and the places of its steps."""
    home, orders = route.home, route.orders
    return {
        "schema_version": _SCHEMA_VERSION,
        "home": None
        if home is None
        else {"position": [home.position.latitude_deg, home.position.longitude_deg], "amsl_m": home.amsl_m},
        "cruise_speed_m_s": route.cruise_speed_m_s,
        "orders": None if orders is None else orders_json(orders),
        "surveys": [
            {"kind": s.kind, "first": s.first, "count": s.count, "settings": s.settings} for s in route.surveys
        ],
        "planner": dict(route.planner),
        "steps": [_step(s) for s in route.steps],
    }


def orders_json(orders: Orders) -> dict[str, Any]:
    mission = orders.mission
    return {
        "vehicle_id": orders.vehicle_id,
        "return_height_m": orders.return_height_m,
        **start_json(orders),
        "mission": {
            "mission_id": mission.mission_id,
            "purpose": mission.purpose,
            "authority": {"who": mission.authority.who, "ground": mission.authority.ground},
            "category": mission.category.value,
        },
    }


def _step(step: Step) -> dict[str, Any]:
    out: dict[str, Any] = {"command": step.command, "params": list(step.params), "placed": step.position is not None}
    if step.altitude is not None:
        out["altitude"] = altitude_json(step.altitude)
    if any(step.rest):
        out["rest"] = list(step.rest)
    if not step.autocontinue:
        out["autocontinue"] = False
    if step.serves:
        out["serves"] = list(step.serves)
    return out


def altitude_json(altitude: Altitude) -> dict[str, Any]:
    return {"value_m": altitude.value_m, "datum": altitude.datum.value}


def read_altitude(node: Node) -> Altitude:
    """{"value_m": number, "datum": one of the datums}; PlanError names what is wrong."""
    datum = node.get("datum")
    value = node.get("value_m").number()
    try:
        return Altitude(value, Datum(datum.text()))
    except ValueError as error:
        if isinstance(error, PlanError):
            raise
        datum.fail(f"must be one of {', '.join(d.value for d in Datum)}")


def circle_of_note(note: Node, *, inclusion: bool) -> Circle:
    """The circle of a fence that is drawn as a polygon: its centre and its radius in metres."""
    radius = note.get("radius_m")
    if radius.number() <= 0.0:
        radius.fail("must be above 0")
    return Circle(note.get("centre").place(), radius.number(), inclusion)


def route_of_note(note: Node, name: str, line: Sequence[GeoPoint]) -> Route:
    """The route that a note and its line give. Raises PlanError."""
    if note.get("schema_version").value != _SCHEMA_VERSION:
        note.get("schema_version").fail(f"is not {_SCHEMA_VERSION}, the one that this program reads")
    nodes = note.get("steps").items()
    placed = sum(node.get("placed").flag() for node in nodes)
    if placed != len(line):
        note.fail(
            f"speaks of {placed} places, but the line has {len(line)}; remove {NOTE_KEY!r} if the line was edited"
        )
    places = iter(line)
    steps = tuple(_read_step(node, next(places) if node.get("placed").flag() else None) for node in nodes)
    home, orders, speed = note.find("home"), note.find("orders"), note.find("cruise_speed_m_s")
    planner = note.find("planner")
    return Route(
        name,
        steps,
        None if home is None else _home(home),
        None if speed is None else speed.number(),
        None if orders is None else read_orders(orders),
        tuple(_survey(s, len(steps)) for s in note.get("surveys").items()),
        () if planner is None else read_planner(planner),
    )


def _read_step(node: Node, position: GeoPoint | None) -> Step:
    altitude, rest, serves = node.find("altitude"), node.find("rest"), node.find("serves")
    keep = node.find("autocontinue")
    return Step(
        command=node.get("command").whole(),
        params=read_params(node.get("params")),
        position=position,
        altitude=None if altitude is None else read_altitude(altitude),
        rest=(0.0, 0.0, 0.0) if rest is None else _three(rest),
        autocontinue=True if keep is None else keep.flag(),
        serves=() if serves is None else tuple(s.text() for s in serves.items()),
        place=node.path,
    )


def read_params(node: Node) -> Params:
    """Four numbers or nulls."""
    values = node.items()
    if len(values) != 4:
        node.fail("must hold 4 parameters")
    a, b, c, d = (None if v.value is None else v.number() for v in values)
    return a, b, c, d


def read_planner(node: Node) -> tuple[tuple[str, float], ...]:
    """A .plan's own settings of its vehicle, those of them that are numbers."""
    found = [(key, node.find(key)) for key in PLANNER_KEYS]
    return tuple((key, value.number()) for key, value in found if value is not None)


def _three(node: Node) -> tuple[float, float, float]:
    values = node.items()
    if len(values) != 3:
        node.fail("must hold 3 numbers")
    a, b, c = (v.number() for v in values)
    return a, b, c


def _home(node: Node) -> Home:
    height = node.find("amsl_m")
    return Home(node.get("position").place(), None if height is None else height.number())


def _survey(node: Node, steps: int) -> Survey:
    first, count = node.get("first").whole(), node.get("count").whole()
    if first < 0 or count < 0 or first + count > steps:
        node.fail(f"covers steps {first + 1} to {first + count} of {steps}")
    settings = node.get("settings")
    parsed = parse_json(settings.text(), f"{settings.source}: {settings.path}")
    if not isinstance(parsed, dict) or not isinstance(parsed.get(TRANSECT, {}), dict):
        settings.fail("is not the JSON object of a pattern")
    return Survey(node.get("kind").text(), first, count, settings.text())


def read_orders(node: Node) -> Orders:
    """Vehicle, mission, return height and start. Raises PlanError."""
    return Orders(
        node.get("vehicle_id").text(),
        read_mission(node.get("mission")),
        node.get("return_height_m").number(),
        *read_start(node),
    )


def start_json(flight: FlightPlan | Orders) -> dict[str, Any]:
    """What says when a flight of a set starts; nothing where nobody planned it."""
    return {"start_after_s": flight.start_after_s} if flight.start_after_s or flight.starts_first else {}


def read_start(node: Node) -> tuple[float, bool]:
    """When a flight starts, in seconds after the start of its set, and whether that is a planned 0. Raises PlanError.

    0 where nothing is said.
    """
    start = node.find("start_after_s")
    if start is None:
        return 0.0, False
    if start.number() < 0.0:
        start.fail(f"is {start.number():g}; no flight of a set starts before the set does")
    return start.number(), start.number() == 0.0


def read_mission(node: Node) -> Mission:
    """A mission as our plans write it. Raises PlanError."""
    authority, category = node.get("authority"), node.get("category")
    try:
        return Mission(
            node.get("mission_id").text(),
            node.get("purpose").text(),
            Authority(authority.get("who").text(), authority.get("ground").text()),
            Category(category.text()),
        )
    except ValueError as error:
        if isinstance(error, PlanError):
            raise
        node.fail(str(error))


def read_scalar(node: Node) -> Scalar:
    """A value of a place's properties; lists and objects are kept as they are written, in JSON."""
    value = node.value
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return node.number()
    return node.json()
