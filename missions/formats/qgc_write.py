# SPDX-License-Identifier: AGPL-3.0-or-later
"""QGroundControl `.plan` files (fileType Plan, version 1): a flight plan to text. Reading is in `qgc_read`.

Mission items are those that are uploaded (`missions.mavlink_items`). What the format has no place for (mission,
vehicle, return height, start within its set, which items a waypoint serves) goes into one extra top-level object,
"dronectl", so that writing and reading give the same plan again; other ground stations ignore it.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from missions.formats.steps_json import start_json
from missions.geo import Altitude, Datum, GeoPoint
from missions.mavlink_items import (
    DO_JUMP,
    FRAME_GLOBAL,
    FRAME_GLOBAL_RELATIVE_ALT,
    FRAME_MISSION,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    MissionItem,
    compile_plan,
)
from missions.model import FlightPlan, Waypoint

OUR_KEY: Final = "dronectl"
SCHEMA_VERSION: Final = 1
VEHICLE_TYPE_QUADROTOR: Final = 2  # MAV_TYPE_QUADROTOR
FIRMWARE_TYPE_PX4: Final = 12  # MAV_AUTOPILOT_PX4
ALTITUDE_MODE: Final = {FRAME_GLOBAL_RELATIVE_ALT: 1, FRAME_GLOBAL: 2}


def write_plan(plan: FlightPlan) -> str:
    """Return the plan as `.plan` text, ending in a line feed.

    Raises ValueError for an altitude that is neither above home nor above mean sea level, and for numbers that are
    not finite.
    """
    compiled = compile_plan(plan)
    items = []
    for item, index in zip(compiled.items, compiled.waypoint_of_item, strict=True):
        place: GeoPoint | None = None
        if plan.commands:
            placed = item.frame != FRAME_MISSION and (index is not None or item.x or item.y)
            place = GeoPoint(item.x / 1e7, item.y / 1e7) if placed else None
        elif index is not None:
            place = plan.waypoints[index].position
        elif item.command == NAV_TAKEOFF:
            place = plan.home
        items.append(_item(item, place))
    document: dict[str, Any] = {
        "fileType": "Plan",
        "version": 1,
        "groundStation": "dronectl",
        "mission": {
            "version": 2,
            "firmwareType": FIRMWARE_TYPE_PX4,
            "vehicleType": VEHICLE_TYPE_QUADROTOR,
            "cruiseSpeed": plan.cruise_speed_m_s,
            "hoverSpeed": plan.cruise_speed_m_s,
            "globalPlanAltitudeMode": _global_mode(plan),
            "plannedHomePosition": [plan.home.latitude_deg, plan.home.longitude_deg, plan.home_amsl_m],
            "items": items,
        },
        "geoFence": {
            "version": 2,
            "circles": [],
            "polygons": [_polygon(r, inclusion=True) for r in plan.fence.inclusion]
            + [_polygon(r, inclusion=False) for r in plan.fence.exclusion],
        },
        "rallyPoints": {"version": 2, "points": []},
        OUR_KEY: _ours(plan),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _number(value: float) -> float | None:
    """JSON has no NaN; the format writes null for "unchanged"."""
    return None if math.isnan(value) else value


def _item(item: MissionItem, place: GeoPoint | None) -> dict[str, Any]:
    x, y = (float(item.x), float(item.y)) if place is None else (place.latitude_deg, place.longitude_deg)
    params = [_number(p) for p in (item.param1, item.param2, item.param3, item.param4)]
    out: dict[str, Any] = {
        "type": "SimpleItem",
        "doJumpId": item.seq + 1,
        "command": item.command,
        "frame": item.frame,
        "autoContinue": bool(item.autocontinue),
        "params": [*params, x, y, item.z],
    }
    if item.command == DO_JUMP:
        out["params"][0] = item.param1 + 1  # a .plan counts its items from 1
    if place is not None:
        out |= {"Altitude": item.z, "AltitudeMode": ALTITUDE_MODE[item.frame], "AMSLAltAboveTerrain": None}
    return out


def _global_mode(plan: FlightPlan) -> int:
    """1 above home, 2 above mean sea level, 0 mixed."""
    datums = {w.altitude.datum for w in plan.waypoints}
    if datums <= {Datum.HOME}:
        return 1
    return 2 if datums == {Datum.AMSL} else 0


def _polygon(ring: tuple[GeoPoint, ...], *, inclusion: bool) -> dict[str, Any]:
    return {
        "version": 1,
        "inclusion": inclusion,
        "polygon": [[p.latitude_deg, p.longitude_deg] for p in ring],
    }


def _ours(plan: FlightPlan) -> dict[str, Any]:
    top = plan.fence.max_altitude
    notes = [_note(w) for w in plan.waypoints]
    if plan.commands:
        notes = [{"serves": []} for command in plan.commands if command.command == NAV_WAYPOINT]
    return {
        "schema_version": SCHEMA_VERSION,
        "vehicle_id": plan.vehicle_id,
        "mission": {
            "mission_id": plan.mission.mission_id,
            "purpose": plan.mission.purpose,
            "authority": {"who": plan.mission.authority.who, "ground": plan.mission.authority.ground},
            "category": plan.mission.category.value,
        },
        "takeoff_height_m": plan.takeoff_height_m,
        "return_height_m": plan.return_height_m,
        **start_json(plan),
        "cruise_speed_m_s": plan.cruise_speed_m_s,
        "max_altitude": None if top is None else _altitude(top),
        "waypoints": notes,
        **({"drawn": True} if plan.commands else {}),
    }


def _note(waypoint: Waypoint) -> dict[str, Any]:
    note: dict[str, Any] = {
        "serves": list(waypoint.serves),
        "speed_m_s": waypoint.speed_m_s,
        "gimbal_pitch_deg": waypoint.gimbal_pitch_deg,
    }
    if waypoint.trigger_m is not None:
        note["trigger_m"] = waypoint.trigger_m
    if waypoint.photo:
        note["photo"] = True
    return note


def _altitude(altitude: Altitude) -> dict[str, Any]:
    return {"value_m": altitude.value_m, "datum": altitude.datum.value}
