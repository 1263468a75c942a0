# SPDX-License-Identifier: AGPL-3.0-or-later
"""The lattice tour: points one swath apart, the best of them, a short tour through those, shared out and cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter

from missions.geo import FloatArray
from missions.search.improve import Allowance, Raster, Sweep
from missions.search.moves import leg_free
from missions.search.tour import short_tour
from missions.search.tracks import cost_m, from_start, passes_frame, share_out

_FITS = 4


def lattice_values(
    raster: Raster, sweep: Sweep, axis_deg: float, shift: tuple[float, float], compact: float
) -> tuple[FloatArray, FloatArray]:
    """Free points of a square lattice, one swath apart, (n, 2), and how much each is worth, (n,).

    compact: how much the neighbourhood counts beside a point's own square; more makes tours shorter.
    """
    pitch = 2.0 * sweep.half_width_m
    rows, columns = raster.mass.shape
    centre = (
        raster.west_m + columns * raster.cell_m / 2.0,
        raster.south_m + rows * raster.cell_m / 2.0,
    )
    half = math.ceil(math.hypot(rows, columns) * raster.cell_m / 2.0 / pitch) + 1
    grid = (np.arange(-half, half + 1)) * pitch
    x, y = (a.ravel() for a in np.meshgrid(grid + shift[0] * pitch, grid + shift[1] * pitch))
    angle = math.radians(axis_deg)
    points = np.stack(
        [centre[0] + x * math.cos(angle) + y * math.sin(angle), centre[1] - x * math.sin(angle) + y * math.cos(angle)],
        axis=1,
    )
    column = np.floor((points[:, 0] - raster.west_m) / raster.cell_m).astype(np.int64)
    row = np.floor((points[:, 1] - raster.south_m) / raster.cell_m).astype(np.int64)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    points, row, column = points[inside], row[inside], column[inside]
    free = ~raster.blocked[row, column]
    points, row, column = points[free], row[free], column[free]
    size = max(1, round(pitch / raster.cell_m))
    own = uniform_filter(raster.mass, size, mode="constant")
    around = uniform_filter(raster.mass, 4 * size, mode="constant")
    value = own + compact * around
    return points, value[row, column]


def lattice_tour(
    raster: Raster,
    sweep: Sweep,
    allowances: Sequence[Allowance],
    turn_m: float,
    *,
    axis_deg: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    compact: float = 0.5,
) -> list[FloatArray]:
    """Tracks through as many of the best lattice points as all vehicles together can fly."""
    points, value = lattice_values(raster, sweep, axis_deg, shift, compact)
    order = np.argsort(-value, kind="stable")
    order = order[value[order] > 0.0]
    if not len(order):
        return [from_start(np.empty((0, 2)), a) for a in allowances]
    total = sum(a.length_m for a in allowances)
    many = min(len(order), max(2, int(total / (2.0 * sweep.half_width_m))))
    best: list[FloatArray] = []
    for _ in range(_FITS):
        chosen = points[order[:many]]
        way = chosen[short_tour(chosen, _beginning(chosen, allowances))]
        best = share_out(way, allowances, turn_m)
        flown = sum(cost_m(t, a, turn_m) for t, a in zip(best, allowances, strict=True))
        # All of the way was flown with something left, or a part of it was not: take more, or fewer points.
        needed = total * cost_m(way, Allowance(total), turn_m) / max(_searched(best, allowances, turn_m), 1.0)
        factor = total / max(needed, 1.0) if flown > 0.98 * total else total / max(flown, 1.0)
        new = min(len(order), max(2, int(many * min(1.3, max(0.7, factor)))))
        if abs(new - many) <= 0.01 * many:
            break
        many = new
    return best


def _searched(tracks: Sequence[FloatArray], allowances: Sequence[Allowance], turn_m: float) -> float:
    """Metres of the shared way itself, without the ways out."""
    return sum(
        cost_m(t[1:] if a.start_m is not None else t, Allowance(math.inf), turn_m)
        for t, a in zip(tracks, allowances, strict=True)
    )


def sector_tours(
    raster: Raster, sweep: Sweep, allowances: Sequence[Allowance], turn_m: float, centre_m: tuple[float, float]
) -> list[FloatArray]:
    """Like `lattice_tour`, but every vehicle gets a sector around the centre with its share of the best points."""
    points, value = lattice_values(raster, sweep, 0.0, (0.0, 0.0), 0.5)
    order = np.argsort(-value, kind="stable")
    order = order[value[order] > 0.0]
    total = sum(a.length_m for a in allowances)
    many = min(len(order), max(len(allowances), int(0.95 * total / (2.0 * sweep.half_width_m))))
    chosen = points[order[:many]]
    bearing = np.arctan2(chosen[:, 0] - centre_m[0], chosen[:, 1] - centre_m[1])
    chosen = chosen[np.argsort(bearing, kind="stable")]
    ends = np.round(np.cumsum([0.0, *(a.length_m for a in allowances)]) / total * many).astype(int)
    tracks = []
    for d, allowance in enumerate(allowances):
        mine = chosen[ends[d] : ends[d + 1]]
        if not len(mine):
            tracks.append(from_start(np.empty((0, 2)), allowance))
            continue
        way = mine[short_tour(mine, _beginning(mine, [allowance]))]
        tracks += share_out(way, [allowance], turn_m)
    return tracks


def _beginning(points: FloatArray, allowances: Sequence[Allowance]) -> int:
    """Index of the point nearest to where the first vehicle stands, else of a corner of the cloud."""
    start = allowances[0].start_m
    if start is None:
        return int(np.argmin(points.sum(axis=1)))
    return int(np.argmin(np.hypot(points[:, 0] - start[0], points[:, 1] - start[1])))


def all_free(tracks: Sequence[FloatArray], raster: Raster, sweep: Sweep) -> bool:
    """Whether no leg touches a blocked cell."""
    frame = passes_frame(raster, sweep)
    return all(
        leg_free(raster.blocked, frame, float(a[0]), float(a[1]), float(b[0]), float(b[1]))
        for track in tracks
        for a, b in pairwise(track)
    )
