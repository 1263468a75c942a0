# SPDX-License-Identifier: AGPL-3.0-or-later
"""Gaps in coverage against a plain list of the looks that were taken."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.gaps import Attention, CoverageBook, tolerance_s
from vision.pipeline_types import CameraReport

TOLERANCE_S = 5.0


def report(attention: Attention, why_not: str = "no frames", camera_id: str = "c") -> CameraReport:
    return CameraReport(
        camera_id, True, None, 0, 0, 0, 0, {}, 0, 0, 0, 0, 0, None, None, {},
        attention.since_s, attention.last_s, why_not,
    )  # fmt: skip


def test_a_gap_begins_at_the_last_look_and_ends_at_the_next() -> None:
    book = CoverageBook({"c": TOLERANCE_S}, 100.0)
    seen = Attention(TOLERANCE_S)
    assert [(g.from_monotonic_s, g.to_monotonic_s) for g in book.gaps()] == [(100.0, None)]
    for k in range(10):
        seen.attend(103.0 + k)
    book.report([report(seen)], 112.5)
    assert book.blind() == ()
    assert book.gaps()[0].to_monotonic_s == 103.0
    book.report([report(seen)], 117.0)
    assert book.blind() == ()  # five seconds are no gap
    book.report([report(seen, "the camera closed the connection")], 117.5)
    (gap,) = book.blind()
    assert (gap.from_monotonic_s, gap.reason) == (112.0, "the camera closed the connection")
    seen.attend(130.2)
    book.report([report(seen)], 131.0)
    assert book.gaps()[-1].to_monotonic_s == 130.2
    assert book.blind_s(140.0) == {"c": pytest.approx(3.0 + 18.2)}
    assert book.looked("c", 90.0, 135.0) == [(90.0, 100.0), (103.0, 112.0), (130.2, 135.0)]


def test_a_worker_that_dies_leaves_a_gap_however_fast_it_returns() -> None:
    book = CoverageBook({"a": TOLERANCE_S, "b": TOLERANCE_S}, 0.0)
    seen = {name: Attention(TOLERANCE_S) for name in "ab"}
    for name, at in (("a", 1.0), ("b", 1.5), ("a", 2.0)):
        seen[name].attend(at)
    book.report([report(s, camera_id=n) for n, s in seen.items()], 2.1)
    book.away("the vision worker is away")
    assert {(g.camera_id, g.from_monotonic_s) for g in book.blind()} == {("a", 2.0), ("b", 1.5)}
    again = Attention(TOLERANCE_S)  # a new process knows nothing of the old one's looks
    again.attend(3.0)
    book.report([report(again, camera_id="a"), report(Attention(), camera_id="b")], 3.5)
    assert [g.camera_id for g in book.blind()] == ["b"]
    ended = [g for g in book.gaps("a") if g.from_monotonic_s == 2.0]
    assert ended[0].to_monotonic_s == 3.0


def test_a_worker_that_says_nothing_is_not_taken_for_looking() -> None:
    book = CoverageBook({"c": TOLERANCE_S}, 0.0)
    seen = Attention(TOLERANCE_S)
    for k in range(1, 10):
        seen.attend(float(k))
    book.report([report(seen)], 9.2)
    book.wait(14.1)
    assert book.blind() == ()
    book.wait(14.3)
    (gap,) = book.blind()
    assert (gap.from_monotonic_s, gap.reason) == (9.0, "the vision worker says nothing")
    assert book.looked("c", 0.0, 20.0) == [(1.0, 9.0)]
    for k in range(10, 17):  # it looked all the time, and only its words were late
        seen.attend(float(k))
    book.report([report(seen)], 16.5)
    assert book.blind() == ()
    assert book.looked("c", 0.0, 16.0) == [(1.0, 16.0)]
    seen.attend(30.0)  # it was stopped
    book.wait(25.0)
    book.report([report(seen)], 30.5)
    assert [(g.from_monotonic_s, g.to_monotonic_s) for g in book.gaps()] == [(0.0, 1.0), (16.0, 30.0)]


@pytest.mark.parametrize(("rate_hz", "pause_s"), [(30.0, 5.0), (1.0, 5.0), (0.1, 15.0)])
def test_a_slow_camera_has_no_gap_between_two_pictures(rate_hz: float, pause_s: float) -> None:
    assert tolerance_s(None, rate_hz) == pause_s


@given(
    st.lists(st.floats(0.05, 12.0), min_size=1, max_size=40),
    st.floats(0.3, 9.0),
)
@settings(max_examples=150)
def test_gaps_are_the_long_pauses_between_looks(pauses: list[float], report_s: float) -> None:
    looks = list(itertools.accumulate(pauses, initial=1.0))
    book, seen = CoverageBook({"c": TOLERANCE_S}, 0.0), Attention(TOLERANCE_S)
    end = looks[-1] + 0.01
    reports = [k * report_s for k in range(1, int(end / report_s) + 1)] + [end]
    waiting = list(looks)
    for now in reports:
        while waiting and waiting[0] <= now:
            seen.attend(waiting.pop(0))
        book.report([report(seen)], now)
    expected = [(0.0, 1.0)] + [(a, b) for a, b in itertools.pairwise(looks) if b - a > TOLERANCE_S]
    told = [(g.from_monotonic_s, g.to_monotonic_s) for g in book.gaps()]
    # two long pauses between two reports are told as one gap: never less than was missed
    if report_s < TOLERANCE_S:
        assert told == expected
    for begin, finish in expected:
        assert any(f <= begin and t is not None and t >= finish for f, t in told), (begin, finish, told)
    assert book.blind_s(end)["c"] == pytest.approx(sum(t - f for f, t in told if t is not None))
    looked = book.looked("c", 0.0, end)
    assert sum(b - a for a, b in looked) == pytest.approx(end - book.blind_s(end)["c"])
