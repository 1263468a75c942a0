# SPDX-License-Identifier: AGPL-3.0-or-later
"""The story of `dronectl demo cover`: a drawn area near the dock, with a pond in it, and batteries that hold little."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any, Final

from dronectl.demo.stage import Play, Stage
from dronectl.operations.covering import CoverWishes
from dronectl.site import Site

DRONES: Final = 2
ENDURANCE_S: Final = 420.0  # so that every drone needs fresh batteries on the way
WISHES: Final = CoverWishes(camera_id="thermal", wind_m_s=2.5, wind_from_deg=220.0)
# Metres along and across, before the area is turned and put beside the dock: a notched field, and a pond in it.
FIELD: Final = ((-160.0, -110.0), (120.0, -110.0), (160.0, 20.0), (60.0, 60.0), (80.0, 110.0), (-140.0, 120.0))
POND: Final = ((-70.0, -30.0), (-70.0, 30.0), (-10.0, 40.0), (-10.0, -40.0))
_AWAY_M: Final = 240.0


def cover_play() -> Play:
    """The site with two drones, thermal cameras alone, small batteries; nothing but trees on the ground."""

    def edit(document: dict[str, Any]) -> None:
        document["drones"] = document["drones"][:DRONES]
        for drone in document["drones"]:
            drone["cameras"] = [c for c in drone.get("cameras", []) if c["type"] == WISHES.camera_id]
        for camera in document.get("cameras", {}).values():
            camera["rate_hz"] = 0.2  # nobody is looked for
        document["mission"]["purpose"] = "Photograph a drawn area without a gap"
        document.setdefault("limits", {})["endurance_s"] = ENDURANCE_S
        document.setdefault("failsafe", {}).update({"battery_low": 0.55, "battery_critical": 0.45})

    return Play("cover", edit, lambda _site: {"trees": 60})


def area_rings(site: Site, seed: int) -> list[list[list[float]]]:
    """The drawn area as GeoJSON rings: west of the dock, turned and moved by the seed."""
    rng = random.Random(f"area {seed}")
    turn, bearing = rng.uniform(0.0, 2.0 * math.pi), math.radians(rng.uniform(190.0, 340.0))
    east_0, north_0 = _AWAY_M * math.sin(bearing), _AWAY_M * math.cos(bearing)
    rings = []
    for outline in (FIELD, POND):
        ring = []
        for along, across in (*outline, outline[0]):
            east = east_0 + along * math.cos(turn) - across * math.sin(turn)
            north = north_0 + along * math.sin(turn) + across * math.cos(turn)
            point = site.frame.to_geo(east, north)
            ring.append([round(point.longitude_deg, 7), round(point.latitude_deg, 7)])
        rings.append(ring)
    return rings


def draw_area(stage: Stage, seed: int) -> Path:
    """Write the area as a user would hand it in; returns the file."""
    file = stage.folder / "area.geojson"
    document = {"type": "Polygon", "coordinates": area_rings(stage.site, seed)}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return file
