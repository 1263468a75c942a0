# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search from map to flights: a probability map, drones and a fence come in, checked-out flight plans go out.

Every result states its probability of success, what no search with the same batteries could beat, and their ratio.
`replan` does the rest of a flight again after a change, from Bayes' rule on what was flown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from missions.deconflict.model import Change
from missions.errors import PlanningError
from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Budget, Geofence, VehicleLimits
from missions.search.apart import kept_apart
from missions.search.area import Room, search_room
from missions.search.belief import Belief, belief_in
from missions.search.effort import optimal_effort, perfect_bound
from missions.search.flights import Flights, Flown, SearchOrder, SearchVehicle, reach_box
from missions.search.improve import Allowance, Raster, Sweep, cut_to, improve
from missions.search.lattice import lattice_tour
from missions.search.portfolio import Candidate, SearchTask, candidates
from missions.search.probability import ProbabilityMap
from missions.search.tracks import from_start, pod_grid, success
from missions.terrain import OutsideTerrainError, Terrain

_TOO_LITTLE = "no drone can search anything with its battery and come home with the reserve; charge, or start nearer"


@dataclass(frozen=True, slots=True, eq=False)
class SearchPlan:
    """Flights of one search and how good they are.

    belief: what is believed before it. flown: a flight per drone that is of use, those from pads with starts that keep
    them apart, those in the air with what keeps these apart; homeward: straight home, of drones in the air that are of
    no use any more (they are among the idle). changes: what was changed in flights from the air, nothing where nobody
    would meet. slack_s: that of the starts (`deconflict.starts`); slack_aloft_s: that among those in the air
    (`deconflict.aloft`); None for less than two. pos: probability of success of the flights as planned; bound: what no
    flights with these batteries can beat; pattern: the name of the one kept; candidates: every pattern that was tried,
    best first.
    """

    belief: Belief
    raster: Raster
    sweep: Sweep
    flown: tuple[Flown, ...]
    homeward: tuple[Flown, ...]
    changes: tuple[Change, ...]
    slack_s: float | None
    slack_aloft_s: float | None
    idle: tuple[str, ...]
    pattern: str
    pos: float
    bound: float
    candidates: tuple[Candidate, ...]

    @property
    def flights(self) -> tuple[Flown, ...]:
        """All that is in the air then: the searching ones, and those on their way home."""
        return (*self.flown, *self.homeward)

    @property
    def ratio(self) -> float:
        return self.pos / self.bound if self.bound > 0 else 1.0


def plan_search(
    chart: ProbabilityMap,
    sweep: Sweep,
    vehicles: Sequence[SearchVehicle],
    order: SearchOrder,
    fence: Geofence,
    limits: VehicleLimits,
    terrain: Terrain,
    budget: Budget,
    *,
    datum: GeoPoint | None = None,
) -> SearchPlan:
    """Plan flights that find most with what the batteries hold. Patterns are flown around `datum`, else the origin.

    Raises PlanningError when there is nothing to search within reach, or nobody to do it.
    """
    if not vehicles:
        raise PlanningError("a search needs at least one drone")
    room = search_room(fence, limits, order.cruise_speed_m_s, [v.home for v in vehicles], chart.frame)
    belief = belief_in(chart, reach_box(room, sweep.half_width_m), sweep.half_width_m, room)
    flights = Flights(order, room, fence, limits, terrain)
    raster = _raster(belief, room, vehicles)
    allowances = _allowances(flights, vehicles)
    centre = chart.frame.to_enu(datum or chart.frame.origin)
    task = SearchTask(
        raster, sweep, allowances, centre, flights.turn_m, _heights(chart.frame, terrain), room.mend
    )  # fmt: skip
    found = candidates(task, budget)
    return _kept(found, belief, raster, sweep, vehicles, allowances, flights)


def replan(
    belief: Belief,
    sweep: Sweep,
    vehicles: Sequence[SearchVehicle],
    before: Sequence[FloatArray],
    order: SearchOrder,
    fence: Geofence,
    limits: VehicleLimits,
    terrain: Terrain,
    budget: Budget,
) -> SearchPlan:
    """Plan the rest of a flight again: vehicles where they are, with the battery they have, on today's belief.

    before: per vehicle the rest of the track that it was flying, (n, 2), empty for none; what still may be flown of
    it is one start of the improvement, a new lattice tour is the other. Raises PlanningError as `plan_search`.
    """
    if not vehicles:
        raise PlanningError("no drone is left to search; send another or end the search")
    places = [v.home for v in vehicles] + [v.at for v in vehicles if v.at is not None]
    room = search_room(fence, limits, order.cruise_speed_m_s, places, belief.frame)
    flights = Flights(order, room, fence, limits, terrain)
    raster = _raster(belief, room, vehicles)
    allowances = _allowances(flights, vehicles)
    kept = []
    for track, allowance in zip(before, allowances, strict=True):
        mended = room.mend(track) if len(track) > 1 else track
        kept.append(cut_to(from_start(mended, allowance), allowance, flights.turn_m))
    rest = [_candidate("rest of the flight", kept, raster, sweep)] if any(len(t) > 1 for t in before) else []
    starts = [
        *rest,
        _candidate("lattice tour", lattice_tour(raster, sweep, allowances, flights.turn_m), raster, sweep),
    ]
    best = max(starts, key=lambda c: c.pos)
    better = improve(best.tracks, raster, sweep, allowances, budget, turn_m=flights.turn_m)
    found = [*starts, _candidate(f"{best.name}, improved", better, raster, sweep)]
    ranked = tuple(sorted(found, key=lambda c: (-c.pos, c.name)))
    return _kept(ranked, belief, raster, sweep, vehicles, allowances, flights)


