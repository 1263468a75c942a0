# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a plan can be flown: one function per rule, each from a plan to named findings.

Rules measure legs, not only waypoints: from home to the first waypoint, between waypoints, and from the last one
home. Nothing here decides; a caller blocks on findings of severity "blocker". Codes are stable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from missions.energy import DatumError, PlanEnergy, height_above_home_m, plan_energy
from missions.feasibility_fence import check_fence
from missions.feasibility_terrain import (
    check_clearance,
    check_home_height,
    check_return_height,
    check_return_top,
)
from missions.geo import distance_m
from missions.model import Finding, FlightPlan, Severity, VehicleLimits
from missions.plan_legs import Names, distinct, named, plan_legs, said
from missions.terrain import Terrain

_TOLERANCE_M = 0.05


def check_plan(
    plan: FlightPlan,
    limits: VehicleLimits,
    terrain: Terrain,
    *,
    battery_fraction: float = 1.0,
    wind_m_s: float = 0.0,
    names: Sequence[str] | None = None,
) -> list[Finding]:
    """Every rule on one plan; an empty list is a plan that can be flown.

    `names` are what messages call the waypoints, in their order ("item 7"); without them "waypoint 1", "waypoint 2".
    """
    if not plan.waypoints:
        return [Finding("empty-plan", Severity.BLOCKER, "the plan has no waypoint; give it at least one")]
    try:
        legs = distinct(plan_legs(plan, limits, names))
    except DatumError:
        return check_altitude_datum(plan, names) + check_speeds(plan, limits, names) + check_wind(wind_m_s, limits)
    energy = plan_energy(plan, limits, wind_m_s=wind_m_s, battery_fraction=battery_fraction)
    ground = check_home_height(plan, terrain)
    if not ground:
        ground = check_clearance(plan, limits, terrain, legs)
    if not any(f.code == "terrain-unknown" for f in ground):
        ground += check_return_height(plan, limits, terrain, legs, names)
        ground += check_return_top(plan, limits, terrain, legs, names)
    return [
        *check_speeds(plan, limits, names),
        *check_wind(wind_m_s, limits),
        *check_first_waypoint(plan, limits),
        *check_spacing(plan, names),
        *check_fence(plan, limits, legs, names),
        *check_heights(plan, names),
        *ground,
        *check_battery(plan, limits, energy, battery_fraction, names),
    ]


