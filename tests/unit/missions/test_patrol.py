# SPDX-License-Identifier: AGPL-3.0-or-later
"""Patrol plans over random sites: every plan passes the independent judge and the feasibility rules."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mission_plans import LIMITS, MISSION, square
from shapely.geometry import LineString, Point, Polygon

from missions.energy import plan_energy
from missions.errors import PlanningError
from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.judge_separation import judge_separation
from missions.model import Budget, Geofence, VehicleLimits
from missions.patrol import SWAP_S, PatrolLine, PatrolPoint, PatrolTask, PatrolVehicle, plan_patrol
from missions.separation import least_separation
from missions.terrain import FlatTerrain, GridTerrain
from missions.validate import MustLine, MustPoint, judge_patrol

BUDGET = Budget(iterations=150, seed=4)
HOMES = [GeoPoint(29.74, 107.27), GeoPoint(-17.0, 179.9995), GeoPoint(63.9, -22.6)]


class Site:
    """A random place: hills, holes, points and lines where they can be reached with the margin."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.limits = replace(LIMITS, endurance_s=6000.0)
        self.frame = LocalFrame(rng.choice(HOMES))
        margin = self.limits.position_error_m + 8.0**2 / 6.0 + 3.0
        area = Polygon([(-900, -700), (700, -900), (1000, 300), (200, 950), (-800, 800)])
        holes = []
        for _ in range(rng.randint(0, 4)):
            x, y, size = rng.uniform(-600, 600), rng.uniform(-600, 600), rng.uniform(20, 110)
            if np.hypot(x, y) > size + 60:
                turn = rng.uniform(0, 6.28)
                holes.append(
                    [
                        (x + size * np.cos(turn + a), y + size * np.sin(turn + a))
                        for a in np.linspace(0, 5.0, rng.randint(3, 5))
                    ]
                )
        room = area.buffer(-margin).difference(shapely.union_all([Polygon(h).buffer(2 * margin) for h in holes]))
        room = max(shapely.get_parts(room), key=lambda p: p.area)
        self.fence = Geofence(
            (self._ring(area.exterior.coords[:-1]),), tuple(self._ring(h) for h in holes), Altitude(190.0, Datum.HOME)
        )
        self.terrain = self._hills(rng)
        self.points = tuple(
            PatrolPoint(f"p{i}", f"point {i}", self._spot(rng, room), rng.choice([0.0, 3.0, 10.0]))
            for i in range(rng.randint(0, 6))
        )
        lines = []
        while len(lines) < rng.randint(0 if self.points else 1, 3):
            start = self.frame.to_enu(self._spot(rng, room))
            path = [start]
            for _ in range(rng.randint(1, 3)):
                path.append((path[-1][0] + rng.uniform(-300, 300), path[-1][1] + rng.uniform(-300, 300)))
            if room.covers(LineString(path)) and LineString(path).length > 20:
                lines.append(tuple(self.frame.to_geo(*p) for p in path))
        self.lines = tuple(PatrolLine(f"l{i}", f"line {i}", path) for i, path in enumerate(lines))
        if not self.points and not self.lines:
            self.points = (PatrolPoint("p0", "point", self.frame.to_geo(100, 100), 1.0),)
        self.vehicles = tuple(
            PatrolVehicle(f"d{i + 1}", self.frame.to_geo(6.0 * i, 0.0), 130.0 + 8.0 * i, 6.0 * i)
            for i in range(rng.randint(1, 3))
        )
        self.task = PatrolTask(MISSION, self.points, self.lines, 60.0, 8.0)

    def _ring(self, corners):
        return tuple(self.frame.to_geo(*c) for c in corners)

    def _spot(self, rng, room):
        while True:
            x, y = rng.uniform(-900, 900), rng.uniform(-900, 900)
            if room.covers(Point(x, y)):
                return self.frame.to_geo(x, y)

    def _hills(self, rng):
        axis = np.arange(-1500.0, 1501.0, 25.0)
        x, y = np.meshgrid(axis, axis)
        heights = np.full_like(x, 300.0)
        for _ in range(rng.randint(0, 6)):
            cx, cy, sigma = rng.uniform(-900, 900), rng.uniform(-900, 900), rng.uniform(80, 300)
            heights += rng.uniform(-60, 60) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
        level = 1.0 - np.exp(-(x**2 + y**2) / 150.0**2)
        heights = 300.0 + (heights - 300.0).clip(-70, 70) * level
        return GridTerrain(self.frame, -1500.0, -1500.0, 25.0, heights.astype(np.float32), "random", 1.5)

    def plan(self, budget=BUDGET, wind_m_s=0.0):
        return plan_patrol(self.task, self.vehicles, self.fence, self.limits, self.terrain, budget, wind_m_s=wind_m_s)

    def judge(self, plans):
        return judge_patrol(
            plans,
            [MustPoint(p.item_id, p.position, p.dwell_s) for p in self.points],
            [MustLine(line.item_id, line.path) for line in self.lines],
            self.fence,
            self.limits,
            self.terrain,
        )


