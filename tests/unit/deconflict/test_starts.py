# SPDX-License-Identifier: AGPL-3.0-or-later
"""Starts that keep flights apart, held against the judge, which shares no code with them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.deconflict.starts import SLACKS_S, Started, started_apart
from missions.deconflict.trajectory import common_frame, fly, places_m
from missions.energy import plan_energy
from missions.judge_separation import judge_separation
from missions.model import VehicleLimits
from missions.separation import MINIMA, check_separation
from tests.unit.deconflict.deconflict_flights import LIMITS, flight_sets, plan


def starts_of(plans):
    return [p.start_after_s for p in plans]


@settings(deadline=None)
@given(flight_sets(least=2, most=6), st.sampled_from([0.0, 4.0]))
def test_the_judge_finds_nothing_and_nothing_but_starts_has_changed(flights, wind):
    plans = [f.plan for f in flights]
    started = started_apart(plans, LIMITS, wind_m_s=wind).plans
    assert [replace(p, start_after_s=0.0, starts_first=False) for p in started] == plans
    assert min(starts_of(started)) == 0.0
    for blowing in {0.0, wind}:
        assert judge_separation(started, starts_of(started), LIMITS, wind_m_s=blowing) == []
        assert check_separation(started, LIMITS, wind_m_s=blowing) == []


@settings(deadline=None)
@given(flight_sets(least=2, most=4), st.lists(st.floats(-0.5, 0.5), min_size=4, max_size=4))
def test_flights_may_run_early_and_late_within_the_slack(flights, shares):
    started = started_apart([f.plan for f in flights], LIMITS)
    assert started.slack_s in SLACKS_S
    slack_s = started.slack_s
    off = [s + slack_s / 2.0 + share * slack_s for s, share in zip(starts_of(started.plans), shares, strict=False)]
    assert judge_separation(started.plans, off, LIMITS) == []


@settings(deadline=None)
@given(flight_sets(least=1, most=3), st.floats(0.0, 300.0))
def test_a_drones_next_flight_waits_for_its_landing_and_a_fresh_battery(flights, swap):
    plans = [f.plan for f in flights for _ in range(2)]
    started = started_apart(plans, LIMITS, swap_s=swap).plans
    for first, second in zip(started[::2], started[1::2], strict=True):
        assert second.start_after_s >= first.start_after_s + plan_energy(first, LIMITS).time_s + swap - 1e-6
    assert judge_separation(started[::2], starts_of(started[::2]), LIMITS) == []
    assert check_separation(started, LIMITS) == []


def test_flights_that_never_meet_all_start_at_once():
    far = [plan("a", (0, 0), [(500, 0)]), plan("b", (0, 900), [(500, 900)]), plan("c", (0, 1800), [(500, 1800)])]
    assert starts_of(started_apart(far, LIMITS).plans) == [0.0, 0.0, 0.0]


def test_of_two_on_one_way_the_longer_goes_first_and_the_other_at_once_behind_it():
    short, long = plan("a", (0, 0), [(300, 0)]), plan("b", (8, 0), [(900, 0)])
    found = started_apart([short, long], LIMITS)
    started = found.plans
    assert started[1].start_after_s == 0.0
    assert found.slack_s < started[0].start_after_s < 120.0
    early = replace(started[0], start_after_s=started[0].start_after_s - found.slack_s - 0.2)
    assert judge_separation([early, started[1]], [early.start_after_s, 0.0], LIMITS) != []


@settings(deadline=None, max_examples=30)
@given(flight_sets(least=2, most=5), st.integers(1, 2), st.sampled_from([0.0, 4.0]))
def test_who_starts_keeps_clear_of_those_in_the_air(flights, count, wind):
    """Samples of the same motion: from the air at once, from the pads at their starts."""
    plans = [f.plan for f in flights]
    in_air, from_pads = plans[:count], plans[count:]
    started = started_apart(from_pads, LIMITS, wind_m_s=wind, aloft=in_air).plans
    every = [*started, *in_air]
    frame = common_frame(every)
    tracks = []
    for p in every:
        motion = fly(p, LIMITS, places_m(p, frame), wind_m_s=wind)
        begun = p.start_after_s if p in started else -plan_energy(p, LIMITS, wind_m_s=wind).arrival_s[0]
        tracks.append((motion.time_s + begun, motion.place_m))
    end = max(float(t[-1]) for t, _ in tracks)
    times = np.arange(0.0, end, 0.25)
    for i, j in combinations(range(len(every)), 2):
        if i >= len(started):
            continue  # both in the air: they are where they are
        (t1, p1), (t2, p2) = tracks[i], tracks[j]
        both = (times >= max(t1[0], t2[0])) & (times <= min(t1[-1], t2[-1]))
        one, two = (
            np.stack([np.interp(times[both], t, p[:, c]) for c in range(3)], axis=1) for t, p in ((t1, p1), (t2, p2))
        )
        across, high = np.hypot(*(one - two)[:, :2].T), np.abs((one - two)[:, 2])
        assert not ((across < MINIMA.lateral_m - 0.1) & (high < MINIMA.vertical_m - 0.1)).any()
    found = check_separation(every, LIMITS, wind_m_s=wind, aloft=[p.vehicle_id for p in in_air])
    assert all(b.first >= len(started) for b in found)


def test_two_in_the_air_that_meet_are_named_and_wait_for_nobody():
    one, two = plan("a", (0, 0), [(300, 0), (600, 0)]), plan("b", (0, 50), [(600, 0), (300, 0)])
    (met,) = check_separation([one, two], LIMITS, aloft=["a", "b"])
    assert met.time_s < 40.0  # half way from 300 m to 600 m, not minutes after take-off
    assert check_separation([one], LIMITS, aloft=["a"]) == []
    late = plan("c", (0, 4), [(300, 0)])
    (alone,) = started_apart([late], LIMITS).plans
    (behind,) = started_apart([late], LIMITS, aloft=[plan("d", (0, 0), [(60, 0)])]).plans
    assert alone.start_after_s == 0.0 < behind.start_after_s  # until d has landed beside it


def test_no_flights_and_a_single_one():
    assert started_apart([], LIMITS) == Started((), None)
    alone = replace(plan("a", (0, 0), [(300, 0)]), start_after_s=40.0)
    assert starts_of(started_apart([alone], VehicleLimits()).plans) == [0.0]


@pytest.mark.parametrize("count", [2, 5])
def test_drones_of_one_dock_leave_one_after_another(count):
    ring = [plan(f"d{i}", (5 * i, 0), [(400, 100 * i), (0, 100 * i)], height=60.0) for i in range(count)]
    started = started_apart(ring, LIMITS).plans
    assert len(set(starts_of(started))) == count
    assert judge_separation(started, starts_of(started), LIMITS) == []


def test_more_slack_is_taken_only_where_it_costs_little():
    """Two that fly the same small ring again and again: half a minute between any two passes there cannot be."""
    apart, other = plan("a", (0, -300), [(0, -200), (0, -100)]), plan("b", (7, -300), [(300, -200), (300, -100)])
    assert started_apart([apart, other], LIMITS).slack_s > SLACKS_S[-1]
    ring = [(100, 0), (180, 0), (180, 80), (100, 80)] * 8
    one, two = plan("a", (0, 0), ring), plan("b", (0, 8), ring)
    found = started_apart([one, two], LIMITS)
    assert found.slack_s < SLACKS_S[0]
    assert max(starts_of(found.plans)) < plan_energy(one, LIMITS).time_s / 2.0
    patient = started_apart([one, two], LIMITS, slacks_s=SLACKS_S[:1])
    assert max(starts_of(patient.plans)) > plan_energy(one, LIMITS).time_s / 2.0
