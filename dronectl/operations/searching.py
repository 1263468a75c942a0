# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a probability map and a site to checked search flights, and to the numbers that a reader needs to judge them.

The form of a missing person is in `last_seen`, a search that goes on in `search_resume`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dronectl.errors import BadInputError
from dronectl.operations.flying_on import aloft_doubts, change_document, holds_document, homeward_finding
from dronectl.operations.planning import (
    LAYER_STEP_M,
    MAX_LAYERS,
    check_at_site,
    lowest_above_ground_m,
    plan_document,
    with_meetings,
)
from dronectl.site import Drone, Site
from missions.errors import PlanningError
from missions.feasibility import blockers
from missions.geo import GeoPoint, distance_m
from missions.model import Budget, Category, Finding
from missions.search.belief import disc_sensor, exponential_sensor
from missions.search.flights import SearchOrder, SearchVehicle
from missions.search.improve import Sweep
from missions.search.planner import SearchPlan, plan_search
from missions.search.probability import ProbabilityMap

_FARTHEST_M = 50_000.0
_PRESSED_M = 10.0  # below the search height: heights over the ground stray by 8 m without it


@dataclass(frozen=True, slots=True)
class Sensing:
    """How far the drones see: sweep width at the search height; `certain` for a disc that misses nothing."""

    sweep_width_m: float | None
    height_m: float | None = None
    certain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SiteSearch:
    """A search at a site: the plan, the map it rests on, findings per flight (`plan.flights`), and what is doubtful."""

    site_id: str
    at: GeoPoint
    chart: ProbabilityMap
    plan: SearchPlan
    sweep_width_m: float
    certain: bool
    height_m: float
    findings: tuple[tuple[Finding, ...], ...]
    doubts: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing forbids these flights."""
        return not any(blockers(found) for found in self.findings)


def plan_site_search(
    site: Site,
    chart: ProbabilityMap,
    at: GeoPoint,
    sensing: Sensing,
    budget: Budget,
    *,
    drone_ids: Sequence[str] | None = None,
    wind_m_s: float = 0.0,
) -> SiteSearch:
    """Plan a search with the site's drones, or those named. Raises BadInputError."""
    drones = site.drones_named(drone_ids)
    check_place(site, at)
    order = search_order(site, sensing, wind_m_s)
    width, doubt = sweep_width(drones, order.height_m, sensing.sweep_width_m)
    sweep = sweep_of(width, certain=sensing.certain)
    try:
        found = plan_search(
            chart, sweep, search_vehicles(drones), order, site.fence, site.limits, site.terrain, budget, datum=at
        )
    except PlanningError as error:
        raise BadInputError("\n".join(f"{site.file}: {line}" for line in str(error).splitlines())) from error
    return checked_search(site, chart, at, sensing, found, width, doubt, wind_m_s)


def check_place(site: Site, at: GeoPoint) -> None:
    """Raises BadInputError for a place that lies far from the site."""
    away = distance_m(site.frame.origin, at)
    if away > _FARTHEST_M:
        raise BadInputError(f"the place is {away / 1000:.0f} km from site {site.site_id}; check it, or name --site")


def search_order(site: Site, sensing: Sensing, wind_m_s: float) -> SearchOrder:
    """How a search is flown at a site."""
    return SearchOrder(
        replace(site.new_mission("search"), purpose="Search for a missing person", category=Category.SEARCH),
        site.model.patrol.height_m if sensing.height_m is None else sensing.height_m,
        site.limits.cruise_speed_m_s,
        wind_m_s,
    )


def sweep_of(width_m: float, *, certain: bool) -> Sweep:
    """The sensor of a sweep width: exponential detection, or a disc that misses nothing."""
    return disc_sensor(width_m / 2.0) if certain else exponential_sensor(width_m)


