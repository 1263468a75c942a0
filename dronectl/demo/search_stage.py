# SPDX-License-Identifier: AGPL-3.0-or-later
"""The story of `dronectl demo search`: who is missing, since when, and what lies on the cold ground that is not them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dronectl.demo.stage import Play
from dronectl.operations.last_seen import WALKING_M_S, LastSeen
from dronectl.operations.searching import Sensing
from dronectl.site import Site
from missions.geo import GeoPoint, distance_m
from missions.search.lost_person import distance_law

CATEGORY: Final = "dementia"
TERRAIN: Final = "temperate_flat"
HOURS_AGO: Final = 0.2
SENSING: Final = Sensing(sweep_width_m=None, height_m=80.0)
ENDURANCE_S: Final = 600.0  # what batteries that are no longer new hold on a cold night
RETURN_HEIGHT_M: Final = 80.0  # the way home sees as much as the search
# Of so small a battery coming home from the farthest place takes a quarter; above that, what may not be used up.
BATTERY_LEVELS: Final = {"battery_low": 0.45, "battery_critical": 0.37}
DECOYS: Final = {"parked_vehicles": 8, "animals": 4, "rocks": 20, "trees": 260}
_NEAR_DOCK_M: Final = 500.0
_PURPOSE: Final = "Search for an elderly person who has not come home"


@dataclass(frozen=True, slots=True)
class Story:
    """The last-seen form, the name of the place on it, how the drones see, and what their batteries hold."""

    form: LastSeen
    place: str
    sensing: Sensing = SENSING
    endurance_s: float = ENDURANCE_S


def story_of(site: Site, seed: int) -> Story:
    """Last seen at one of the site's points near the dock, or at the nearest if none is near; else at the dock itself."""
    dock = site.docks[0]
    by_distance = sorted(site.points, key=lambda p: distance_m(p.position, dock.position))
    near = [p for p in by_distance if distance_m(p.position, dock.position) <= _NEAR_DOCK_M] or by_distance[:1]
    place = random.Random(f"last seen {seed}").choice(near) if near else dock
    return Story(LastSeen(place.position, CATEGORY, TERRAIN, HOURS_AGO), place.name or place.place_id)


def search_play(story: Story) -> Play:
    """The site becomes one for a search by night; the scene holds one person, drawn by the same law as the map."""

    def edit(document: dict[str, Any]) -> None:
        document["mission"]["purpose"] = _PURPOSE
        document["mission"]["category"] = "search"
        document.setdefault("limits", {})["endurance_s"] = story.endurance_s
        failsafe = document.setdefault("failsafe", {})
        failsafe.update(BATTERY_LEVELS)
        failsafe["return_height_m"] = max(RETURN_HEIGHT_M, failsafe.get("return_height_m", 0.0))

    def scene(site: Site) -> Mapping[str, Any]:
        law = distance_law(story.form.category, story.form.terrain)
        hours = story.form.hours_ago
        reach_m = law.farthest_m if hours is None else hours * 3600.0 * WALKING_M_S
        lost = {
            "last_seen": _place(story.form.at),
            "distances_m": [1000.0 * km for km in law.knots_km],
            "shares": list(law.shares),
            "reach_m": reach_m,
            "keep_out": [[[p.latitude_deg, p.longitude_deg] for p in ring] for ring in site.fence.exclusion],
        }
        return {"lost": lost, **DECOYS}

    return Play("search", edit, scene)


def _place(point: GeoPoint) -> dict[str, float]:
    return {"latitude_deg": point.latitude_deg, "longitude_deg": point.longitude_deg}
