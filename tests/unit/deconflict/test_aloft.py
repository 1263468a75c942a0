# SPDX-License-Identifier: AGPL-3.0-or-later
"""Drones in the air that fly on apart, held against the judge, which shares no code with what keeps them apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from missions.deconflict.aloft import Aloft, fly_on_apart
from missions.deconflict.model import ChangeKind
from missions.deconflict.options import held
from missions.deconflict.starts import started_apart
from missions.deconflict.trajectory import common_frame, fly, from_first_waypoint, places_m
from missions.energy import Performance, plan_energy
from missions.separation import check_separation
from tests.unit.deconflict.aloft_sets import aloft, aloft_sets, met, near_sets
from tests.unit.deconflict.deconflict_flights import LIMITS, plan


def names(plans):
    return [p.vehicle_id for p in plans]


def excused(found):
    """Pairs that the result itself says it could not keep apart, or not from the start."""
    ids = names(found.plans)
    return {(ids[i], ids[j]) for i, j in found.near_now} | left(found)


def left(found):
    """Pairs with one that nothing keeps apart from others."""
    ids = names(found.plans)
    return {(a, b) for a, b in combinations(ids, 2) if {a, b} & {ids[i] for i in found.unsolved}}


def set_of(*flights, height=40.0):
    return [aloft(plan(f"d{i}", home, places, height=height)) for i, (home, places) in enumerate(flights)]


@settings(deadline=None, max_examples=60)
@given(aloft_sets(), st.sampled_from([0.0, 4.0]), st.data())
def test_whatever_comes_out_passes_the_judge(craft, wind, data):
    found = fly_on_apart(craft, LIMITS, wind_m_s=wind)
    in_air = names(found.plans)
    shares = data.draw(st.lists(st.floats(0.0, 1.0), min_size=len(craft), max_size=len(craft)))
    late = [share * (found.slack_s or 0.0) for share in shares]
    for blowing in {0.0, wind}:
        assert met(found.plans, in_air, wind=blowing) <= excused(found)
        assert met(found.plans, in_air, wind=blowing, late_s=late) <= excused(found)
        for breach in check_separation(found.plans, LIMITS, wind_m_s=blowing, aloft=in_air):
            pair = breach.first, breach.second
            assert (breach.now and pair in found.near_now) or set(pair) & set(found.unsolved)


# Their ways out cross beyond the first metres: 9.8 m apart at one height.
CROSSING_OUT = set_of(
    ((250, 0), [(-4, 1), (16, 6), (-234, 385), (-288, -99)]),
    ((-300, 12), [(2, 1), (17, 18), (264, -192), (154, 353), (-321, -40)]),
)
# One has climbed away from the others and waits for its way home when the next one comes up after it.
CLIMBING_AFTER = set_of(
    ((-300, 0), [(0, 0)]),
    ((-300, 12), [(0, 0)]),
    ((-300, 24), [(0, 0), (0, 1), (0, -1)]),
)
# The one stops exactly 20 m away and comes back, while the other one climbs: they touch the minimum, and do not part.
TOUCHING = set_of(((0, 0), [(0, 0), (12, 16)]), ((-300, 12), [(0, 0)]))
# Both stay where they are as their plans say, longer than parting may take.
STAYING = [
    aloft(replace(c.plan, waypoints=tuple(replace(w, hold_s=90.0) for w in c.plan.waypoints)))
    for c in set_of(((-300, 0), [(0, 0)]), ((-300, 80), [(5, 0)]))
]


@settings(deadline=None, max_examples=80)
@given(near_sets(), st.sampled_from([0.0, 4.0]), st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4))
@example(CROSSING_OUT, 0.0, [0.0] * 4)
@example(CROSSING_OUT, 4.0, [0.0, 1.0, 0.0, 0.0])
@example(CLIMBING_AFTER, 0.0, [0.0] * 4)
@example(TOUCHING, 0.0, [0.0] * 4)
@example(STAYING, 0.0, [0.0] * 4)
def test_who_is_too_near_now_goes_apart_once_and_for_good(craft, wind, shares):
    found = fly_on_apart(craft, LIMITS, wind_m_s=wind)
    in_air = names(found.plans)
    late = [share * (found.slack_s or 0.0) for share in shares[: len(craft)]]
    for blowing in {0.0, wind}:
        assert met(found.plans, in_air, wind=blowing, leaving_s=20.0) <= left(found)
        # Who is late leaves later, but does not come back for that.
        leaving_s = 20.0 + max(late)
        assert met(found.plans, in_air, wind=blowing, late_s=late, leaving_s=leaving_s) <= left(found)
        for breach in check_separation(found.plans, LIMITS, wind_m_s=blowing, aloft=in_air):
            assert breach.now or {breach.first, breach.second} & set(found.unsolved)


def test_the_judge_excuses_who_is_too_near_now_until_they_are_apart_and_no_longer():
    ways = ((-300, 0), [(0, 0), (-200, 0)]), ((300, 0), [(10, 0), (200, 0)])
    off = [c.plan for c in set_of(*ways)]
    assert met(off, ["d0", "d1"]) == met(off, ["d0", "d1"], leaving_s=2.0) == {("d0", "d1")}
    assert met(off, ["d0", "d1"], leaving_s=20.0) == set()
    # Both turn round after 40 m and meet where they were.
    back = [
        c.plan
        for c in set_of(
            *((home, [here, (here[0] + out, 0), here]) for (home, (here, _)), out in zip(ways, (-40, 40), strict=True))
        )
    ]
    assert met(back, ["d0", "d1"], leaving_s=60.0) == {("d0", "d1")}
    # At the minimum across the ground is far enough to be allowed, and not to have parted.
    assert met([c.plan for c in TOUCHING], ["d0", "d1"], leaving_s=20.0) == set()
    assert met([c.plan for c in set_of(((0, 0), [(0, 0)]), ((40, 0), [(20, 0)]))], ["d0", "d1"]) == set()


@settings(deadline=None, max_examples=40)
@given(aloft_sets(), st.sampled_from([0.0, 4.0]))
def test_no_battery_goes_below_its_reserve_for_it_and_places_stay(craft, wind):
    found = fly_on_apart(craft, LIMITS, wind_m_s=wind)
    for one, base, new in zip(craft, found.base, found.plans, strict=True):
        was, now = (
            min(
                plan_energy(p, LIMITS, wind_m_s=w, battery_fraction=one.battery_fraction).margin_fraction
                for w in {0.0, wind}
            )
            for p in (base, new)
        )
        assert now >= min(was, LIMITS.reserve_fraction) - 1e-9
        assert new.waypoints[0].position == one.plan.waypoints[0].position
        assert new.waypoints[0].altitude == one.plan.waypoints[0].altitude  # it is there now
        places = list(dict.fromkeys(w.position for w in new.waypoints))  # a change of height has one of them twice
        assert places == [w.position for w in one.plan.waypoints[: len(places)]]
    changed = {c.vehicle_id for c in found.changes}
    assert changed == {c.plan.vehicle_id for c, p in zip(craft, found.plans, strict=True) if p != c.plan}


@settings(deadline=None, max_examples=30)
@given(aloft_sets(most=6), st.sampled_from([0.0, 4.0]), st.randoms(use_true_random=False))
def test_the_same_set_in_any_order_gives_the_same_plans(craft, wind, random):
    found = fly_on_apart(craft, LIMITS, wind_m_s=wind)
    assert fly_on_apart(craft, LIMITS, wind_m_s=wind) == found
    mixed = list(craft)
    random.shuffle(mixed)
    other = fly_on_apart(mixed, LIMITS, wind_m_s=wind)
    assert {p.vehicle_id: p for p in other.plans} == {p.vehicle_id: p for p in found.plans}


@settings(deadline=None, max_examples=30)
@given(aloft_sets(most=5), aloft_sets(least=1, most=3), st.sampled_from([0.0, 4.0]))
def test_those_that_start_from_pads_keep_clear_of_them(craft, others, wind):
    found = fly_on_apart(craft, LIMITS, wind_m_s=wind)
    waiting = [replace(o.plan, vehicle_id=f"p{i}", home=o.plan.waypoints[-1].position) for i, o in enumerate(others)]
    started = started_apart(waiting, LIMITS, wind_m_s=wind, aloft=found.plans)
    every, in_air = [*found.plans, *started.plans], names(found.plans)
    assert met(every, in_air, wind=wind) <= excused(found)


def test_who_meets_nobody_is_left_as_it_is():
    craft = [aloft(plan(f"d{i}", (0, 300 * i), [(200, 300 * i), (600, 300 * i)])) for i in range(3)]
    found = fly_on_apart(craft, LIMITS, wind_m_s=5.0)
    assert found.plans == tuple(c.plan for c in craft)
    assert found.changes == ()
    assert found.unsolved == ()
    assert found.slack_s == 30.0


def test_one_or_none_is_alone():
    assert fly_on_apart([], LIMITS).plans == ()
    one = aloft(plan("a", (0, 0), [(300, 0)]))
    assert fly_on_apart([one], LIMITS).plans == (one.plan,)


def crossing(battery=1.0, **options):
    """Two that reach the middle at the same time, from where they stand."""
    one = plan("a", (-600, 0), [(-200, 0), (200, 0), (200, 400)])
    two = plan("b", (0, -600), [(0, -200), (0, 200), (-400, 200)])
    return [aloft(p, battery=battery, **options) for p in (one, two)]


def test_one_of_two_that_cross_hovers_where_it_is():
    craft = crossing()
    assert met([c.plan for c in craft], ["a", "b"]) == {("a", "b")}
    found = fly_on_apart(craft, LIMITS)
    (change,) = found.changes
    assert (change.kind, change.item) == (ChangeKind.HOLD, 0)
    moved = next(p for p in found.plans if p.vehicle_id == change.vehicle_id)
    assert moved.waypoints[0].hold_s == change.amount
    assert met(found.plans, ["a", "b"]) == set()


def spare(flight, seconds):
    """The battery with which a flight has so many seconds of hover beyond its reserve."""
    used = plan_energy(flight, LIMITS).battery_fraction_used
    return used + LIMITS.reserve_fraction + seconds / LIMITS.endurance_s


def test_without_the_battery_for_a_hold_one_flies_a_little_higher_or_lower():
    craft = [
        Aloft(c.plan, spare(c.plan, 2.0 if c.plan.vehicle_id == "a" else 3.0), c.shorter, c.home) for c in crossing()
    ]
    found = fly_on_apart(craft, LIMITS)
    (change,) = found.changes
    assert change.kind is ChangeKind.LAYER
    assert abs(change.amount) == 10.0
    assert met(found.plans, ["a", "b"]) == set()


def test_where_no_height_is_free_either_one_is_cut_short_and_else_comes_home():
    low = replace(LIMITS, max_height_above_ground_m=60.0, min_height_above_ground_m=60.0)
    # Both on one line, towards each other, to where the other one stands.
    one = plan("a", (-600, 30), [(-300, 0), (0, 0), (150, 0), (300, 0)], height=60.0, return_height_m=60.0)
    two = plan("b", (600, 30), [(300, 0), (150, 0), (0, 0), (-300, 0)], height=60.0, return_height_m=60.0)
    cut = [aloft(p, battery=spare(p, 0.0)) for p in (one, two)]
    kinds = {c.kind for c in fly_on_apart(cut, low).changes}
    assert kinds == {ChangeKind.SHORTER}
    stiff = [aloft(p, battery=spare(p, 0.0), shortens=False) for p in (one, two)]
    found = fly_on_apart(stiff, low)
    assert [c.kind for c in found.changes] == [ChangeKind.HOME]
    assert met(found.plans, ["a", "b"]) == set()
    lost = fly_on_apart([aloft(p, battery=spare(p, 0.0), shortens=False, comes_home=False) for p in (one, two)], low)
    assert len(lost.unsolved) == 1
    assert lost.changes == ()


def test_two_that_are_too_near_now_go_apart_at_once_and_do_not_both_wait():
    side = [aloft(plan(n, (-600, 30 * y), [(0, y), (500, y), (500, y + 300)])) for n, y in (("a", 0), ("b", 10))]
    found = fly_on_apart(side, LIMITS)
    assert found.near_now == ((0, 1),)
    assert found.unsolved == ()
    (breach,) = check_separation(found.plans, LIMITS, aloft=["a", "b"])
    assert breach.now
    assert breach.until_s < 10.0
    assert breach.finding.code == "separation-now"
    assert "bring them apart by hand" in breach.finding.message
    # Not led apart they stay together all the way, and that is no matter of now.
    (together,) = check_separation([c.plan for c in side], LIMITS, aloft=["a", "b"])
    assert not together.now


def test_of_three_at_one_point_those_whose_way_home_is_blocked_wait_in_other_layers():
    craft = set_of(*(((-300, 12 * k), [(0, 0)]) for k in range(3)))
    found = fly_on_apart(craft, LIMITS)
    assert found.near_now == ((0, 1), (0, 2), (1, 2))
    assert found.unsolved == ()
    layers = [c.amount for c in found.changes if c.kind is ChangeKind.LAYER]
    assert layers
    assert met(found.plans, names(found.plans), leaving_s=20.0) == set()


def delays(found, craft):
    return sum(
        plan_energy(p, LIMITS).time_s - plan_energy(c.plan, LIMITS).time_s
        for p, c in zip(found.plans, craft, strict=True)
    )


def brute_force(craft, slack_s, seconds):
    """The least sum of delays of all holds at one waypoint of either flight, by the judge, early and late by the slack."""
    ways = []
    for c in craft:
        held_at = [held(c.plan, k, s) for k in range(len(c.plan.waypoints)) for s in seconds]
        ways.append([c.plan, *held_at])
    base = [plan_energy(c.plan, LIMITS).time_s for c in craft]
    first_s, second_s = ([plan_energy(way, LIMITS).time_s for way in each] for each in ways)
    every = sorted(
        (
            (a_s + b_s - sum(base), i, j)
            for (i, a_s), (j, b_s) in product(enumerate(first_s), enumerate(second_s))
            if min(i, j) == 0 or max(i, j) < 40
        ),
    )
    offsets = np.linspace(0.0, slack_s, 6)
    for delay, i, j in every:
        pair = [ways[0][i], ways[1][j]]
        if all(not met(pair, ["a", "b"], late_s=late) for o in offsets for late in ([o, 0.0], [0.0, o])):
            return delay
    return np.inf


@pytest.mark.parametrize("seed", range(2, 10))
def test_two_wait_no_longer_than_the_best_of_all_holds(seed):
    rng = np.random.default_rng(seed)
    for _ in range(200):
        flights = [
            plan(n, (-900, y), rng.integers(-250, 250, (4, 2)).tolist(), height=60.0) for n, y in (("a", 0), ("b", 200))
        ]
        craft = [aloft(f, shortens=False, comes_home=False) for f in flights]
        if met(flights, ["a", "b"]):
            found = fly_on_apart(craft, LIMITS)
            if found.near_now or found.slack_s != 10.0 or any(c.kind is not ChangeKind.HOLD for c in found.changes):
                continue
            break
    best = brute_force(craft, 10.0, np.arange(1.0, 61.0, 1.0))
    print(f"seed {seed}: {delays(found, craft):.1f} s of waiting, all holds in steps of a second: {best:.1f} s")
    assert met(found.plans, ["a", "b"]) == set()
    assert np.isfinite(best)
    assert delays(found, craft) <= best + 0.2


def test_how_often_everything_is_solved():
    """On fixed random sets; how often each remedy was needed is printed."""
    kinds, unsolved = Counter(), 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        craft = []
        for i in range(8):
            places = rng.integers(-400, 400, (5, 2)).tolist()
            flight = plan(f"d{i}", (-600, 30.0 * i), places, height=float(rng.choice([40.0, 46.0, 52.0, 58.0])))
            craft.append(aloft(flight, battery=spare(flight, float(rng.uniform(0.0, 60.0)))))
        found = fly_on_apart(craft, LIMITS)
        kinds.update(c.kind.value for c in found.changes)
        kinds[f"slack {found.slack_s:.0f}"] += 1
        unsolved += bool(found.unsolved)
        assert met(found.plans, names(found.plans)) <= excused(found)
    print(f"seeds 0 to 39: {dict(kinds)}, sets with one that nothing helps: {unsolved}")
    assert unsolved <= 2


def test_a_hold_where_a_drone_is_now_costs_its_seconds_for_the_motion_the_battery_and_the_judge():
    flight = plan("a", (-300, 0), [(0, 0), (300, 0), (300, 300)])
    longer = held(flight, 0, 20.0)
    frame = common_frame([flight])
    was, now = (from_first_waypoint(fly(p, LIMITS, places_m(p, frame), wind_m_s=4.0)) for p in (flight, longer))
    costs = [plan_energy(p, LIMITS, wind_m_s=4.0) for p in (flight, longer)]
    stop_s = Performance(LIMITS, 4.0).corner_s(8.0, 180.0)  # it was flown through
    assert now.duration_s - was.duration_s == pytest.approx(20.0 + stop_s)
    assert costs[1].time_s - costs[0].time_s == pytest.approx(20.0 + stop_s)
    used = costs[1].battery_fraction_used - costs[0].battery_fraction_used
    assert used * LIMITS.endurance_s == pytest.approx(20.0 + stop_s)
    assert costs[1].arrival_s[0] == costs[0].arrival_s[0]
    assert now.at(19.0)[:2] == pytest.approx((frame.to_enu(flight.waypoints[0].position)), abs=1e-3)
    # Whoever passes there 15 s from now meets it only if it holds, or has not flown on yet.
    other = plan("b", (0, -500), [(0, -120), (0, 300)])
    assert met([flight, other], ["a", "b"]) == set()
    assert met([longer, other], ["a", "b"]) == met([flight, other], ["a", "b"], late_s=[20.0, 0.0]) == {("a", "b")}
