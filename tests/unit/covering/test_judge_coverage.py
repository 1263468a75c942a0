# SPDX-License-Identifier: AGPL-3.0-or-later
"""The raster judge finds what is missing: it would be worth nothing if it always agreed."""

from __future__ import annotations

import numpy as np
import pytest

from missions.judge_coverage import Footprint, judge_coverage

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
HOLE = np.array([[4.0, 4.0], [6.0, 4.0], [6.0, 6.0], [4.0, 6.0]])


def passes(*heights, left=0.0, right=10.0):
    points = []
    for i, y in enumerate(heights):
        ends = [(left, y), (right, y)]
        points += ends if i % 2 == 0 else ends[::-1]
    return np.array(points)


def test_full_coverage_and_area():
    verdict = judge_coverage([passes(1, 3, 5, 7, 9)], [SQUARE], 2.0)
    assert verdict.fraction == 1.0
    assert verdict.area_m2 == pytest.approx(100.0, rel=0.01)
    assert verdict.length_m == pytest.approx(58.0)
    assert verdict.first_missed_m is None


def test_a_missing_pass_is_missed():
    verdict = judge_coverage([passes(1, 3), passes(7, 9)], [SQUARE], 2.0)
    assert verdict.fraction == pytest.approx(0.8, abs=0.03)
    assert verdict.first_missed_m is not None
    assert 4.0 < verdict.first_missed_m[1] < 6.0


def test_holes_are_no_area():
    verdict = judge_coverage([passes(1, 3)], [SQUARE, HOLE], 2.0)
    assert verdict.area_m2 == pytest.approx(96.0, rel=0.01)


def test_a_disc_leads_at_the_ends_and_a_rectangle_does_not():
    short = [passes(1, 3, 5, 7, 9, left=0.5, right=9.5)]
    disc = judge_coverage(short, [SQUARE], 2.0)
    flat = judge_coverage(short, [SQUARE], 2.0, footprint=Footprint.RECTANGLE)
    assert flat.fraction < disc.fraction < 1.0


def test_forbidden_legs_are_measured():
    verdict = judge_coverage([np.array([[0.0, 5.0], [10.0, 5.0]])], [SQUARE], 2.0, forbidden=[HOLE])
    assert verdict.forbidden_m == pytest.approx(2.0, rel=0.05)


def test_too_fine_a_raster_is_refused():
    with pytest.raises(ValueError, match="too many"):
        judge_coverage([passes(1)], [SQUARE * 1000.0], 0.1)


def test_paths_that_see_less_wide_leave_stripes():
    """Two passes 10 m apart over a square of 20 m; the second one sees half as wide."""
    ring = np.array([(0.0, 0.0), (20.0, 0.0), (20.0, 20.0), (0.0, 20.0)])
    passes = [np.array([(-20.0, y), (40.0, y)]) for y in (5.0, 15.0)]
    assert judge_coverage(passes, [ring], 10.0, widths_m=[10.0, 10.0]) == judge_coverage(passes, [ring], 10.0)
    assert judge_coverage(passes, [ring], 10.0).fraction == 1.0
    assert judge_coverage(passes, [ring], 10.0, widths_m=[10.0, 5.0]).fraction == pytest.approx(0.75, abs=0.03)
