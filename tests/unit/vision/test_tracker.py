# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tracks: who is one and who is two, how long they last, what ends them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.vision.seen import FIRE, PERSON, SPOT
from vision.detector import Detection
from vision.geolocate import GroundFix
from vision.sighting import Kind, Phase
from vision.tracker import Tracker, TrackerSettings, TrackEvent
from vision.unite import Observation, unite


def fix(east: float, north: float) -> GroundFix:
    return GroundFix(np.array([east, north]), 250.0, np.eye(2) * 0.3, np.eye(2) * 2.0, 60.0, 0.08)


def everywhere(_place: np.ndarray, _amsl_m: float) -> bool:
    return True


def run(tracker: Tracker, frames: list[list[tuple[Observation, GroundFix]]]) -> list[TrackEvent]:
    events = []
    for k, observations in enumerate(frames):
        events += tracker.step(float(k), observations, everywhere)
    return events


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(4.0, 12.0))
def test_two_people_apart_are_two_tracks_however_their_boxes_are_ordered(seed: int, gap: float) -> None:
    rng = random.Random(seed)
    frames = []
    for _ in range(6):
        pair = [
            (PERSON, fix(rng.gauss(0, 0.4), rng.gauss(0, 0.4))),
            (PERSON, fix(gap + rng.gauss(0, 0.4), rng.gauss(0, 0.4))),
        ]
        rng.shuffle(pair)
        frames.append(pair)
    events = run(Tracker(), frames)
    new = [e for e in events if e.phase is Phase.NEW]
    assert len(new) == 2
    places = sorted(float(e.track.motion.place[0]) for e in new)
    assert places[0] == pytest.approx(0, abs=1.5)
    assert places[1] == pytest.approx(gap, abs=1.5)


def test_a_walker_keeps_his_track() -> None:
    rng = random.Random(3)
    frames = [[(PERSON, fix(1.4 * k + rng.gauss(0, 0.3), rng.gauss(0, 0.3)))] for k in range(8)]
    events = run(Tracker(), frames)
    assert len({e.track.number for e in events}) == 1
    track = events[-1].track
    assert track.looks_total == 8
    assert track.motion.speed == pytest.approx(1.4, abs=0.4)


def test_misses_count_as_chances_only_while_in_view() -> None:
    tracker = Tracker()
    tracker.step(0.0, [(PERSON, fix(0, 0))], everywhere)
    tracker.step(1.0, [(PERSON, fix(0, 0))], everywhere)
    tracker.step(2.0, [], everywhere)
    tracker.step(3.0, [], lambda _p, _a: False)
    track = tracker.tracks[0]
    assert (track.looks_total, track.chances_total, track.misses) == (2, 3, 1)


def test_a_track_ends_once_and_its_numbers_rise() -> None:
    events = run(Tracker(), [[(PERSON, fix(0, 0))]] * 4 + [[]] * 12)
    assert events[0].phase is Phase.NEW
    assert events[-1].phase is Phase.END
    assert sum(e.phase is Phase.END for e in events) == 1
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))


def test_what_is_never_confirmed_is_never_told() -> None:
    tracker = Tracker()
    assert run(tracker, [[(SPOT, fix(0, 0))], [], [], [], [], [(SPOT, fix(0, 0))], [], [], []]) == []
    assert tracker.finish() == []
    assert tracker.tracks == []


def test_a_spot_that_the_network_later_names_becomes_a_person() -> None:
    events = run(Tracker(), [[(SPOT, fix(0, 0))]] * 3 + [[(PERSON, fix(0, 0))]] * 4)
    kinds = [e.track.told.kind for e in events if e.track.told]
    assert events[0].phase is Phase.NEW
    assert kinds[-1] is Kind.PERSON
    assert len({e.track.number for e in events}) == 1


def test_pieces_beside_a_fire_start_no_tracks() -> None:
    frames = [[(FIRE, fix(0, 0)), (SPOT, fix(3.0 + 0.1 * k, 0))] for k in range(5)]
    tracker = Tracker()
    events = run(tracker, frames)
    assert {e.track.number for e in events} == {1}


