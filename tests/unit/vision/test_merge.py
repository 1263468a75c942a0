# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.geo import GeoPoint, LocalFrame
from missions.model import Modality
from vision.ellipse import covariance, ground_ellipse
from vision.merge import Merger, compatible, ended, merge_all
from vision.sighting import Evidence, Kind, Phase, Sighting

FRAME = LocalFrame(GeoPoint(29.7, 107.3))
COMMON = np.diag([5.0, 6.0])
OWN = np.diag([0.2, 0.2])


def sighting(
    east: float,
    north: float,
    track: str = "t1",
    kind: Kind = Kind.PERSON,
    vehicle: str | None = "d1",
    first_s: float = 0.0,
    speed: float | None = 0.0,
    confidence: float = 0.7,
    placed: bool = True,
    modality: Modality = Modality.THERMAL,
) -> Sighting:
    place = ground_ellipse(FRAME, np.array([east, north]), 250.0, OWN + COMMON, COMMON) if placed else None
    return Sighting(
        track_id=track,
        sequence=1,
        phase=Phase.NEW,
        kind=kind,
        confidence=confidence,
        modality=modality,
        camera_id=f"{vehicle}-{modality.value}",
        vehicle_id=vehicle,
        place=place,
        first_exposure_s=first_s,
        last_exposure_s=first_s + 4.0,
        confirmed_exposure_monotonic_s=None,
        looks=4,
        chances=5,
        rule="",
        temperature_max_c=None,
        size_m=1.0,
        speed_m_s=speed,
        detector="d",
        evidence=(Evidence("p.jpg", "00", 1, 1, "crop"),),
    )


def test_one_thing_seen_by_two_drones_is_one_incident_of_more_confidence_and_less_doubt() -> None:
    a, b = sighting(0, 0, "a", vehicle="d1"), sighting(2.5, -2.0, "b", vehicle="d2", first_s=100.0)
    (incident,) = merge_all(FRAME, [(a, 10.0), (b, 110.0)])
    assert incident.vehicles == ("d1", "d2")
    assert incident.confidence > 0.9
    assert incident.place is not None
    assert a.place is not None
    assert np.trace(covariance(incident.place)) < 0.6 * np.trace(covariance(a.place))
    assert (incident.first_s, incident.last_s) == (10.0, 110.0)


def test_two_cameras_of_one_drone_never_go_below_what_they_share() -> None:
    a = sighting(0, 0, "a")
    b = sighting(0.5, 0, "b", modality=Modality.RGB)
    (incident,) = merge_all(FRAME, [(a, 10.0), (b, 11.0)])
    assert incident.place is not None
    assert np.all(np.linalg.eigvalsh(covariance(incident.place) - COMMON) > 0)
    assert incident.modalities == (Modality.RGB, Modality.THERMAL)
    assert incident.confidence > 0.9


@given(st.floats(-math.pi, math.pi), st.sampled_from(["d1", "d2"]), st.sampled_from([Kind.PERSON, Kind.HOT_SPOT]))
def test_two_things_fifteen_metres_apart_are_two(angle: float, vehicle: str, kind: Kind) -> None:
    a = sighting(0, 0, "a", vehicle="d1")
    b = sighting(15 * math.cos(angle), 15 * math.sin(angle), "b", kind, vehicle=vehicle, first_s=8.0)
    assert len(merge_all(FRAME, [(a, 10.0), (b, 12.0)])) == 2


def test_people_beside_each_other_whom_one_camera_saw_at_once_are_two() -> None:
    a, b = sighting(0, 0, "a"), sighting(1.5, 0, "b", first_s=1.0)
    assert len(merge_all(FRAME, [(a, 10.0), (b, 11.0)])) == 2
    later = sighting(1.5, 0, "b", first_s=60.0)
    assert len(merge_all(FRAME, [(a, 10.0), (later, 70.0)])) == 1


def test_one_body_under_two_boxes_of_one_camera_is_one() -> None:
    """Seen of a person lying: two boxes of 2.8 m in one picture, .9 m apart, each followed by a track."""
    a = replace(sighting(0, 0, "a"), size_m=2.8)
    b = replace(sighting(0.6, -0.67, "b", first_s=0.2), size_m=2.8)
    assert len(merge_all(FRAME, [(a, 10.0), (b, 10.2)])) == 1
    assert len(merge_all(FRAME, [(a, 10.0), (replace(b, size_m=1.0), 10.2)])) == 2
    assert len(merge_all(FRAME, [(a, 10.0), (replace(b, size_m=None), 10.2)])) == 2


@given(st.floats(3.0, 12.0), st.floats(-math.pi, math.pi), st.floats(-4.0, 40.0), st.sampled_from([0.0, 1.2]))
def test_people_three_metres_apart_are_two_once_they_were_seen_so_in_one_frame(
    metres: float, angle: float, later_s: float, speed: float
) -> None:
    a = replace(sighting(0, 0, "a", speed=speed), beside=())
    b = sighting(metres * math.cos(angle), metres * math.sin(angle), "b", first_s=later_s, speed=speed)
    b = replace(b, beside=("a",))
    for first, second in ((a, b), (b, a)):
        assert len(merge_all(FRAME, [(first, 10.0), (second, 10.0 + abs(later_s))])) == 2


