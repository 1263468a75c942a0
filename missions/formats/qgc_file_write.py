# SPDX-License-Identifier: AGPL-3.0-or-later
"""A flight file as a QGroundControl `.plan`: what QGroundControl 4 and 5 open. Reading is in `qgc_file`.

Surveys and corridors are written as such, with the items that they fly inside. A flight with orders (ours) gets the
"dronectl" object again, so that it can be flown.
"""

from __future__ import annotations

import json
from typing import Any

from missions.errors import PlanError
from missions.formats.flight_file import (
    DO_CHANGE_SPEED,
    DO_JUMP,
    DO_MOUNT_CONTROL,
    DO_SET_CAM_TRIGG_DIST,
    IMAGE_START_CAPTURE,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    FlightFile,
    Home,
    Loss,
    RallyPoint,
    Route,
    Step,
    Written,
    losses_of_places,
    one_route,
)
from missions.formats.qgc_file import FRAME_MISSION, FRAME_OF_DATUM, NAME_KEY, UNNAMED
from missions.formats.qgc_write import (
    ALTITUDE_MODE,
    FIRMWARE_TYPE_PX4,
    OUR_KEY,
    SCHEMA_VERSION,
    VEHICLE_TYPE_QUADROTOR,
)
from missions.formats.steps_json import TRANSECT, altitude_json, orders_json, start_json
from missions.geo import Altitude, Datum

_WHAT = "a .plan file"
_DEFAULT_SPEED_M_S = 5.0  # QGroundControl's own for a multicopter
_TERRAIN_MODE = 4


def write_qgc(file: FlightFile) -> Written:
    """The first route, the fence, circles and rally points. Raises PlanError for a file without any of these."""
    route, losses = one_route(file, _WHAT) if file.routes else (_fence_only(file), [])
    losses += losses_of_places(file, _WHAT)
    losses += [Loss(ring.name, "a fence ring has no name in a .plan file") for ring in file.rings if ring.name]
    home = route.home
    if home is None or home.amsl_m is None:
        home = _assumed_home(route)
        losses.append(
            Loss(route.name, "a .plan file needs a home with its height: set to the first place at 0 m; correct it")
        )
    items = [_item(step, index) for index, step in enumerate(route.steps)]
    losses += [
        Loss(step.place or f"step {index + 1}", "an altitude above the ellipsoid has no frame in a .plan file; it is 0")
        for index, step in enumerate(route.steps)
        if step.altitude is not None and step.altitude.datum not in FRAME_OF_DATUM
    ]
    losses += [
        Loss(step.place or f"step {index + 1}", "has a place, but no altitude: it is 0 above home; give a height")
        for index, step in enumerate(route.steps)
        if step.altitude is None and step.position is not None
    ]
    speed = _DEFAULT_SPEED_M_S if route.cruise_speed_m_s is None else route.cruise_speed_m_s
    rally = []
    for number, point in enumerate(file.rally, 1):
        height = _above_home(point, home)
        if height is None:
            losses.append(Loss(f"rally point {number}", "its height cannot be related to home; it is not written"))
        else:
            rally.append([point.position.latitude_deg, point.position.longitude_deg, height])
    document: dict[str, Any] = {
        "fileType": "Plan",
        "version": 1,
        "groundStation": "dronectl",
        "mission": {
            "version": 2,
            "firmwareType": FIRMWARE_TYPE_PX4,
            "vehicleType": VEHICLE_TYPE_QUADROTOR,
            "cruiseSpeed": speed,
            "hoverSpeed": speed,
            "globalPlanAltitudeMode": _global_mode(route),
            "plannedHomePosition": [home.position.latitude_deg, home.position.longitude_deg, home.amsl_m],
            "items": _with_surveys(items, route),
            **{key: int(value) if value == int(value) else value for key, value in route.planner},
        },
        "geoFence": {
            "version": 2,
            "polygons": [
                {
                    "version": 1,
                    "inclusion": ring.inclusion,
                    "polygon": [[p.latitude_deg, p.longitude_deg] for p in ring.corners],
                }
                for ring in file.rings
            ],
            "circles": [
                {
                    "version": 1,
                    "inclusion": c.inclusion,
                    "circle": {"center": [c.centre.latitude_deg, c.centre.longitude_deg], "radius": c.radius_m},
                }
                for c in file.circles
            ],
        },
        "rallyPoints": {"version": 2, "points": rally},
    }
    if route.orders is not None:
        document[OUR_KEY] = _ours(route, speed, file.max_altitude)
    else:
        if file.max_altitude is not None:
            losses.append(Loss("the fence's height limit", "a .plan file of no drone of ours has no place for it"))
        if route.name != UNNAMED:
            document[NAME_KEY] = route.name
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return Written(text.encode(), tuple(losses))