HOT = replace(PERSON, hot_sigma=20.9, learned_score=0.4, size_m=1.4)
COOL = replace(HOT, hot_sigma=10.2, learned_score=0.2)


def test_a_half_hidden_body_in_two_pieces_is_one_track_and_two_bodies_are_two() -> None:
    pieces = run(Tracker(), [[(HOT, fix(0, 0)), (COOL, fix(0.9, 0.3))]] * 4)
    assert {e.track.number for e in pieces} == {1}
    alike = run(Tracker(), [[(HOT, fix(0, 0)), (HOT, fix(0.9, 0.3))]] * 4)
    assert {e.track.number for e in alike} == {1, 2}
    apart = run(Tracker(), [[(HOT, fix(0, 0)), (COOL, fix(1.5, 0))]] * 4)
    assert {e.track.number for e in apart} == {1, 2}


def test_a_piece_is_known_by_the_frame_it_is_in() -> None:
    """A second pass places a standing thing metres off: its piece lies beside this look, not beside the mean of all."""
    first = [[(SPOT, fix(0, 0))]] * 4
    second = [[(SPOT, fix(0, 2.4)), (replace(SPOT, hot_sigma=5.0), fix(0.6, 2.4))]] * 3
    assert {e.track.number for e in run(Tracker(), first + second)} == {1}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(3.0, 12.0))
def test_tracks_know_who_was_seen_apart_from_them_in_one_frame(seed: int, gap: float) -> None:
    rng = random.Random(seed)
    frames = [
        [(HOT, fix(rng.gauss(0, 0.3), rng.gauss(0, 0.3))), (HOT, fix(gap + rng.gauss(0, 0.3), rng.gauss(0, 0.3)))]
        for _ in range(5)
    ]
    events = run(Tracker(), frames)
    assert {e.track.number: e.track.beside for e in events} == {1: (2,), 2: (1,)}


@pytest.mark.parametrize(
    ("size_m", "gap_m", "score", "two"),
    [(0.9, 0.9, 0.2, False), (0.9, 0.9, 0.4, True), (0.9, 1.5, 0.2, True), (1.6, 1.0, 0.2, True)],
    ids=["pieces of a body", "two named people", "too far apart for a body", "longer than a body"],
)
def test_spots_that_together_are_no_longer_than_a_body_are_not_two_for_certain(
    size_m: float, gap_m: float, score: float, two: bool
) -> None:
    spot = replace(HOT, size_m=size_m, learned_score=score)
    tracker = Tracker()
    run(tracker, [[(spot, fix(0, 0)), (spot, fix(gap_m, 0))]] * 5)
    assert [t.beside for t in tracker.tracks] == ([(2,), (1,)] if two else [(), ()])


def test_tracks_that_take_turns_know_nothing_of_each_other() -> None:
    frames = [[(HOT, fix(30.0 * (k % 2), 0))] for k in range(8)]
    tracker = Tracker()
    run(tracker, frames)
    assert [t.beside for t in tracker.tracks] == [(), ()]


def test_a_track_out_of_sight_ends_before_it_can_reach_another_thing() -> None:
    tracker = Tracker()
    walking = [[(HOT, fix(1.3 * k, 0))] for k in range(5)]
    run(tracker, walking)
    for k in range(5, 11):
        tracker.step(float(k), [], lambda _p, _a: False)
    events = tracker.step(11.0, [(HOT, fix(12.0, 3.0))], everywhere)
    assert {t.number for t in tracker.tracks} == {2}
    assert events == []


def test_tracks_are_bounded() -> None:
    rng = random.Random(5)
    tracker = Tracker(TrackerSettings(max_tracks=50))
    for k in range(10):
        spots = [(SPOT, fix(rng.uniform(-500, 500), rng.uniform(-500, 500))) for _ in range(60)]
        tracker.step(float(k), spots, everywhere)
        assert len(tracker.tracks) <= 50
    assert tracker.dropped_tracks > 0


