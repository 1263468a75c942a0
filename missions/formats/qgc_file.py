# SPDX-License-Identifier: AGPL-3.0-or-later
"""Any QGroundControl `.plan` (fileType Plan, version 1) in and out, as a flight file.

Unlike `qgc_read`, which takes only what we fly, this keeps every mission command, loiters, jumps, surveys and
corridors (as the items that they fly, with their settings beside them), fence circles and rally points. Whatever has
no such items, a structure scan or a landing pattern, becomes a loss with its place. Altitudes that cannot be
understood are refused.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import accumulate
from typing import Final

from missions.errors import PlanError
from missions.formats.flight_file import (
    DO_JUMP,
    NAV_WAYPOINT,
    Circle,
    FlightFile,
    Home,
    Loss,
    RallyPoint,
    Ring,
    Route,
    Step,
    Survey,
    refuse_swapped,
)
from missions.formats.json_reading import Node, parse_json
from missions.formats.qgc_write import FIRMWARE_TYPE_PX4, OUR_KEY, VEHICLE_TYPE_QUADROTOR
from missions.formats.steps_json import TRANSECT, read_altitude, read_orders, read_planner
from missions.geo import Altitude, Datum
from missions.rings import ring_fault

DATUM_OF_FRAME: Final = {
    0: Datum.AMSL,
    5: Datum.AMSL,
    3: Datum.HOME,
    6: Datum.HOME,
    10: Datum.TERRAIN,
    11: Datum.TERRAIN,
}
FRAME_OF_DATUM: Final = {Datum.AMSL: 0, Datum.HOME: 3, Datum.TERRAIN: 10}
FRAME_MISSION: Final = 2
NAME_KEY: Final = "dronectl_name"
UNNAMED: Final = "mission"
MAX_STEPS: Final = 100_000


def read_qgc(text: str, *, source: str) -> FlightFile:
    """Read `.plan` text. Raises PlanError naming the place of what cannot be understood."""
    root = Node(source, "", parse_json(text, source))
    if not isinstance(root.value, dict) or root.value.get("fileType") != "Plan":
        found = root.value.get("fileType") if isinstance(root.value, dict) else None
        root.fail(f'is no plan: fileType is {json.dumps(found)[:40]}, not "Plan"')
    if root.get("version").value != 1:
        root.get("version").fail(f"version {root.value['version']} is not supported, only 1")
    mission = root.get("mission")
    reader = _Items()
    for node in mission.get("items").items():
        reader.item(node)
    steps = reader.linked()
    speed, ours = mission.find("hoverSpeed"), root.find(OUR_KEY)
    name = root.find(NAME_KEY)
    route = Route(
        UNNAMED if name is None else name.text(),
        steps,
        _home(mission),
        None if speed is None else speed.number(),
        None,
        tuple(reader.surveys),
        _planner(mission, None if speed is None else speed.number()),
    )
    top = None
    if ours is not None:
        route, top = _with_ours(ours, route)
    rings, circles, more = _fence(root.find("geoFence"))
    file = FlightFile((route,), tuple(rings), tuple(circles), top, tuple(_rally(root)), (), (*reader.losses, *more))
    refuse_swapped(file, None, source)
    return file


def _home(mission: Node) -> Home | None:
    node = mission.find("plannedHomePosition")
    if node is None:
        return None
    values = node.items()
    if len(values) != 3:
        node.fail("must be [latitude, longitude, altitude above mean sea level]")
    return Home(node.place(), values[2].number())


def _planner(mission: Node, hover_speed_m_s: float | None) -> tuple[tuple[str, float], ...]:
    """What the plan says of its vehicle, where that is not what we would write ourselves."""
    usual = {"firmwareType": FIRMWARE_TYPE_PX4, "vehicleType": VEHICLE_TYPE_QUADROTOR, "cruiseSpeed": hover_speed_m_s}
    return tuple((key, value) for key, value in read_planner(mission) if usual[key] != value)


class _Items:
    """Mission items in the order in which they are flown."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.surveys: list[Survey] = []
        self.losses: list[Loss] = []
        self.index_of_id: dict[int, int] = {}

    def item(self, node: Node) -> None:
        kind = node.get("type").text()
        if kind == "SimpleItem":
            self._simple(node)
            return
        name = node.find("complexItemType")
        called = name.text()[:40] if name is not None else kind[:40]
        pattern = node.find(TRANSECT)
        items = pattern.find("Items") if pattern is not None else None
        if kind != "ComplexItem" or pattern is None or items is None:
            self.losses.append(
                Loss(node.path, f"a {called} item is not supported; convert it to waypoints in the ground station")
            )
            return
        first = len(self.steps)
        for part in items.items():
            if part.get("type").text() != "SimpleItem":
                part.get("type").fail(f"a {called} holds simple items only")
            self._simple(part)
        settings = {**node.value, TRANSECT: {k: v for k, v in pattern.value.items() if k != "Items"}}
        text = json.dumps(settings, ensure_ascii=False, sort_keys=True)
        self.surveys.append(Survey(called, first, len(self.steps) - first, text))

    def _simple(self, node: Node) -> None:
        if len(self.steps) >= MAX_STEPS:
            node.fail(f"is item {MAX_STEPS + 1}; no plan is that long")
        number = node.find("doJumpId")
        if number is not None:
            self.index_of_id[number.whole()] = len(self.steps)
        keep = node.find("autoContinue")
        values = node.get("params").items()
        if len(values) != 7:
            node.get("params").fail("must hold 7 parameters")
        first: list[float | None] = [None if v.value is None else v.number() for v in values[:4]]
        step = Step(
            node.get("command").whole(),
            (first[0], first[1], first[2], first[3]),
            autocontinue=True if keep is None else keep.flag(),
            place=node.path,
        )
        frame = node.get("frame")
        if frame.whole() == FRAME_MISSION:
            a, b, c = (0.0 if v.value is None else v.number() for v in values[4:])
            self.steps.append(replace(step, rest=(a, b, c)))
            return
        if frame.whole() not in DATUM_OF_FRAME:
            frame.fail(
                f"altitude frame {frame.value} is unknown; use 3 (above home), 0 (above mean sea level) or 10 (above terrain)"
            )
        mode = node.find("AltitudeMode")
        if mode is not None and mode.whole() not in {0, 1, 2, 3, 4}:
            mode.fail(f"altitude mode {mode.value} is unknown")
        altitude = Altitude(values[6].number(), DATUM_OF_FRAME[frame.whole()])
        here = all(v.value is None or v.value == 0 for v in values[4:6])  # no place: where the vehicle is
        self.steps.append(replace(step, position=None if here else node.geo(values[4], values[5]), altitude=altitude))

    def linked(self) -> tuple[Step, ...]:
        """Jumps to identities become jumps to steps; those to nowhere are left out, and the others count without them."""
        targets = [int(s.params[0]) if s.command == DO_JUMP and s.params[0] is not None else None for s in self.steps]
        lost = [target is not None and target not in self.index_of_id for target in targets]
        before = [0, *accumulate(lost)]
        out = []
        for step, target, gone in zip(self.steps, targets, lost, strict=True):
            if gone:
                self.losses.append(Loss(step.place, f"jumps to item {target}, which there is not; it is left out"))
            elif target is None:
                out.append(step)
            else:
                index = self.index_of_id[target]
                out.append(replace(step, params=(float(index - before[index]), *step.params[1:])))
        if any(lost) and self.surveys:
            raise PlanError(f"{self.losses[-1]}; mend the jump first, as the plan also holds surveys")
        return tuple(out)


