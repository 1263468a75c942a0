# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a site to checked flight plans, and from a plan file to findings at a site.

Everything that decides is in `missions`; here a site's drones, fence, limits and terrain are put to it, and what it
refuses becomes one clear line for the user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dronectl.errors import BadInputError
from dronectl.site import Drone, Site
from missions.energy import PlanEnergy, height_above_home_m, plan_energy
from missions.errors import PlanError, PlanningError
from missions.feasibility import blockers, check_plan
from missions.fences import merged
from missions.formats.qgc_plan import PlanDefaults, read_plan
from missions.geo import GeoPoint, distance_m
from missions.model import Budget, Finding, FlightPlan, Severity
from missions.separation import MINIMA, Separation, check_separation, least_separation

if TYPE_CHECKING:
    from missions.patrol import PatrolVehicle

LAYER_STEP_M = 6.0  # between cruise heights; the picture scale differs by a tenth
MAX_LAYERS = 4
_FAR_M = 50_000.0
_PAD_M = 30.0
_SAME_LAYER_M = 0.5
MAX_PLAN_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class SitePlan:
    """Flight plans of one patrol with their energies and findings, in the same order, and how good they are.

    busiest_s: of the drone with most to do, its flights and battery swaps; done_s: from the first start to the last
    landing. slack_s: that of the starts.
    """

    site_id: str
    plans: tuple[FlightPlan, ...]
    energies: tuple[PlanEnergy, ...]
    findings: tuple[tuple[Finding, ...], ...]
    idle: tuple[str, ...]  # drones that are not needed
    longest_s: float
    busiest_s: float
    done_s: float
    bound_s: float
    slack_s: float | None
    separation: Separation | None

    @property
    def ratio(self) -> float:
        """Time of the busiest drone over its lower bound."""
        return self.busiest_s / self.bound_s if self.bound_s > 0 else 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each flight."""
        return flight_names(self.plans)

    @property
    def clean(self) -> bool:
        """Whether nothing forbids these flights."""
        return not any(blockers(found) for found in self.findings)


def plan_site_patrol(
    site: Site,
    budget: Budget,
    *,
    mission_id: str = "patrol",
    drone_ids: Sequence[str] | None = None,
    wind_m_s: float = 0.0,
    closed: Sequence[tuple[GeoPoint, ...]] = (),
) -> SitePlan:
    """Plan the site's must-patrol points and lines for its drones, or for those named. Raises BadInputError.

    wind_m_s: against every leg; routes, batteries and starts are planned for it.
    closed: rings over which no leg may go now. They are keep-outs of the plans, so vehicles hold them too.
    """
    # not at the top: the planner brings a compiler, and only this one wants it
    from missions.patrol import PatrolLine, PatrolPoint, PatrolTask, plan_patrol

    drones = site.drones_named(drone_ids)
    refuse_wind(site, wind_m_s)
    task = PatrolTask(
        mission=site.new_mission(mission_id),
        points=tuple(PatrolPoint(p.place_id, p.name, p.position, p.dwell_s, p.aim) for p in site.points),
        lines=tuple(PatrolLine(line.line_id, line.name, line.path, line.one_way) for line in site.lines),
        height_m=site.model.patrol.height_m,
        cruise_speed_m_s=site.limits.cruise_speed_m_s,
    )
    try:
        fence = replace(site.fence, exclusion=(*site.fence.exclusion, *closed))
        found = plan_patrol(task, vehicles(drones), fence, site.limits, site.terrain, budget, wind_m_s=wind_m_s)
    except PlanningError as error:
        raise BadInputError("\n".join(f"{site.file}: {line}" for line in str(error).splitlines())) from error
    energies = tuple(energy_of(site, plan, wind_m_s=wind_m_s) for plan in found.plans)
    flying = {plan.vehicle_id for plan in found.plans}
    made = SitePlan(
        site_id=site.site_id,
        plans=found.plans,
        energies=energies,
        findings=(),
        idle=tuple(d.drone_id for d in drones if d.drone_id not in flying),
        longest_s=max(e.time_s for e in energies),
        busiest_s=found.busiest_s,
        done_s=max(p.start_after_s + e.time_s for p, e in zip(found.plans, energies, strict=True)),
        bound_s=found.bound_s,
        slack_s=found.slack_s,
        separation=least_separation(found.plans, site.limits, wind_m_s=wind_m_s),
    )
    alone = [check_at_site(site, plan, wind_m_s=wind_m_s) for plan in found.plans]
    return replace(made, findings=with_meetings(site, found.plans, alone, made.names, wind_m_s=wind_m_s))


def flight_names(plans: Sequence[FlightPlan]) -> tuple[str, ...]:
    """A name for each flight: its drone, and where any drone flies several its number, d1-2."""
    if len({plan.vehicle_id for plan in plans}) == len(plans):
        return tuple(plan.vehicle_id for plan in plans)
    done: Counter[str] = Counter()
    names = []
    for plan in plans:
        done[plan.vehicle_id] += 1
        names.append(f"{plan.vehicle_id}-{done[plan.vehicle_id]}")
    return tuple(names)


def refuse_wind(site: Site, wind_m_s: float) -> None:
    """BadInputError for a wind in which nothing is flown."""
    if wind_m_s > site.limits.max_wind_m_s:
        raise BadInputError(
            f"the wind of {wind_m_s:.1f} m/s is above the vehicles' limit of {site.limits.max_wind_m_s:.1f} m/s; wait"
        )


def vehicles(drones: Sequence[Drone]) -> tuple[PatrolVehicle, ...]:
    """Drones as the planner sees them, each in a layer of its own as far as layers go."""
    from missions.patrol import PatrolVehicle  # see plan_site_patrol

    return tuple(
        PatrolVehicle(d.drone_id, d.pad, d.return_height_m, LAYER_STEP_M * (i % MAX_LAYERS))
        for i, d in enumerate(drones)
    )


def check_at_site(
    site: Site,
    plan: FlightPlan,
    *,
    battery_fraction: float = 1.0,
    wind_m_s: float = 0.0,
    names: Sequence[str] | None = None,
) -> list[Finding]:
    """All findings on a plan at a site: inside the site's fence as well as its own, from the right pad.

    Raises BadInputError when the plan belongs to another place or to a drone that the site does not have.
    """
    away = distance_m(site.frame.origin, plan.home)
    if away > _FAR_M:
        raise BadInputError(
            f"the plan's home is {away / 1000:.0f} km from site {site.site_id}; name its own site with --site"
        )
    drone = site.drone(plan.vehicle_id)
    # As it will be flown here: inside both fences, coming home at the height that the plan carries (ADR 8).
    bounded = replace(plan, fence=merged(site.fence, plan.fence, home_amsl_m=plan.home_amsl_m))
    findings = check_plan(
        bounded, site.limits, site.terrain, battery_fraction=battery_fraction, wind_m_s=wind_m_s, names=names
    )
    from_pad = distance_m(drone.pad, plan.home)
    if from_pad > _PAD_M:
        message = f"home is {from_pad:.0f} m from the pad of {drone.drone_id}; start from the pad or move the home"
        findings.append(Finding("home-off-pad", Severity.WARNING, message, None, plan.home))
    if abs(plan.return_height_m - drone.return_height_m) > _SAME_LAYER_M:
        message = (
            f"returns at {plan.return_height_m:.0f} m above home, not in the site's layer of {drone.drone_id}, "
            f"{drone.return_height_m:.0f} m: fly it only with the plans that it was separated with"
        )
        findings.append(Finding("return-height-own", Severity.INFO, message, None, plan.home))
    return findings


def with_meetings(
    site: Site,
    plans: Sequence[FlightPlan],
    findings: Sequence[Sequence[Finding]],
    names: Sequence[str],
    *,
    wind_m_s: float = 0.0,
    aloft: Collection[str] = (),
) -> tuple[tuple[Finding, ...], ...]:
    """The findings of flights that are planned together, with a blocker for both of two that come too near.

    They start when their plans say, so planners that keep their flights apart leave nothing to be found here. aloft:
    drones that fly on from the air at once; two of these that are too near to each other already get a warning.
    """
    found = [list(f) for f in findings]
    for breach in check_separation(plans, site.limits, wind_m_s=wind_m_s, aloft=aloft):
        if breach.now:
            for one in (breach.first, breach.second):
                found[one].append(breach.finding)
            continue
        mend = "let `dronectl plan separate` keep the plans apart, or start one later"
        if plans[breach.first].vehicle_id in aloft and plans[breach.second].vehicle_id in aloft:
            mend = "both are in the air and no hold was found that helps: bring one home, or plan without it"
        for one, other in ((breach.first, breach.second), (breach.second, breach.first)):
            message = (
                f"comes within {breach.lateral_m:.0f} m across and {breach.vertical_m:.1f} m in height of {names[other]} "
                f"{breach.time_s:.0f} s after the first start; {MINIMA.lateral_m:.0f} m or {MINIMA.vertical_m:.0f} m are "
                f"needed: {mend}"
            )
            found[one].append(Finding("separation", Severity.BLOCKER, message, None, breach.finding.position))
    return tuple(tuple(f) for f in found)


def lowest_above_ground_m(site: Site, plan: FlightPlan) -> list[float]:
    """How low each leg between waypoints runs above ground, sampled at half the terrain's resolution."""
    geo = np.asarray([(w.position.latitude_deg, w.position.longitude_deg) for w in plan.waypoints])
    tops = [plan.home_amsl_m + height_above_home_m(w.altitude, plan.home_amsl_m) for w in plan.waypoints]
    lowest = []
    for k, (here, there) in enumerate(pairwise(w.position for w in plan.waypoints)):
        count = int(np.ceil(2.0 * distance_m(here, there) / site.terrain.resolution_m)) + 2
        t = np.linspace(0.0, 1.0, count)[:, None]
        under = geo[k] + t * (geo[k + 1] - geo[k])
        ground = site.terrain.height_amsl_m(under[:, 0], under[:, 1])
        lowest.append(float((tops[k] + t[:, 0] * (tops[k + 1] - tops[k]) - ground).min()))
    return lowest