def test_two_tracks_that_took_turns_at_one_body_are_one() -> None:
    a = replace(sighting(0, 0, "a"), beside=("other",))
    b = replace(sighting(1.4, 0, "b", first_s=2.0), beside=())
    assert len(merge_all(FRAME, [(a, 10.0), (b, 12.0)])) == 1


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 100_000))
def test_order_of_arrival_does_not_change_the_incidents(seed: int) -> None:
    rng = random.Random(seed)
    spots = [(40.0 * (k % 4), 40.0 * (k // 4)) for k in range(6)]
    said = []
    for k, (east, north) in enumerate(spots):
        for d in range(3):
            noise = (rng.gauss(0, 1.2), rng.gauss(0, 1.2))
            said.append((k, sighting(east + noise[0], north + noise[1], f"{k}-{d}", vehicle=f"d{d}", first_s=20.0 * d)))

    def groups(order: list[tuple[int, Sighting]]) -> set[frozenset[str]]:
        merged = merge_all(FRAME, [(s, 100.0 + i * 0.01) for i, (_, s) in enumerate(order)])
        return {frozenset(i.members) for i in merged}

    shuffled = said[:]
    rng.shuffle(shuffled)
    assert groups(said) == groups(shuffled) == {frozenset(f"{k}-{d}" for d in range(3)) for k in range(6)}


def test_the_same_record_gives_the_same_incidents() -> None:
    rng = random.Random(1)
    record = [
        (sighting(rng.uniform(0, 80), rng.uniform(0, 80), f"t{k}", first_s=10.0 * k), 10.0 * k) for k in range(40)
    ]
    first, second = merge_all(FRAME, record), merge_all(FRAME, record)
    assert [(i.number, tuple(i.members)) for i in first] == [(i.number, tuple(i.members)) for i in second]
    assert sum(len(i.members) for i in first) == 40


def test_a_track_stays_with_its_incident() -> None:
    merger = Merger(FRAME)
    first = merger.add(sighting(0, 0, "a"), 10.0)
    again = merger.add(replace(sighting(30, 0, "a"), sequence=2, phase=Phase.UPDATE), 14.0)
    assert first.opened
    assert not again.opened
    assert again.incident.number == first.incident.number
    assert not ended(again.incident)
    last = merger.add(replace(sighting(30, 0, "a"), sequence=3, phase=Phase.END), 15.0)
    assert ended(last.incident)


def test_a_walker_may_have_walked_and_a_car_may_not() -> None:
    a = sighting(0, 0, "a", speed=1.3)
    b = sighting(22, 0, "b", vehicle="d2", first_s=500.0, speed=1.2)
    assert len(merge_all(FRAME, [(a, 10.0), (b, 25.0)])) == 1
    assert len(merge_all(FRAME, [(a, 10.0), (b, 10.5)])) == 2
    car = [replace(s, kind=Kind.VEHICLE, speed_m_s=0.0) for s in (a, b)]
    assert len(merge_all(FRAME, [(car[0], 10.0), (car[1], 25.0)])) == 2


def test_kinds_that_can_be_one_thing() -> None:
    assert compatible(Kind.PERSON, Kind.HOT_SPOT)
    assert compatible(Kind.FIRE, Kind.HOT_SPOT)
    assert not compatible(Kind.PERSON, Kind.VEHICLE)
    assert not compatible(Kind.FIRE, Kind.PERSON)
    spot, person = sighting(0, 0, "a", Kind.HOT_SPOT), sighting(1, 0, "b", vehicle="d2")
    (incident,) = merge_all(FRAME, [(person, 1.0), (spot, 2.0)])
    assert incident.kind is Kind.PERSON
    (incident,) = merge_all(FRAME, [(spot, 1.0), (person, 2.0)])
    assert incident.kind is Kind.PERSON


def test_flames_of_one_fire_are_one_incident_even_at_once() -> None:
    a, b = sighting(0, 0, "a", Kind.FIRE), sighting(8, 0, "b", Kind.FIRE, first_s=1.0)
    assert len(merge_all(FRAME, [(a, 1.0), (b, 2.0)])) == 1
    far = sighting(40, 0, "b", Kind.FIRE, first_s=1.0)
    assert len(merge_all(FRAME, [(a, 1.0), (far, 2.0)])) == 2


def test_without_a_place_nothing_is_united() -> None:
    a, b = sighting(0, 0, "a", placed=False), sighting(0, 0, "b", placed=False, first_s=30.0)
    incidents = merge_all(FRAME, [(a, 1.0), (b, 2.0)])
    assert len(incidents) == 2
    assert incidents[0].place is None


def test_what_was_not_seen_for_long_takes_nothing_more() -> None:
    a, b = sighting(0, 0, "a"), sighting(0, 0, "b", first_s=9000.0)
    assert len(merge_all(FRAME, [(a, 1.0), (b, 5000.0)])) == 2


def test_incidents_can_be_taken_up_again() -> None:
    merger = Merger(FRAME)
    merger.add(sighting(0, 0, "a"), 10.0)
    after = Merger(FRAME)
    after.restore(merger.incidents)
    assert not after.add(sighting(1, 0, "b", vehicle="d2"), 20.0).opened
    assert after.add(sighting(90, 0, "c", vehicle="d2"), 20.0).incident.number == 2


def test_a_single_place_is_left_as_it_is() -> None:
    s = sighting(3, 4, "a")
    (incident,) = merge_all(FRAME, [(s, 1.0)])
    assert incident.place is not None
    assert s.place is not None
    assert incident.place.latitude_deg == pytest.approx(s.place.latitude_deg, abs=1e-9)
    assert np.allclose(covariance(incident.place), covariance(s.place), atol=1e-3)
