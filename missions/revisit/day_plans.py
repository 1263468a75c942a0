# SPDX-License-Identifier: AGPL-3.0-or-later
"""A day's flights as flight plans that a vehicle takes, and small moves in time that keep them apart.

A plan follows its flight's path move by move, with heights over the ground in its drone's layer; a stay becomes a hold
of as long less the seconds that stopping costs. The landing is the autopilot's return, as in every plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from missions.deconflict.encounters import encounters_with
from missions.deconflict.segments import Minima, Segments, joined, segments
from missions.deconflict.trajectory import Trajectory, common_frame, places_m
from missions.deconflict.trajectory import fly as motion
from missions.energy import Performance
from missions.errors import PlanningError
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.model import Aim, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint
from missions.patrol_waypoints import aimed, looking_down_between, merged_waypoints
from missions.revisit.day import Flight, Move, Settled, Stop, later
from missions.revisit.ways import Place
from missions.terrain import OutsideTerrainError, Terrain
from missions.terrain_follow import Corner, HeightBand, follow

_SAME_S = 0.01
_STEP_S = 2.0
_TENTH_S = 0.1  # starts are told in tenths of a second: two of them may be that much nearer
_ASIDE_M = 30.0
_Note = tuple[float, tuple[str, ...], Aim | None]


@dataclass(frozen=True, slots=True)
class DayCraft:
    """What a drone's plans need beyond its flights. band: the layer that it flies in."""

    home: GeoPoint
    home_amsl_m: float
    return_height_m: float
    band: HeightBand


@dataclass(frozen=True, slots=True)
class DayRules:
    """How flights may be moved: (flights of the day, index, that one moved) to yes or no.

    as_good: nothing more is missed, asked for moves up to most_s. possible: the drone and the areas that are closed by
    the hour allow it, whatever is missed; asked up to most_forced_s where nothing as good keeps apart. put_off: (flights,
    index, seconds, from_s) to the flights with an urgent one, and what its drone flies after it, that much later; None
    where it has to be there sooner.
    """

    as_good: Callable[[list[Flight], int, Flight], bool]
    possible: Callable[[list[Flight], int, Flight], bool]
    put_off: Callable[[list[Flight], int, float, float], list[Flight] | None]
    most_s: float = 120.0
    most_forced_s: float = 900.0


@dataclass(frozen=True, slots=True)
class DayOrder:
    """What is the same for all plans of a day. aims: where the camera looks, by item."""

    mission: Mission
    frame: LocalFrame
    fence: Geofence
    limits: VehicleLimits
    terrain: Terrain
    cruise_speed_m_s: float
    aims: Mapping[str, Aim]
    wind_m_s: float = 0.0


def day_plan(flight: Flight, craft: DayCraft, order: DayOrder) -> FlightPlan:
    """The plan of one flight. Raises PlanningError where no ground is known."""
    corners, notes = _corners(flight, order)
    try:
        followed = follow(corners, craft.band, order.terrain, order.frame)
    except OutsideTerrainError as error:
        raise PlanningError(f"the way of {flight.vehicle_id}: {error}") from error
    waypoints = []
    for corner in followed[1:]:
        hold_s, serves, aim = (0.0, (), None) if corner.source is None else notes[corner.source]
        altitude = Altitude(round(corner.amsl_m - craft.home_amsl_m, 2), Datum.HOME)
        place = order.frame.to_geo(corner.east_m, corner.north_m)
        waypoints.append(aimed(Waypoint(place, altitude, hold_s=hold_s, serves=serves), aim))
    top = craft.band.top_amsl_m - craft.home_amsl_m
    return FlightPlan(
        vehicle_id=flight.vehicle_id,
        mission=order.mission,
        home=craft.home,
        home_amsl_m=craft.home_amsl_m,
        takeoff_height_m=round(min(craft.band.wanted_m, top), 2),
        waypoints=looking_down_between(merged_waypoints(waypoints)),
        fence=order.fence,
        return_height_m=craft.return_height_m,
        cruise_speed_m_s=order.cruise_speed_m_s,
    )


def _corners(flight: Flight, order: DayOrder) -> tuple[list[Corner], list[_Note]]:
    """Places of the path, and what is done at each."""
    stop_s = Performance(order.limits, order.wind_m_s).corner_s(order.cruise_speed_m_s, 180.0)
    start = flight.moves[0].path_m[0]
    corners, notes = [Corner(*start, narrow=False)], [_none()]
    lines = {id(move): stop for stop in flight.stops if (move := _line_of(flight, stop)) is not None}
    done: list[Stop] = []
    stays = [stop for stop in flight.stops if stop not in lines.values()]
    for number, move in enumerate(flight.moves):
        line = lines.get(id(move))
        last = number == len(flight.moves) - 1
        path = move.path_m[1:-1] if last else move.path_m[1:]
        if last:
            path = (_aside(move.path_m), *path)
        corners += [Corner(*place, narrow=line is not None) for place in path]
        notes += [_none() for _ in path]
        if line is not None:
            notes[-1] = (0.0, (line.item_id,), None)
        for stop in stays:
            if not last and stop not in done and abs(stop.arrive_s - move.end_s) < _SAME_S:
                done.append(stop)
                hold = round(max(0.0, stop.leave_s - stop.arrive_s - stop_s), 1)
                seconds, items, aim = notes[-1]
                notes[-1] = (seconds + hold, (*items, stop.item_id), order.aims.get(stop.item_id, aim))
    return corners, notes


