# SPDX-License-Identifier: AGPL-3.0-or-later
"""Drones that relieve each other: watches without a gap, and urgent missions that take the nearest drone.

A chain is one shift after another at a place; each drone stays as long as its battery allows, the next one comes before
it leaves. An urgent mission begins with the drone that is there first, from its dock or out of the middle of a patrol; drones on
a watch or on another urgent mission stay there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from missions.revisit.day import TOLERANCE_S, Craft, DayTask, Flight, Miss, Move, Stop, Urgent, Watch, later
from missions.revisit.flights import Do, cut_at, fly, place_at, room_s, slot_s
from missions.revisit.reasons import why_gap
from missions.revisit.ways import Window

_LATEST_S = 3600.0
_LONG_WAIT_S = 300.0  # an urgent mission that waits longer is listed with the reason


def watch_flights(task: DayTask) -> tuple[list[Flight], list[Miss]]:
    """Chains of drones for every watch window, and the times that nobody can cover."""
    flights: list[Flight] = []
    misses: list[Miss] = []
    windows = sorted((w, watch.item_id, watch) for watch in task.watches for w in watch.windows)
    for window, _, watch in windows:
        added, gone = _chain(task, flights, watch, window, "watch", task.hours[0])
        flights += added
        misses += gone
    return flights, misses


def _chain(
    task: DayTask,
    flights: Sequence[Flight],
    watch: Watch,
    window: Window,
    kind: str,
    earliest_s: float,
    *,
    relieves: bool = False,
) -> tuple[list[Flight], list[Miss]]:
    """Shifts over one window: each drone stays as long as its battery allows, the next one comes before it leaves.

    relieves: somebody is there until the window begins, whom the first one relieves.
    """
    own: list[Flight] = []
    misses: list[Miss] = []
    covered = window[0]
    while covered < window[1] - TOLERANCE_S:
        wanted = covered - task.overlap_s if own or relieves else covered
        best: Flight | None = None
        for craft in task.craft:
            found = _shift(task, craft, [*flights, *own], watch, (wanted, window[1]), kind, earliest_s)
            if found is None:
                continue
            stop = found.stops[0]
            # Arriving in time counts most, then staying long.
            key = (max(stop.arrive_s, wanted + 1.0), -stop.leave_s, craft.vehicle_id)
            if best is None or key < (
                max(best.stops[0].arrive_s, wanted + 1.0),
                -best.stops[0].leave_s,
                best.vehicle_id,
            ):
                best = found
        if best is None or best.stops[0].arrive_s >= window[1]:
            why = why_gap(task, [*flights, *own], watch, (covered, window[1]))
            misses.append(Miss(watch.item_id, covered, window[1], 0.0, why))
            break
        if best.stops[0].arrive_s > covered + TOLERANCE_S:
            gap = (covered, best.stops[0].arrive_s)
            misses.append(Miss(watch.item_id, *gap, 0.0, why_gap(task, [*flights, *own], watch, gap)))
        own.append(best)
        covered = best.stops[0].leave_s
    return own, misses


def _shift(
    task: DayTask, craft: Craft, flights: Sequence[Flight], watch: Watch, span: Window, kind: str, earliest_s: float
) -> Flight | None:
    """One drone's longest stay that begins at span[0], or as soon after as the drone can be there.

    earliest_s: it takes off then at the earliest.
    """
    out = task.ways.travel_s(craft.dock, watch.place, span[0])
    if not math.isfinite(out):
        return None
    way = craft.takeoff_s + out
    least = 2.0 * out + craft.takeoff_s + craft.landing_s + 3.0 * task.overlap_s
    depart = slot_s(task, craft, flights, max(earliest_s, span[0] - way), least)
    arrive = depart + way
    stay = min(span[1] - arrive, craft.fly_s - 2.0 * out - craft.takeoff_s - craft.landing_s)
    stay = min(stay, room_s(task, craft, flights, depart) - arrive - out - craft.landing_s)
    for shorter in (0.0, 30.0, 120.0):  # the way home may be longer than the way out, round a closed area
        if stay - shorter < max(1.0, min(2.0 * task.overlap_s, span[1] - arrive)):
            return None
        do = Do(watch.item_id, watch.place, watch.place, stay - shorter, kind)
        found = fly(task, craft, depart, [do], kind)
        if found is not None:
            return found
    return None


def pre_empt(task: DayTask, flights: list[Flight], order: Urgent) -> tuple[DayTask, list[Flight], list[Miss]]:
    """What has begun goes on, except the drone that can be there first; the rest of the mission is a chain."""
    begun = [f for f in flights if f.depart_s < order.at_s or f.kind != "patrol"]
    ways = task.ways.with_place(order.place_m)
    place = len(ways.places_m) - 1
    task = replace(task, ways=ways)
    watch = Watch(order.mission_id, place, ((order.at_s, order.at_s + order.stay_s),))
    best: tuple[float, int | None, Flight] | None = None
    for craft in task.craft:
        for number, flight in enumerate(begun):
            if flight.vehicle_id == craft.vehicle_id and flight.kind == "patrol":
                turned = _turned(task, craft, flight, order, place)
                if turned is None or turned.landed_s > room_s(task, craft, begun, flight.depart_s):
                    continue
                if best is None or turned.stops[-1].arrive_s < best[0]:
                    best = turned.stops[-1].arrive_s, number, turned
        # From the dock the first drone there stays as long as it can, at most as long as it is needed.
        span = (order.at_s, order.at_s + order.stay_s + _LATEST_S)
        found = _shift(task, craft, begun, watch, span, "urgent", order.at_s)
        if found is not None:
            stop = found.stops[0]
            short = min(stop.leave_s - stop.arrive_s, order.stay_s)
            exact = fly(task, craft, found.depart_s, [Do(order.mission_id, place, place, short, "urgent")], "urgent")
            if exact is not None and (best is None or stop.arrive_s < best[0]):
                best = stop.arrive_s, None, exact
    if best is None:
        why = why_gap(task, begun, watch, watch.windows[0])
        return task, begun, [Miss(order.mission_id, order.at_s, order.at_s + order.stay_s, order.stay_s, why)]
    arrive, replaced, first = best
    frozen = [f for i, f in enumerate(begun) if i != replaced] + [first]
    left = first.stops[-1].leave_s
    waited: list[Miss] = []
    if arrive > order.at_s + _LONG_WAIT_S:
        gap = (order.at_s, arrive)
        waited.append(Miss(order.mission_id, *gap, _LONG_WAIT_S, why_gap(task, begun, watch, gap)))
    if left >= arrive + order.stay_s - TOLERANCE_S:
        return task, frozen, waited
    rest = left, arrive + order.stay_s
    more, misses = _chain(task, frozen, watch, rest, "urgent", order.at_s, relieves=True)
    return task, frozen + more, waited + misses


def _turned(task: DayTask, craft: Craft, flight: Flight, order: Urgent, place: int) -> Flight | None:
    """A flight under way that goes to the urgent place at once, stays as long as it can and is needed, and comes home."""
    if not flight.depart_s + craft.takeoff_s <= order.at_s <= flight.landed_s - craft.landing_s:
        return None  # still climbing from its pad, or landing
    here = task.ways.with_place(place_at(flight, order.at_s))
    at = len(here.places_m) - 1
    out = here.travel_s(at, place, order.at_s)
    if not math.isfinite(out):
        return None
    done, moves, lost = cut_at(flight, order.at_s)
    arrive = order.at_s + out
    for shorter in (0.0, 60.0, 180.0):
        back = here.travel_s(place, craft.dock, arrive)
        stay = min(order.stay_s, flight.depart_s + craft.fly_s - arrive - back - craft.landing_s) - shorter
        if not math.isfinite(back) or stay < 2.0 * task.overlap_s:
            return None
        leave = arrive + stay
        back = here.travel_s(place, craft.dock, leave)
        landed = leave + back + craft.landing_s
        if not math.isfinite(back) or landed - flight.depart_s > craft.fly_s:
            continue
        return Flight(
            craft.vehicle_id,
            "urgent",
            flight.depart_s,
            landed,
            (*done, Stop("urgent", order.mission_id, arrive, leave)),
            (
                *moves,
                Move(order.at_s, arrive, here.path_m(at, place, order.at_s)),
                Move(leave, leave + back, here.path_m(place, craft.dock, leave)),
            ),
            lost,
        )
    return None


def put_off(task: DayTask, flights: list[Flight], index: int, seconds: float, from_s: float) -> list[Flight] | None:
    """The day with an urgent flight from its dock that much later, and what its drone flies after it if need be.

    None where it then comes too late: the first one after five minutes, one that relieves another when hardly any of
    their time together is left; and where swaps, hours or closed areas do not allow it.
    """
    was = flights[index]
    stays = [s for s in was.stops if s.kind == "urgent"]
    if was.kind != "urgent" or was.depart_s < from_s or not stays:
        return None
    same = [s for f in flights for s in f.stops if s.kind == "urgent" and s.item_id == stays[0].item_id]
    relieves = min(s.arrive_s for s in same) < stays[0].arrive_s
    if seconds > task.overlap_s / 2.0 if relieves else stays[0].arrive_s + seconds > from_s + _LONG_WAIT_S:
        return None
    out = list(flights)
    ready, late = -math.inf, seconds
    for i in sorted(
        (i for i, f in enumerate(flights) if f.vehicle_id == was.vehicle_id), key=lambda i: flights[i].depart_s
    ):
        if flights[i].depart_s < was.depart_s:
            continue
        late = seconds if i == index else max(0.0, ready - flights[i].depart_s)
        if late > 0.0 and i != index and flights[i].kind != "patrol":
            return None
        out[i] = later(flights[i], late)
        if late > 0.0 and i != index and out[i].landed_s > max(task.hours[1], flights[i].landed_s):
            return None
        if late > 0.0 and not all(task.ways.open_for(m.path_m, m.start_s, m.end_s) for m in out[i].moves):
            return None
        ready = out[i].landed_s + task.swap_s
    return out
