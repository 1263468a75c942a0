# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rules over tracks: what raises an event and what does not, one event per thing, and order that must not matter."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.geo import GeoPoint, LocalFrame
from missions.model import Modality
from vision.events import Area, Event, EventPhase, EventRules, EventWatch, RuleName, TrackState, Visit
from vision.events.history import probability_inside
from vision.events.rules import is_within
from vision.events.settings import ClosedArea, Crowd, KeepClear, Loitering, PersonDown, Recheck
from vision.events.sightings import state_of
from vision.sighting import GroundEllipse, Kind, Phase, Sighting

SQUARE = ((0.0, 0.0), (40.0, 0.0), (40.0, 40.0), (0.0, 40.0))
FAR = tuple((e + 500.0, n) for e, n in SQUARE)


def area(*tags: str, ring=SQUARE, name="a") -> Area:
    return Area(name, name, ring, frozenset(tags))


def state(track: str, time_s: float, east: float, north: float, kind: Kind = Kind.PERSON, **more) -> TrackState:
    return TrackState(track, kind, time_s, east, north, more.pop("sigma_m", 0.4), more.pop("confidence", 0.8), **more)


def run(watch: EventWatch, items) -> list[Event]:
    events = [e for item in items for e in watch.add(item)]
    return events + watch.finish()


def opened(events: list[Event], rule: RuleName | None = None) -> list[Event]:
    return [e for e in events if e.phase is EventPhase.NEW and rule in (None, e.rule)]


def standing(
    track: str, east: float, north: float, start: float, end: float, kind: Kind = Kind.PERSON, step=1.0, **more
):
    rng = random.Random(track)
    count = int((end - start) / step)
    return [
        state(track, start + k * step, east + rng.gauss(0, 0.2), north + rng.gauss(0, 0.2), kind, **more)
        for k in range(count + 1)
    ]


def test_somebody_who_does_not_move_is_told_once_with_the_evidence():
    events = run(EventWatch(EventRules()), standing("t1", 5, 5, 0, 200))
    (event,) = opened(events)
    assert event.rule is RuleName.PERSON_DOWN
    assert 88 <= event.at_s <= 93
    assert event.why.startswith("person-down: motionless for 9")
    assert "moved at most" in event.why
    assert math.dist((event.east_m, event.north_m), (5, 5)) < 1.0
    assert 0.3 < event.confidence < 0.6
    assert [e.phase for e in events].count(EventPhase.END) == 1
    assert max(e.confidence for e in events) > event.confidence
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))


def test_somebody_who_lies_as_seen_from_above_is_told_sooner():
    lying = standing("t1", 5, 5, 0, 40, long_m=1.7, depression_deg=85.0)
    (event,) = opened(run(EventWatch(EventRules()), lying))
    assert event.at_s < 25
    assert "seen from above, long 1.7 m" in event.why
    aslant = standing("t1", 5, 5, 0, 40, long_m=1.7, depression_deg=35.0)
    assert opened(run(EventWatch(EventRules()), aslant)) == []


def test_places_too_vague_to_tell_standing_from_walking_say_nothing():
    assert opened(run(EventWatch(EventRules()), standing("t1", 5, 5, 0, 300, sigma_m=3.0))) == []


def test_closed_area_needs_the_place_to_be_sure_and_the_hour_to_be_right():
    rules = EventRules(person_down=None)
    inside, edge = standing("t1", 20, 20, 0, 10), standing("t1", 0.3, 20, 0, 10, sigma_m=1.5)
    (event,) = opened(run(EventWatch(rules, [area("closed")]), inside))
    assert (event.rule, event.area_id) == (RuleName.CLOSED_AREA, "a")
    assert opened(run(EventWatch(rules, [area("closed")]), edge)) == []
    assert opened(run(EventWatch(rules, [area("park")]), inside)) == []
    night = replace(rules, closed_area=ClosedArea(hours=(20, 6)))
    assert len(opened(run(EventWatch(night, [area("closed")], lambda _t: 23), inside))) == 1
    assert opened(run(EventWatch(night, [area("closed")], lambda _t: 12), inside)) == []
    assert opened(run(EventWatch(night, [area("closed")]), inside)) == []


def test_two_in_a_closed_area_at_one_time_are_two_events():
    items = sorted(standing("t1", 20, 20, 0, 10) + standing("t2", 21.5, 20, 0, 10), key=lambda s: s.time_s)
    assert len(opened(run(EventWatch(EventRules(), [area("closed")]), items))) == 2


