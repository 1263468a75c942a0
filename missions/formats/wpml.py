# SPDX-License-Identifier: AGPL-3.0-or-later
"""DJI WPML: a KMZ with wpmz/template.kml (for the ground station) and wpmz/waylines.wpml (what the vehicle flies).

Written for the waypoint template with heights above the take-off point; holds, gimbal pitch, heading, single photos and
photos by distance become actions; `wpml_read` reads them back.
Element names follow DJI's published WPML reference (namespace http://www.dji.com/wpmz/1.0.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from missions.errors import PlanError
from missions.formats.flight_file import (
    FlightFile,
    Home,
    Loss,
    Written,
    losses_of_fence,
    losses_of_orders,
    losses_of_places,
    one_route,
)
from missions.formats.kml import KML_SPACE
from missions.formats.waypoint_view import PlainRoute, PlainWaypoint, plain_route
from missions.formats.xml_tree import XmlText, zipped
from missions.geo import Datum, GeoPoint, wrap_degrees

WPML_SPACE: Final = "http://www.dji.com/wpmz/1.0.2"
TEMPLATE: Final = "wpmz/template.kml"
WAYLINES: Final = "wpmz/waylines.wpml"
_WHAT = "a WPML file"
_DEFAULT_SPEED_M_S = 5.0
_SECURITY_HEIGHT_M = 20.0
BY_DISTANCE: Final = "multipleDistance"


def write_wpml(file: FlightFile, *, written_at_ms: int = 0) -> Written:
    """The first route. Raises PlanError for altitudes that cannot be given above the take-off point."""
    route, losses = one_route(file, _WHAT)
    losses += [*losses_of_fence(file, _WHAT), *losses_of_places(file, _WHAT), *losses_of_orders(route, _WHAT)]
    plain = plain_route(route, _WHAT)
    losses += plain.losses
    if len(plain.waypoints) < 2:
        raise PlanError(f"route {route.name}: a WPML route needs at least two waypoints")
    if route.home is not None:
        losses.append(Loss(route.name, "WPML starts where the vehicle stands: the home is not written"))
    heights = [_above_home(w, i, route.home) for i, w in enumerate(plain.waypoints)]
    speed = _DEFAULT_SPEED_M_S if route.cruise_speed_m_s is None else route.cruise_speed_m_s
    if route.cruise_speed_m_s is None:
        losses.append(Loss(route.name, f"names no speed: {_DEFAULT_SPEED_M_S:g} m/s is written"))
    last = plain.waypoints[-1]
    if last.trigger_m is not None and last.trigger_m > 0.0:
        losses.append(Loss(route.name, f"pictures by distance after the last waypoint have no place in {_WHAT}"))
    # Ours are speeds on the way to a waypoint, theirs on the way from it; the way to the first has one of its own.
    current, speeds = speed, [speed]
    for waypoint in plain.waypoints:
        current = current if waypoint.speed_m_s is None else waypoint.speed_m_s
        speeds[-1:] = [current, current]
    files = {
        TEMPLATE: _template(plain, heights, speeds, speed, written_at_ms),
        WAYLINES: _waylines(plain, heights, speeds, speed),
    }
    return Written(zipped(files), tuple(losses))


def _above_home(waypoint: PlainWaypoint, index: int, home: Home | None) -> float:
    altitude = waypoint.altitude
    if altitude is not None and altitude.datum is Datum.HOME:
        return altitude.value_m
    if altitude is not None and altitude.datum is Datum.AMSL and home is not None and home.amsl_m is not None:
        return altitude.value_m - home.amsl_m
    why = "it has none" if altitude is None else f"it is above {altitude.datum.value}"
    raise PlanError(
        f"waypoint {index + 1}: WPML takes heights above the take-off point, and {why}; give a height above home"
    )


def _mission_config(xml: XmlText, plain: PlainRoute, transitional_m_s: float) -> None:
    finish = "goHome" if plain.returns else "autoLand" if plain.lands else "noAction"
    xml.start("wpml:missionConfig")
    xml.leaf("wpml:flyToWaylineMode", "safely")
    xml.leaf("wpml:finishAction", finish)
    xml.leaf("wpml:exitOnRCLost", "executeLostAction")
    xml.leaf("wpml:executeRCLostAction", "goBack")
    xml.leaf("wpml:takeOffSecurityHeight", _SECURITY_HEIGHT_M)
    xml.leaf("wpml:globalTransitionalSpeed", transitional_m_s)
    xml.start("wpml:droneInfo")  # M30, the reference's own example; ground stations ask when it is another
    xml.leaf("wpml:droneEnumValue", "67")
    xml.leaf("wpml:droneSubEnumValue", "0")
    xml.end()
    xml.start("wpml:payloadInfo")
    xml.leaf("wpml:payloadEnumValue", "52")
    xml.leaf("wpml:payloadSubEnumValue", "0")
    xml.leaf("wpml:payloadPositionIndex", "0")
    xml.end()
    xml.end()


def _template(plain: PlainRoute, heights: list[float], speeds: list[float], speed: float, written_at_ms: int) -> bytes:
    xml = XmlText()
    xml.start("kml", xmlns=KML_SPACE, xmlns__wpml=WPML_SPACE)
    xml.start("Document")
    xml.leaf("wpml:author", "dronectl")
    xml.leaf("wpml:createTime", str(written_at_ms))
    xml.leaf("wpml:updateTime", str(written_at_ms))
    _mission_config(xml, plain, speeds[0])
    xml.start("Folder")
    xml.leaf("wpml:templateType", "waypoint")
    xml.leaf("wpml:templateId", "0")
    xml.start("wpml:waylineCoordinateSysParam")
    xml.leaf("wpml:coordinateMode", "WGS84")
    xml.leaf("wpml:heightMode", "relativeToStartPoint")
    xml.end()
    xml.leaf("wpml:autoFlightSpeed", speed)
    xml.leaf("wpml:globalHeight", heights[0])
    xml.leaf("wpml:caliFlightEnable", "0")
    xml.leaf("wpml:gimbalPitchMode", "manual")
    _heading(xml, "wpml:globalWaypointHeadingParam", None)
    xml.leaf("wpml:globalWaypointTurnMode", "toPointAndStopWithDiscontinuityCurvature")
    xml.leaf("wpml:globalUseStraightLine", "1")
    for index, waypoint in enumerate(plain.waypoints):
        xml.start("Placemark")
        _point(xml, waypoint.position)
        xml.leaf("wpml:index", str(index))
        xml.leaf("wpml:height", heights[index])
        xml.leaf("wpml:useGlobalHeight", "0")
        xml.leaf("wpml:useGlobalSpeed", str(int(speeds[index + 1] == speed)))
        xml.leaf("wpml:waypointSpeed", speeds[index + 1])
        xml.leaf("wpml:useGlobalHeadingParam", str(int(waypoint.yaw_deg is None)))
        _heading(xml, "wpml:waypointHeadingParam", waypoint.yaw_deg)
        xml.leaf("wpml:useGlobalTurnParam", "1")
        _actions(xml, index, waypoint)
        _photos_by_distance(xml, index, plain.waypoints)
        xml.end()
    for _ in range(3):
        xml.end()
    return xml.data()


def _waylines(plain: PlainRoute, heights: list[float], speeds: list[float], speed: float) -> bytes:
    xml = XmlText()
    xml.start("kml", xmlns=KML_SPACE, xmlns__wpml=WPML_SPACE)
    xml.start("Document")
    _mission_config(xml, plain, speeds[0])
    xml.start("Folder")
    xml.leaf("wpml:templateId", "0")
    xml.leaf("wpml:executeHeightMode", "relativeToStartPoint")
    xml.leaf("wpml:waylineId", "0")
    xml.leaf("wpml:autoFlightSpeed", speed)
    for index, waypoint in enumerate(plain.waypoints):
        xml.start("Placemark")
        _point(xml, waypoint.position)
        xml.leaf("wpml:index", str(index))
        xml.leaf("wpml:executeHeight", heights[index])
        xml.leaf("wpml:waypointSpeed", speeds[index + 1])
        _heading(xml, "wpml:waypointHeadingParam", waypoint.yaw_deg)
        xml.start("wpml:waypointTurnParam")
        xml.leaf("wpml:waypointTurnMode", "toPointAndStopWithDiscontinuityCurvature")
        xml.leaf("wpml:waypointTurnDampingDist", "0")
        xml.end()
        xml.leaf("wpml:useStraightLine", "1")
        _actions(xml, index, waypoint)
        _photos_by_distance(xml, index, plain.waypoints)
        xml.end()
    for _ in range(3):
        xml.end()
    return xml.data()


def _point(xml: XmlText, position: GeoPoint) -> None:
    xml.start("Point")
    xml.leaf("coordinates", f"{position.longitude_deg!r},{position.latitude_deg!r}")
    xml.end()


def _heading(xml: XmlText, tag: str, yaw_deg: float | None) -> None:
    xml.start(tag)
    xml.leaf("wpml:waypointHeadingMode", "followWayline" if yaw_deg is None else "smoothTransition")
    angle = 0.0 if yaw_deg is None else yaw_deg
    xml.leaf("wpml:waypointHeadingAngle", angle if abs(angle) <= 180.0 else wrap_degrees(angle))  # -180 to 180
    xml.leaf("wpml:waypointHeadingPathMode", "followBadArc")
    xml.end()


def _actions(xml: XmlText, index: int, waypoint: PlainWaypoint) -> None:
    actions: list[tuple[str, dict[str, str | float]]] = []
    if waypoint.gimbal_pitch_deg is not None:
        turn: dict[str, str | float] = {
            "gimbalHeadingYawBase": "north",
            "gimbalRotateMode": "absoluteAngle",
            "gimbalPitchRotateEnable": "1",
            "gimbalPitchRotateAngle": waypoint.gimbal_pitch_deg,
            "gimbalRollRotateEnable": "0",
            "gimbalRollRotateAngle": "0",
            "gimbalYawRotateEnable": "0",
            "gimbalYawRotateAngle": "0",
            "gimbalRotateTimeEnable": "0",
            "gimbalRotateTime": "0",
            "payloadPositionIndex": "0",
        }
        actions.append(("gimbalRotate", turn))
    if waypoint.hold_s:
        actions.append(("hover", {"hoverTime": waypoint.hold_s}))
    if waypoint.photo:
        actions.append(("takePhoto", {"fileSuffix": f"wp{index + 1}", "payloadPositionIndex": "0"}))
    if actions:
        _group(xml, (index, index, index), ("reachPoint", None), actions)


def _photos_by_distance(xml: XmlText, index: int, waypoints: Sequence[PlainWaypoint]) -> None:
    """Pictures every so many metres from this waypoint to the one that says otherwise, or to the last."""
    every_m = waypoints[index].trigger_m
    if every_m is None or every_m <= 0.0 or index + 1 == len(waypoints):
        return
    end = index + 1
    while end + 1 < len(waypoints) and waypoints[end].trigger_m is None:
        end += 1
    shot: dict[str, str | float] = {"fileSuffix": f"wp{index + 1}", "payloadPositionIndex": "0"}
    _group(xml, (len(waypoints) + index, index, end), (BY_DISTANCE, every_m), [("takePhoto", shot)])


def _group(
    xml: XmlText,
    number_first_last: tuple[int, int, int],
    trigger: tuple[str, float | None],
    actions: Sequence[tuple[str, dict[str, str | float]]],
) -> None:
    xml.start("wpml:actionGroup")
    for tag, number in zip(("Id", "StartIndex", "EndIndex"), number_first_last, strict=True):
        xml.leaf(f"wpml:actionGroup{tag}", str(number))
    xml.leaf("wpml:actionGroupMode", "sequence")
    xml.start("wpml:actionTrigger")
    kind, parameter = trigger
    xml.leaf("wpml:actionTriggerType", kind)
    if parameter is not None:
        xml.leaf("wpml:actionTriggerParam", parameter)
    xml.end()
    for number, (function, parameters) in enumerate(actions):
        xml.start("wpml:action")
        xml.leaf("wpml:actionId", str(number))
        xml.leaf("wpml:actionActuatorFunc", function)
        xml.start("wpml:actionActuatorFuncParam")
        for key, value in parameters.items():
            xml.leaf(f"wpml:{key}", value)
        xml.end()
        xml.end()
    xml.end()
