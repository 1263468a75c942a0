# SPDX-License-Identifier: AGPL-3.0-or-later
"""How near vehicles came, on tracks whose nearest moment is known by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.report.nearest import nearest_of
from dronectl.report.truth import TruePosition
from missions.geo import GeoPoint, LocalFrame

FRAME = LocalFrame(GeoPoint(29.74, 107.27))
PADS = {"d1": FRAME.to_geo(-900.0, 0.0), "d2": FRAME.to_geo(0.0, -900.0)}


def track(*knots: tuple[float, float, float, float]) -> list[TruePosition]:
    """(time, east, north, height) once a second between knots, as a truth file has it."""
    out = []
    for (t0, *a), (t1, *b) in pairwise(knots):
        for k in range(round(t1 - t0)):
            east, north, up = (x + (y - x) * k / (t1 - t0) for x, y in zip(a, b, strict=True))
            point = FRAME.to_geo(east, north)
            out.append(TruePosition(t0 + k, point.latitude_deg, point.longitude_deg, up))
    return out


@given(st.floats(3.0, 12.0), st.floats(-8.0, 8.0), st.floats(0.0, 40.0))
def test_two_that_cross_one_after_the_other(speed, behind_s, higher):
    """Each flies 400 m on both sides of the crossing: by hand, they are nearest v * dt / sqrt(2) apart."""
    half_s = 400.0 / speed
    one = track((0.0, -400.0, 0.0, 300.0), (2.0 * half_s, 400.0, 0.0, 300.0))
    two = track((behind_s, 0.0, -400.0, 300.0 + higher), (2.0 * half_s + behind_s, 0.0, 400.0, 300.0 + higher))
    found = nearest_of({"d1": one, "d2": two}, PADS)
    assert found is not None
    assert (found.first, found.second) == ("d1", "d2")
    nearest = speed * abs(behind_s) / math.sqrt(2.0)
    assert found.vertical_m == pytest.approx(higher, abs=1e-6)
    if nearest / 20.0 > higher / 10.0 + 0.01:  # else any moment at which the height decides will do
        assert found.lateral_m == pytest.approx(nearest, abs=speed * 0.25 + 0.1)
        assert found.time_s == pytest.approx(half_s + behind_s / 2.0, abs=2.0)
    share = max(nearest / 20.0, higher / 10.0)
    if abs(share - 1.0) > 0.1:
        assert found.apart == (share > 1.0)


def test_what_happens_over_the_pads_does_not_count():
    over = track((0.0, -900.0, 0.0, 300.0), (60.0, -900.0, 0.0, 340.0))
    beside = track((0.0, -899.0, 0.0, 300.0), (60.0, -899.0, 0.0, 340.0))
    assert nearest_of({"d1": over, "d2": beside}, {"d1": PADS["d1"], "d2": PADS["d1"]}) is None
    out_of_it = track((0.0, -830.0, 0.0, 300.0), (60.0, -830.0, 0.0, 300.0))
    found = nearest_of({"d1": out_of_it, "d2": out_of_it}, {"d1": PADS["d1"], "d2": PADS["d1"]})
    assert found is not None
    assert (found.lateral_m, found.apart) == (0.0, False)


def test_one_alone_and_times_without_positions_say_nothing():
    one = track((0.0, 0.0, 0.0, 300.0), (20.0, 100.0, 0.0, 300.0))
    assert nearest_of({"d1": one}, PADS) is None
    assert nearest_of({"d1": one, "d2": []}, PADS) is None
    later = track((30.0, 0.0, 0.0, 300.0), (50.0, 100.0, 0.0, 300.0))
    assert nearest_of({"d1": one, "d2": later}, PADS) is None
    unknown = [one[0], one[-1]]  # straight between would be right here, but nobody knows that
    assert nearest_of({"d1": one, "d2": unknown}, PADS) is None