def _fence_only(file: FlightFile) -> Route:
    """No flight: a plan that only carries a fence to a vehicle."""
    corners = [ring.corners[0] for ring in file.rings] + [circle.centre for circle in file.circles]
    corners += [point.position for point in file.rally]
    if not corners:
        raise PlanError(f"{_WHAT} needs a route or a fence, and the file holds none")
    return Route(UNNAMED, (), Home(corners[0]))


def _assumed_home(route: Route) -> Home:
    if route.home is not None:
        return Home(route.home.position, 0.0)
    for step in route.steps:
        if step.position is not None:
            return Home(step.position, 0.0)
    raise PlanError(f"route {route.name}: holds no place at all, so that there is nothing to write")


def _item(step: Step, index: int) -> dict[str, Any]:
    params = list(step.params)
    if step.command == DO_JUMP and params[0] is not None:
        params[0] = params[0] + 1
    out: dict[str, Any] = {
        "type": "SimpleItem",
        "doJumpId": index + 1,
        "command": step.command,
        "frame": FRAME_MISSION,
        "autoContinue": step.autocontinue,
        "params": [*params, *step.rest],
    }
    if step.position is None and step.altitude is None:
        return out
    altitude = step.altitude if step.altitude is not None else Altitude(0.0, Datum.HOME)
    frame = FRAME_OF_DATUM.get(altitude.datum)
    value = altitude.value_m if frame is not None else 0.0
    frame = FRAME_OF_DATUM[Datum.HOME] if frame is None else frame
    at = step.position
    place = [0.0, 0.0] if at is None else [at.latitude_deg, at.longitude_deg]
    mode = ALTITUDE_MODE.get(frame, _TERRAIN_MODE)
    return out | {
        "frame": frame,
        "params": [*params, *place, value],
        "Altitude": value,
        "AltitudeMode": mode,
        "AMSLAltAboveTerrain": None,
    }


def _with_surveys(items: list[dict[str, Any]], route: Route) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    at = 0
    for survey in sorted(route.surveys, key=lambda s: s.first):
        if survey.first < at:
            raise PlanError(f"route {route.name}: two surveys share step {survey.first + 1}")
        out += items[at : survey.first]
        at = survey.first + survey.count
        settings = json.loads(survey.settings)
        settings[TRANSECT] = {**settings.get(TRANSECT, {}), "Items": items[survey.first : at]}
        out.append(settings)
    return out + items[at:]


def _global_mode(route: Route) -> int:
    """1 above home, 2 above mean sea level, 4 above terrain, 0 mixed."""
    datums = {s.altitude.datum for s in route.steps if s.altitude is not None and s.position is not None}
    modes = {Datum.HOME: 1, Datum.AMSL: 2, Datum.TERRAIN: _TERRAIN_MODE}
    return modes.get(next(iter(datums)), 0) if len(datums) == 1 else int(not datums)


def _above_home(point: RallyPoint, home: Home) -> float | None:
    if point.altitude.datum is Datum.HOME:
        return point.altitude.value_m
    if point.altitude.datum is Datum.AMSL and home.amsl_m is not None:
        return point.altitude.value_m - home.amsl_m
    return None


def _ours(route: Route, cruise_speed_m_s: float, top: Altitude | None) -> dict[str, Any]:
    """Our object, as `qgc_read` wants it: speed and gimbal are those set since the waypoint before."""
    if route.orders is None:  # the caller has seen to it; for the type checker
        return {}
    notes: list[dict[str, Any]] = []
    speed: float | None = None
    gimbal: float | None = None
    seen_speed = False
    takeoff = 0.0
    for step in route.steps:
        if step.command == NAV_TAKEOFF and step.altitude is not None:
            takeoff = step.altitude.value_m
        elif step.command == DO_CHANGE_SPEED:
            # The first one, before any waypoint, is the cruise speed itself.
            if seen_speed or notes:
                speed = step.params[1]
            seen_speed = True
        elif step.command == DO_MOUNT_CONTROL:
            gimbal = step.params[0]
        elif step.command == NAV_WAYPOINT:
            notes.append({"serves": list(step.serves), "speed_m_s": speed, "gimbal_pitch_deg": gimbal})
            speed = gimbal = None
        elif step.command == DO_SET_CAM_TRIGG_DIST and notes:
            notes[-1]["trigger_m"] = step.params[0]
        elif step.command == IMAGE_START_CAPTURE and notes:
            notes[-1]["photo"] = True
    orders = orders_json(route.orders)
    return {
        "schema_version": SCHEMA_VERSION,
        "vehicle_id": orders["vehicle_id"],
        "mission": orders["mission"],
        "takeoff_height_m": takeoff,
        "return_height_m": orders["return_height_m"],
        **start_json(route.orders),
        "cruise_speed_m_s": cruise_speed_m_s,
        "max_altitude": None if top is None else altitude_json(top),
        "waypoints": notes,
    }