def blockers(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that forbid the flight."""
    return [f for f in findings if f.severity is Severity.BLOCKER]


def check_altitude_datum(plan: FlightPlan, names: Names = None) -> list[Finding]:
    """Altitudes must be above home or mean sea level: what an autopilot takes and what can be compared."""
    findings = []
    for index, waypoint in enumerate(plan.waypoints):
        try:
            height_above_home_m(waypoint.altitude, plan.home_amsl_m)
        except DatumError:
            message = (
                f"{named(index, names)} gives its altitude above {waypoint.altitude.datum.value}; "
                "give it above home or above mean sea level"
            )
            findings.append(Finding("altitude-datum", Severity.BLOCKER, message, index, waypoint.position))
    return findings


def check_speeds(plan: FlightPlan, limits: VehicleLimits, names: Names = None) -> list[Finding]:
    """Cruise and waypoint speeds within what the vehicle may fly."""
    findings = []
    speeds = [(None, plan.cruise_speed_m_s)] + [(i, w.speed_m_s) for i, w in enumerate(plan.waypoints)]
    for index, speed in speeds:
        if speed is None or 0.0 < speed <= limits.max_speed_m_s + 1e-9:
            continue
        what = "the cruise speed" if index is None else f"the speed at {named(index, names)}"
        message = f"{what} is {speed:.1f} m/s; set it above 0 and at most {limits.max_speed_m_s:.1f} m/s"
        findings.append(Finding("speed-limit", Severity.BLOCKER, message, index))
    return findings


def check_wind(wind_m_s: float, limits: VehicleLimits) -> list[Finding]:
    """Wind within the vehicle's limit."""
    if wind_m_s <= limits.max_wind_m_s:
        return []
    message = (
        f"the wind is {wind_m_s:.1f} m/s, {wind_m_s - limits.max_wind_m_s:.1f} m/s above the vehicle's limit of "
        f"{limits.max_wind_m_s:.1f} m/s; wait until it calms"
    )
    return [Finding("wind-above-limit", Severity.BLOCKER, message)]


def check_first_waypoint(plan: FlightPlan, limits: VehicleLimits) -> list[Finding]:
    """An autopilot flies towards a first waypoint at any distance; we do not."""
    first = plan.waypoints[0].position
    away = distance_m(plan.home, first)
    if away <= limits.first_waypoint_max_m:
        return []
    message = (
        f"the first waypoint is {said(away)} from home, {said(away - limits.first_waypoint_max_m)} beyond the limit of "
        f"{said(limits.first_waypoint_max_m)}; check its coordinates or start from a nearer pad"
    )
    return [Finding("first-waypoint-too-far", Severity.BLOCKER, message, 0, first)]


def check_spacing(plan: FlightPlan, names: Names = None) -> list[Finding]:
    """Consecutive waypoints that the autopilot cannot tell apart."""
    findings = []
    for index in range(1, len(plan.waypoints)):
        before, here = plan.waypoints[index - 1], plan.waypoints[index]
        apart = distance_m(before.position, here.position)
        rise = abs(here.altitude.value_m - before.altitude.value_m)
        if apart >= 1.0 or (here.altitude.datum is before.altitude.datum and rise >= 1.0):
            continue
        message = f"{named(index, names)} is {apart:.1f} m from {named(index - 1, names)}; merge the two"
        findings.append(Finding("waypoints-too-close", Severity.WARNING, message, index, here.position))
    return findings


def check_heights(plan: FlightPlan, names: Names = None) -> list[Finding]:
    """Take-off, waypoints and the return height below the fence's top."""
    limit = plan.fence.max_altitude
    if limit is None:
        return []
    top = height_above_home_m(limit, plan.home_amsl_m)
    findings = []
    heights: list[tuple[str, int | None, float]] = [("the take-off height", None, plan.takeoff_height_m)]
    heights += [
        (named(i, names), i, height_above_home_m(w.altitude, plan.home_amsl_m)) for i, w in enumerate(plan.waypoints)
    ]
    heights.append(("the return height", None, plan.return_height_m))
    for what, index, height in heights:
        if height > top + _TOLERANCE_M:
            message = (
                f"{what} is {height:.0f} m above home, {height - top:.0f} m above the fence's top of {top:.0f} m; "
                "lower it"
            )
            position = None if index is None else plan.waypoints[index].position
            findings.append(Finding("above-max-height", Severity.BLOCKER, message, index, position))
    return findings


def check_battery(
    plan: FlightPlan, limits: VehicleLimits, energy: PlanEnergy, battery_fraction: float, names: Names = None
) -> list[Finding]:
    """Enough battery for the whole plan and for coming home from every waypoint, the reserve untouched."""
    reserve = limits.reserve_fraction
    if energy.landing_fraction < reserve:
        message = (
            f"the plan needs {energy.battery_fraction_used:.0%} of the battery ({energy.time_s / 60:.1f} min) and would "
            f"land with {max(0.0, energy.landing_fraction):.1%} of the {battery_fraction:.0%} it starts with; the reserve "
            f"is {reserve:.0%}: shorten it, split it, or charge"
        )
        return [Finding("battery", Severity.BLOCKER, message, energy.worst_item)]
    if energy.margin_fraction < reserve:
        item = energy.worst_item
        message = (
            f"coming home from {named(item or 0, names)} would leave "
            f"{max(0.0, energy.margin_fraction):.1%} of the battery, less than the reserve of {reserve:.0%}: "
            "shorten the plan or charge"
        )
        position = None if item is None else plan.waypoints[item].position
        return [Finding("battery", Severity.BLOCKER, message, item, position)]
    return []