def _fence(node: Node | None) -> tuple[list[Ring], list[Circle], list[Loss]]:
    rings: list[Ring] = []
    circles: list[Circle] = []
    losses: list[Loss] = []
    if node is None:
        return rings, circles, losses
    if node.get("version").value != 2:
        node.get("version").fail(f"version {node.value['version']} is not supported, only 2")
    polygons, round_ones, breach = node.find("polygons"), node.find("circles"), node.find("breachReturn")
    for polygon in polygons.items() if polygons else ():
        path = polygon.get("polygon")
        corners = [c.place() for c in path.items()]
        if len(corners) > 1 and corners[0] == corners[-1]:
            corners.pop()
        if len(corners) < 3:
            path.fail("a fence ring needs at least 3 corners")
        fault = ring_fault(corners)
        if fault is not None:
            path.fail(f"the ring {fault.message}; redraw it")
        rings.append(Ring(tuple(corners), polygon.get("inclusion").flag()))
    for item in round_ones.items() if round_ones else ():
        circle = item.get("circle")
        radius = circle.get("radius").number()
        if radius <= 0.0:
            circle.get("radius").fail("must be above 0")
        circles.append(Circle(circle.get("center").place(), radius, item.get("inclusion").flag()))
    if breach is not None and breach.items():
        losses.append(Loss(breach.path, "a breach return point is not supported; use a rally point"))
    return rings, circles, losses


def _rally(root: Node) -> list[RallyPoint]:
    node = root.find("rallyPoints")
    points = node.find("points") if node is not None else None
    out = []
    for point in points.items() if points else ():
        values = point.items()
        if len(values) != 3:
            point.fail("must be [latitude, longitude, height above home]")
        out.append(RallyPoint(point.place(), Altitude(values[2].number(), Datum.HOME)))
    return out


def _with_ours(ours: Node, route: Route) -> tuple[Route, Altitude | None]:
    """What our own object says of the items: whose they are, and what each waypoint serves."""
    orders = read_orders(ours)
    notes, steps = ours.get("waypoints").items(), list(route.steps)
    places = [index for index, step in enumerate(steps) if step.command == NAV_WAYPOINT]
    if len(notes) != len(places):
        ours.get("waypoints").fail(
            f"speaks of {len(notes)} waypoints, but mission.items has {len(places)}; "
            'remove the "dronectl" object if the items were edited'
        )
    for index, note in zip(places, notes, strict=True):
        serves = tuple(s.text() for s in note.get("serves").items())
        steps[index] = replace(steps[index], serves=serves)
    top = ours.find("max_altitude")
    named = replace(route, name=orders.vehicle_id, steps=tuple(steps), orders=orders)
    return replace(named, cruise_speed_m_s=ours.get("cruise_speed_m_s").number()), (
        None if top is None else read_altitude(top)
    )
