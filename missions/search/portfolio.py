# SPDX-License-Identifier: AGPL-3.0-or-later
"""The portfolio: every search pattern on one task, scored by the probability of success; the best is kept.

Known patterns come in a few sizes, turned along the map's main axis, of which the best counts. The best lattice tour
and the best of all others are then improved by annealing on that score. Pizza is the published baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from missions.geo import FloatArray
from missions.model import Budget
from missions.search import patterns
from missions.search.improve import Allowance, Raster, Sweep, cut_to, improve
from missions.search.lattice import lattice_tour, sector_tours
from missions.search.tracks import from_start, length_m, share_out, success

_SIZES = (0.5, 0.7, 1.0, 1.4)
_RATIOS = (1.0, 1.5, 2.5)
_FINALISTS = 2
_CLEARLY = 1.015  # so much better, a lattice tour is the better start as well
_PROBE = 0.12  # of the iterations, to find out which start is worth the rest
BASELINE = "Pizza"


@dataclass(frozen=True, slots=True, eq=False)
class SearchTask:
    """What is searched, with what, by whom.

    centre_m: the datum of the patterns. heights: ground heights, (rows, columns), of columns at some eastings and rows at
    some northings, for the contour pattern; None where they are not known. mend: makes a way keep to where flying is
    allowed (identity where everything is).
    """

    raster: Raster
    sweep: Sweep
    allowances: tuple[Allowance, ...]
    centre_m: tuple[float, float] = (0.0, 0.0)
    turn_m: float = 0.0
    heights: Callable[[FloatArray, FloatArray], FloatArray | None] | None = None
    mend: Callable[[FloatArray], FloatArray] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One pattern on the task: a track (n, 2) per vehicle, metres; its probability of success."""

    name: str
    tracks: tuple[FloatArray, ...]
    pos: float

    @property
    def length_m(self) -> float:
        return sum(length_m(t) for t in self.tracks)


def candidates(task: SearchTask, budget: Budget) -> tuple[Candidate, ...]:
    """All patterns that this task allows, best first. The best is the plan."""
    found = [*_known(task), *_lattices(task)]
    ranked = sorted((c for c in found if c.name != BASELINE), key=lambda c: -c.pos)
    starts = [next(c for c in ranked if c.name.startswith("lattice"))]
    starts += [c for c in ranked[:_FINALISTS] if c is not starts[0]][: _FINALISTS - 1]
    if all(c.name.startswith("lattice") for c in starts) and starts[0].pos > _CLEARLY * starts[-1].pos:
        starts = starts[:1]
    probe = replace(budget, iterations=int(_PROBE * budget.iterations) if len(starts) > 1 else 0)
    probed = []
    for start in starts:
        tracks = improve(start.tracks, task.raster, task.sweep, task.allowances, probe, turn_m=task.turn_m)
        probed.append(_scored(f"{start.name}, improved", tracks, task))
    best = max(probed, key=lambda c: c.pos)
    rest = replace(budget, iterations=budget.iterations - len(starts) * probe.iterations)
    tracks = improve(best.tracks, task.raster, task.sweep, task.allowances, rest, turn_m=task.turn_m)
    found += [c for c in probed if c is not best]
    found.append(_scored(best.name, tracks, task))
    return tuple(sorted(found, key=lambda c: (-c.pos, c.name)))


def _scored(name: str, tracks: Sequence[FloatArray], task: SearchTask) -> Candidate:
    return Candidate(name, tuple(tracks), success(tracks, task.raster, task.sweep))


def _best(name: str, ways: Sequence[FloatArray], task: SearchTask) -> list[Candidate]:
    """The best of several sizes of one pattern."""
    scored = []
    for way in ways:
        placed = way + np.asarray(task.centre_m)
        mended = placed if task.mend is None else task.mend(placed)
        if len(mended) > 1:
            scored.append(_scored(name, _with_turns(mended, task), task))
    return [max(scored, key=lambda c: c.pos)] if scored else []


def _with_turns(way: FloatArray, task: SearchTask) -> list[FloatArray]:
    tracks = share_out(way, task.allowances, task.turn_m)
    return [from_start(t, a) if not len(t) else t for t, a in zip(tracks, task.allowances, strict=True)]


