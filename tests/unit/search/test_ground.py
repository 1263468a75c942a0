# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the ground does to a map: sums stay, nobody is hidden, weight goes where it should; watersheds by known shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.errors import PlanningError
from missions.geo import GeoPoint, LocalFrame
from missions.search.flown import after_tracks, refined
from missions.search.ground import (
    FLOOR,
    LINE_PULL,
    GroundModels,
    Line,
    line_factor,
    on_ground,
    tobler_m_s,
    walking_hours,
    watershed_factor,
)
from missions.search.improve import Sweep
from missions.search.lost_person import distance_law
from missions.search.probability import from_array, from_distances
from missions.search.watersheds import crossings, watersheds

FRAME = LocalFrame(GeoPoint(29.74, 107.27))
RINGS = from_distances(distance_law("child_4_6", "temperate_flat"), FRAME, reach_m=900.0)


def centres(chart):
    return np.meshgrid(*chart.centres_m())


def small(count=40, cell=30.0):
    return from_array(np.ones((count, count)), FRAME, cell, source="even")


def heights_of(seed, shape):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape) / 9.0
    a, b, c = rng.uniform(0.3, 1.5, 3)
    return 200.0 + 40.0 * np.sin(a * rows + c) * np.cos(b * columns)


lines_drawn = st.lists(
    st.tuples(
        st.sampled_from(sorted(LINE_PULL)),
        st.lists(st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)), min_size=2, max_size=4),
    ),
    max_size=3,
)


@given(st.integers(0, 10**6), lines_drawn, st.one_of(st.none(), st.floats(0.02, 3.0)), st.floats(0.05, 1.0))
@settings(max_examples=40, deadline=None)
def test_whatever_the_ground_says_nobody_is_hidden(seed, drawn, hours, floor):
    chart = small()
    heights = heights_of(seed, chart.p.shape)
    if seed % 3 == 0:
        heights[:10] = np.nan
    lines = [Line(kind, np.array(corners)) for kind, corners in drawn]
    found = on_ground(chart, heights, lines, GroundModels(hours=hours, floor=floor))
    assert math.fsum(found.p.ravel()) == pytest.approx(1.0, abs=1e-12)
    assert np.all(found.p >= floor * chart.p * (1.0 - 1e-9))


def test_with_everything_off_the_map_is_the_same():
    off = GroundModels(hours=1.0, walking=False, watershed=False, lines=False)
    found = on_ground(RINGS, heights_of(1, RINGS.p.shape), [Line("road", np.array([[0.0, 0.0], [500.0, 0.0]]))], off)
    assert found is RINGS
    assert on_ground(RINGS, None, [], GroundModels(hours=1.0)) is RINGS


def test_a_road_draws_weight_and_the_rings_keep_theirs():
    road = Line("road", np.array([[-2000.0, 30.0], [2000.0, 30.0]]))
    found = on_ground(RINGS, None, [road], GroundModels())
    east, north = centres(RINGS)
    near = np.abs(north - 30.0) < 60.0
    assert found.p[near].sum() > 1.2 * RINGS.p[near].sum()
    far = np.abs(north) > 400.0
    assert found.p[far].sum() < RINGS.p[far].sum()
    # The distance law is what was counted: within 200 m and within 600 m are as many as before.
    away = np.hypot(east, north)
    for radius in (200.0, 600.0):
        assert found.p[away < radius].sum() == pytest.approx(RINGS.p[away < radius].sum(), rel=0.03)
    assert not any(d.startswith("the direction is taken as unknown") for d in found.doubts)
    assert any("Jacobs" in d and "assumed" in d for d in found.doubts)


def test_lines_of_two_kinds_do_not_add_up():
    both = [
        Line("road", np.array([[0.0, -600.0], [0.0, 600.0]])),
        Line("stream", np.array([[0.0, -600.0], [0.0, 600.0]])),
    ]
    factor = line_factor(small(), both)
    assert factor.max() <= 1.0 + LINE_PULL["road"] + 1e-12
    with pytest.raises(PlanningError, match="road"):
        line_factor(small(), [Line("canal", both[0].corners_m)])


def test_the_valley_of_the_place_gets_more_than_the_one_behind_the_ridge():
    chart = small(60)
    east, _ = centres(chart)
    heights = 300.0 - 80.0 * np.cos(east / 900.0 * 2 * np.pi)  # the place is in a valley; ridges at +-450 m
    found = on_ground(chart, heights, [], GroundModels())
    inside, behind = np.abs(east) < 400.0, np.abs(east) > 500.0
    assert found.p[inside].sum() > chart.p[inside].sum() * 1.05
    assert found.p[behind].sum() < chart.p[behind].sum()
    factor = watershed_factor(chart, heights)
    assert factor[30, 30] == 1.0
    assert set(np.unique(factor[behind])) == {0.5}