@given(st.integers(0, 100_000))
@settings(max_examples=15, deadline=None)
def test_random_sites_get_plans_that_the_judge_accepts(seed):
    site = Site(seed)
    found = site.plan()
    assert site.judge(found.plans) == []
    assert judge_separation(found.plans, [p.start_after_s for p in found.plans], site.limits) == []
    for plan in found.plans:
        assert blockers(check_plan(plan, site.limits, site.terrain)) == []
    assert found.bound_s <= found.busiest_s + 1e-6
    assert found.ratio >= 1.0 - 1e-9
    assert found.busiest_s == max(e.time_s for e in found.energies)
    assert found == site.plan()


@given(st.integers(0, 100_000), st.floats(350.0, 900.0), st.sampled_from([0.0, 4.0]))
@example(1937, 548.0, 0.0)  # two items that one of two drones can reach: it flies twice, the other not at all
@settings(max_examples=12, deadline=None)
def test_weak_batteries_ask_for_more_flights_or_are_refused_by_name(seed, endurance_s, wind_m_s):
    """What is planned lands with its reserve in the wind, one drone's flights one after another; what is refused truly cannot."""
    site = Site(seed)
    site.limits = replace(site.limits, endurance_s=endurance_s)
    try:
        found = site.plan(wind_m_s=wind_m_s)
    except PlanningError as error:
        for name in [line.split("'")[1] for line in str(error).splitlines()]:
            alone = replace(
                site.task,
                points=tuple(p for p in site.points if p.item_id == name),
                lines=tuple(line for line in site.lines if line.item_id == name),
            )
            enough = replace(site.limits, endurance_s=60_000.0)
            plan = plan_patrol(alone, site.vehicles, site.fence, enough, site.terrain, BUDGET).plans[0]
            assert plan_energy(plan, site.limits, wind_m_s=wind_m_s).margin_fraction < site.limits.reserve_fraction
        return
    assert site.judge(found.plans) == []
    starts = [p.start_after_s for p in found.plans]
    assert judge_separation(found.plans, starts, site.limits) == []
    busy = {}
    for plan, energy in sorted(zip(found.plans, found.energies, strict=True), key=lambda f: f[0].start_after_s):
        assert blockers(check_plan(plan, site.limits, site.terrain, wind_m_s=wind_m_s)) == []
        assert energy == plan_energy(plan, site.limits, wind_m_s=wind_m_s)
        free_s, done_s = busy.get(plan.vehicle_id, (0.0, -SWAP_S))
        assert plan.start_after_s >= free_s - 0.1
        calm_s = plan_energy(plan, site.limits).time_s
        busy[plan.vehicle_id] = (
            plan.start_after_s + max(calm_s, energy.time_s) + SWAP_S,
            done_s + SWAP_S + energy.time_s,
        )
    assert found.busiest_s == pytest.approx(max(done for _, done in busy.values()))
    assert found.bound_s <= found.busiest_s + 1e-6


