# SPDX-License-Identifier: AGPL-3.0-or-later
"""By how much a flight may start later without meeting others: all forbidden delays at once, exactly.

Two pieces of straight motion, flown at local time u and at time t, conflict for the delay d = t - u. The pairs (u, t)
at which they are too near form a convex set: an ellipse (or a strip) cut by the vertical minimum and by the pieces'
own times. So the forbidden delays of two pieces are one interval, and its ends are taken at extreme points of that
set: corners of its straight edges, crossings of the ellipse with them, or the ellipse's own extremes. (The idea of
planning in the plane of both times is that of coordination diagrams: O'Donnell and Lozano-Perez 1989.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.deconflict.segments import Minima, Segments, near_in_space
from missions.geo import FloatArray

_GROW_M = 1e-6  # so that extreme points, which lie on the edge, count as inside
_TIME_SLACK_S = 1e-9
_PAD_S = 1e-6  # intervals of neighbouring pieces share an end; between them is no gap
_PER_S = 10.0  # delays are given in tenths of a second


@dataclass(frozen=True, slots=True, eq=False)
class Forbidden:
    """Open intervals of delays, one per pair of pieces that can meet.

    piece is that of the delayed flight, other that of whom it meets, both as their `Segments` number them.
    """

    low_s: FloatArray
    high_s: FloatArray
    piece: NDArray[np.int64]
    other: NDArray[np.int64]

    def of_pieces(self, first: int, last: int) -> Forbidden:
        """Those of pieces from first up to, not including, last."""
        chosen = (self.piece >= first) & (self.piece < last)
        return Forbidden(self.low_s[chosen], self.high_s[chosen], self.piece[chosen], self.other[chosen])

    def of_others(self, other: int) -> Forbidden:
        """Those of one piece of the others."""
        chosen = self.other == other
        return Forbidden(self.low_s[chosen], self.high_s[chosen], self.piece[chosen], self.other[chosen])

    def forbids(self, delay_s: float) -> bool:
        return bool(np.any((self.low_s < delay_s) & (delay_s < self.high_s)))

    def core_s(self, delay_s: float) -> float:
        """The middle of an interval that holds a delay: there the two meet, whatever slack was added."""
        holding = np.flatnonzero((self.low_s < delay_s) & (delay_s < self.high_s))
        return float((self.low_s[holding[0]] + self.high_s[holding[0]]) / 2.0)

    def earliest(self, from_s: float = 0.0) -> float:
        """The least delay from from_s on that is in no interval, on a tenth of a second if it is later."""
        delay = from_s
        order = np.argsort(self.low_s)
        for low, high in zip(self.low_s[order].tolist(), self.high_s[order].tolist(), strict=True):
            if low >= delay:
                break
            if high > delay:
                delay = math.ceil(high * _PER_S) / _PER_S
        return delay


def forbidden_delays(
    flight: Segments, others: Segments, minima: Minima, longest_s: float, *, slack_s: float = 0.0
) -> Forbidden:
    """Delays in [0, longest_s] at which the flight would conflict with the others, which keep their times.

    slack_s: by how much the flight may then still be early or late against any of them.
    """
    a, b = near_in_space(flight, others, minima)
    base = others.start_s[b] - flight.start_s[a]
    x_max, y_max = flight.end_s[a] - flight.start_s[a], others.end_s[b] - others.start_s[b]
    useful = (base + y_max > -slack_s) & (base - x_max < longest_s + slack_s)
    a, b, base, x_max, y_max = a[useful], b[useful], base[useful], x_max[useful], y_max[useful]
    crossing = _come_near(flight, a, others, b, minima.lateral_bound_m)
    a, b, base, x_max, y_max = a[crossing], b[crossing], base[crossing], x_max[crossing], y_max[crossing]
    low, high = _spread(
        flight.place_m[a] - others.place_m[b],
        flight.velocity_m_s[a],
        others.velocity_m_s[b],
        x_max,
        y_max,
        minima,
    )
    met, pad = high > low, slack_s + _PAD_S
    return Forbidden(
        base[met] + low[met] - pad, base[met] + high[met] + pad, flight.piece[a[met]], others.piece[b[met]]
    )


def _come_near(
    one: Segments, a: NDArray[np.intp], two: Segments, b: NDArray[np.intp], lateral_m: float
) -> NDArray[np.bool_]:
    """Whether two pieces' tracks over the ground come within a distance: a separating axis along either excludes it."""
    near = np.ones(len(a), dtype=bool)
    ends_one = [one.place_m[a, :2], _end(one, a)]
    ends_two = [two.place_m[b, :2], _end(two, b)]
    for way in (ends_one[1] - ends_one[0], ends_two[1] - ends_two[0]):
        length = np.hypot(way[:, 0], way[:, 1])
        across = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None]
        p = [np.sum(across * end, axis=1) for end in ends_one]
        q = [np.sum(across * end, axis=1) for end in ends_two]
        gap = np.maximum(np.minimum(*p) - np.maximum(*q), np.minimum(*q) - np.maximum(*p))
        near &= gap < lateral_m
    return near