def _aside(way_m: Sequence[Place]) -> Place:
    """A first place on the way home: somebody may hover above the last stop, so no drone climbs there to return."""
    (east, north), after = way_m[0], way_m[1]
    length = math.dist(way_m[0], after)
    share = min(_ASIDE_M, length / 2.0) / length if length > 0.0 else 0.0
    return east + (after[0] - east) * share, north + (after[1] - north) * share


def _none() -> _Note:
    return 0.0, (), None


def _line_of(flight: Flight, stop: Stop) -> Move | None:
    """The move that flies along a stop's line; None for a stay at one place."""
    for move in flight.moves:
        if abs(move.start_s - stop.arrive_s) < _SAME_S and abs(move.end_s - stop.leave_s) < _SAME_S:
            return move
    return None


def kept_apart(
    flights: Sequence[Flight],
    plan_of: Callable[[Flight], FlightPlan],
    limits: VehicleLimits,
    rules: DayRules,
    *,
    from_s: float = -math.inf,
    minima: Minima | None = None,
    wind_m_s: float = 0.0,
) -> Settled:
    """Flights, each moved by as little as keeps it apart: first stay those that may not be moved, then the others.

    Watches are not moved, nor what starts before from_s; urgent missions leave a little later at most. A flight is
    rather put off than brought forward, and rather moved so that nothing more is missed; one that meets another at every time that is possible is
    given up, since a visit that is missed is said so, and two that meet are not flown.
    """
    minima = minima or Minima()
    out = sorted(flights, key=lambda f: (f.kind == "patrol" and f.depart_s >= from_s, f.depart_s, f.vehicle_id))
    if not out:
        return Settled(out)
    meeting = 0
    given_up: list[Flight] = []
    frame = common_frame([plan_of(out[0])])
    settled: list[tuple[float, Segments]] = []
    index = 0
    while index < len(out):
        flight = out[index]
        plan = plan_of(flight)
        flown = motion(plan, limits, places_m(plan, frame), wind_m_s=wind_m_s)

        def apart(moved: Flight, flown: Trajectory = flown, index: int = index) -> bool:
            begin, end = moved.depart_s - _TENTH_S, moved.depart_s + flown.duration_s + _TENTH_S
            beside = [s for e, s in settled if e > begin and float(s.start_s[0]) < end]
            if not beside:
                return True
            others = joined(beside)
            pieces = (segments(flown, start_s=moved.depart_s + s, owner=index) for s in (-_TENTH_S, _TENTH_S))
            return not any(encounters_with(piece, others, minima) for piece in pieces)

        if not apart(flight):
            movable = flight.kind == "patrol" and flight.depart_s >= from_s
            if not movable and (put_off := _put_off(out, index, rules, apart, from_s)) is not None:
                out, movable = put_off, True
            moved = _moved(out, index, rules, apart, from_s) if movable and not apart(out[index]) else out[index]
            if moved is None:
                given_up.append(out.pop(index))
                continue
            meeting += not movable
            flight = moved
        out[index] = flight
        settled.append((flight.depart_s + flown.duration_s, segments(flown, start_s=flight.depart_s, owner=index)))
        index += 1
    return Settled(out, tuple(given_up), meeting)


def _put_off(
    flights: list[Flight], index: int, rules: DayRules, apart: Callable[[Flight], bool], from_s: float
) -> list[Flight] | None:
    """The flights with an urgent one as little later as keeps it apart."""
    for number in range(1, int(rules.most_s / _STEP_S) + 1):
        changed = rules.put_off(flights, index, number * _STEP_S, from_s)
        if changed is not None and apart(changed[index]):
            return changed
    return None


def _moved(
    flights: list[Flight], index: int, rules: DayRules, apart: Callable[[Flight], bool], from_s: float
) -> Flight | None:
    """The least move that keeps apart; first of those that miss no more, then of all that are possible."""
    for most_s, allows in ((rules.most_s, rules.as_good), (rules.most_forced_s, rules.possible)):
        steps = [_STEP_S * (i + 1) for i in range(int(most_s / _STEP_S))]
        for seconds in (*steps, *(-s for s in steps)):
            moved = later(flights[index], seconds)
            if moved.depart_s >= from_s and allows(flights, index, moved) and apart(moved):
                return moved
    return None
