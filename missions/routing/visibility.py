# SPDX-License-Identifier: AGPL-3.0-or-later
"""Shortest paths between places inside an area with holes: a visibility graph over the area's inward corners.

A shortest path in a polygon with holes bends only at reflex corners (Lozano-Perez and Wesley 1979), so a graph of
the places and those corners, with an edge where two see each other, holds all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.polygon import orient

from missions.geo import FloatArray

_EDGE_SLACK_M = 0.05  # a path along an edge lies on it up to rounding
_MANY_EDGES = 400  # beyond, a tree of edges sees more pairs per second than a table of all does


@dataclass(frozen=True, slots=True, eq=False)
class ShortestPaths:
    """All shortest paths between n places.

    length_m: (n, n), symmetric; infinite where no path exists.
    """

    nodes_m: FloatArray  # the places first, then the corners
    length_m: FloatArray
    _before: NDArray[np.int32]

    def between(self, start: int, end: int) -> list[tuple[float, float]]:
        """The corners of the shortest path from one place to another, both ends left out."""
        if not np.isfinite(self.length_m[start, end]):
            raise ValueError("there is no path between these places")
        corners: list[tuple[float, float]] = []
        at = int(self._before[start, end])
        while at >= 0 and at != start:
            corners.append((float(self.nodes_m[at, 0]), float(self.nodes_m[at, 1])))
            at = int(self._before[start, at])
        return corners[::-1]


def shortest_paths(area: Polygon | MultiPolygon, places_m: FloatArray) -> ShortestPaths:
    """Shortest paths between places of shape (n, 2) that stay in the area (its edges belong to it)."""
    count = len(places_m)
    nodes = np.vstack([np.asarray(places_m, dtype=np.float64).reshape(-1, 2), _reflex_corners(area)])
    first, second = _visible(area.buffer(_EDGE_SLACK_M, join_style="mitre"), nodes)
    # Zero would mean "no edge" to the sparse graph: two drones may share one place.
    weights = np.maximum(np.hypot(*(nodes[first] - nodes[second]).T), 1e-9)
    graph = csr_array((weights, (first, second)), shape=(len(nodes), len(nodes)))
    lengths, before = dijkstra(graph, directed=False, indices=np.arange(count), return_predecessors=True)
    return ShortestPaths(nodes, np.asarray(lengths[:, :count]), np.asarray(before, dtype=np.int32))


def _visible(roomy: Polygon | MultiPolygon, nodes: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of nodes between which a straight line stays inside."""
    shapely.prepare(roomy)
    rings = [
        np.asarray(ring.coords)[:-1] for part in shapely.get_parts(roomy) for ring in (part.exterior, *part.interiors)
    ]
    first, second = np.triu_indices(len(nodes), k=1)
    if sum(map(len, rings)) > _MANY_EDGES:
        seen = shapely.covers(roomy, shapely.linestrings(np.stack([nodes[first], nodes[second]], axis=1)))
        return first[seen], second[seen]
    # A line between two places inside leaves only across an edge: its ends lie on either side of the edge's line, and
    # the edge's ends on either side of its own. Corners on a line count with its right side.
    ends: FloatArray = np.concatenate(rings)
    after = np.concatenate([np.roll(np.arange(len(r)), -1) + sum(map(len, rings[:i])) for i, r in enumerate(rings)])
    edge = ends[after] - ends
    x, y = nodes[:, :1], nodes[:, 1:]
    left_of_edge = edge[:, 0] * (y - ends[:, 1]) > edge[:, 1] * (x - ends[:, 0])
    inside = shapely.intersects_xy(roomy, nodes)
    turns = x * ends[:, 1] - y * ends[:, 0]
    seen = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for i in np.flatnonzero(inside):
        left = turns[i + 1 :] - turns[i] > x[i + 1 :] * y[i] - y[i + 1 :] * x[i]
        crossed = (left != left[:, after]) & (left_of_edge[i + 1 :] != left_of_edge[i])
        seen[i, i + 1 :] = inside[i + 1 :] & ~crossed.any(axis=1)
    seen = seen[first, second]
    return first[seen], second[seen]


def _reflex_corners(area: Polygon | MultiPolygon) -> FloatArray:
    """Corners at which the area's inner angle exceeds 180 degrees, of shape (k, 2)."""
    corners: list[tuple[float, float]] = []
    for part in shapely.get_parts(area):
        ccw = orient(part)
        for ring in (ccw.exterior, *ccw.interiors):
            points = np.asarray(ring.coords)[:-1]
            before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
            a, b = points - before, after - points
            # The exterior runs counter-clockwise and holes clockwise: the area is on the left of both.
            right_turn = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0.0
            corners += [(float(x), float(y)) for x, y in points[right_turn]]
    return np.asarray(corners, dtype=np.float64).reshape(-1, 2)
