# SPDX-License-Identifier: AGPL-3.0-or-later
"""How near flights that start together come to each other, in time and space. It measures; it does not resolve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from missions.energy import PlanEnergy, height_above_home_m
from missions.geo import FloatArray, LocalFrame
from missions.model import FlightPlan

_STEP_S = 0.5
_VERTICAL_WEIGHT = 4.0  # a metre of height separates as four metres of ground do: wash and position error
_PAD_RADIUS_M = 60.0


@dataclass(frozen=True, slots=True)
class Separation:
    """The nearest two vehicles come: distances then, and when, in seconds after a common take-off."""

    first: str
    second: str
    horizontal_m: float
    vertical_m: float
    time_s: float


def least_separation(plans: Sequence[FlightPlan], energies: Sequence[PlanEnergy]) -> Separation | None:
    """Return the closest encounter of any two plans on their ways; None for fewer than two.

    Columns over the pads (60 m around a home) are left out: take-offs and landings there are layered or staggered
    by whoever starts them. Positions are interpolated between the arrival times of the energy model.
    """
    if len(plans) < 2:
        return None
    frame = LocalFrame(plans[0].home)
    tracks = [_track(plan, energy, frame) for plan, energy in zip(plans, energies, strict=True)]
    best: tuple[float, Separation] | None = None
    for (i, a), (j, b) in combinations(enumerate(tracks), 2):
        n = min(len(a), len(b))
        apart = a[:n] - b[:n]
        score = np.hypot(np.hypot(apart[:, 0], apart[:, 1]), _VERTICAL_WEIGHT * apart[:, 2])
        score[np.isnan(score)] = np.inf
        k = int(np.argmin(score))
        if np.isfinite(score[k]) and (best is None or score[k] < best[0]):
            found = Separation(
                plans[i].vehicle_id,
                plans[j].vehicle_id,
                float(np.hypot(*apart[k, :2])),
                abs(float(apart[k, 2])),
                k * _STEP_S,
            )
            best = float(score[k]), found
    return None if best is None else best[1]


def _track(plan: FlightPlan, energy: PlanEnergy, frame: LocalFrame) -> FloatArray:
    """(n, 3) east, north, height above sea every half second up to the last waypoint; NaN over the pad."""
    home = frame.to_enu(plan.home)
    knots = [(0.0, *home, plan.home_amsl_m)]
    climbed = energy.arrival_s[0] if energy.arrival_s else 0.0
    for arrival, waypoint in zip(energy.arrival_s, plan.waypoints, strict=True):
        place = frame.to_enu(waypoint.position)
        height = plan.home_amsl_m + height_above_home_m(waypoint.altitude, plan.home_amsl_m)
        if len(knots) == 1:
            away = float(np.hypot(place[0] - home[0], place[1] - home[1]))
            start = max(0.0, climbed - away / max(plan.cruise_speed_m_s, 0.1))
            knots.append((start, *home, plan.home_amsl_m + plan.takeoff_height_m))
        knots.append((arrival, *place, height))
        if waypoint.hold_s > 0:
            knots.append((arrival + waypoint.hold_s, *place, height))
    table = np.asarray(knots)
    times = np.arange(0.0, table[-1, 0], _STEP_S)
    track = np.stack([np.interp(times, table[:, 0], table[:, c]) for c in (1, 2, 3)], axis=1)
    track[np.hypot(track[:, 0] - home[0], track[:, 1] - home[1]) < _PAD_RADIUS_M] = np.nan
    return track