def test_loitering_is_staying_not_passing():
    rules = EventRules(loitering=Loitering(stay_s=60), person_down=None)
    strolling = [state("t1", k, 20 + 8 * math.cos(k / 10), 20 + 8 * math.sin(k / 10)) for k in range(100)]
    passing = [state("t2", k, 20.0, -30 + 1.2 * k) for k in range(100)]
    (event,) = opened(run(EventWatch(rules, [area("watched")]), strolling))
    assert event.rule is RuleName.LOITERING
    assert opened(run(EventWatch(rules, [area("watched")]), passing)) == []
    torn = [s for s in strolling if not 40 < s.time_s < 75]
    assert opened(run(EventWatch(rules, [area("watched")]), torn)) == []


@pytest.mark.parametrize("kind", [Kind.VEHICLE, Kind.STALL])
def test_a_vehicle_or_a_stall_must_stand_in_the_keep_clear_area(kind):
    rules = EventRules(keep_clear=KeepClear(stand_s=30))
    parked = standing("v1", 20, 20, 0, 60, kind)
    driving = [state("v2", k, -50 + 6.0 * k, 20, Kind.VEHICLE) for k in range(40)]
    queueing = [state("v3", k, 2 + 0.5 * k, 20, Kind.VEHICLE) for k in range(70)]
    (event,) = opened(run(EventWatch(rules, [area("keep_clear")]), parked))
    assert event.rule is RuleName.KEEP_CLEAR
    assert 29 <= event.at_s <= 33
    assert opened(run(EventWatch(rules, [area("keep_clear")]), driving)) == []
    assert opened(run(EventWatch(rules, [area("keep_clear")]), queueing)) == []
    assert opened(run(EventWatch(rules, [area("keep_clear", ring=FAR)]), parked)) == []


def test_animal_on_the_road_only():
    road = area("road", ring=((0.0, 0.0), (200.0, 0.0), (200.0, 6.0), (0.0, 6.0)))
    assert len(opened(run(EventWatch(EventRules(), [road]), standing("a1", 50, 3, 0, 5, Kind.ANIMAL)))) == 1
    assert opened(run(EventWatch(EventRules(), [road]), standing("a1", 50, 12, 0, 5, Kind.ANIMAL))) == []
    vague = standing("a1", 50, 3, 0, 5, Kind.ANIMAL, sigma_m=6.0)
    assert opened(run(EventWatch(EventRules(), [road]), vague)) == []


def test_something_hot_is_an_event_only_while_nobody_is_near():
    hot = standing("h1", 0, 0, 0, 120, Kind.HOT_SPOT, temperature_max_c=150.0)
    rules = EventRules(person_down=None)
    (event,) = opened(run(EventWatch(rules), hot))
    assert event.rule is RuleName.UNATTENDED_HEAT
    warm = [replace(s, temperature_max_c=55.0) for s in hot]
    assert opened(run(EventWatch(rules), warm)) == []
    keeper = standing("p1", 6, 0, 0, 120)
    assert opened(run(EventWatch(rules), sorted(hot + keeper, key=lambda s: (s.time_s, s.track_id)))) == []
    stranger = standing("p1", 60, 0, 0, 120)
    assert len(opened(run(EventWatch(rules), sorted(hot + stranger, key=lambda s: s.time_s)))) == 1


def crowd(people: int, spread: float, start: int, end: int, prefix: str = "c"):
    rng = random.Random(people)
    at = [(rng.uniform(-spread, spread), rng.uniform(-spread, spread)) for _ in range(people)]
    return [state(f"{prefix}{i}", t, x, y) for t in range(start, end) for i, (x, y) in enumerate(at)]


def test_a_crowd_is_one_event_with_hysteresis():
    rules = EventRules(person_down=None, crowd=Crowd(per_m2=1.0, leave_per_m2=0.7, radius_m=3.0, at_least=12))
    dense = crowd(40, 2.0, 0, 30)
    (event,) = opened(run(EventWatch(rules), dense))
    assert event.rule is RuleName.CROWD
    assert event.facts[0].value == 40
    assert event.facts[1].value == pytest.approx(40 / (math.pi * 9), rel=1e-6)
    assert opened(run(EventWatch(rules), crowd(40, 12.0, 0, 30))) == []
    assert opened(run(EventWatch(rules), crowd(40, 2.0, 0, 8))) == []
    wavering = crowd(40, 2.0, 0, 20) + crowd(22, 2.0, 20, 40) + crowd(40, 2.0, 40, 60)
    assert len(opened(run(EventWatch(rules), wavering))) == 1


