# SPDX-License-Identifier: AGPL-3.0-or-later
"""Simulated annealing of search tracks on the probability of success itself (Kirkpatrick et al. 1983).

All vehicles' tracks share one raster of passes, so a move is judged by what it really adds and takes away. A vehicle's
way has a price per metre, which rises while its track is longer than allowed and falls while it is shorter, so that
effort ends where it finds most. The moves themselves are in `moves`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.model import Budget
from missions.search.moves import ROOM_PER_TRACK, anneal, track_cost
from missions.search.sweep import sweep_track

_BLOCK = 20_000
_FIRST_SLACK = 0.06  # tracks may be that much too long at first, and less and less of it
_HARD_FROM = 0.8  # of the iterations: from here on no track may grow beyond its length
_HEAT, _COOL = 0.3, 0.01  # first heat over what a swath of one width finds; last over first
_MOVES_PER_CORNER = 1500.0  # with fewer, a cooler start keeps more of what came in


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """What is searched: mass (rows, columns) per cell, row 0 in the south; `blocked` cells may not be flown over."""

    west_m: float
    south_m: float
    cell_m: float
    mass: FloatArray
    blocked: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """A sensor on its way: half the swept width, the detection after k passes, and whether ends are round."""

    half_width_m: float
    pod: FloatArray
    round_ends: bool


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one vehicle may fly: metres with its turns' worth, a fixed start, and home if it has to come back."""

    length_m: float
    start_m: tuple[float, float] | None = None
    home_m: tuple[float, float] | None = None


def improve(
    tracks: Sequence[FloatArray],
    raster: Raster,
    sweep: Sweep,
    allowances: Sequence[Allowance],
    budget: Budget,
    *,
    turn_m: float = 0.0,
) -> list[FloatArray]:
    """Anneal tracks (n, 2) that are free of blocked cells; none of the results is longer than it may be.

    A track shorter than three corners is left as it is, and so are all if nothing better is found. Deterministic for the budget's seed and iterations.
    """
    drones = len(tracks)
    xy = np.zeros((drones, ROOM_PER_TRACK, 2))
    n = np.zeros(drones, dtype=np.int64)
    for d, track in enumerate(tracks):
        fine = _refined(track, 3.0 * sweep.half_width_m)[: ROOM_PER_TRACK - 8]
        n[d] = len(fine)
        xy[d, : n[d]] = fine
    fixed = np.array([a.start_m is not None for a in allowances])
    home = np.array([(math.nan, math.nan) if a.home_m is None else a.home_m for a in allowances])
    limit = np.array([a.length_m for a in allowances])
    frame = np.array([raster.west_m, raster.south_m, raster.cell_m, sweep.half_width_m, float(sweep.round_ends)])
    counts = np.zeros(raster.mass.shape, dtype=np.int32)
    mass = np.ascontiguousarray(raster.mass)
    found = sum(sweep_track(counts, mass, sweep.pod, frame, xy[d, : n[d]], 1) for d in range(drones))
    cost = np.array([track_cost(xy[d], n[d], home[d], turn_m) for d in range(drones)])
    start = [cut_to(np.asarray(t, dtype=np.float64), a, turn_m) for t, a in zip(tracks, allowances, strict=True)]
    if found <= 0.0 or budget.iterations <= 0:
        return start
    cumulative = np.cumsum(np.where(raster.blocked, 0.0, mass).ravel())
    mean_price = found / max(float(cost.sum()), 1.0)
    price = np.full(drones, 0.6 * mean_price)
    state = np.array([1 + (budget.seed * 69621 + 12345) % 2147483645], dtype=np.int64)
    patience = budget.iterations / (_MOVES_PER_CORNER * float(n.sum()))
    warmest = mean_price * 2.0 * sweep.half_width_m * _HEAT * min(1.0, max(0.15, patience))
    blocks = max(20, budget.iterations // _BLOCK)
    size = max(1, budget.iterations // blocks)
    for block in range(blocks):
        if budget.stop():
            break
        done = block / blocks
        heat = warmest * _COOL ** min(1.0, done / 0.95)
        slack = _FIRST_SLACK * max(0.0, 1.0 - done / _HARD_FROM)
        anneal(
            counts, mass, sweep.pod, frame, raster.blocked, xy, n, fixed, home, limit * (1.0 + slack), price, cost,
            cumulative, state, turn_m, size, heat, drones > 1,
        )  # fmt: skip
        for d in range(drones):
            over = cost[d] / max(limit[d], 1.0) - 1.0
            price[d] *= math.exp(max(-0.1, min(0.1, 2.0 * over)))
        budget.progress(done, "improving the tracks")
    better = [cut_to(xy[d, : n[d]].copy(), a, turn_m) for d, a in enumerate(allowances)]

    def finds(some: list[FloatArray]) -> float:
        counts[:] = 0
        return sum(sweep_track(counts, mass, sweep.pod, frame, np.ascontiguousarray(t), 1) for t in some)

    return better if finds(better) >= finds(start) else start


def _refined(track: FloatArray, longest_m: float) -> FloatArray:
    """The same way with corners put on legs longer than that."""
    parts = [track[:1]]
    for a, b in pairwise(track):
        count = max(1, math.ceil(math.hypot(*(b - a)) / longest_m))
        parts.append(a + np.linspace(0.0, 1.0, count + 1)[1:, None] * (b - a))
    return np.vstack(parts)


def cut_to(track: FloatArray, allowance: Allowance, turn_m: float = 0.0) -> FloatArray:
    """The greatest beginning of a track that keeps its allowance, cut in the middle of a leg where need be."""
    home = np.array((math.nan, math.nan) if allowance.home_m is None else allowance.home_m)
    if track_cost(track, len(track), home, turn_m) <= allowance.length_m:
        return track
    low, high = 0.0, float(len(track) - 1)
    for _ in range(40):
        middle = (low + high) / 2.0
        short = _beginning(track, middle)
        if track_cost(short, len(short), home, turn_m) <= allowance.length_m:
            low = middle
        else:
            high = middle
    return _beginning(track, low)


def _beginning(track: FloatArray, corners: float) -> FloatArray:
    whole = int(corners)
    if whole >= len(track) - 1:
        return track
    end = track[whole] + (corners - whole) * (track[whole + 1] - track[whole])
    return np.vstack([track[: whole + 1], end])
