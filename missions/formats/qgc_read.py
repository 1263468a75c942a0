# SPDX-License-Identifier: AGPL-3.0-or-later
"""QGroundControl `.plan` text to a flight plan.

Strict: what cannot be flown exactly as it is written is refused with its place in the file and how to mend it; nothing
is dropped silently. A plan of another ground station says neither what it is for nor who flies it: that comes from
defaults. One with surveys, loiters, jumps or camera commands is flown by its own items (`qgc_drawn`). Fence circles become polygons on the safe side (around a keep-out, inside an inclusion). An altitude above
mean sea level or home is taken as the item's frame says; QGroundControl's "calculated above terrain" is such a one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from missions.errors import PlanError
from missions.feasibility_steps import Starter
from missions.fences import circle_ring
from missions.formats.json_reading import Node, parse_json
from missions.formats.qgc_drawn import drawn_plan, is_drawn
from missions.formats.qgc_write import OUR_KEY, SCHEMA_VERSION
from missions.formats.steps_json import read_mission, read_start
from missions.geo import Altitude, Datum, GeoError, GeoPoint, distance_m
from missions.mavlink_items import (
    DO_CHANGE_SPEED,
    DO_MOUNT_CONTROL,
    DO_SET_CAM_TRIGG_DIST,
    IMAGE_START_CAPTURE,
    NAV_RETURN_TO_LAUNCH,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    compile_plan,
)
from missions.model import FlightPlan, Geofence, Mission, Waypoint

_DATUM_OF_FRAME = {0: Datum.AMSL, 5: Datum.AMSL, 3: Datum.HOME, 6: Datum.HOME}
_TERRAIN_FRAMES = (10, 11)
_SAME_PLACE_M = 5.0
_ACCEPTANCE_RADIUS_M = 3.0  # what PX4 makes of 0
_SWAP_FAR_M = 1_000_000.0
_SWAP_NEAR_M = 100_000.0


@dataclass(frozen=True, slots=True)
class PlanDefaults:
    """What a plan of another ground station does not say."""

    mission: Mission
    vehicle_id: str
    return_height_m: float
    max_altitude: Altitude | None = None


def read_plan(text: str, *, source: str, defaults: PlanDefaults | None = None) -> FlightPlan:
    """Read `.plan` text; `source` is its name in messages. Raises PlanError."""
    root = Node(source, "", parse_json(text, source))
    if not isinstance(root.value, dict) or root.value.get("fileType") != "Plan":
        found = root.value.get("fileType") if isinstance(root.value, dict) else None
        root.fail(f'is no plan: fileType is {json.dumps(found)}, not "Plan"')
    if root.get("version").value != 1:
        root.get("version").fail(f"version {root.value['version']} is not supported, only 1")
    ours = root.find(OUR_KEY)
    if ours is None and defaults is None:
        root.fail(
            'does not say which mission and vehicle it is for (no "dronectl" object); '
            "name the vehicle, and the site whose mission it belongs to"
        )
    mission = root.get("mission")
    home, home_amsl_m = _home(mission)
    if is_drawn(mission, ours):
        return _drawn(root, ours, defaults, home, home_amsl_m, text)
    flown = _Items(mission, home, exact=ours is not None).read()
    fence = _fence(root)
    _nothing_more(root)
    if ours is not None:
        return _with_ours(ours, flown, home, home_amsl_m, fence)
    if defaults is None:  # refused above; for the type checker
        raise PlanError(source)
    return FlightPlan(
        vehicle_id=defaults.vehicle_id,
        mission=defaults.mission,
        home=home,
        home_amsl_m=home_amsl_m,
        takeoff_height_m=flown.takeoff_height_m,
        waypoints=tuple(flown.waypoints),
        fence=replace(fence, max_altitude=defaults.max_altitude),
        return_height_m=defaults.return_height_m,
        cruise_speed_m_s=flown.cruise_speed_m_s,
    )


def _drawn(
    root: Node, ours: Node | None, defaults: PlanDefaults | None, home: GeoPoint, home_amsl_m: float, text: str
) -> FlightPlan:
    """A plan that is flown by its own items, with the orders of our object or of the defaults."""
    fence = _fence(root)
    _nothing_more(root)
    if ours is not None:
        top = ours.find("max_altitude")
        vehicle_id, mission = ours.get("vehicle_id").text(), read_mission(ours.get("mission"))
        return_height_m = ours.get("return_height_m").number()
        fence = replace(fence, max_altitude=None if top is None else _our_altitude(top))
        speed_m_s = ours.get("cruise_speed_m_s").number()
    elif defaults is not None:
        vehicle_id, mission, return_height_m = defaults.vehicle_id, defaults.mission, defaults.return_height_m
        fence = replace(fence, max_altitude=defaults.max_altitude)
        speed_m_s = root.get("mission").get("hoverSpeed").number()
    else:  # refused by the caller; for the type checker
        raise PlanError(root.source)
    starter = Starter(vehicle_id, mission, home, home_amsl_m, return_height_m, speed_m_s)
    plan = drawn_plan(text, root.source, fence, starter)
    if ours is None:
        return plan
    start_after_s, starts_first = read_start(ours)
    return replace(plan, start_after_s=start_after_s, starts_first=starts_first)


def _home(mission: Node) -> tuple[GeoPoint, float]:
    node = mission.find("plannedHomePosition")
    if node is None:
        mission.fail('lacks "plannedHomePosition"; set the planned home in the ground station')
    values = node.items()
    if len(values) != 3:
        node.fail("must be [latitude, longitude, altitude above mean sea level]")
    return node.place(), values[2].number()


@dataclass(slots=True)
class _Flown:
    takeoff_height_m: float
    cruise_speed_m_s: float
    waypoints: list[Waypoint]
    nodes: list[Node]  # the item that each waypoint comes from


class _Items:
    """Mission items in order, to waypoints with the speed and gimbal pitch in force."""

    def __init__(self, mission: Node, home: GeoPoint, *, exact: bool) -> None:
        self.mission, self.home, self.exact = mission, home, exact
        self.speed_m_s: float | None = None
        self.cruise_is_set = False
        self.gimbal_deg: float | None = None
        self.returned = False

    def read(self) -> _Flown:
        nodes = self.mission.get("items").items()
        if not nodes or self._command(nodes[0]) != NAV_TAKEOFF:
            self.mission.get("items").fail("does not begin with a take-off (command 22); add one")
        flown = _Flown(0.0, self.mission.get("hoverSpeed").number(), [], [])
        for number, node in enumerate(nodes):
            if self.returned:
                node.fail(f"item {number + 1} comes after the return to launch; remove it or move it before")
            keep = node.find("autoContinue")
            if keep is not None and not keep.flag() and self._command(node) != NAV_RETURN_TO_LAUNCH:
                keep.fail("the vehicle would wait there until its battery is empty; set it to true")
            self._one(number, node, flown)
        if not self.returned:
            self.mission.get("items").fail("does not end with a return to launch (command 20); add one")
        return flown

    @staticmethod
    def _command(node: Node) -> int:
        return node.get("command").whole()

    def _one(self, number: int, node: Node, flown: _Flown) -> None:
        command = self._command(node)
        params = node.get("params").items()
        if len(params) != 7:
            node.get("params").fail("must hold 7 parameters")
        if command == NAV_TAKEOFF:
            self._takeoff(number, node, params, flown)
        elif command == NAV_WAYPOINT:
            flown.waypoints.append(self._waypoint(node, params))
            flown.nodes.append(node)
            self.speed_m_s = self.gimbal_deg = None
        elif command == DO_CHANGE_SPEED:
            speed = params[1].number()
            if speed <= 0.0 or _value(params[2], -1.0) not in {-1.0, 0.0} or _value(params[0], 1.0) not in {0.0, 1.0}:
                node.fail("a speed change must set a speed above 0 (not of climb or descent) and no throttle")
            if flown.waypoints or self.cruise_is_set:
                self.speed_m_s = speed
            else:
                flown.cruise_speed_m_s, self.cruise_is_set = speed, True
        elif command == DO_MOUNT_CONTROL:
            if _value(params[1], 0.0) or _value(params[2], 0.0):
                node.fail("only the gimbal's pitch can be set; roll and yaw must be 0")
            self.gimbal_deg = params[0].number()
        elif command in {DO_SET_CAM_TRIGG_DIST, IMAGE_START_CAPTURE}:
            self._camera(node, params, flown)
        else:
            self.returned = True

    @staticmethod
    def _camera(node: Node, params: list[Node], flown: _Flown) -> None:
        """Camera commands in the one form that we write: what is done on reaching the waypoint before them."""
        if not flown.waypoints:
            node.fail("a camera command must come after a waypoint; move it")
        last = flown.waypoints[-1]
        if node.get("command").whole() == DO_SET_CAM_TRIGG_DIST:
            flown.waypoints[-1] = replace(last, trigger_m=params[0].number())
        else:
            flown.waypoints[-1] = replace(last, photo=True)

    def _takeoff(self, number: int, node: Node, params: list[Node], flown: _Flown) -> None:
        if number != 0:
            node.fail(f"item {number + 1} is a second take-off; a plan has one, at its beginning")
        altitude = self._altitude(node, params)
        if altitude.datum is not Datum.HOME:
            node.get("frame").fail("a take-off height must be above home (frame 3)")
        flown.takeoff_height_m = altitude.value_m
        place = self._place(node, params)
        if distance_m(self.home, place) > _SAME_PLACE_M:
            # PX4 climbs on the spot and then flies to the take-off item's place: a waypoint like any other.
            flown.waypoints.append(Waypoint(place, altitude))
            flown.nodes.append(node)

    def _waypoint(self, node: Node, params: list[Node]) -> Waypoint:
        if _value(params[2], 0.0):
            params[2].fail("a pass-by radius is not supported; set it to 0")
        hold_s, radius_m = _value(params[0], 0.0), _value(params[1], 0.0)
        if hold_s < 0.0 or radius_m < 0.0:
            node.get("params").fail("hold time and acceptance radius must not be negative")
        return Waypoint(
            position=self._place(node, params),
            altitude=self._altitude(node, params),
            speed_m_s=self.speed_m_s,
            hold_s=hold_s,
            acceptance_radius_m=radius_m if radius_m or self.exact else _ACCEPTANCE_RADIUS_M,
            yaw_deg=None if params[3].value is None else params[3].number(),
            gimbal_pitch_deg=self.gimbal_deg,
        )

    def _altitude(self, node: Node, params: list[Node]) -> Altitude:
        frame = node.get("frame")
        number = frame.whole()
        if number in _TERRAIN_FRAMES:
            frame.fail("altitudes above terrain are not supported; convert them to above mean sea level or home")
        if number not in _DATUM_OF_FRAME:
            frame.fail(f"altitude frame {number} is unknown; use 3 (above home) or 0 (above mean sea level)")
        mode = node.find("AltitudeMode")
        if mode is not None and mode.whole() not in {0, 1, 2, 3, 4}:
            mode.fail(f"altitude mode {mode.value} is unknown")
        return Altitude(params[6].number(), _DATUM_OF_FRAME[number])

    def _place(self, node: Node, params: list[Node]) -> GeoPoint:
        place = node.geo(params[4], params[5])
        away = distance_m(self.home, place)
        if away > _SWAP_FAR_M:
            try:
                swapped = GeoPoint(place.longitude_deg, place.latitude_deg)
            except GeoError:
                return place
            if distance_m(self.home, swapped) < _SWAP_NEAR_M:
                node.fail("latitude and longitude look swapped: the other way round it is near home")
        return place


def _value(node: Node, default: float) -> float:
    return default if node.value is None else node.number()


def _fence(root: Node) -> Geofence:
    node = root.find("geoFence")
    if node is None:
        return Geofence(inclusion=())
    if node.get("version").value != 2:
        node.get("version").fail(f"version {node.value['version']} is not supported, only 2")
    rings: dict[bool, list[tuple[GeoPoint, ...]]] = {True: [], False: []}
    polygons, circles = node.find("polygons"), node.find("circles")
    for polygon in polygons.items() if polygons else ():
        corners = [c.place() for c in polygon.get("polygon").items()]
        if len(corners) > 1 and corners[0] == corners[-1]:
            corners.pop()
        if len(corners) < 3:
            polygon.get("polygon").fail("a fence ring needs at least 3 corners")
        rings[polygon.get("inclusion").flag()].append(tuple(corners))
    for circle in circles.items() if circles else ():
        inclusion = circle.get("inclusion").flag()
        centre = circle.get("circle").get("center").place()
        radius = circle.get("circle").get("radius").number()
        if radius <= 0.0:
            circle.get("circle").get("radius").fail("must be above 0")
        try:
            rings[inclusion].append(circle_ring(centre, radius, inclusion=inclusion))
        except GeoError as error:
            circle.fail(str(error))
    return Geofence(tuple(rings[True]), tuple(rings[False]))


def _nothing_more(root: Node) -> None:
    """Parts of the format that we do not fly."""
    rally = root.find("rallyPoints")
    points = rally.find("points") if rally else None
    if points is not None and points.items():
        points.fail("rally points are not supported: vehicles return to home; remove them")
    fence = root.find("geoFence")
    breach = fence.find("breachReturn") if fence else None
    if breach is not None and breach.items():
        breach.fail("a breach return point is not supported; remove it")


def _with_ours(ours: Node, flown: _Flown, home: GeoPoint, home_amsl_m: float, fence: Geofence) -> FlightPlan:
    """The plan as we wrote it. Items decide where to fly; they must agree with what our object says of them."""
    if ours.get("schema_version").value != SCHEMA_VERSION:
        ours.get("schema_version").fail(f"is {ours.value['schema_version']!r}; this program reads {SCHEMA_VERSION}")
    notes = ours.get("waypoints").items()
    if len(notes) != len(flown.waypoints):
        ours.get("waypoints").fail(
            f"speaks of {len(notes)} waypoints, but mission.items has {len(flown.waypoints)}; "
            'remove the "dronectl" object if the items were edited'
        )
    waypoints = []
    for note, waypoint in zip(notes, flown.waypoints, strict=True):
        speed, gimbal = note.find("speed_m_s"), note.find("gimbal_pitch_deg")
        trigger, photo = note.find("trigger_m"), note.find("photo")
        waypoints.append(
            replace(
                waypoint,
                serves=tuple(s.text() for s in note.get("serves").items()),
                speed_m_s=speed.number() if speed else None,
                gimbal_pitch_deg=gimbal.number() if gimbal else None,
                trigger_m=trigger.number() if trigger else None,
                photo=photo.flag() if photo else False,
            )
        )
    top = ours.find("max_altitude")
    start_after_s, starts_first = read_start(ours)
    plan = FlightPlan(
        vehicle_id=ours.get("vehicle_id").text(),
        mission=read_mission(ours.get("mission")),
        home=home,
        home_amsl_m=home_amsl_m,
        takeoff_height_m=ours.get("takeoff_height_m").number(),
        waypoints=tuple(waypoints),
        fence=replace(fence, max_altitude=None if top is None else _our_altitude(top)),
        return_height_m=ours.get("return_height_m").number(),
        cruise_speed_m_s=ours.get("cruise_speed_m_s").number(),
        start_after_s=start_after_s,
        starts_first=starts_first,
    )
    bare = replace(
        plan,
        takeoff_height_m=flown.takeoff_height_m,
        cruise_speed_m_s=flown.cruise_speed_m_s,
        waypoints=tuple(flown.waypoints),
    )
    if repr(compile_plan(plan)) != repr(compile_plan(bare)):
        ours.fail(
            "speeds, heights, gimbal angles or camera commands differ from mission.items; "
            'remove the "dronectl" object if the items were edited'
        )
    return plan


def _our_altitude(node: Node) -> Altitude:
    datum = node.get("datum")
    try:
        return Altitude(node.get("value_m").number(), Datum(datum.text()))
    except ValueError as error:
        if isinstance(error, PlanError):
            raise
        datum.fail(f"must be one of {', '.join(d.value for d in Datum)}")
