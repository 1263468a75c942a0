# SPDX-License-Identifier: AGPL-3.0-or-later
"""Other ways to fly a plan: higher or lower, with a hold, or past the side of a place; each stays inside the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from shapely.geometry import LineString, Point
from shapely.geometry.base import BaseGeometry

from missions.deconflict.trajectory import places_m
from missions.energy import height_above_home_m, plan_energy
from missions.fences import fence_margin_m, fence_shape
from missions.geo import Altitude, FloatArray, LocalFrame
from missions.model import Category, FlightPlan, VehicleLimits, Waypoint
from missions.terrain import OutsideTerrainError, Terrain

_COLUMN_M = 15.0
_ERROR_SIGMAS = 2.0
_STEP_M = 15.0
_SIDES_M = (30.0, -30.0, 60.0, -60.0, 100.0, -100.0)
_MIN_LEG_M = 5.0
_TOLERANCE_M = 0.05
_LOWEST_TAKEOFF_M = 5.0


@dataclass(frozen=True, slots=True)
class Room:
    """How far all heights of a plan may be shifted, in metres: low_m <= 0 <= high_m."""

    low_m: float
    high_m: float


def room(
    plan: FlightPlan, places: FloatArray, frame: LocalFrame, limits: VehicleLimits, terrain: Terrain | None
) -> Room:
    """The shifts that keep every leg between the least and the greatest height, below the fence's top and the return.

    A plan that is outside its limits already has room only on the other side. Without terrain the ground is as high
    as home everywhere.
    """
    over = _above_ground(plan, places, frame, terrain)
    if over is None or not len(over):
        return Room(0.0, 0.0)
    error = 0.0 if terrain is None else _ERROR_SIGMAS * terrain.vertical_error_m
    heights = [plan.takeoff_height_m, *(height_above_home_m(w.altitude, plan.home_amsl_m) for w in plan.waypoints)]
    low = max(limits.min_height_above_ground_m + error - float(over.min()), _LOWEST_TAKEOFF_M - plan.takeoff_height_m)
    high = limits.max_height_above_ground_m - error - float(over.max())
    # Above the return height a vehicle comes home at its own height, out of its layer.
    high = min(high, plan.return_height_m - max(heights))
    if plan.fence.max_altitude is not None:
        high = min(high, height_above_home_m(plan.fence.max_altitude, plan.home_amsl_m) - max(heights))
    return Room(min(0.0, low), max(0.0, high))


def shifted(plan: FlightPlan, rise_m: float) -> FlightPlan:
    """The same plan, all its heights but the return raised by rise_m."""
    return replace(
        plan,
        takeoff_height_m=plan.takeoff_height_m + rise_m,
        waypoints=tuple(
            replace(w, altitude=Altitude(w.altitude.value_m + rise_m, w.altitude.datum)) for w in plan.waypoints
        ),
    )


def held(plan: FlightPlan, item: int, seconds: float) -> FlightPlan:
    """The same plan, staying longer at one waypoint."""
    longer = replace(plan.waypoints[item], hold_s=plan.waypoints[item].hold_s + seconds)
    return replace(plan, waypoints=(*plan.waypoints[:item], longer, *plan.waypoints[item + 1 :]))


def may_leave_leg(plan: FlightPlan, item: int) -> bool:
    """Whether the leg to a waypoint is only a way, not part of a line that has to be followed.

    Legs up to a waypoint that serves something without a dwell may be that line: they are left alone. So is all that a
    survey or a search flies from its first picture on: what it sees lies beside every leg.
    """
    for waypoint in plan.waypoints[item:]:
        if waypoint.serves:
            return waypoint.hold_s > 0.0
    if any(w.serves for w in plan.waypoints):
        return True
    looking = [i for i, w in enumerate(plan.waypoints) if _camera_told(w)]
    if plan.mission.category is Category.SEARCH:
        looking.insert(0, 0)
    return not looking or item <= looking[0]


def _camera_told(waypoint: Waypoint) -> bool:
    return waypoint.photo or waypoint.trigger_m is not None or waypoint.gimbal_pitch_deg is not None


def sidesteps(
    plan: FlightPlan,
    item: int,
    place_m: tuple[float, float],
    frame: LocalFrame,
    limits: VehicleLimits,
    terrain: Terrain | None,
) -> Iterator[tuple[FlightPlan, float]]:
    """Plans whose leg to a waypoint passes to the side of a place on it, and by how far (right is positive).

    place_m is in `frame`. Only those whose new legs keep their margin inside the fence and their height above ground.
    """
    if not may_leave_leg(plan, item):
        return
    points = [plan.home, *(w.position for w in plan.waypoints)]
    start, end = frame.to_enu(points[item]), frame.to_enu(points[item + 1])
    length = math.dist(start, end)
    if length < 2.0 * _MIN_LEG_M:
        return
    way = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    along = (place_m[0] - start[0]) * way[0] + (place_m[1] - start[1]) * way[1]
    along = min(max(along, _MIN_LEG_M), length - _MIN_LEG_M)
    heights = [plan.takeoff_height_m, *(height_above_home_m(w.altitude, plan.home_amsl_m) for w in plan.waypoints)]
    height = heights[item] + (heights[item + 1] - heights[item]) * along / length
    target = plan.waypoints[item]
    speed = limits.max_speed_m_s if target.speed_m_s is None else target.speed_m_s
    allowed = _allowed(plan, frame, fence_margin_m(min(speed, limits.max_speed_m_s), limits))
    offset = height - heights[item + 1]
    for side in _SIDES_M:
        place = start[0] + way[0] * along + way[1] * side, start[1] + way[1] * along - way[0] * side
        if allowed is not None and not allowed.covers(LineString([start, place, end])):
            continue
        step = Waypoint(
            frame.to_geo(*place),
            Altitude(target.altitude.value_m + offset, target.altitude.datum),
            speed_m_s=target.speed_m_s,
        )
        other = replace(plan, waypoints=(*plan.waypoints[:item], step, *plan.waypoints[item:]))
        if _clears(other, plan, frame, limits, terrain):
            yield other, side


def lasts(plan: FlightPlan, was: FlightPlan, limits: VehicleLimits, wind_m_s: float) -> bool:
    """Whether a changed plan still keeps the battery's reserve, or never did."""
    reserve = limits.reserve_fraction
    if plan_energy(plan, limits, wind_m_s=wind_m_s).margin_fraction >= reserve:
        return True
    return plan_energy(was, limits, wind_m_s=wind_m_s).margin_fraction < reserve


