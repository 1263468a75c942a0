# SPDX-License-Identifier: AGPL-3.0-or-later
"""Counting passes: which raster cells a leg sweeps, and what that does to the probability of success.

A raster holds the probability of every small cell, how often it was passed, and `pod[k]`, the probability of detection
after k passes. A leg sweeps a strip of half width r around it, with round ends for a sensor that sees a disc. Rows are
filled between two closed-form limits, so that a leg costs little more than its cells.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray
from missions.routing.compiled import compiled

Counts = NDArray[np.int32]


@compiled
def sweep_leg(
    counts: Counts,
    mass: FloatArray,
    pod: FloatArray,
    frame: FloatArray,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    sign: int,
) -> float:
    """Add (sign 1) or take away (-1) one pass along a leg; returns the change of the probability of success.

    counts, mass: (rows, columns), row 0 in the south; changed and read. pod: by number of passes, the last value
    holds for all beyond. frame: (west m, south m, cell m, half width m, 1.0 for round ends). Metres.
    """
    west, south, cell, radius, round_ends = frame[0], frame[1], frame[2], frame[3], frame[4]
    rows, columns = counts.shape
    top = len(pod) - 1
    dx, dy = x1 - x0, y1 - y0
    length = math.sqrt(dx * dx + dy * dy)
    change = 0.0
    if length < 1e-9 and round_ends == 0.0:
        return change
    ux, uy = 1.0, 0.0
    if length >= 1e-9:
        ux, uy = dx / length, dy / length
    first = max(0, math.ceil((min(y0, y1) - radius - south) / cell - 0.5))
    last = min(rows - 1, math.floor((max(y0, y1) + radius - south) / cell - 0.5))
    for row in range(first, last + 1):
        y = south + (row + 0.5) * cell
        low, high = 1e300, -1e300
        # The strip: |cross track| <= r and 0 <= along track <= length, solved for x in this row.
        a, b = -1e300, 1e300
        ry = y - y0
        if abs(uy) > 1e-12:  # cross = (x - x0) * uy - ry * ux
            p, q = x0 + (ry * ux - radius) / uy, x0 + (ry * ux + radius) / uy
            a, b = max(a, min(p, q)), min(b, max(p, q))
        elif abs(ry * ux) > radius:
            b = -1e300
        if abs(ux) > 1e-12:  # along = (x - x0) * ux + ry * uy
            p, q = x0 - ry * uy / ux, x0 + (length - ry * uy) / ux
            a, b = max(a, min(p, q)), min(b, max(p, q))
        elif ry * uy < 0.0 or ry * uy > length:
            b = -1e300
        if a <= b:
            low, high = a, b
        if round_ends != 0.0:
            for end in range(2):
                ex, ey = (x0, y0) if end == 0 else (x1, y1)
                room = radius * radius - (y - ey) * (y - ey)
                if room >= 0.0:
                    half = math.sqrt(room)
                    low, high = min(low, ex - half), max(high, ex + half)
        if low > high:
            continue
        start = max(0, math.ceil((low - west) / cell - 0.5))
        stop = min(columns - 1, math.floor((high - west) / cell - 0.5))
        for column in range(start, stop + 1):
            before = counts[row, column]
            after = before + sign
            counts[row, column] = after
            change += mass[row, column] * (pod[min(after, top)] - pod[min(before, top)])
    return change


@compiled
def sweep_track(
    counts: Counts, mass: FloatArray, pod: FloatArray, frame: FloatArray, track: FloatArray, sign: int
) -> float:
    """Sweep along a polyline of shape (n, 2); see `sweep_leg`."""
    change = 0.0
    for k in range(len(track) - 1):
        change += sweep_leg(counts, mass, pod, frame, track[k, 0], track[k, 1], track[k + 1, 0], track[k + 1, 1], sign)
    return change
