# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lower bounds stay below what brute force finds, and are close where the answer is known."""

from __future__ import annotations

import itertools
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.bounds import busiest_drone_bound_s, longest_flight_bound_s, moves_bound_s, tour_bound
from missions.routing.task import Item, Stop, Task, route_time_s


def _task(rng, points, lines, vehicles, *, skew=False, same_home=False):
    """Places may coincide; skewed times differ both ways and break the triangle inequality."""
    homes = 1 if same_home else vehicles
    count = homes + points + 2 * lines
    spots = [(rng.randrange(-5, 6) * 100.0, rng.randrange(-5, 6) * 100.0) for _ in range(count)]
    times = [[math.dist(a, b) * (rng.uniform(0.5, 1.5) if skew else 1.0) for b in spots] for a in spots]
    items = [Item(homes + i, homes + i, rng.uniform(0, 50)) for i in range(points)]
    starts = range(homes + points, count, 2)
    items += [Item(s, s + 1, rng.uniform(20, 60), one_way=rng.random() < 0.3) for s in starts]
    home_of = tuple(0 if same_home else v for v in range(vehicles))
    return Task(tuple(map(tuple, times)), tuple(items), home_of, tuple(rng.uniform(0, 80) for _ in range(vehicles)))


def _plans(task):
    """Every assignment, order and direction: the route of each vehicle at its best for its items."""
    vehicles, n = len(task.homes), len(task.items)
    best = {}
    for vehicle, size in itertools.product(range(vehicles), range(n + 1)):
        for chosen in itertools.combinations(range(n), size):
            best[vehicle, chosen] = min(
                route_time_s(task, vehicle, [Stop(i, f) for i, f in zip(order, flips, strict=True)])
                for order in itertools.permutations(chosen)
                for flips in itertools.product(
                    *((False, True) if task.items[i].reversible else (False,) for i in order)
                )
            )
    for owners in itertools.product(range(vehicles), repeat=n):
        yield [best[v, tuple(i for i in range(n) if owners[i] == v)] for v in range(vehicles)], owners


@given(st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 2), st.integers(1, 3), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_plan_beats_the_bound(seed, points, lines, vehicles, skew, same_home):
    if points + lines > 4:
        points = 4 - lines
    task = _task(random.Random(seed), points, lines, vehicles, skew=skew, same_home=same_home)
    service = sum(item.service_s for item in task.items)
    longest, moves, moves_of = math.inf, math.inf, {}
    for times, owners in _plans(task):
        longest = min(longest, max(times))
        used = sorted(set(owners))
        flown = sum(times) - service - sum(task.fixed_s[v] for v in used)
        moves = min(moves, flown)
        moves_of[len(used)] = min(moves_of.get(len(used), math.inf), flown)
    assert longest_flight_bound_s(task) <= longest + 1e-6
    if task.items:
        assert 0.0 <= moves_bound_s(task) <= moves + 1e-6
        for used, flown in moves_of.items():
            assert moves_bound_s(task, used) <= flown + 1e-6


def _in_flights(items):
    """Every way to share items out into flights."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for others in _in_flights(rest):
        yield [[first], *others]
        for k in range(len(others)):
            yield [*others[:k], [first, *others[k]], *others[k + 1 :]]


@given(
    st.integers(0, 10**6),
    st.integers(0, 4),
    st.integers(0, 2),
    st.integers(1, 3),
    st.booleans(),
    st.floats(0.4, 1.2),
    st.sampled_from([0.0, 100.0, 900.0]),
)
@settings(max_examples=60, deadline=None)
def test_no_plan_of_several_flights_beats_the_bound(seed, points, lines, vehicles, same_home, share, swap_s):
    """Every way to share the items out into flights that batteries last for, and the flights among the vehicles."""
    points = min(points, 4 - lines)
    task = _task(random.Random(seed), points, lines, vehicles, same_home=same_home)

    def least_s(vehicle, chosen):
        flips = [[False, True] if task.items[i].reversible else [False] for i in range(len(task.items))]
        return min(
            route_time_s(task, vehicle, [Stop(i, f) for i, f in zip(order, flip, strict=True)])
            for order in itertools.permutations(chosen)
            for flip in itertools.product(*(flips[i] for i in order))
        )

    everything = list(range(len(task.items)))
    battery_s = share * max((least_s(v, everything) for v in range(vehicles)), default=0.0)
    best = math.inf
    for flights in _in_flights(everything):
        for owners in itertools.product(range(vehicles), repeat=len(flights)):
            flown = [(v, least_s(v, flight)) for v, flight in zip(owners, flights, strict=True)]
            if all(s <= battery_s for _, s in flown):
                busy = [sum(s + swap_s for v, s in flown if v == vehicle) - swap_s for vehicle in range(vehicles)]
                best = min(best, max(*busy, 0.0))
    assert busiest_drone_bound_s(task, battery_s, swap_s) <= best + 1e-6


def test_swaps_that_batteries_ask_for_count():
    """One drone, four spokes of 200 s there and back, batteries for one each: four flights and three swaps."""
    spots = [(0, 0), (100, 0), (0, 100), (-100, 0), (0, -100)]
    times = tuple(tuple(math.dist(a, b) for b in spots) for a in spots)
    task = Task(times, tuple(Item(i, i, 0.0) for i in range(1, 5)), (0,), (10.0,))
    work = 200.0 + 3 * math.hypot(100, 100)  # of one tour, so the bound knows of three flights only
    assert busiest_drone_bound_s(task, 230.0, 60.0) == pytest.approx(work + 3 * 10.0 + 2 * 60.0, rel=1e-3)
    assert busiest_drone_bound_s(task, 1e6, 60.0) == longest_flight_bound_s(task)
    assert busiest_drone_bound_s(task, 10.0, 60.0) == math.inf


@given(st.integers(0, 10**6), st.integers(0, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_tour_beats_its_bound(seed, n, metric):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 10, (n, 2)) * 1.0
    cost = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) if metric else rng.uniform(0, 9, (n, n))
    cost = np.minimum(cost, cost.T)
    best = min(
        sum(cost[a, b] for a, b in itertools.pairwise((0, *order, 0)) if a != b)
        for order in itertools.permutations(range(1, n))
    )
    assert tour_bound(cost) <= best + 1e-6


def test_where_the_answer_is_known_the_bound_meets_it():
    circle = np.exp(2j * np.pi * np.arange(40) / 40.0)
    cost = np.abs(circle[:, None] - circle[None])
    assert tour_bound(cost) == pytest.approx(40 * 2 * math.sin(math.pi / 40), rel=1e-6)
    assert tour_bound(np.array([[0.0, 3.0], [3.0, 0.0]])) == 6.0
    with pytest.raises(ValueError, match="square"):
        tour_bound(np.zeros((2, 3)))


@pytest.mark.data
def test_the_bound_of_a_known_instance_is_the_published_one():
    data = os.environ.get("DRONECTL_DATA")
    if not data:
        pytest.skip("set DRONECTL_DATA: TSPLIB is needed")
    text = Path(data, "planning", "tsplib", "kroA100.tsp").read_text(encoding="ascii")
    spots = [
        tuple(map(float, line.split()[1:]))
        for line in text.splitlines()
        if len(line.split()) == 3 and line[0].isdigit()
    ]
    cost = np.array([[float(math.floor(math.dist(a, b) + 0.5)) for b in spots] for a in spots])
    assert tour_bound(cost) == pytest.approx(20936.5, rel=1e-4)  # the optimum is 21282


def test_four_spokes_for_four_drones():
    """Each drone flies one spoke and back: reach and share agree with the optimum."""
    spots = [(0, 0), (100, 0), (0, 100), (-100, 0), (0, -100)]
    times = tuple(tuple(math.dist(a, b) for b in spots) for a in spots)
    task = Task(times, tuple(Item(i, i, 0.0) for i in range(1, 5)), (0,) * 4, (10.0,) * 4)
    assert longest_flight_bound_s(task) == pytest.approx(210.0)
    assert moves_bound_s(task, 4) == pytest.approx(800.0)
    assert moves_bound_s(task) == pytest.approx(200.0 + 3 * math.hypot(100, 100), rel=1e-3)


def test_a_bound_for_the_number_of_tours_is_sharper_far_from_home():
    rng = random.Random(1)
    spots = [(0.0, 0.0)] + [(rng.uniform(2000, 2300), rng.uniform(-300, 300)) for _ in range(30)]
    times = tuple(tuple(math.dist(a, b) for b in spots) for a in spots)
    task = Task(times, tuple(Item(i, i, 0.0) for i in range(1, 31)), (0,) * 5, (0.0,) * 5)
    assert moves_bound_s(task, 5) > 2.5 * moves_bound_s(task)
    assert moves_bound_s(task, 1) == pytest.approx(moves_bound_s(task), rel=1e-6)
