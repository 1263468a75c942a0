# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent judge of coverage: it shares no code with the planners or their geometry.

The area is cut into square cells; a cell counts by its middle. Paths are flown in short steps over the raster, and
every cell that the footprint touches is struck off. Rings are told from their insides by counting crossings. What
comes back are numbers; what they have to be is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Marks = NDArray[np.bool_]
_MAX_CELLS = 40_000_000
_EDGE_SHARE = 0.01  # of a cell: a leg along an edge lies on it up to rounding


class Footprint(StrEnum):
    """What a moving camera sweeps: a disc around it, or a line across its track (no lead at the ends of legs)."""

    DISC = "disc"
    RECTANGLE = "rectangle"


@dataclass(frozen=True, slots=True)
class CoverageVerdict:
    """cells: in the area. covered: of these, swept. forbidden_m: length of legs inside forbidden rings."""

    cells: int
    covered: int
    length_m: float
    area_m2: float
    forbidden_m: float
    first_missed_m: tuple[float, float] | None

    @property
    def fraction(self) -> float:
        return self.covered / self.cells if self.cells else 1.0


def judge_coverage(
    paths: Sequence[_Floats],
    rings: Sequence[_Floats],
    width_m: float,
    *,
    cell_m: float | None = None,
    footprint: Footprint = Footprint.DISC,
    forbidden: Sequence[_Floats] = (),
    widths_m: Sequence[float] | None = None,
) -> CoverageVerdict:
    """Judge paths of shape (n, 2) over an area.

    rings: (m, 2) each, outer rings and holes in any order; inside is what an odd number of them encloses.
    widths_m: one per path, where they do not all see width_m. cell_m: default and upper limit a twentieth of the width. Raises ValueError when that gives too many cells.
    """
    widths = [width_m] * len(paths) if widths_m is None else widths_m
    cell = width_m / 20.0 if cell_m is None else min(cell_m, width_m / 20.0)
    corners = np.concatenate(rings)
    low = corners.min(axis=0)
    columns, rows = (int(v) + 1 for v in np.ceil((corners.max(axis=0) - low) / cell))
    if columns * rows > _MAX_CELLS:
        raise ValueError(f"{columns} x {rows} cells are too many to judge")
    x = low[0] + (np.arange(columns) + 0.5) * cell
    y = low[1] + (np.arange(rows) + 0.5) * cell
    inside = _inside_rows(x, y, rings)
    open_cells = inside.copy()
    length = 0.0
    forbidden_m = 0.0
    for path, width in zip(paths, widths, strict=True):
        for a, b in pairwise(path):
            size = float(np.hypot(*(b - a)))
            length += size
            steps = max(1, int(np.ceil(size / (2.0 * width))))
            for k in range(steps):
                start, end = a + (b - a) * k / steps, a + (b - a) * (k + 1) / steps
                _strike(open_cells, x, y, start, end, width / 2.0, footprint)
            if forbidden:
                forbidden_m += size * _share_inside(a, b, forbidden, cell)
        if len(path) == 1 and footprint is Footprint.DISC:
            _strike(open_cells, x, y, path[0], path[0], width / 2.0, footprint)
    missed = np.argwhere(open_cells)
    first = None if len(missed) == 0 else (float(x[missed[0][1]]), float(y[missed[0][0]]))
    cells = int(inside.sum())
    return CoverageVerdict(cells, cells - len(missed), length, cells * cell * cell, forbidden_m, first)


def _crossings(x: _Floats, y: _Floats, ring: _Floats) -> NDArray[np.int64]:
    """How many edges of a ring a ray to the east meets from each point; x and y of one shape."""
    count = np.zeros(x.shape, dtype=np.int64)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        spans = (y1 > y) != (y2 > y)
        count += spans & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return count


def _inside_rows(x: _Floats, y: _Floats, rings: Sequence[_Floats]) -> _Marks:
    """Row by row: the crossings of a row with all edges, sorted, tell inside from outside."""
    marks = np.zeros((len(y), len(x)), dtype=bool)
    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    for row, height in enumerate(y):
        spans = (starts[:, 1] > height) != (ends[:, 1] > height)
        a, b = starts[spans], ends[spans]
        meets = np.sort(a[:, 0] + (height - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1]))
        marks[row] = np.searchsorted(meets, x, side="right") % 2 == 1
    return marks


def _strike(open_cells: _Marks, x: _Floats, y: _Floats, a: _Floats, b: _Floats, radius: float, kind: Footprint) -> None:
    left, right = np.searchsorted(x, [min(a[0], b[0]) - radius, max(a[0], b[0]) + radius])
    bottom, top = np.searchsorted(y, [min(a[1], b[1]) - radius, max(a[1], b[1]) + radius])
    if left == right or bottom == top:
        return
    ox, oy = x[left:right][None, :] - a[0], y[bottom:top][:, None] - a[1]
    dx, dy = b[0] - a[0], b[1] - a[1]
    size = dx * dx + dy * dy
    along = (ox * dx + oy * dy) / size if size > 0.0 else np.zeros((top - bottom, right - left))
    t = np.clip(along, 0.0, 1.0)
    swept = (ox - t * dx) ** 2 + (oy - t * dy) ** 2 <= radius * radius
    if kind is Footprint.RECTANGLE:
        swept &= (along >= -1e-9) & (along <= 1.0 + 1e-9)
    open_cells[bottom:top, left:right] &= ~swept


def _share_inside(a: _Floats, b: _Floats, rings: Sequence[_Floats], step: float) -> float:
    """What part of a leg runs inside any of the rings, by points at most a step apart; its edges are not inside."""
    n = max(2, int(np.ceil(float(np.hypot(*(b - a))) / step)) + 1)
    t = (np.arange(n) + 0.5) / n
    x, y = a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])
    within = np.zeros(n, dtype=bool)
    for ring in rings:
        within |= (_crossings(x, y, ring) % 2 == 1) & (_to_edge(x, y, ring) > _EDGE_SHARE * step)
    return float(within.mean())


def _to_edge(x: _Floats, y: _Floats, ring: _Floats) -> _Floats:
    best = np.full(x.shape, np.inf)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        dx, dy = x2 - x1, y2 - y1
        t = np.clip(((x - x1) * dx + (y - y1) * dy) / max(dx * dx + dy * dy, 1e-12), 0.0, 1.0)
        best = np.minimum(best, np.hypot(x - x1 - t * dx, y - y1 - t * dy))
    return best
