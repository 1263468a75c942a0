# SPDX-License-Identifier: AGPL-3.0-or-later
"""Patrol graphs as text (the format of patrolling_sim): nodes with places and edges come in, shortest ways go out.

The text is a list of numbers: node count, map width and height in pixels, metres per pixel, offset east and north; then
for each node its number, x and y in pixels, how many neighbours, and for each its number, a compass letter and the
edge's length in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from missions.errors import PlanError
from missions.geo import FloatArray

_MAX_NODES = 5000


@dataclass(frozen=True, slots=True, eq=False)
class PatrolGraph:
    """place_m: (n, 2); length_m: (n, n) shortest lengths along edges, infinite where there is no way."""

    place_m: FloatArray
    length_m: FloatArray
    _before: NDArray[np.int32]

    def walk(self, stops: tuple[int, ...]) -> tuple[int, ...]:
        """A closed walk over neighbouring nodes that makes these stops in this order; what it passes is visited too."""
        out: list[int] = []
        for start, end in zip(stops, stops[1:] + stops[:1], strict=True):
            between: list[int] = []
            at = end
            while at != start:
                at = int(self._before[start, at])
                if at < 0:
                    raise ValueError("there is no way between these nodes")
                between.append(at)
            out += between[::-1] if between else [start]
        return tuple(out)


class _Words:
    """The numbers of a text, one after another, each with its line for complaints."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.words = [(word, line) for line, row in enumerate(text.splitlines(), 1) for word in row.split()]
        self.at = 0

    def word(self, what: str) -> tuple[str, int]:
        if self.at >= len(self.words):
            raise PlanError(f"{self.name}: the file ends where {what} is expected; it is cut short")
        self.at += 1
        return self.words[self.at - 1]

    def number(self, what: str, least: float = -math.inf) -> float:
        word, line = self.word(what)
        try:
            value = float(word)
        except ValueError:
            raise PlanError(f"{self.name}:{line}: {what} is {word!r}, which is no number") from None
        if not (math.isfinite(value) and value >= least):
            raise PlanError(f"{self.name}:{line}: {what} is {word}; it must be at least {least:g}")
        return value

    def index(self, what: str, below: int) -> int:
        value = self.number(what, 0)
        if value != int(value) or value >= below:
            line = self.words[self.at - 1][1]
            raise PlanError(f"{self.name}:{line}: {what} is {value:g}; it must be a whole number below {below}")
        return int(value)


def parse_graph(text: str, name: str = "graph") -> PatrolGraph:
    """Read a patrol graph. Raises PlanError with file, line and field."""
    words = _Words(text, name)
    count = words.index("the number of nodes", _MAX_NODES + 1)
    if count == 0:
        raise PlanError(f"{name}: the graph has no nodes")
    words.number("the map's width", 0)
    words.number("the map's height", 0)
    metres = words.number("metres per pixel", 1e-9)
    east, north = words.number("the offset east"), words.number("the offset north")
    place = np.full((count, 2), np.nan)
    edges: dict[tuple[int, int], float] = {}
    for _ in range(count):
        node = words.index("a node's number", count)
        place[node] = (
            words.number(f"x of node {node}") * metres + east,
            words.number(f"y of node {node}") * metres + north,
        )
        for _ in range(words.index(f"the number of neighbours of node {node}", count + 1)):
            other = words.index(f"a neighbour of node {node}", count)
            words.word(f"the direction from node {node} to {other}")
            length = words.number(f"the length from node {node} to {other}", 1e-9) * metres
            key = (min(node, other), max(node, other))
            edges[key] = min(length, edges.get(key, math.inf))
    missing = np.flatnonzero(np.isnan(place[:, 0]))
    if len(missing):
        raise PlanError(f"{name}: node {missing[0]} is not described, another one twice; number them 0 to {count - 1}")
    rows, columns = [a for a, _ in edges], [b for _, b in edges]
    graph = csr_array((list(edges.values()), (rows, columns)), shape=(count, count))
    lengths, before = dijkstra(graph, directed=False, return_predecessors=True)
    return PatrolGraph(place, np.asarray(lengths), np.asarray(before, dtype=np.int32))
