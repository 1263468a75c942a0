# SPDX-License-Identifier: AGPL-3.0-or-later
"""Maps of lost persons: the distance table, rings, other grids, files, and Bayes' rule against its definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dronectl.errors import BadInputError
from dronectl.operations.probability_files import MapReading, read_probability_map
from missions.errors import PlanningError
from missions.geo import GeoPoint, LocalFrame
from missions.judge_search import judge_posterior
from missions.search.belief import Belief
from missions.search.lost_person import CATEGORIES, SHARES, TERRAINS, distance_law
from missions.search.probability import ProbabilityMap, from_array, from_distances

FRAME = LocalFrame(GeoPoint(29.74, 107.27))
WEIGHTS = arrays(np.float64, (4, 5), elements=st.floats(0.0, 1.0))
PODS = arrays(np.float64, (4, 5), elements=st.floats(0.0, 0.999))


def chart(weights):
    return from_array(weights, FRAME, 30.0, source="test")


def laws():
    for category in CATEGORIES:
        for terrain in TERRAINS:
            try:
                yield distance_law(category, terrain)
            except PlanningError as error:
                assert "no figures" in str(error)  # noqa: PT017


def test_the_law_goes_through_the_table_and_its_density_adds_up_to_it():
    checked = 0
    for law in laws():
        knots = np.asarray(law.knots_km[:4]) * 1000.0
        assert law.share_within(knots) == pytest.approx(SHARES)
        assert law.share_within(law.farthest_m) == pytest.approx(1.0)
        edges = np.geomspace(1.0, law.farthest_m, 20_001)
        middle = (edges[1:] + edges[:-1]) / 2.0
        rings = law.density_per_m2(middle) * np.pi * (edges[1:] ** 2 - edges[:-1] ** 2)
        assert np.cumsum(rings)[-1] == pytest.approx(1.0, abs=1e-3)
        inside = np.searchsorted(edges, knots)
        assert np.cumsum(rings)[inside - 1] == pytest.approx(SHARES, abs=2e-3)
        checked += 1
    assert checked == 30


def test_figures_of_the_source():
    dementia = distance_law("dementia", "temperate_flat")
    assert dementia.knots_km[:4] == (0.32, 0.97, 2.41, 12.71)
    assert distance_law("hiker", "temperate_mountain").knots_km[:4] == (1.13, 3.06, 5.79, 18.2)


@pytest.mark.parametrize(("category", "rests"), [("child_4_6", True), ("despondent", True), ("dementia", False)])
def test_rows_of_one_transcription_say_so(category, rests):
    said = " ".join(distance_law(category, "urban").doubts)
    assert ("one transcription" in said) is rests


@pytest.mark.parametrize(
    ("category", "terrain", "word"),
    [("cat", "urban", "dementia"), ("dementia", "sea", "urban"), ("hiker", "urban", "temperate_mountain")],
)
def test_unknown_people_and_places_are_refused_naming_what_there_is(category, terrain, word):
    with pytest.raises(PlanningError, match=word):
        distance_law(category, terrain)


def test_rings_hold_what_the_table_says():
    law = distance_law("child_7_9", "urban")
    rings = from_distances(law, FRAME)
    east, north = rings.centres_m()
    away = np.hypot(east[None, :], north[:, None])
    assert rings.p.sum() == pytest.approx(1.0, abs=1e-9)
    for share, knot in zip(SHARES, law.knots_km, strict=False):
        assert rings.p[away <= knot * 1000.0].sum() == pytest.approx(share, abs=0.012)


def test_a_walker_is_not_looked_for_farther_than_walked():
    near = from_distances(distance_law("hiker", "dry_flat"), FRAME, reach_m=2000.0)
    east, north = near.centres_m()
    assert near.p[np.hypot(east[None, :], north[:, None]) > 2000.0 + near.cell_m].sum() == 0.0
    assert near.p.sum() == pytest.approx(1.0, abs=1e-9)
    assert any("cut at 2.0 km" in d for d in near.doubts)


@pytest.mark.parametrize(
    ("weights", "word"),
    [
        (np.zeros((3, 3)), "empty"),
        (np.array([[0.5, -0.1]]), "negative"),
        (np.array([[np.nan, 1.0]]), "finite"),
        (np.ones(4), "rows and columns"),
    ],
)
def test_maps_that_are_none_are_refused(weights, word):
    with pytest.raises(PlanningError, match=word):
        chart(weights)


def test_a_map_that_does_not_sum_to_one_is_refused():
    for corner in ({"west_m": np.inf, "south_m": 0.0}, {"west_m": 0.0, "south_m": np.nan}):
        with pytest.raises(PlanningError, match="a probability map has a corner"):
            from_array(np.ones((2, 2)), FRAME, 30.0, source="test", **corner)
    with pytest.raises(PlanningError, match="sums to 1"):
        ProbabilityMap(FRAME, 0.0, 0.0, 10.0, np.full((2, 2), 0.3), "test")


@given(WEIGHTS, st.floats(3.0, 80.0), st.floats(-40.0, 0.0), st.floats(-40.0, 0.0))
@settings(max_examples=40, deadline=None)
def test_another_grid_keeps_the_mass_that_it_covers(weights, cell, dx, dy):
    if weights.sum() < 1e-6:
        return
    source = chart(weights)
    west, south = source.west_m + dx, source.south_m + dy
    shape = (int((4 * 30.0 + 45.0) / cell) + 1, int((5 * 30.0 + 45.0) / cell) + 1)
    other = source.mass_on(west, south, cell, shape)
    assert other.sum() == pytest.approx(1.0, abs=1e-9)
    east, north = source.centres_m()
    centre = np.array([(source.p.sum(axis=0) * east).sum(), (source.p.sum(axis=1) * north).sum()])
    x, y = west + (np.arange(shape[1]) + 0.5) * cell, south + (np.arange(shape[0]) + 0.5) * cell
    moved = np.array([(other.sum(axis=0) * x).sum(), (other.sum(axis=1) * y).sum()])
    assert np.abs(moved - centre).max() <= cell / 2.0 + 1e-6


@given(WEIGHTS, st.lists(PODS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_the_posterior_is_exact_bayes(weights, searches):
    if weights.sum() < 1e-3:
        return
    now = chart(weights)
    exact = [Fraction(float(v)) for v in now.p.ravel()]
    said = now.p.ravel().tolist()
    for pod in searches:
        now = now.after_a_miss(pod)
        exact = [p * (1 - Fraction(float(d))) for p, d in zip(exact, pod.ravel(), strict=True)]
        said = judge_posterior(said, pod.ravel().tolist())
    exact = [p / sum(exact) for p in exact]
    assert np.abs(now.p.ravel() - np.array([float(p) for p in exact])).max() < 1e-9
    assert np.abs(now.p.ravel() - np.array(said)).max() < 1e-9
    assert now.p.sum() == pytest.approx(1.0, abs=1e-9)


@given(WEIGHTS, PODS, st.floats(0.0, 0.9))
@settings(max_examples=40, deadline=None)
def test_what_lies_outside_takes_part_in_bayes_rule(weights, pod, outside):
    if weights.sum() < 1e-3:
        return
    mass = weights / weights.sum() * (1.0 - outside)
    after = Belief(FRAME, 0.0, 0.0, 10.0, mass, outside).after_a_miss(pod)
    assert np.abs(after.mass.ravel() - judge_posterior(mass.ravel(), pod.ravel(), outside)).max() < 1e-9
    assert after.mass.sum() + after.outside == pytest.approx(1.0, abs=1e-9)


def test_a_certain_search_of_everything_leaves_nothing_to_believe():
    with pytest.raises(PlanningError, match="not where it says"):
        chart(np.ones((4, 5))).after_a_miss(np.ones((4, 5)))


READING = MapReading(GeoPoint(29.74, 107.27), 30.0, first_row_north=False)


def test_files_are_read_with_their_place_and_without(tmp_path):
    weights = np.arange(12.0).reshape(3, 4)
    np.savez(tmp_path / "bare.npz", p=weights)
    bare = read_probability_map(tmp_path / "bare.npz", READING)
    assert bare.frame.origin == READING.centre
    assert (bare.west_m, bare.south_m, bare.cell_m) == (-60.0, -45.0, 30.0)
    assert bare.p == pytest.approx(weights / 66.0)
    assert any("taken as 30 m" in d for d in bare.doubts)
    np.savez(
        tmp_path / "placed.npz", p=weights, cell_m=10.0, west_m=1.0, south_m=2.0, latitude_deg=1.0, longitude_deg=2.0
    )
    placed = read_probability_map(tmp_path / "placed.npz", READING)
    assert placed.frame.origin == GeoPoint(1.0, 2.0)
    assert (placed.west_m, placed.south_m, placed.cell_m) == (1.0, 2.0, 10.0)
    np.save(tmp_path / "array.npy", weights.astype(np.float32))
    north = read_probability_map(tmp_path / "array.npy", MapReading(READING.centre, 30.0, first_row_north=True))
    assert north.p == pytest.approx(weights[::-1] / 66.0)


def test_files_that_are_no_maps_end_with_one_line(tmp_path):
    bad = {
        "zero.npz": {"p": np.zeros((3, 3))},
        "negative.npz": {"p": np.array([[1.0, -1.0]])},
        "two.npz": {"a": np.ones((2, 2)), "b": np.ones((2, 2))},
        "half.npz": {"p": np.ones((2, 2)), "west_m": 1.0},
        "text.npz": {"p": np.array([["a", "b"]])},
    }
    for name, content in bad.items():
        np.savez(tmp_path / name, **content)
    (tmp_path / "no.npz").write_bytes(b"PK\x03\x04 not a zip")
    (tmp_path / "empty.npy").write_bytes(b"")
    for name in [*bad, "no.npz", "empty.npy", "absent.npz"]:
        with pytest.raises(BadInputError) as caught:
            read_probability_map(tmp_path / name, READING)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
