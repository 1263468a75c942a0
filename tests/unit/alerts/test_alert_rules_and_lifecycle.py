# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rules, the actions' state machine, what is worth an update, geometry: pure code, by properties."""

import math
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.alerts.actions import Refusal, apply
from dronectl.alerts.changes import change, is_due
from dronectl.alerts.compose import alert_message
from dronectl.alerts.geometry import contains, ellipse_95, inside_95, nearest
from dronectl.alerts.ids import uuid7
from dronectl.alerts.model import AlertRecord, AlertSite, Decision, Facts, Policy, Responder, Rule, RuleSet, Zone
from dronectl.alerts.outbox import Backoff
from dronectl.alerts.rules import DEFAULT_RULES, decide, is_within_hours
from dronectl.bus.messages import Action, ActionKind, AlertPhase, AlertState, Level
from missions.geo import GeoPoint, LocalFrame, destination
from vision.sighting import Evidence, GroundEllipse, Kind

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HERE = GroundEllipse(29.74, 107.27, 250.0, 9.0, 2.0, 4.0, 1.0, 0.0, 1.0)
FACTS = Facts(
    kind=Kind.PERSON,
    place=HERE,
    evidence=(Evidence("a.png", "a" * 64, 64, 64, "crop"),),
    confidence=0.8,
    looks=4,
    chances=5,
    tracks=1,
    confirmed_by="3 of 5",
    detectors=("onnx people " + "b" * 64,),
    modalities=("thermal",),
    cameras=("d1-thermal",),
    vehicles=("d1",),
    temperature_max_c=36.0,
    size_m=1.7,
    speed_m_s=0.0,
)
ALERT = AlertRecord(
    alert_id="0190",
    incident_id="i",
    mission_id="m",
    sequence=1,
    phase=AlertPhase.NEW,
    state=AlertState.NEW,
    decision=Decision(Level.YELLOW, "person-night", "default-1", "a person at night", ()),
    facts=FACTS,
    observed_at=NOW,
    raised_at=NOW,
    updated_at=NOW,
    expires_at=NOW + timedelta(minutes=30),
)
NIGHT, DAY = NOW.replace(hour=2), NOW.replace(hour=12)
KEEP_OUT = Zone("k", "Substation", (), frozenset({"keep_out"}))


# --- rules


@pytest.mark.parametrize(
    ("facts", "zones", "local", "level", "rule"),
    [
        (replace(FACTS, kind=Kind.FIRE, confidence=0.1), (), DAY, Level.RED, "fire"),
        (FACTS, (KEEP_OUT,), DAY, Level.ORANGE, "person-closed"),
        (FACTS, (KEEP_OUT,), NIGHT, Level.ORANGE, "person-closed"),
        (FACTS, (), NIGHT, Level.YELLOW, "person-night"),
        (FACTS, (), DAY, Level.BLUE, "person-day"),
        (replace(FACTS, confidence=0.2), (KEEP_OUT,), DAY, Level.GREY, "person-doubtful"),
        (replace(FACTS, kind=Kind.HOT_SPOT, temperature_max_c=95.0), (), DAY, Level.YELLOW, "hot-spot"),
        (replace(FACTS, kind=Kind.HOT_SPOT, temperature_max_c=95.0, tracks=2), (), DAY, Level.ORANGE, "hot-spot-again"),
        (replace(FACTS, kind=Kind.HOT_SPOT, temperature_max_c=320.0), (), DAY, Level.ORANGE, "hot-spot-blaze"),
        (replace(FACTS, kind=Kind.VEHICLE), (KEEP_OUT,), DAY, Level.YELLOW, "vehicle-closed"),
    ],
)
def test_default_rules(facts, zones, local, level, rule):
    decision = decide(DEFAULT_RULES, facts, zones, local)
    assert decision is not None
    assert (decision.level, decision.rule_id, decision.rule_set) == (level, rule, "default-1")
    assert decision.places == tuple(z.name for z in zones)


