# SPDX-License-Identifier: AGPL-3.0-or-later
"""The flights of a day as plans of this site's drones: each in a layer of its own, checked alone and against the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dronectl.operations.planning import check_at_site
from dronectl.site import Drone, Site
from missions.energy import PlanEnergy
from missions.model import Finding, FlightPlan, Severity
from missions.patrol_ways import NARROW_BAND_M
from missions.revisit.chains import put_off
from missions.revisit.day import DayTask, Flight, Settled
from missions.revisit.day_plans import DayCraft, DayOrder, DayRules, day_plan, kept_apart
from missions.revisit.reasons import clock
from missions.revisit.timetable import day_allows, day_has_room
from missions.separation import MINIMA, check_separation
from missions.terrain import height_at
from missions.terrain_follow import ERROR_SIGMAS, height_band

LAYER_STEP_M = MINIMA.vertical_m + 2.0  # heights follow the ground, which rises and falls between two drones
_LATE_S = 5.0


def layer_height_m(site: Site, number: int) -> float:
    """Height above ground of the number-th drone: layers from the patrol's height up, as many as there is room for."""
    limits, lowest = site.limits, site.model.patrol.height_m
    highest = limits.max_height_above_ground_m - ERROR_SIGMAS * site.terrain.vertical_error_m - 1.0
    layers = max(1, 1 + int((highest - lowest) / LAYER_STEP_M))
    return lowest + LAYER_STEP_M * (number % layers)


class DayPlanner:
    """Flights to plans, small delays, findings."""

    def __init__(self, site: Site, drones: Sequence[Drone], wind_m_s: float = 0.0) -> None:
        self.site, self.wind_m_s = site, wind_m_s
        top = site.model.geofence.max_height_m
        self.crafts = {}
        for number, drone in enumerate(drones):
            home_amsl_m = height_at(site.terrain, drone.pad)
            wanted = layer_height_m(site, number)
            band = height_band(wanted, NARROW_BAND_M, site.limits, site.terrain, home_amsl_m + top - 1.0)
            self.crafts[drone.drone_id] = DayCraft(drone.pad, home_amsl_m, drone.return_height_m, band)
        self.order = DayOrder(
            site.new_mission("timetable"),
            site.frame,
            site.fence,
            site.limits,
            site.terrain,
            site.limits.cruise_speed_m_s,
            {p.place_id: p.aim for p in site.points if p.aim is not None},
            wind_m_s,
        )

    def plan_of(self, flight: Flight) -> FlightPlan:
        """The flight's plan; its mission says the time of take-off."""
        plan = day_plan(flight, self.crafts[flight.vehicle_id], self.order)
        mission = replace(plan.mission, mission_id=f"timetable-{flight_name(flight)}")
        return replace(plan, mission=mission)

    def settle(self, task: DayTask, flights: list[Flight], from_s: float) -> Settled:
        """Flights that keep apart: a little later or earlier if nothing more is missed for it, else later or given up."""
        return kept_apart(
            flights,
            self.plan_of,
            self.site.limits,
            DayRules(
                as_good=lambda others, index, moved: day_allows(task, others, index, moved),
                possible=lambda others, index, moved: day_has_room(task, others, index, moved),
                put_off=lambda others, index, seconds, since: put_off(task, others, index, seconds, since),
            ),
            from_s=from_s,
            wind_m_s=self.wind_m_s,
        )

    def findings(
        self, flights: Sequence[Flight], plans: Sequence[FlightPlan], energies: Sequence[PlanEnergy], swap_s: float
    ) -> tuple[tuple[Finding, ...], ...]:
        """Per flight: the feasibility rules, whether its drone has come home before, and who comes too near."""
        found = [list(check_at_site(self.site, plan, wind_m_s=self.wind_m_s)) for plan in plans]
        ready: dict[str, float] = {}
        for index in sorted(range(len(flights)), key=lambda i: flights[i].depart_s):
            flight, energy = flights[index], energies[index]
            late = ready.get(flight.vehicle_id, 0.0) - flight.depart_s
            if late > _LATE_S:
                message = (
                    f"{flight.vehicle_id} is to start at {clock(flight.depart_s)}, {late:.0f} s before it has landed and "
                    "its battery is swapped; raise swap_min"
                )
                found[index].append(Finding("swap-time", Severity.BLOCKER, message, None, plans[index].home))
            ready[flight.vehicle_id] = flight.depart_s + energy.time_s + swap_s
        starts = [f.depart_s for f in flights]
        met = check_separation(plans, self.site.limits, starts_s=starts, wind_m_s=self.wind_m_s)
        for breach in met:
            where = breach.finding.position
            for one, other in ((breach.first, breach.second), (breach.second, breach.first)):
                message = (
                    f"comes within {breach.lateral_m:.0f} m across and {breach.vertical_m:.1f} m in height of "
                    f"{flight_name(flights[other])} at {clock(breach.time_s)}; {MINIMA.lateral_m:.0f} m or "
                    f"{MINIMA.vertical_m:.0f} m are needed: start one of them later"
                )
                found[one].append(Finding("separation", Severity.BLOCKER, message, None, where))
        return tuple(tuple(f) for f in found)


def flight_name(flight: Flight) -> str:
    """Drone and take-off: d1-073000."""
    return f"{flight.vehicle_id}-{clock(flight.depart_s).replace(':', '')}"