def _known(task: SearchTask) -> list[Candidate]:
    total = sum(a.length_m for a in task.allowances)
    spacing = 2.0 * task.sweep.half_width_m
    axis = main_axis_deg(task.raster, task.centre_m)
    area = total * spacing
    found = _best("expanding square (SS)", [patterns.expanding_square(spacing, total, axis)], task)
    radii = [size * math.sqrt(area / math.pi) for size in _SIZES]
    found += _best("sector (VS)", [patterns.sector(r, total, spacing, axis) for r in radii], task)
    boxes = [
        (size * math.sqrt(area * ratio), size * math.sqrt(area / ratio)) for size in (0.85, 1.0) for ratio in _RATIOS
    ]
    found += _best("parallel (PS)", [patterns.parallel_sweep(a, b, spacing, axis) for a, b in boxes], task)
    found += _best("creeping line (CS)", [patterns.parallel_sweep(b, a, spacing, axis + 90.0) for a, b in boxes], task)
    found += _best("ring", [patterns.rings(spacing, total)], task)
    found += _pizza(task, spacing)
    return found + _contour(task, spacing, area)


def _pizza(task: SearchTask, spacing: float) -> list[Candidate]:
    tracks = []
    count = len(task.allowances)
    for d, allowance in enumerate(task.allowances):
        way = patterns.pizza(d, count, spacing, allowance.length_m) + np.asarray(task.centre_m)
        mended = way if task.mend is None else task.mend(way)
        tracks.append(cut_to(from_start(mended, allowance), allowance, task.turn_m))
    return [_scored(BASELINE, tracks, task)]


def _contour(task: SearchTask, spacing: float, area: float) -> list[Candidate]:
    if task.heights is None:
        return []
    raster = task.raster
    half = math.sqrt(area) / 2.0
    rows, columns = raster.mass.shape
    x = raster.west_m + (np.arange(columns) + 0.5) * raster.cell_m
    y = raster.south_m + (np.arange(rows) + 0.5) * raster.cell_m
    y, x = y[np.abs(y - task.centre_m[1]) <= half], x[np.abs(x - task.centre_m[0]) <= half]
    if len(y) < 3 or len(x) < 3:
        return []
    box = task.heights(x, y)
    if box is None:
        return []
    lines = patterns.contours(box, float(x[0]), float(y[0]), raster.cell_m, spacing, 2.0 * spacing)
    if not lines:
        return []
    way = _strung(lines)
    mended = way if task.mend is None else task.mend(way)
    return [_scored("contour", _with_turns(mended, task), task)] if len(mended) > 1 else []


def _strung(lines: list[FloatArray]) -> FloatArray:
    """Lines one after the other in their order, each from its nearer end."""
    way = [lines[0]]
    for line in lines[1:]:
        at = way[-1][-1]
        flip = np.hypot(*(line[-1] - at)) < np.hypot(*(line[0] - at))
        way.append(line[::-1] if flip else line)
    return np.vstack(way)


def _lattices(task: SearchTask) -> list[Candidate]:
    found = []
    axis = main_axis_deg(task.raster, task.centre_m)
    for compact in (0.0, 0.5):
        for turn in (0.0, axis):
            tracks = lattice_tour(task.raster, task.sweep, task.allowances, task.turn_m, axis_deg=turn, compact=compact)
            found.append(_scored("lattice tour", tracks, task))
    tracks = sector_tours(task.raster, task.sweep, task.allowances, task.turn_m, task.centre_m)
    return [max(found, key=lambda c: c.pos), _scored("lattice sectors", tracks, task)]


def main_axis_deg(raster: Raster, centre_m: tuple[float, float]) -> float:
    """Bearing of the map's longer axis, degrees clockwise from north in [0, 180): of its second moments."""
    rows, columns = raster.mass.shape
    x = raster.west_m + (np.arange(columns) + 0.5) * raster.cell_m - centre_m[0]
    y = raster.south_m + (np.arange(rows) + 0.5) * raster.cell_m - centre_m[1]
    xx = float((raster.mass.sum(axis=0) * x * x).sum())
    yy = float((raster.mass.sum(axis=1) * y * y).sum())
    xy = float(y @ raster.mass @ x)
    return math.degrees(0.5 * math.atan2(2.0 * xy, yy - xx)) % 180.0
