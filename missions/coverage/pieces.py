# SPDX-License-Identifier: AGPL-3.0-or-later
"""An outline cut at its inward corners into pieces, each swept in the direction that suits it.

Swaths along an edge need no turns there; every other metre of edge costs about half a metre of turning. A cut adds
edges, so it is made only where that sum falls (the sum of altitudes of Huang 2001, with edges in its place).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.polygon import orient

from missions.coverage.strips import Area, Swath, estimate_m, intervals, layouts, swaths
from missions.geo import FloatArray

_TURN = 0.5  # metres flown per metre of edge that swaths end on
_INNER = 0.35  # the same along a cut, where the next piece's swaths help
_PARALLEL = 0.05  # sine of the angle up to which an edge counts as along the swaths
_CUT = 0.5  # of the width: what a cut must save at least
_PIECES = 16
_SMOOTH = 0.1  # of the width: smaller bends are not cut at; what lies beyond is left to be mended
_INWARD = 0.2  # sine of the least bend to cut at
_CORNERS = 12  # the sharpest that are cut at
_RAYS = 12  # cuts to other corners, from each inward one
_DIRECTIONS = 6


@dataclass(frozen=True, slots=True, eq=False)
class _Ring:
    """A piece: corners (n, 2) counter-clockwise, whether the edge from each is a cut, and its best direction's cost."""

    corners: FloatArray
    is_cut: NDArray[np.bool_]
    cost_m: float
    direction_deg: float


def piece_swaths(area: Area, allowed: Area, width_m: float) -> list[Swath]:
    """Swaths piece by piece, each piece in its own direction; none when no cut pays."""
    found: list[Swath] = []
    parts = [pieces(part, width_m) for part in shapely.get_parts(area)]
    if all(len(part) == 1 for part in parts):
        return []
    for outline, direction_deg in [piece for part in parts for piece in part]:
        inside = area.intersection(outline)
        if not inside.area > 0.0:
            continue
        weighed = []
        for number, layout in enumerate(layouts(inside, width_m, direction_deg)):
            spans = intervals(inside, layout, layout.spacing_m)
            weighed.append((estimate_m(spans, layout), number, layout, spans))
        _, _, layout, spans = min(weighed, key=lambda w: w[:2])
        found += swaths(spans, layout, allowed)
    return found


def pieces(part: Polygon, width_m: float) -> list[tuple[Polygon, float]]:
    """(piece, direction in degrees counter-clockwise from east): the outline of a part without its holes, cut up."""
    outline = orient(Polygon(part.exterior))
    corners = np.asarray(outline.simplify(_SMOOTH * width_m).exterior.coords)[:-1, :2]
    if len(corners) < 3:
        corners = np.asarray(outline.exterior.coords)[:-1, :2]
    work = [_weighed(corners, np.zeros(len(corners), dtype=np.bool_), width_m)]
    done: list[_Ring] = []
    while work:
        ring = work.pop()
        best: tuple[_Ring, _Ring] | None = None
        least = ring.cost_m - _CUT * width_m
        if len(work) + len(done) < _PIECES - 1:
            for first, second in _cuts(ring, width_m):
                if first.cost_m + second.cost_m < least:
                    best, least = (first, second), first.cost_m + second.cost_m
        if best is None:
            done.append(ring)
        else:
            work += best
    return [(Polygon(ring.corners), ring.direction_deg) for ring in done]


