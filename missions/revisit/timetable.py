# SPDX-License-Identifier: AGPL-3.0-or-later
"""A day's timetable: who flies when and visits what, and what cannot be kept and why.

Watches come first, as chains of drones that overlap. Visits are served by urgency: the one that falls due first gets a
flight from the drone that can be there best, and the flight takes along what is worth a visit on the way. How early a
visit is worth it is tried in many ways; the day with the fewest and smallest misses is kept, then the one with the
least worst idleness over interval, then the one with the fewest flights.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from missions.errors import PlanningError
from missions.model import Budget
from missions.revisit.chains import pre_empt, watch_flights
from missions.revisit.day import (
    TOLERANCE_S,
    Craft,
    DayTask,
    Flight,
    Kept,
    Miss,
    Settled,
    Timetable,
    Urgent,
    Visit,
    gaps,
)
from missions.revisit.day_bound import day_bound
from missions.revisit.flights import Do, do_visit, fly, room_s, slot_s
from missions.revisit.reasons import why_visit
from missions.revisit.ways import Window

_RIPE = (0.5, 0.7, 0.35, 0.85, 0.6)
_ALONG = (0.35, 0.2, 0.5, 0.65)
_CANDIDATES = 4
_MARGIN_S = 30.0  # room for moving a flight so that it keeps apart from others
_MOST_FLIGHTS = 2000
_DAYS_KEPT = 8
_AS_NEAR_S = 30.0


@dataclass(frozen=True, slots=True)
class _Policy:
    """ripe: share of the interval after which a visit may start a flight; along: after which it is taken along."""

    ripe: float
    along: float
    noise: float
    seed: int


@dataclass(frozen=True, slots=True)
class _Due:
    """The next visit that an item needs: counted from base_s, to be made by due_s, in window."""

    base_s: float
    due_s: float
    window: Window


# From flights to flights that keep apart; those that start before a time stay as they are.
Settle = Callable[[DayTask, list[Flight], float], Settled]


def plan_day(
    task: DayTask, budget: Budget, urgent: Sequence[Urgent] = (), *, settle: Settle | None = None
) -> Timetable:
    """The best timetable of budget.iterations tries. Same task, seed and iterations, same timetable.

    Urgent missions take the nearest drones at their time; what those had to do is planned anew from then on. `settle`
    may move flights at the end, or give some up, so that they keep apart. Where more is missed for it, the next best
    days are tried, and the one that misses least is kept.
    Raises PlanningError when there is no drone or nothing to do.
    """
    if not task.craft:
        raise PlanningError("a timetable needs at least one drone")
    if not task.visits and not task.watches:
        raise PlanningError("there is nothing to do on this day: name at least one item with hours")
    fixed, misses = watch_flights(task)
    days, tried = _best_patrols(task, fixed, task.hours[0], budget)
    done = _settled(task, days, settle, -math.inf)
    for order in sorted(urgent, key=lambda u: u.at_s):
        task, frozen, missed = pre_empt(task, done.flights, order)
        misses += missed
        days, more = _best_patrols(task, frozen, order.at_s, budget)
        tried += more
        done = _settled(task, days, settle, order.at_s)
    return _report(task, done, misses, tried, tuple(urgent))


def _settled(task: DayTask, days: list[list[Flight]], settle: Settle | None, from_s: float) -> Settled:
    """The first day whose flights all keep apart and miss no more for it, else the best after keeping apart."""
    if settle is None:
        return Settled(days[0])
    least = _score(task, days[0])[0]
    best: tuple[tuple[float, ...], Settled] | None = None
    for day in days:
        done = settle(task, day, from_s)
        cost = (float(done.meeting), *_score(task, done.flights))
        if best is None or cost < best[0]:
            best = cost, done
        if cost[:2] <= (0.0, least):
            break
    return best[1] if best else Settled([])


def _report(task: DayTask, done: Settled, misses: list[Miss], tried: int, urgent: tuple[Urgent, ...]) -> Timetable:
    kept: list[Kept] = []
    flights = sorted(done.flights, key=lambda f: (f.depart_s, f.vehicle_id))
    for visit in task.visits:
        arrivals = _arrivals(flights, visit.item_id)
        worst, ratio = 0.0, 0.0
        for window in visit.windows:
            for start, end in gaps(arrivals, window):
                worst = max(worst, end - start)
                wanted = min(visit.interval_s, window[1] - window[0])
                missed = end - start > wanted + TOLERANCE_S or (end - start >= window[1] - window[0] > 0)
                ratio = max(ratio, (end - start) / visit.interval_s)
                if missed:
                    why = why_visit(task, flights, visit, (start, end), done.given_up)
                    misses.append(Miss(visit.item_id, start, end, visit.interval_s, why))
        inside = tuple(t for t in arrivals if any(a <= t <= b for a, b in visit.windows))
        kept.append(Kept(visit.item_id, inside, worst, ratio))
    return Timetable(
        tuple(flights),
        tuple(kept),
        tuple(sorted(misses, key=lambda m: (m.from_s, m.item_id))),
        max((k.ratio for k in kept), default=0.0),
        day_bound(task),
        tried,
        urgent,
    )


def day_allows(task: DayTask, flights: list[Flight], index: int, moved: Flight) -> bool:
    """Whether a patrol flight may be moved in time: nothing more is missed, swaps and hours are kept."""
    if not day_has_room(task, flights, index, moved):
        return False
    before, after = _score(task, flights), _score(task, [*flights[:index], moved, *flights[index + 1 :]])
    return after[0] <= before[0] and after[1] <= max(before[1], 1.0)


def day_has_room(task: DayTask, flights: list[Flight], index: int, moved: Flight) -> bool:
    """Whether a patrol flight can be flown at another time: swaps and hours are kept, whatever is missed."""
    was = flights[index]
    if moved.kind != "patrol" or moved.landed_s > max(task.hours[1], was.landed_s):
        return False
    if moved.depart_s < min(task.hours[0], was.depart_s):
        return False
    own = [f for f in flights if f.vehicle_id == moved.vehicle_id and f is not was]
    if moved.landed_s + task.swap_s > min((f.depart_s for f in own if f.depart_s > was.depart_s), default=math.inf):
        return False
    if moved.depart_s < max((f.landed_s for f in own if f.depart_s < was.depart_s), default=-math.inf) + task.swap_s:
        return False
    return all(task.ways.open_for(m.path_m, m.start_s, m.end_s) for m in moved.moves)


def _arrivals(flights: Sequence[Flight], item_id: str) -> list[float]:
    return sorted(s.arrive_s for f in flights for s in f.stops if s.kind == "visit" and s.item_id == item_id)


def _best_patrols(task: DayTask, frozen: list[Flight], from_s: float, budget: Budget) -> tuple[list[list[Flight]], int]:
    """Of many days of patrol flights around flights that are fixed, the best ones that miss equally little."""
    rng = random.Random(budget.seed)
    policies = [_Policy(r, a, 0.0, 0) for r in _RIPE for a in _ALONG if a <= r]
    found: list[tuple[tuple[float, ...], int, list[Flight]]] = []
    tries = max(1, budget.iterations)
    for number in range(tries):
        if found and (budget.stop() or not task.visits):
            tries = number
            break
        budget.progress(number / tries, "days tried")
        policy = (
            policies[number]
            if number < len(policies)
            else _Policy(rng.uniform(0.3, 0.95), rng.uniform(0.15, 0.7), 0.15, rng.randrange(2**31))
        )
        flights = _Patrol(task, policy).run(frozen, from_s)
        found.append((_score(task, flights), number, flights))
    found.sort(key=lambda f: f[:2])
    return [f[2] for f in found if f[0][0] == found[0][0][0]][:_DAYS_KEPT], tries


def _score(task: DayTask, flights: list[Flight]) -> tuple[float, ...]:
    excess, worst = 0.0, 0.0
    for visit in task.visits:
        arrivals = _arrivals(flights, visit.item_id)
        for window in visit.windows:
            for start, end in gaps(arrivals, window):
                over = end - start - min(visit.interval_s, window[1] - window[0] - 2.0 * TOLERANCE_S)
                excess += max(0.0, over - TOLERANCE_S) / visit.interval_s
                worst = max(worst, (end - start) / visit.interval_s)
    return round(excess, 6), round(worst, 3), float(len(flights))


class _Patrol:
    """One try at a day of visits."""

    def __init__(self, task: DayTask, policy: _Policy) -> None:
        self.task, self.policy = task, policy
        self.rng = random.Random(policy.seed)
        self.settled: dict[str, float] = {}  # what lies before it is done, or late for good

    def run(self, frozen: list[Flight], from_s: float) -> list[Flight]:
        flights = list(frozen)
        for _ in range(_MOST_FLIGHTS):
            due = {v.item_id: self._due(v, flights, from_s) for v in self.task.visits}
            open_items = [(d.due_s, v.item_id, v) for v in self.task.visits if (d := due[v.item_id]) is not None]
            if not open_items:
                break
            _, _, visit = min(open_items, key=lambda o: o[:2])
            first = due[visit.item_id]
            flight = None if first is None else self._launch(visit, first, due, flights, from_s)
            if flight is None:
                # Nobody can come in time or late: the item is let go until its next window.
                self.settled[visit.item_id] = first.window[1] if first else math.inf
            else:
                flights.append(flight)
                for stop in flight.stops:
                    self.settled[stop.item_id] = max(stop.arrive_s, self.settled.get(stop.item_id, -math.inf))
        return flights

    def _due(self, visit: Visit, flights: list[Flight], from_s: float) -> _Due | None:
        arrivals = _arrivals(flights, visit.item_id)
        settled = max(from_s, self.settled.get(visit.item_id, -math.inf))
        for start, end in visit.windows:
            for a, b in gaps(arrivals, (start, end)):
                whole = b - a >= end - start
                if b - a > visit.interval_s or whole:
                    if b <= settled:
                        continue
                    due = min(a + visit.interval_s, end)
                    return _Due(a, max(due - _MARGIN_S, min(from_s, end)), (max(a, start), min(b, end)))
        return None

    def _ripe(self, visit: Visit, due: _Due, share: float) -> float:
        noise = 1.0 + self.policy.noise * (self.rng.random() - 0.5) if self.policy.noise else 1.0
        return due.base_s + min(0.98, share * noise) * min(visit.interval_s, due.due_s - due.base_s)

    def _launch(
        self, visit: Visit, due: _Due, all_due: dict[str, _Due | None], flights: list[Flight], from_s: float
    ) -> Flight | None:
        """The best flight of all drones for the visit that falls due first, filled with others on its way."""
        best: tuple[tuple[float, ...], Craft, Flight, list[Do]] | None = None
        ripe = self._ripe(visit, due, self.policy.ripe)
        for craft in self.task.craft:
            for flip in visit.ways:
                do = do_visit(visit, flip=flip)
                out = self.task.ways.travel_s(craft.dock, do.entry, max(from_s, ripe))
                if not math.isfinite(out):
                    out = self.task.ways.travel_s(craft.dock, do.entry, due.window[1])
                if not math.isfinite(out):
                    continue
                way = craft.takeoff_s + out
                after = max(from_s, self.task.hours[0], ripe - way)
                need = 2.0 * way + visit.service_s + craft.landing_s
                depart = slot_s(self.task, craft, flights, after, need)
                flight = self._in_window(craft, flights, depart, do, due)
                if flight is None:
                    continue
                arrive = flight.stops[0].arrive_s
                # Drones that are about as near take turns, so that they wear alike.
                near = float(round((arrive - flight.depart_s) / _AS_NEAR_S))
                flown = sum(f.landed_s - f.depart_s for f in flights if f.vehicle_id == craft.vehicle_id)
                key = (max(0.0, arrive - due.due_s), near, flown, flight.depart_s)
                if best is None or key < best[0]:
                    best = key, craft, flight, [do]
        if best is None:
            return None
        _, craft, flight, order = best
        return self._filled(craft, flight, order, all_due, flights)

    def _in_window(self, craft: Craft, flights: list[Flight], depart: float, do: Do, due: _Due) -> Flight | None:
        """The flight at that time, or as soon after as closed areas and other flights allow, within the window."""
        openings = [b for c in self.task.ways.closed for _, b in c.windows if depart < b < due.window[1]]
        for start in [depart, *sorted(openings)]:
            flight = fly(self.task, craft, start, [do])
            if (
                flight is not None
                and flight.landed_s <= min(room_s(self.task, craft, flights, start), self.task.hours[1])
                and due.window[0] <= flight.stops[0].arrive_s <= due.window[1]
                and slot_s(self.task, craft, flights, start, flight.landed_s - start) == start
            ):
                return flight
        return None

    def _filled(
        self, craft: Craft, flight: Flight, order: list[Do], all_due: dict[str, _Due | None], flights: list[Flight]
    ) -> Flight:
        """Take along what is worth a visit, the cheapest detour first, as long as nothing on board comes too late."""
        limit = min(room_s(self.task, craft, flights, flight.depart_s), self.task.hours[1])
        refused: set[tuple[str, int, bool]] = set()
        while True:
            options = self._options(craft, flight, order, all_due, refused)
            for _, visit, place, flip in options[:_CANDIDATES]:
                other = [*order[:place], do_visit(visit, flip=flip), *order[place:]]
                found = fly(self.task, craft, flight.depart_s, other)
                if found is not None and found.landed_s <= limit and self._in_time(flight, found, all_due):
                    flight, order = found, other
                    refused.clear()
                    break
                refused.add((visit.item_id, place, flip))
            else:
                if not options:
                    return flight

    def _options(
        self,
        craft: Craft,
        flight: Flight,
        order: list[Do],
        all_due: dict[str, _Due | None],
        refused: set[tuple[str, int, bool]],
    ) -> list[tuple[float, Visit, int, bool]]:
        """Cheap insertions, as (detour over how much it is needed, visit, place in the order, flip)."""
        ways = self.task.ways
        taken = {do.item_id for do in order}
        times = [flight.depart_s + craft.takeoff_s, *(s.leave_s for s in flight.stops)]
        spare = flight.depart_s + craft.fly_s - flight.landed_s
        found: list[tuple[float, Visit, int, bool]] = []
        for visit in self.task.visits:
            due = all_due[visit.item_id]
            if visit.item_id in taken or due is None or due.window[0] > flight.landed_s:
                continue
            along = due.base_s + self.policy.along * min(visit.interval_s, due.due_s - due.base_s)
            for place in range(len(order) + 1):
                before = order[place - 1].exit if place else craft.dock
                after = order[place].entry if place < len(order) else craft.dock
                straight = ways.travel_s(before, after, times[place])
                for flip in visit.ways:
                    do = do_visit(visit, flip=flip)
                    to = ways.travel_s(before, do.entry, times[place])
                    arrive = times[place] + to
                    if not max(along, due.window[0]) <= arrive <= due.window[1]:
                        continue
                    detour = to + ways.travel_s(do.exit, after, arrive) - straight + visit.service_s
                    if detour <= spare and (visit.item_id, place, flip) not in refused:
                        age = (arrive - due.base_s) / max(due.due_s - due.base_s, 1.0)
                        found.append((detour / max(age, 0.1), visit, place, flip))
        found.sort(key=lambda o: (o[0], o[1].item_id, o[2], o[3]))
        return found

    def _in_time(self, before: Flight, after: Flight, all_due: dict[str, _Due | None]) -> bool:
        """Nothing comes later than it is due, or than it would have come anyway."""
        old = {s.item_id: s.arrive_s for s in before.stops}
        for stop in after.stops:
            due = all_due[stop.item_id]
            if due is None or not due.window[0] <= stop.arrive_s <= due.window[1]:
                return False
            if stop.item_id in old and stop.arrive_s > max(due.due_s, old[stop.item_id]) + 1e-6:
                return False
        return True
