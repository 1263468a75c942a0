# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pieces of straight motion as arrays, and which pieces of two fleets could ever come near each other.

A piece is one row: its start and end time, its place at the start, its velocity. Everything that compares flights
works on pairs of such rows, so that a whole fleet is one array operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from missions.deconflict.trajectory import Trajectory
from missions.geo import FloatArray

APART_WITHIN_S: Final = 20.0  # two that are too near now: a stop, and twice the lateral minimum at a slow speed


@dataclass(frozen=True, slots=True)
class Minima:
    """The cylinder that keeps two vehicles apart: nearer than both distances at once is a conflict."""

    lateral_m: float = 20.0
    vertical_m: float = 10.0

    @property
    def lateral_bound_m(self) -> float:
        """Two centimetres more, for what a map projection does to distances within 50 km."""
        return self.lateral_m + 0.02

    @property
    def vertical_bound_m(self) -> float:
        """A tenth of a millimetre less: layers exactly as far apart as asked are no conflict."""
        return self.vertical_m - 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """n pieces of motion, of one or several flights.

    start_s, end_s: (n,). place_m: (n, 3) at the start. velocity_m_s: (n, 3). low_m, high_m: (n, 3), the box that the
    piece stays in. owner: (n,) which flight. piece: (n,) its number within the flight.
    """

    start_s: FloatArray
    end_s: FloatArray
    place_m: FloatArray
    velocity_m_s: FloatArray
    low_m: FloatArray
    high_m: FloatArray
    owner: NDArray[np.int64]
    piece: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start_s)


def segments(trajectory: Trajectory, *, start_s: float = 0.0, owner: int = 0) -> Segments:
    """Cut a trajectory that starts at start_s into its pieces."""
    times, places = trajectory.time_s, trajectory.place_m
    before, after = places[:-1], places[1:]
    count = len(before)
    return Segments(
        times[:-1] + start_s,
        times[1:] + start_s,
        before,
        (after - before) / np.diff(times)[:, None],
        np.minimum(before, after),
        np.maximum(before, after),
        np.full(count, owner),
        np.arange(count),
    )


def joined(parts: Sequence[Segments]) -> Segments:
    """Several flights as one array of pieces; at least one."""
    return Segments(*(np.concatenate([getattr(part, name) for part in parts]) for name in Segments.__slots__))


def near_in_space(a: Segments, b: Segments, minima: Minima) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index pairs of pieces whose boxes come within the minima of each other, whenever they are flown."""
    reach = np.array([minima.lateral_bound_m, minima.lateral_bound_m, minima.vertical_bound_m])
    near = np.ones((len(a), len(b)), dtype=bool)
    for axis in (2, 0, 1):
        low, high = a.low_m[:, axis] - reach[axis], a.high_m[:, axis] + reach[axis]
        near &= (low[:, None] < b.high_m[None, :, axis]) & (high[:, None] > b.low_m[None, :, axis])
    first, second = np.nonzero(near)
    return first, second