def test_animals_parked_cars_and_warm_stones_are_no_alert():
    for warmth in (None, 36.0, 79.0):
        stone = replace(FACTS, kind=Kind.HOT_SPOT, temperature_max_c=warmth, tracks=3)
        assert decide(DEFAULT_RULES, stone, (KEEP_OUT,), NIGHT) is None
    assert decide(DEFAULT_RULES, replace(FACTS, kind=Kind.ANIMAL), (KEEP_OUT,), NIGHT) is None
    assert decide(DEFAULT_RULES, replace(FACTS, kind=Kind.VEHICLE), (), NIGHT) is None


@given(confidence=st.floats(0, 1), hour=st.integers(0, 23), closed=st.booleans(), tracks=st.integers(1, 9))
def test_no_person_and_no_fire_is_ever_silent(confidence, hour, closed, tracks):
    for kind in (Kind.PERSON, Kind.FIRE):
        facts = replace(FACTS, kind=kind, confidence=confidence, tracks=tracks)
        assert decide(DEFAULT_RULES, facts, (KEEP_OUT,) if closed else (), NOW.replace(hour=hour)) is not None


def test_the_first_rule_that_holds_decides():
    rules = RuleSet(
        "v7",
        (
            Rule("sure", Level.RED, frozenset({Kind.PERSON}), "sure", min_confidence=0.9),
            Rule("any", Level.GREY, frozenset({Kind.PERSON}), "any"),
        ),
    )
    assert decide(rules, replace(FACTS, confidence=0.9), (), DAY).rule_id == "sure"
    assert decide(rules, FACTS, (), DAY).rule_id == "any"


@given(hour=st.integers(0, 23), start=st.integers(0, 23), end=st.integers(0, 23))
def test_hours_and_their_complement_cover_the_day(hour, start, end):
    if start != end:
        assert is_within_hours(hour, start, end) != is_within_hours(hour, end, start)


# --- actions

WHO = st.sampled_from(["ann-post", "bob-post", "desk"])
ACTIONS = st.builds(
    lambda kind, by, to, responder, outcome: Action(
        alert_id="0190", action=kind, by=by, to=to, responder_id=responder, outcome=outcome
    ),
    st.sampled_from(list(ActionKind)),
    WHO,
    WHO,
    st.sampled_from(["r1", "r2"]),
    st.just("welfare"),
)


@given(st.lists(ACTIONS, max_size=30))
def test_lifecycle_invariants(actions):
    alert = ALERT
    for action in actions:
        before = alert
        result = apply(alert, action)
        if isinstance(result, Refusal):
            assert result.reason
            continue
        alert = result
        assert not before.state.final, "a final state never changes"
        # the rest of the record is none of the dispatcher's business
        assert (alert.alert_id, alert.facts, alert.decision, alert.sequence) == (
            before.alert_id,
            before.facts,
            before.decision,
            before.sequence,
        )
        if alert.state in {AlertState.ACCEPTED, AlertState.DISPATCHED, AlertState.ARRIVED}:
            assert alert.owner is not None
        if alert.state in {AlertState.DISPATCHED, AlertState.ARRIVED}:
            assert alert.responder_id is not None
        if alert.state is AlertState.RESOLVED:
            assert alert.outcome
        if before.owner is not None and alert.owner != before.owner:
            assert action.by == before.owner, "only its owner gives an alert away"
        if action.action is ActionKind.DISPATCH:
            assert action.by == alert.owner
        assert set(before.declined_by) <= set(alert.declined_by)


@given(st.lists(ACTIONS, max_size=12), ACTIONS)
def test_an_action_that_comes_twice_changes_nothing_more(actions, last):
    alert = ALERT
    for action in actions:
        result = apply(alert, action)
        alert = alert if isinstance(result, Refusal) else result
    once = apply(alert, last)
    if not isinstance(once, Refusal):
        twice = apply(once, last)
        assert isinstance(twice, Refusal) or twice == once


