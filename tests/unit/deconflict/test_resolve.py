# SPDX-License-Identifier: AGPL-3.0-or-later
"""Resolution: the independent judge finds nothing afterwards, nothing is changed without need, order does not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from deconflict_flights import FENCE, FRAME, LIMITS, flight_sets, plan, ring
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from missions.deconflict.bound import makespan_bound_s
from missions.deconflict.model import ChangeKind, Flight, Rules
from missions.deconflict.resolve import meetings_of, resolve
from missions.errors import PlanningError
from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum
from missions.judge_separation import judge_lost_site, judge_separation
from missions.model import Geofence
from missions.terrain import FlatTerrain

LONG = Rules(max_delay_s=5000.0)


def judged(found):
    return judge_separation([f.plan for f in found.flights], [f.start_s for f in found.flights], LIMITS)


def kinds(found, name=None):
    return [c.kind for c in found.changes if name in {None, c.vehicle_id}]


@settings(max_examples=60, deadline=None)
@given(flight_sets(), st.sampled_from([0.0, 20.0]))
def test_the_judge_finds_nothing_after_resolution(flights, shift):
    found = resolve(flights, LIMITS, replace(LONG, max_shift_m=shift))
    assert judged(found) == []
    assert [f.plan.vehicle_id for f in found.flights] == [f.plan.vehicle_id for f in flights]
    assert all(after.start_s >= before.start_s for before, after in zip(flights, found.flights, strict=True))
    assert meetings_of(found.flights, LIMITS) == []


@settings(max_examples=30, deadline=None)
@given(flight_sets(most=4), st.lists(st.floats(-4.0, 4.0), min_size=4, max_size=4))
def test_with_slack_flights_may_run_early_and_late(flights, off):
    found = resolve(flights, LIMITS, replace(LONG, slack_s=8.0))
    starts = [f.start_s + late for f, late in zip(found.flights, off, strict=False)]
    assert judge_separation([f.plan for f in found.flights], starts, LIMITS) == []


@settings(max_examples=30, deadline=None)
@given(flight_sets(most=5, top_priority=2), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(flights, rng):
    other = flights[:]
    rng.shuffle(other)
    one, two = resolve(flights, LIMITS, LONG), resolve(other, LIMITS, LONG)
    assert {f.plan.vehicle_id: f for f in one.flights} == {f.plan.vehicle_id: f for f in two.flights}
    assert set(one.changes) == set(two.changes)


@settings(max_examples=40, deadline=None)
@given(flight_sets(most=3))
def test_without_conflicts_nothing_is_changed(flights):
    rules = replace(LONG, return_layers=False)
    spread = [replace(f, start_s=f.start_s + 4000.0 * i) for i, f in enumerate(flights)]
    assume(meetings_of(spread, LIMITS, rules) == [])
    found = resolve(spread, LIMITS, rules)
    assert list(found.flights) == spread
    assert found.changes == ()
    assert found.inflation == 0.0


def test_far_apart_nothing_is_changed_for_a_lost_site_either():
    flights = [Flight(plan(f"d{i}", (1000.0 * i - 1500, 0.0), [(1000.0 * i - 1400, 300.0)])) for i in range(4)]
    found = resolve(flights, LIMITS)
    assert list(found.flights) == flights
    assert (found.changes, found.meetings, found.findings) == ((), (), ())


@settings(max_examples=40, deadline=None)
@given(flight_sets(top_priority=3))
def test_the_first_in_priority_flies_as_it_wished(flights):
    top = max(f.priority for f in flights)
    firsts = [f for f in flights if f.priority == top]
    assume(len(firsts) == 1)
    found = resolve(flights, LIMITS, replace(LONG, return_layers=False))
    assert firsts[0] in found.flights
    assert firsts[0].plan.vehicle_id not in {c.vehicle_id for c in found.changes}


@settings(max_examples=25, deadline=None)
@given(flight_sets(most=5))
def test_a_lost_site_brings_all_home_in_layers(flights):
    found = resolve(flights, LIMITS, LONG)
    assert found.findings == ()  # five find room between 40 and 120 m
    assert judge_lost_site([f.plan for f in found.flights], [f.start_s for f in found.flights], LIMITS) == []


@settings(max_examples=25, deadline=None)
@given(flight_sets(most=4))
def test_resolved_plans_keep_fence_and_heights(flights):
    found = resolve(flights, LIMITS, LONG)
    for before, after in zip(flights, found.flights, strict=True):
        ground = FlatTerrain(before.plan.home_amsl_m)
        was = {f.code for f in blockers(check_plan(before.plan, LIMITS, ground))}
        now = {f.code for f in blockers(check_plan(after.plan, LIMITS, ground))}
        assert now <= was


def head_on(**changes):
    """Two that fly one line in opposite directions, from docks 1.6 km apart."""
    return [
        Flight(plan("d1", (-800.0, 0.0), [(700.0, 0.0)], **changes)),
        Flight(plan("d2", (800.0, 0.0), [(-700.0, 0.0)], **changes)),
    ]


def test_the_judge_sees_two_fly_into_each_other():
    flights = head_on()
    found = judge_separation([f.plan for f in flights], [0.0, 0.0], LIMITS)
    assert {b.found_by for b in found} == {"sampling", "closest approach"}
    exact = next(b for b in found if b.found_by == "closest approach")
    assert exact.lateral_m < 0.01
    assert exact.vertical_m < 0.01
    east, north = FRAME.to_enu(exact.position)
    assert (east, north) == (pytest.approx(0.0, abs=1.0), pytest.approx(0.0, abs=1.0))
    lost = judge_lost_site([f.plan for f in flights], [0.0, 0.0], LIMITS)
    assert len(lost) == 1


def test_a_long_conflict_is_solved_by_another_layer_and_says_why():
    found = resolve(head_on(), LIMITS)
    assert judged(found) == []
    layers = [c for c in found.changes if c.kind is ChangeKind.LAYER]
    assert len(layers) == 1
    assert abs(layers[0].amount) == 10.0
    assert layers[0].because is not None
    assert {layers[0].because.first, layers[0].because.second} == {"d1", "d2"}
    assert found.inflation < 0.05


def test_where_layers_have_no_room_they_are_not_used():
    low = Geofence(FENCE.inclusion, max_altitude=Altitude(60.0, Datum.HOME))
    limits = replace(LIMITS, min_height_above_ground_m=55.0)
    flights = head_on(fence=low, return_height_m=60.0)
    found = resolve(flights, limits, LONG)
    assert ChangeKind.LAYER not in kinds(found)
    assert judge_separation([f.plan for f in found.flights], [f.start_s for f in found.flights], limits) == []
    # Both must come home at 60 m: there is no layer for the second.
    assert [f.code for f in found.findings] == ["return-layers-short"]
    assert "d1 and d2" in found.findings[0].message


def blocked_way(**changes):
    """d1 hovers on the way of d2 for ten minutes; d2 has priority over nobody."""
    return [
        Flight(plan("d1", (0.0, -300.0), [(0.0, 0.0)], holds=[600.0], return_height_m=60.0), priority=1),
        Flight(plan("d2", (-500.0, 0.0), [(-300.0, 0.0), (300.0, 0.0)], return_height_m=80.0, **changes)),
    ]


def test_a_hover_in_the_way_is_passed_to_the_side():
    rules = Rules(max_shift_m=0.0, return_layers=False)
    found = resolve(blocked_way(), LIMITS, rules)
    assert judged(found) == []
    steps = [c for c in found.changes if c.kind is ChangeKind.SIDESTEP]
    assert [c.vehicle_id for c in steps] == ["d2"]
    assert len(found.flights[1].plan.waypoints) == 3
    assert [f.code for f in blockers(check_plan(found.flights[1].plan, LIMITS, FlatTerrain(100.0)))] == []


def test_a_line_that_must_be_followed_is_not_left():
    serves = [(), ("street",)]
    rules = Rules(max_shift_m=0.0, return_layers=False, max_delay_s=900.0)
    found = resolve(blocked_way(serves=serves), LIMITS, rules)
    assert judged(found) == []
    assert ChangeKind.SIDESTEP not in kinds(found)
    assert [w.position for w in found.flights[1].plan.waypoints] == [
        w.position for w in blocked_way()[1].plan.waypoints
    ]


def test_a_fence_that_leaves_no_side_is_kept():
    narrow = Geofence((ring(-600, -14, 400, 14),), max_altitude=Altitude(120.0, Datum.HOME))
    rules = Rules(max_shift_m=0.0, return_layers=False, max_delay_s=900.0)
    found = resolve(blocked_way(fence=narrow), LIMITS, rules)
    assert judged(found) == []
    assert ChangeKind.SIDESTEP not in kinds(found)


def test_a_hold_on_the_way_when_the_start_cannot_wait():
    """d1 hovers on the way for a while; d2 must start within 5 s and waits at its first waypoint."""
    flights = [
        Flight(plan("d1", (0.0, -300.0), [(0.0, 0.0)], holds=[100.0], return_height_m=60.0), priority=1),
        Flight(plan("d2", (-500.0, 0.0), [(-300.0, 0.0), (300.0, 0.0)], return_height_m=80.0)),
    ]
    rules = Rules(max_shift_m=0.0, sidesteps=False, return_layers=False, max_delay_s=5.0)
    found = resolve(flights, LIMITS, rules)
    assert judged(found) == []
    held = [c for c in found.changes if c.kind is ChangeKind.HOLD]
    assert [(c.vehicle_id, c.item) for c in held] == [("d2", 0)]
    assert found.flights[1].plan.waypoints[0].hold_s == pytest.approx(held[0].amount)


def test_what_cannot_be_separated_is_refused_with_pair_time_and_place():
    rules = Rules(max_shift_m=0.0, sidesteps=False, max_hold_s=0.0, return_layers=False, max_delay_s=5.0)
    with pytest.raises(PlanningError) as refusal:
        resolve(blocked_way(), LIMITS, rules)
    said = str(refusal.value)
    assert "d2 and d1 cannot be separated" in said
    assert " s after the first start" in said
    assert "-33.86" in said
    assert "up to 5 s later" in said


def test_one_plan_per_vehicle():
    flights = head_on()
    with pytest.raises(PlanningError, match="more than one plan for d1;"):
        resolve([*flights, flights[0]], LIMITS)


def test_flights_that_only_take_off_and_land_take_turns():
    found = resolve([Flight(plan(f"d{i}", (0.0, 5.0 * i), [])) for i in range(3)], LIMITS)
    assert judged(found) == []
    assert sorted(f.start_s > 0.0 for f in found.flights) == [False, True, True]


def test_nothing_and_one_flight():
    assert resolve([], LIMITS).flights == ()
    one = head_on()[:1]
    assert list(resolve(one, LIMITS).flights) == one


@settings(max_examples=40, deadline=None, print_blob=True)
@given(flight_sets(), st.sampled_from([0.0, 20.0]))
def test_no_resolution_beats_the_makespan_bound(flights, shift):
    bound = makespan_bound_s(flights, LIMITS)
    found = resolve(flights, LIMITS, replace(LONG, max_shift_m=shift))
    assert 0.0 <= bound <= min(found.makespan_s, found.makespan_before_s) + 1e-6
    assert makespan_bound_s([], LIMITS) == 0.0