def _weighed(corners: FloatArray, is_cut: NDArray[np.bool_], width_m: float) -> _Ring:
    """The ring with the least of: swaths that fill its altitude, and turns on the edges across them."""
    legs = np.roll(corners, -1, axis=0) - corners
    sizes = np.maximum(np.hypot(*legs.T), 1e-12)
    unit = legs / sizes[:, None]
    along = unit[np.argsort(-sizes, kind="stable")[:_DIRECTIONS]]
    across = np.abs(along[:, :1] * unit[:, 1] - along[:, 1:] * unit[:, 0])  # (directions, edges)
    turns = np.clip(across / _PARALLEL - 1.0, 0.0, 1.0) * np.where(is_cut, _INNER, _TURN) * sizes
    heights = along[:, :1] * corners[:, 1] - along[:, 1:] * corners[:, 0]
    altitude = np.maximum(np.ptp(heights, axis=1), 1e-9)
    after = np.roll(corners, -1, axis=0)
    area = 0.5 * abs(float((corners[:, 0] * after[:, 1] - after[:, 0] * corners[:, 1]).sum()))
    cost = area * np.ceil(altitude / width_m - 1e-6) / altitude + turns.sum(axis=1)
    k = int(cost.argmin())
    return _Ring(corners, is_cut, float(cost[k]), float(np.degrees(np.arctan2(along[k, 1], along[k, 0])) % 180.0))


def _cuts(ring: _Ring, width_m: float) -> Iterator[tuple[_Ring, _Ring]]:
    """Every way to cut a ring in two from an inward corner: on along either edge, halving its angle, to near corners."""
    c = ring.corners
    n = len(c)
    before, after = c - np.roll(c, 1, axis=0), np.roll(c, -1, axis=0) - c
    before, after = before / np.hypot(*before.T)[:, None], after / np.hypot(*after.T)[:, None]
    bend = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    sharpest = np.argsort(bend, kind="stable")[:_CORNERS]
    for v in np.sort(sharpest[bend[sharpest] < -_INWARD]):
        others = c - c[v]
        away = np.hypot(*others.T)
        away[[v - 1, v, (v + 1) % n]] = np.inf
        near = np.argsort(away, kind="stable")[: max(0, min(_RAYS, n - 3))]
        for ray in (before[v], -after[v], before[v] - after[v], *others[near]):
            # Into the ring: to the left of either edge.
            left = max(before[v, 0] * ray[1] - before[v, 1] * ray[0], after[v, 0] * ray[1] - after[v, 1] * ray[0])
            hit = _hit(c, int(v), ray) if left > -1e-9 else None
            halves = None if hit is None else _split(ring, int(v), *hit, width_m)
            if halves is not None:
                yield halves


def _hit(c: FloatArray, v: int, ray: FloatArray) -> tuple[int, FloatArray] | None:
    """The first edge that a ray from corner v meets, and where."""
    ray = ray / np.hypot(*ray)
    along = np.roll(c, -1, axis=0) - c
    off = c - c[v]
    cross = ray[0] * along[:, 1] - ray[1] * along[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (off[:, 0] * along[:, 1] - off[:, 1] * along[:, 0]) / cross
        u = (off[:, 0] * ray[1] - off[:, 1] * ray[0]) / cross
    meets = (np.abs(cross) > 1e-12) & (t > 1e-9) & (u >= -1e-9) & (u <= 1.0 + 1e-9)
    meets[[v, v - 1]] = False
    if not meets.any():
        return None
    edge = int(np.where(meets, t, np.inf).argmin())
    return edge, c[v] + t[edge] * ray


def _split(ring: _Ring, v: int, edge: int, place: FloatArray, width_m: float) -> tuple[_Ring, _Ring] | None:
    """A ring cut from corner v to a place on an edge; None when one side has no area."""
    c, is_cut = np.roll(ring.corners, -v, axis=0), np.roll(ring.is_cut, -v)
    k = (edge - v) % len(c)  # the place lies between corners k and k + 1
    halves = []
    for corners, cuts in (
        (np.vstack([c[: k + 1], place]), np.append(is_cut[: k + 1], True)),
        (np.vstack([c[:1], place, c[k + 1 :]]), np.concatenate([[True], is_cut[k:]])),
    ):
        kept = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T) > 1e-6 * width_m
        if kept.sum() < 3:
            return None
        halves.append(_weighed(corners[kept], cuts[kept], width_m))
    return halves[0], halves[1]
