# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Modality
from vision.ellipse import covariance, ground_ellipse
from vision.merge import Merger, MergeRules, compatible, ended, merge_all
from vision.sighting import Evidence, GroundVelocity, Kind, Phase, Sighting
from vision.walking import WalkRules, Whereabouts, one_walker

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


def moving(s: Sighting, east_m_s: float, north_m_s: float, sigma_m_s: float = 0.4) -> Sighting:
    """The sighting with a measured velocity, which its track may be too short to call a motion."""
    return replace(s, velocity=GroundVelocity(east_m_s, north_m_s, sigma_m_s**2, 0.0, sigma_m_s**2))


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
    a = moving(sighting(0, 0, "a"), 1.2, 0.1)
    b = moving(sighting(18, 0, "b", vehicle="d2", first_s=500.0), 1.1, 0.0)
    assert len(merge_all(FRAME, [(a, 10.0), (b, 25.0)])) == 1
    assert len(merge_all(FRAME, [(a, 10.0), (b, 10.5)])) == 2
    away = moving(sighting(-18, 0, "b", vehicle="d2", first_s=500.0), -1.1, 0.0)
    assert len(merge_all(FRAME, [(a, 10.0), (away, 25.0)])) == 2
    car = [replace(s, kind=Kind.VEHICLE) for s in (a, b)]
    assert len(merge_all(FRAME, [(car[0], 10.0), (car[1], 25.0)])) == 2


def test_an_ended_track_tells_of_the_moment_of_its_last_look() -> None:
    """A walker's track ends 8 s after its last look: whoever is seen 20 m farther on then has walked for 15 s, not for 7."""
    merger = Merger(FRAME)
    a = moving(sighting(0, 0, "a"), 1.3, 0.0)
    merger.add(a, 10.0)
    merger.add(replace(a, phase=Phase.END, sequence=2), 18.0, 10.0)
    assert not merger.add(moving(sighting(20, 0, "b", vehicle="d2", first_s=500.0), 1.3, 0.0), 25.0).opened


velocities = st.floats(-0.4, 0.4)


@given(st.floats(8.0, 20.0), st.floats(-math.pi, math.pi), st.floats(0.0, 900.0), velocities, velocities, st.booleans())
def test_people_who_stand_eight_metres_apart_stay_two_however_much_later_the_second_is_seen(
    metres: float, angle: float, later_s: float, east_m_s: float, north_m_s: float, measured: bool
) -> None:
    """By one vehicle, never in one frame, and with velocities that are noise of usual size or, at once, not known at all."""
    a = sighting(0, 0, "a")
    b = sighting(metres * math.cos(angle), metres * math.sin(angle), "b", first_s=later_s + 5.0)
    if measured:
        a, b = moving(a, 0.0, 0.0, 0.2), moving(b, east_m_s / 8, north_m_s / 8, 0.2)
    else:
        later_s = 0.0
    assert len(merge_all(FRAME, [(a, 10.0), (b, 10.0 + later_s)])) == 2


@given(
    st.floats(8.0, 20.0), st.floats(-math.pi, math.pi), st.lists(st.floats(-1.5, 1.5), min_size=6, max_size=6),
    st.lists(velocities, min_size=8, max_size=8), st.booleans(),
)  # fmt: skip
def test_two_people_eight_metres_apart_are_two_for_three_flights(
    metres: float, angle: float, biases: list[float], noise: list[float], swapped: bool
) -> None:
    """Each flight is off by a bias of its own and has both in its frames, whichever it tells first."""
    record = []
    for flight in range(3):
        east, north = biases[2 * flight : 2 * flight + 2]
        pair = [
            sighting(east, north, f"a{flight}", vehicle=f"d{flight}", first_s=30.0 * flight),
            sighting(
                east + metres * math.cos(angle), north + metres * math.sin(angle), f"b{flight}", vehicle=f"d{flight}",
                first_s=30.0 * flight,
            ),
        ]  # fmt: skip
        pair = [moving(s, noise[2 * flight], noise[2 * flight + 1]) for s in pair]
        pair = [replace(pair[0], beside=(f"b{flight}",)), replace(pair[1], beside=(f"a{flight}",))]
        record += [(s, 30.0 * flight + k) for k, s in enumerate(reversed(pair) if swapped else pair)]
    assert {frozenset(i.members) for i in merge_all(FRAME, record)} == {
        frozenset(f"{name}{flight}" for flight in range(3)) for name in "ab"
    }


@given(
    st.floats(0.8, 1.5),
    st.floats(-math.pi, math.pi),
    st.floats(6.0, 15.0),
    st.lists(velocities, min_size=4, max_size=4),
)
def test_somebody_who_walks_on_straight_is_one_and_somebody_who_is_soon_far_behind_is_another(
    speed: float, angle: float, later_s: float, noise: list[float]
) -> None:
    """Of a track that is too short to be called moving: its measured velocity says where to look."""
    east, north = math.cos(angle) * speed, math.sin(angle) * speed
    a = moving(sighting(0, 0, "a"), east + noise[0], north + noise[1])
    on = moving(sighting(later_s * east, later_s * north, "b", first_s=60.0), east + noise[2], north + noise[3])
    assert len(merge_all(FRAME, [(a, 10.0), (on, 10.0 + later_s)])) == 1
    far = 16.0 / speed
    back = moving(sighting(-far * east, -far * north, "b", first_s=60.0), -east + noise[2], -north + noise[3])
    assert len(merge_all(FRAME, [(a, 10.0), (back, 16.0)])) == 2