def shared_return_layer(site: Site, plan: FlightPlan, flying: Sequence[FlightPlan]) -> str | None:
    """Why a plan must not start beside those in the air: its own return height is too near one of theirs. None: it may.

    Plans in the site's layers are as far apart as the site says; only a plan that brings a height of its own is judged.
    """
    step = min(MINIMA.vertical_m, site.model.failsafe.return_height_step_m)
    for other in flying:
        if other.vehicle_id == plan.vehicle_id:
            continue
        own = [
            p
            for p in (plan, other)
            if abs(p.return_height_m - site.drone(p.vehicle_id).return_height_m) > _SAME_LAYER_M
        ]
        apart = abs(plan.home_amsl_m + plan.return_height_m - other.home_amsl_m - other.return_height_m)
        if own and apart < step - _SAME_LAYER_M:
            return (
                f"{plan.vehicle_id} would return at {plan.return_height_m:.0f} m and {other.vehicle_id}, in the air now, at "
                f"{other.return_height_m:.0f} m, {apart:.0f} m apart: if the site were lost they would meet; wait until it "
                "has landed, or separate the plans together"
            )
    return None


def read_plan_file(site: Site, file: Path, vehicle_id: str | None = None) -> FlightPlan:
    """Read a `.plan` for a vehicle of this site. Raises BadInputError naming file, place and how to mend it.

    A plan of another ground station needs vehicle_id, and gets the site's mission and the drone's return height.
    """
    try:
        if file.stat().st_size > MAX_PLAN_BYTES:
            raise BadInputError(f"{file}: is larger than {MAX_PLAN_BYTES // 1_000_000} MB; no plan is")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{file}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    defaults = None
    if vehicle_id is not None:
        drone = site.drone(vehicle_id)
        defaults = PlanDefaults(
            site.new_mission(file.stem), drone.drone_id, drone.return_height_m, site.fence.max_altitude
        )
    try:
        plan = read_plan(text, source=str(file), defaults=defaults)
    except PlanError as error:
        raise BadInputError(str(error)) from error
    if vehicle_id is not None and plan.vehicle_id != vehicle_id:
        raise BadInputError(
            f"{file}: was made for {plan.vehicle_id}, not for {vehicle_id}; plan again for {vehicle_id}, "
            f"or name {plan.vehicle_id}"
        )
    return plan


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding for machines; `waypoint` counts from 1."""
    at = finding.position
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "waypoint": None if finding.item is None else finding.item + 1,
        "position": None if at is None else [round(at.latitude_deg, 7), round(at.longitude_deg, 7)],
    }


def plan_document(plan: FlightPlan, energy: PlanEnergy, findings: Sequence[Finding]) -> dict[str, Any]:
    """One flight's numbers for machines."""
    return {
        "vehicle_id": plan.vehicle_id,
        "start_after_s": plan.start_after_s,
        "time_s": round(energy.time_s, 1),
        "length_m": round(energy.length_m, 1),
        "battery_used": round(energy.battery_fraction_used, 4),
        "battery_at_landing": round(energy.landing_fraction, 4),
        "return_fraction_worst": round(energy.return_fraction_worst, 4),
        "waypoints": len(plan.waypoints),
        "return_height_m": plan.return_height_m,
        "items": [item for w in plan.waypoints for item in w.serves],
        "findings": [finding_document(f) for f in findings],
    }


