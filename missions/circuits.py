# SPDX-License-Identifier: AGPL-3.0-or-later
"""Standing patrols: drones come by every point and line again and again; one round of their flights comes out.

Each way to share the items out is planned (`revisit.plan`: one tour equally spaced, a circuit for every drone, several
circuits with several drones, heavy items more often), cut into flights that land with their reserve at their own pads,
and put into a round in which all keep apart. The round whose worst idleness over the wanted interval is least is kept.

Idleness is the time between two arrivals at an item, at the end of a line; in a round that is repeated for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from missions.circuit_rounds import CircuitPlan, CircuitRound, longest_gap_s, visits_s
from missions.deconflict.meetings import Meetings
from missions.deconflict.rounds import Round, round_apart
from missions.deconflict.segments import Minima
from missions.deconflict.starts import SLACKS_S
from missions.errors import PlanningError
from missions.geo import FloatArray
from missions.model import Budget, FlightPlan, Geofence, VehicleLimits
from missions.patrol import patrol_routes
from missions.patrol_reach import within_reach
from missions.patrol_ways import PatrolTask, PatrolVehicle, PatrolWays
from missions.revisit.bound import idleness_bound, rates_bound
from missions.revisit.model import Circuit, Endurance, RevisitTask
from missions.revisit.plan import plan_revisit
from missions.revisit.swaps import with_swaps
from missions.routing.minmax import Route, Stop
from missions.terrain import Terrain

_LAPS = 4  # of the longest lap: rounds of up to so many are tried
_WORTH = 0.98  # of the worst idleness of a shorter round: what a longer one must come to
_TIGHTER, _TIGHTENED = 0.95, 12  # of the flying time, where the energy model says that a flight is too long
_PERIODS = tuple(1.0 + 0.02 * k for k in range(16))  # of the least one: in a longer one starts may fall more evenly
_LONGEST = 1.6  # of the least period: how much longer keeping apart may make it
_FOR_SLACK = 1.05  # of the worst idleness: what more slack may cost


def plan_circuits(
    task: PatrolTask,
    intervals_s: Sequence[float],
    vehicles: tuple[PatrolVehicle, ...],
    fence: Geofence,
    limits: VehicleLimits,
    terrain: Terrain,
    budget: Budget,
    *,
    swap_s: float,
    wind_m_s: float = 0.0,
) -> CircuitPlan:
    """Plan a standing patrol. intervals_s: wanted ones, of the points, then of the lines.

    Same task, seed and iterations, same plan. Raises PlanningError, one line per item that cannot be met.
    """
    if not vehicles:
        raise PlanningError("a patrol needs at least one drone")
    if not task.points and not task.lines:
        raise PlanningError("there is nothing to patrol: name at least one point or line")
    ways = PatrolWays(task, vehicles, fence, limits, terrain, wind_m_s)
    within_reach(ways)
    maker = _Maker(ways, np.asarray(intervals_s, dtype=np.float64), swap_s)
    found = plan_revisit(maker.revisit, budget)
    rounds: list[CircuitRound] = []
    failed: list[tuple[str, str]] = []
    for strategy, circuits in found.bare:
        try:
            rounds.append(maker.round(strategy, circuits))
        except PlanningError as error:
            failed.append((strategy, str(error)))
    try:
        own = maker.patrol_round(budget)
        known = next((r for r in rounds if r.strategy == own.strategy), None)
        if known is None or own.worst_ratio < known.worst_ratio:
            rounds = [*(r for r in rounds if r is not known), own]
    except PlanningError as error:
        failed.append(("partition", str(error)))
    if not rounds:
        raise PlanningError("no standing patrol was found: " + "; ".join(f"{name}: {why}" for name, why in failed))
    best = min(rounds, key=lambda r: (round(r.worst_ratio, 9), len(r.plans)))
    return CircuitPlan(
        best=best,
        rounds=tuple(rounds),
        failed=tuple(failed),
        items=ways.names,
        intervals_s=tuple(float(i) for i in intervals_s),
        bound=maker.bound(1.0 / maker.intervals),
        bound_s=maker.bound(np.ones(len(maker.intervals))),
        iterations=found.iterations,
    )


class _Maker:
    """From circuits over items to rounds of flights. The revisit task's sites are the items, its docks the pads."""

    def __init__(self, ways: PatrolWays, intervals_s: FloatArray, swap_s: float) -> None:
        self.ways, self.intervals, self.swap_s = ways, intervals_s, swap_s
        times = np.asarray(ways.task.time_s)
        self.service = np.array([item.service_s for item in ways.items])
        homes = list(ways.task.homes)
        ends = [(item.entry, item.exit) for item in ways.items] + [(h, h) for h in homes]
        between = np.array([[times[np.ix_(a, b)] for b in ends] for a in ends])
        # A line is entered at one end and left at the other: half of the ways lead to each.
        mean, self.least = between.mean(axis=(2, 3)), between.min(axis=(2, 3))
        for full in (mean, self.least):
            np.fill_diagonal(full, 0.0)
            full[:] = (full + full.T) / 2.0 if full is mean else np.minimum(full, full.T)
        limits, performance = ways.limits, ways.performance
        battery_s = limits.endurance_s * (1.0 - limits.reserve_fraction)  # nothing costs less than hovering
        self.fixed_s = min(ways.task.fixed_s)
        self.most_s = battery_s - self.fixed_s
        power = performance.level_power(performance.ground_speed_m_s(ways.patrol.cruise_speed_m_s))
        n = len(self.service)
        need = float((2.0 * mean[n:, :n].min(axis=0) + self.service).max())
        # At cruise power, with what the way home costs beyond the landing; a flight to the farthest item alone is known
        # to be possible.
        self.fly_s = max(need, (battery_s - max(ways.task.fixed_s)) / power)
        self.revisit = RevisitTask(
            mean, self.service, 1.0 / intervals_s, len(homes), Endurance(self.fly_s, swap_s + self.fixed_s)
        )

    def bound(self, weight: FloatArray) -> float:
        """What no standing patrol can beat: take-off and landing are lost time like the swap; least ways between items."""
        n, drones, swap_s = len(weight), len(self.ways.vehicles), self.swap_s + self.fixed_s
        between, docks = self.least[:n, :n], self.least[n:, :n].min(axis=0)
        return max(
            idleness_bound(between, self.service, weight, drones, fly_s=self.most_s, swap_s=swap_s),
            rates_bound(between, docks, self.service, weight, drones, fly_s=self.most_s, swap_s=swap_s),
        )

    def round(self, strategy: str, circuits: Sequence[Circuit]) -> CircuitRound:
        """The best round of circuits found. Raises PlanningError."""
        crews = self._crews(circuits)
        laps = [self._lap(circuit, crew) for circuit, crew in zip(circuits, crews, strict=True)]
        return self._repeated(strategy, circuits, crews, laps)

    def patrol_round(self, budget: Budget) -> CircuitRound:
        """The flights of `missions.patrol`, which knows batteries, as every drone's own circuit. Raises PlanningError."""
        flown: dict[int, list[Route]] = {}
        for vehicle, route in patrol_routes(self.ways, budget):
            flown.setdefault(vehicle, []).append(route)
        circuits = [Circuit(tuple(s.item for route in routes for s in route), 1) for routes in flown.values()]
        return self._repeated("partition", circuits, [[vehicle] for vehicle in flown], list(flown.values()))

    def _repeated(
        self,
        strategy: str,
        circuits: Sequence[Circuit],
        crews: Sequence[Sequence[int]],
        laps: Sequence[Sequence[Route]],
    ) -> CircuitRound:
        """The best round of laps that crews fly again and again."""
        lap_s = [max(self._lap_s(v, lap) for v in crew) for lap, crew in zip(laps, crews, strict=True)]
        best: CircuitRound | None = None
        once: list[int] = []
        for turns in range(1, _LAPS + 1):
            times = [max(1, int(turns * max(lap_s) / own + 1e-9)) for own in lap_s]
            once = once or times
            if turns > 1 and times == [turns * t for t in once]:
                continue  # the same round, flown several times
            found = self._settled(strategy, tuple(circuits), crews, laps, times, turns * max(lap_s))
            if found is not None and (best is None or found.worst_ratio < _WORTH * best.worst_ratio):
                best = found
        if best is None:
            raise PlanningError("its flights cannot be kept apart")
        return best

    def _crews(self, circuits: Sequence[Circuit]) -> list[list[int]]:
        """Vehicles for every circuit: all of them together near to theirs."""
        from scipy.optimize import linear_sum_assignment  # slow to import

        n = len(self.service)
        slots = [number for number, circuit in enumerate(circuits) for _ in range(circuit.drones)]
        away = self.revisit.time_s[n:, :n]
        cost = np.stack([away[:, sorted(set(circuits[c].stops))].min(axis=1) for c in slots], axis=1)
        rows, columns = linear_sum_assignment(cost)
        crews: list[list[int]] = [[] for _ in circuits]
        for vehicle, slot in zip(rows.tolist(), columns.tolist(), strict=True):
            crews[slots[slot]].append(vehicle)
        return crews

    def _lap(self, circuit: Circuit, crew: Sequence[int]) -> list[Route]:
        """The flights of a lap, or of several, as routes that every vehicle of the crew can fly."""
        n = len(self.service)
        nodes = [*range(n), n + crew[0]]
        times = self.revisit.time_s[np.ix_(nodes, nodes)]
        fly_s = self.fly_s
        for _ in range(_TIGHTENED):
            swaps = Endurance(fly_s, self.swap_s + self.fixed_s)
            try:
                task = RevisitTask(times, self.service, self.revisit.weight, 1, swaps)
                walk = with_swaps(task, circuit)
            except PlanningError:  # which names sites by numbers, and knows of no other pad
                break
            routes = [self._directed(crew[0], flight) for flight in _flights(walk.stops, n)]
            least = min(self.ways.energy(self.ways.flight_plan(v, r)).margin_fraction for v in crew for r in routes)
            if least >= self.ways.limits.reserve_fraction:
                return routes
            fly_s *= _TIGHTER
        raise PlanningError("flights from its drones' own pads do not land with their reserve")

    def _directed(self, vehicle: int, order: Sequence[int]) -> Route:
        """A route with every line in the direction that makes the whole shortest; a point is not visited twice running."""
        items, times = self.ways.items, self.ways.task.time_s
        stops = [i for k, i in enumerate(order) if k == 0 or i != order[k - 1] or items[i].entry != items[i].exit]
        home = self.ways.task.homes[vehicle]
        best: list[tuple[float, Route, int]] = [(0.0, (), home)]
        for number in stops:
            item = items[number]
            following = []
            for flip in (False, True) if item.reversible else (False,):
                start, end = (item.exit, item.entry) if flip else (item.entry, item.exit)
                flown, route, _ = min(((s + times[at][start], r, at) for s, r, at in best), key=lambda b: b[0])
                following.append((flown, (*route, Stop(number, flip)), end))
            best = following
        return min(((s + times[at][home], r) for s, r, at in best), key=lambda b: b[0])[1]

    def _lap_s(self, vehicle: int, lap: Sequence[Route]) -> float:
        return sum(self.ways.energy(self.ways.flight_plan(vehicle, r)).time_s + self.swap_s for r in lap)

    def _settled(
        self,
        strategy: str,
        circuits: tuple[Circuit, ...],
        crews: Sequence[Sequence[int]],
        laps: Sequence[Sequence[Route]],
        times: Sequence[int],
        period_s: float,
    ) -> CircuitRound | None:
        """The round in which circuit c is flown times[c] times by each of its crew, evenly spread; None where it cannot be."""
        plans: list[FlightPlan] = []
        shares: list[float] = []  # when a flight is wanted: a share of the period, and seconds after that
        after_s: list[float] = []
        for crew, lap, count in zip(crews, laps, times, strict=True):
            for number, vehicle in enumerate(crew):
                own = [self.ways.flight_plan(vehicle, route) for route in lap]
                spent = np.cumsum([0.0, *(self.ways.energy(p).time_s + self.swap_s for p in own)])[:-1]
                for turn in range(count):
                    plans += own
                    shares += [(turn + number / len(crew)) / count] * len(own)
                    after_s += spent.tolist()
        wind_m_s = self.ways.performance.wind_m_s
        meetings = Meetings(plans, self.ways.limits, wind_m_s, Minima())

        def wanted_s(period: float) -> list[float]:
            return [share * period + after for share, after in zip(shares, after_s, strict=True)]

        alone = len({p.vehicle_id for p in plans}) == 1
        best: CircuitRound | None = None
        for slack_s in (0.0,) if alone else sorted(SLACKS_S):
            found: CircuitRound | None = None
            for longer in (1.0,) if alone else _PERIODS:
                placed = round_apart(
                    meetings, wanted_s, longer * period_s, _LONGEST * period_s, swap_s=self.swap_s, slack_s=slack_s
                )
                if placed is None:
                    break
                tried = self._judged(strategy, circuits, plans, placed, None if alone else slack_s)
                if found is None or tried.worst_ratio < found.worst_ratio:
                    found = tried
            if found is None or (best is not None and found.worst_ratio > _FOR_SLACK * best.worst_ratio):
                break
            best = found
        return best

    def _judged(
        self,
        strategy: str,
        circuits: tuple[Circuit, ...],
        plans: Sequence[FlightPlan],
        placed: Round,
        slack_s: float | None,
    ) -> CircuitRound:
        """A round with its arrivals and its worst idleness; flights in the order of their starts, drone by drone."""
        started = [p.at_start(s) for p, s in zip(plans, placed.starts_s, strict=True)]
        names = [v.vehicle_id for v in self.ways.vehicles]
        started.sort(key=lambda p: (names.index(p.vehicle_id), p.start_after_s))
        energies = tuple(self.ways.energy(p) for p in started)
        visits = visits_s(started, energies, placed.period_s, self.ways.names)
        idle = tuple(longest_gap_s(v, placed.period_s) for v in visits)
        worst = max(i / wanted for i, wanted in zip(idle, self.intervals.tolist(), strict=True))
        return CircuitRound(strategy, circuits, tuple(started), energies, placed.period_s, slack_s, visits, idle, worst)


def _flights(stops: Sequence[int], sites: int) -> list[list[int]]:
    """The sites between stops at docks (nodes from `sites` on); the walk is closed and has a dock."""
    first = next(k for k, stop in enumerate(stops) if stop >= sites)
    flights: list[list[int]] = []
    for stop in (*stops[first:], *stops[:first]):
        if stop >= sites:
            flights.append([])
        else:
            flights[-1].append(stop)
    return [flight for flight in flights if flight]
