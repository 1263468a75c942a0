# SPDX-License-Identifier: AGPL-3.0-or-later
"""Time and energy of plans: by hand for simple ones, by properties for the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mission_plans import FRAME, HOME, LIMITS, make_plan, near_points, plans

from missions.energy import DatumError, height_above_home_m, plan_energy, turn_deg
from missions.geo import Altitude, Datum, GeoPoint
from missions.model import Waypoint

coordinates = st.tuples(st.floats(-900, 900), st.floats(-900, 900))


def test_out_and_back_by_hand():
    plan = make_plan([(800, 0)], height=60.0, return_height_m=60.0)
    energy = plan_energy(plan, LIMITS)
    climb, leg, stop, back_stop = 60 / 3, 800 / 8, 8 / 3, 8 / 3
    landing = 50 / 1.5 + 10 / 0.7
    assert energy.time_s == pytest.approx(5 + climb + leg + stop + leg + back_stop + landing, abs=0.1)
    assert energy.arrival_s[0] == pytest.approx(5 + climb + leg, abs=0.1)
    assert energy.length_m == pytest.approx(1600, abs=0.1)
    assert energy.worst_item == 0
    assert energy.landing_fraction == pytest.approx(1.0 - energy.battery_fraction_used)
    # Level flight at 8 of 12 m/s costs a tenth more than hovering.
    assert energy.battery_fraction_used * LIMITS.endurance_s == pytest.approx(energy.time_s, rel=0.15)
    assert energy.battery_fraction_used * LIMITS.endurance_s > energy.time_s


def test_return_fraction_by_hand():
    plan = make_plan([(800, 0)], height=60.0, return_height_m=60.0)
    energy = plan_energy(plan, LIMITS)
    cruise = (800 / 8) * (1 + 0.35 * (8 / 12) ** 3)
    assert energy.return_fraction_worst * 1800 == pytest.approx(cruise + 8 / 3 + 50 / 1.5 + 10 / 0.7, abs=0.1)


@given(st.lists(coordinates, min_size=1, max_size=5), coordinates)
def test_one_waypoint_more_never_costs_less_than_the_detour(places, extra):
    short, long = make_plan(places), make_plan([*places, extra])
    a, b = plan_energy(short, LIMITS), plan_energy(long, LIMITS)
    assert b.length_m >= a.length_m - 1e-6
    assert b.return_fraction_worst >= a.return_fraction_worst - 1e-12
    assert len(b.arrival_s) == len(a.arrival_s) + 1


@given(plans, st.floats(0, 9), st.floats(0.1, 1.0))
def test_numbers_hang_together(plan, wind, battery):
    if not plan.waypoints:
        return
    energy = plan_energy(plan, LIMITS, wind_m_s=wind, battery_fraction=battery)
    assert energy.time_s > 0
    assert list(energy.arrival_s) == sorted(energy.arrival_s)
    assert energy.arrival_s[-1] <= energy.time_s
    assert energy.landing_fraction == pytest.approx(battery - energy.battery_fraction_used)
    assert energy.margin_fraction <= energy.landing_fraction + 1e-12
    assert energy.battery_fraction_used >= energy.return_fraction_worst - 1e-12 or len(plan.waypoints) > 1


@given(st.floats(100, 3000), st.floats(0, 8), st.floats(0, 2))
def test_more_wind_costs_more(distance, wind, more):
    plan = make_plan([(distance, 0), (distance, 400)])
    calm, windy = plan_energy(plan, LIMITS, wind_m_s=wind), plan_energy(plan, LIMITS, wind_m_s=wind + more)
    assert windy.battery_fraction_used >= calm.battery_fraction_used - 1e-12
    assert windy.time_s >= calm.time_s - 1e-9


@given(st.floats(0.0, 600.0))
def test_holds_are_paid_for(hold):
    plan = make_plan([(300, 0), (300, 300)])
    held = replace(plan, waypoints=(replace(plan.waypoints[0], hold_s=hold), plan.waypoints[1]))
    more = plan_energy(held, LIMITS).time_s - plan_energy(plan, LIMITS).time_s
    assert hold - 1e-6 <= more <= hold + 2 * LIMITS.cruise_speed_m_s / LIMITS.acceleration_m_s2


def test_altitudes_above_sea_and_home_are_the_same_flight():
    plan = make_plan([(300, 0)], height=60.0, home_amsl_m=250.0)
    sea = replace(plan, waypoints=(replace(plan.waypoints[0], altitude=Altitude(310.0, Datum.AMSL)),))
    assert plan_energy(sea, LIMITS) == plan_energy(plan, LIMITS)
    assert height_above_home_m(Altitude(310.0, Datum.AMSL), 250.0) == 60.0


def test_an_altitude_above_terrain_is_not_guessed():
    waypoint = Waypoint(HOME, Altitude(50.0, Datum.TERRAIN))
    with pytest.raises(DatumError, match="terrain"):
        plan_energy(replace(make_plan([(1, 1)]), waypoints=(waypoint,)), LIMITS)


def test_an_empty_plan_goes_up_and_down():
    energy = plan_energy(make_plan([]), LIMITS)
    assert energy.worst_item is None
    assert energy.length_m == 0.0
    assert energy.time_s > 60.0 / 3.0


@given(near_points, near_points, near_points)
def test_turns_lie_between_straight_on_and_back(a, b, c):
    assert 0.0 <= turn_deg(a, b, c) <= 180.0


def test_turns_by_hand():
    corner = [FRAME.to_geo(*p) for p in ((0, 0), (100, 0), (100, 100), (0, 0))]
    assert turn_deg(corner[0], corner[1], corner[2]) == pytest.approx(90.0, abs=0.3)
    assert turn_deg(corner[1], corner[2], corner[3]) == pytest.approx(135.0, abs=0.3)
    assert turn_deg(corner[0], corner[1], corner[0]) == pytest.approx(180.0, abs=0.1)
    assert turn_deg(GeoPoint(0, 179.999), GeoPoint(0, -179.999), GeoPoint(0, -179.997)) == pytest.approx(0.0, abs=0.1)