def test_a_hazard_is_due_after_its_time_and_done_by_looking():
    rules = EventRules(recheck=Recheck(after_s=600), unattended_heat=None)
    seen = standing("h1", 10, 10, 0, 5, Kind.FIRE, temperature_max_c=300.0)
    watch = EventWatch(rules)
    events = [e for s in seen for e in watch.add(s)] + watch.advance(500)
    assert events == []
    (due,) = watch.advance(700)
    assert (due.rule, due.phase) == (RuleName.RECHECK, EventPhase.NEW)
    assert watch.advance(900) == []
    assert watch.add(Visit(1000, FAR)) + watch.add(Visit(1001, SQUARE)) + watch.advance(1005) == []
    (done,) = watch.add(Visit(1010, SQUARE)) + watch.advance(1015)
    assert (done.phase, done.event_id) == (EventPhase.END, due.event_id)
    assert "without finding it" in str(done.facts[0])
    assert watch.advance(9000) == []
    again = EventWatch(rules)
    both = [*seen, *standing("h2", 10.5, 10, 800, 803, Kind.FIRE, temperature_max_c=250.0)]
    told = [e for s in both for e in again.add(s)] + again.advance(810)
    assert [e.phase for e in told] == [EventPhase.NEW, EventPhase.END]
    assert "still there" in str(told[1].facts[0])


def test_an_event_ends_once_and_goes_on_under_its_own_name():
    rules = EventRules(person_down=PersonDown(motionless_s=30))
    there = standing("t1", 5, 5, 0, 60)
    away = [state("t1", 61 + k, 5 + 1.5 * k, 5) for k in range(60)]
    events = run(EventWatch(rules), there + away)
    assert [e.phase for e in events if e.phase is not EventPhase.UPDATE] == [EventPhase.NEW, EventPhase.END]
    assert "does not hold" in str(events[-1].facts[0])
    lost_and_found = there + standing("t2", 5.5, 5.2, 120, 200)
    events = run(EventWatch(rules), lost_and_found)
    assert len(opened(events)) == 1
    assert events[-1].tracks == ("t1", "t2")
    elsewhere = there + standing("t2", 30, 30, 120, 200)
    assert len(opened(run(EventWatch(rules), elsewhere))) == 2
    much_later = there + standing("t2", 5.5, 5.2, 600, 700)
    assert len(opened(run(EventWatch(rules), much_later))) == 2


def test_wavering_over_a_border_is_one_event():
    rng = random.Random(8)
    wavering = [state("t1", k, rng.gauss(1.6, 1.0), 20, sigma_m=1.0) for k in range(200)]
    events = run(EventWatch(EventRules(person_down=None), [area("closed")]), wavering)
    assert len(opened(events)) <= 1


def test_a_sighting_becomes_a_state_with_its_doubt_in_two_parts():
    frame = LocalFrame(GeoPoint(30.0, 104.0))
    there = frame.to_geo(30.0, -20.0)
    place = GroundEllipse(there.latitude_deg, there.longitude_deg, 500.0, 6.0, 0.5, 4.0, 5.0, 0.2, 3.0)
    sighting = Sighting(
        "d1-t7", 1, Phase.NEW, Kind.PERSON, 0.7, Modality.THERMAL, "d1-thermal", "d1", place, 1.0, 9.0, None, 5, 6,
        "rule", 31.0, 1.6, None, "detector", (),
    )  # fmt: skip
    made = state_of(sighting, "12", 1000.0, frame, 88.0)
    assert made is not None
    assert made.place == pytest.approx((30.0, -20.0), abs=0.01)
    assert (made.track_id, made.time_s, made.long_m, made.depression_deg) == ("12", 1000.0, 1.6, 88.0)
    assert made.common_sigma_m == pytest.approx(2.0)
    assert made.doubt_m == pytest.approx(math.sqrt(5.0))
    assert state_of(replace(sighting, phase=Phase.END), "12", 1000.0, frame) is None
    assert state_of(replace(sighting, place=None), "12", 1000.0, frame) is None


def test_a_state_that_is_no_number_or_comes_too_late():
    with pytest.raises(ValueError, match="no number"):
        state("t1", 0.0, math.nan, 0.0)
    with pytest.raises(ValueError, match="outside"):
        state("t1", 0.0, 0.0, 0.0, confidence=1.5)
    watch = EventWatch(EventRules())
    watch.add(state("t1", 100.0, 0, 0))
    watch.add(state("t2", 98.0, 0, 0))
    assert watch.late == 1


@given(st.floats(-30, 70), st.floats(-30, 70), st.one_of(st.just(0.0), st.floats(0.05, 8.0)))
@settings(deadline=None)
def test_probability_inside_agrees_with_the_normal_distribution(east, north, sigma):
    def phi(z: float) -> float:
        return 0.5 * (1 + math.erf(z / math.sqrt(2)))

    p = probability_inside(SQUARE, state("t", 0, east, north, sigma_m=sigma))
    if sigma == 0 or min(abs(v) for v in (east, east - 40, north, north - 40)) > 3.5 * sigma:
        inside = 0 < east < 40 and 0 < north < 40
        if min(abs(v) for v in (east, east - 40, north, north - 40)) > 1e-9:
            assert p == float(inside)
        return
    exact = (phi((40 - east) / sigma) - phi(-east / sigma)) * (phi((40 - north) / sigma) - phi(-north / sigma))
    assert p == pytest.approx(exact, abs=0.06)


