# SPDX-License-Identifier: AGPL-3.0-or-later
"""Take-offs of a set, on a made-up clock: as far apart as planned, whoever is slow or refused on the ground."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.operations.launches import Launches
from missions.deconflict.starts import SLACK_S

TICK_S = 0.5
FLIGHT_S = 400.0


def play(
    starts: list[float], needed: list[float], refused: frozenset[int] = frozenset()
) -> tuple[list[float], dict[int, float]]:
    """Hand in as a caller does that looks twice a second. needed: from being handed in to take-off, or to the refusal.

    Returns when each was handed in and when each took off.
    """
    launches, handed_in, took_off = Launches(starts), [math.nan] * len(starts), {}
    now = 1000.0
    while now < 100_000.0:
        for i, at in enumerate(handed_in):
            if math.isnan(at):
                continue
            if now < at + needed[i]:
                launches.seen(i, "uploading", now)
            elif i in refused:
                launches.seen(i, "failed", now)
            else:
                took_off.setdefault(i, at + needed[i])
                launches.seen(i, "flying" if now < took_off[i] + FLIGHT_S else "landed", now)
        while (i := launches.due(now)) is not None:
            handed_in[i] = now
            launches.handed_in(i, now)
        if not launches.waiting and all(i in refused or i in took_off for i in range(len(starts))):
            return handed_in, took_off
        now += TICK_S
    raise AssertionError("somebody was never handed in")


sets = st.lists(st.floats(0.0, 300.0), min_size=1, max_size=8).map(lambda s: [x - min(s) for x in s])


def late(starts: list[float], took_off: dict[int, float]) -> dict[int, float]:
    return {i: at - starts[i] for i, at in took_off.items()}


@given(sets, st.floats(0.0, 7.0), st.lists(st.floats(0.0, 1.5), min_size=8, max_size=8), st.sets(st.integers(0, 7)))
def test_take_offs_keep_their_distances_within_the_slack(starts, least, more, unlucky):
    needed = [least + m for m in more[: len(starts)]]
    refused = frozenset(i for i in unlucky if i < len(starts))
    handed_in, took_off = play(starts, needed, refused)
    assert len(took_off) == len(starts) - len(refused)
    off = late(starts, took_off).values()
    assert not off or max(off) - min(off) <= SLACK_S
    assert sorted(range(len(starts)), key=lambda i: (starts[i], i)) == sorted(
        range(len(starts)), key=lambda i: (handed_in[i], starts[i], i)
    )


@given(sets, st.integers(0, 7), st.floats(0.0, 7.0), st.floats(30.0, 90.0))
def test_one_who_leaves_late_takes_along_all_who_start_well_after_it(starts, which, least, held_up):
    which %= len(starts)
    needed = [least] * len(starts)
    needed[which] += held_up
    _, took_off = play(starts, needed)
    off = late(starts, took_off)
    for i, start in enumerate(starts):
        if start - starts[which] > SLACK_S:
            assert abs(off[i] - off[which]) <= SLACK_S


def test_who_needs_long_on_the_ground_does_so_each_time_and_nothing_adds_up():
    starts = [20.0 * i for i in range(12)]
    _, took_off = play(starts, [15.0] * 12)
    off = late(starts, took_off)
    assert max(off.values()) - min(off.values()) <= SLACK_S


def test_who_is_refused_shifts_nobody():
    handed_in, took_off = play([0.0, 60.0, 90.0], [30.0, 2.0, 2.0], frozenset({0}))
    assert handed_in[1] - handed_in[0] == 60.0
    assert abs(took_off[2] - took_off[1] - 30.0) <= SLACK_S


def test_nobody_is_handed_in_while_a_take_off_is_waited_for():
    launches = Launches([0.0, 30.0])
    assert launches.due(5.0) == 0
    launches.handed_in(0, 5.0)
    for state in ("planned", "preflight", "uploading", "ready", "arming"):
        assert not launches.seen(0, state, 90.0)
    assert launches.next_s(90.0) is None
    assert launches.seen(0, "taking_off", 91.0)
    assert not launches.seen(0, "taking_off", 92.0)
    following = launches.next_s(92.0)
    assert following is not None
    assert following[0] == 1
    assert 91.0 + 30.0 - SLACK_S <= following[1] <= 91.0 + 30.0


def test_how_far_off_is_told_of_those_in_the_air():
    launches = Launches([0.0, 0.0, 5.0])
    for i, left in enumerate((3.0, 4.0, 40.0)):
        launches.handed_in(i, 0.0)
        launches.seen(i, "taking_off", left)
        if i == 0:
            assert launches.off_s(0) is None
    assert launches.off_s(2) == (0, 32.0)
    launches.seen(0, "landed", 41.0)
    assert launches.off_s(2) == (1, 31.0)
    assert launches.off_s(1) == (2, -31.0)


@pytest.mark.parametrize("state", ["paused", "lost_link"])
@pytest.mark.parametrize(("then", "shift_s"), [("flying", 50.0), ("returning", 40.0), ("landed", 40.0)])
def test_while_one_holds_in_the_air_nobody_starts_and_later_ones_shift_by_as_much(state, then, shift_s):
    launches = Launches([0.0, 0.0, 60.0])
    for i in (0, 1):
        launches.handed_in(i, 0.0)
        launches.seen(i, "taking_off", 4.0)
    planned = launches.next_s(10.0)
    assert planned is not None
    for now in (20.0, 50.0):
        launches.seen(0, state, now)
        launches.seen(1, state, now)
        assert launches.held == [0, 1]
        assert launches.next_s(now) is None
        assert launches.due(now + 1000.0) is None
    launches.seen(1, "flying", 60.0)
    assert launches.next_s(60.0) is None
    launches.seen(0, then, 70.0)
    following = launches.next_s(70.0)
    assert following == (2, planned[1] + shift_s)
    launches.handed_in(2, following[1])
    launches.seen(2, "taking_off", planned[1] + shift_s + 4.0)
    off = launches.off_s(2)
    assert off is not None
    assert off[0] == (0 if then == "returning" else 1)  # who went home is off by most: it never flew on
    if then != "returning":
        assert abs(off[1]) <= SLACK_S
