# SPDX-License-Identifier: AGPL-3.0-or-later
"""One flight after another: an order of things to do becomes times and moves, checked against battery and closed areas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from missions.revisit.day import Craft, DayTask, Flight, Move, Stop, Visit


@dataclass(frozen=True, slots=True)
class Do:
    """A visit (flip: a line from its exit to its entry), or with `stay_s` a stay at a place until done."""

    item_id: str
    entry: int
    exit: int
    service_s: float
    kind: str = "visit"
    visit: Visit | None = None
    flip: bool = False


def do_visit(visit: Visit, *, flip: bool = False) -> Do:
    start, end = (visit.exit, visit.entry) if flip else (visit.entry, visit.exit)
    return Do(visit.item_id, start, end, visit.service_s, "visit", visit, flip)


def fly(task: DayTask, craft: Craft, depart_s: float, todo: Sequence[Do], kind: str = "patrol") -> Flight | None:
    """The flight, or None: no way at that time, a closed area, or the battery does not last."""
    ways = task.ways
    now, at = depart_s + craft.takeoff_s, craft.dock
    stops: list[Stop] = []
    moves: list[Move] = []
    for do in todo:
        seconds = ways.travel_s(at, do.entry, now)
        if not math.isfinite(seconds):
            return None
        moves.append(Move(now, now + seconds, ways.path_m(at, do.entry, now)))
        arrive = now + seconds
        now = arrive + do.service_s
        here = (float(ways.places_m[do.entry, 0]), float(ways.places_m[do.entry, 1]))
        path = (here,) if do.visit is None else do.visit.path_m
        if not ways.open_for(path, arrive, now):
            return None
        if len(path) > 1:
            moves.append(Move(arrive, now, path[::-1] if do.flip else path))
        stops.append(Stop(do.kind, do.item_id, arrive, now))
        at = do.exit
    seconds = ways.travel_s(at, craft.dock, now)
    landed = now + seconds + craft.landing_s
    if not math.isfinite(seconds) or landed - depart_s > craft.fly_s + 1e-6:
        return None
    moves.append(Move(now, now + seconds, ways.path_m(at, craft.dock, now)))
    return Flight(craft.vehicle_id, kind, depart_s, landed, tuple(stops), tuple(moves))


def slot_s(task: DayTask, craft: Craft, flights: Sequence[Flight], after_s: float, need_s: float) -> float:
    """The first time from after_s on at which the drone is free for need_s, swaps before and after included."""
    start = after_s
    for flight in sorted((f for f in flights if f.vehicle_id == craft.vehicle_id), key=lambda f: f.depart_s):
        if start + need_s + task.swap_s <= flight.depart_s:
            return start
        start = max(start, flight.landed_s + task.swap_s)
    return start


def room_s(task: DayTask, craft: Craft, flights: Sequence[Flight], depart_s: float) -> float:
    """By when a flight that departs then must have landed."""
    later = [f.depart_s for f in flights if f.vehicle_id == craft.vehicle_id and f.depart_s > depart_s]
    return min(later, default=math.inf) - task.swap_s


def place_at(flight: Flight, at_s: float) -> tuple[float, float]:
    """Where the drone is at a moment of its flight, in metres."""
    before = flight.moves[0].path_m[0]
    for move in flight.moves:
        if at_s < move.start_s:
            return before
        if at_s <= move.end_s:
            return _along(move, at_s)
        before = move.path_m[-1]
    return before


def _along(move: Move, at_s: float) -> tuple[float, float]:
    lengths = [math.dist(a, b) for a, b in zip(move.path_m, move.path_m[1:], strict=False)]
    left = sum(lengths) * (at_s - move.start_s) / max(move.end_s - move.start_s, 1e-9)
    for a, b, length in zip(move.path_m, move.path_m[1:], lengths, strict=False):
        if left <= length and length > 0.0:
            part = left / length
            return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part
        left -= length
    return move.path_m[-1]


def cut_at(flight: Flight, at_s: float) -> tuple[tuple[Stop, ...], tuple[Move, ...], tuple[str, ...]]:
    """(stops done, moves made, items given up) of a flight that is turned round at a moment."""
    done = tuple(s for s in flight.stops if s.leave_s <= at_s)
    lost = tuple(s.item_id for s in flight.stops if s.leave_s > at_s)
    moves: list[Move] = []
    for move in flight.moves:
        if move.end_s <= at_s:
            moves.append(move)
        elif move.start_s < at_s:
            moves.append(Move(move.start_s, at_s, _head(move, at_s)))
    return done, tuple(moves), lost


def _head(move: Move, at_s: float) -> tuple[tuple[float, float], ...]:
    end = _along(move, at_s)
    lengths = [math.dist(a, b) for a, b in zip(move.path_m, move.path_m[1:], strict=False)]
    left = sum(lengths) * (at_s - move.start_s) / max(move.end_s - move.start_s, 1e-9)
    out = [move.path_m[0]]
    for b, length in zip(move.path_m[1:], lengths, strict=True):
        if left <= length:
            break
        out.append(b)
        left -= length
    return (*out, end)
