# SPDX-License-Identifier: AGPL-3.0-or-later
"""Footprints, ground sample distance, and the cost of a pass under wind against a worked-out flight."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.coverage.camera import (
    camera_of_sensor,
    gsd_for_person_m,
    gsd_m,
    height_for_gsd_m,
    photo_grid,
    wind_cost,
)
from missions.errors import PlanningError
from missions.model import Camera, Modality

CAMERA = Camera("rgb", Modality.RGB, 4000, 3000, 3000.0, 3000.0, 1999.5, 1499.5)


def test_a_curled_up_person_of_25_pixels_is_3_6_centimetres_a_pixel():
    assert gsd_for_person_m(25.0) == pytest.approx(0.036)
    height = height_for_gsd_m(CAMERA, 0.036)
    assert height == pytest.approx(108.0)
    assert photo_grid(CAMERA, height, side_overlap=0.7, front_overlap=0.8).person_px() == pytest.approx(25.0)


def test_grid_distances():
    grid = photo_grid(CAMERA, 60.0, side_overlap=0.7, front_overlap=0.8)
    assert (grid.across_m, grid.along_m) == pytest.approx((80.0, 60.0))
    assert (grid.spacing_m, grid.trigger_m) == pytest.approx((24.0, 12.0))
    assert photo_grid(CAMERA, 60.0, side_overlap=0.0, front_overlap=0.0).spacing_m == pytest.approx(60.0)


def test_a_data_sheet_gives_the_same_camera():
    camera = camera_of_sensor("x", CAMERA, 17.3, 13.0, 12.0)
    assert gsd_m(camera, 100.0) == pytest.approx(100.0 * 13.0 / 3000 / 12.0)


@given(st.floats(1.0, 20.0), st.floats(0.0, 0.9), st.floats(0.0, 360.0), st.floats(-360.0, 360.0))
def test_wind_cost_is_the_mean_of_there_and_back(air, share, wind_from, direction):
    """Ground speed by the wind triangle, solved for each way on its own."""
    wind = share * air
    to = math.radians(270.0 - wind_from)
    times = []
    for heading in (math.radians(direction), math.radians(direction) + math.pi):
        tail = wind * math.cos(to - heading)
        cross = wind * math.sin(to - heading)
        times.append(1.0 / (tail + math.sqrt(air**2 - cross**2)))
    assert wind_cost(air, wind, wind_from)(direction) == pytest.approx(sum(times) / 2.0 * air, rel=1e-9)


def test_impossible_requests_are_refused():
    with pytest.raises(PlanningError, match="not below the air speed"):
        wind_cost(8.0, 8.0, 0.0)
    with pytest.raises(PlanningError, match="below 0"):
        wind_cost(8.0, -1.0, 0.0)
    with pytest.raises(PlanningError, match="overlap"):
        photo_grid(CAMERA, 60.0, side_overlap=1.0, front_overlap=0.5)
    with pytest.raises(PlanningError, match="height"):
        photo_grid(CAMERA, 0.0, side_overlap=0.5, front_overlap=0.5)
    with pytest.raises(PlanningError, match="sample distance"):
        height_for_gsd_m(CAMERA, 0.0)
    with pytest.raises(PlanningError, match="pixels"):
        gsd_for_person_m(0.0)
    with pytest.raises(PlanningError, match="focal length"):
        camera_of_sensor("x", CAMERA, 10.0, 10.0, 0.0)
