# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sweeping areas: everything is swept, legs stay where they may run, paths are short, the same seed gives the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from coverage_families import FAMILIES, WIDTH_M
from coverage_shapes import areas, others, rings_of, star
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity
from shapely.geometry import LineString, MultiPolygon, Polygon, box

from missions.coverage.camera import wind_cost
from missions.coverage.sweep import sweep_area
from missions.errors import PlanningError
from missions.judge_coverage import judge_coverage
from missions.model import Budget

BUDGET = Budget(iterations=10)


def judged(area, found, forbidden=()):
    return judge_coverage(
        [found.corners_m], rings_of(area), found.width_m, forbidden=[rings_of(f)[0] for f in forbidden]
    )


@settings(max_examples=8)
@given(areas, st.sampled_from([3.0, 6.0]))
def test_everything_is_swept_and_no_leg_leaves_the_area(area, width_m):
    found = sweep_area(area, width_m, BUDGET)
    verdict = judged(area, found)
    assert verdict.fraction == 1.0, verdict
    assert verdict.length_m == pytest.approx(found.length_m)
    assert area.buffer(0.01).covers(LineString(found.corners_m)) or len(found.corners_m) < 2
    disc_bound_m = (area.area - math.pi * width_m**2 / 4.0) / width_m
    assert found.length_m >= disc_bound_m - 1e-6


@pytest.mark.parametrize("kind", ["spikes", "corridor", "sliver", "wings"])
@settings(max_examples=2)
@given(st.integers(0, 10_000))
def test_shapes_of_other_kinds_are_swept_whole(kind, seed):
    """No figure of these kinds is promised to be short, but every one is swept, and from inside."""
    area = dict(others(seed))[kind]
    found = sweep_area(area, 5.0, Budget(iterations=3))
    assert judged(area, found).fraction == 1.0
    room = Polygon(area.exterior)
    assert room.buffer(0.01).covers(LineString(found.corners_m)) or len(found.corners_m) < 2


def test_a_rectangle_costs_its_passes_and_steps_aside():
    found = sweep_area(box(0, 0, 100, 40), 10.0, BUDGET)
    assert found.ratio <= 1.25
    assert judged(box(0, 0, 100, 40), found).fraction == 1.0


def test_long_areas_are_swept_lengthways():
    found = sweep_area(affinity.rotate(box(0, 0, 300, 39.9), 30, origin=(0, 0)), 10.0, BUDGET)
    assert found.direction_deg == pytest.approx(30.0, abs=1e-6)
    assert found.ratio <= 1.12


def test_forbidden_holes_are_gone_round():
    area = star(4, size=36.0, holes=15, hole_m=3.0)
    holes = [Polygon(h) for h in area.interiors]
    assert len(holes) == 15
    around = sweep_area(area, 3.0, BUDGET, allowed=area)
    verdict = judged(area, around, holes)
    assert verdict.fraction == 1.0
    assert verdict.forbidden_m <= 1e-3 * around.length_m
    assert all(LineString(around.corners_m).intersection(h.buffer(-0.001)).is_empty for h in holes)
    assert around.ratio <= 1.30


def test_other_holes_may_be_overflown():
    area = star(4, size=30.0, holes=3, hole_m=4.0)
    over = sweep_area(area, 4.0, BUDGET)
    assert judged(area, over).fraction == 1.0
    assert over.ratio <= 1.25


@pytest.mark.parametrize(
    "area",
    [
        box(0, 0, 1.0, 1.0),  # smaller than a swath
        box(0, 0, 100.0, 0.01),  # a sliver
        Polygon([(0, 0), (100, 0.5), (200, 0)]),
        Polygon([(0, 0), (50, 0), (50, 50), (25, 0.001), (0, 50)]),  # nearly cut in two
        Polygon([(0, 0), (60, 0), (60, 60), (0, 60)], [[(10, 10), (30, 10), (30, 30)], [(30, 30), (50, 30), (50, 50)]]),
        MultiPolygon([box(0, 0, 20, 20), box(50, 0, 70, 20)]),
    ],
)
def test_degenerate_areas_are_swept(area):
    found = sweep_area(area, 5.0, BUDGET)
    assert judged(area, found).fraction == 1.0


