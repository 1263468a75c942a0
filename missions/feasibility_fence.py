# SPDX-License-Identifier: AGPL-3.0-or-later
"""The feasibility rules that look at the fence: every waypoint, every leg, and the ways home from along them.

Prepared shapes and an index sort out in one go the legs that are far from every edge; only the others are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, Point
from shapely.geometry.base import BaseGeometry

from missions.fences import FenceShape, deepest, farthest_outside, fence_margin_m, fence_shape
from missions.geo import FloatArray, GeoPoint, LocalFrame, distance_m
from missions.model import Finding, FlightPlan, Severity, VehicleLimits
from missions.plan_legs import Leg, Names, named, said
from missions.rings import ring_fault

_TOLERANCE_M = 0.05
_FARTHEST_CORNER_M = 2_500_000.0  # in the local frame a ring beyond would enclose the other part of the world
_RETURN_FROM_EVERY_M = 50.0
_MAX_RETURNS = 20_000
_RETURNS_MEASURED = 48  # of those that cross one keep-out: the ones nearest to its middle


@dataclass(slots=True)
class _Context:
    """A plan with its geometry worked out once."""

    plan: FlightPlan
    limits: VehicleLimits
    frame: LocalFrame
    legs: Sequence[Leg]
    names: Names
    discs: dict[float, BaseGeometry] = field(default_factory=dict)  # around home, by radius

    def beyond_home(self, line: LineString, margin_m: float) -> BaseGeometry:
        """The part of a leg where the vehicle may have full speed: within the braking way of home it is slower."""
        home = Point(0.0, 0.0)
        if line.distance(home) > margin_m:
            return line
        if margin_m not in self.discs:
            self.discs[margin_m] = home.buffer(margin_m)
        beyond: BaseGeometry = line.difference(self.discs[margin_m])
        return beyond


def check_fence(plan: FlightPlan, limits: VehicleLimits, legs: Sequence[Leg], names: Names = None) -> list[Finding]:
    """Home, waypoints and legs inside every inclusion ring and outside every keep-out, with their margins."""
    if not plan.fence.inclusion:
        message = "the plan has no geofence with an inclusion ring; draw one around its legs or give a site"
        return [Finding("no-fence", Severity.BLOCKER, message)]
    context = _Context(plan, limits, LocalFrame(plan.home), legs, names)
    crossed = _crossed_rings(context)
    if crossed:
        return crossed
    shape = fence_shape(plan.fence, context.frame)
    if shape.inside.is_empty:
        message = "the inclusion rings have no area in common, and a flight has to be inside all; redraw them"
        return [Finding("fence-invalid", Severity.BLOCKER, message)]
    findings = []
    home = Point(0.0, 0.0)
    if not shape.inside.covers(home) or any(k.intersects(home) for k in shape.keep_outs):
        message = f"home at {_place(plan.home)} lies outside the fence; start from a pad inside it"
        findings.append(Finding("home-outside-fence", Severity.BLOCKER, message, None, plan.home))
    waypoints = _waypoints_outside(context, shape)
    outside = set(waypoints)
    findings += waypoints.values()
    edge, keep_outs = _near_edge(context, shape), _near_keep_outs(context, shape)
    for index, leg in enumerate(legs):
        # A leg to a waypoint outside is outside too; saying so again helps nobody.
        if edge[index] and not ({leg.item, leg.from_item} & outside):
            findings += _leg_out(leg, context, shape)
        for number in keep_outs.get(index, ()):
            findings += _leg_in_keep_out(leg, number, context, shape, outside)
    returns = _returns(context)
    findings += _returns_outside(context, shape, outside, returns)
    return findings + _returns_in_keep_outs(context, shape, returns)


def _crossed_rings(context: _Context) -> list[Finding]:
    """Rings that cross themselves, have no area, or reach round the world: nobody can say what is inside."""
    findings = []
    for kind, rings in (("inclusion", context.plan.fence.inclusion), ("keep-out", context.plan.fence.exclusion)):
        for number, ring in enumerate(rings, 1):
            far = next((c for c in ring if distance_m(c, context.plan.home) > _FARTHEST_CORNER_M), None)
            if far is not None:
                away = said(distance_m(far, context.plan.home))
                message = f"{kind} ring {number} has a corner {away} from home; draw fences around where is flown"
                findings.append(Finding("fence-invalid", Severity.BLOCKER, message, None, far))
                continue
            fault = ring_fault(ring)
            if fault is not None:
                message = f"{kind} ring {number} {fault.message}; redraw it"
                findings.append(Finding("fence-invalid", Severity.BLOCKER, message, None, fault.position))
    return findings


def _waypoints_outside(context: _Context, shape: FenceShape) -> dict[int, Finding]:
    """Findings by waypoint."""
    positions = [w.position for w in context.plan.waypoints]
    places = context.frame.to_enu_array([p.latitude_deg for p in positions], [p.longitude_deg for p in positions])
    points = shapely.points(places)
    shapely.prepare(shape.inside)
    found = {}
    for index in np.flatnonzero(~shapely.covers(shape.inside, points)).tolist():
        away = float(shape.inside.distance(points[index]))
        message = (
            f"{named(index, context.names)} at {_place(positions[index])} lies {said(away)} outside the fence; "
            "move it inside, or check its coordinates"
        )
        found[index] = Finding("waypoint-outside-fence", Severity.BLOCKER, message, index, positions[index])
    for number, ring in enumerate(shape.keep_outs, 1):
        shapely.prepare(ring)
        for index in np.flatnonzero(shapely.intersects(ring, points)).tolist():
            if index in found:
                continue
            depth = float(ring.exterior.distance(points[index]))
            message = (
                f"{named(index, context.names)} at {_place(positions[index])} lies {said(depth)} deep in keep-out "
                f"{number}; move it out"
            )
            found[index] = Finding("waypoint-outside-fence", Severity.BLOCKER, message, index, positions[index])
    return dict(sorted(found.items()))


def _lines(legs: Sequence[Leg]) -> np.ndarray:
    return np.asarray(shapely.linestrings(np.asarray([(leg.start_m, leg.end_m) for leg in legs])))


def _margins(context: _Context) -> FloatArray:
    return np.asarray([fence_margin_m(leg.speed_m_s, context.limits) for leg in context.legs])


def _near_edge(context: _Context, shape: FenceShape) -> np.ndarray:
    """For each leg whether it has to be measured against the outer edge."""
    lines, boundary = _lines(context.legs), shape.inside.boundary
    shapely.prepare(boundary)
    near = shapely.dwithin(boundary, lines, _margins(context))
    return np.asarray(near | ~shapely.covers(shape.inside, lines))


def _near_keep_outs(context: _Context, shape: FenceShape) -> dict[int, list[int]]:
    """For each leg the keep-outs (indices) that it has to be measured against."""
    if not shape.keep_outs:
        return {}
    tree = shapely.STRtree(shape.keep_outs)
    found: dict[int, list[int]] = {}
    pairs = tree.query(_lines(context.legs), predicate="dwithin", distance=_margins(context))
    for leg, ring in sorted(zip(*pairs.tolist(), strict=True)):
        found.setdefault(leg, []).append(ring)
    return found


def _leg_out(leg: Leg, context: _Context, shape: FenceShape) -> list[Finding]:
    """One leg against the outer edge: outside, or nearer to it than position error and braking way."""
    line, inside = leg.line(), shape.inside
    away, place = farthest_outside(line, inside)
    where = context.frame.to_geo(place.x, place.y)
    if away > _TOLERANCE_M:
        message = (
            f"{leg.name} leaves the fence by {said(away)} near {_place(where)}; add a waypoint that goes round inside"
        )
        return [Finding("leg-outside-fence", Severity.BLOCKER, message, leg.item, where)]
    margin = fence_margin_m(leg.speed_m_s, context.limits)
    near = context.beyond_home(line, margin)
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


def _leg_in_keep_out(leg: Leg, index: int, context: _Context, shape: FenceShape, outside: set[int]) -> list[Finding]:
    line, ring, number = leg.line(), shape.keep_outs[index], index + 1
    margin = fence_margin_m(leg.speed_m_s, context.limits)
    depth, place = deepest(line, ring)
    if depth > _TOLERANCE_M:
        where = context.frame.to_geo(place.x, place.y)
        message = (
            f"{leg.name} goes {said(depth)} deep into keep-out {number} near {_place(where)}; "
            "add a waypoint that goes round it"
        )
        return [Finding("leg-in-keep-out", Severity.BLOCKER, message, leg.item, where)]
    near = context.beyond_home(line, margin)
    gap = float(near.distance(ring)) if not near.is_empty else margin
    if gap >= margin - _TOLERANCE_M or ({leg.item, leg.from_item} & outside):
        return []
    place = near.intersection(ring.buffer(gap + _TOLERANCE_M)).representative_point()
    where = context.frame.to_geo(place.x, place.y)
    message = (
        f"{leg.name} passes {said(gap)} from keep-out {number} near {_place(where)}, nearer than the "
        f"{said(margin)} of position error and braking way at {leg.speed_m_s:.0f} m/s; "
        "give it a wider berth or fly slower"
    )
    return [Finding("leg-in-keep-out", Severity.BLOCKER, message, leg.item, where)]


_Returns = tuple[NDArray[np.object_], NDArray[np.int64]]


def _returns(context: _Context) -> _Returns:
    """Straight ways home from along every leg, and the waypoints that the legs lead to."""
    legs = [leg for leg in context.legs if leg.item is not None]
    step = max(_RETURN_FROM_EVERY_M, sum(leg.length_m for leg in legs) / _MAX_RETURNS)
    sampled = [leg.samples(step)[0] for leg in legs]
    starts = np.concatenate(sampled)
    items = np.repeat(np.asarray([leg.item for leg in legs], dtype=np.int64), [len(s) for s in sampled])
    return np.asarray(shapely.linestrings(np.stack([starts, np.zeros_like(starts)], axis=1))), items


def _returns_outside(context: _Context, shape: FenceShape, outside: set[int], returns: _Returns) -> list[Finding]:
    """The same for the outer edge, which a straight way home may cut where the fence is not convex."""
    ways, items = returns
    if not shape.inside.covers(Point(0.0, 0.0)):
        return []
    shapely.prepare(shape.inside)
    wanted = np.isin(items, [i for i in range(len(context.plan.waypoints)) if i not in outside])
    hits = np.flatnonzero(wanted & ~shapely.covers(shape.inside, ways) & shapely.covers(shape.inside, _starts(ways)))
    if not hits.size:
        return []
    beyond = shapely.length(shapely.difference(ways[hits], shape.inside))
    order = np.argsort(-beyond, kind="stable")[:_RETURNS_MEASURED]
    measured = [(*farthest_outside(ways[hit], shape.inside), int(items[hit])) for hit in hits[order]]
    away, place, item = max(measured, key=lambda m: m[0])
    if away <= _TOLERANCE_M:
        return []
    where = context.frame.to_geo(place.x, place.y)
    message = (
        f"if the vehicle must return by itself near {named(item, context.names)}, its straight way home leaves the "
        f"fence by {said(away)} near {_place(where)}"
    )
    return [Finding("return-outside-fence", Severity.WARNING, message, item, where)]


def _starts(ways: NDArray[np.object_]) -> NDArray[np.object_]:
    return np.asarray(shapely.get_point(ways, 0))


def _returns_in_keep_outs(context: _Context, shape: FenceShape, returns: _Returns) -> list[Finding]:
    """A failsafe flies straight home from wherever it strikes, keep-out or not: worth knowing, no reason to stay."""
    if not shape.keep_outs:
        return []
    ways, items = returns
    pairs = shapely.STRtree(shape.keep_outs).query(ways, predicate="intersects")
    worst: tuple[float, int, int, Point] | None = None
    for number, ring in enumerate(shape.keep_outs):
        hits = pairs[0][pairs[1] == number]
        if not hits.size:
            continue
        middle = shapely.maximum_inscribed_circle(ring, tolerance=1.0).coords[0]
        order = np.argsort(shapely.distance(ways[hits], Point(middle)), kind="stable")[:_RETURNS_MEASURED]
        for hit in hits[order]:
            depth, deep = deepest(ways[hit], ring)
            if depth > _TOLERANCE_M and (worst is None or depth > worst[0]):
                worst = depth, number + 1, int(items[hit]), deep
    if worst is None:
        return []
    depth, number, item, deep = worst
    where = context.frame.to_geo(deep.x, deep.y)
    message = (
        f"if the vehicle must return by itself near {named(item, context.names)}, its straight way home crosses "
        f"keep-out {number} ({said(depth)} deep near {_place(where)}, {context.plan.return_height_m:.0f} m above home)"
    )
    return [Finding("return-in-keep-out", Severity.WARNING, message, item, where)]


def _place(point: GeoPoint) -> str:
    return f"{point.latitude_deg:.5f}, {point.longitude_deg:.5f}"