@given(st.lists(ACTIONS, max_size=12), st.sampled_from([ActionKind.RESOLVE, ActionKind.FALSE_ALARM]))
def test_whatever_happened_an_open_alert_can_be_closed(actions, kind):
    alert = ALERT
    for action in actions:
        result = apply(alert, action)
        alert = alert if isinstance(result, Refusal) else result
    end = apply(alert, Action(alert_id="0190", action=kind, by="desk", outcome="welfare"))
    if alert.state.final:
        assert isinstance(end, Refusal)
    else:
        assert not isinstance(end, Refusal)
        assert end.state.final


def test_the_flight_card_of_an_alert():
    def do(alert, kind, by="desk", **more):
        return apply(alert, Action(alert_id="0190", action=kind, by=by, **more))

    seen = do(ALERT, "acknowledge")
    assert isinstance(do(seen, "dispatch", responder_id="r1"), Refusal)
    mine = do(seen, "accept")
    assert isinstance(do(mine, "accept", by="other"), Refusal)
    sent = do(mine, "dispatch", responder_id="r1")
    assert isinstance(do(mine, "arrive"), Refusal)
    there = do(sent, "arrive", by="r1")
    over = do(there, "resolve", outcome="walked home")
    assert (over.state, over.outcome, over.responder_id) == (AlertState.RESOLVED, "walked home", "r1")
    assert isinstance(do(over, "false_alarm"), Refusal)
    declined = do(mine, "decline", responder_id="r1")
    assert (declined.owner, declined.declined_by) == (None, ("desk", "r1"))


@pytest.mark.parametrize("kind", ["transfer", "dispatch", "resolve"])
def test_an_action_without_what_it_needs_is_no_message(kind):
    with pytest.raises(ValueError, match="needs"):
        Action(alert_id="a", action=kind, by="desk", outcome=" ")


# --- updates


def moved(metres, bearing=90.0, place=HERE):
    there = destination(GeoPoint(place.latitude_deg, place.longitude_deg), bearing, metres)
    return replace(place, latitude_deg=there.latitude_deg, longitude_deg=there.longitude_deg)


def test_what_is_worth_an_update_and_what_is_not():
    policy = Policy()
    same = ALERT.decision
    assert change(ALERT, FACTS, same, policy) is None
    assert change(ALERT, replace(FACTS, looks=99, chances=120, confidence=0.9), same, policy) is None
    assert change(ALERT, replace(FACTS, place=moved(5.0)), same, policy) is None
    assert not change(ALERT, replace(FACTS, place=moved(50.0)), same, policy).urgent
    better = replace(HERE, cov_ee_m2=1.0, cov_en_m2=0.0, cov_nn_m2=1.0)
    assert change(ALERT, replace(FACTS, place=better), same, policy).what == "located better"
    more = (*FACTS.evidence, Evidence("b.png", "c" * 64, 64, 64, "crop"))
    assert change(ALERT, replace(FACTS, evidence=more), same, policy).what == "new evidence"
    assert change(replace(ALERT, facts=replace(FACTS, place=None)), FACTS, same, policy).what == "place found"
    assert change(ALERT, replace(FACTS, kind=Kind.FIRE), same, policy).urgent
    red = replace(same, level=Level.RED)
    assert change(ALERT, FACTS, red, policy).urgent
    assert change(ALERT, FACTS, replace(same, level=Level.GREY), policy) is None, "a level only rises by itself"


@given(st.floats(-100, 100))
def test_updates_wait_their_turn_unless_urgent_or_the_clock_went_back(seconds):
    policy = Policy()
    found = change(ALERT, replace(FACTS, place=moved(50.0)), None, policy)
    due = is_due(found, ALERT, NOW + timedelta(seconds=seconds), policy)
    waited = timedelta(seconds=seconds)
    assert due == (waited < timedelta(0) or waited >= policy.min_update_interval)


# --- geometry


