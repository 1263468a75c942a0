# SPDX-License-Identifier: AGPL-3.0-or-later
"""4-D volumes hold the flight that they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from deconflict_flights import FRAME, LIMITS, flight_sets, plan
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon

from missions.deconflict.trajectory import fly, places_m
from missions.deconflict.volumes import HeightReference, VolumeRules, volumes


def flown(flight_plan):
    return fly(flight_plan, LIMITS, places_m(flight_plan, FRAME))


@settings(max_examples=30, deadline=None)
@given(flight_sets(least=1, most=1), st.sampled_from([10.0, 30.0, 400.0]), st.floats(0.0, 1.0))
def test_at_every_moment_the_vehicle_and_its_buffer_are_inside(flights, window, share):
    (flight,) = flights
    motion = flown(flight.plan)
    rules = VolumeRules(window_s=window)
    made = volumes(motion, flight.start_s, FRAME, rules)
    moment = share * motion.duration_s
    east, north, up = motion.at(moment)
    holding = [v for v in made if v.start_s + rules.time_s <= flight.start_s + moment <= v.end_s - rules.time_s]
    assert holding
    for volume in holding:
        ring = Polygon([FRAME.to_enu(p) for p in volume.ring])
        assert ring.exterior.is_ccw
        assert ring.buffer(0.01).covers(Point(east, north).buffer(rules.lateral_m))
        assert volume.lower_m <= up - rules.vertical_m + 1e-6
        assert volume.upper_m >= up + rules.vertical_m - 1e-6


def test_windows_follow_each_other_from_start_to_touch_down():
    motion = flown(plan("d1", (0.0, 0.0), [(300.0, 0.0), (300.0, 300.0)]))
    made = volumes(motion, 60.0, FRAME, VolumeRules(time_s=0.0))
    assert made[0].start_s == 60.0
    assert made[-1].end_s == pytest.approx(60.0 + motion.duration_s)
    assert np.array([v.start_s for v in made[1:]]) == pytest.approx([v.end_s for v in made[:-1]])


def test_heights_say_what_they_are_above():
    motion = flown(plan("d1", (0.0, 0.0), [(300.0, 0.0)]))
    sea, ellipsoid = (volumes(motion, 0.0, FRAME, VolumeRules(geoid_m=g)) for g in (None, -24.5))
    assert {v.reference for v in sea} == {HeightReference.AMSL}
    assert {v.reference for v in ellipsoid} == {HeightReference.W84}
    assert ellipsoid[1].upper_m - sea[1].upper_m == pytest.approx(-24.5)
    assert sea[0].lower_m == pytest.approx(100.0 - 5.0)
