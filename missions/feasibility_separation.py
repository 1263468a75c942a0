# SPDX-License-Identifier: AGPL-3.0-or-later
"""The feasibility rule between flights: started together, no two come nearer than they may.

It measures; it does not resolve. Positions are interpolated between the arrival times of the energy model; the columns over the pads are left
out, because whoever starts the flights staggers take-offs and landings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from missions.energy import PlanEnergy, height_above_home_m
from missions.geo import FloatArray, LocalFrame
from missions.model import Finding, FlightPlan, Severity, VehicleLimits

LATERAL_M: Final = 20.0
VERTICAL_M: Final = 10.0
_STEP_S = 0.5
_PAD_RADIUS_M = 60.0


@dataclass(frozen=True, slots=True)
class Breach:
    """Two flights (indices) that come nearer than both distances allow, at the moment when they are nearest."""

    first: int
    second: int
    finding: Finding


def check_separation(
    plans: Sequence[FlightPlan], energies: Sequence[PlanEnergy], limits: VehicleLimits
) -> list[Breach]:
    """Every pair of flights of different vehicles, returns included, as if all took off at once."""
    if len(plans) < 2:
        return []
    frame = LocalFrame(plans[0].home)
    tracks = [_track(plan, energy, limits, frame) for plan, energy in zip(plans, energies, strict=True)]
    found = []
    for (i, a), (j, b) in combinations(enumerate(tracks), 2):
        if plans[i].vehicle_id == plans[j].vehicle_id:
            continue  # one after the other
        count = min(len(a), len(b))
        apart = a[:count] - b[:count]
        across, high = np.hypot(apart[:, 0], apart[:, 1]), np.abs(apart[:, 2])
        near = np.flatnonzero((across < LATERAL_M) & (high < VERTICAL_M))  # never over a pad: NaN compares false
        if not near.size:
            continue
        k = int(near[np.argmin(np.hypot(across[near], 2.0 * high[near]))])
        where = frame.to_geo(float(a[k, 0]), float(a[k, 1]))
        message = (
            f"{plans[i].vehicle_id} and {plans[j].vehicle_id}, started together, come within {across[k]:.0f} m across "
            f"and {high[k]:.0f} m in height after {k * _STEP_S:.0f} s near {where.latitude_deg:.5f}, "
            f"{where.longitude_deg:.5f}; {LATERAL_M:.0f} m or {VERTICAL_M:.0f} m are needed: "
            "start one later or fly in layers"
        )
        found.append(Breach(i, j, Finding("separation", Severity.BLOCKER, message, None, where)))
    return found


def _track(plan: FlightPlan, energy: PlanEnergy, limits: VehicleLimits, frame: LocalFrame) -> FloatArray:
    """(n, 3) east, north, height above sea, every half second until the vehicle is home again; NaN over its pad."""
    home = frame.to_enu(plan.home)
    knots = [(0.0, *home, plan.home_amsl_m)]
    for arrival, waypoint in zip(energy.arrival_s, plan.waypoints, strict=True):
        place = frame.to_enu(waypoint.position)
        height = plan.home_amsl_m + height_above_home_m(waypoint.altitude, plan.home_amsl_m)
        if len(knots) == 1:
            away = float(np.hypot(place[0] - home[0], place[1] - home[1]))
            start = max(0.0, arrival - away / max(plan.cruise_speed_m_s, 0.1))
            knots.append((start, *home, plan.home_amsl_m + plan.takeoff_height_m))
        knots.append((arrival, *place, height))
        if waypoint.hold_s > 0:
            knots.append((arrival + waypoint.hold_s, *place, height))
    if plan.waypoints:
        last_s, east, north, height = knots[-1]
        away = float(np.hypot(east - home[0], north - home[1]))
        top = max(height, plan.home_amsl_m + min(plan.return_height_m, away))
        climbed = last_s + (top - height) / limits.climb_rate_m_s
        knots.append((climbed, east, north, top))
        knots.append((climbed + away / max(min(plan.cruise_speed_m_s, limits.max_speed_m_s), 0.1), *home, top))
    table = np.asarray(knots)
    times = np.arange(0.0, table[-1, 0] + _STEP_S, _STEP_S)
    track = np.stack([np.interp(times, table[:, 0], table[:, c]) for c in (1, 2, 3)], axis=1)
    track[np.hypot(track[:, 0] - home[0], track[:, 1] - home[1]) < _PAD_RADIUS_M] = np.nan
    return track
