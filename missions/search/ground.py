# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the ground says about where a lost person went: walking time, watersheds, roads, tracks and streams.

Each model gives a factor per cell of a map. Watersheds and lines only share out anew what the distance law gave to a
ring, because that law is what was counted; walking time takes away what could not be reached yet. The factors are
multiplied, and a share of the first map stays as it is, so that no wrong model can hide a person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from missions.errors import PlanningError
from missions.geo import FloatArray
from missions.search.probability import ProbabilityMap
from missions.search.watersheds import crossings, watersheds

FLOOR = 0.2  # of every cell's first probability, kept whatever the ground says
BEHIND_A_DIVIDE = 0.5  # weight for each of the first two divides between a cell and the place
LINE_PULL = {"road": 2.0, "track": 2.0, "stream": 1.0, "edge": 1.0}  # by kind: at the line, over far from it, less one
LINE_REACH_M = 100.0
_MOST_DIVIDES = 2
_PACE_SLACK = 1.25  # people who hurry, and ways that a height grid does not show
_RINGS = 60
_NODES_ACROSS = 240
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1))

TOBLER: str = (
    "walking time: Tobler (1993), 6 exp(-3.5 |slope + 0.05|) km/h, and a quarter more for people who hurry; cells out of "
    "reach keep the floor. Doubt: adults on good ground; streams, walls and thickets are not in a height grid"
)
WATERSHED: str = (
    "watersheds: each of the first two divides between a cell and the place halves its weight within its ring. Source: "
    "Sava, Twardy, Koester and Sonwalkar, Transactions in GIS (2016): on MapScore rings score .78, with watersheds .81 "
    "(376 cases, intervals overlap). Doubt: the half is assumed; theirs were larger units than a height grid's valleys"
)
LINES: str = (
    "roads, tracks, streams and edges draw people: weight 1 + pull exp(-distance / 100 m) within a ring. Source: Jacobs, "
    "Terrain Based Probability Models for SAR (2015), found more finds near them. Doubt: pull and reach are assumed"
)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A linear feature: its kind (a key of LINE_PULL) and its corners (n, 2) in metres of the map's frame."""

    kind: str
    corners_m: FloatArray


@dataclass(frozen=True, slots=True)
class GroundModels:
    """Which models count. hours: since the person was last seen, None when unknown (then walking time says nothing)."""

    hours: float | None = None
    walking: bool = True
    watershed: bool = True
    lines: bool = True
    floor: float = FLOOR


def on_ground(
    chart: ProbabilityMap, heights_amsl_m: FloatArray | None, lines: Sequence[Line], models: GroundModels
) -> ProbabilityMap:
    """The map with what the ground says; `doubts` says which models counted, with what weight and from where.

    heights_amsl_m: of the cells' centres, (rows, columns), NaN where unknown; None for none. The person was last seen
    at the frame's origin. The result sums to one, and no cell falls below `models.floor` of what it was. Raises
    PlanningError for a floor outside (0, 1], heights of another shape and an unknown kind of line.
    """
    if not 0.0 < models.floor <= 1.0:
        raise PlanningError(f"the share that no model may take away lies above 0 and up to 1, not at {models.floor:g}")
    if heights_amsl_m is not None and heights_amsl_m.shape != chart.p.shape:
        raise PlanningError(f"the heights are {heights_amsl_m.shape}, the map {chart.p.shape}; they must agree")
    p, said = chart.p, []
    known = heights_amsl_m is not None and bool(np.isfinite(heights_amsl_m).any())
    if known and heights_amsl_m is not None and models.watershed:
        p = _shared_out(chart, p, watershed_factor(chart, heights_amsl_m))
        said.append(WATERSHED)
    if models.lines and lines:
        p = _shared_out(chart, p, line_factor(chart, lines))
        said.append(LINES)
    if known and heights_amsl_m is not None and models.walking and models.hours is not None:
        reach = walking_hours(chart, heights_amsl_m) <= models.hours * _PACE_SLACK
        if float(p[reach].sum()) > 0.0:
            p = np.where(reach, p, 0.0)
            said.append(TOBLER)
        else:
            said.append(
                "walking time: nothing of the map is in reach yet, so it was left out; check the time last seen"
            )
    if not said:
        return chart
    p = p / math.fsum(p.ravel().tolist())
    mixed = models.floor * chart.p + (1.0 - models.floor) * p
    said.append(f"{models.floor:.0%} of every cell's first probability stays, whatever the ground says: assumed")
    kept = tuple(d for d in chart.doubts if not d.startswith("the direction is taken as unknown"))
    return replace(chart, p=mixed / math.fsum(mixed.ravel().tolist()), doubts=(*kept, *said))


def _shared_out(chart: ProbabilityMap, p: FloatArray, factor: FloatArray) -> FloatArray:
    """Weights within rings around the origin; what each ring holds stays."""
    east, north = chart.centres_m()
    away = np.hypot(east[None, :], north[:, None])
    ring = np.minimum((away / away.max() * _RINGS).astype(np.int64), _RINGS - 1).ravel()
    before = np.bincount(ring, weights=p.ravel(), minlength=_RINGS)
    weighted = p.ravel() * factor.ravel()
    after = np.bincount(ring, weights=weighted, minlength=_RINGS)
    scale = np.divide(before, after, out=np.zeros(_RINGS), where=after > 0.0)
    return np.asarray(weighted * scale[ring]).reshape(p.shape)


