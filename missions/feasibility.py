# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a plan can be flown: one function per rule, each from a plan to named findings.

Rules measure legs, not only waypoints: from home to the first waypoint, between waypoints, and from the last one
home. Nothing here decides; a caller blocks on findings of severity "blocker". Codes are stable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import shapely
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from missions.energy import DatumError, PlanEnergy, height_above_home_m, plan_energy
from missions.feasibility_terrain import check_clearance, check_home_height, check_return_height
from missions.fences import FenceShape, deepest, farthest_outside, fence_margin_m, fence_shape
from missions.geo import GeoPoint, LocalFrame, distance_m
from missions.model import Finding, FlightPlan, Severity, VehicleLimits
from missions.plan_legs import Leg, plan_legs, said
from missions.terrain import Terrain

_TOLERANCE_M = 0.05
_RETURN_FROM_EVERY_M = 50.0


@dataclass(frozen=True, slots=True)
class _Context:
    """A plan with its geometry worked out once."""

    plan: FlightPlan
    limits: VehicleLimits
    frame: LocalFrame
    legs: tuple[Leg, ...]


def check_plan(
    plan: FlightPlan,
    limits: VehicleLimits,
    terrain: Terrain,
    *,
    battery_fraction: float = 1.0,
    wind_m_s: float = 0.0,
) -> list[Finding]:
    """Every rule on one plan; an empty list is a plan that can be flown."""
    if not plan.waypoints:
        return [Finding("empty-plan", Severity.BLOCKER, "the plan has no waypoint; give it at least one")]
    try:
        legs = plan_legs(plan, limits)
    except DatumError:
        return check_altitude_datum(plan) + check_speeds(plan, limits) + check_wind(wind_m_s, limits)
    frame = LocalFrame(plan.home)
    context = _Context(plan, limits, frame, legs)
    energy = plan_energy(plan, limits, wind_m_s=wind_m_s, battery_fraction=battery_fraction)
    ground = check_home_height(plan, terrain)
    if not ground:
        ground = check_clearance(plan, limits, terrain, legs)
    if not any(f.code == "terrain-unknown" for f in ground):
        ground += check_return_height(plan, limits, terrain, legs)
    return [
        *check_speeds(plan, limits),
        *check_wind(wind_m_s, limits),
        *check_first_waypoint(plan, limits),
        *check_spacing(plan),
        *_check_fence(context),
        *check_heights(plan),
        *ground,
        *check_battery(plan, limits, energy, battery_fraction),
    ]


