# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tracks in metres: what they find, how long they are, and how one long way is shared out among vehicles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from missions.geo import FloatArray
from missions.search.improve import Allowance, Raster, Sweep, cut_to
from missions.search.moves import track_cost
from missions.search.sweep import sweep_track

_HALVINGS = 30
_ENOUGH_ROWS, _MANY_ROWS = 6.99, 20.0  # of cells in a swath
_BAND = 16  # rows of cells that are looked at in small at once


def passes_frame(raster: Raster, sweep: Sweep) -> FloatArray:
    """The numbers that `sweep_leg` wants."""
    return np.array([raster.west_m, raster.south_m, raster.cell_m, sweep.half_width_m, float(sweep.round_ends)])


def success(tracks: Sequence[FloatArray], raster: Raster, sweep: Sweep) -> float:
    """Probability of success of tracks flown together.

    On cells larger than a seventh of a swath a slanting leg may count a row of them too many, and an optimiser finds the
    legs that do; what such tracks find is counted on much smaller cells.
    """
    rows_per_swath = 2.0 * sweep.half_width_m / raster.cell_m
    ways = [np.ascontiguousarray(t) for t in tracks if len(t) > 1]
    if rows_per_swath > _ENOUGH_ROWS or not ways:
        frame = passes_frame(raster, sweep)
        counts = np.zeros(raster.mass.shape, dtype=np.int32)
        return math.fsum(sweep_track(counts, raster.mass, sweep.pod, frame, t, 1) for t in ways)
    parts = math.ceil(_MANY_ROWS / rows_per_swath)
    places, (rows, columns) = np.concatenate(ways), raster.mass.shape
    low = (places.min(axis=0) - sweep.half_width_m - (raster.west_m, raster.south_m)) / raster.cell_m
    high = (places.max(axis=0) + sweep.half_width_m - (raster.west_m, raster.south_m)) / raster.cell_m
    left, bottom = (max(0, math.floor(v)) for v in low)
    right, top = min(columns, math.ceil(high[0])), min(rows, math.ceil(high[1]))
    found = []
    for row in range(bottom, top, _BAND):
        coarse = raster.mass[row : min(row + _BAND, top), left:right]
        mass = np.repeat(np.repeat(coarse, parts, axis=0), parts, axis=1) / parts**2
        frame = passes_frame(raster, sweep)
        frame[:3] = frame[0] + left * frame[2], frame[1] + row * frame[2], frame[2] / parts
        counts = np.zeros(mass.shape, dtype=np.int32)
        found += [sweep_track(counts, mass, sweep.pod, frame, t, 1) for t in ways]
    return math.fsum(found)


def pod_grid(tracks: Sequence[FloatArray], raster: Raster, sweep: Sweep) -> FloatArray:
    """Probability of detection per cell of what was flown, (rows, columns)."""
    counts = np.zeros(raster.mass.shape, dtype=np.int32)
    frame = passes_frame(raster, sweep)
    for track in tracks:
        sweep_track(counts, raster.mass, sweep.pod, frame, np.ascontiguousarray(track), 1)
    return np.asarray(sweep.pod[np.minimum(counts, len(sweep.pod) - 1)], dtype=np.float64)


def cost_m(track: FloatArray, allowance: Allowance, turn_m: float) -> float:
    """Length with the turns' worth and the way home, in metres."""
    home = np.array((math.nan, math.nan) if allowance.home_m is None else allowance.home_m, dtype=np.float64)
    return float(track_cost(np.ascontiguousarray(track), len(track), home, turn_m))


def length_m(track: FloatArray) -> float:
    """Length of a polyline (n, 2)."""
    return float(np.hypot(*np.diff(track, axis=0).T).sum()) if len(track) > 1 else 0.0


def from_start(track: FloatArray, allowance: Allowance) -> FloatArray:
    """A track that begins where the vehicle stands."""
    if allowance.start_m is None:
        return track
    start = np.asarray(allowance.start_m, dtype=np.float64)[None, :]
    return np.vstack([start, track]) if len(track) else start


def share_out(way: FloatArray, allowances: Sequence[Allowance], turn_m: float) -> list[FloatArray]:
    """Cut one long way into consecutive pieces, each as long as its vehicle can fly with its way out and home."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))]) if len(way) > 1 else np.zeros(1)
    begin, tracks = 0.0, []
    for allowance in allowances:
        if begin >= along[-1]:
            tracks.append(from_start(np.empty((0, 2)), allowance))
            continue
        low, high = begin, float(along[-1])
        if cost_m(from_start(_piece(way, along, begin, high), allowance), allowance, turn_m) <= allowance.length_m:
            low = high
        else:
            for _ in range(_HALVINGS):
                middle = (low + high) / 2.0
                piece = from_start(_piece(way, along, begin, middle), allowance)
                low, high = (middle, high) if cost_m(piece, allowance, turn_m) <= allowance.length_m else (low, middle)
        track = from_start(_piece(way, along, begin, low), allowance)
        tracks.append(cut_to(track, allowance, turn_m))
        begin = max(begin, low)  # one that cannot even reach it leaves the way to the next
    return tracks


def _piece(way: FloatArray, along: FloatArray, begin: float, end: float) -> FloatArray:
    inner = way[(along > begin) & (along < end)]
    return np.vstack([_at(way, along, begin), inner, _at(way, along, end)])


def _at(way: FloatArray, along: FloatArray, where: float) -> FloatArray:
    return np.array([[np.interp(where, along, way[:, 0]), np.interp(where, along, way[:, 1])]])
