# SPDX-License-Identifier: AGPL-3.0-or-later
"""DJI WPML read back: waypoints and the actions that `wpml` writes, from waylines.wpml; others are losses with their line."""

from __future__ import annotations

from collections.abc import Iterator

from missions.errors import PlanError
from missions.formats.flight_file import (
    DO_CHANGE_SPEED,
    DO_MOUNT_CONTROL,
    DO_SET_CAM_TRIGG_DIST,
    IMAGE_START_CAPTURE,
    NAV_LAND,
    NAV_RETURN_TO_LAUNCH,
    NAV_WAYPOINT,
    FlightFile,
    Loss,
    Route,
    Step,
)
from missions.formats.wpml import BY_DISTANCE, WAYLINES
from missions.formats.xml_tree import Element, number_of, parse_xml, unzip
from missions.geo import Altitude, Datum, GeoError, GeoPoint

_MOUNT_MODE_MAVLINK_TARGETING = 2.0
_DATUM_OF_MODE = {
    "relativeToStartPoint": Datum.HOME,
    "WGS84": Datum.ELLIPSOID,
    "realTimeFollowSurface": Datum.TERRAIN,
}


def read_wpml(data: bytes, *, source: str) -> FlightFile:
    """Read a WPML archive. Raises PlanError naming file and line."""
    entries = unzip(data, source)
    name = next((n for n in entries if n.lower().endswith("waylines.wpml")), None)
    if name is None:
        raise PlanError(f"{source}: holds no {WAYLINES}; export the route again with its waylines")
    document = parse_xml(entries[name], f"{source}/{name}").get("Document")
    config = document.find("missionConfig")
    finish = config.find("finishAction") if config is not None else None
    losses: list[Loss] = []
    first = config.find("globalTransitionalSpeed") if config is not None else None
    routes = [_folder(f, n, finish, first, losses) for n, f in enumerate(document.all("Folder"), 1)]
    return FlightFile(tuple(routes), losses=tuple(losses))


def _folder(folder: Element, number: int, finish: Element | None, first: Element | None, losses: list[Loss]) -> Route:
    mode = folder.get("executeHeightMode")
    if mode.word() not in _DATUM_OF_MODE:
        mode.fail(f"{mode.word()[:40]!r} is an unknown altitude frame; use {', '.join(_DATUM_OF_MODE)}")
    steps: list[Step] = []
    cruise = folder.find("autoFlightSpeed")
    speed = None if cruise is None else cruise.number()
    current = speed
    wanted = speed if first is None else first.number()  # on the way to the next waypoint
    ends: int | None = None  # where the present pictures by distance end
    for index, mark in enumerate(folder.all("Placemark")):
        if wanted is not None and wanted != current:
            current = wanted
            steps.append(Step(DO_CHANGE_SPEED, (1.0, current, -1.0, 0.0), place=mark.place))
        leaving = mark.find("waypointSpeed")
        wanted = speed if leaving is None else leaving.number()
        steps += _waypoint(mark, _DATUM_OF_MODE[mode.word()], losses)
        begun = next((g for g in mark.all("actionGroup") if _trigger(g) == BY_DISTANCE), None)
        if begun is not None:
            every_m, ends = begun.get("actionTrigger").get("actionTriggerParam").number(), _last_of(begun)
            steps.append(Step(DO_SET_CAM_TRIGG_DIST, (every_m, 0.0, 1.0, 0.0), place=begun.place))
        elif index == ends:
            steps.append(Step(DO_SET_CAM_TRIGG_DIST, (0.0, 0.0, 0.0, 0.0), place=mark.place))
    end = "noAction" if finish is None else finish.word()
    if end == "goHome":
        steps.append(Step(NAV_RETURN_TO_LAUNCH, (0.0, 0.0, 0.0, 0.0)))
    elif end == "autoLand" and steps:
        last = next(s for s in reversed(steps) if s.position is not None)
        steps.append(Step(NAV_LAND, (0.0, 0.0, 0.0, None), last.position, last.altitude))
    elif end != "noAction" and finish is not None:
        losses.append(Loss(finish.place, f"finishAction {end[:40]} is not supported; the flight ends in a hold"))
    return Route(f"wayline {number}", tuple(steps), None, speed)


def _trigger(group: Element) -> str:
    trigger = group.find("actionTrigger")
    return "reachPoint" if trigger is None else trigger.get("actionTriggerType").word()


def _last_of(group: Element) -> int:
    return int(group.get("actionGroupEndIndex").number())


def _waypoint(mark: Element, datum: Datum, losses: list[Loss]) -> Iterator[Step]:
    point = mark.get("Point").get("coordinates")
    parts = point.word().split(",")
    if len(parts) < 2:
        point.fail("must be longitude,latitude")
    try:
        position = GeoPoint(number_of(parts[1], point), number_of(parts[0], point))
    except GeoError as error:
        point.fail(str(error))
    altitude = Altitude(mark.get("executeHeight").number(), datum)
    heading = mark.find("waypointHeadingParam")
    yaw: float | None = None
    if heading is not None:
        kind, angle = heading.find("waypointHeadingMode"), heading.find("waypointHeadingAngle")
        how = "followWayline" if kind is None else kind.word()
        if how in {"smoothTransition", "fixed"} and angle is not None:
            yaw = angle.number()
        elif how != "followWayline":
            losses.append(Loss(heading.place, f"heading mode {how[:40]} is not supported; it follows the course"))
    hold, gimbal, photo = 0.0, None, False
    for group in mark.all("actionGroup"):
        trigger = _trigger(group)
        if trigger == BY_DISTANCE:
            losses += [
                Loss(a.place, f"action {a.get('actionActuatorFunc').word()[:40]} by distance is not supported")
                for a in group.all("action")
                if a.get("actionActuatorFunc").word() != "takePhoto"
            ]
            continue
        if trigger != "reachPoint":
            losses.append(Loss(group.place, f"trigger {trigger[:40]} is not supported"))
            continue
        for action in group.all("action"):
            function, given = action.get("actionActuatorFunc").word(), action.find("actionActuatorFuncParam")
            if function == "hover" and given is not None:
                hold += given.get("hoverTime").number()
            elif function == "gimbalRotate" and given is not None and given.find("gimbalPitchRotateAngle") is not None:
                gimbal = given.get("gimbalPitchRotateAngle").number()
            elif function == "takePhoto":
                photo = True
            else:
                losses.append(Loss(action.place, f"action {function[:40]} is not supported"))
    if gimbal is not None:
        rest = (0.0, 0.0, _MOUNT_MODE_MAVLINK_TARGETING)
        yield Step(DO_MOUNT_CONTROL, (gimbal, 0.0, 0.0, 0.0), rest=rest, place=mark.place)
    yield Step(NAV_WAYPOINT, (hold, 0.0, 0.0, yaw), position, altitude, place=mark.place)
    if photo:
        yield Step(IMAGE_START_CAPTURE, (0.0, 0.0, 1.0, 0.0), place=mark.place)