def line_factor(chart: ProbabilityMap, lines: Sequence[Line]) -> FloatArray:
    """1 + pull exp(-d / reach) per cell, d to the nearest line of each kind, the strongest kind; (rows, columns)."""
    rows, columns = chart.p.shape
    factor = np.ones((rows, columns))
    for kind in sorted({line.kind for line in lines}):
        if kind not in LINE_PULL:
            raise PlanningError(f"there is no kind of line {kind!r}; there are: {', '.join(LINE_PULL)}")
        free = np.ones((rows, columns), dtype=np.bool_)
        for line in lines:
            if line.kind == kind:
                spots = _along(line.corners_m, chart.cell_m / 2.0)
                column = np.floor((spots[:, 0] - chart.west_m) / chart.cell_m).astype(np.int64)
                row = np.floor((spots[:, 1] - chart.south_m) / chart.cell_m).astype(np.int64)
                on = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
                free[row[on], column[on]] = False
        if not free.all():
            away = distance_transform_edt(free) * chart.cell_m
            factor = np.maximum(factor, 1.0 + LINE_PULL[kind] * np.exp(-away / LINE_REACH_M))
    return factor


def _along(corners: FloatArray, step_m: float) -> FloatArray:
    if len(corners) < 2:
        return corners
    at = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    where = np.linspace(0.0, at[-1], max(2, math.ceil(at[-1] / step_m) + 1))
    return np.stack([np.interp(where, at, corners[:, 0]), np.interp(where, at, corners[:, 1])], axis=1)


def watershed_factor(chart: ProbabilityMap, heights_amsl_m: FloatArray) -> FloatArray:
    """BEHIND_A_DIVIDE to the power of the divides between a cell and the origin's, at most two; 1 where no height is."""
    step = max(1, math.ceil(max(chart.p.shape) / _NODES_ACROSS))
    row0, column0 = _origin_cell(chart)
    if not math.isfinite(heights_amsl_m[row0, column0]):
        return np.ones(chart.p.shape)
    coarse = heights_amsl_m[::step, ::step]
    start = (min(row0 // step, coarse.shape[0] - 1), min(column0 // step, coarse.shape[1] - 1))
    if not math.isfinite(coarse[start]):
        return np.ones(chart.p.shape)
    between = crossings(watersheds(coarse), start)
    weight = np.where(between < 0, 1.0, BEHIND_A_DIVIDE ** np.clip(between, 0, _MOST_DIVIDES))
    rows, columns = chart.p.shape
    return np.repeat(np.repeat(weight, step, axis=0), step, axis=1)[:rows, :columns]


def _origin_cell(chart: ProbabilityMap) -> tuple[int, int]:
    rows, columns = chart.p.shape
    row, column = math.floor(-chart.south_m / chart.cell_m), math.floor(-chart.west_m / chart.cell_m)
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)


def tobler_m_s(slope: FloatArray) -> FloatArray:
    """Walking speed by slope, rise over run, of the way walked: Tobler's hiking function (1993)."""
    return np.asarray(6.0 / 3.6 * np.exp(-3.5 * np.abs(slope + 0.05)), dtype=np.float64)


def walking_hours(chart: ProbabilityMap, heights_amsl_m: FloatArray) -> FloatArray:
    """Hours from the origin to every cell by the quickest way over the heights; flat where they are unknown.

    Ways run over a grid of at most a few hundred nodes across in sixteen directions, at most 3 % longer than straight.
    """
    rows, columns = chart.p.shape
    step = max(1, math.ceil(max(rows, columns) / _NODES_ACROSS))
    row0, column0 = _origin_cell(chart)
    r, c = np.arange(row0 % step, rows, step), np.arange(column0 % step, columns, step)
    ground = _filled(heights_amsl_m[np.ix_(r, c)])
    number = np.arange(ground.size).reshape(ground.shape)
    tails, heads, hours = [], [], []
    for dr, dc in _STEPS:
        a, b = _pair(number, dr, dc)
        run = math.hypot(dr, dc) * step * chart.cell_m
        rise = (ground.ravel()[b] - ground.ravel()[a]) / run
        for tail, head, slope in ((a, b, rise), (b, a, -rise)):
            tails.append(tail)
            heads.append(head)
            hours.append(run / tobler_m_s(slope) / 3600.0)
    graph = coo_array(
        (np.concatenate(hours), (np.concatenate(tails), np.concatenate(heads))), shape=(ground.size, ground.size)
    ).tocsr()
    found = dijkstra(graph, indices=int(number[row0 // step, column0 // step])).reshape(ground.shape)
    at = np.stack(np.meshgrid((np.arange(rows) - r[0]) / step, (np.arange(columns) - c[0]) / step, indexing="ij"))
    return np.asarray(map_coordinates(found, at, order=1, mode="nearest"), dtype=np.float64)


def _pair(number: NDArray[np.int64], dr: int, dc: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = number.shape
    if dc >= 0:
        return number[: rows - dr, : columns - dc].ravel(), number[dr:, dc:].ravel()
    return number[: rows - dr, -dc:].ravel(), number[dr:, : columns + dc].ravel()


def _filled(heights: FloatArray) -> FloatArray:
    """Unknown heights taken from the nearest known ones, so that the edge of a terrain is no cliff."""
    unknown = ~np.isfinite(heights)
    if not unknown.any():
        return heights
    if unknown.all():
        return np.zeros(heights.shape)
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(heights[tuple(nearest)], dtype=np.float64)