def _end(flown: Segments, rows: NDArray[np.intp]) -> FloatArray:
    duration = flown.end_s[rows] - flown.start_s[rows]
    return flown.place_m[rows, :2] + flown.velocity_m_s[rows, :2] * duration[:, None]


def _spread(
    apart: FloatArray, v: FloatArray, w: FloatArray, x_max: FloatArray, y_max: FloatArray, minima: Minima
) -> tuple[FloatArray, FloatArray]:
    """Least and greatest y - x over 0 <= x <= x_max, 0 <= y <= y_max with |apart + v x - w y| within the minima.

    Where there is no such pair the least is above the greatest. Shapes: (n, 3) and (n,).
    """
    if not len(apart):
        return np.empty(0), np.empty(0)
    radius, half = minima.lateral_bound_m, minima.vertical_bound_m
    zero = np.zeros(len(apart))
    with np.errstate(divide="ignore", invalid="ignore"):
        points = [(zero, zero), (x_max, zero), (zero, y_max), (x_max, y_max)]
        edges = [(zero, zero, 1, 0), (zero, y_max, 1, 0), (zero, zero, 0, 1), (x_max, zero, 0, 1)]
        lines = [(x0, y0, zero + dx, zero + dy) for x0, y0, dx, dy in edges]
        steep = v[:, 2] ** 2 + w[:, 2] ** 2
        for side in (-half, half):
            offset = (side - apart[:, 2]) / steep
            foot = offset * v[:, 2], -offset * w[:, 2]
            lines.append((*foot, w[:, 2], v[:, 2]))
            # Where the vertical bound leaves the box of times.
            points += [(x, (apart[:, 2] + v[:, 2] * x - side) / w[:, 2]) for x in (zero, x_max)]
            points += [((side - apart[:, 2] + w[:, 2] * y) / v[:, 2], y) for y in (zero, y_max)]
        for x0, y0, dx, dy in lines:
            points += _on_circle(apart, v, w, (x0, y0, dx, dy), radius)
        points += _extremes(apart, v, w, radius)
        x, y = np.stack([p[0] for p in points]), np.stack([p[1] for p in points])
        relative = apart[None] + v[None] * x[..., None] - w[None] * y[..., None]
        inside = (
            (x >= -_TIME_SLACK_S)
            & (x <= x_max + _TIME_SLACK_S)
            & (y >= -_TIME_SLACK_S)
            & (y <= y_max + _TIME_SLACK_S)
            & (np.abs(relative[..., 2]) <= half + _GROW_M)
            & (np.hypot(relative[..., 0], relative[..., 1]) <= radius + _GROW_M)
        )
    spread = np.where(inside, y - x, np.nan)
    low = np.where(inside, spread, np.inf).min(axis=0)
    high = np.where(inside, spread, -np.inf).max(axis=0)
    return low, high


def _on_circle(
    apart: FloatArray,
    v: FloatArray,
    w: FloatArray,
    line: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    radius: float,
) -> list[tuple[FloatArray, FloatArray]]:
    """Where a line in the plane of both times crosses the lateral minimum: at most two points, NaN if none."""
    x0, y0, dx, dy = line
    at = apart[:, :2] + v[:, :2] * x0[:, None] - w[:, :2] * y0[:, None]
    way = v[:, :2] * dx[:, None] - w[:, :2] * dy[:, None]
    q = np.sum(way * way, axis=1)
    p = np.sum(at * way, axis=1)
    root = np.sqrt(p * p - q * (np.sum(at * at, axis=1) - radius**2))
    return [(x0 + dx * s, y0 + dy * s) for s in ((-p - root) / q, (-p + root) / q)]


def _extremes(apart: FloatArray, v: FloatArray, w: FloatArray, radius: float) -> list[tuple[FloatArray, FloatArray]]:
    """The two points of the whole ellipse at which y - x is least and greatest; NaN where it is a strip."""
    # (x, y) = M^-1 (r - apart) with M = [v, -w]; y - x is linear in r, so its extremes lie along M^-T (-1, 1).
    determinant = -v[:, 0] * w[:, 1] + w[:, 0] * v[:, 1]
    inverse = (
        np.stack([np.stack([-w[:, 1], w[:, 0]], axis=1), np.stack([-v[:, 1], v[:, 0]], axis=1)], axis=1)
        / determinant[:, None, None]
    )
    towards = inverse[:, 1] - inverse[:, 0]
    towards = towards / np.hypot(towards[:, 0], towards[:, 1])[:, None]
    points = []
    for side in (-radius, radius):
        r = towards * side - apart[:, :2]
        points.append((np.sum(inverse[:, 0] * r, axis=1), np.sum(inverse[:, 1] * r, axis=1)))
    return points
