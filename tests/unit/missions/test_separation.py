# SPDX-License-Identifier: AGPL-3.0-or-later
"""Nearest encounters against dense sampling of the same motion; places carried from frame to frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mission_plans import FENCE, FRAME, LIMITS, MISSION

from missions.deconflict.trajectory import common_frame, fly, places_m
from missions.formats.qgc_plan import read_plan, write_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame
from missions.model import FlightPlan, Waypoint
from missions.separation import MINIMA, PAD_RADIUS_M, check_separation, least_separation

STEP_S = 0.05


def plan_of(vehicle_id, pad, places, height):
    waypoints = tuple(Waypoint(FRAME.to_geo(*p[:2]), Altitude(height, Datum.HOME), hold_s=p[2]) for p in places)
    return FlightPlan(vehicle_id, MISSION, FRAME.to_geo(*pad), 200.0, height, waypoints, FENCE, 70.0, 8.0)


PLACE = st.tuples(st.integers(-400, 400), st.integers(-400, 400), st.sampled_from([0.0, 5.0]))
PLANS = st.tuples(
    st.lists(PLACE, min_size=1, max_size=4),
    st.lists(PLACE, min_size=1, max_size=4),
    st.sampled_from([50.0, 56.0, 62.0]),
    st.sampled_from([0.0, 40.0]),
)


def sampled(plans, starts, pad_radius_m=PAD_RADIUS_M):
    """(across, in height) of all moments at which both fly and neither is over its pad."""
    frame = common_frame(plans)
    tracks = [(fly(p, LIMITS, places_m(p, frame)), s, frame.to_enu(p.home)) for p, s in zip(plans, starts, strict=True)]
    first = max(s for _, s, _ in tracks)
    last = min(s + t.duration_s for t, s, _ in tracks)
    times = np.arange(first, last, STEP_S)
    where = [
        np.stack([np.interp(times - s, t.time_s, t.place_m[:, c]) for c in range(3)], axis=1) for t, s, _ in tracks
    ]
    out = np.ones(len(times), dtype=bool)
    for track, (_, _, home) in zip(where, tracks, strict=True):
        out &= np.hypot(track[:, 0] - home[0], track[:, 1] - home[1]) >= pad_radius_m
    apart = (where[0] - where[1])[out]
    return np.hypot(apart[:, 0], apart[:, 1]), np.abs(apart[:, 2])


@settings(max_examples=60, deadline=None, print_blob=True)
@given(PLANS)
def test_the_nearest_moment_is_the_nearest_of_all_samples(drawn):
    first, second, height, start = drawn
    plans = [plan_of("d1", (0, 0), first, 50.0), plan_of("d2", (300, 0), second, height)]
    across, high = sampled(plans, (0.0, start))
    said = replace(plans[1], start_after_s=start)
    found = least_separation(plans, LIMITS, starts_s=(0.0, start))
    assert least_separation([plans[0], said], LIMITS) == found
    if not across.size:
        return
    assert found is not None
    best = float(np.hypot(across, 4.0 * high).min())
    mine = float(np.hypot(found.horizontal_m, 4.0 * found.vertical_m))
    # Two at 8 m/s and 3 m/s of climb come at most that much nearer between two samples.
    assert best - STEP_S * (16.0 + 4.0 * 6.0) <= mine <= best + 1e-6
    # Starts that somebody has planned count over the pads too; without any, those are left to whoever starts them.
    across, high = sampled(plans, (0.0, start), 0.0)
    breached = bool(((across < MINIMA.lateral_m - 0.5) & (high < MINIMA.vertical_m - 0.2)).any())
    clear = not ((across < MINIMA.lateral_m + 1.0) & (high < MINIMA.vertical_m + 0.5)).any()
    breaches = check_separation(plans, LIMITS, starts_s=(0.0, start))
    if start > 0.0:
        assert check_separation([plans[0], said], LIMITS) == breaches
    if breached:
        assert [(b.first, b.second) for b in breaches] == [(0, 1)]
        assert breaches[0].finding.position is not None
    elif clear:
        assert breaches == []


def test_planned_starts_of_zero_are_taken_at_their_word():
    """Two that leave neighbouring pads at once meet there: nobody's business where nobody planned it, a breach where somebody did."""
    plans = [plan_of("d1", (0, 0), [(0, 300, 0.0)], 50.0), plan_of("d2", (8, 0), [(300, 0, 0.0)], 50.0)]
    assert check_separation(plans, LIMITS) == []
    said = [plan.at_start(0.0) for plan in plans]
    assert len(check_separation(said, LIMITS)) == 1
    again = [read_plan(write_plan(plan), source="a.plan") for plan in said]
    assert [(p.start_after_s, p.starts_first) for p in again] == [(0.0, True), (0.0, True)]
    assert "start_after_s" not in write_plan(plans[0])
    assert [(p.start_after_s, p.starts_first) for p in (plan.at_start(7.5) for plan in plans)] == [(7.5, False)] * 2


def test_fewer_than_two_and_one_vehicle_twice_have_no_encounter():
    plan = plan_of("d1", (0, 0), [(300, 300, 0.0)], 50.0)
    assert least_separation([], LIMITS) is None
    assert least_separation([plan], LIMITS) is None
    assert least_separation([plan, plan], LIMITS) is None
    other = replace(plan, vehicle_id="d2")
    assert least_separation([plan, other], LIMITS, starts_s=[0.0, 5000.0]) is None
    assert check_separation([plan, other], LIMITS, starts_s=[0.0, 5000.0]) == []
    assert len(check_separation([plan, other], LIMITS)) == 1


@pytest.mark.parametrize("degrees", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("count", [0, 1, 9000])
def test_places_are_carried_from_frame_to_frame(degrees, count):
    one = LocalFrame(GeoPoint(29.74, 107.27))
    other = LocalFrame(GeoPoint(29.74 + degrees, 107.27 - degrees))
    places = np.random.default_rng(3).uniform(-15_000, 15_000, (count, 2))
    geo = one.to_geo_array(places)
    exact = other.to_enu_array(geo[:, 0], geo[:, 1])
    assert np.abs(one.to_frame_array(places, other) - exact).max(initial=0.0) < 1e-3
