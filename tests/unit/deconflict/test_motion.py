# SPDX-License-Identifier: AGPL-3.0-or-later
"""Motion, encounters and forbidden delays, against the energy model, the independent judge and plain sampling."""

from __future__ import annotations

import numpy as np
import pytest
from deconflict_flights import FRAME, LIMITS, flight_sets, plan
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from missions.deconflict.delays import forbidden_delays
from missions.deconflict.encounters import encounters, encounters_with, pairs_in_conflict
from missions.deconflict.segments import Minima, joined, segments
from missions.deconflict.trajectory import Phase, Trajectory, common_frame, fly, places_m
from missions.energy import plan_energy
from missions.judge_separation import judge_separation

MINIMA = Minima()


def motions(flights):
    frame = common_frame([f.plan for f in flights])
    return [fly(f.plan, LIMITS, places_m(f.plan, frame)) for f in flights]


@settings(max_examples=60, deadline=None)
@given(flight_sets(least=1, most=1), st.sampled_from([0.0, 3.0]))
def test_waypoints_are_reached_when_the_energy_model_says(flights, wind):
    (flight,) = flights
    flown = fly(flight.plan, LIMITS, places_m(flight.plan, FRAME), wind_m_s=wind)
    energy = plan_energy(flight.plan, LIMITS, wind_m_s=wind)
    assert (np.diff(flown.time_s) > 0.0).all()
    for item, arrival in enumerate(energy.arrival_s):
        # At one place twice there is no leg; the stay then begins at the arrival.
        pieces = np.flatnonzero((flown.item == item) & (flown.phase == Phase.ROUTE))
        if len(pieces):
            assert flown.time_s[pieces[-1] + 1] == pytest.approx(arrival, abs=1e-3)
    assert flown.duration_s <= energy.time_s + 1e-3  # the return is lower near home than the energy model takes it
    assert flown.place_m[0] == pytest.approx(flown.place_m[-1])
    assert flown.phase[0] == Phase.LAUNCH
    assert flown.phase[-1] == Phase.LANDING


def test_the_return_takes_its_full_height_when_it_starts_far_out():
    far = plan("d1", (0.0, 0.0), [(400.0, 0.0)])
    flown = fly(far, LIMITS, places_m(far, FRAME))
    assert flown.duration_s == pytest.approx(plan_energy(far, LIMITS).time_s, abs=1e-3)
    assert flown.place_m[:, 2].max() == pytest.approx(170.0)
    near = plan("d1", (0.0, 0.0), [(64.0, 0.0)])
    assert fly(near, LIMITS, places_m(near, FRAME)).place_m[:, 2].max() == pytest.approx(164.0, abs=0.1)


@settings(max_examples=60, deadline=None)
@given(flight_sets())
def test_encounters_and_the_judge_name_the_same_pairs(flights):
    starts = [f.start_s for f in flights]
    found = encounters(list(zip(motions(flights), starts, strict=True)), MINIMA)
    # Grazing meetings may fall on either side of the two's tolerances: both are asked with a little more and less.
    wide = judge_separation([f.plan for f in flights], starts, LIMITS, lateral_m=20.05, vertical_m=10.01)
    tight = judge_separation([f.plan for f in flights], starts, LIMITS, lateral_m=19.95, vertical_m=9.99)
    names = {(flights[i].plan.vehicle_id, flights[j].plan.vehicle_id) for i, j in pairs_in_conflict(found)}
    assert {(b.first, b.second) for b in tight} <= names <= {(b.first, b.second) for b in wide}


