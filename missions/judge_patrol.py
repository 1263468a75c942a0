# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent judge of revisits: it flies circuits drone by drone and stop by stop, and shares no code with planners.

Plain numbers come in (stops, times, dwells), arrivals are simulated one after another, and the longest gaps between
them come out.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
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