def belief_within(
    chart: ProbabilityMap,
    sweep: Sweep,
    vehicles: Sequence[SearchVehicle],
    order: SearchOrder,
    fence: Geofence,
    limits: VehicleLimits,
) -> Belief:
    """A map on the raster of what these vehicles can see from inside the fence. Raises PlanningError as `plan_search`."""
    room = search_room(fence, limits, order.cruise_speed_m_s, [v.home for v in vehicles], chart.frame)
    return belief_in(chart, reach_box(room, sweep.half_width_m), sweep.half_width_m, room)


def after_flying(belief: Belief, sweep: Sweep, flown: Sequence[FloatArray]) -> Belief:
    """What is believed after tracks (n, 2) were flown and nothing was found: exact Bayes on the raster."""
    raster = Raster(belief.west_m, belief.south_m, belief.cell_m, belief.mass, np.zeros(belief.mass.shape, dtype=bool))
    return belief.after_a_miss(pod_grid(flown, raster, sweep))


def _candidate(name: str, tracks: Sequence[FloatArray], raster: Raster, sweep: Sweep) -> Candidate:
    return Candidate(name, tuple(tracks), success(tracks, raster, sweep))


def _flown(
    tracks: Sequence[FloatArray], vehicles: Sequence[SearchVehicle], allowances: Sequence[Allowance], flights: Flights
) -> dict[str, Flown]:
    """The flights of tracks, by vehicle; those of no use are left out."""
    flown = {}
    for vehicle, track, allowance in zip(vehicles, tracks, allowances, strict=True):
        flight = flights.fly(vehicle, track, allowance) if len(track) > 1 else None
        if flight is not None:
            flown[vehicle.vehicle_id] = flight
    return flown


def _raster(belief: Belief, room: Room, vehicles: Sequence[SearchVehicle]) -> Raster:
    blocked = room.blocked(belief.west_m, belief.south_m, belief.cell_m, belief.mass.shape)
    for vehicle in vehicles:  # a drone may always leave the place where it stands
        for point in (vehicle.home, vehicle.at or vehicle.home):
            east, north = belief.frame.to_enu(point)
            column = math.floor((east - belief.west_m) / belief.cell_m)
            row = math.floor((north - belief.south_m) / belief.cell_m)
            blocked[max(0, row - 1) : max(0, row + 2), max(0, column - 1) : max(0, column + 2)] = False
    return Raster(belief.west_m, belief.south_m, belief.cell_m, belief.mass, blocked)


def _allowances(flights: Flights, vehicles: Sequence[SearchVehicle]) -> tuple[Allowance, ...]:
    """How far each vehicle may fly. Raises PlanningError when none can fly anywhere."""
    allowances = tuple(flights.allowance(v) for v in vehicles)
    if not any(a.length_m > 0.0 for a in allowances):
        short = ", ".join(f"{v.vehicle_id} lacks {flights.lacking_fraction(v):.0%} of a battery" for v in vehicles)
        raise PlanningError(f"{_TOO_LITTLE}: {short}")
    return allowances


def _heights(frame: LocalFrame, terrain: Terrain) -> Callable[[FloatArray, FloatArray], FloatArray | None]:
    def heights(x: FloatArray, y: FloatArray) -> FloatArray | None:
        east, north = np.meshgrid(x, y)
        geo = frame.to_geo_array(np.stack([east.ravel(), north.ravel()], axis=1))
        try:
            return terrain.height_amsl_m(geo[:, 0], geo[:, 1]).reshape(len(y), len(x))
        except OutsideTerrainError:
            return None  # no contour pattern; flights over unknown ground are refused where they are made

    return heights


def _kept(
    found: tuple[Candidate, ...],
    belief: Belief,
    raster: Raster,
    sweep: Sweep,
    vehicles: Sequence[SearchVehicle],
    allowances: tuple[Allowance, ...],
    flights: Flights,
) -> SearchPlan:
    best = found[0]
    flown = _flown(best.tracks, vehicles, allowances, flights)
    if not flown:
        raise PlanningError(_TOO_LITTLE)
    apart = kept_apart(vehicles, flown, allowances, flights, raster, sweep)
    return SearchPlan(
        belief, raster, sweep, apart.flown, apart.homeward, apart.changes, apart.slack_s, apart.slack_aloft_s,
        tuple(v.vehicle_id for v in vehicles if v.vehicle_id not in {f.plan.vehicle_id for f in apart.flown}), best.name,
        success([f.track for f in apart.flown], raster, sweep), search_bound(raster, sweep, allowances), found,
    )  # fmt: skip


def search_bound(raster: Raster, sweep: Sweep, allowances: Sequence[Allowance]) -> float:
    """What no tracks of these lengths, wherever they began, can beat on this raster."""
    metres = sum(a.length_m for a in allowances)
    area = raster.cell_m**2
    if sweep.round_ends:
        return perfect_bound(raster.mass, area, sweep.half_width_m, metres, len(allowances))
    return optimal_effort(raster.mass, area, 2.0 * sweep.half_width_m * metres)[1]
