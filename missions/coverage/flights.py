# SPDX-License-Identifier: AGPL-3.0-or-later
"""A sweep to flights: the path that sweeps an area (`sweep`), cut into flights of the drones (`sorties`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from missions.coverage.sorties import CoverTask, CoverVehicle, Sortie, SortiePlanner
from missions.coverage.sweep import MetreCost, Sweep, even_cost, sweep_area
from missions.coverage.track import even_track
from missions.errors import PlanningError
from missions.model import Budget, Geofence, VehicleLimits
from missions.terrain import Terrain

__all__ = ["CoverPlan", "CoverTask", "CoverVehicle", "Sortie", "plan_cover"]


@dataclass(frozen=True, slots=True)
class CoverPlan:
    """Flights in order along the path. time_s and slack_s as in `Sorties`."""

    sweep: Sweep
    sorties: tuple[Sortie, ...]
    time_s: float
    bound_s: float
    slack_s: float | None

    @property
    def ratio(self) -> float:
        return self.time_s / self.bound_s if self.bound_s > 0 else 1.0


def plan_cover(
    task: CoverTask,
    vehicles: tuple[CoverVehicle, ...],
    fence: Geofence,
    limits: VehicleLimits,
    terrain: Terrain,
    budget: Budget,
    *,
    wind_m_s: float = 0.0,
    metre_cost: MetreCost = even_cost,
) -> CoverPlan:
    """Plan flights that sweep the area. Raises PlanningError when it cannot be done, saying why."""
    if not vehicles:
        raise PlanningError("covering an area needs at least one drone")
    planner = SortiePlanner(task, vehicles, fence, limits, terrain, wind_m_s)
    sweep = sweep_area(
        task.area.shape,
        task.width_m,
        budget,
        allowed=planner.pass_room(),
        metre_cost=metre_cost,
        turn_cost_m=planner.turn_cost_m(),
    )
    track = even_track(sweep.corners_m, task.gimbal_pitch_deg)
    found = planner.split(track, max(1, sweep.swath_count))
    return CoverPlan(sweep, found.flights, found.time_s, _bound_s(sweep, planner), found.slack_s)


def _bound_s(sweep: Sweep, planner: SortiePlanner) -> float:
    """No split can beat it: all of A / w that is swept shared equally, less what a disc leads at the ends."""
    task, count = planner.task, len(planner.vehicles)
    speed = planner.performance.ground_speed_m_s(task.cruise_speed_m_s)
    ends = count * np.pi * task.width_m / 4.0
    return max(0.0, sweep.bound_m - ends) / speed / count