@given(
    st.floats(-30.0, 30.0), st.floats(-30.0, 30.0), st.floats(0.0, 300.0), st.lists(velocities, min_size=4, max_size=4)
)
def test_it_does_not_matter_which_of_two_is_called_the_first(
    east: float, north: float, later_s: float, noise: list[float]
) -> None:
    cov, doubt = np.diag([5.0, 6.0]), np.diag([0.1, 0.2])
    a = Whereabouts(0.0, np.zeros(2), cov, np.array(noise[:2]), doubt)
    b = Whereabouts(later_s, np.array([east, north]), 2 * cov, np.array(noise[2:]) * 3, doubt)
    assert one_walker(a, b, WalkRules()) == pytest.approx(one_walker(b, a, WalkRules()), rel=1e-9, abs=1e-9)
    mirrored = [replace(s, place=-s.place, velocity=None if s.velocity is None else -s.velocity) for s in (a, b)]
    assert one_walker(*mirrored, WalkRules()) == pytest.approx(one_walker(a, b, WalkRules()))


def test_the_likelihood_of_a_walker_is_that_of_many_simulated_ones() -> None:
    """An Euler-Maruyama walk in small steps against the formulas of the Ornstein-Uhlenbeck process; seed 5."""
    rules = WalkRules(walkers=1.0, change_s=1e12)
    rng, n, dt, steps = np.random.default_rng(5), 40_000, 0.05, 240
    cov, doubt = np.eye(2) * 2.0, np.eye(2) * 0.16
    measured = np.array([1.0, 0.3])
    shrink = rules.walk_sigma_m_s**2 / (rules.walk_sigma_m_s**2 + 0.16)
    velocity = shrink * measured + rng.normal(0, math.sqrt(shrink * 0.16), (n, 2))
    place = np.zeros((n, 2))
    for _ in range(steps):
        place += velocity * dt
        kick = rules.walk_sigma_m_s * math.sqrt(2 * dt / rules.forget_s)
        velocity += -velocity * dt / rules.forget_s + kick * rng.standard_normal((n, 2))
    for at, told in ((np.array([8.0, 2.0]), np.array([0.6, 0.2])), (np.array([2.0, -4.0]), np.array([-0.5, 0.4]))):
        there = np.exp(-((place - at) ** 2).sum(1) / 8.0) / (8.0 * math.pi)  # both places' doubt: variance 4 an axis
        going = np.exp(-((velocity - told) ** 2).sum(1) / 0.32) / (0.32 * math.pi)
        simulated = math.log(float(np.mean(there * going)))
        new = math.log(rules.new_per_m2) + _log_normal(told, 0.16 + rules.walk_sigma_m_s**2)
        formula = one_walker(
            Whereabouts(0.0, np.zeros(2), cov, measured, doubt), Whereabouts(steps * dt, at, cov, told, doubt), rules
        )
        assert formula == pytest.approx(simulated - new, abs=0.05)


def _log_normal(offset: FloatArray, variance: float) -> float:
    return -float(offset @ offset) / (2 * variance) - math.log(2 * math.pi * variance)


def test_who_walks_is_where_the_newest_look_was_though_no_track_was_long_enough_to_say_so() -> None:
    a = moving(sighting(0, 0, "a"), 1.2, 0.0)
    b = moving(sighting(9, 0, "b", vehicle="d2", first_s=60.0), 1.1, 0.1)
    (incident,) = merge_all(FRAME, [(a, 10.0), (b, 18.0)])
    assert incident.place == b.place
    stood = [moving(s, 0.05, 0.0, 0.2) for s in (sighting(0, 0, "a"), sighting(4, 0, "b", vehicle="d2", first_s=60.0))]
    (incident,) = merge_all(FRAME, [(stood[0], 10.0), (stood[1], 18.0)])
    assert incident.place is not None
    assert FRAME.to_enu(GeoPoint(incident.place.latitude_deg, incident.place.longitude_deg))[0] == pytest.approx(2.0)


def test_where_somebody_stood_before_does_not_count_for_where_he_stands_now() -> None:
    """Two stays 18 m apart and a walk between them: nothing is half way."""
    a = moving(sighting(0, 0, "a"), 1.2, 0.0)
    b = moving(sighting(10, 0, "b", vehicle="d2", first_s=60.0), 1.2, 0.0)
    c = moving(sighting(18, 0, "c", first_s=90.0), 0.1, 0.0, 0.2)
    d = moving(sighting(18.6, 0, "d", vehicle="d2", first_s=120.0), 0.0, 0.1, 0.2)
    (incident,) = merge_all(FRAME, [(a, 10.0), (b, 18.0), (c, 28.0), (d, 60.0)])
    assert incident.place is not None
    east, _ = FRAME.to_enu(GeoPoint(incident.place.latitude_deg, incident.place.longitude_deg))
    assert 17.5 < east < 19.0


def test_somebody_lying_is_the_same_an_hour_later() -> None:
    rules = MergeRules(memory_s=7200.0)
    merger = Merger(FRAME, rules)
    merger.add(sighting(0, 0, "a", speed=None), 10.0)
    assert not merger.add(sighting(2, 1, "b", vehicle="d2", speed=None), 3610.0).opened


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
