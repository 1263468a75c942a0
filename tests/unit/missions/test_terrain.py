# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ground heights: interpolation against scipy, edges, voids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from missions.geo import GeoPoint, LocalFrame
from missions.terrain import FlatTerrain, GridTerrain, OutsideTerrainError, height_at

ORIGIN = GeoPoint(-33.9, 179.9999)  # the grid lies across the antimeridian
STEP = 25.0
HEIGHTS = np.random.default_rng(3).uniform(100.0, 400.0, (9, 13)).astype(np.float32)
GRID = GridTerrain(LocalFrame(ORIGIN), -150.0, -100.0, STEP, HEIGHTS, "made up", 2.0)


@given(st.floats(0.0, 12 * STEP), st.floats(0.0, 8 * STEP))
def test_heights_agree_with_scipy(east, north):
    oracle = RegularGridInterpolator((np.arange(9) * STEP, np.arange(13) * STEP), HEIGHTS.astype(float))
    expected = float(oracle([[north, east]])[0])
    assert float(GRID.height_at_enu(east - 150.0, north - 100.0)) == pytest.approx(expected, abs=1e-3)


@given(st.floats(-149.0, 149.0), st.floats(-99.0, 99.0))
def test_degrees_and_metres_give_the_same_height(east, north):
    point = GRID.frame.to_geo(east, north)
    assert height_at(GRID, point) == pytest.approx(float(GRID.height_at_enu(east, north)), abs=0.05)


def test_shapes_are_kept():
    corner = GRID.frame.to_geo(0.0, 0.0)
    lat = np.full((2, 3), corner.latitude_deg)
    assert GRID.height_amsl_m(lat, np.full((2, 3), corner.longitude_deg)).shape == (2, 3)
    assert FlatTerrain(7.0).height_amsl_m(lat, corner.longitude_deg).shape == (2, 3)
    assert height_at(FlatTerrain(7.0), corner) == 7.0


@pytest.mark.parametrize(("east", "north"), [(-151.0, 0.0), (151.0, 0.0), (0.0, -101.0), (0.0, 101.0)])
def test_beyond_the_edge_is_refused_with_place_and_source(east, north):
    with pytest.raises(OutsideTerrainError, match="made up"):
        height_at(GRID, GRID.frame.to_geo(east, north))


def test_the_very_edge_belongs_to_the_grid():
    assert float(GRID.height_at_enu(150.0, 100.0)) == pytest.approx(float(HEIGHTS[-1, -1]), abs=1e-3)


def test_a_void_is_refused():
    holed = HEIGHTS.copy()
    holed[4, 6] = np.nan
    terrain = GridTerrain(LocalFrame(ORIGIN), -150.0, -100.0, STEP, holed, "with a void", 2.0)
    with pytest.raises(OutsideTerrainError, match="void"):
        terrain.height_at_enu(1.0, 1.0)
    assert float(terrain.height_at_enu(-140.0, -90.0)) > 0.0


def test_a_grid_needs_four_heights():
    with pytest.raises(ValueError, match="2 x 2"):
        GridTerrain(LocalFrame(ORIGIN), 0.0, 0.0, 1.0, np.zeros((1, 5), np.float32), "thin", 0.0)
