# SPDX-License-Identifier: AGPL-3.0-or-later
"""The feasibility rules that look at the ground: clearance along every leg and along every possible return.

The ground is sampled at half its resolution or finer, and taken two standard errors worse than it is given. The
columns of take-off and landing are excepted: there the vehicle is meant to be near the ground.
"""

from __future__ import annotations

import numpy as np

from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Finding, FlightPlan, Severity, VehicleLimits
from missions.plan_legs import Leg, return_height_m, said
from missions.terrain import OutsideTerrainError, Terrain, height_at

ERROR_SIGMAS = 2.0
_COLUMN_M = 15.0
_ROOF_M = 20.0  # a pad may stand on a roof that the terrain does not know
_MAX_SAMPLES = 200_000
_RETURN_FROM_EVERY_M = 100.0
_MAX_RETURNS_PER_LEG = 50
_MAX_SAMPLES_PER_RETURN = 4000


def check_home_height(plan: FlightPlan, terrain: Terrain) -> list[Finding]:
    """Home's height agrees with the terrain: every height above home would be off by the difference."""
    try:
        ground = height_at(terrain, plan.home)
    except OutsideTerrainError as gone:
        return [_unknown("home", gone, None)]
    off = plan.home_amsl_m - ground
    allowed = ERROR_SIGMAS * terrain.vertical_error_m + _ROOF_M
    if abs(off) <= allowed:
        return []
    message = (
        f"home is planned at {plan.home_amsl_m:.0f} m above mean sea level, {said(abs(off))} "
        f"{'above' if off > 0 else 'below'} the ground there ({terrain.source}); correct the home altitude"
    )
    return [Finding("home-height", Severity.BLOCKER, message, None, plan.home)]


def check_clearance(plan: FlightPlan, limits: VehicleLimits, terrain: Terrain, legs: tuple[Leg, ...]) -> list[Finding]:
    """Height above ground along every leg but the return (its own rule) within the limits."""
    findings: list[Finding] = []
    frame = LocalFrame(plan.home)
    error = ERROR_SIGMAS * terrain.vertical_error_m
    for leg in legs:
        if leg.item is None:
            continue
        places, heights = _along(leg, terrain)
        away = np.hypot(places[:, 0], places[:, 1]) > _COLUMN_M
        places, heights = places[away], heights[away]
        if not heights.size:
            continue
        try:
            ground = _ground(terrain, frame, places)
        except OutsideTerrainError as gone:
            findings.append(_unknown(leg.name, gone, leg.item))
            break  # one line is enough: the rest of the plan is as far away, or its own leg says so when this is mended
        above = plan.home_amsl_m + heights - ground
        findings += _judge(leg, above, places, error, limits, frame)
    return findings


def _judge(
    leg: Leg, above: FloatArray, places: FloatArray, error: float, limits: VehicleLimits, frame: LocalFrame
) -> list[Finding]:
    low, high = int(np.argmin(above)), int(np.argmax(above))
    findings = []
    if above[low] <= 0.0:
        where = frame.to_geo(*places[low])
        message = (
            f"{leg.name} runs {said(-float(above[low]))} below the ground near {_place(where)}; "
            f"raise it by at least {_up(limits.min_height_above_ground_m + error - float(above[low]))} m"
        )
        findings.append(Finding("below-terrain", Severity.BLOCKER, message, leg.item, where))
    elif above[low] - error < limits.min_height_above_ground_m - 0.05:
        where = frame.to_geo(*places[low])
        message = (
            f"{leg.name} comes within {above[low]:.0f} m of the ground near {_place(where)}; with the terrain's error "
            f"of {error:.0f} m it needs {limits.min_height_above_ground_m + error:.0f} m: "
            f"raise it by {_up(limits.min_height_above_ground_m + error - float(above[low]))} m"
        )
        findings.append(Finding("clearance-low", Severity.BLOCKER, message, leg.item, where))
    if above[high] + error > limits.max_height_above_ground_m + 0.05:
        where = frame.to_geo(*places[high])
        message = (
            f"{leg.name} is {above[high]:.0f} m above the ground near {_place(where)}; with the terrain's error of "
            f"{error:.0f} m at most {limits.max_height_above_ground_m - error:.0f} m are allowed: "
            f"lower it by {_up(float(above[high]) + error - limits.max_height_above_ground_m)} m or follow the ground"
        )
        findings.append(Finding("clearance-high", Severity.BLOCKER, message, leg.item, where))
    return findings


def check_return_height(
    plan: FlightPlan, limits: VehicleLimits, terrain: Terrain, legs: tuple[Leg, ...]
) -> list[Finding]:
    """The straight way home at the return height clears the ground from anywhere on the plan."""
    frame = LocalFrame(plan.home)
    needed = limits.min_height_above_ground_m + ERROR_SIGMAS * terrain.vertical_error_m
    worst: tuple[float, Leg, FloatArray] | None = None
    for leg in legs:
        if leg.item is None:
            continue
        starts, start_heights = leg.samples(max(_RETURN_FROM_EVERY_M, leg.length_m / _MAX_RETURNS_PER_LEG))
        for start, height in zip(starts, start_heights, strict=True):
            distance = float(np.hypot(*start))
            if distance <= _COLUMN_M:
                continue
            top = return_height_m(distance, float(height), plan.return_height_m)
            count = min(_MAX_SAMPLES_PER_RETURN, int(np.ceil(distance / _step(terrain))) + 1)
            share = np.linspace(1.0, _COLUMN_M / distance, max(2, count))
            places = share[:, None] * start
            try:
                above = plan.home_amsl_m + top - _ground(terrain, frame, places)
            except OutsideTerrainError as gone:
                name = f"the way home from near waypoint {leg.item + 1}"
                return [_unknown(name, gone, leg.item)]
            low = int(np.argmin(above))
            if above[low] < needed - 0.05 and (worst is None or above[low] < worst[0]):
                worst = float(above[low]), leg, places[low]
    if worst is None:
        return []
    above_m, leg, place = worst
    where = frame.to_geo(*place)
    number = 0 if leg.item is None else leg.item + 1
    how = f"comes within {above_m:.0f} m of" if above_m > 0.0 else f"runs {said(-above_m)} below"
    message = (
        f"a return from near waypoint {number} at {plan.return_height_m:.0f} m above home {how} "
        f"the ground near {_place(where)} and needs {needed:.0f} m: raise the return height by {_up(needed - above_m)} m"
    )
    return [Finding("return-altitude-terrain", Severity.BLOCKER, message, leg.item, where)]


def _step(terrain: Terrain) -> float:
    return max(terrain.resolution_m / 2.0, 1.0)


def _along(leg: Leg, terrain: Terrain) -> tuple[FloatArray, FloatArray]:
    return leg.samples(max(_step(terrain), leg.length_m / _MAX_SAMPLES))


def _ground(terrain: Terrain, frame: LocalFrame, places: FloatArray) -> FloatArray:
    geo = frame.to_geo_array(places)
    return terrain.height_amsl_m(geo[:, 0], geo[:, 1])


def _unknown(name: str, gone: OutsideTerrainError, item: int | None) -> Finding:
    message = f"{name} cannot be checked: {gone}; give a terrain that covers it or bring it nearer"
    return Finding("terrain-unknown", Severity.BLOCKER, message, item)


def _up(metres: float) -> int:
    return int(np.ceil(metres))


def _place(point: GeoPoint) -> str:
    return f"{point.latitude_deg:.5f}, {point.longitude_deg:.5f}"
