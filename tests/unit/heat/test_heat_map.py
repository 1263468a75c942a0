# SPDX-License-Identifier: AGPL-3.0-or-later
"""Heat maps: mass is kept, every weight can be worked out again, warnings are rarely false, scores are what they say."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from shapely.geometry import Polygon, box

from missions.errors import PlanningError
from missions.geo import GeoPoint, LocalFrame
from missions.heat.density import best_bandwidth_m, heat_map
from missions.heat.grid import Case, heat_grid
from missions.heat.score import backtest, hits
from missions.heat.warn import hot_spots
from missions.heat.weights import item_weight, sentence

FRAME = LocalFrame(GeoPoint(29.74, 107.27))
AREA = Polygon([(0, 0), (1500, 100), (1600, 1100), (700, 1500), (-100, 900)])
DAY = date(2026, 3, 31)
QUICK = settings(max_examples=25, deadline=None, print_blob=True)


def even(rng, count, area=AREA):
    west, south, east, north = area.bounds
    places = rng.uniform((west, south), (east, north), (6 * count + 60, 2))
    return places[shapely.contains_xy(area, places)][:count]


def cases_at(places, days):
    return tuple(
        Case(f"c{i}", DAY - timedelta(days=int(d)), FRAME.to_geo(float(x), float(y)), "theft")
        for i, ((x, y), d) in enumerate(zip(places, days, strict=True))
    )


@settings(max_examples=10, deadline=None, print_blob=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(60.0, 300.0))
def test_the_map_holds_as_many_cases_as_went_in_weighted_by_their_age(seed, count, width):
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 200, count)
    grid = heat_grid(AREA, FRAME, 25.0)
    heat = heat_map(cases_at(even(rng, count), days), grid, DAY, half_life_days=60.0, bandwidth_m=width)
    held = float((heat.per_km2 * grid.inside).sum()) * (grid.cell_m / 1000.0) ** 2
    assert held == pytest.approx(float((0.5 ** (days / 60.0)).sum()), rel=1e-6)
    assert grid.area_m2 == pytest.approx(AREA.area, rel=1e-9)
    assert heat.mean_per_km2 == pytest.approx(held / (AREA.area / 1e6), rel=1e-6)


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_weight_can_be_worked_out_again_from_its_reasons(seed, count):
    rng = np.random.default_rng(seed)
    grid = heat_grid(AREA, FRAME, 50.0)
    heat = heat_map(cases_at(even(rng, count), rng.integers(0, 90, count)), grid, DAY, bandwidth_m=120.0)
    row, column = rng.integers(5, 15), rng.integers(5, 15)
    at = np.asarray([[grid.east_m[column], grid.north_m[row]]])
    item = item_weight(heat, "x", "Somewhere", at)
    assert item.per_km2 == pytest.approx(heat.per_km2[row, column], rel=1e-9)
    assert sum(r.share for r in item.reasons) + item.others_share == pytest.approx(1.0)
    assert item.weight == pytest.approx(min(2.0, max(0.5, math.sqrt(item.per_km2 / item.mean_per_km2))))
    assert len(item.reasons) + item.others == count
    for reason in item.reasons:
        case = next(c for c in heat.cases if c.case_id == reason.case_id)
        east, north = FRAME.to_enu(case.position)
        assert reason.distance_m == pytest.approx(math.hypot(east - at[0, 0], north - at[0, 1]), abs=1e-3)
        assert reason.recency == pytest.approx(0.5 ** (reason.days_ago / 60.0))
    assert f"{item.relative:.2f} times" in sentence(item)


def test_recent_cases_count_more():
    grid = heat_grid(AREA, FRAME, 50.0)
    heat = heat_map(cases_at([(300, 500), (1200, 500)], [60, 0]), grid, DAY, bandwidth_m=100.0)
    old, new = (item_weight(heat, "x", "x", np.asarray([[e, 500.0]])) for e in (300.0, 1200.0))
    assert new.per_km2 / old.per_km2 == pytest.approx(2.0, rel=0.02)


def test_the_bandwidth_follows_the_cases():
    rng = np.random.default_rng(2)
    grid = heat_grid(AREA, FRAME, 25.0)
    tight = np.repeat(even(rng, 6), 20, axis=0) + rng.normal(0.0, 30.0, (120, 2))
    ones = np.ones(120)
    assert best_bandwidth_m(tight, ones, grid) < 60.0
    assert best_bandwidth_m(even(rng, 120), ones, grid) > 100.0


@pytest.mark.parametrize("cases", [(), cases_at([(300, 500)], [-5])])
def test_an_empty_map_is_refused(cases):
    with pytest.raises(PlanningError, match="an empty map is no map"):
        heat_map(cases, heat_grid(AREA, FRAME, 50.0), DAY)


@pytest.mark.parametrize(("area", "cell", "said"), [(Polygon(), 50.0, "no size"), (AREA, 0.1, "cells of at least")])
def test_a_grid_that_cannot_be_is_refused(area, cell, said):
    with pytest.raises(PlanningError, match=said):
        heat_grid(area, FRAME, cell)


def test_even_months_raise_false_warnings_in_at_most_five_of_a_hundred():
    rng = np.random.default_rng(11)
    grid = heat_grid(AREA, FRAME, 160.0)
    months, false = 160, 0
    for seed in range(months):
        month, past = even(rng, rng.integers(3, 50)), even(rng, rng.integers(0, 120))
        false += bool(hot_spots(grid, month, past, seed=seed, draws=199).hot_spots)
    # What a true share of 5 % exceeds once in a thousand runs.
    assert false <= binom.ppf(0.999, months, 0.05)


def test_an_uneven_but_steady_pattern_does_not_rise():
    rng = np.random.default_rng(12)
    grid = heat_grid(AREA, FRAME, 160.0)

    def steady(count):
        return np.vstack([even(rng, count // 2), rng.normal((600, 600), 60.0, (count - count // 2, 2))])

    months, false, seen = 70, 0, 0
    for seed in range(months):
        found = hot_spots(grid, steady(rng.integers(10, 40)), steady(150), seed=seed, draws=199)
        false += any(s.test == "rising" for s in found.hot_spots)
        seen += any(s.test == "concentrated" for s in found.hot_spots)
    assert false <= binom.ppf(0.999, months, 0.025)
    assert seen > 0.8 * months


def test_a_real_hot_spot_is_found_where_it_is():
    rng = np.random.default_rng(13)
    grid = heat_grid(AREA, FRAME, 70.0)
    month = np.vstack([even(rng, 25), rng.normal((1100, 700), 50.0, (12, 2))])
    found = hot_spots(grid, month, even(rng, 200), seed=1)
    assert {s.test for s in found.hot_spots} == {"concentrated", "rising"}
    for spot in found.hot_spots:
        assert math.hypot(spot.east_m - 1100, spot.north_m - 700) < 200.0
        assert spot.cases > 2 * spot.expected
        assert spot.p <= found.level
    again = hot_spots(grid, month, month[:0], seed=1)
    assert again.tests == ("concentrated",)
    assert again.level == 0.05


def test_no_cases_and_too_few_draws():
    grid = heat_grid(AREA, FRAME, 160.0)
    none = np.zeros((0, 2))
    assert hot_spots(grid, none, none, seed=1).hot_spots == ()
    with pytest.raises(ValueError, match="at least 39"):
        hot_spots(grid, even(np.random.default_rng(1), 5), even(np.random.default_rng(2), 5), seed=1, draws=20)


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_hits_are_what_ranking_the_cells_by_hand_gives(seed, count):
    rng = np.random.default_rng(seed)
    grid = heat_grid(box(0, 0, 1000, 1000), FRAME, 100.0)
    counts = grid.counts(rng.uniform(0, 1000, (count, 2)))
    heat = rng.permutation(100).reshape(10, 10).astype(float)
    by_hand = sum(int(counts.flat[i]) for i in np.argsort(-heat.ravel())[:10])
    assert hits(heat, counts, grid) == pytest.approx(by_hand)
    assert hits(np.ones((10, 10)), counts, grid) == pytest.approx(0.1 * count)
    best = sum(sorted(counts.ravel())[-10:])
    assert hits(counts.astype(float), counts, grid) == pytest.approx(best)


def test_a_lasting_pattern_is_foretold_better_than_by_last_month_or_an_even_map():
    rng = np.random.default_rng(4)
    grid = heat_grid(AREA, FRAME, 50.0)
    hot = np.asarray([(300, 400), (900, 900), (1200, 300)])
    places = np.vstack([even(rng, 180), hot[rng.integers(0, 3, 180)] + rng.normal(0.0, 50.0, (180, 2))])
    found = backtest(cases_at(places, rng.integers(0, 330, 360)), grid)
    assert len(found.months) >= 10
    assert found.uniform.hit_rate == pytest.approx(0.1)
    assert found.uniform.accuracy_index == pytest.approx(1.0)
    assert found.ours.accuracy_index > 2.0
    assert found.ours.hits >= found.last_month.hits
    low, high = found.ours.interval
    assert low < found.ours.hit_rate < high


def test_each_month_is_foretold_from_earlier_ones_only():
    rng = np.random.default_rng(5)
    grid = heat_grid(AREA, FRAME, 50.0)
    places = even(rng, 60)
    days = np.repeat([70, 40, 5], 20)
    early = backtest(cases_at(places[:40], days[:40]), grid, bandwidth_m=100.0)
    moved = places.copy()
    moved[40:] = even(rng, 20)
    one, two = (backtest(cases_at(p, days), grid, bandwidth_m=100.0) for p in (places, moved))
    assert one.months == two.months
    assert one.months[:1] == early.months
    assert backtest(cases_at(places[:20], days[:20]), grid).months == ()
