# SPDX-License-Identifier: AGPL-3.0-or-later
"""Between two waves of a search: what the flights were worth that were really flown, and the next ones from the pads.

Footprints are taken from telemetry, not from plans, so that a lost drone, a broken-off flight or a detour counts for
what it was. Drones that are lost are simply not among those named. `search_resume` plans for drones in the air.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dronectl.operations.search_resume import after_flying, sensing_of
from dronectl.operations.searching import SiteSearch, plan_site_search
from dronectl.site import Site
from missions.geo import GeoPoint
from missions.model import Budget
from missions.search.flown import Swept
from missions.search.probability import ProbabilityMap
from missions.terrain import OutsideTerrainError, height_at

_LEAST_HEIGHT = 0.8  # of the search height: lower, in climb and landing, the picture is too small to count


@dataclass(frozen=True, slots=True)
class Fix:
    """Where a drone was, in the order in which it was there."""

    latitude_deg: float
    longitude_deg: float
    amsl_m: float


def parts_that_looked(site: Site, height_m: float, fixes: Sequence[Fix]) -> list[list[GeoPoint]]:
    """The parts of a flight that were high enough above the ground for a search from height_m."""
    parts: list[list[GeoPoint]] = [[]]
    for fix in fixes:
        place = GeoPoint(fix.latitude_deg, fix.longitude_deg)
        try:
            high = fix.amsl_m - height_at(site.terrain, place) >= _LEAST_HEIGHT * height_m
        except OutsideTerrainError:
            high = False  # beyond the map nothing is known of what was seen
        if high:
            parts[-1].append(place)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if len(part) > 1]


def after_flights(site: Site, found: SiteSearch, fixes: Sequence[Sequence[Fix]]) -> Swept:
    """The map after a search's flights (fixes of each, in order) that found nobody: exact Bayes.

    `found` of the result is the probability that those flights would have found somebody, comparable with the plan's
    `pos`. Raises BadInputError when nothing is left of the map.
    """
    parts = [part for flight in fixes for part in parts_that_looked(site, found.height_m, flight)]
    return after_flying(found.chart, parts, sensing_of(found))


def next_flights(
    site: Site,
    found: SiteSearch,
    chart: ProbabilityMap,
    drone_ids: Sequence[str],
    budget: Budget,
    *,
    wind_m_s: float = 0.0,
) -> SiteSearch:
    """Plans from the pads with full batteries for the drones that are left, on today's map. Raises BadInputError."""
    sensing = sensing_of(found)
    return plan_site_search(site, chart, found.at, sensing, budget, drone_ids=drone_ids, wind_m_s=wind_m_s)


def out_of_reach(found: SiteSearch, chart: ProbabilityMap) -> float:
    """How much of a map lies where the search's drones cannot look."""
    belief = found.plan.belief
    inside = chart.mass_on(belief.west_m, belief.south_m, belief.cell_m, belief.mass.shape)
    return max(0.0, 1.0 - float(inside.sum(where=True if belief.seen is None else belief.seen)))
