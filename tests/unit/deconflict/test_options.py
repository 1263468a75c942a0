# SPDX-License-Identifier: AGPL-3.0-or-later
"""Room for other heights, and steps aside, over ground and inside fences; layers for returns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deconflict_flights import FRAME, LIMITS, plan

from missions.deconflict.options import may_leave_leg, room, shifted, sidesteps
from missions.deconflict.returns import lowest_return_m, returning
from missions.deconflict.trajectory import places_m
from missions.energy import height_above_home_m
from missions.feasibility import blockers, check_plan
from missions.geo import Altitude, Datum
from missions.model import Category
from missions.terrain import FlatTerrain, GridTerrain

OUT = plan("d1", (0.0, 0.0), [(400.0, 0.0), (400.0, 300.0)], height=60.0)


def space(flight_plan, terrain):
    return room(flight_plan, places_m(flight_plan, FRAME), FRAME, LIMITS, terrain)


def hill(height):
    """Flat at 100 m above the sea, with a round hill 200 m east of the dock."""
    axis = np.arange(-600.0, 601.0, 10.0)
    east, north = np.meshgrid(axis, axis)
    bump = height * np.exp(-((east - 200.0) ** 2 + north**2) / 50.0**2)
    return GridTerrain(FRAME, -600.0, -600.0, 10.0, (100.0 + bump).astype(np.float32), "drawn", 0.0)


def test_room_keeps_least_height_return_and_error_of_the_ground():
    assert space(OUT, None).low_m == pytest.approx(-30.0)
    assert space(OUT, None).high_m == pytest.approx(10.0)  # up to the return height
    rough = FlatTerrain(100.0, vertical_error_m=5.0)
    assert space(OUT, rough).low_m == pytest.approx(-20.0)
    high = replace(OUT, return_height_m=120.0)
    assert space(high, rough).high_m == pytest.approx(50.0)


def test_a_hill_under_a_leg_takes_room():
    assert space(OUT, hill(22.0)).low_m == pytest.approx(-8.0, abs=0.5)
    assert space(OUT, hill(45.0)).low_m == 0.0  # too low already: there is room only upwards


def test_both_datums_are_shifted_alike():
    above_sea = plan("d1", (0.0, 0.0), [(400.0, 0.0)], datum=Datum.AMSL)
    for one in (OUT, above_sea):
        heights = [height_above_home_m(w.altitude, one.home_amsl_m) for w in shifted(one, -10.0).waypoints]
        assert heights == pytest.approx([50.0] * len(heights))


def test_a_return_comes_down_as_far_as_the_ground_lets_it():
    high = replace(OUT, return_height_m=110.0)
    assert lowest_return_m(high, LIMITS, None, 60.0) == 60.0
    assert lowest_return_m(high, LIMITS, hill(60.0), 60.0) == pytest.approx(90.0, abs=1.5)
    assert lowest_return_m(high, LIMITS, hill(95.0), 60.0) == 110.0  # too low already: it stays


def test_steps_aside_keep_the_fence_and_the_ground():
    keep_out = tuple(FRAME.to_geo(*p) for p in ((150, 35), (250, 35), (250, 200), (150, 200)))
    fenced = replace(OUT, fence=replace(OUT.fence, exclusion=(keep_out,)))
    found = list(sidesteps(fenced, 0, (200.0, 0.0), FRAME, LIMITS, None))
    assert {side for _, side in found} == {30.0, 60.0, 100.0}  # to the right, away from the keep-out
    for other, _ in found:
        assert [f.message for f in blockers(check_plan(other, LIMITS, FlatTerrain(100.0))) if f.item is not None] == []
    steep = [side for _, side in sidesteps(OUT, 1, (400.0, 150.0), FRAME, LIMITS, FlatTerrain(150.0))]
    assert steep == [30.0, -30.0, 60.0, -60.0, 100.0, -100.0]  # no lower over the ground than it was


def test_only_ways_are_left_not_lines_that_are_served():
    serves = [("market",), (), ("street",)]
    served = plan("d1", (0.0, 0.0), [(100.0, 0.0), (200.0, 0.0), (300.0, 0.0)], holds=[5.0, 0.0, 0.0], serves=serves)
    assert [may_leave_leg(served, item) for item in range(3)] == [True, False, False]


def test_the_lines_of_a_survey_and_of_a_search_are_not_left():
    """Nothing on them is served at a waypoint; what they see lies beside every leg after the way out."""
    places = [(100.0, 0.0), (200.0, 0.0), (200.0, 50.0), (100.0, 50.0)]
    plain = plan("d1", (0.0, 0.0), places)
    assert [may_leave_leg(plain, item) for item in range(4)] == [True] * 4
    searching = replace(plain, mission=replace(plain.mission, category=Category.SEARCH))
    assert [may_leave_leg(searching, item) for item in range(4)] == [True, False, False, False]
    for told in ({"gimbal_pitch_deg": -90.0}, {"trigger_m": 20.0}, {"photo": True}):
        first = replace(plain.waypoints[1], **told)
        survey = replace(plain, waypoints=(plain.waypoints[0], first, *plain.waypoints[2:]))
        assert [may_leave_leg(survey, item) for item in range(4)] == [True, True, False, False]


def test_a_top_below_the_plan_leaves_no_room_above():
    low = replace(OUT, fence=replace(OUT.fence, max_altitude=Altitude(155.0, Datum.AMSL)))
    assert space(low, None).high_m == 0.0


@pytest.mark.parametrize(("top", "highest"), [(150.0, 120.0), (100.0, 100.0), (None, 120.0)])
def test_no_return_is_laid_above_the_fence_or_the_greatest_height_above_ground(top, highest):
    fence = replace(OUT.fence, max_altitude=None if top is None else Altitude(top, Datum.HOME))
    found = returning(replace(OUT, fence=fence), LIMITS, places_m(OUT, FRAME))
    assert found.top_m - OUT.home_amsl_m == pytest.approx(highest)