@given(st.integers(0, 23), st.integers(0, 23), st.integers(0, 23))
def test_hours_go_over_midnight(start, end, hour):
    within = {(start + k) % 24 for k in range((end - start) % 24 or 24)}
    assert is_within((start, end), hour) == (hour in within)


SITE = [area("closed", "keep_clear", "watched", "road")]


def harmless(seed: int, duration: int) -> list[TrackState]:
    """Nothing wrong in it: walkers, cars parked and driving, warm stones; and a camera that errs for all alike.

    What the camera gets wrong (GNSS, compass, its motion) is one smooth walk that all places share, within the common
    doubt that they state; on top comes noise for each look, and looks that fail.
    """
    rng = random.Random(seed)
    common = rng.uniform(0.3, 2.0)
    drift, rate = [0.0, 0.0], [0.0, 0.0]
    walkers = [
        (rng.uniform(-120, 120), rng.uniform(60, 160), rng.uniform(0, 6.28), rng.uniform(0.7, 1.8)) for _ in range(4)
    ]
    # some stand just beyond what the common error can make of the areas' border
    still = [(rng.uniform(-100, 100), 40.5 + 2 * common + rng.choice([0, 3, 60])) for _ in range(6)]
    items = []
    for second in range(duration):
        for axis in (0, 1):
            rate[axis] = 0.9 * rate[axis] + rng.gauss(0, 0.02)
            drift[axis] = max(-2 * common, min(2 * common, drift[axis] + rate[axis]))
        for i, (e, n, heading, speed) in enumerate(walkers):
            items.append(("w", i, second, e + speed * second * math.sin(heading), n + abs(speed * second * math.cos(heading)), Kind.PERSON))  # fmt: skip
        for i, (e, n) in enumerate(still):
            items.append(("s", i, second, e, n, Kind.VEHICLE if i % 2 else Kind.HOT_SPOT))
        items[-len(walkers) - len(still) :] = [
            (*item[:3], item[3] + drift[0], item[4] + drift[1], item[5]) for item in items[-len(walkers) - len(still) :]
        ]
    return [
        state(f"{letter}{i}", t, e + rng.gauss(0, 0.4), n + rng.gauss(0, 0.4), kind, common_sigma_m=common,
              temperature_max_c=45.0 if kind is Kind.HOT_SPOT else None)
        for letter, i, t, e, n, kind in items
        if rng.random() < 0.8
    ]  # fmt: skip


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_camera_motion_alone_raises_nothing(seed):
    assert run(EventWatch(EventRules(), SITE), harmless(seed, 130)) == []


eventful = st.tuples(st.integers(0, 10**6), st.integers(1, 4))


@given(eventful, st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_order_of_arrival_within_a_second_does_not_matter(given_scene, rng):
    seed, people = given_scene
    rules = EventRules(person_down=PersonDown(motionless_s=20), keep_clear=KeepClear(stand_s=20))
    items = harmless(seed, 50)
    dice = random.Random(seed)
    for i in range(people):
        at = dice.uniform(5, 35), dice.uniform(5, 35)
        items += standing(f"p{i}", *at, dice.uniform(0, 5), 50, step=0.7)
        items += standing(f"v{i}", at[1], at[0], dice.uniform(0, 5), 50, Kind.VEHICLE, step=0.7)
    items += [Visit(float(t), SQUARE) for t in range(0, 50, 7)]
    in_order = sorted(items, key=lambda s: s.time_s)
    shuffled = sorted(items, key=lambda s: s.time_s + rng.random())
    one, two = EventWatch(rules, SITE), EventWatch(rules, SITE)
    expected = run(one, in_order)
    assert len(opened(expected)) >= 2 * people
    assert run(two, shuffled) == expected
    assert (one.late, two.late) == (0, 0)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_one_thing_gives_one_event_of_a_rule_though_its_track_breaks(seed):
    rng = random.Random(seed)
    place = rng.uniform(8, 32), rng.uniform(8, 32)
    items, start = [], 0.0
    for number in range(4):
        end = start + rng.uniform(100, 140)
        items += standing(f"t{number}", *place, start, end)
        start = end + rng.uniform(2, 60)
    events = run(EventWatch(EventRules(), [area("closed", "watched")]), items)
    for rule in (RuleName.PERSON_DOWN, RuleName.CLOSED_AREA):
        assert len(opened(events, rule)) == 1
    assert len({e.event_id for e in events}) == len(opened(events))
