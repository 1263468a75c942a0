# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent judge of searches: it shares no code with the planner, its raster, its bounds or its Bayes' rule.

Tracks are held against a map by distances: every sample point of a fine grid of its own measures how far it lies
from every leg. Bounds are found by bisection on the water level instead of by sorting. Maps come as plain arrays of
equal cells, row 0 in the south, with the outer corner of the first cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]


def passes(
    tracks: Sequence[_Floats], east_m: _Floats, north_m: _Floats, half_width_m: float, *, disc: bool
) -> NDArray[np.int64]:
    """How many legs pass each sample point (n,) within the half width; a disc sees beyond the legs' ends as well."""
    seen = np.zeros(len(east_m), dtype=np.int64)
    for track in tracks:
        for (ax, ay), (bx, by) in pairwise(track):
            near = np.flatnonzero(
                (east_m >= min(ax, bx) - half_width_m)
                & (east_m <= max(ax, bx) + half_width_m)
                & (north_m >= min(ay, by) - half_width_m)
                & (north_m <= max(ay, by) + half_width_m)
            )
            length2 = (bx - ax) ** 2 + (by - ay) ** 2
            if length2 == 0.0 and not disc:
                continue
            px, py = east_m[near] - ax, north_m[near] - ay
            t = (px * (bx - ax) + py * (by - ay)) / length2 if length2 else np.zeros(len(near))
            beside = np.clip(t, 0.0, 1.0)
            away = np.hypot(px - beside * (bx - ax), py - beside * (by - ay))
            hit = away <= half_width_m
            if not disc:
                hit &= (t >= 0.0) & (t < 1.0)
            seen[near[hit]] += 1
    return seen


def judge_pos(
    p: _Floats,
    west_m: float,
    south_m: float,
    cell_m: float,
    tracks: Sequence[_Floats],
    half_width_m: float,
    *,
    disc: bool,
    samples: int = 6,
) -> float:
    """Probability of success on a map: `samples` x `samples` points per cell, each seen or not, or seen k times.

    disc: certain detection within the half width; else detection 1 - exp(-k) after k passes of a strip.
    """
    pod = judge_pod(p.shape, west_m, south_m, cell_m, tracks, half_width_m, disc=disc, samples=samples)
    return float(np.vdot(p, pod))


def judge_pod(
    shape: tuple[int, ...],
    west_m: float,
    south_m: float,
    cell_m: float,
    tracks: Sequence[_Floats],
    half_width_m: float,
    *,
    disc: bool,
    samples: int,
) -> _Floats:
    """Mean probability of detection of every cell, (rows, columns).

    Points are scattered within their squares (seeded), so that no track can lie well between rows of points.
    """
    rows, columns = shape
    step = cell_m / samples
    scatter = np.random.default_rng(20080501)
    found = np.zeros((rows * samples, columns * samples))
    for band in range(0, rows * samples, 64):  # in bands, so that the points near a leg are few
        column, row = np.meshgrid(np.arange(columns * samples), np.arange(band, min(band + 64, rows * samples)))
        x: _Floats = west_m + (column.ravel() + scatter.random(column.size)) * step
        y: _Floats = south_m + (row.ravel() + scatter.random(row.size)) * step
        low, high = float(y.min()) - half_width_m, float(y.max()) + half_width_m
        near = [t for track in tracks for t in _pieces(track, low, high)]
        seen = passes(near, x, y, half_width_m, disc=disc)
        value = (seen > 0).astype(np.float64) if disc else 1.0 - np.exp(-seen.astype(np.float64))
        found[band : band + 64] = value.reshape(-1, columns * samples)
    return np.asarray(found.reshape(rows, samples, columns, samples).mean(axis=(1, 3)), dtype=np.float64)


def _pieces(track: _Floats, low: float, high: float) -> list[_Floats]:
    """The legs of a track that touch a band of northings."""
    return [np.stack([a, b]) for a, b in pairwise(track) if max(a[1], b[1]) >= low and min(a[1], b[1]) <= high]


def judge_disc_bound(p: _Floats, cell_m: float, radius_m: float, length_m: float, vehicles: int) -> float:
    """The mass of the densest area that discs can sweep, by bisection on the density below which nothing is taken."""
    wanted = (2.0 * radius_m * length_m + vehicles * math.pi * radius_m * radius_m) / (cell_m * cell_m)
    if wanted >= p.size:
        return float(p.sum())
    low, high = 0.0, float(p.max())
    for _ in range(200):
        level = (low + high) / 2.0
        low, high = (level, high) if np.count_nonzero(p > level) > wanted else (low, level)
    taken = p > high
    return float(p[taken].sum() + (wanted - np.count_nonzero(taken)) * high)


def judge_effort_bound(p: _Floats, cell_m: float, effort_m2: float) -> float:
    """The most that an effort can find with exponential detection, by bisection on the multiplier."""
    density = p[p > 0.0].astype(np.float64) / (cell_m * cell_m)
    if effort_m2 <= 0.0 or not density.size:
        return 0.0
    low, high = math.log(float(density.min())) - effort_m2 / (cell_m * cell_m), math.log(float(density.max()))
    for _ in range(200):
        level = (low + high) / 2.0
        spent = float(np.maximum(0.0, np.log(density) - level).sum()) * cell_m * cell_m
        low, high = (level, high) if spent > effort_m2 else (low, level)
    coverage = np.maximum(0.0, np.log(density) - (low + high) / 2.0)
    return float((density * (1.0 - np.exp(-coverage))).sum() * cell_m * cell_m)


def judge_posterior(p: Sequence[float], pod: Sequence[float], elsewhere: float = 0.0) -> list[float]:
    """Bayes' rule by adding up the two ways of not finding somebody, cell by cell."""
    missed = [prior * (1.0 - found) for prior, found in zip(p, pod, strict=True)]
    evidence = math.fsum([*missed, elsewhere])
    return [m / evidence for m in missed]
