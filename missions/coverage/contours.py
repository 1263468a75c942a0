# SPDX-License-Identifier: AGPL-3.0-or-later
"""An area to strokes along its own edge: rings a swath apart, and centre-lines of what is left between them.

Where parallel swaths must turn at every edge they meet, rings follow the edges (contour-parallel, as in pocket
milling: Held 1991) and bend only at corners: better in arms, spikes and bent corridors. A disc on a ring misses a bit
outside each bend; corners reach out by as much as that takes.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import shapely
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import Voronoi
from shapely.geometry import LineString, Polygon

from missions.coverage.strips import Area, Swath
from missions.geo import FloatArray

_SPACING = 0.98  # of the width: what many rings overlap saves more in corners than it costs along edges
_FEW = 2  # rings up to which arms of a few swaths are likely: no overlap there, and corners stay
_SIMPLE = 0.04  # of the width: bends smaller than this are no bends
_BEND_DEG = 25.0
_ENDS = 8  # strokes per ring at most
_BACK = 1.0  # of the width: where a stroke leaves its edge for a corner
_FARTHEST = 0.6  # of the width: corners that would reach out farther are left to be mended
_LEAST_M2 = 0.1  # of the square width
_STEP = 0.25  # of the width, along the edges of what a centre-line is sought in


def contour_strokes(area: Area, width_m: float) -> list[Swath]:
    """Strokes in the order of their rings, the outermost first; `strip` numbers the ring."""
    few = area.buffer(-(_FEW + 0.5) * width_m).is_empty
    spacing = width_m if few else _SPACING * width_m
    rings: list[LineString] = []
    found: list[Swath] = []
    depth = width_m / 2.0
    number = 0
    while True:
        core = area.buffer(-depth, join_style="mitre", mitre_limit=3.0)
        if core.is_empty:
            break
        for part in shapely.get_parts(core):
            for ring in (part.exterior, *part.interiors):
                line = ring.simplify(_SIMPLE * width_m)
                if line.length > width_m / 2.0:
                    rings.append(line)
                    found += [
                        _stroke(number, p)
                        for p in _strokes_of(np.asarray(line.coords)[:-1, :2], 0.0 if few else width_m)
                    ]
        number += 1
        depth += spacing
    swept = shapely.union_all(shapely.buffer(np.asarray(rings, dtype=object), width_m / 2.0)) if rings else Polygon()
    for rest in shapely.get_parts(area.difference(swept)):
        if isinstance(rest, Polygon) and rest.area > _LEAST_M2 * width_m**2 and rest.length > 3.0 * width_m:
            middle = _middle(rest, width_m)
            if middle is not None:
                found.append(_stroke(number, middle))
    return found


def _stroke(number: int, points: FloatArray) -> Swath:
    places = [(float(x), float(y)) for x, y in points]
    return Swath(number, places[0], places[-1], tuple(places[1:-1]))


def _strokes_of(ring: FloatArray, width_m: float) -> list[FloatArray]:
    """An open ring of corners (n, 2) as strokes that end at its sharpest bends, which reach out for a width above 0."""
    points, bends = _reached_out(ring, width_m)
    ends = np.flatnonzero(bends >= _BEND_DEG)
    if len(ends) > _ENDS:
        ends = np.sort(ends[np.argsort(-bends[ends], kind="stable")[:_ENDS]])
    if len(ends) == 0:
        ends = np.array([int(bends.argmax())])
    turned = np.roll(points, -int(ends[0]), axis=0)
    turned = np.vstack([turned, turned[:1]])
    at = [*(ends - ends[0]), len(points)]
    return [turned[a : b + 1] for a, b in pairwise(at)]


def _reached_out(ring: FloatArray, width_m: float) -> tuple[FloatArray, FloatArray]:
    """A ring whose corners reach out, and by how many degrees it bends there (0 where it leaves an edge)."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    back, on = np.hypot(*before.T), np.hypot(*after.T)
    before, after = before / back[:, None], after / on[:, None]
    out = before - after
    size = np.hypot(*out.T)  # twice the cosine of half the inner angle
    points: list[FloatArray] = []
    bends: list[float] = []
    for k, corner in enumerate(ring):
        half = math.acos(min(1.0, float(size[k]) / 2.0))
        bend = 180.0 - 2.0 * math.degrees(half)
        # The next ring out sweeps in to 1 / sin(half), the disc at this corner out to 1, of half a width.
        reach = 0.5 * width_m * (1.0 / max(math.sin(half), 1e-3) - 1.0)
        if bend < _BEND_DEG or not 0.0 < reach <= _FARTHEST * width_m:
            points.append(corner)
            bends.append(bend)
            continue
        leave, join = min(_BACK * width_m, 0.45 * float(back[k])), min(_BACK * width_m, 0.45 * float(on[k]))
        points += [corner - leave * before[k], corner + reach * out[k] / size[k], corner + join * after[k]]
        bends += [0.0, bend, 0.0]
    return np.asarray(points), np.asarray(bends)


def _middle(shape: Polygon, width_m: float) -> FloatArray | None:
    """The longest way along the middle of a narrow shape, by the Voronoi cells of its edge; None for a short one."""
    edge = np.unique(np.round(shapely.get_coordinates(shapely.segmentize(shape, _STEP * width_m)), 9), axis=0)
    if len(edge) < 5:
        return None
    cells = Voronoi(edge)
    pairs = np.array([p for p in cells.ridge_vertices if p[0] >= 0], dtype=np.int64).reshape(-1, 2)
    pairs = pairs[shapely.contains(shape, shapely.linestrings(cells.vertices[pairs]))]
    if len(pairs) == 0:
        return None
    used, flat = np.unique(pairs, return_inverse=True)
    pairs, places = flat.reshape(-1, 2), cells.vertices[used]
    size = np.maximum(np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T), 1e-9)
    graph = csr_array((size, (pairs[:, 0], pairs[:, 1])), shape=(len(places), len(places)))
    # Farthest from anywhere, then farthest from there: the longest way in a tree.
    start = _farthest(dijkstra(graph, directed=False, indices=0))
    away, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    at = _farthest(away)
    if away[at] < 0.7 * width_m:
        return None
    way = [at]
    while at != start:
        at = int(before[at])
        way.append(at)
    line: FloatArray = np.asarray(LineString(places[way]).simplify(0.1 * width_m).coords)
    return line


def _farthest(away: FloatArray) -> int:
    return int(np.where(np.isfinite(away), away, -1.0).argmax())
