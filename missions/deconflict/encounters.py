# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where and when flights with given starts come nearer than the minima: exact for piecewise linear motion.

During two overlapping pieces the relative motion is linear in time. It is inside the vertical minimum during one
interval and inside the lateral minimum during another (the roots of a quadratic); the conflict is what both share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.deconflict.segments import Minima, Segments, joined, near_in_space, segments
from missions.deconflict.trajectory import Trajectory
from missions.geo import FloatArray

_BOUND_S = 1e-9  # touching the cylinder is no conflict
_JOIN_S = 1e-6


@dataclass(frozen=True, slots=True)
class Encounter:
    """Two flights (by index) nearer than the minima from start_s to end_s.

    time_s, lateral_m, vertical_m and place_m (east, north, height above sea, between the two) are of the moment in it
    at which they are nearest across the ground.
    """

    first: int
    second: int
    start_s: float
    end_s: float
    time_s: float
    lateral_m: float
    vertical_m: float
    place_m: tuple[float, float, float]


def encounters(flights: Sequence[tuple[Trajectory, float]], minima: Minima) -> list[Encounter]:
    """All conflicts between flights (trajectory, start in seconds), by time; one per pair and unbroken interval."""
    cut = [segments(t, start_s=start, owner=i) for i, (t, start) in enumerate(flights)]
    found: list[Encounter] = []
    for i in range(len(cut) - 1):
        found += encounters_with(cut[i], joined(cut[i + 1 :]), minima)
    return sorted(found, key=lambda e: (e.start_s, e.first, e.second))


def pairs_in_conflict(found: Sequence[Encounter]) -> set[tuple[int, int]]:
    """Index pairs that have at least one conflict."""
    return {(e.first, e.second) for e in found}


def encounters_with(one: Segments, others: Segments, minima: Minima) -> list[Encounter]:
    """Conflicts of one flight with others, by time."""
    a, b = near_in_space(one, others, minima)
    begin = np.maximum(one.start_s[a], others.start_s[b])
    end = np.minimum(one.end_s[a], others.end_s[b])
    during = end > begin + _BOUND_S
    a, b, begin, end = a[during], b[during], begin[during], end[during]
    if not a.size:
        return []
    velocity = one.velocity_m_s[a] - others.velocity_m_s[b]
    at_begin = _where(one, a, begin) - _where(others, b, begin)
    span = end - begin
    low, high = _within(at_begin, velocity, span, minima)
    hit = high - low > _BOUND_S
    a, b, begin, low, high = a[hit], b[hit], begin[hit], low[hit], high[hit]
    at_begin, velocity = at_begin[hit], velocity[hit]
    # The nearest moment across the ground within the conflict.
    speed2 = velocity[:, 0] ** 2 + velocity[:, 1] ** 2
    closing = -(at_begin[:, 0] * velocity[:, 0] + at_begin[:, 1] * velocity[:, 1])
    nearest = np.clip(np.divide(closing, speed2, out=low.copy(), where=speed2 > 1e-12), low, high)
    apart = at_begin + velocity * nearest[:, None]
    lateral, vertical = np.hypot(apart[:, 0], apart[:, 1]), np.abs(apart[:, 2])
    middle = _where(others, b, begin + nearest) + apart / 2.0
    rows = [
        Encounter(
            int(one.owner[a[k]]),
            int(others.owner[b[k]]),
            float(begin[k] + low[k]),
            float(begin[k] + high[k]),
            float(begin[k] + nearest[k]),
            float(lateral[k]),
            float(vertical[k]),
            (float(middle[k, 0]), float(middle[k, 1]), float(middle[k, 2])),
        )
        for k in range(len(a))
    ]
    return _unbroken(rows)


def _where(flown: Segments, rows: NDArray[np.intp], times: FloatArray) -> FloatArray:
    return flown.place_m[rows] + flown.velocity_m_s[rows] * (times - flown.start_s[rows])[:, None]


def _within(apart: FloatArray, velocity: FloatArray, span: FloatArray, minima: Minima) -> tuple[FloatArray, FloatArray]:
    """The part of [0, span] during which both minima are broken; empty where its end is not after its begin."""
    low, high = np.zeros(len(span)), span.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        w = velocity[:, 2]
        enter = (-np.sign(w) * minima.vertical_bound_m - apart[:, 2]) / w
        leave = (np.sign(w) * minima.vertical_bound_m - apart[:, 2]) / w
        level = np.abs(w) < 1e-12
        never = level & (np.abs(apart[:, 2]) >= minima.vertical_bound_m)
        low = np.where(level, low, np.maximum(low, enter))
        high = np.where(level, high, np.minimum(high, leave))
        q = velocity[:, 0] ** 2 + velocity[:, 1] ** 2
        p = apart[:, 0] * velocity[:, 0] + apart[:, 1] * velocity[:, 1]
        r = apart[:, 0] ** 2 + apart[:, 1] ** 2 - minima.lateral_bound_m**2
        still = q < 1e-12
        root2 = p * p - q * r
        never |= np.where(still, r >= 0.0, root2 <= 0.0)
        root = np.sqrt(np.maximum(root2, 0.0))
        low = np.where(still, low, np.maximum(low, (-p - root) / q))
        high = np.where(still, high, np.minimum(high, (-p + root) / q))
    return low, np.where(never, low, high)


def _unbroken(rows: list[Encounter]) -> list[Encounter]:
    """Join conflicts of one pair that go on from piece to piece."""
    rows.sort(key=lambda e: (e.first, e.second, e.start_s))
    out: list[Encounter] = []
    for row in rows:
        last = out[-1] if out else None
        if last and (last.first, last.second) == (row.first, row.second) and row.start_s <= last.end_s + _JOIN_S:
            nearer = row if row.lateral_m < last.lateral_m else last
            out[-1] = Encounter(
                last.first,
                last.second,
                last.start_s,
                max(last.end_s, row.end_s),
                nearer.time_s,
                nearer.lateral_m,
                nearer.vertical_m,
                nearer.place_m,
            )
        else:
            out.append(row)
    return sorted(out, key=lambda e: (e.start_s, e.second))