def blockers(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that forbid the flight."""
    return [f for f in findings if f.severity is Severity.BLOCKER]


def check_altitude_datum(plan: FlightPlan) -> list[Finding]:
    """Altitudes must be above home or mean sea level: what an autopilot takes and what can be compared."""
    findings = []
    for index, waypoint in enumerate(plan.waypoints):
        try:
            height_above_home_m(waypoint.altitude, plan.home_amsl_m)
        except DatumError:
            message = (
                f"waypoint {index + 1} gives its altitude above {waypoint.altitude.datum.value}; "
                "give it above home or above mean sea level"
            )
            findings.append(Finding("altitude-datum", Severity.BLOCKER, message, index, waypoint.position))
    return findings


def check_speeds(plan: FlightPlan, limits: VehicleLimits) -> list[Finding]:
    """Cruise and waypoint speeds within what the vehicle may fly."""
    findings = []
    speeds = [(None, plan.cruise_speed_m_s)] + [(i, w.speed_m_s) for i, w in enumerate(plan.waypoints)]
    for index, speed in speeds:
        if speed is None or 0.0 < speed <= limits.max_speed_m_s + 1e-9:
            continue
        what = "the cruise speed" if index is None else f"the speed at waypoint {index + 1}"
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


def check_spacing(plan: FlightPlan) -> list[Finding]:
    """Consecutive waypoints that the autopilot cannot tell apart."""
    findings = []
    for index in range(1, len(plan.waypoints)):
        before, here = plan.waypoints[index - 1], plan.waypoints[index]
        apart = distance_m(before.position, here.position)
        rise = abs(here.altitude.value_m - before.altitude.value_m)
        if apart >= 1.0 or (here.altitude.datum is before.altitude.datum and rise >= 1.0):
            continue
        message = f"waypoint {index + 1} is {apart:.1f} m from waypoint {index}; merge the two"
        findings.append(Finding("waypoints-too-close", Severity.WARNING, message, index, here.position))
    return findings


def _check_fence(context: _Context) -> list[Finding]:
    plan, frame = context.plan, context.frame
    if not plan.fence.inclusion:
        message = "the plan has no geofence with an inclusion ring; draw one around its legs or give a site"
        return [Finding("no-fence", Severity.BLOCKER, message)]
    crossed = _crossed_rings(context)
    if crossed:
        return crossed
    shape = fence_shape(plan.fence, frame)
    findings = []
    home = Point(0.0, 0.0)
    if not shape.inside.covers(home) or any(k.intersects(home) for k in shape.keep_outs):
        message = f"home at {_place(plan.home)} lies outside the fence; start from a pad inside it"
        findings.append(Finding("home-outside-fence", Severity.BLOCKER, message, None, plan.home))
    outside = set()
    for index, waypoint in enumerate(plan.waypoints):
        finding = _waypoint_in_fence(index, Point(frame.to_enu(waypoint.position)), waypoint.position, shape)
        if finding is not None:
            outside.add(index)
            findings.append(finding)
    for leg in context.legs:
        # A leg to a waypoint outside is outside too; saying so again helps nobody.
        if not ({leg.item, leg.from_item} & outside):
            findings += _leg_out(leg, context, shape)
        findings += _leg_in_keep_outs(leg, context, shape, outside)
    return findings + _returns_in_keep_outs(context, shape)


def _crossed_rings(context: _Context) -> list[Finding]:
    """Rings that cross themselves or have no area: nobody can say what is inside."""
    findings = []
    for kind, rings in (("inclusion", context.plan.fence.inclusion), ("keep-out", context.plan.fence.exclusion)):
        for number, ring in enumerate(rings, 1):
            if not Polygon([context.frame.to_enu(p) for p in ring]).is_valid:
                message = f"{kind} ring {number} crosses itself or has no area; redraw it"
                findings.append(Finding("fence-invalid", Severity.BLOCKER, message, None, ring[0]))
    return findings


def _waypoint_in_fence(index: int, at: Point, position: GeoPoint, shape: FenceShape) -> Finding | None:
    if not shape.inside.covers(at):
        away = float(shape.inside.distance(at))
        message = (
            f"waypoint {index + 1} at {_place(position)} lies {said(away)} outside the fence; "
            "move it inside, or check its coordinates"
        )
        return Finding("waypoint-outside-fence", Severity.BLOCKER, message, index, position)
    for number, ring in enumerate(shape.keep_outs, 1):
        if ring.intersects(at):
            depth = float(ring.exterior.distance(at))
            message = (
                f"waypoint {index + 1} at {_place(position)} lies {said(depth)} deep in keep-out {number}; move it out"
            )
            return Finding("waypoint-outside-fence", Severity.BLOCKER, message, index, position)
    return None


def _leg_out(leg: Leg, context: _Context, shape: FenceShape) -> list[Finding]:
    """One leg against the outer edge: outside, or nearer to it than position error and braking way."""
    line, inside = leg.line(), shape.inside
    if inside.is_empty:
        return []
    away, place = farthest_outside(line, inside)
    where = context.frame.to_geo(place.x, place.y)
    if away > _TOLERANCE_M:
        message = (
            f"{leg.name} leaves the fence by {said(away)} near {_place(where)}; add a waypoint that goes round inside"
        )
        return [Finding("leg-outside-fence", Severity.BLOCKER, message, leg.item, where)]
    margin = fence_margin_m(leg.speed_m_s, context.limits)
    near = _beyond_home(line, margin)
    gap = float(near.distance(inside.boundary)) if not near.is_empty else margin
    if gap >= margin - _TOLERANCE_M:
        return []
    place = near.intersection(inside.boundary.buffer(gap + _TOLERANCE_M)).representative_point()
    where = context.frame.to_geo(place.x, place.y)
    message = (
        f"{leg.name} passes {said(gap)} inside the fence's edge near {_place(where)}, nearer than the {said(margin)} "
        f"of position error and braking way at {leg.speed_m_s:.0f} m/s; move it inwards or fly slower"
    )
    return [Finding("leg-outside-fence", Severity.BLOCKER, message, leg.item, where)]


def _leg_in_keep_outs(leg: Leg, context: _Context, shape: FenceShape, outside: set[int]) -> list[Finding]:
    findings = []
    line = leg.line()
    margin = fence_margin_m(leg.speed_m_s, context.limits)
    for number, ring in enumerate(shape.keep_outs, 1):
        depth, place = deepest(line, ring)
        if depth > _TOLERANCE_M:
            where = context.frame.to_geo(place.x, place.y)
            message = (
                f"{leg.name} goes {said(depth)} deep into keep-out {number} near {_place(where)}; "
                "add a waypoint that goes round it"
            )
            findings.append(Finding("leg-in-keep-out", Severity.BLOCKER, message, leg.item, where))
            continue
        near = _beyond_home(line, margin)
        gap = float(near.distance(ring)) if not near.is_empty else margin
        if gap < margin - _TOLERANCE_M and not ({leg.item, leg.from_item} & outside):
            place = near.intersection(ring.buffer(gap + _TOLERANCE_M)).representative_point()
            where = context.frame.to_geo(place.x, place.y)
            message = (
                f"{leg.name} passes {said(gap)} from keep-out {number} near {_place(where)}, nearer than the "
                f"{said(margin)} of position error and braking way at {leg.speed_m_s:.0f} m/s; "
                "give it a wider berth or fly slower"
            )
            findings.append(Finding("leg-in-keep-out", Severity.BLOCKER, message, leg.item, where))
    return findings


def _returns_in_keep_outs(context: _Context, shape: FenceShape) -> list[Finding]:
    """A failsafe flies straight home from wherever it strikes, keep-out or not: worth knowing, no reason to stay."""
    worst: tuple[float, int, int, Point] | None = None
    for leg in context.legs:
        if leg.item is None:
            continue
        for place in shapely.get_parts(shapely.points(leg.samples(_RETURN_FROM_EVERY_M)[0])):
            line = LineString([place, (0.0, 0.0)])
            for number, ring in enumerate(shape.keep_outs, 1):
                if line.length > 0.0 and line.crosses(ring):
                    depth, deep = deepest(line, ring)
                    if worst is None or depth > worst[0]:
                        worst = depth, number, leg.item, deep
    if worst is None:
        return []
    depth, number, item, deep = worst
    where = context.frame.to_geo(deep.x, deep.y)
    message = (
        f"if the vehicle must return by itself near waypoint {item + 1}, its straight way home crosses keep-out {number} "
        f"({said(depth)} deep near {_place(where)}, {context.plan.return_height_m:.0f} m above home)"
    )
    return [Finding("return-in-keep-out", Severity.WARNING, message, item, where)]


def _beyond_home(line: LineString, margin_m: float) -> BaseGeometry:
    """The part of a leg where the vehicle may have full speed: within the braking way of home it is slower."""
    beyond: BaseGeometry = line.difference(Point(0.0, 0.0).buffer(margin_m))
    return beyond


def check_heights(plan: FlightPlan) -> list[Finding]:
    """Take-off, waypoints and the return height below the fence's top."""
    limit = plan.fence.max_altitude
    if limit is None:
        return []
    top = height_above_home_m(limit, plan.home_amsl_m)
    findings = []
    heights: list[tuple[str, int | None, float]] = [("the take-off height", None, plan.takeoff_height_m)]
    heights += [
        (f"waypoint {i + 1}", i, height_above_home_m(w.altitude, plan.home_amsl_m))
        for i, w in enumerate(plan.waypoints)
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
    plan: FlightPlan, limits: VehicleLimits, energy: PlanEnergy, battery_fraction: float
) -> list[Finding]:
    """Enough battery for the whole plan and for coming home from every waypoint, the reserve untouched."""
    reserve = limits.reserve_fraction
    if energy.landing_fraction < reserve:
        message = (
            f"the plan needs {energy.battery_fraction_used:.0%} of the battery ({energy.time_s / 60:.1f} min) and would "
            f"land with {max(0.0, energy.landing_fraction):.0%} of the {battery_fraction:.0%} it starts with; the reserve "
            f"is {reserve:.0%}: shorten it, split it, or charge"
        )
        return [Finding("battery", Severity.BLOCKER, message, energy.worst_item)]
    if energy.margin_fraction < reserve:
        item = energy.worst_item
        message = (
            f"coming home from waypoint {1 if item is None else item + 1} would leave "
            f"{max(0.0, energy.margin_fraction):.0%} of the battery, less than the reserve of {reserve:.0%}: "
            "shorten the plan or charge"
        )
        position = None if item is None else plan.waypoints[item].position
        return [Finding("battery", Severity.BLOCKER, message, item, position)]
    return []


def _place(point: GeoPoint) -> str:
    return f"{point.latitude_deg:.5f}, {point.longitude_deg:.5f}"
