# SPDX-License-Identifier: AGPL-3.0-or-later
"""A noisy door fills no log: one line when it begins, one when it has stopped; and every unit is counted."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronectl.fleet.doors import Doors
from dronectl.fleet.link import VehicleAddress
from dronectl.noise import QUIET_S, NoiseLog


def test_it_is_said_twice_and_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    noise = NoiseLog("d1 on udpin://:24551", "garbage comes in", "who sends it?")
    for second in range(100):
        noise.add(7, float(second))
        noise.tick(float(second))
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert caplog.messages == ["d1 on udpin://:24551: garbage comes in (7 to begin with); who sends it?"]
    assert noise.noisy
    noise.tick(99.0 + QUIET_S - 0.1)
    assert noise.noisy
    noise.tick(99.0 + QUIET_S)
    noise.tick(99.0 + 2 * QUIET_S)
    assert caplog.messages[1:] == ["d1 on udpin://:24551: quiet again, after 700 within 99 s"]
    assert not noise.noisy
    noise.add(1, 500.0)
    assert len(caplog.messages) == 3
    assert noise.total == 701


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 50), st.floats(0.0, 3 * QUIET_S)), max_size=60))
def test_nothing_is_lost_and_lines_come_in_pairs(steps: list[tuple[int, float]]) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.levelname)  # type: ignore[method-assign]
    logger = logging.getLogger("dronectl.noise")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        noise = NoiseLog("a", "b", "c")
        now_s = 0.0
        for count, wait_s in steps:
            now_s += wait_s
            noise.tick(now_s)
            noise.add(count, now_s)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert noise.total == sum(count for count, _ in steps if count > 0)
    assert lines == [("WARNING", "INFO")[i % 2] for i in range(len(lines))]
    assert noise.noisy == (len(lines) % 2 == 1)


def test_not_counted_is_none_and_never_naught() -> None:
    doors = Doors([VehicleAddress("d1", "udpin://:24551", 1), VehicleAddress("d2", "serial:///dev/x", 2)])
    assert doors.of("d1").refused_or_lost is None
    doors.take({"d1": 0, "d2": None}, 0.0)
    doors.take({"d1": 5}, 1.0)
    assert {name: (d.refused_or_lost, d.noisy) for name, d in doors.all().items()} == {
        "d1": (5, True),
        "d2": (None, False),
    }
