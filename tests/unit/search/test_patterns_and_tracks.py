# SPDX-License-Identifier: AGPL-3.0-or-later
"""Patterns have the shapes that pilots expect; tracks keep their lengths, starts and homes; annealing keeps its rules."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString

from missions.judge_search import judge_pos
from missions.model import Budget
from missions.search import patterns
from missions.search.belief import disc_sensor, exponential_sensor
from missions.search.improve import Allowance, Raster, improve
from missions.search.lattice import all_free, lattice_tour
from missions.search.portfolio import BASELINE, SearchTask, candidates, main_axis_deg
from missions.search.tour import short_tour
from missions.search.tracks import cost_m, length_m, share_out, success

SPACING = 50.0


def steps(way):
    return np.hypot(*np.diff(way, axis=0).T)


def test_expanding_square_grows_by_one_spacing_every_second_leg():
    way = patterns.expanding_square(SPACING, 3000.0)
    assert steps(way)[:6] == pytest.approx([50, 50, 100, 100, 150, 150])
    assert length_m(way) == pytest.approx(3000.0)
    headings = np.degrees(np.arctan2(*np.diff(way, axis=0).T)) % 360.0
    assert headings[:5] == pytest.approx([0, 90, 180, 270, 0])


@given(st.floats(100.0, 800.0))
@settings(max_examples=30, deadline=None)
def test_sector_legs_pass_through_the_datum_and_turn_all_round(radius):
    way = patterns.sector(radius, 1e6, SPACING)
    away = np.hypot(*way.T)
    assert np.all((away < 1e-9) | (np.abs(away - radius) < 1e-9))
    bearings = np.degrees(np.arctan2(way[away > 1.0, 0], way[away > 1.0, 1])) % 360.0
    gaps = np.diff(np.sort(np.append(np.unique(np.round(bearings, 6)), bearings.min() + 360.0)))
    assert gaps == pytest.approx(np.full(len(gaps), gaps[0]), abs=1e-4)
    assert len(gaps) >= 6
    assert math.radians(gaps[0]) * radius <= 2.0 * SPACING or len(gaps) == 6


@given(st.floats(200.0, 900.0), st.floats(120.0, 900.0), st.floats(0.0, 180.0))
@settings(max_examples=30, deadline=None)
def test_parallel_legs_cover_their_box(width, depth, axis):
    way = patterns.parallel_sweep(width, depth, SPACING, axis)
    legs = round(depth / SPACING)
    box = shapely.box(-width / 2, -legs * SPACING / 2, width / 2, legs * SPACING / 2)
    turned = shapely.affinity.rotate(box, -axis, origin=(0, 0))
    swept = LineString(way).buffer(SPACING / 2 + 0.01, cap_style="square", join_style="mitre")
    assert turned.difference(swept).area < 1e-3 * turned.area


def test_rings_and_pizza_stay_one_swath_apart():
    way = patterns.rings(SPACING, 5000.0)
    disc = shapely.Point(0, 0).buffer(math.floor(np.hypot(*way[-1]) / SPACING) * SPACING)
    assert disc.difference(LineString(way).buffer(SPACING / 2 + 2.0)).area < 1e-3 * disc.area
    slices = [patterns.pizza(d, 5, SPACING, 4000.0) for d in range(5)]
    for piece in slices:
        radii = np.hypot(*piece.T)
        assert np.all(np.abs(radii / SPACING - np.round(radii / SPACING)) < 1e-9)
        assert length_m(piece) >= 0.99 * 4000.0
    together = shapely.union_all([LineString(s).buffer(SPACING / 2 + 0.5) for s in slices])
    assert shapely.Point(0, 0).buffer(300.0).difference(together).area < 100.0


def test_contours_run_level_and_one_spacing_apart():
    x, y = np.meshgrid(np.arange(60) * 10.0, np.arange(50) * 10.0)
    heights = 0.2 * x + 0.1 * y
    lines = patterns.contours(heights, 100.0, 200.0, 10.0, SPACING, 80.0)
    assert len(lines) > 8
    levels = []
    for line in lines:
        z = 0.2 * (line[:, 0] - 100.0) + 0.1 * (line[:, 1] - 200.0)
        assert np.ptp(z) < 0.01
        levels.append(z[0])
    apart = -np.diff(levels) / math.hypot(0.2, 0.1)
    assert apart == pytest.approx(np.full(len(apart), SPACING), rel=0.02)
    assert patterns.contours(np.full((9, 9), 4.0), 0.0, 0.0, 10.0, SPACING, 80.0) == []


def test_a_round_hill_has_closed_contours():
    x, y = np.meshgrid(np.arange(-50, 51) * 10.0, np.arange(-50, 51) * 10.0)
    lines = patterns.contours(200.0 - 0.2 * np.hypot(x, y), -500.0, -500.0, 10.0, SPACING, 80.0)
    closed = [line for line in lines if np.hypot(*(line[0] - line[-1])) < 1e-6]
    assert len(closed) >= 8


@given(st.integers(3, 40), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_short_tour_visits_all_once_and_beats_the_given_order(count, seed):
    points = np.random.default_rng(seed).uniform(-500, 500, (count, 2))
    order = short_tour(points, start=1)
    assert order[0] == 1
    assert sorted(order) == list(range(count))
    given_order = [1, *(i for i in range(count) if i != 1)]
    assert length_m(points[order]) <= length_m(points[given_order]) + 1e-6


def test_a_short_tour_through_a_lattice_is_nearly_the_best():
    x, y = np.meshgrid(np.arange(12.0), np.arange(10.0))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    assert length_m(points[short_tour(points)]) <= 1.08 * 119


def ground(half=600.0, cell=10.0, seed=5, hole=None):
    count = int(2 * half / cell)
    x = (np.arange(count) + 0.5) * cell - half
    rng = np.random.default_rng(seed)
    mass = sum(
        np.exp(-((x[None, :] - rng.uniform(-300, 300)) ** 2 + (x[:, None] - rng.uniform(-300, 300)) ** 2) / 2 / s**2)
        for s in (80.0, 150.0, 220.0)
    )
    blocked = np.zeros(mass.shape, dtype=bool)
    if hole is not None:
        blocked = np.maximum(np.abs(x[None, :] - hole[0]), np.abs(x[:, None] - hole[1])) < hole[2]
    return Raster(-half, -half, cell, mass / mass.sum(), blocked)


@pytest.mark.parametrize("turn_m", [0.0, 27.0])
@pytest.mark.parametrize("docked", [False, True])
@pytest.mark.parametrize("sweep", [disc_sensor(30.0), exponential_sensor(60.0)], ids=["disc", "exponential"])
def test_improved_tracks_keep_their_allowance_and_find_more(turn_m, docked, sweep):
    raster = ground()
    place = (-250.0, 100.0) if docked else None
    allowances = [Allowance(3000.0, place, place), Allowance(2000.0, place, place)]
    start = lattice_tour(raster, sweep, allowances, turn_m)
    better = improve(start, raster, sweep, allowances, Budget(60_000, 3), turn_m=turn_m)
    for track, allowance in zip(better, allowances, strict=True):
        assert cost_m(track, allowance, turn_m) <= allowance.length_m + 1e-6
        assert not docked or tuple(track[0]) == place
    assert success(better, raster, sweep) >= success(start, raster, sweep)
    again = improve(start, raster, sweep, allowances, Budget(60_000, 3), turn_m=turn_m)
    assert all(np.array_equal(a, b) for a, b in zip(better, again, strict=True))


def test_improved_tracks_keep_out_of_blocked_cells():
    raster, sweep = ground(hole=(0.0, 0.0, 150.0)), disc_sensor(30.0)
    ring = np.array([[-250.0, -250], [250, -250], [250, 250], [-250, 250]])
    assert all_free([ring], raster, sweep)
    better = improve([ring], raster, sweep, [Allowance(3000.0)], Budget(40_000, 1))
    assert all_free(better, raster, sweep)
    assert success(better, raster, sweep) > 1.3 * success([ring], raster, sweep)
    fine = np.vstack([a + np.linspace(0, 1, 200)[:, None] * (b - a) for a, b in pairwise(better[0])])
    assert not np.any(np.abs(fine).max(axis=1) < 145.0)


def test_a_stopped_improvement_still_keeps_its_allowance():
    raster, sweep = ground(), disc_sensor(30.0)
    long = lattice_tour(raster, sweep, [Allowance(4000.0)], 0.0)
    short = improve(long, raster, sweep, [Allowance(1000.0)], Budget(10_000, 1, stop=lambda: True))
    assert cost_m(short[0], Allowance(1000.0), 0.0) <= 1000.0 + 1e-6


def test_without_iterations_tracks_are_only_cut_however_many_corners_they_have():
    raster, sweep = ground(), disc_sensor(1.0)
    way = patterns.parallel_sweep(800.0, 40.0, 2.0)  # more corners than the annealing holds
    fine = np.stack(
        [np.interp(np.arange(0.0, len(way) - 1, 0.002), np.arange(len(way)), way[:, c]) for c in (0, 1)], axis=1
    )
    whole, short = improve([fine, fine], raster, sweep, [Allowance(1e6), Allowance(1000.0)], Budget(0))
    assert length_m(whole) == pytest.approx(length_m(fine))
    assert length_m(short) == pytest.approx(1000.0, abs=0.01)


def test_one_way_is_shared_out_in_order_without_gaps():
    way = patterns.parallel_sweep(800.0, 400.0, SPACING)
    pieces = share_out(way, [Allowance(2000.0)] * 4, 0.0)
    assert [length_m(p) for p in pieces[:3]] == pytest.approx([2000.0] * 3, abs=0.01)
    assert all(np.hypot(*(a[-1] - b[0])) < 0.01 for a, b in pairwise(pieces))
    assert sum(map(length_m, pieces)) == pytest.approx(min(8000.0, length_m(way)), abs=0.1)


def test_the_portfolio_holds_every_pattern_and_keeps_the_best():
    raster, sweep = ground(), disc_sensor(30.0)
    x = np.arange(raster.mass.shape[0]) * 10.0
    heights = 0.1 * x[:, None] + 20.0 * np.sin(x[None, :] / 150.0)
    task = SearchTask(raster, sweep, (Allowance(2500.0),) * 2, heights=lambda x, y: heights[: len(y), : len(x)])
    found = candidates(task, Budget(60_000, 2))
    names = [c.name for c in found]
    for wanted in ("(SS)", "(VS)", "(PS)", "(CS)", "ring", "contour", "lattice tour", BASELINE):
        assert any(wanted in n for n in names), wanted
    assert [c.pos for c in found] == sorted((c.pos for c in found), reverse=True)
    assert "improved" in names[0]
    for candidate in found:
        assert all(length_m(t) <= 2500.0 + 1e-6 for t in candidate.tracks)
        judged = judge_pos(raster.mass, -600.0, -600.0, 10.0, candidate.tracks, 30.0, disc=True)
        assert candidate.pos == pytest.approx(judged, rel=0.05)


def test_the_main_axis_of_a_stretched_map():
    x = (np.arange(100) + 0.5) * 10.0 - 500.0
    east, north = np.meshgrid(x, x)
    angle = math.radians(30.0)  # clockwise from north
    along, across = east * math.sin(angle) + north * math.cos(angle), east * math.cos(angle) - north * math.sin(angle)
    mass = np.exp(-((along / 300.0) ** 2) - (across / 80.0) ** 2)
    raster = Raster(-500.0, -500.0, 10.0, mass / mass.sum(), np.zeros(mass.shape, dtype=bool))
    assert main_axis_deg(raster, (0.0, 0.0)) == pytest.approx(30.0, abs=1.0)
