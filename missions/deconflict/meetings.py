# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which starts of two flights against each other let them meet, in calm and in wind, and the earliest start that does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from missions.deconflict.delays import forbidden_delays
from missions.deconflict.segments import Minima, segments
from missions.deconflict.trajectory import HOVERED_S, Trajectory, common_frame, fly, from_first_waypoint, places_m
from missions.energy import plan_energy
from missions.geo import FloatArray
from missions.model import FlightPlan, VehicleLimits

_PER_S = 10.0  # starts are given in tenths of a second


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A flight as it is flown in each of the winds, and how long it lasts in the worst, by the careful energy model."""

    vehicle_id: str
    in_wind: tuple[Trajectory, ...]
    longest_s: float


class Meetings:
    """What flights forbid each other; found once for each pair. Raises DatumError as the energy model does.

    The last `aloft` of the plans are of vehicles in the air, each at its first waypoint; if it flies on late it waits there.
    """

    def __init__(
        self, plans: Sequence[FlightPlan], limits: VehicleLimits, wind_m_s: float, minima: Minima, *, aloft: int = 0
    ) -> None:
        frame = common_frame(plans)
        winds = sorted({0.0, wind_m_s})
        self.flown: list[Motion] = []
        for number, plan in enumerate(plans):
            motions = tuple(fly(plan, limits, places_m(plan, frame), wind_m_s=w) for w in winds)
            energies = [plan_energy(plan, limits, wind_m_s=w) for w in winds]
            if number >= len(plans) - aloft:
                motions = tuple(from_first_waypoint(m, hovered_s=HOVERED_S) for m in motions)
                longest_s = max(e.time_s - e.arrival_s[0] for e in energies)
            else:
                longest_s = max(e.time_s for e in energies)
            self.flown.append(Motion(plan.vehicle_id, motions, longest_s))
        self._minima = minima
        self._forbidden: dict[tuple[int, int], FloatArray] = {}

    def differences(self, one: int, other: int) -> FloatArray:
        """By how much the start of one flight must not be after that of another: open intervals (n, 2)."""
        if one < other:
            return -self.differences(other, one)[:, ::-1]
        if (one, other) not in self._forbidden:
            found = []
            for mine, theirs in zip(self.flown[one].in_wind, self.flown[other].in_wind, strict=True):
                before_s = mine.duration_s + HOVERED_S + 1.0  # so that the one may start before the other, too
                forbidden = forbidden_delays(
                    segments(mine),
                    segments(theirs, start_s=before_s),
                    self._minima,
                    before_s + theirs.duration_s + HOVERED_S + 1.0,
                )
                found.append(np.stack([forbidden.low_s - before_s, forbidden.high_s - before_s], axis=1))
            self._forbidden[one, other] = _merged(np.concatenate(found))
        return self._forbidden[one, other]


def earliest(ready_s: float, spans: Sequence[FloatArray]) -> float:
    """The least start from a time on, in tenths of a second, that lies in none of the open intervals (n, 2)."""
    start = tenths(ready_s)
    if spans:
        every = np.concatenate(spans)
        for low, high in every[np.argsort(every[:, 0])].tolist():
            if low >= start:
                break
            if high > start:
                start = tenths(high)
    return start


def tenths(seconds: float) -> float:
    """Seconds, up to the next tenth."""
    return math.ceil(round(seconds * _PER_S, 6)) / _PER_S


def _merged(spans: FloatArray) -> FloatArray:
    """The same open intervals without overlaps, rising; (n, 2)."""
    out: list[list[float]] = []
    for low, high in spans[np.argsort(spans[:, 0])].tolist():
        if out and low <= out[-1][1]:
            out[-1][1] = max(out[-1][1], high)
        else:
            out.append([low, high])
    return np.asarray(out).reshape(-1, 2)
