# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search that goes on: what was flown without a find changes the map, and the next flights are planned on that.

Footprints are taken from telemetry, not from plans, so that a lost drone, a broken-off flight or a detour counts for
what it was. Drones fly again from their pads; those that are lost are simply not among those named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dronectl.errors import BadInputError
from dronectl.operations.planning import check_at_site
from dronectl.operations.searching import SiteSearch, search_vehicles
from dronectl.site import Site
from missions.errors import PlanningError
from missions.geo import FloatArray, GeoPoint
from missions.model import Budget
from missions.search.belief import Belief
from missions.search.flights import SearchOrder, thinned
from missions.search.planner import replan
from missions.search.probability import ProbabilityMap, from_array
from missions.search.tracks import pod_grid
from missions.terrain import OutsideTerrainError, height_at

_LEAST_HEIGHT = 0.8  # of the search height: lower, in climb and landing, the picture is too small to count


@dataclass(frozen=True, slots=True)
class Fix:
    """Where a drone was, in the order in which it was there."""

    latitude_deg: float
    longitude_deg: float
    amsl_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """A search after some flights: what is believed now, and the probability that they would have found somebody.

    swept: that probability, on what was believed before them; comparable with a plan's `pos`.
    """

    belief: Belief
    swept: float


def swept_tracks(site: Site, found: SiteSearch, fixes: Sequence[Sequence[Fix]]) -> list[FloatArray]:
    """The parts of flights that were high enough to search, (n, 2) each in metres of the belief's frame."""
    frame = found.plan.belief.frame
    pieces: list[FloatArray] = []
    for flight in fixes:
        high = [_height_m(site, fix) >= _LEAST_HEIGHT * found.height_m for fix in flight]
        east_north = [frame.to_enu(GeoPoint(fix.latitude_deg, fix.longitude_deg)) for fix in flight]
        piece: list[tuple[float, float]] = []
        for place, counts in zip(east_north, high, strict=True):
            if counts:
                piece.append(place)
                continue
            pieces += [np.asarray(piece)] if len(piece) > 1 else []
            piece = []
        pieces += [np.asarray(piece)] if len(piece) > 1 else []
    # A logged track bends a little at every fix; each bend would count as the end of one leg and the start of another.
    return [thinned(piece) for piece in pieces]


def _height_m(site: Site, fix: Fix) -> float:
    try:
        return fix.amsl_m - height_at(site.terrain, GeoPoint(fix.latitude_deg, fix.longitude_deg))
    except OutsideTerrainError:
        return -1.0  # beyond the map nothing is known of what was seen


def without_success(site: Site, found: SiteSearch, fixes: Sequence[Sequence[Fix]]) -> Progress:
    """Exact Bayes after flights (fixes of each, in order) that found nobody. Raises BadInputError if nothing is left."""
    before = found.plan.belief
    pod = pod_grid(swept_tracks(site, found, fixes), found.plan.raster, found.plan.sweep)
    try:
        return Progress(before.after_a_miss(pod), float((before.mass * pod).sum()))
    except PlanningError as error:
        raise BadInputError(str(error)) from error


def next_flights(
    site: Site, found: SiteSearch, belief: Belief, drone_ids: Sequence[str], budget: Budget, *, wind_m_s: float = 0.0
) -> SiteSearch:
    """Plans from the pads for the drones that are left, on what is believed now. Raises BadInputError."""
    order = SearchOrder(
        found.plan.flown[0].plan.mission, found.height_m, site.limits.cruise_speed_m_s, wind_m_s
    )  # fmt: skip
    vehicles = search_vehicles([site.drone(d) for d in drone_ids])
    nothing_yet = [np.empty((0, 2))] * len(vehicles)
    try:
        plan = replan(
            belief, found.plan.sweep, vehicles, nothing_yet, order, site.fence, site.limits, site.terrain, budget
        )
    except PlanningError as error:
        raise BadInputError("\n".join(f"{site.file}: {line}" for line in str(error).splitlines())) from error
    return replace(
        found,
        chart=chart_of(belief, "what is left after the flights so far"),
        plan=plan,
        findings=tuple(tuple(check_at_site(site, f.plan, wind_m_s=wind_m_s)) for f in plan.flown),
    )


def chart_of(belief: Belief, source: str) -> ProbabilityMap:
    """What is believed inside the raster, as a map for pictures: it sums to one, whatever lies outside."""
    return from_array(
        belief.mass,
        belief.frame,
        belief.cell_m,
        source=source,
        west_m=belief.west_m,
        south_m=belief.south_m,
        doubts=(f"{belief.outside:.1%} of the probability lies outside this map",),
    )