def checked_search(
    site: Site,
    chart: ProbabilityMap,
    at: GeoPoint,
    sensing: Sensing,
    found: SearchPlan,
    width_m: float,
    doubts: Sequence[str],
    wind_m_s: float,
    airborne: Sequence[str] = (),
) -> SiteSearch:
    """A plan with its findings at the site, and with what its reader has to doubt.

    airborne: drones that are planned for from the air, those that are only brought home among them. They are checked
    as if they flew on at once, as planned.
    """
    said = [*chart.doubts, *doubts]
    if sensing.certain:
        said.append("everything within half the sweep width is taken as found: no real sensor does that")
    if found.belief.outside > 0.005:
        said.append(
            f"{found.belief.outside:.0%} of the probability lies where these drones cannot look from inside the fence"
        )
    height_m = search_order(site, sensing, wind_m_s).height_m
    for f in found.flown:
        low = min(lowest_above_ground_m(site, f.plan)[1:], default=height_m)  # the first leg may be the way there
        if low < height_m - _PRESSED_M:
            said.append(
                f"{f.plan.vehicle_id} flies as low as {low:.0f} m above ground in places, not at {height_m:.0f} m: there it "
                "sees less wide than is reckoned"
            )
    said += aloft_doubts(found, airborne)
    own = [
        list(check_at_site(site, f.plan, battery_fraction=f.battery_from_pad, wind_m_s=wind_m_s)) for f in found.flights
    ]
    for findings, f in zip(own[len(found.flown) :], found.homeward, strict=True):
        findings[:] = [homeward_finding(x, f, site.limits.reserve_fraction) for x in findings]
    plans = [f.plan for f in found.flights]
    met = with_meetings(site, plans, own, [p.vehicle_id for p in plans], wind_m_s=wind_m_s, aloft=airborne)
    return SiteSearch(
        site.site_id,
        at,
        chart,
        found,
        width_m,
        sensing.certain,
        height_m,
        met,
        tuple(said),
    )


def search_vehicles(drones: Sequence[Drone]) -> tuple[SearchVehicle, ...]:
    """Drones as the planner sees them, each in a layer of its own as far as layers go."""
    return tuple(
        SearchVehicle(d.drone_id, d.pad, d.return_height_m, LAYER_STEP_M * (i % MAX_LAYERS))
        for i, d in enumerate(drones)
    )


def sweep_width(drones: Sequence[Drone], height_m: float, given_m: float | None) -> tuple[float, list[str]]:
    """The sweep width: as given, else the narrowest picture of the drones' cameras on flat ground."""
    if given_m is not None:
        return given_m, []
    widths = [
        (height_m * camera.width_px / camera.fx_px, camera.camera_id)
        for drone in drones
        for camera, _, _ in drone.cameras
        if camera.mount_pitch_deg <= -80.0
    ]
    if not widths:
        raise BadInputError("no camera of these drones looks straight down, so give the sweep width with --sweep-width")
    width, camera = min(widths)
    doubt = (
        f"the sweep width of {width:.0f} m is the whole picture of {camera} from {height_m:.0f} m, not measured; "
        "calibrate it from detections against range and give --sweep-width"
    )
    return width, [doubt]


def search_document(found: SiteSearch) -> dict[str, Any]:
    """A whole search's numbers for machines: summary.json."""
    plan = found.plan
    return {
        "schema_version": 1,
        "site_id": found.site_id,
        "last_known_position": [round(found.at.latitude_deg, 7), round(found.at.longitude_deg, 7)],
        "source": found.chart.source,
        "doubts": list(found.doubts),
        "sweep_width_m": round(found.sweep_width_m, 1),
        "detection": "certain within the swept disc" if found.certain else "exponential, POD = 1 - exp(-coverage)",
        "height_m": found.height_m,
        "pattern": plan.pattern,
        "pos": round(plan.pos, 5),
        "bound": round(plan.bound, 5),
        "ratio": round(plan.ratio, 4),
        "probability_in_reach": round(1.0 - plan.belief.outside, 5),
        "clean": found.clean,
        "slack_s": plan.slack_s,
        "slack_aloft_s": plan.slack_aloft_s,
        "idle": list(plan.idle),
        "brought_home": [f.plan.vehicle_id for f in plan.homeward],
        "changes": [change_document(c) for c in plan.changes],
        "patterns": [
            {"pattern": c.name, "pos": round(c.pos, 5), "length_m": round(c.length_m, 1)} for c in plan.candidates
        ],
        "flights": [
            {**plan_document(f.plan, f.energy, findings), "holds": holds_document(f.plan)}
            for f, findings in zip(plan.flights, found.findings, strict=True)
        ],
    }