def test_a_round_that_outlasts_the_battery_becomes_several_flights():
    points = tuple(
        at(e, n, name=f"p{k}") for k, (e, n) in enumerate([(-450, -450), (-450, 450), (450, 450), (60, -450)])
    )
    task, two = _square_task(points), (*PAD, PatrolVehicle("d2", FRAME.to_geo(6.0, 0.0), 76.0))
    weak = replace(LIMITS, endurance_s=480.0)
    (one,) = plan_patrol(task, PAD, HOLED, replace(LIMITS, endurance_s=1800.0), FLAT, BUDGET).plans
    assert plan_energy(one, weak).margin_fraction < 0.0
    alone = plan_patrol(task, PAD, HOLED, weak, FLAT, BUDGET)
    both = plan_patrol(task, two, HOLED, weak, FLAT, BUDGET)
    for found in (alone, both):
        assert sorted(item for p in found.plans for w in p.waypoints for item in w.serves) == ["p0", "p1", "p2", "p3"]
        assert all(e.margin_fraction >= weak.reserve_fraction for e in found.energies)
    assert len(alone.plans) > 1
    assert alone.busiest_s == pytest.approx(sum(e.time_s for e in alone.energies) + SWAP_S * (len(alone.plans) - 1))
    assert both.busiest_s < 0.7 * alone.busiest_s
    with pytest.raises(
        PlanningError, match=r"'p\d': d1 would use \d+% of its battery too much, only to get there and back"
    ):
        plan_patrol(task, PAD, HOLED, replace(LIMITS, endurance_s=200.0), FLAT, BUDGET)
    with pytest.raises(PlanningError, match="wait for less wind"):
        plan_patrol(task, PAD, HOLED, replace(LIMITS, endurance_s=280.0), FLAT, BUDGET, wind_m_s=8.0)


def test_a_drone_whose_battery_does_not_reach_leaves_the_item_to_the_other():
    near, far = at(-450, 400, name="near"), at(450, 450, name="far")
    weak = replace(LIMITS, endurance_s=300.0)
    two = (
        PatrolVehicle("d1", FRAME.to_geo(-440.0, 300.0), 70.0),
        PatrolVehicle("d2", FRAME.to_geo(420.0, 380.0), 76.0),
    )
    found = plan_patrol(_square_task((near, far)), two, HOLED, weak, FLAT, BUDGET)
    assert {p.vehicle_id: [i for w in p.waypoints for i in w.serves] for p in found.plans} == {
        "d1": ["near"],
        "d2": ["far"],
    }


# Judges must be judged: every kind of damage is noticed.
def _drop_last(plan):
    return replace(plan, waypoints=plan.waypoints[:-1])


def _no_hold(plan):
    return replace(plan, waypoints=tuple(replace(w, hold_s=0.0) for w in plan.waypoints))


def _low(plan):
    return replace(plan, waypoints=tuple(replace(w, altitude=Altitude(5.0, Datum.HOME)) for w in plan.waypoints))


def _high(plan):
    return replace(plan, waypoints=tuple(replace(w, altitude=Altitude(185.0, Datum.HOME)) for w in plan.waypoints))


def _far(plan):
    away = GeoPoint(plan.home.latitude_deg + 0.02, plan.home.longitude_deg)
    return replace(plan, waypoints=(*plan.waypoints, replace(plan.waypoints[0], position=away, serves=())))


def _shifted(plan):
    moved = [GeoPoint(w.position.latitude_deg + 1e-4, w.position.longitude_deg) for w in plan.waypoints]
    return replace(plan, waypoints=tuple(replace(w, position=p) for w, p in zip(plan.waypoints, moved, strict=True)))


def _nothing_served(plan):
    return replace(plan, waypoints=tuple(replace(w, serves=()) for w in plan.waypoints))


@pytest.mark.parametrize("damage", [_drop_last, _no_hold, _low, _high, _far, _shifted, _nothing_served])
def test_the_judge_notices(damage):
    site = Site(11)
    site.points = tuple(replace(p, dwell_s=5.0) for p in site.points)
    site.task = replace(site.task, points=site.points)
    assert site.points
    plans = site.plan().plans
    assert site.judge(plans) == []
    assert site.judge([damage(p) for p in plans])


def _square_task(points=(), lines=(), height=60.0, speed=8.0):
    return PatrolTask(MISSION, points, lines, height, speed)


FRAME = LocalFrame(HOMES[0])
HOLED = Geofence((square(-500, -500, 500, 500),), (square(100, -200, 200, 200),))
PAD = (PatrolVehicle("d1", HOMES[0], 70.0),)
FLAT = FlatTerrain(200.0, resolution_m=30.0)


def at(east, north, dwell=3.0, name="p"):
    return PatrolPoint(name, name, FRAME.to_geo(east, north), dwell)


def test_the_way_round_a_hole_is_flown_and_the_return_too():
    found = plan_patrol(_square_task((at(300, 0),)), PAD, HOLED, LIMITS, FLAT, BUDGET)
    (plan,) = found.plans
    assert len(plan.waypoints) > 2
    assert blockers(check_plan(plan, LIMITS, FLAT)) == []
    assert found.energies[0].length_m > 2 * 300