@pytest.mark.parametrize(("name", "seed"), [("simple", 101), ("coast", 105), ("coast", 107)])
def test_tips_behind_a_corner_are_swept_too(name, seed):
    """No straight way leads from any pass to the tips of these areas."""
    area = FAMILIES[name](seed)
    found = sweep_area(area, WIDTH_M, Budget(iterations=60))
    assert judged(area, found).fraction == 1.0
    assert found.unswept_m2 <= 1e-6


def test_same_seed_same_path():
    first, second = (sweep_area(star(3, size=20.0), 4.0, Budget(iterations=25, seed=7)) for _ in range(2))
    assert np.array_equal(first.corners_m, second.corners_m)


def test_wind_turns_the_swaths_across_it():
    square = box(0, 0, 100, 100)
    for wind_from_deg, along_deg in ((0.0, 0.0), (90.0, 90.0)):  # from the north: swaths run east and west
        found = sweep_area(square, 10.0, BUDGET, metre_cost=wind_cost(10.0, 6.0, wind_from_deg))
        assert abs((found.direction_deg - along_deg + 90.0) % 180.0 - 90.0) < 1e-6


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 400), st.floats(0.0, 1.0))
def test_a_planner_that_is_stopped_anywhere_has_swept_everything(seed, share):
    """After any number of questions whether to stop: a whole path, the same for the same number, none too long."""
    area = star(seed % 40 + 1, size=16.0)

    def sweep(most):
        asked = [0]

        def stop():
            asked[0] += 1
            return asked[0] > most

        return sweep_area(area, 3.0, Budget(iterations=30, stop=stop)), asked[0]

    whole, questions = sweep(10**9)
    stopped, _ = sweep(round(share * questions))
    again, _ = sweep(round(share * questions))
    assert np.array_equal(stopped.corners_m, again.corners_m)
    assert judged(area, stopped).fraction == 1.0
    assert stopped.length_m >= stopped.bound_m * 0.9
    assert sweep(questions)[0].length_m == whole.length_m


def test_a_stopped_planner_gives_what_it_has():
    found = sweep_area(star(5, size=20.0), 4.0, Budget(iterations=1000, stop=lambda: True))
    assert judged(star(5, size=20.0), found).fraction == 1.0


def test_what_cannot_be_seen_is_said():
    found = sweep_area(box(0, 0, 20, 60), 10.0, BUDGET, allowed=box(0, 0, 20, 30))
    assert found.unswept_m2 == pytest.approx(20 * 25, abs=20)


@pytest.mark.parametrize(
    ("area", "width_m", "allowed", "said"),
    [
        (box(0, 0, 1, 1), 0.0, None, "wider than 0"),
        (box(0, 0, 1, 1), math.nan, None, "wider than 0"),
        (Polygon(), 1.0, None, "empty"),
        (Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]), 1.0, None, "crosses itself"),
        (box(0, 0, 10, 10), 1.0, box(100, 100, 110, 110), "no allowed place"),
        (box(0, 0, 100, 10), 4.0, shapely.union(box(0, 0, 40, 10), box(60, 0, 100, 10)), "cannot be reached"),
    ],
)
def test_what_cannot_be_planned_is_refused(area, width_m, allowed, said):
    with pytest.raises(PlanningError, match=said):
        sweep_area(area, width_m, BUDGET, allowed=allowed)


def test_what_no_allowed_place_sees_does_not_count_in_the_bound():
    """Two thirds of a field lie beyond where the vehicle may be: passes over the rest are no shorter than it asks for."""
    field, room = box(0.0, 0.0, 900.0, 200.0), box(-50.0, -50.0, 300.0, 250.0)
    found = sweep_area(field, 40.0, Budget(5), allowed=room)
    assert found.ratio >= 0.97  # a disc leads at both ends
    assert found.bound_m == pytest.approx((field.area - found.unswept_m2) / 40.0)
    assert found.unswept_m2 == pytest.approx(580.0 * 200.0, rel=0.02)