def test_watersheds_of_known_shapes():
    x = np.arange(60.0)
    two = np.tile(30.0 - np.abs(x - 29.5), (20, 1))  # a ridge in the middle, falling off to both sides
    labels = watersheds(two, 5.0)
    assert len(set(labels.ravel().tolist())) == 2
    assert labels[0, 0] == labels[19, 20]
    assert labels[0, 0] != labels[0, 59]
    assert len(set(watersheds(two, 100.0).ravel().tolist())) == 1  # too shallow to count
    two[:, :5] = np.nan
    labels = watersheds(two, 5.0)
    assert set(labels[:, :5].ravel().tolist()) == {-1}
    assert crossings(labels, (10, 10))[0, 59] == 1
    assert crossings(labels, (10, 10))[0, 0] == -1
    three = np.tile(20.0 * np.cos(np.arange(90.0) / 15.0 * np.pi), (8, 1))  # valleys at 15, 45, 75
    assert crossings(watersheds(three, 5.0), (4, 15))[4, [15, 45, 75]].tolist() == [0, 1, 2]


def test_walking_takes_the_time_that_toblers_function_says():
    assert float(tobler_m_s(np.array(-0.05))) == pytest.approx(6.0 / 3.6)
    assert float(tobler_m_s(np.array(0.0))) == pytest.approx(5.036 / 3.6, rel=1e-3)
    chart = small(80, 25.0)
    east, north = centres(chart)
    flat = walking_hours(chart, np.zeros(chart.p.shape))
    straight = np.hypot(east, north) / 1000.0 / 5.036
    far = np.hypot(east, north) > 300.0
    assert np.all(flat[far] > straight[far] - 0.004)  # the origin's cell is as near as half its diagonal
    assert np.all(flat[far] < straight[far] * 1.03 + 0.004)
    slope = walking_hours(chart, 0.3 * east)
    uphill, downhill = slope[40, 79], slope[40, 0]
    assert uphill > downhill > flat[40, 0]
    assert uphill == pytest.approx(0.9875 / (float(tobler_m_s(np.array(0.3))) * 3.6), rel=0.05)


def test_who_cannot_be_there_yet_keeps_the_floor_only():
    chart = small(60)
    east, north = centres(chart)
    found = on_ground(chart, np.zeros(chart.p.shape), [], GroundModels(hours=0.1))
    far = np.hypot(east, north) > 1.25 * 0.1 * 6000.0 + 80.0
    assert far.any()
    assert np.allclose(found.p[far], FLOOR * chart.p[far])
    assert found.p[~far].sum() > chart.p[~far].sum()
    steep = on_ground(chart, 0.5 * np.abs(east), [], GroundModels(hours=0.1, watershed=False))
    assert steep.p[30, 45] < found.p[30, 45]


@pytest.mark.parametrize(
    ("heights", "models", "word"),
    [
        (np.zeros((3, 3)), GroundModels(), "agree"),
        (None, GroundModels(floor=0.0), "above 0"),
    ],
)
def test_bad_ground_is_refused(heights, models, word):
    with pytest.raises(PlanningError, match=word):
        on_ground(small(), heights, [], models)


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_flown_tracks_change_a_map_by_exact_bayes(seed, corners):
    rng = np.random.default_rng(seed)
    chart = from_array(rng.uniform(0, 1, (12, 15)), FRAME, 40.0, source="made")
    tracks = [rng.uniform(-250, 250, (corners, 2)) for _ in range(2)]
    sweep = Sweep(20.0, -np.expm1(-np.arange(20.0)), round_ends=False)
    swept = after_tracks(chart, tracks, sweep)
    fine = refined(chart, 40.0 / 6.0)
    assert fine.p.shape == swept.pod.shape == (72, 90)
    assert fine.p.reshape(12, 6, 15, 6).sum(axis=(1, 3)) == pytest.approx(chart.p, abs=1e-15)
    missed = [p * (1.0 - d) for p, d in zip(fine.p.ravel().tolist(), swept.pod.ravel().tolist(), strict=True)]
    total = math.fsum(missed)
    assert np.abs(swept.chart.p.ravel() - np.array(missed) / total).max() < 1e-12
    assert swept.found == pytest.approx(1.0 - total, abs=1e-12)
