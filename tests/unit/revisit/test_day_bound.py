# SPDX-License-Identifier: AGPL-3.0-or-later
"""The bound on a day against every schedule of tiny days, and against what the planner finds on larger ones."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from missions.energy import Performance
from missions.model import Budget, VehicleLimits
from missions.revisit.day import Craft, DayTask, Visit, gaps
from missions.revisit.day_bound import day_bound
from missions.revisit.flights import do_visit, fly
from missions.revisit.timetable import plan_day
from missions.revisit.ways import Ways

AREA = box(-3000, -3000, 3000, 3000)


def day(places, intervals, *, drones=1, length_s=1200.0, fly_s=700.0, swap_s=60.0, service_s=10.0):
    """A dock in the middle, points around it, all wanted for the whole stretch."""
    ways = Ways(AREA, np.asarray([(0.0, 0.0), *places]), Performance(VehicleLimits(), 0.0), 8.0)
    visits = tuple(
        Visit(f"p{i}", i + 1, i + 1, (place,), service_s, interval, ((0.0, length_s),))
        for i, (place, interval) in enumerate(zip(places, intervals, strict=True))
    )
    craft = tuple(Craft(f"d{k}", 0, fly_s, 20.0, 30.0) for k in range(drones))
    return DayTask(ways, visits, (), craft, swap_s, (0.0, length_s))


def worst(task, arrivals):
    return max(
        (b - a) / v.interval_s for v in task.visits for w in v.windows for a, b in gaps(arrivals.get(v.item_id, []), w)
    )


def best_of_all(task, waits=(0.0,)):
    """Every sequence of flights of one drone: all orders of all subsets, each after each wait, until the day is over."""
    (craft,) = task.craft
    orders = [o for n in range(1, len(task.visits) + 1) for o in permutations(task.visits, n)]
    best = worst(task, {})

    def go(ready, arrivals):
        nonlocal best
        best = min(best, worst(task, arrivals))
        for order, wait in product(orders, waits):
            flight = fly(task, craft, ready + wait, [do_visit(v) for v in order])
            if flight is None or flight.stops[0].arrive_s > task.hours[1]:
                continue
            more = {k: list(t) for k, t in arrivals.items()}
            for stop in flight.stops:
                more.setdefault(stop.item_id, []).append(stop.arrive_s)
            go(flight.landed_s + task.swap_s, more)

    go(-200.0, {})  # the first flight may be under way when the stretch begins
    return best


@settings(max_examples=12, deadline=None, print_blob=True)
@given(
    places=st.lists(
        st.tuples(st.integers(-900, 900).map(float), st.integers(-900, 900).map(float)),
        min_size=1,
        max_size=2,
        unique=True,
    ),
    intervals=st.lists(st.sampled_from([150.0, 300.0, 600.0]), min_size=2, max_size=2),
    fly_s=st.sampled_from([420.0, 700.0]),
    swap_s=st.sampled_from([0.0, 120.0]),
)
def test_no_schedule_beats_the_bound(places, intervals, fly_s, swap_s):
    task = day(places, intervals[: len(places)], length_s=700.0, fly_s=fly_s, swap_s=swap_s)
    bound, best = day_bound(task), best_of_all(task)
    assert 0.0 < bound <= best + 1e-9


def test_the_bound_is_near_the_best_of_all_where_the_day_is_full():
    task = day([(800.0, 0.0), (800.0, 300.0)], [200.0, 200.0], length_s=1000.0, swap_s=120.0)
    bound, best = day_bound(task), best_of_all(task)
    assert bound <= best <= 2.0 * bound


def test_one_item_is_as_far_apart_as_flights_are():
    # There and back 2 x 100 s, 20 + 30 s of take-off and landing, 50 s of swap, 10 s of service: 310 s apart.
    task = day([(800.0, 0.0)], [100.0], length_s=3100.0, swap_s=50.0)
    assert day_bound(task) == pytest.approx(3100.0 / (100.0 * 12.0), rel=0.02)


def test_items_that_no_way_leads_to_are_missed_with_the_reason_and_do_not_lift_the_bound_of_others():
    """Inside the fence, but nearer to its edge than legs keep: no place of the area, and no leg ends there."""
    places, length = [(300.0, 0.0), (3005.0, 0.0), (3005.0, 400.0)], 3600.0
    task = day(places, [600.0, 1800.0, 3600.0], length_s=length)
    found = plan_day(task, Budget(2))
    assert found.bound == day_bound(task) == pytest.approx(length / 1800.0)
    assert found.bound <= found.worst_ratio
    alone = day(places[:1], [600.0], length_s=length)
    assert day_bound(alone) < found.bound
    assert {m.item_id: m.why for m in found.misses} == dict.fromkeys(
        ("p1", "p2"), "no way leads there inside the fence"
    )


@pytest.mark.parametrize("drones", [1, 2, 3])
def test_the_planner_never_beats_it_and_more_drones_lower_it(drones):
    rng = np.random.default_rng(drones)
    places = [tuple(float(c) for c in p) for p in rng.uniform(-900, 900, (6, 2))]
    make = {"length_s": 7200.0, "fly_s": 1000.0, "swap_s": 200.0}
    task = day(places, [400.0] * 6, drones=drones, **make)
    found = plan_day(task, Budget(4))
    assert found.bound == day_bound(task)
    assert found.bound <= found.worst_ratio
    assert day_bound(day(places, [400.0] * 6, drones=drones + 1, **make)) < found.bound
    print(
        f"{drones} drones: {found.worst_ratio:.2f} over {found.bound:.2f}, ratio {found.worst_ratio / found.bound:.2f}"
    )
