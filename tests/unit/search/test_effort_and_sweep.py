# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bounds against bisection and random allocations, passes on the raster against distances to legs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from missions.geo import GeoPoint, LocalFrame
from missions.judge_search import judge_disc_bound, judge_effort_bound, judge_pos
from missions.search.belief import belief_in, disc_sensor, exponential_sensor
from missions.search.effort import circular_normal_bound, koopman_pod, optimal_effort, perfect_bound
from missions.search.improve import Raster
from missions.search.probability import from_array
from missions.search.sweep import sweep_leg
from missions.search.tracks import passes_frame, pod_grid, success

MASS = arrays(np.float64, (6, 7), elements=st.floats(0.0, 1.0).map(lambda v: v if v > 1e-6 else 0.0))
POINTS = st.lists(st.tuples(st.floats(-150, 150), st.floats(-150, 150)), min_size=2, max_size=5)


@given(MASS, st.floats(0.1, 60.0))
@settings(max_examples=80, deadline=None)
def test_optimal_effort_is_spent_agrees_with_bisection_and_is_not_beaten(mass, coverage_cells):
    if mass.sum() < 1e-3:
        return
    p, area = mass / mass.sum(), 400.0
    effort = coverage_cells * area
    coverage, pos = optimal_effort(p, area, effort)
    assert coverage.min() >= 0.0
    assert coverage.sum() * area == pytest.approx(effort, rel=1e-9)
    assert pos == pytest.approx(judge_effort_bound(p, math.sqrt(area), effort), abs=1e-9)
    rng = np.random.default_rng(7)
    for _ in range(20):
        other = rng.dirichlet(np.full(p.size, rng.uniform(0.05, 2.0))).reshape(p.shape) * coverage_cells
        assert (p * koopman_pod(other)).sum() <= pos + 1e-9


def test_optimal_effort_on_a_circular_normal_meets_its_formula():
    sigma, cell = 300.0, 10.0
    x = (np.arange(-240, 240) + 0.5) * cell
    p = np.exp(-(x[None, :] ** 2 + x[:, None] ** 2) / (2 * sigma**2))
    p /= p.sum()
    for effort in (1e4, 3e5, 2e6):
        assert optimal_effort(p, cell**2, effort)[1] == pytest.approx(circular_normal_bound(sigma, effort), abs=2e-3)


def test_no_effort_finds_nothing():
    assert optimal_effort(np.ones((2, 2)) / 4.0, 100.0, 0.0)[1] == 0.0


@given(MASS, st.floats(1.0, 40.0), st.floats(0.0, 3000.0), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_the_disc_bound_agrees_with_bisection(mass, radius, length, vehicles):
    if mass.sum() < 1e-3:
        return
    p = mass / mass.sum()
    ours = perfect_bound(p, 900.0, radius, length, vehicles)
    assert ours == pytest.approx(judge_disc_bound(p, 30.0, radius, length, vehicles), abs=1e-9)
    assert ours <= 1.0 + 1e-12


def raster(cell=4.0, half=220.0, seed=3):
    count = int(2 * half / cell)
    mass = np.random.default_rng(seed).random((count, count))
    return Raster(-half, -half, cell, mass / mass.sum(), np.zeros((count, count), dtype=bool))


GROUND = raster()


@given(POINTS, st.floats(10.0, 50.0), st.booleans())
@settings(max_examples=60, deadline=None)
def test_passes_are_what_distances_to_legs_say(points, half_width, disc):
    track = np.asarray(points)
    sweep = disc_sensor(half_width) if disc else exponential_sensor(2.0 * half_width)
    ours = success([track], GROUND, sweep)
    # One judge's point in every cell's middle would be the same rule; scattered points know nothing of the raster.
    judged = judge_pos(GROUND.mass, -220.0, -220.0, 4.0, [track], half_width, disc=disc, samples=2)
    length = np.hypot(*np.diff(track, axis=0).T).sum()
    edge = 2.0 * (length + len(points) * math.pi * half_width) * 0.5 / 220.0**2
    assert ours == pytest.approx(judged, abs=0.45 * edge + 1e-3)


@given(POINTS, st.floats(10.0, 50.0), st.booleans())
@settings(max_examples=60, deadline=None)
def test_taking_a_leg_away_again_leaves_nothing(points, half_width, disc):
    sweep = disc_sensor(half_width) if disc else exponential_sensor(2.0 * half_width)
    counts = np.zeros(GROUND.mass.shape, dtype=np.int32)
    frame = passes_frame(GROUND, sweep)
    legs = list(pairwise(points))
    up = sum(sweep_leg(counts, GROUND.mass, sweep.pod, frame, *a, *b, 1) for a, b in legs)
    down = sum(sweep_leg(counts, GROUND.mass, sweep.pod, frame, *a, *b, -1) for a, b in legs)
    assert up == pytest.approx(-down, abs=1e-12)
    assert not counts.any()


@given(POINTS, st.floats(10.0, 50.0))
@settings(max_examples=20, deadline=None)
def test_the_compiled_loop_and_the_plain_one_agree(points, half_width):
    plain = getattr(sweep_leg, "py_func", sweep_leg)
    sweep = disc_sensor(half_width)
    coarse = raster(20.0)
    frame = passes_frame(coarse, sweep)
    one, two = (np.zeros(coarse.mass.shape, dtype=np.int32) for _ in range(2))
    for a, b in pairwise(points):
        assert plain(one, coarse.mass, sweep.pod, frame, *a, *b, 1) == pytest.approx(
            sweep_leg(two, coarse.mass, sweep.pod, frame, *a, *b, 1), abs=1e-12
        )
    assert np.array_equal(one, two)


def test_two_passes_of_a_strip_detect_as_two():
    sweep = exponential_sensor(40.0)
    there_and_back = np.array([[-100.0, 0.0], [100.0, 0.0], [-100.0, 0.0]])
    pod = pod_grid([there_and_back], GROUND, sweep)
    assert pod.max() == pytest.approx(1.0 - math.exp(-2.0))
    assert pod[55, 55] == pytest.approx(1.0 - math.exp(-2.0))
    assert pod[55, 2] == 0.0


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("sweep", [disc_sensor(30.0), exponential_sensor(60.0)], ids=["disc", "exponential"])
def test_slanting_legs_are_worth_no_more_on_coarse_cells(rows, sweep):
    """Legs laid between the middles of cells, where an optimiser would lay them: a row too many would count for each."""
    cell = 60.0 / rows * (1.0 + 1e-6)
    count = math.ceil(3000.0 / cell)
    raster = Raster(0.0, 0.0, cell, np.full((count, count), 1.0 / count**2), np.zeros((count, count), dtype=bool))
    aside = np.arange(8) * 300.0 + cell * 0.25 * math.sqrt(2.0)
    tracks = [np.array([[300.0 + a, 300.0], [2600.0, 2600.0 - a]]) for a in aside]
    judged = judge_pos(raster.mass, 0.0, 0.0, cell, tracks, 30.0, disc=sweep.round_ends, samples=math.ceil(20 / rows))
    assert success(tracks, raster, sweep) == pytest.approx(judged, rel=0.03)


def test_a_large_area_is_searched_on_cells_as_small_as_a_small_one():
    chart = from_array(np.ones((40, 40)), LocalFrame(GeoPoint(30.0, 107.0)), 250.0, source="even")
    belief = belief_in(chart, (-5000.0, -5000.0, 5000.0, 5000.0), 30.0)
    assert belief.cell_m == pytest.approx(60.0 / 7.0, rel=1e-3)
    assert belief.mass.sum() == pytest.approx(1.0)
