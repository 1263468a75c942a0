# SPDX-License-Identifier: AGPL-3.0-or-later
"""Patrol planning: must-patrol points and lines and their drones come in, flight plans that serve all of them go out.

A result states its cost, a lower bound and their ratio. The busiest drone is to be done as early as possible: one flight
each where batteries last, else as many for each drone as they ask for. Drones fly in layers of their own, so that
crossing paths are apart in height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from missions.bounds import busiest_drone_bound_s
from missions.deconflict.starts import started_apart
from missions.energy import PlanEnergy
from missions.errors import PlanningError
from missions.model import Budget, FlightPlan, Geofence, VehicleLimits
from missions.patrol_reach import too_much, within_reach
from missions.patrol_ways import PatrolLine, PatrolPoint, PatrolTask, PatrolVehicle, PatrolWays
from missions.routing.minmax import Route, split
from missions.terrain import Terrain

__all__ = ["PatrolLine", "PatrolPlan", "PatrolPoint", "PatrolTask", "PatrolVehicle", "plan_patrol"]

SWAP_S = 120.0  # from landing to the next take-off


@dataclass(frozen=True, slots=True)
class PatrolPlan:
    """Flight plans and how good they are. A drone that is not needed has none; several of one are flown one by one.

    busiest_s: the most that a drone has to do, flights and battery swaps without waiting; bound_s: what no plan with
    these heights can beat; slack_s: that of their starts (`deconflict.starts`).
    """

    plans: tuple[FlightPlan, ...]
    energies: tuple[PlanEnergy, ...]
    busiest_s: float
    bound_s: float
    slack_s: float | None

    @property
    def ratio(self) -> float:
        return self.busiest_s / self.bound_s if self.bound_s > 0 else 1.0


def plan_patrol(
    task: PatrolTask,
    vehicles: tuple[PatrolVehicle, ...],
    fence: Geofence,
    limits: VehicleLimits,
    terrain: Terrain,
    budget: Budget,
    *,
    wind_m_s: float = 0.0,
) -> PatrolPlan:
    """Plan flights that serve every item exactly once. Raises PlanningError, one line per item that cannot be met.

    wind_m_s: against every leg; routes, batteries, starts and the bound are those in it.
    """
    if not vehicles:
        raise PlanningError("a patrol needs at least one drone")
    if not task.points and not task.lines:
        raise PlanningError("there is nothing to patrol: name at least one point or line")
    ways = PatrolWays(task, vehicles, fence, limits, terrain, wind_m_s)
    routed = [ways.flight_plan(*flight) for flight in patrol_routes(ways, budget)]
    plans = started_apart(routed, limits, swap_s=SWAP_S, wind_m_s=wind_m_s)
    energies = tuple(ways.energy(plan) for plan in plans.plans)
    battery_s = limits.endurance_s * (1.0 - limits.reserve_fraction)  # nothing costs less than hovering
    bound_s = busiest_drone_bound_s(ways.task, battery_s, SWAP_S)
    return PatrolPlan(plans.plans, energies, _busiest_s(plans.plans, energies), bound_s, plans.slack_s)


def _busiest_s(plans: Sequence[FlightPlan], energies: Sequence[PlanEnergy]) -> float:
    busy: dict[str, float] = {}
    for plan, energy in zip(plans, energies, strict=True):
        before = busy.get(plan.vehicle_id)
        busy[plan.vehicle_id] = energy.time_s if before is None else before + SWAP_S + energy.time_s
    return max(busy.values())


def patrol_routes(ways: PatrolWays, budget: Budget) -> list[tuple[int, Route]]:
    """Vehicles and their routes: one each, or two, or three, until all land with their reserve; a vehicle's in a row.

    Raises PlanningError.
    """
    reserve, count = ways.limits.reserve_fraction, len(ways.vehicles)
    task, rounds, knows_reach = ways.task, 1, False
    while True:
        routes = split(replace(task, homes=task.homes * rounds, fixed_s=task.fixed_s * rounds), budget)
        given = [(slot % count, route) for slot, route in enumerate(routes.routes) if route]
        given = [(vehicle, ways.best_route(vehicle, route)) for vehicle, route in given]
        energies = [ways.energy(ways.flight_plan(*flight)) for flight in given]
        short = [reserve - energy.margin_fraction for energy in energies]
        if max(short) <= 0.0:
            return given if rounds == 1 else _shared_out(ways, given)
        if not knows_reach:
            task, knows_reach = within_reach(ways), True
        elif rounds >= len(ways.items):  # it may be that one drone alone reaches them all, with a battery for each
            vehicle, route = given[short.index(max(short))]
            raise PlanningError(
                f"even {len(given)} flights do not do: {ways.vehicles[vehicle].vehicle_id} would use "
                f"{too_much(max(short))} of its battery too much for {', '.join(ways.names[stop.item] for stop in route)}; "
                "plan for other drones, or put a dock nearer"
            )
        # Flights in more pieces cost more in all, so that there are at least as many as the batteries they take now.
        batteries = max(1.0 - energy.margin_fraction for energy in energies) / (1.0 - reserve)
        more = max(rounds + 1, math.floor(rounds * 0.9 * batteries))
        rounds = max(more, 2 * rounds) if rounds * count >= len(ways.items) else more


def _shared_out(ways: PatrolWays, given: list[tuple[int, Route]]) -> list[tuple[int, Route]]:
    """The same routes, the longest first each to the drone that is done with it first; as they were where that is no better."""
    was_s = [ways.energy(ways.flight_plan(*flight)).time_s for flight in given]
    busy_s = [-SWAP_S] * len(ways.vehicles)  # what a drone has done so far; no swap before the first flight
    before_s = list(busy_s)
    out: list[tuple[int, Route]] = []
    for number in sorted(range(len(given)), key=lambda n: -was_s[n]):
        best: tuple[float, int] | None = None
        for vehicle in range(len(ways.vehicles)):
            energy = ways.energy(ways.flight_plan(vehicle, given[number][1]))
            done_s = busy_s[vehicle] + SWAP_S + energy.time_s
            if energy.margin_fraction >= ways.limits.reserve_fraction and (best is None or (done_s, vehicle) < best):
                best = done_s, vehicle
        if best is None:
            return sorted(given, key=lambda flight: flight[0])
        busy_s[best[1]] = best[0]
        before_s[given[number][0]] += SWAP_S + was_s[number]
        out.append((best[1], given[number][1]))
    return sorted(out if max(busy_s) < max(before_s) else given, key=lambda flight: flight[0])
