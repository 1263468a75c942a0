# SPDX-License-Identifier: AGPL-3.0-or-later
"""The time of things: never backwards, never slower than ours, as fast as the vehicles' clocks, unmoved by jumps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.alerts.pace import Pace


@pytest.mark.parametrize("speed", [0.25, 1.0, 4.0, 10.0])
def test_it_goes_as_fast_as_the_faster_of_both(speed):
    pace = Pace(1000.0)
    boots = {"d1": 7.0, "d2": 90_000.0, "d3": 0.0}
    for tick in range(200):
        ours = 1000.0 + tick
        for drone, boot in boots.items():
            time = pace.at(drone, boot + tick * speed, ours)
    assert time == pytest.approx(1000.0 + 199 * max(1.0, speed))


def test_who_joins_late_joins_at_the_time_as_it_is():
    pace = Pace(0.0)
    for tick in range(101):
        pace.at("d1", tick * 4.0, float(tick))
    assert pace.at("d2", 55.0, 100.0) == pytest.approx(400.0)
    assert pace.at("d2", 59.0, 101.0) == pytest.approx(404.0)
    assert pace.at("d1", 404.0, 101.0) == pytest.approx(404.0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["d1", "d2"]), st.floats(-1e7, 1e7), st.floats(-50, 50)), min_size=1, max_size=60
    )
)
def test_never_backwards_and_no_jump_carries_it_away(events):
    pace, ours, last = Pace(0.0), 0.0, 0.0
    for clock, clock_s, step in events:
        ahead = max(0.0, ours + step)
        passed = max(0.0, ahead - ours)
        ours = ahead
        time = pace.at(clock, clock_s, ours)
        assert last <= time <= last + 20.0 * max(passed, 50.0) + 5.0
        last = time


def test_a_reboot_starts_that_clock_anew():
    pace = Pace(0.0)
    for tick in range(100):
        pace.at("d1", 5000.0 + tick, float(tick))
    assert pace.at("d1", 3.0, 100.0) == pytest.approx(100.0)
    assert pace.at("d1", 7.0, 101.0) == pytest.approx(104.0, abs=1.01)
