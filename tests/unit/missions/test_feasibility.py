# SPDX-License-Identifier: AGPL-3.0-or-later
"""Feasibility rules: each breaks on its own kind of bad plan, says where, and lets good plans pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mission_plans import FENCE, FRAME, HOME, LIMITS, MARGIN_M, make_plan, plans, square

from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum, GeoPoint, distance_m
from missions.model import Geofence, Severity
from missions.plan_legs import plan_legs
from missions.terrain import FlatTerrain, GridTerrain
from missions.validate import judge_patrol

GROUND = FlatTerrain(200.0, resolution_m=30.0)


def hill(east, north, height, *, sigma=80.0, error=0.0):
    axis = np.arange(-1500.0, 1501.0, 20.0)
    x, y = np.meshgrid(axis, axis)
    bump = height * np.exp(-((x - east) ** 2 + (y - north) ** 2) / (2 * sigma**2))
    return GridTerrain(FRAME, -1500.0, -1500.0, 20.0, (200.0 + bump).astype(np.float32), "one hill", error)


def codes(plan, terrain=GROUND, **kwargs):
    return [f.code for f in check_plan(plan, LIMITS, terrain, **kwargs)]


def only(plan, code, terrain=GROUND, **kwargs):
    """The finding of that code; fails unless there is exactly one."""
    found = [f for f in check_plan(plan, LIMITS, terrain, **kwargs) if f.code == code]
    assert len(found) == 1, found
    return found[0]


def test_a_good_plan_has_no_findings():
    assert codes(make_plan([(-300, 0), (-300, 400), (100, 300)])) == []


def test_no_waypoint():
    assert codes(make_plan([])) == ["empty-plan"]


def test_a_leg_through_the_keep_out_is_named_with_its_depth():
    finding = only(make_plan([(200, 0), (600, 0), (600, 200), (0, 200)]), "leg-in-keep-out")
    assert finding.severity is Severity.BLOCKER
    assert finding.item == 1
    assert "from waypoint 1 to waypoint 2" in finding.message
    assert "100 m deep into keep-out 1" in finding.message
    assert distance_m(finding.position, FRAME.to_geo(400, 0)) < 3.0


def test_the_way_out_and_the_return_are_legs_too():
    out = make_plan([(600, 0), (600, 300), (0, 300)])
    assert only(out, "leg-in-keep-out").message.startswith("the leg from home to waypoint 1")
    back = make_plan([(0, 300), (600, 300), (600, 0)])
    finding = only(back, "leg-in-keep-out")
    assert finding.message.startswith("the return from waypoint 3 to home")
    assert finding.item is None


def test_waypoints_inside_but_the_leg_between_them_outside():
    ell = (FRAME.to_geo(-500, -500), FRAME.to_geo(500, -500), FRAME.to_geo(500, 0), FRAME.to_geo(100, 0))
    fence = Geofence(inclusion=((*ell, FRAME.to_geo(100, 500), FRAME.to_geo(-500, 500)),))
    plan = make_plan([(50, 450), (450, -50), (-100, -100)], fence=fence)
    finding = only(plan, "leg-outside-fence")
    assert finding.item == 1
    assert "leaves the fence" in finding.message


@given(st.floats(1.0, 40.0))
@settings(max_examples=40, deadline=None)
def test_nearness_to_an_edge_counts_from_the_braking_way(gap):
    plan = make_plan([(-500, 1000 - gap), (0, 1000 - gap), (0, 500)])
    found = [f for f in check_plan(plan, LIMITS, GROUND) if f.code == "leg-outside-fence"]
    if gap < MARGIN_M - 0.2:
        assert found
        assert all("inside the fence's edge" in f.message for f in found)
    elif gap > MARGIN_M + 0.2:
        assert not found


@given(st.floats(0.5, 40.0))
@settings(max_examples=40, deadline=None)
def test_nearness_to_a_keep_out_counts_too(gap):
    plan = make_plan([(200, 100 + gap), (600, 100 + gap), (600, 300)])
    found = [f for f in check_plan(plan, LIMITS, GROUND) if f.code == "leg-in-keep-out"]
    assert bool(found) == (gap < MARGIN_M) or abs(gap - MARGIN_M) < 0.2


def test_flying_slower_shrinks_the_margin():
    plan = make_plan([(-500, 990), (0, 990), (0, 500)])
    slow = replace(plan, cruise_speed_m_s=3.0)
    assert "leg-outside-fence" in codes(plan)
    assert "leg-outside-fence" not in codes(slow)


def test_a_pad_near_the_fence_is_allowed():
    fence = Geofence(inclusion=(square(-10, -1000, 1000, 1000),))
    assert codes(make_plan([(400, 0), (400, 300)], fence=fence)) == []


def test_home_outside_and_waypoint_outside_and_waypoint_in_the_keep_out():
    far = make_plan([(-300, 0)], fence=Geofence(inclusion=(square(100, 100, 900, 900),)))
    assert "home-outside-fence" in codes(far)
    deep = only(make_plan([(400, 30)]), "waypoint-outside-fence")
    assert "70 m deep in keep-out 1" in deep.message


def test_a_waypoint_fifty_kilometres_off():
    plan = make_plan([(0, 300), (0, 50_000)])
    found = check_plan(plan, LIMITS, hill(0, 0, 0))
    outside = next(f for f in found if f.code == "waypoint-outside-fence")
    assert "49 km outside the fence" in outside.message
    assert {f.code for f in found} >= {"waypoint-outside-fence", "terrain-unknown", "battery"}
    assert "leg-outside-fence" not in {f.code for f in found}
    first = make_plan([(0, 50_000)])
    assert "50 km from home" in only(first, "first-waypoint-too-far").message


def test_below_the_ground_and_too_near_it():
    plan = make_plan([(0, 500), (-300, 500)])
    under = only(plan, "below-terrain", hill(-160, 500, 90, sigma=30))
    assert "26 m below the ground" in under.message
    assert under.item == 1
    assert distance_m(under.position, FRAME.to_geo(-160, 500)) < 12.0
    near = only(plan, "clearance-low", hill(-160, 500, 45, sigma=30))
    assert near.item == 1
    assert "raise it by 13 m" in near.message


def test_a_hill_between_waypoints_is_seen():
    plan = make_plan([(0, 500), (-600, 500), (-600, 0)])
    finding = only(plan, "clearance-low", hill(-300, 500, 40, sigma=40))
    assert finding.item == 1
    assert distance_m(finding.position, FRAME.to_geo(-300, 500)) < 15.0


def test_terrain_error_counts_twice():
    plan = make_plan([(0, 300)], height=40.0)
    assert codes(plan, hill(0, 0, 0, error=4.0)) == []
    assert "clearance-low" in codes(plan, hill(0, 0, 0, error=6.0))


def test_too_high_above_a_valley():
    plan = make_plan([(0, 500), (-600, 500), (-600, 0)])
    finding = only(plan, "clearance-high", hill(-300, 500, -80))
    assert "139 m above the ground" in finding.message


def test_take_off_and_landing_columns_are_excepted():
    low = make_plan([(0, 300)], takeoff_height_m=36.0, height=36.0)
    assert codes(low) == []


def test_above_the_fence_top():
    assert (
        "10 m above the fence's top"
        in only(
            make_plan(
                [(0, 300)],
                height=110.0,
                fence=replace(FENCE, max_altitude=Altitude(300.0, Datum.AMSL)),
                takeoff_height_m=60.0,
            ),
            "above-max-height",
        ).message
    )
    assert codes(make_plan([(0, 300)], return_height_m=130.0)) == ["above-max-height", "return-height-high"]


def test_the_return_height_clears_the_hill_between():
    plan = make_plan([(0, 300), (-300, 300), (-600, 300), (-600, 0)], height=100.0, return_height_m=60.0)
    low = replace(plan, waypoints=tuple(replace(w, altitude=Altitude(45.0, Datum.HOME)) for w in plan.waypoints))
    ridge = hill(-300, 100, 50, sigma=50)
    assert "return-altitude-terrain" not in codes(plan, ridge)
    finding = only(low, "return-altitude-terrain", ridge)
    assert "raise the return height by" in finding.message


def test_battery_for_the_plan_and_by_start():
    plan = make_plan([(0, 600), (-600, 600)] * 8)
    assert "battery" in codes(plan)
    short = make_plan([(0, 600)])
    assert codes(short) == []
    finding = only(short, "battery", battery_fraction=0.3)
    assert "30% it starts with" in finding.message


@given(st.floats(0.2, 1.0))
@settings(max_examples=30, deadline=None)
def test_battery_blocks_exactly_below_the_reserve(battery):
    from missions.energy import plan_energy

    plan = make_plan([(0, 600), (-600, 600)] * 3)
    energy = plan_energy(plan, LIMITS, battery_fraction=battery)
    expected = min(energy.landing_fraction, energy.margin_fraction) < LIMITS.reserve_fraction
    assert ("battery" in codes(plan, battery_fraction=battery)) == expected


def test_wind_and_speeds():
    plan = make_plan([(0, 300)])
    assert "2.0 m/s above the vehicle's limit" in only(plan, "wind-above-limit", wind_m_s=12.0).message
    assert "speed-limit" in codes(replace(plan, cruise_speed_m_s=15.0))
    assert "speed-limit" in codes(replace(plan, cruise_speed_m_s=0.0))
    fast = replace(plan, waypoints=(replace(plan.waypoints[0], speed_m_s=13.0),))
    assert "at waypoint 1" in only(fast, "speed-limit").message


def test_datum_home_height_spacing_and_fence():
    plan = make_plan([(0, 300)])
    above_ground = replace(plan, waypoints=(replace(plan.waypoints[0], altitude=Altitude(50, Datum.TERRAIN)),))
    assert codes(above_ground) == ["altitude-datum"]
    assert "55 m above the ground" in only(replace(plan, home_amsl_m=255.0), "home-height").message
    twice = make_plan([(0, 300), (0.3, 300)])
    assert only(twice, "waypoints-too-close").severity is Severity.WARNING
    assert "no-fence" in codes(replace(plan, fence=Geofence(inclusion=())))


def test_a_failsafe_return_across_a_keep_out_is_a_warning():
    plan = make_plan([(200, 200), (600, 200), (600, -200), (200, -200)])
    finding = only(plan, "return-in-keep-out")
    assert finding.severity is Severity.WARNING
    assert blockers(check_plan(plan, LIMITS, GROUND)) == []


@given(plans, st.floats(0.0, 1.0), st.floats(0.0, 20.0))
@settings(max_examples=30, deadline=None)
def test_any_plan_gets_findings_and_never_an_exception(plan, battery, wind):
    for finding in check_plan(plan, LIMITS, GROUND, battery_fraction=battery, wind_m_s=wind):
        assert finding.code
        assert "\n" not in finding.message
        assert finding.item is None or 0 <= finding.item < len(plan.waypoints)


@pytest.mark.parametrize("home", [GeoPoint(-17.0, 179.9995), GeoPoint(64.1, -21.9), HOME])
def test_the_same_plan_gives_the_same_findings_anywhere(home):
    from missions.geo import LocalFrame

    frame = LocalFrame(home)
    fence = Geofence(
        inclusion=(square(-1000, -1000, 1000, 1000, frame),), exclusion=(square(300, -100, 500, 100, frame),)
    )
    plan = make_plan([(200, 0), (600, 0), (0, 990)])
    moved = tuple(replace(w, position=frame.to_geo(*FRAME.to_enu(w.position))) for w in plan.waypoints)
    found = codes(replace(plan, home=home, waypoints=moved, fence=fence))
    assert found == codes(replace(plan, fence=replace(FENCE, max_altitude=None)))
    assert "leg-in-keep-out" in found


@given(
    st.lists(st.tuples(st.floats(-900, -350), st.floats(200, 700)), min_size=1, max_size=4),
    st.integers(550, 750).map(lambda dm: dm / 10.0),
)
@settings(max_examples=80, deadline=None)
def test_return_heights_agree_with_looking_at_every_way(places, return_height):
    """The raster only sorts out: the worst room over the ground is that of measuring every way home."""
    ground = hill(-300, 200, 40, sigma=60)
    plan = make_plan(places, height=40.0, return_height_m=return_height)
    legs = [leg for leg in plan_legs(plan, LIMITS) if leg.item is not None]
    least = np.inf
    for leg in legs:
        starts, heights = leg.samples(max(100.0, leg.length_m / 50))
        for start, height in zip(starts, heights, strict=True):
            distance = float(np.hypot(*start))
            if distance > 15.0:
                along = np.linspace(1.0, 15.0 / distance, int(np.ceil(distance / 10.0)) + 1)[:, None] * start
                top = 200.0 + max(height, min(return_height, distance))
                geo = FRAME.to_geo_array(along)
                least = min(least, float((top - ground.height_amsl_m(geo[:, 0], geo[:, 1])).min()))
    found = [f for f in check_plan(plan, LIMITS, ground) if f.code == "return-altitude-terrain"]
    assert bool(found) == (least < LIMITS.min_height_above_ground_m - 0.05)
    if found:
        words = f"comes within {least:.0f} m of" if least > 0 else "below"
        assert words in found[0].message


def test_a_loop_says_each_thing_once():
    around = [(200, 0), (600, 0), (600, 300), (0, 300)]
    once = [f.code for f in check_plan(make_plan(around), LIMITS, GROUND)]
    often = [f.code for f in check_plan(make_plan(around * 3), LIMITS, GROUND)]
    assert once.count("leg-in-keep-out") == 1
    assert often.count("leg-in-keep-out") == 1


def test_waypoints_are_called_what_the_caller_calls_them():
    plan = make_plan([(200, 0), (600, 0), (600, 300)])
    finding = next(f for f in check_plan(plan, LIMITS, GROUND, names=["item 3", "item 7", "item 8"]))
    assert "from item 3 to item 7" in finding.message


def test_a_crossing_ring_names_its_sides():
    bow = (FRAME.to_geo(-500, -500), FRAME.to_geo(500, 500), FRAME.to_geo(500, -500), FRAME.to_geo(-500, 500))
    finding = only(make_plan([(0, 300)], fence=Geofence(inclusion=(bow,))), "fence-invalid")
    assert "sides 1 and 3 meet near 29.740000, 107.270000" in finding.message
    assert distance_m(finding.position, HOME) < 0.1
    flat = (FRAME.to_geo(0, 0), FRAME.to_geo(0, 100), FRAME.to_geo(0, 200))
    assert "has no area" in only(make_plan([(0, 300)], fence=Geofence(inclusion=(flat,))), "fence-invalid").message


def test_a_return_that_cuts_the_corner_of_a_fence_is_a_warning():
    ell = (FRAME.to_geo(-500, -500), FRAME.to_geo(500, -500), FRAME.to_geo(500, 100), FRAME.to_geo(100, 100))
    fence = Geofence(inclusion=((*ell, FRAME.to_geo(100, 900), FRAME.to_geo(-500, 900)),))
    round_it = [(0, 0), (0, 50), (60, 850)]
    home = FRAME.to_geo(450, 0)
    plan = make_plan(round_it, fence=fence, home=home)
    finding = only(plan, "return-outside-fence")
    assert finding.severity is Severity.WARNING
    assert finding.item == 2
    assert "near waypoint 3" in finding.message
    straight = make_plan(round_it[:2], fence=fence, home=home)
    assert "return-outside-fence" not in codes(straight)


@given(
    st.lists(st.tuples(st.floats(-950, 950), st.floats(-950, 950)), min_size=1, max_size=6),
    st.lists(st.floats(500.0, 1000.0), min_size=7, max_size=7),
    st.floats(0.0, 350.0),
)
@settings(max_examples=80, deadline=None)
def test_what_the_independent_judge_sees_the_rules_see(places, reach, hole):
    """Ray casting over two-metre steps, which shares nothing with these rules, never finds more than they do."""
    turns = [2 * np.pi * i / 7 for i in range(7)]
    star = tuple(FRAME.to_geo(r * np.cos(t), r * np.sin(t)) for r, t in zip(reach, turns, strict=True))
    fence = Geofence((star,), (square(100, hole, 300, hole + 200), square(-400, -400, -300, -300)))
    plan = make_plan(places, fence=fence)
    complaints = [c for c in judge_patrol([plan], [], [], fence, LIMITS, GROUND) if "inclusion" in c or "keep-out" in c]
    found = {f.code for f in check_plan(plan, LIMITS, GROUND)}
    if complaints:
        assert found & {"leg-outside-fence", "leg-in-keep-out", "waypoint-outside-fence", "home-outside-fence"}, (
            complaints
        )
