# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent judge of revisits: it flies circuits drone by drone and stop by stop, and shares no code with planners.

Plain numbers come in (stops, times, dwells), arrivals are simulated one after another, and the longest gaps between
them come out.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SimulatedIdleness:
    """worst_s: per site the longest time between two arrivals after the first lap of all; None where nobody came twice.

    longest_flight_s: per circuit, from leaving a dock to arriving at one; None where no dock is on it.
    """

    worst_s: tuple[float | None, ...]
    longest_flight_s: tuple[float | None, ...]


def simulate_idleness(
    circuits: Sequence[tuple[Sequence[int], int]],
    time_s: Sequence[Sequence[float]],
    stay_s: Sequence[float],
    sites: int,
    laps: int = 3,
) -> SimulatedIdleness:
    """Fly every circuit (stops, drones) and measure.

    Drone j of m is at the first stop j / m of a lap later than the first drone. Nodes from `sites` on are docks;
    stay_s is the time spent at every node. Flying goes on for `laps` of the longest lap after the first one.
    """
    lap_times = [_lap_s(stops, time_s, stay_s) for stops, _ in circuits]
    longest = max(lap_times, default=0.0)
    start, end = longest, longest * (1 + laps)
    events: list[tuple[float, int, int, int]] = []  # time, circuit, drone, position on the circuit
    for number, (_, drones) in enumerate(circuits):
        # Everything began one lap earlier, so that all drones are already on their way at time 0.
        events += [(lap_times[number] * (drone / drones - 1.0), number, drone, 0) for drone in range(drones)]
    heapq.heapify(events)
    last: dict[int, float] = {}
    worst: dict[int, float] = {}
    parked = {site for (stops, _), lap in zip(circuits, lap_times, strict=True) if lap <= 0.0 for site in stops}
    while events:
        now, number, drone, position = heapq.heappop(events)
        if now > end or lap_times[number] <= 0.0:
            continue
        stops = circuits[number][0]
        node = stops[position]
        if node < sites:
            if node in last and now > start:
                worst[node] = max(worst.get(node, 0.0), now - last[node])
            last[node] = now
        following = (position + 1) % len(stops)
        then = now + stay_s[node] + time_s[node][stops[following]]
        heapq.heappush(events, (then, number, drone, following))
    for site in parked:
        worst[site] = 0.0
    flights = tuple(_longest_flight_s(stops, time_s, stay_s, sites) for stops, _ in circuits)
    return SimulatedIdleness(tuple(worst.get(site) for site in range(sites)), flights)


def _lap_s(stops: Sequence[int], time_s: Sequence[Sequence[float]], stay_s: Sequence[float]) -> float:
    total = 0.0
    for index, node in enumerate(stops):
        total += stay_s[node] + time_s[node][stops[(index + 1) % len(stops)]]
    return total


def _longest_flight_s(
    stops: Sequence[int], time_s: Sequence[Sequence[float]], stay_s: Sequence[float], sites: int
) -> float | None:
    docks = [i for i, node in enumerate(stops) if node >= sites]
    if not docks:
        return None
    longest = flown = 0.0
    for offset in range(len(stops)):
        node = stops[(docks[0] + offset) % len(stops)]
        following = stops[(docks[0] + offset + 1) % len(stops)]
        flown += (stay_s[node] if node < sites else 0.0) + time_s[node][following]
        if following >= sites:
            longest, flown = max(longest, flown), 0.0
    return longest


@dataclass(frozen=True, slots=True)
class RoundFlight:
    """A flight of a round as it is judged. visits: (item, seconds after its start); lasts_s: from start to touch-down."""

    vehicle_id: str
    start_s: float
    lasts_s: float
    visits: tuple[tuple[str, float], ...]