@given(major=st.floats(0.5, 50), ratio=st.floats(0.05, 0.95), azimuth=st.floats(0, 179.9))
def test_the_ellipse_is_that_of_the_covariance(major, ratio, azimuth):
    angle = math.radians(azimuth)
    axis = np.array([math.sin(angle), math.cos(angle)])  # east, north
    across = np.array([axis[1], -axis[0]])
    cov = major**2 * np.outer(axis, axis) + (ratio * major) ** 2 * np.outer(across, across)
    place = replace(HERE, cov_ee_m2=cov[0, 0], cov_en_m2=cov[0, 1], cov_nn_m2=cov[1, 1])
    found = ellipse_95(place)
    k = 2.447746830680816  # table value, chi-square 2 d.o.f., 95 %
    assert found.semi_major_m == pytest.approx(k * major, rel=1e-6)
    assert found.semi_minor_m == pytest.approx(k * ratio * major, rel=1e-4)
    assert min(abs(found.azimuth_deg - azimuth), 180 - abs(found.azimuth_deg - azimuth)) < 0.1
    frame = LocalFrame(GeoPoint(place.latitude_deg, place.longitude_deg))
    assert inside_95(place, frame.to_geo(*(axis * k * major * 0.99)))
    assert not inside_95(place, frame.to_geo(*(axis * k * major * 1.01)))
    assert not inside_95(place, frame.to_geo(*(across * k * ratio * major * 1.02)))


@given(st.floats(-85, 85), st.floats(-180, 179.99), st.floats(0, 359), st.floats(1, 300))
def test_a_ring_contains_what_is_within_it_everywhere_on_earth(latitude, longitude, bearing, away):
    if abs(latitude) > 84.9:
        return
    centre = GeoPoint(latitude, longitude)
    ring = tuple(destination(centre, b, 200.0) for b in range(0, 360, 10))
    if abs(away - 200.0) > 5.0:
        assert contains(ring, destination(centre, bearing, away)) == (away < 200.0)


def test_nearest_responders_first_and_never_who_declined():
    posts = [Responder(f"r{m}", f"Post {m}", *_at(m)) for m in (900, 100, 500, 3000)]
    assert [o.responder_id for o in nearest(posts, HERE)] == ["r100", "r500", "r900"]
    assert nearest(posts, HERE)[0].distance_m == pytest.approx(100, abs=0.2)
    assert [o.responder_id for o in nearest(posts, HERE, {"r100"})] == ["r500", "r900", "r3000"]
    assert nearest(posts, None) == []


def _at(metres):
    there = destination(GeoPoint(HERE.latitude_deg, HERE.longitude_deg), 10.0, metres)
    return there.latitude_deg, there.longitude_deg


# --- the message


def test_an_alert_says_why_and_says_what_is_missing():
    site = AlertSite("s", "exercise", DEFAULT_RULES, responders=(Responder("r", "Post", *_at(100)),))
    message = alert_message(ALERT, site)
    assert message.site_status == "exercise"
    assert message.why.model_sha256 == ["b" * 64]
    assert (message.why.rule_id, message.why.rule_set) == ("person-night", "default-1")
    assert message.evidence[0].sha256 == "a" * 64
    assert message.location.ellipse_95.semi_major_m > message.location.ellipse_95.semi_minor_m > 0
    assert message.responders[0].responder_id == "r"
    assert "person confirms" in message.responders_note
    nowhere = alert_message(replace(ALERT, facts=replace(FACTS, place=None)), site)
    assert nowhere.location is None
    assert "not known" in nowhere.location_missing
    assert nowhere.responders == []


# --- ids and waits


@given(st.datetimes(datetime(1971, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC)), st.integers(0, 2**74 - 1))  # noqa: DTZ001
def test_uuid7(moment, noise):
    made = uuid.UUID(uuid7(moment, noise))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert made.int >> 80 == (since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000
    later = uuid7(moment + timedelta(milliseconds=1), 0)
    assert str(made) < later


def test_uuid7_of_one_moment_differ():
    assert len({uuid7(NOW) for _ in range(1000)}) == 1000


@given(st.integers(1, 100000), st.floats(0, 0.999))
def test_the_wait_grows_to_its_cap(attempts, chance):
    wait = Backoff(first_s=5.0, cap_s=60.0).wait_s(attempts, chance)
    assert 0.75 * 5.0 <= wait <= 1.25 * 60.0
