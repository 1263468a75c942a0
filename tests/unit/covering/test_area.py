# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rings to areas: on both hemispheres, across the antimeridian, and what is refused with its place."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString

from missions.coverage.area import AreaRings, corridor, cover_area
from missions.errors import PlanningError
from missions.geo import GeoPoint, LocalFrame


def ring(middle, *places):
    return tuple(LocalFrame(middle).to_geo(e, n) for e, n in places)


MIDDLE = GeoPoint(29.74, 107.27)
SQUARE = ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0))


@settings(max_examples=25)
@given(st.floats(-84.9, 84.9), st.floats(-180.0, 179.999) | st.just(179.9999) | st.just(-180.0))
def test_an_area_is_as_large_anywhere(latitude, longitude):
    area = cover_area([AreaRings(ring(GeoPoint(latitude, longitude), *SQUARE))])
    assert area.shape.area == pytest.approx(10_000.0, rel=1e-5)
    west, south, east, north = area.shape.bounds
    assert max(abs(west + east), abs(south + north)) < 0.1


def test_holes_are_taken_out_and_touching_ones_joined():
    holes = (
        ring(MIDDLE, (10, 10), (30, 10), (30, 30), (10, 30)),
        ring(MIDDLE, (30, 10), (50, 10), (50, 30), (30, 30)),
        ring(MIDDLE, (80, 80), (120, 80), (120, 120), (80, 120)),  # over the edge
    )
    area = cover_area([AreaRings(ring(MIDDLE, *SQUARE), holes)])
    assert area.shape.area == pytest.approx(10_000.0 - 800.0 - 400.0, abs=1.0)
    assert len(area.holes) == 2


def test_several_areas_that_overlap_count_once():
    second = ring(MIDDLE, (50, 0), (150, 0), (150, 100), (50, 100))
    area = cover_area([AreaRings(ring(MIDDLE, *SQUARE)), AreaRings(second)])
    assert area.shape.area == pytest.approx(15_000.0, rel=1e-4)


def test_a_crossing_is_named_with_its_place_and_edges():
    bow = ring(MIDDLE, (0, 0), (100, 100), (100, 0), (0, 100))
    with pytest.raises(PlanningError) as caught:
        cover_area([AreaRings(bow)])
    at = LocalFrame(MIDDLE).to_geo(50.0, 50.0)
    assert f"{at.latitude_deg:.6f}, {at.longitude_deg:.6f}" in str(caught.value)
    assert "edges 1 and 3" in str(caught.value)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (((0, 0), (50, 50)), "at least 3"),
        (((0, 0), (50, 50), (100, 100)), "no area"),
        (((0, 0), (90_000, 0), (90_000, 90_000)), "km across"),
    ],
)
def test_what_is_no_area_is_refused(places, said):
    with pytest.raises(PlanningError, match=said):
        cover_area([AreaRings(ring(MIDDLE, *places))])


def test_a_hole_over_everything_is_refused():
    with pytest.raises(PlanningError, match="leave nothing"):
        cover_area([AreaRings(ring(MIDDLE, *SQUARE), (ring(MIDDLE, (-9, -9), (200, -9), (200, 200), (-9, 200)),))])


def test_nothing_is_refused():
    with pytest.raises(PlanningError, match="no area"):
        cover_area([])


def test_a_ring_that_touches_itself_is_the_same_ground():
    pinched = ring(MIDDLE, (0, 0), (100, 0), (50, 50), (100, 100), (0, 100), (50, 50))
    assert cover_area([AreaRings(pinched)]).shape.area > 1000.0


@given(st.lists(st.tuples(st.floats(-900, 900), st.floats(-900, 900)), min_size=2, max_size=6), st.floats(2.0, 80.0))
@example([(0.0, -1.0), (0.0, 0.0), (2.0, -2.0)], 15.0)  # legs shorter than the width, and a sharp turn
def test_a_corridor_holds_its_line_and_no_more_than_half_its_width_aside(places, width_m):
    """By distances alone: just inside the edges is within half a width of the line, no bend reaches further."""
    frame = LocalFrame(GeoPoint(-17.0, 179.999))
    line = LineString(places)
    if line.length < 1.0:
        return
    parts = corridor([frame.to_geo(*p) for p in places], width_m)
    shape = cover_area(parts, frame).shape
    assert shape.buffer(0.05).covers(line)
    assert line.buffer(0.5 * width_m + 0.05, quad_segs=64).covers(shape)
    assert shape.area <= line.length * width_m + width_m**2 * len(places)


def test_a_line_without_length_is_no_corridor():
    with pytest.raises(PlanningError, match="2 different points"):
        corridor([GeoPoint(1.0, 2.0), GeoPoint(1.0, 2.0)], 10.0)
    with pytest.raises(PlanningError, match="wider than 0"):
        corridor([GeoPoint(1.0, 2.0), GeoPoint(1.0, 2.1)], 0.0)
