# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ways home over ground that is finer than the raster which sorts them out: masts, slopes, unknown spots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mission_plans import FRAME, LIMITS, make_plan, square

from missions.feasibility import check_plan
from missions.geo import LocalFrame
from missions.model import Geofence, Severity
from missions.terrain import GridTerrain

FENCE = Geofence((square(-4000, -4000, 4000, 4000),))
FAR_M = 3400.0
CODE = "return-altitude-terrain"


def ground(res_m, frame=FRAME, half_m=3600.0):
    count = 2 * int(half_m / res_m) + 1
    return GridTerrain(frame, -half_m, -half_m, res_m, np.full((count, count), 200.0, np.float32), "level", 0.0)


def codes(terrain, return_height=70.0):
    """Far out in the north along a line in the west: the way home from the end runs straight south over nothing flown."""
    plan = make_plan([(-300, 0), (-300, FAR_M), (0, FAR_M)], fence=FENCE, return_height_m=return_height)
    return {f.code for f in check_plan(plan, LIMITS, terrain)}


@given(st.floats(300.0, 3200.0), st.sampled_from([2.0, 5.0]), st.integers(1, 2), st.floats(-0.4, 0.4))
@settings(max_examples=25, deadline=None)
def test_a_mast_on_the_way_home_is_seen_however_thin(north_m, res_m, nodes, turn):
    """A few nodes high enough; a grid of another origin, so that no cells fall together."""
    frame = LocalFrame(FRAME.to_geo(600.0 * turn, 37.0))
    terrain = ground(res_m, frame)
    east, north = frame.to_enu(FRAME.to_geo(0.0, north_m))
    column, row = (round((v + 3600.0) / res_m) for v in (east, north))
    terrain.heights_amsl_m[row - nodes : row + nodes + 1, column - nodes : column + nodes + 1] += 60.0
    assert CODE in codes(terrain)
    assert CODE not in codes(terrain, return_height=95.0)


def test_an_unknown_spot_on_the_way_home_is_said_and_one_beside_it_is_not():
    terrain = ground(5.0)
    terrain.heights_amsl_m[720 + 300, 720 + 4] = np.nan  # 20 m beside the way
    assert codes(terrain) == set()
    terrain.heights_amsl_m[720 + 300, 720] = np.nan
    assert "terrain-unknown" in codes(terrain)


def test_ground_that_ends_on_the_way_home_is_said():
    terrain = ground(5.0)
    north = replace(terrain, south_m=-100.0)  # begins just south of home: all legs and ways are on it
    assert codes(north) == set()
    assert "terrain-unknown" in codes(replace(terrain, west_m=20.0))


@given(st.floats(500.0, 3000.0), st.floats(0.0, 6.0), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_valley_under_the_last_return_is_warned_of_when_it_is_too_deep(north_m, error_m, deep):
    """The return is at 70 m above home; 50 m down the valley that makes 120 m, which are allowed."""
    terrain = replace(ground(5.0), vertical_error_m=error_m)
    row = 720 + round(north_m / 5.0)
    terrain.heights_amsl_m[row - 2 : row + 3, 715:726] -= (50.0 - 2.0 * error_m) + (1.0 if deep else -1.0)
    plan = make_plan([(-300, 0), (-300, FAR_M), (0, FAR_M)], fence=FENCE, return_height_m=70.0)
    found = {f.code: f for f in check_plan(plan, LIMITS, terrain)}
    assert ("return-height-high" in found) == deep
    if deep:
        assert found["return-height-high"].severity is Severity.WARNING
        assert f"{120.0 - 2.0 * error_m + 1.0:.0f} m above the ground" in found["return-height-high"].message
