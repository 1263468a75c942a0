# SPDX-License-Identifier: AGPL-3.0-or-later
"""Shortest paths, the split among vehicles and its lower bound, against brute force and geometry."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, Polygon, box

from missions.bounds import longest_flight_bound_s, moves_bound_s
from missions.model import Budget
from missions.routing import visibility
from missions.routing.minmax import Item, Stop, Task, route_time_s, split
from missions.routing.polish import polish
from missions.routing.visibility import shortest_paths


def _random_task(seed, points, lines, vehicles):
    rng = random.Random(seed)
    places = [(rng.uniform(-50, 50), rng.uniform(-50, 50)) for _ in range(vehicles)]
    items = []
    for _ in range(points):
        items.append(Item(len(places), len(places), rng.uniform(0, 10)))
        places.append((rng.uniform(-500, 500), rng.uniform(-500, 500)))
    for _ in range(lines):
        items.append(Item(len(places), len(places) + 1, rng.uniform(20, 60)))
        places += [(rng.uniform(-500, 500), rng.uniform(-500, 500)) for _ in range(2)]
    times = tuple(tuple(math.dist(a, b) / 8.0 for b in places) for a in places)
    return Task(times, tuple(items), tuple(range(vehicles)), tuple(rng.uniform(20, 80) for _ in range(vehicles)))


def _best_by_force(task):
    """Every assignment, order and direction."""
    vehicles, n = len(task.homes), len(task.items)
    best_of = {}
    for vehicle in range(vehicles):
        for size in range(n + 1):
            for chosen in itertools.combinations(range(n), size):
                best_of[vehicle, chosen] = min(
                    route_time_s(task, vehicle, [Stop(i, f) for i, f in zip(order, flips, strict=True)])
                    for order in itertools.permutations(chosen)
                    for flips in itertools.product((False, True), repeat=size)
                )
    return min(
        max(best_of[v, tuple(i for i in range(n) if owners[i] == v)] for v in range(vehicles))
        for owners in itertools.product(range(vehicles), repeat=n)
    )


@pytest.mark.parametrize("seed", range(8))
def test_small_splits_are_optimal_and_above_their_bound(seed):
    task = _random_task(seed, points=3, lines=2, vehicles=1 + seed % 3)
    optimum = _best_by_force(task)
    found = split(task, Budget(iterations=600, seed=seed))
    assert found.longest_s == pytest.approx(optimum, rel=1e-9)
    assert longest_flight_bound_s(task) <= optimum + 1e-6


@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(0, 5), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_every_item_is_served_once_and_never_faster_than_the_bound(seed, points, lines, vehicles):
    task = _random_task(seed, points, lines, vehicles)
    if not task.items:
        return
    found = split(task, Budget(iterations=60, seed=seed))
    assert sorted(s.item for r in found.routes for s in r) == list(range(len(task.items)))
    for vehicle, route in enumerate(found.routes):
        assert found.time_s[vehicle] == pytest.approx(route_time_s(task, vehicle, route), rel=1e-9, abs=1e-9)
        assert not any(s.flip and not task.items[s.item].reversible for s in route)
    assert longest_flight_bound_s(task) <= found.longest_s + 1e-6
    assert moves_bound_s(task) >= 0.0


def test_same_seed_same_split_and_more_work_is_not_worse():
    task = _random_task(5, points=15, lines=4, vehicles=3)
    short, again = split(task, Budget(50, seed=2)), split(task, Budget(50, seed=2))
    assert short == again
    longer = split(task, Budget(2000, seed=2))
    assert longer.longest_s <= short.longest_s
    assert longer.longest_s / longest_flight_bound_s(task) < 1.35


def test_a_caller_can_stop_the_search_and_hears_of_its_progress():
    heard = []
    calls = itertools.count()
    budget = Budget(10_000_000, 1, stop=lambda: next(calls) >= 3, progress=lambda f, m: heard.append((f, m)))
    split(_random_task(1, 6, 1, 2), budget)
    assert heard[-1][0] == 1.0
    assert "longest flight" in heard[0][1]


def test_around_one_block():
    area = box(0, 0, 100, 100).difference(box(40, 20, 60, 100))
    paths = shortest_paths(area, np.array([[10.0, 90.0], [90.0, 90.0], [10.0, 10.0]]))
    assert paths.between(0, 1) == [(40.0, 20.0), (60.0, 20.0)]
    assert paths.length_m[0, 1] == pytest.approx(2 * math.hypot(30, 70) + 20)
    assert paths.between(0, 2) == []
    assert paths.length_m[0, 2] == pytest.approx(80.0)


def test_no_path_between_two_islands():
    paths = shortest_paths(
        shapely.union_all([box(0, 0, 10, 10), box(20, 0, 30, 10)]), np.array([[5.0, 5.0], [25.0, 5.0]])
    )
    assert math.isinf(paths.length_m[0, 1])
    with pytest.raises(ValueError, match="no path"):
        paths.between(0, 1)


def _blocks(seed, count):
    rng = random.Random(seed)
    area = box(-500, -500, 500, 500)
    for _ in range(count):
        x, y = rng.uniform(-400, 400), rng.uniform(-400, 400)
        turn, size = rng.uniform(0, 6.28), rng.uniform(30, 140)
        corners = [(x + size * math.cos(turn + a), y + size * math.sin(turn + a)) for a in (0, 1.9, 3.8)]
        area = area.difference(Polygon(corners))
    return area, rng


@pytest.mark.parametrize("seed", range(6))
def test_a_table_of_edges_sees_what_a_tree_of_edges_sees(seed, monkeypatch):
    """Areas of few corners and of many are searched in two ways; places on edges, beside and far outside included."""
    area, rng = _blocks(seed, 2 * seed)
    places = [(rng.uniform(-520, 520), rng.uniform(-520, 520)) for _ in range(40)]
    places += [area.boundary.interpolate(rng.random(), normalized=True).coords[0] for _ in range(10)]
    by_table = shortest_paths(area, np.array(places)).length_m
    monkeypatch.setattr(visibility, "_MANY_EDGES", 0)
    assert np.array_equal(by_table, shortest_paths(area, np.array(places)).length_m)


@given(st.integers(0, 10_000), st.integers(0, 6))
@settings(max_examples=25, deadline=None)
def test_paths_stay_inside_and_are_no_longer_than_a_fine_grid_finds(seed, count):
    area, rng = _blocks(seed, count)
    places = []
    while len(places) < 4:
        spot = (rng.uniform(-480, 480), rng.uniform(-480, 480))
        if area.buffer(-5).covers(shapely.Point(spot)):
            places.append(spot)
    paths = shortest_paths(area, np.array(places))
    lengths = paths.length_m
    assert np.allclose(lengths, lengths.T)
    for a, b in itertools.combinations(range(4), 2):
        straight = math.dist(places[a], places[b])
        if not math.isfinite(lengths[a, b]):
            parts = shapely.get_parts(area.buffer(-0.2))
            assert not any(p.covers(shapely.Point(places[a])) and p.covers(shapely.Point(places[b])) for p in parts)
            continue
        way = LineString([places[a], *paths.between(a, b), places[b]])
        assert area.buffer(0.1).covers(way)
        assert way.length == pytest.approx(lengths[a, b])
        assert lengths[a, b] >= straight - 1e-6
        if area.covers(LineString([places[a], places[b]])):
            assert lengths[a, b] == pytest.approx(straight)
        # Any path through a third place, straight both ways, is an upper bound.
        for via in itertools.product(range(-450, 451, 150), repeat=2):
            legs = [LineString([places[a], via]), LineString([via, places[b]])]
            if all(area.covers(leg) for leg in legs):
                assert lengths[a, b] <= sum(leg.length for leg in legs) + 1e-6


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_polishing_keeps_the_items_and_never_worsens(seed):
    task = _random_task(seed, points=3, lines=2, vehicles=1)
    rng = random.Random(seed)
    order = rng.sample(range(5), 5)
    route = tuple(Stop(i, task.items[i].reversible and rng.random() < 0.5) for i in order)

    def cost(other):
        return route_time_s(task, 0, other)

    better = polish(route, task.items, cost)
    assert sorted(s.item for s in better) == list(range(5))
    assert not any(s.flip and not task.items[s.item].reversible for s in better)
    assert cost(better) <= cost(route)
    assert polish(route, task.items, cost, trials=1) == route
