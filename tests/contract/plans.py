# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small missions and fences around a home, as mission items."""

from __future__ import annotations

import json
import math

from missions.formats.qgc_plan import PlanDefaults, read_plan
from missions.geo import GeoPoint, destination
from missions.mavlink_items import (
    FRAME_GLOBAL,
    FRAME_GLOBAL_RELATIVE_ALT,
    FRAME_MISSION,
    MISSION_TYPE_FENCE,
    NAV_FENCE_POLYGON_VERTEX_INCLUSION,
    NAV_RETURN_TO_LAUNCH,
    NAV_TAKEOFF,
    NAV_WAYPOINT,
    MissionItem,
    compile_plan,
)
from missions.model import Authority, Category, Mission

HEIGHT_M = 10.0


def _item(seq: int, command: int, place: GeoPoint | None, param2: float = 0.0, param4: float = 0.0) -> MissionItem:
    if place is None:
        return MissionItem(seq, FRAME_MISSION, command, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0)
    x, y = round(place.latitude_deg * 1e7), round(place.longitude_deg * 1e7)
    frame = FRAME_GLOBAL_RELATIVE_ALT
    return MissionItem(seq, frame, command, 0.0, param2, 0.0, param4, x, y, HEIGHT_M, current=int(seq == 0))


def mission(home: GeoPoint, places: list[GeoPoint], *, come_home: bool = True) -> tuple[MissionItem, ...]:
    """Take-off, the places (yaw free: NaN), and a return to launch."""
    items = [_item(0, NAV_TAKEOFF, home, param4=math.nan)]
    items += [_item(n, NAV_WAYPOINT, place, 2.0, math.nan) for n, place in enumerate(places, 1)]
    if come_home:
        items.append(_item(len(items), NAV_RETURN_TO_LAUNCH, None))
    return tuple(items)


def short(home: GeoPoint) -> tuple[MissionItem, ...]:
    """Three waypoints within 40 m."""
    return mission(home, [destination(home, bearing, 30.0) for bearing in (0.0, 60.0, 120.0)])


def long(home: GeoPoint) -> tuple[MissionItem, ...]:
    """Out by 250 m and back: long enough to interrupt."""
    return mission(home, [destination(home, bearing, metres) for bearing, metres in ((0.0, 30.0), (0.0, 250.0))])


def fence(home: GeoPoint, radius_m: float) -> tuple[MissionItem, ...]:
    """A square that reaches radius_m from home."""
    corners = [destination(home, bearing, radius_m * math.sqrt(2.0)) for bearing in (45.0, 135.0, 225.0, 315.0)]
    return tuple(
        MissionItem(
            seq,
            FRAME_GLOBAL,
            NAV_FENCE_POLYGON_VERTEX_INCLUSION,
            float(len(corners)),
            0.0,
            0.0,
            0.0,
            round(corner.latitude_deg * 1e7),
            round(corner.longitude_deg * 1e7),
            0.0,
            mission_type=MISSION_TYPE_FENCE,
        )
        for seq, corner in enumerate(corners)
    )


def drawn(home: GeoPoint) -> tuple[MissionItem, ...]:
    """A survey, a loiter, a loop and camera commands as QGroundControl draws them, read as `fly` reads them."""

    def item(command: int, params: list[float | None], place: GeoPoint | None = None) -> dict[str, object]:
        at = [0, 0, 0] if place is None else [place.latitude_deg, place.longitude_deg, HEIGHT_M]
        frame = FRAME_MISSION if place is None else FRAME_GLOBAL_RELATIVE_ALT
        return {"type": "SimpleItem", "command": command, "frame": frame, "autoContinue": True, "params": params + at}

    inner: list[dict[str, object]] = []
    for start, end in ((20.0, 40.0), (60.0, 80.0)):
        inner.append(item(NAV_WAYPOINT, [0, 2, 0, None], destination(home, start, 30.0)))
        inner.append(item(206, [5.0, 0, 1, 0]))
        inner.append(item(NAV_WAYPOINT, [0, 2, 0, None], destination(home, end, 30.0)))
        inner.append(item(206, [0, 0, 0, 0]))
    survey = {"type": "ComplexItem", "complexItemType": "survey", "TransectStyleComplexItem": {"Items": inner}}
    items = [
        item(NAV_TAKEOFF, [0, 0, 0, None], home),
        item(205, [-90, 0, 0, 0]),
        survey,
        item(19, [2, 0, 0, None], destination(home, 90.0, 25.0)),
        item(2000, [0, 0, 1, 0]),
        item(177, [9, 1, 0, 0]),  # once more to the survey's last waypoint
        item(203, [0, 0, 0, 0]),
        item(NAV_RETURN_TO_LAUNCH, [0, 0, 0, 0]),
    ]
    for number, one in enumerate([*items[:2], *inner, *items[3:]], 1):
        one["doJumpId"] = number
    document = {
        "fileType": "Plan",
        "version": 1,
        "mission": {
            "hoverSpeed": 5,
            "plannedHomePosition": [home.latitude_deg, home.longitude_deg, 0],
            "items": items,
        },
    }
    orders = Mission("contract", "contract test", Authority("tests", "contract"), Category.TRAINING)
    return compile_plan(read_plan(json.dumps(document), source="drawn", defaults=PlanDefaults(orders, "v", 15.0))).items