@settings(max_examples=60, deadline=None)
@given(flight_sets(least=2, most=2), st.data())
def test_an_encounter_is_where_sampling_finds_it(flights, data):
    one, two = motions(flights)
    starts = [f.start_s for f in flights]
    for met in encounters([(one, starts[0]), (two, starts[1])], MINIMA):
        assume(met.end_s - met.start_s > 0.02)
        moment = data.draw(st.floats(met.start_s + 0.005, met.end_s - 0.005))
        a, b = np.array(one.at(moment - starts[0])), np.array(two.at(moment - starts[1]))
        assert np.hypot(*(a - b)[:2]) < 20.05
        assert abs((a - b)[2]) < 10.01
        assert met.lateral_m <= np.hypot(*(a - b)[:2]) + 0.01


@settings(max_examples=40, deadline=None)
@given(flight_sets(least=2, most=4), st.lists(st.floats(0.0, 500.0), min_size=8, max_size=8))
def test_a_delay_is_forbidden_exactly_when_it_leads_to_an_encounter(flights, delays):
    first, *others = motions(flights)
    settled = joined(
        [segments(t, start_s=f.start_s, owner=i) for i, (t, f) in enumerate(zip(others, flights[1:], strict=True), 1)]
    )
    forbidden = forbidden_delays(segments(first), settled, MINIMA, 600.0)
    edges = np.concatenate([forbidden.low_s, forbidden.high_s])
    for delay in delays:
        if len(edges) and np.abs(edges - delay).min() < 1e-4:
            continue
        met = encounters_with(segments(first, start_s=delay), settled, MINIMA)
        assert bool(met) == forbidden.forbids(delay)
    free = forbidden.earliest()
    assert not forbidden.forbids(free)
    assert not encounters_with(segments(first, start_s=free), settled, MINIMA)


def line(*knots):
    table = np.asarray(knots, dtype=float)
    count = len(knots) - 1
    return Trajectory(table[:, 0], table[:, 1:], np.full(count, int(Phase.ROUTE)), np.arange(count))


def test_a_crossing_at_right_angles_forbids_what_geometry_says():
    """Two vehicles at 10 m/s cross at right angles: the relative way passes at |10 d| / sqrt(2) from the other."""
    east = line((0.0, -500.0, 0.0, 50.0), (100.0, 500.0, 0.0, 50.0))
    north = line((0.0, 0.0, -500.0, 50.0), (100.0, 0.0, 500.0, 50.0))
    later = segments(line((0.0, 0.0, -500.0, 50.0), (100.0, 0.0, 500.0, 50.0)), start_s=0.0)
    forbidden = forbidden_delays(later, segments(east, start_s=30.0), MINIMA, 1000.0)
    half = MINIMA.lateral_bound_m * 2**0.5 / 10.0
    assert forbidden.low_s.min() == pytest.approx(30.0 - half, abs=1e-4)
    assert forbidden.high_s.max() == pytest.approx(30.0 + half, abs=1e-4)
    assert encounters([(east, 0.0), (north, half + 0.01)], MINIMA) == []
    assert len(encounters([(east, 0.0), (north, half - 0.01)], MINIMA)) == 1


def test_layers_exactly_as_far_apart_as_asked_are_no_conflict():
    low = line((0.0, -500.0, 0.0, 160.3), (100.0, 500.0, 0.0, 160.3))
    high = line((0.0, -500.0, 0.0, 170.3), (100.0, 500.0, 0.0, 170.3))
    assert encounters([(low, 0.0), (high, 0.0)], MINIMA) == []
    assert len(forbidden_delays(segments(low), segments(high), MINIMA, 100.0).low_s) == 0


def test_waiting_over_a_pad_forbids_every_delay_that_overlaps():
    """Neither moves: the forbidden delays are those at which their times overlap."""
    one = line((0.0, 0.0, 0.0, 50.0), (40.0, 0.0, 0.0, 50.0))
    forbidden = forbidden_delays(segments(one), segments(one, start_s=100.0), MINIMA, 1000.0)
    assert (forbidden.low_s[0], forbidden.high_s[0]) == (pytest.approx(60.0, abs=1e-4), pytest.approx(140.0, abs=1e-4))
    assert forbidden.earliest(70.0) == pytest.approx(140.1)