def _allowed(plan: FlightPlan, frame: LocalFrame, margin_m: float) -> BaseGeometry | None:
    """Where legs may run; None without any fence. Near home the vehicle is slower, so home itself is always in."""
    if not plan.fence.inclusion and not plan.fence.exclusion:
        return None
    shape = fence_shape(plan.fence, frame)
    if not plan.fence.inclusion:
        return None if not shape.keep_outs else _without(shape.keep_outs, frame.to_enu(plan.home), margin_m)
    return shape.allowed(margin_m)


def _without(keep_outs: tuple[BaseGeometry, ...], home: tuple[float, float], margin_m: float) -> BaseGeometry:
    area: BaseGeometry = Point(home).buffer(1e5)
    for ring in keep_outs:
        area = area.difference(ring.buffer(margin_m))
    return area


def _clears(
    plan: FlightPlan, was: FlightPlan, frame: LocalFrame, limits: VehicleLimits, terrain: Terrain | None
) -> bool:
    over, before = (_above_ground(p, places_m(p, frame), frame, terrain) for p in (plan, was))
    if over is None or before is None or not len(over) or not len(before):
        return False
    error = 0.0 if terrain is None else _ERROR_SIGMAS * terrain.vertical_error_m
    low = min(limits.min_height_above_ground_m + error, float(before.min()))
    high = max(limits.max_height_above_ground_m - error, float(before.max()))
    return float(over.min()) >= low - _TOLERANCE_M and float(over.max()) <= high + _TOLERANCE_M


def _above_ground(
    plan: FlightPlan, places: FloatArray, frame: LocalFrame, terrain: Terrain | None
) -> FloatArray | None:
    """Heights above ground along the legs but the return, the take-off column left out; None off the terrain."""
    knots = [plan.takeoff_height_m, *(height_above_home_m(w.altitude, plan.home_amsl_m) for w in plan.waypoints)]
    step = _STEP_M if terrain is None else min(_STEP_M, terrain.resolution_m / 2.0)
    lengths = np.hypot(*np.diff(places, axis=0).T)
    counts = np.maximum(1, np.ceil(lengths / step)).astype(np.int64)
    # Knot numbers with fractions: 0 is home, 1 the first waypoint, and so on; every knot itself is among them.
    numbers = np.append(np.repeat(np.arange(len(lengths)) + 1.0, counts), float(len(lengths)))
    numbers[:-1] -= np.concatenate([np.arange(count, 0, -1) / count for count in counts]) if len(counts) else 0.0
    whole = np.arange(len(places))
    along = np.stack([np.interp(numbers, whole, places[:, axis]) for axis in (0, 1)], axis=1)
    over_home: FloatArray = np.interp(numbers, whole, knots)
    away = np.hypot(*(along - places[0]).T) > _COLUMN_M
    along, over_home = along[away], over_home[away]
    if terrain is None:
        return over_home
    degrees = frame.to_geo_array(along)
    try:
        ground = terrain.height_amsl_m(degrees[:, 0], degrees[:, 1])
    except OutsideTerrainError:
        return None
    above: FloatArray = plan.home_amsl_m + over_home - ground
    return above