def judge_rounds(
    flights: Sequence[RoundFlight],
    period_s: float,
    swap_s: float,
    said_s: Mapping[str, float],
    rounds: int = 5,
) -> list[str]:
    """Complaints about a round that is flown again every period; said_s: per item the longest time without a visit as said.

    Flies so many rounds one after another, each drone from landing over a swap to its next take-off, and listens to when
    each item is visited, from the time on at which all have begun.
    """
    out: list[str] = []
    landed: dict[str, float] = {}
    came: dict[str, list[float]] = {item: [] for item in said_s}
    every = [(f.start_s + number * period_s, f) for number in range(rounds) for f in flights]
    for start, flight in sorted(every, key=lambda e: (e[0], e[1].vehicle_id)):
        free = landed.get(flight.vehicle_id, -math.inf) + swap_s
        if start < free - 0.2:
            out.append(f"{flight.vehicle_id} starts at {start:.1f}, {free - start:.1f} s before it is ready")
        landed[flight.vehicle_id] = start + flight.lasts_s
        for item, after in flight.visits:
            came.setdefault(item, []).append(start + after)
    begun = max(f.start_s + f.lasts_s for f in flights)
    end = (rounds - 1) * period_s  # what starts later is not all there
    for item, times in came.items():
        if item not in said_s:
            out.append(f"{item} is visited, and nothing is said of it")
            continue
        times.sort()
        gaps = [b - a for a, b in itertools.pairwise(times) if a >= begun - period_s and b <= end]
        if not gaps:
            out.append(f"{item} is not visited again")
        elif abs(max(gaps) - said_s[item]) > 0.2:
            out.append(f"{item} is left alone for {max(gaps):.1f} s, {said_s[item]:.1f} s are said")
    return out


@dataclass(frozen=True, slots=True)
class DayFlight:
    """A flight as it is judged: stops are (kind, item, arrive_s, leave_s), moves are (start_s, end_s, path in metres)."""

    vehicle_id: str
    depart_s: float
    landed_s: float
    stops: tuple[tuple[str, str, float, float], ...]
    moves: tuple[tuple[float, float, tuple[tuple[float, float], ...]], ...]


@dataclass(frozen=True, slots=True)
class DayRules:
    """What a day must keep. Places are metres, times seconds of the day.

    pads: where each drone stands. items: (path, interval_s, windows) by id, a path of one place is a point.
    watches: (place, windows) by id. closed: (ring, windows) without any margin. fence: a ring.
    said: (item, from_s, to_s) of everything that the timetable itself says it does not keep. one_way: lines that are
    flown as they are drawn only.
    """

    pads: dict[str, tuple[float, float]]
    fly_s: dict[str, float]
    swap_s: float
    speed_m_s: float
    items: dict[str, tuple[tuple[tuple[float, float], ...], float, tuple[tuple[float, float], ...]]]
    watches: dict[str, tuple[tuple[float, float], tuple[tuple[float, float], ...]]]
    closed: tuple[tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]], ...]
    fence: tuple[tuple[float, float], ...]
    said: tuple[tuple[str, float, float], ...]
    one_way: frozenset[str] = frozenset()


_STEP_M = 3.0
_GIVE_S = 2.0
_GIVE_M = 1.0


def judge_day(flights: Sequence[DayFlight], rules: DayRules) -> list[str]:
    """Complaints about a timetable; an empty list is a day that can be flown and that says what it does not keep."""
    out: list[str] = []
    for vehicle in sorted({f.vehicle_id for f in flights}):
        own = sorted((f for f in flights if f.vehicle_id == vehicle), key=lambda f: f.depart_s)
        for first, second in itertools.pairwise(own):
            if second.depart_s < first.landed_s + rules.swap_s - 0.01:
                out.append(f"{vehicle} starts at {second.depart_s:.0f} before its battery is swapped")
    for flight in flights:
        out += _judge_flight(flight, rules)
    said = list(rules.said)
    for item, (_, interval, windows) in rules.items.items():
        came = sorted(s[2] for f in flights for s in f.stops if s[0] == "visit" and s[1] == item)
        for begin, end in windows:
            inside = [t for t in came if begin <= t <= end]
            for a, b in itertools.pairwise([begin, *inside, end]):
                late = b - a > interval + _GIVE_S or (not inside and interval >= end - begin)
                if late and not any(i == item and f <= a + _GIVE_S and t >= b - _GIVE_S for i, f, t in said):
                    out.append(f"{item} is left alone from {a:.0f} to {b:.0f} and nothing says so")
    for item, (_, windows) in rules.watches.items():
        spans = [(s[2], s[3]) for f in flights for s in f.stops if s[0] == "watch" and s[1] == item]
        spans += [(f, t) for i, f, t in said if i == item]
        for begin, end in windows:
            at = begin
            for start, stop in sorted(spans):
                at = max(at, stop) if start <= at + _GIVE_S else at
            if at < end - _GIVE_S:
                out.append(f"{item} is unwatched from {at:.0f} and nothing says so")
    return out


