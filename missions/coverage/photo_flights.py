# SPDX-License-Identifier: AGPL-3.0-or-later
"""A photo grid to flights: the lines of every view (`photo_lines`), cut into flights of the drones (`sorties`)."""

from __future__ import annotations

from dataclasses import dataclass

from missions.coverage.photo_lines import PhotoTrack, PhotoView, photo_track
from missions.coverage.sorties import CoverTask, CoverVehicle, Sortie, SortiePlanner
from missions.coverage.sweep import MetreCost, even_cost
from missions.errors import PlanningError
from missions.model import Budget, Geofence, VehicleLimits
from missions.terrain import Terrain


@dataclass(frozen=True, slots=True)
class PhotoPlan:
    """Flights in order along the track. time_s and slack_s as in `Sorties`."""

    grid: PhotoTrack
    sorties: tuple[Sortie, ...]
    time_s: float
    bound_s: float
    slack_s: float | None

    @property
    def ratio(self) -> float:
        """Metres flown along the track, over what parallel lines at this spacing cannot beat."""
        return self.grid.length_m / self.grid.bound_m if self.grid.bound_m > 0.0 else 1.0


def plan_photos(
    task: CoverTask,
    views: list[PhotoView],
    vehicles: tuple[CoverVehicle, ...],
    fence: Geofence,
    limits: VehicleLimits,
    terrain: Terrain,
    budget: Budget,
    *,
    wind_m_s: float = 0.0,
    metre_cost: MetreCost = even_cost,
) -> PhotoPlan:
    """Plan flights that take the pictures. Raises PlanningError when it cannot be done, saying why."""
    if not vehicles:
        raise PlanningError("a photo grid needs at least one drone")
    planner = SortiePlanner(task, vehicles, fence, limits, terrain, wind_m_s)
    room = planner.pass_room()
    grid = photo_track(task.area.shape, views, room, budget, metre_cost, planner.turn_cost_m())
    found = planner.split(grid.track, grid.line_count)
    speed = planner.performance.ground_speed_m_s(task.cruise_speed_m_s)
    return PhotoPlan(grid, found.flights, found.time_s, grid.bound_m / speed / len(vehicles), found.slack_s)
