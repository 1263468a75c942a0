# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tracks: as close as the vehicle's clock says, whenever what is kept comes in."""

from __future__ import annotations

import itertools
import math

import pytest

from dronectl.fleet.link import PoseSample, VehicleState
from dronectl.fleet.tracks import SPACING_S, Tracks

RATE_HZ = 10


def pose(time_s: float) -> PoseSample:
    """On a circle of a minute."""
    turn = time_s * math.tau / 60.0
    place = 29.7 + 1e-3 * math.cos(turn), 107.3 + 1e-3 * math.sin(turn), 300.0 + time_s
    return PoseSample("d1", time_s, *place, 50.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def fly(tracks: Tracks, sortie_id: str, from_s: int, to_s: int) -> None:
    for tick in range(from_s * RATE_HZ, to_s * RATE_HZ):
        tracks.add(sortie_id, pose(tick / RATE_HZ))


def test_what_comes_all_at_once_is_kept_a_second_apart():
    tracks = Tracks()
    fly(tracks, "s1", 100, 700)  # ten minutes in one turn of ours
    places = tracks.of("d1", "s1")
    assert [p.vehicle_time_s for p in places] == pytest.approx([100.0 + i for i in range(600)], abs=1.5 / RATE_HZ)
    for place in places:
        there = pose(place.vehicle_time_s)
        assert (place.latitude_deg, place.longitude_deg, place.amsl_m) == (
            there.latitude_deg,
            there.longitude_deg,
            there.amsl_m,
        )


def test_a_reader_gets_what_is_new_to_it():
    tracks = Tracks()
    read = []
    for begin_s in range(100, 160, 7):
        fly(tracks, "s1", begin_s, begin_s + 7)
        read += tracks.of("d1", "s1", read[-1].vehicle_time_s if read else 0.0)
        assert tracks.of("d1", "s1", read[-1].vehicle_time_s) == []
    assert read == tracks.of("d1", "s1")


def test_a_new_sortie_begins_a_new_track():
    tracks = Tracks()
    fly(tracks, "s1", 100, 120)
    assert tracks.of("d1", "s2") == []
    fly(tracks, "s2", 130, 140)
    assert tracks.of("d1", "s1") == []
    assert tracks.of("d2", "s2") == []
    assert [p.vehicle_time_s for p in tracks.of("d1", "s2")] == pytest.approx([130.0 + i for i in range(10)])


def test_a_long_flight_is_kept_whole_in_bounded_room():
    tracks = Tracks()
    for time_s in range(100, 5 * 3600):
        tracks.add("s1", pose(float(time_s)))
    times = [p.vehicle_time_s for p in tracks.of("d1", "s1")]
    assert len(times) <= 3601
    assert times[0] == 100.0
    apart = [b - a for a, b in itertools.pairwise(times)]
    assert set(apart) == {8 * SPACING_S}  # halved three times
    assert times[-1] > 5 * 3600 - 9


def test_states_that_do_not_know_where_or_come_late_are_left_out():
    tracks = Tracks()
    known = {"latitude_deg": 29.7, "longitude_deg": 107.3, "amsl_m": 300.0, "vehicle_time_s": 50.0}
    for unknown in known:
        tracks.add("s1", VehicleState("d1", **{**known, unknown: None}))
    assert tracks.of("d1", "s1") == []
    tracks.add("s1", VehicleState("d1", **known))
    tracks.add("s1", VehicleState("d1", **{**known, "vehicle_time_s": 49.0}))
    assert [p.vehicle_time_s for p in tracks.of("d1", "s1")] == [50.0]