def _judge_flight(flight: DayFlight, rules: DayRules) -> list[str]:
    name = f"{flight.vehicle_id} at {flight.depart_s:.0f}"
    out: list[str] = []
    if flight.landed_s - flight.depart_s > rules.fly_s[flight.vehicle_id] + 0.01:
        out.append(f"{name} flies longer than its battery lasts")
    at, now = rules.pads[flight.vehicle_id], flight.depart_s
    where: list[tuple[float, float, tuple[float, float]]] = []  # stays: from, to, place
    for start, end, path in flight.moves:
        if math.dist(at, path[0]) > _GIVE_M or start < now - 0.01:
            out.append(f"{name} jumps to {path[0]} at {start:.0f}")
        where.append((now, start, at))
        length = sum(math.dist(a, b) for a, b in itertools.pairwise(path))
        if length > rules.speed_m_s * (end - start) * 1.001 + _GIVE_M:
            out.append(f"{name} flies {length:.0f} m in {end - start:.0f} s")
        out += _judge_path(name, start, end, path, length, rules)
        at, now = path[-1], end
    if math.dist(at, rules.pads[flight.vehicle_id]) > _GIVE_M:
        out.append(f"{name} does not come home")
    where.append((now, flight.landed_s, at))
    for begin, end, (x, y) in where[1:-1]:  # not those on the pad, before the first move and after the last
        for ring, windows in rules.closed:
            if _within(x, y, ring) and any(s < end and begin < e for s, e in windows):
                out.append(f"{name} stays above a closed area from {begin:.0f} to {end:.0f}")
    for kind, item, arrive, leave in flight.stops:
        if kind == "visit" and len(rules.items[item][0]) > 1:
            path = rules.items[item][0]
            allowed = (path,) if item in rules.one_way else (path, path[::-1])
            flown = any(abs(s - arrive) < 0.01 and abs(e - leave) < 0.01 and p in allowed for s, e, p in flight.moves)
            if not flown:
                out.append(f"{name} does not fly along {item}")
        elif kind in {"visit", "watch"}:
            place = rules.items[item][0][0] if kind == "visit" else rules.watches[item][0]
            if not any(s <= arrive + 0.01 and leave <= e + 0.01 and math.dist(p, place) < _GIVE_M for s, e, p in where):
                out.append(f"{name} is not at {item} from {arrive:.0f} to {leave:.0f}")
    return out


def _judge_path(
    name: str, start: float, end: float, path: tuple[tuple[float, float], ...], length: float, rules: DayRules
) -> list[str]:
    flown = 0.0
    for a, b in itertools.pairwise(path):
        steps = max(1, int(math.dist(a, b) / _STEP_M))
        for step in range(steps + 1):
            part = step / steps
            x, y = a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part
            time = start + (end - start) * ((flown + math.dist(a, b) * part) / length if length > 0 else 0.0)
            if not _within(x, y, rules.fence):
                return [f"{name} leaves the fence at {time:.0f}"]
            for ring, windows in rules.closed:
                if any(s <= time <= e for s, e in windows) and _within(x, y, ring):
                    return [f"{name} is above a closed area at {time:.0f}"]
        flown += math.dist(a, b)
    return []


def _within(x: float, y: float, ring: tuple[tuple[float, float], ...]) -> bool:
    """Ray casting (Shimrat 1962)."""
    inside = False
    for (x1, y1), (x2, y2) in zip(ring, ring[1:] + ring[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside
