# SPDX-License-Identifier: AGPL-3.0-or-later
"""The split among vehicles: its quality at size, one-way lines, several homes, and runs that a clock ends."""

from __future__ import annotations

import itertools
import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.bounds import longest_flight_bound_s
from missions.model import Budget
from missions.routing.compiled import COMPILED
from missions.routing.minmax import Item, Task, route_time_s, split
from missions.routing.tour import tour_through_points


def _task(spots, items, homes, fixed_s=0.0):
    times = tuple(tuple(math.dist(a, b) for b in spots) for a in spots)
    return Task(times, tuple(items), homes, (fixed_s,) * len(homes))


def _spread(seed, points, vehicles, home=(0.0, 0.0)):
    rng = random.Random(seed)
    spots = [home, *((rng.uniform(-1500, 1500), rng.uniform(-1500, 1500)) for _ in range(points))]
    return _task(spots, (Item(i, i, 0.0) for i in range(1, points + 1)), (0,) * vehicles)


def _served(found):
    return sorted(stop.item for route in found.routes for stop in route)


@pytest.mark.skipif(not COMPILED, reason="without numba as many iterations would take minutes")
@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_points_for_ten_drones(seed):
    task = _spread(seed, 200, 10)
    found = split(task, Budget(60_000, seed))
    assert _served(found) == list(range(200))
    assert found.longest_s <= 1.20 * longest_flight_bound_s(task)


@pytest.mark.skipif(not COMPILED, reason="without numba as many iterations would take minutes")
def test_a_far_point_is_all_that_counts_when_drones_abound():
    task = _spread(3, 60, 10, home=(-1500.0, -1500.0))
    found = split(task, Budget(30_000))
    assert found.longest_s == pytest.approx(2 * max(task.time_s[0]), rel=1e-9)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 4), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_one_way_lines_are_never_turned_round_and_homes_are_kept(seed, lines, points, vehicles):
    rng = random.Random(seed)
    count = vehicles + points + 2 * lines
    spots = [(rng.uniform(-500, 500), rng.uniform(-500, 500)) for _ in range(count)]
    one_way = [rng.random() < 0.5 for _ in range(lines)]
    items = [Item(vehicles + i, vehicles + i, 3.0) for i in range(points)]
    items += [Item(vehicles + points + 2 * i, vehicles + points + 2 * i + 1, 9.0, w) for i, w in enumerate(one_way)]
    rows = [[math.dist(a, b) * rng.uniform(1.0, 1.3) for b in spots] for a in spots]  # not the same both ways
    fixed = tuple(rng.uniform(0, 50) for _ in range(vehicles))
    task = Task(tuple(map(tuple, rows)), tuple(items), tuple(range(vehicles)), fixed)
    found = split(task, Budget(80, seed))
    assert _served(found) == list(range(points + lines))
    for vehicle, route in enumerate(found.routes):
        assert not any(stop.flip and not items[stop.item].reversible for stop in route)
        assert found.time_s[vehicle] == route_time_s(task, vehicle, route)
    assert longest_flight_bound_s(task) <= found.longest_s + 1e-6


def test_a_one_way_street_is_flown_the_long_way_home():
    spots = [(0.0, 0.0), (0.0, 10.0), (400.0, 10.0), (410.0, 0.0)]
    both = _task(spots, (Item(1, 2, 400.0), Item(3, 3, 0.0)), (0,))
    against = _task(spots, (Item(2, 1, 400.0, one_way=True), Item(3, 3, 0.0)), (0,))
    assert [s.item for s in split(against, Budget(50)).routes[0]] == [1, 0]
    assert split(both, Budget(50)).longest_s == pytest.approx(split(against, Budget(50)).longest_s)


def test_each_drone_takes_what_lies_near_its_home():
    spots = [(-900.0, 0.0), (900.0, 0.0)] + [
        (s * 900.0 + dx, dy) for s in (-1, 1) for dx in (-50, 50) for dy in (-50, 50)
    ]
    found = split(_task(spots, (Item(i, i, 0.0) for i in range(2, 10)), (0, 1)), Budget(300))
    assert [sorted(s.item for s in route) for route in found.routes] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_one_drone_flies_as_short_a_tour_as_the_tour_planner():
    rng = random.Random(8)
    spots = [(rng.uniform(0, 1000), rng.uniform(0, 1000)) for _ in range(30)]
    found = split(_task(spots, (Item(i, i, 0.0) for i in range(1, 30)), (0,)), Budget(1500))
    assert found.longest_s == pytest.approx(tour_through_points(spots, Budget(1500)).length, rel=0.01)


def test_a_stopped_run_can_be_repeated_with_the_iterations_that_it_did():
    task = _spread(4, 25, 3)
    calls = itertools.count()
    stopped = split(task, Budget(10**9, 7, stop=lambda: next(calls) >= 3))
    assert 0 < stopped.iterations < 100_000
    assert split(task, Budget(stopped.iterations, 7)) == stopped
    assert split(task, Budget(0)).iterations == 0


@pytest.mark.parametrize("points", [40, 400])
def test_a_clock_ends_the_search_in_time(points):
    """The longest wait between two looks at stop() stays well under a tenth of a second."""
    task = _spread(5, points, 8)
    split(task, Budget(1))  # compilation aside
    looks = []

    def stop():
        looks.append(time.process_time())
        return looks[-1] > looks[0] + 0.4

    split(task, Budget(10**9, stop=stop))
    assert len(looks) > 4
    assert looks[-1] - looks[-2] < 0.1


def test_nothing_to_serve_and_nobody_to_serve():
    assert split(Task(((0.0,),), (), (0, 0), (9.0, 9.0)), Budget(10)).routes == ((), ())
    with pytest.raises(ValueError, match="no vehicle"):
        split(Task(((0.0,),), (Item(0, 0, 1.0),), (), ()), Budget(10))
    with pytest.raises(ValueError, match="finite"):
        split(Task(((0.0, math.inf), (math.inf, 0.0)), (Item(1, 1, 1.0),), (0,), (0.0,)), Budget(10))
