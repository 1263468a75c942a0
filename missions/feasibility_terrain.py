# SPDX-License-Identifier: AGPL-3.0-or-later
"""The feasibility rules that look at the ground: clearance along every leg and along every possible return.

The ground is sampled at half its resolution or finer, and taken two standard errors worse than it is given. The
columns of take-off and landing are excepted: there the vehicle is meant to be near the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Finding, FlightPlan, Severity, VehicleLimits
from missions.plan_legs import Leg, Names, named, said
from missions.terrain import GridTerrain, OutsideTerrainError, Terrain, height_at

ERROR_SIGMAS = 2.0
_COLUMN_M = 15.0
_ROOF_M = 20.0  # a pad may stand on a roof that the terrain does not know
_MAX_SAMPLES = 200_000
_BATCH = 200_000
_RETURN_FROM_EVERY_M = 100.0
_MAX_RETURNS_PER_LEG = 50
_MAX_RETURNS = 8_000
_MAX_SAMPLES_PER_RETURN = 4000
_RASTER_CELLS = 700  # on a side
_SAMPLES_PER_CELL = 1.0 / 0.95
_RASTER_DOUBT_M = 6.0  # by which ground that is no grid may be higher between a raster's middles than at them
_MOST_MEASURED = 400


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


def check_clearance(plan: FlightPlan, limits: VehicleLimits, terrain: Terrain, legs: Sequence[Leg]) -> list[Finding]:
    """Height above ground along every leg but the return (its own rule) within the limits."""
    findings: list[Finding] = []
    frame = LocalFrame(plan.home)
    error = ERROR_SIGMAS * terrain.vertical_error_m
    batch: list[tuple[Leg, FloatArray, FloatArray]] = []
    held = 0
    for leg in legs:
        if leg.item is None:
            continue
        places, heights = _along(leg, terrain)
        away = np.hypot(places[:, 0], places[:, 1]) > _COLUMN_M
        if away.any():
            batch.append((leg, places[away], heights[away]))
            held += len(heights)
        if held >= _BATCH:
            findings += _clearances(batch, plan, terrain, error, limits, frame)
            batch, held = [], 0
            if any(f.code == "terrain-unknown" for f in findings):
                return findings
    return findings + _clearances(batch, plan, terrain, error, limits, frame)


def _clearances(
    batch: Sequence[tuple[Leg, FloatArray, FloatArray]],
    plan: FlightPlan,
    terrain: Terrain,
    error: float,
    limits: VehicleLimits,
    frame: LocalFrame,
) -> list[Finding]:
    """Several legs with one look at the ground."""
    if not batch:
        return []
    findings: list[Finding] = []
    try:
        ground = [_ground(terrain, frame, np.concatenate([places for _, places, _ in batch]))]
        ground = np.split(ground[0], np.cumsum([len(places) for _, places, _ in batch])[:-1])
    except OutsideTerrainError:
        ground = []  # leg by leg, to say which one
    for number, (leg, places, heights) in enumerate(batch):
        try:
            under = ground[number] if ground else _ground(terrain, frame, places)
        except OutsideTerrainError as gone:
            # One line is enough: the rest is as far away, or its own leg says so when this is mended.
            return [*findings, _unknown(leg.name, gone, leg.item)]
        findings += _judge(leg, plan.home_amsl_m + heights - under, places, error, limits, frame)
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
    plan: FlightPlan, limits: VehicleLimits, terrain: Terrain, legs: Sequence[Leg], names: Names = None
) -> list[Finding]:
    """The straight way home at the return height clears the ground from anywhere on the plan.

    The highest ground is looked up once per cell of a raster around home; ways that it leaves no room for are then
    measured exactly, the worst ones first.
    """
    frame = LocalFrame(plan.home)
    needed = limits.min_height_above_ground_m + ERROR_SIGMAS * terrain.vertical_error_m
    ways = _ways_home(plan, legs)
    if not len(ways.items):
        return []
    try:
        room = _least_room(plan.home_amsl_m, ways, terrain, frame)
    except OutsideTerrainError:
        room = np.full(len(ways.items), -np.inf)  # measure all of them, to say which one
    suspects = np.flatnonzero(room < needed)
    suspects = suspects[np.argsort(room[suspects], kind="stable")]
    worst: tuple[float, int, FloatArray] | None = None
    for rank, way in enumerate(suspects):
        if worst is not None and (room[way] > worst[0] or rank >= _MOST_MEASURED):
            break
        start, top, item = ways.starts[way], float(ways.tops[way]), int(ways.items[way])
        distance = float(np.hypot(*start))
        count = min(_MAX_SAMPLES_PER_RETURN, int(np.ceil(distance / _step(terrain))) + 1)
        places = np.linspace(1.0, _COLUMN_M / distance, max(2, count))[:, None] * start
        try:
            above = plan.home_amsl_m + top - _ground(terrain, frame, places)
        except OutsideTerrainError as gone:
            return [_unknown(f"the way home from near {named(item, names)}", gone, item)]
        low = int(np.argmin(above))
        if above[low] < needed - 0.05 and (worst is None or above[low] < worst[0]):
            worst = float(above[low]), item, places[low]
    if worst is None:
        return []
    above_m, item, place = worst
    where = frame.to_geo(*place)
    how = f"comes within {above_m:.0f} m of" if above_m > 0.0 else f"runs {said(-above_m)} below"
    message = (
        f"a return from near {named(item, names)} at {plan.return_height_m:.0f} m above home {how} "
        f"the ground near {_place(where)} and needs {needed:.0f} m: raise the return height by {_up(needed - above_m)} m"
    )
    return [Finding("return-altitude-terrain", Severity.BLOCKER, message, item, where)]


def check_return_top(
    plan: FlightPlan, limits: VehicleLimits, terrain: Terrain, legs: Sequence[Leg], names: Names = None
) -> list[Finding]:
    """The return that ends the flight stays within the greatest height above ground, also where it crosses a valley.

    A warning: the autopilot flies it at one height, which the ground on other ways home may ask for.
    """
    frame = LocalFrame(plan.home)
    error = ERROR_SIGMAS * terrain.vertical_error_m
    for leg in legs:
        if leg.item is not None:
            continue
        places, heights = _along(leg, terrain)
        try:
            above = plan.home_amsl_m + heights - _ground(terrain, frame, places)
        except OutsideTerrainError:
            return []  # the rule on return heights says so
        high = int(np.argmax(above))
        over = float(above[high]) + error - limits.max_height_above_ground_m
        if over > 0.05:
            start = "home" if leg.from_item is None else named(leg.from_item, names)
            where = frame.to_geo(*places[high])
            message = (
                f"the return from {start} at {heights[high]:.0f} m above home is {above[high]:.0f} m above the ground near "
                f"{_place(where)}; with the terrain's error of {error:.0f} m at most "
                f"{limits.max_height_above_ground_m - error:.0f} m are allowed: lower the return height by {_up(over)} m, or "
                "end the plan nearer to home"
            )
            return [Finding("return-height-high", Severity.WARNING, message, leg.from_item, where)]
    return []


@dataclass(frozen=True, slots=True)
class _Ways:
    """Straight ways home: (n, 2) starts in metres from home, (n,) heights above home, (n,) waypoints."""

    starts: FloatArray
    tops: FloatArray
    items: NDArray[np.int64]


def _ways_home(plan: FlightPlan, legs: Sequence[Leg]) -> _Ways:
    flown = [leg for leg in legs if leg.item is not None]
    every = max(_RETURN_FROM_EVERY_M, sum(leg.length_m for leg in flown) / _MAX_RETURNS)
    sampled = [leg.samples(max(every, leg.length_m / _MAX_RETURNS_PER_LEG)) for leg in flown]
    starts = np.concatenate([places for places, _ in sampled])
    heights = np.concatenate([heights for _, heights in sampled])
    items = np.repeat(np.asarray([leg.item for leg in flown], dtype=np.int64), [len(h) for _, h in sampled])
    distance = np.hypot(starts[:, 0], starts[:, 1])
    away = distance > _COLUMN_M
    tops = np.maximum(heights, np.minimum(plan.return_height_m, distance))  # return_height_m() of arrays
    return _Ways(starts[away], tops[away], items[away])


def _least_room(home_amsl_m: float, ways: _Ways, terrain: Terrain, frame: LocalFrame) -> FloatArray:
    """What each way home has over the highest ground of its raster cells, or less. Raises OutsideTerrainError."""
    reach = float(np.abs(ways.starts).max())
    cell = max(_step(terrain), 2.0 * reach / _RASTER_CELLS)
    side = int(np.ceil(reach / cell)) * 2 + 3
    distance = np.hypot(ways.starts[:, 0], ways.starts[:, 1])
    counts = np.ceil(distance / cell * _SAMPLES_PER_CELL).astype(np.int64) + 1
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(int(counts.sum())) - np.repeat(first, counts)
    least = _COLUMN_M / distance
    share = np.repeat(least, counts) + rank * np.repeat((1.0 - least) / (counts - 1), counts)
    column = np.rint(np.repeat(ways.starts[:, 0] / cell, counts) * share).astype(np.int64) + side // 2
    row = np.rint(np.repeat(ways.starts[:, 1] / cell, counts) * share).astype(np.int64) + side // 2
    crossed = row * side + column
    seen = np.zeros(side * side, dtype=bool)
    seen[crossed] = True
    cells = np.flatnonzero(seen)
    middles = np.stack([cells % side - side // 2, cells // side - side // 2], axis=1).astype(np.float64) * cell
    heights = np.full(side * side, -np.inf)
    heights[cells] = _highest(terrain, frame, middles, cell)
    return np.asarray(home_amsl_m + ways.tops - np.maximum.reduceat(heights[crossed], first))


def _highest(terrain: Terrain, frame: LocalFrame, middles: FloatArray, reach_m: float) -> FloatArray:
    """No ground within reach_m of a middle, east or north, is higher. Infinite where part of it is not known.

    A grid is highest at one of its nodes. They are put together in blocks as wide as what is within reach, so that at
    most four of these hold it. Raises OutsideTerrainError for other terrains, as they do.
    """
    if not isinstance(terrain, GridTerrain):
        return _ground(terrain, frame, middles) + _RASTER_DOUBT_M
    nodes = reach_m / terrain.resolution_m
    size = int(np.ceil(2.0 * nodes))
    there = (frame.to_frame_array(middles, terrain.frame) - (terrain.west_m, terrain.south_m)) / terrain.resolution_m
    low = np.floor((there - nodes) / size).astype(np.int64)
    high = np.floor((there + nodes) / size).astype(np.int64)
    first, count = low.min(axis=0), high.max(axis=0) - low.min(axis=0) + 1
    blocks = _blocks(terrain, first * size, count, size)
    (west, south), (east, north) = (low - first).T, (high - first).T
    corners = (blocks[south, west], blocks[south, east], blocks[north, west], blocks[north, east])
    return np.asarray(np.maximum.reduce(corners), dtype=np.float64)


def _blocks(terrain: GridTerrain, first: NDArray[np.int64], count: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """(rows, columns) highest nodes of blocks of size x size, their edges included; `first` (column, row) begins them."""
    (columns, rows), (column, row) = count.tolist(), first.tolist()
    known = terrain.heights_amsl_m
    padded = np.full((rows * size + 1, columns * size + 1), np.inf, dtype=np.float32)
    south, west = max(0, row), max(0, column)
    part = known[south : max(0, row + len(padded)), west : max(0, column + padded.shape[1])]
    if part.size:
        into = padded[south - row :, west - column :][: part.shape[0], : part.shape[1]]
        into[...] = np.where(np.isnan(part), np.float32(np.inf), part)
    rowed = np.maximum(padded[:-1].reshape(rows, size, -1).max(axis=1), padded[size::size])
    within: NDArray[np.float32] = rowed[:, :-1].reshape(rows, columns, size).max(axis=2)
    highest: NDArray[np.float32] = np.maximum(within, rowed[:, size::size])
    return highest


def _step(terrain: Terrain) -> float:
    return max(terrain.resolution_m / 2.0, 1.0)


def _along(leg: Leg, terrain: Terrain) -> tuple[FloatArray, FloatArray]:
    return leg.samples(max(_step(terrain), leg.length_m / _MAX_SAMPLES))


def _ground(terrain: Terrain, frame: LocalFrame, places: FloatArray) -> FloatArray:
    if isinstance(terrain, GridTerrain):
        there = frame.to_frame_array(places, terrain.frame)
        return terrain.height_at_enu(there[:, 0], there[:, 1])
    geo = frame.to_geo_array(places)
    return terrain.height_amsl_m(geo[:, 0], geo[:, 1])


def _unknown(name: str, gone: OutsideTerrainError, item: int | None) -> Finding:
    message = f"{name} cannot be checked: {gone}; give a terrain that covers it or bring it nearer"
    return Finding("terrain-unknown", Severity.BLOCKER, message, item)


def _up(metres: float) -> int:
    return int(np.ceil(metres))


def _place(point: GeoPoint) -> str:
    return f"{point.latitude_deg:.5f}, {point.longitude_deg:.5f}"