def patrol_document(found: SitePlan) -> dict[str, Any]:
    """A whole patrol's numbers for machines: summary.json."""
    from missions.patrol import SWAP_S  # see plan_site_patrol

    apart = found.separation
    return {
        "schema_version": 1,
        "site_id": found.site_id,
        "longest_s": round(found.longest_s, 1),
        "busiest_s": round(found.busiest_s, 1),
        "done_s": round(found.done_s, 1),
        "swap_s": SWAP_S,
        "bound_s": round(found.bound_s, 1),
        "ratio": round(found.ratio, 4),
        "clean": found.clean,
        "slack_s": found.slack_s,
        "idle": list(found.idle),
        "separation": None
        if apart is None
        else {
            "vehicles": [apart.first, apart.second],
            "horizontal_m": round(apart.horizontal_m, 1),
            "vertical_m": round(apart.vertical_m, 1),
            "time_s": round(apart.time_s, 1),
        },
        "flights": [
            plan_document(plan, energy, findings)
            for plan, energy, findings in zip(found.plans, found.energies, found.findings, strict=True)
        ],
    }


def energy_of(site: Site, plan: FlightPlan, *, battery_fraction: float = 1.0, wind_m_s: float = 0.0) -> PlanEnergy:
    """A plan's energy with this site's limits. Raises BadInputError for altitudes that are not related to home."""
    try:
        return plan_energy(plan, site.limits, wind_m_s=wind_m_s, battery_fraction=battery_fraction)
    except ValueError as error:
        raise BadInputError(str(error)) from error
