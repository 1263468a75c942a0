# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rings along an edge and pieces with directions of their own: they fit, they hold the area, and they pay."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import shapely
from coverage_families import FAMILIES, FORBIDDEN, WIDTH_M
from coverage_shapes import areas, rings_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapely import affinity
from shapely.geometry import LineString, box

from missions.coverage.contours import contour_strokes
from missions.coverage.paths import stretches
from missions.coverage.pieces import piece_swaths, pieces
from missions.coverage.strips import Swath
from missions.coverage.sweep import sweep_area
from missions.judge_coverage import judge_coverage
from missions.model import Budget

seeds = st.integers(0, 10_000)
shapes = st.builds(lambda name, seed: FAMILIES[name](seed), st.sampled_from(sorted(FAMILIES)), seeds)


@settings(max_examples=30)
@given(shapes)
@example(FAMILIES["coast"](1240))
@example(FAMILIES["spikes"](575))  # five pieces meet at a corner, and the grid pulls two of them apart by a hair
def test_pieces_tile_the_outline(area):
    """Together they are the outline, up to the bends that are too small to cut at, and none lies on another.

    GEOS leaves out bends up to its tolerance, and then the ring's first corner by the same measure once more.
    """
    outline = shapely.Polygon(area.exterior)
    found = [piece for piece, _ in pieces(area, WIDTH_M)]
    together = shapely.union_all(found, grid_size=1e-6)
    assert sum(piece.area for piece in found) == pytest.approx(together.area, rel=1e-6)
    for metres in (1e-4, -1e-4):  # no hairline cracks where a cut ends on another
        together = together.buffer(metres, join_style="mitre")
    assert outline.hausdorff_distance(together) <= 0.21 * WIDTH_M


@settings(max_examples=15)
@given(shapes)
@example(FAMILIES["simple"](3480))  # a piece with two corners 1e-15 m apart, which cross when it is turned
def test_swaths_of_pieces_nearly_hold_the_area(area):
    outline = shapely.Polygon(area.exterior)
    lines = piece_swaths(area, outline, WIDTH_M)
    swept = shapely.union_all([LineString(line.points_m).buffer(WIDTH_M / 2.0) for line in lines])
    assert not lines or area.difference(swept).area <= 0.1 * area.area
    assert all(outline.buffer(1e-6).covers(LineString(line.points_m)) for line in lines)


@settings(max_examples=15)
@given(shapes)
def test_strokes_stay_inside_and_leave_little(area):
    strokes = [LineString(stroke.points_m) for stroke in contour_strokes(area, WIDTH_M)]
    assert all(area.buffer(0.05 * WIDTH_M).covers(stroke) for stroke in strokes)
    wide = area.buffer(-WIDTH_M / 2.0).buffer(WIDTH_M / 2.0)
    swept = shapely.union_all([stroke.buffer(WIDTH_M / 2.0) for stroke in strokes])
    assert wide.difference(swept).area <= 0.1 * area.area


def test_a_bent_arm_is_cut_at_its_bend():
    arm = box(0, 0, 100, 12).union(box(88, 0, 100, 100))
    found = pieces(arm, 3.0)
    assert sorted(round(direction) % 180 for _, direction in found) == [0, 90]


def test_a_convex_area_is_not_cut():
    assert len(pieces(box(0, 0, 100, 60), 3.0)) == 1
    assert piece_swaths(box(0, 0, 100, 60), box(0, 0, 100, 60), 3.0) == []


@pytest.mark.parametrize("turn_deg", [0.0, 37.0])
def test_a_bent_arm_is_flown_along_both_limbs(turn_deg):
    """Parallel passes alone would turn at every pass of one limb: a quarter over the bound and more."""
    arm = affinity.rotate(box(0, 0, 100, 11.9).union(box(88.1, 0, 100, 100)), turn_deg, origin=(0, 0))
    found = sweep_area(arm, 3.0, Budget(iterations=10))
    assert found.ratio <= 1.12
    assert judge_coverage([found.corners_m], rings_of(arm), 3.0).fraction == 1.0


@settings(max_examples=5)
@given(st.sampled_from(sorted(FAMILIES)), seeds)
def test_every_family_is_swept_whole_and_from_where_it_may(name, seed):
    area = affinity.scale(FAMILIES[name](seed), 0.5, 0.5)
    forbidden = name in FORBIDDEN
    found = sweep_area(area, WIDTH_M, Budget(iterations=3), allowed=area if forbidden else None)
    holes = [np.asarray(hole.coords)[:-1] for hole in area.interiors] if forbidden else []
    verdict = judge_coverage([found.corners_m], rings_of(area), WIDTH_M, forbidden=holes)
    assert (verdict.fraction, verdict.forbidden_m) == (1.0, 0.0)
    room = area if forbidden else shapely.Polygon(area.exterior)
    assert room.buffer(0.01).covers(LineString(found.corners_m)) or len(found.corners_m) < 2


@settings(max_examples=4)
@given(areas)
def test_a_fixed_direction_keeps_all_swaths_parallel(area):
    """No pieces, no rings: the longest passes lie in the direction that was asked for."""
    found = sweep_area(area, 6.0, Budget(iterations=0), direction_deg=20.0)
    assert found.direction_deg == pytest.approx(20.0, abs=1e-6)


runs = st.lists(st.tuples(st.integers(2, 6), st.booleans()), min_size=1, max_size=8)


@given(runs, st.integers(0, 1000))
def test_stretches_keep_every_point_and_alternate(shape, seed):
    rng = np.random.default_rng(seed)
    given_runs, at = [], (0.0, 0.0)
    for count, is_pass in shape:
        points = [at, *((float(x), float(y)) for x, y in rng.uniform(-9.0, 9.0, (count - 1, 2)))]
        given_runs.append((points, is_pass))
        at = points[-1]
    found = stretches(given_runs, 5.0)
    assert len(found) % 2 == 1
    assert all(len(found[k]) == 2 for k in range(0, len(found), 2))
    assert all(a[-1] == b[0] for a, b in pairwise(found))
    flown = [p for stretch in found for p in stretch]
    wanted = [p for points, _ in given_runs for p in points]
    assert _without_repeats(flown) == _without_repeats(wanted)


def _without_repeats(points):
    return [p for k, p in enumerate(points) if k == 0 or p != points[k - 1]]


def test_a_swath_may_bend():
    bent = Swath(0, (0.0, 0.0), (3.0, 4.0), ((3.0, 0.0),))
    assert bent.length_m == 7.0
    assert Swath(0, (0.0, 0.0), (3.0, 4.0)).length_m == math.hypot(3.0, 4.0)