def test_a_clock_that_jumps_back_starts_anew() -> None:
    tracker = Tracker()
    run(tracker, [[(PERSON, fix(0, 0))]] * 4)
    events = tracker.step(-50.0, [(PERSON, fix(0, 0))], everywhere)
    assert [e.phase for e in events] == [Phase.END]
    assert len(tracker.tracks) == 1


def test_a_weak_box_inside_a_sure_one_of_its_kind_is_a_part_of_it() -> None:
    def box(left: float, right: float, kind: Kind, score: float) -> Detection:
        return Detection(left, 100.0, right, 140.0, kind, score, "network")

    person = box(100.0, 140.0, Kind.PERSON, 0.7)
    trunk = box(102.0, 120.0, Kind.PERSON, 0.2)
    assert [o.learned_score for o in unite([trunk, person])] == [0.7]
    assert len(unite([person, box(102.0, 120.0, Kind.PERSON, 0.5)])) == 2  # two people close together
    assert len(unite([person, box(102.0, 120.0, Kind.VEHICLE, 0.2)])) == 2
    assert len(unite([person, box(130.0, 160.0, Kind.PERSON, 0.2)])) == 2  # beside it


def test_somebody_far_off_is_somebody_else_however_long_the_first_was_unseen() -> None:
    """At one frame a second a line is flown back past a second person some ten seconds after the first was passed."""
    tracker = Tracker()
    for k in range(4):
        tracker.step(float(k), [(PERSON, fix(0.0, 0.1 * k))], everywhere)
    for k in range(4, 14):
        tracker.step(float(k), [], lambda _place, _amsl_m: False)
    events = []
    for k in range(14, 18):
        events += tracker.step(float(k), [(PERSON, fix(24.0, -18.0))], everywhere)
    assert {e.track.number for e in events} == {2}
    assert all(e.track.motion.velocity is None for e in events)


def test_a_walker_who_was_hidden_for_a_moment_is_the_same() -> None:
    tracker = Tracker()
    for k in range(6):
        tracker.step(float(k), [(PERSON, fix(1.2 * k, 0.0))], everywhere)
    for k in (6, 7):
        tracker.step(float(k), [], everywhere)
    tracker.step(8.0, [(PERSON, fix(1.2 * 8, 0.5))], everywhere)
    assert len(tracker.tracks) == 1


@given(st.floats(1.0, 18.0), st.floats(0.0, 360.0))
@settings(max_examples=60)
def test_a_still_thing_is_found_again_after_any_pause_within_its_memory(pause_s: float, bearing: float) -> None:
    tracker = Tracker()
    for k in range(4):
        tracker.step(float(k), [(PERSON, fix(0.0, 0.1 * k))], everywhere)
    near = fix(1.5 * np.cos(np.radians(bearing)), 1.5 * np.sin(np.radians(bearing)))
    tracker.step(3.0 + pause_s, [(PERSON, near)], everywhere)
    assert [t.number for t in tracker.tracks] == [1]
    assert tracker.tracks[0].looks_total == 5


@pytest.mark.parametrize(("score", "told"), [(0.5, {Kind.VEHICLE, Kind.PERSON}), (0.3, {Kind.VEHICLE})])
def test_somebody_on_a_vehicle_is_told_by_a_score_that_would_tell_them_anywhere(score: float, told: set[Kind]) -> None:
    boxes = [
        Detection(100.0, 100.0, 126.0, 112.0, Kind.VEHICLE, 0.8, "network"),
        Detection(104.0, 99.0, 124.0, 112.0, Kind.PERSON, score, "network"),
    ]
    things = unite(boxes)
    assert [o.learned_kind for o in things] == [Kind.VEHICLE, Kind.PERSON], "whoever is there is blurred, told or not"
    assert [o.learned_kind for o in unite([replace(b, confidence=1.0 - b.confidence) for b in boxes])] == [Kind.PERSON]
    tracker, seen = Tracker(), set()
    for n in range(6):
        placed = [(replace(o, size_m=o.longest_px * 0.08), fix(0.08 * o.centre_px[0], 0.0)) for o in things]
        seen |= {e.track.told.kind for e in tracker.step(float(n), placed, everywhere) if e.track.told is not None}
    assert seen == told