def test_flat_ground_needs_no_extra_waypoints():
    line = PatrolLine("l", "l", tuple(FRAME.to_geo(*p) for p in ((-400, -400), (-400, 400))))
    (plan,) = plan_patrol(_square_task((), (line,)), PAD, HOLED, LIMITS, FLAT, BUDGET).plans
    assert len(plan.waypoints) == 2
    assert [w.serves for w in plan.waypoints] == [(), ("l",)]
    assert all(w.altitude == Altitude(60.0, Datum.HOME) for w in plan.waypoints)


def test_a_drone_too_many_stays_on_the_ground():
    pads = (*PAD, PatrolVehicle("d2", FRAME.to_geo(6, 0), 78.0, 6.0))
    found = plan_patrol(_square_task((at(-50, 0),)), pads, HOLED, LIMITS, FLAT, BUDGET)
    assert len(found.plans) == 1


@pytest.mark.parametrize(
    ("task", "fence", "hint"),
    [
        (_square_task(), HOLED, "nothing to patrol"),
        (_square_task((at(600, 0),)), HOLED, "'p' lies outside the fence or in a keep-out"),
        (_square_task((at(150, 0),)), HOLED, "'p' lies outside the fence or in a keep-out"),
        (_square_task((at(495, 0),)), HOLED, "'p' lies 5.0 m from the fence's edge"),
        (
            _square_task((), (PatrolLine("l", "l", (FRAME.to_geo(50, 0), FRAME.to_geo(300, 0))),)),
            HOLED,
            "'l' leaves the fence or crosses a keep-out",
        ),
        (
            _square_task((), (PatrolLine("l", "l", (FRAME.to_geo(-300, 495), FRAME.to_geo(300, 495))),)),
            HOLED,
            "'l' comes within 5.0 m",
        ),
        (
            _square_task((at(300, 0),)),
            replace(HOLED, exclusion=(square(100, -500, 200, 500),)),
            "'p' cannot be reached",
        ),
        (_square_task((at(300, 0),)), Geofence((square(50, 50, 500, 500),)), "the pad of d1 lies outside"),
        (_square_task((at(300, 0),), height=20.0), HOLED, "20 m above ground is outside the 31 to 119 m"),
    ],
)
def test_impossible_tasks_are_refused_by_name(task, fence, hint):
    with pytest.raises(PlanningError) as caught:
        plan_patrol(task, PAD, fence, LIMITS, FLAT, BUDGET)
    assert hint in str(caught.value)


def test_a_mountain_above_the_fence_top_is_refused():
    axis = np.arange(-700.0, 701.0, 20.0)
    x, y = np.meshgrid(axis, axis)
    heights = 200.0 + 150.0 * np.exp(-((x + 300) ** 2 + y**2) / (2 * 60.0**2))
    terrain = GridTerrain(FRAME, -700.0, -700.0, 20.0, heights.astype(np.float32), "a mountain", 1.0)
    fence = replace(HOLED, max_altitude=Altitude(120.0, Datum.HOME))
    with pytest.raises(PlanningError, match="over the fence's top"):
        plan_patrol(_square_task((at(-300, 0),)), PAD, fence, VehicleLimits(), terrain, BUDGET)


def test_layers_keep_crossing_paths_apart_in_height():
    site = Site(2)
    site.vehicles = tuple(
        PatrolVehicle(f"d{i + 1}", site.frame.to_geo(6.0 * i, 0.0), 130.0 + 8.0 * i, 6.0 * i) for i in range(3)
    )
    found = site.plan()
    apart = least_separation(found.plans, LIMITS)
    assert apart is None or apart.horizontal_m + 4.0 * apart.vertical_m > 10.0
    assert least_separation(found.plans[:1], LIMITS) is None


def test_two_that_meet_are_measured():
    pads = (PAD[0], PatrolVehicle("d2", FRAME.to_geo(0, 100), 70.0))
    a = plan_patrol(_square_task((at(-400, 100),)), pads[:1], HOLED, LIMITS, FLAT, BUDGET)
    b = plan_patrol(_square_task((at(-400, 100),)), pads[1:], HOLED, LIMITS, FLAT, BUDGET)
    apart = least_separation((*a.plans, *b.plans), LIMITS)
    assert apart is not None
    assert apart.horizontal_m < 30.0
    assert apart.vertical_m < 0.5
