# SPDX-License-Identifier: AGPL-3.0-or-later
"""Event rules over incidents, as the alert service uses them: nothing lost, nothing doubled, one incident per thing."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon

from dronectl.alerts import incidents as things
from dronectl.alerts.changes import change
from dronectl.alerts.event_rules import decide_events, describe
from dronectl.alerts.happenings import Happenings, scene_facts, with_happening
from dronectl.alerts.model import AlertRecord, Decision, EventSite, Happening, Policy
from dronectl.alerts.site import alert_site, event_site
from dronectl.alerts.visits import footprint
from dronectl.bus.messages import AlertPhase, AlertState, Level
from dronectl.paths import config_dir
from dronectl.site import load_site
from missions.geo import GeoPoint, LocalFrame
from missions.model import Camera, Modality
from vision.events import Area, EventPhase, EventRules, Fact, RuleName
from vision.events.settings import ClosedArea, Recheck
from vision.sighting import GroundEllipse, Kind, Phase, Sighting

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FRAME = LocalFrame(GeoPoint(29.74, 107.27))
SQUARE = ((0.0, 0.0), (40.0, 0.0), (40.0, 40.0), (0.0, 40.0))
SITE = EventSite(EventRules(), FRAME, (Area("yard", "Yard", SQUARE, frozenset({"closed", "watched"})),))


def sighting(track: str, time_s: float, east: float, north: float, kind: Kind = Kind.PERSON, **more) -> Sighting:
    at = FRAME.to_geo(east, north)
    place = GroundEllipse(at.latitude_deg, at.longitude_deg, 250.0, 1.04, 0.0, 1.04, 1.0, 0.0, 1.0)
    values = {
        "track_id": track, "sequence": 1, "phase": Phase.UPDATE, "kind": kind, "confidence": 0.8,
        "modality": Modality.THERMAL, "camera_id": "d1-thermal", "vehicle_id": "d1", "place": place,
        "first_exposure_s": time_s, "last_exposure_s": time_s, "confirmed_exposure_monotonic_s": None,
        "looks": 4, "chances": 5, "rule": "3 of 5", "temperature_max_c": 36.0, "size_m": 0.7, "speed_m_s": 0.0,
        "detector": "onnx", "evidence": (), "depression_deg": 85.0,
    }  # fmt: skip
    return Sighting(**{**values, **more})


def feed(looks, site: EventSite = SITE, behind_s: float = 0.0):
    """Run sightings through merger and rules as the service does; returns incidents by id, and all events."""
    mergers, happenings, incidents, events = things.Mergers(), Happenings(site, UTC, lambda: behind_s), {}, []
    by_number = {}

    def apply(found):
        for event in found:
            events.append(event)
            incident_id = happenings.incident_id(event)
            if incident_id is None:
                own = happenings.own_incident(
                    event, tuple(incidents.values()), lambda _i: True, f"own-{len(events)}", NOW
                )
                happenings.belongs(event, own.incident_id)
                incidents.setdefault(own.incident_id, own)
                incident_id = own.incident_id
            incidents[incident_id] = with_happening(incidents[incident_id], happenings.happening(event, NOW))

    clock = NOW
    for look in looks:
        clock = NOW + timedelta(seconds=look.last_exposure_s)
        merged = mergers.add(look, "m", clock)
        known = by_number.get(merged.number)
        if known is None:
            known = by_number[merged.number] = f"thing-{merged.number}"
            incidents[known] = things.opened(merged, known, "m", look, clock, clock)
        else:
            incidents[known] = things.extended(incidents[known], merged, look, clock, clock)
        apply(happenings.see(incidents[known], look, merged.last_s))
        apply(happenings.advance(clock.timestamp()))
    apply(happenings.advance(clock.timestamp() + 120.0))
    return incidents, events


def keys(incidents):
    return sorted((i.incident_id, h.rule.value) for i in incidents.values() for h in i.happenings)


def test_one_person_in_a_closed_area_who_does_not_move_is_one_incident_with_two_events():
    incidents, _ = feed([sighting("t1", t, 20, 20) for t in range(0, 200, 3)])
    assert keys(incidents) == [("thing-1", "closed-area"), ("thing-1", "loitering"), ("thing-1", "person-down")]
    down = next(h for h in incidents["thing-1"].happenings if h.rule is RuleName.PERSON_DOWN)
    assert "motionless for" in describe(down)
    assert "(rule: 90)" in describe(down)
    assert all(h.ended for h in incidents["thing-1"].happenings), "two minutes later nobody is seen any more"


def test_somebody_beside_the_area_who_walks_raises_nothing():
    incidents, events = feed([sighting("t1", t, -60 + t, -20, speed_m_s=1.0) for t in range(0, 100, 3)])
    assert (keys(incidents), events) == ([], [])


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_broken_tracks_of_one_person_stay_one_event_on_one_incident(seed):
    rng = random.Random(seed)
    looks, track = [], 0
    for t in range(0, 60, 2):
        if rng.random() < 0.15:
            track += 1
        looks.append(sighting(f"t{track}", t, 20 + rng.gauss(0, 0.2), 20 + rng.gauss(0, 0.2)))
    incidents, events = feed(looks)
    new = [e for e in events if e.phase is EventPhase.NEW and e.rule is RuleName.CLOSED_AREA]
    assert len(new) == 1
    assert [k for k in keys(incidents) if k[1] == "closed-area"] == [("thing-1", "closed-area")]


@given(st.lists(st.tuples(st.floats(6, 34), st.floats(6, 34)), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=10)
def test_nothing_is_lost_and_nothing_doubled_among_several(places, seed):
    """People apart from each other by more than the merger's reach: as many events as there are people inside."""
    apart = [p for i, p in enumerate(places) if all(max(abs(p[0] - q[0]), abs(p[1] - q[1])) > 12 for q in places[:i])]
    rng = random.Random(seed)
    looks = [
        sighting(f"t{n}", t + 0.01 * n, east + rng.gauss(0, 0.2), north + rng.gauss(0, 0.2))
        for t in range(0, 30, 2)
        for n, (east, north) in enumerate(apart)
    ]
    incidents, _ = feed(looks)
    assert sum(rule == "closed-area" for _, rule in keys(incidents)) == len(apart)


@given(st.integers(0, 10**6))
@settings(max_examples=8)
def test_camera_motion_alone_raises_nothing(seed):
    """Rocks and parked cars under a camera whose shared error drifts by metres: no rule holds."""
    rng = random.Random(seed)
    drift = [0.0, 0.0]
    looks = []
    for t in range(0, 150, 3):
        drift = [d + rng.gauss(0, 0.25) for d in drift]
        for n, kind in enumerate((Kind.HOT_SPOT, Kind.VEHICLE)):
            looks.append(
                sighting(f"t{n}", t + 0.1 * n, 5 + 25 * n + drift[0], 10 + drift[1], kind, temperature_max_c=31.0)
            )
    incidents, events = feed(looks)
    assert (keys(incidents), events) == ([], [])


def test_a_fire_left_alone_is_hot_unattended_and_due_again_in_an_incident_of_its_own():
    site = replace(SITE, rules=EventRules(recheck=Recheck(after_s=100.0)))
    looks = [sighting("f", t, -50, 0, Kind.FIRE, temperature_max_c=420.0, size_m=1.0) for t in range(0, 90, 3)]
    looks += [sighting("p", 220, 400, 0)]  # time goes on elsewhere
    incidents, _ = feed(looks, site)
    found = keys(incidents)
    assert ("thing-1", "unattended-heat") in found
    (own,) = [i for i in incidents.values() if i.number < 0]
    assert (own.kind, [h.rule for h in own.happenings]) == (Kind.HAZARD, [RuleName.RECHECK])
    facts = scene_facts(own)
    assert facts.happenings == own.happenings
    assert facts.place is not None


def test_a_fire_that_grows_says_by_how_much():
    looks = [
        sighting("f", t, 0, -50, Kind.FIRE, temperature_max_c=420.0, size_m=1.0 + 0.06 * t) for t in range(0, 60, 3)
    ]
    incidents, _ = feed(looks)
    grown = [h for h in incidents["thing-1"].happenings if h.rule is RuleName.FIRE_GROWING]
    assert len(grown) == 1
    assert grown[0].level is Level.RED
    steady = [sighting("f", t, 0, -50, Kind.FIRE, temperature_max_c=420.0, size_m=1.0) for t in range(0, 60, 3)]
    assert not any(rule == "fire-growing" for _, rule in keys(feed(steady)[0]))


def test_a_queue_over_its_limit_is_one_incident():
    site = EventSite(EventRules(), FRAME, (Area("queue", "Queue", SQUARE, frozenset({"crowd"}), people=5),))
    looks = [
        sighting(f"t{n}", t + 0.01 * n, 3 + 6 * n, 20, first_exposure_s=-1.0) for t in range(0, 40, 2) for n in range(6)
    ]
    incidents, _ = feed(looks, site)
    assert [i.kind for i in incidents.values() if i.number < 0] == [Kind.CROWD]
    fewer = [
        sighting(f"t{n}", t + 0.01 * n, 3 + 6 * n, 20, first_exposure_s=-1.0) for t in range(0, 40, 2) for n in range(4)
    ]
    assert not [i for i in feed(fewer, site)[0].values() if i.number < 0]


def happening(rule=RuleName.LOITERING, level=Level.YELLOW, **more):
    values = {"area_id": "yard", "area": "Yard", "since": NOW, "at": NOW, "confidence": 0.7}
    return Happening(rule, level=level, facts=(Fact("stayed for", 200.0, 180.0, "s"),), **{**values, **more})


def test_the_higher_level_decides_and_says_its_numbers():
    base = Decision(Level.BLUE, "person-day", "default-1", "a person", ())
    decision = decide_events(base, [happening()], "v7", ("Yard",))
    assert (decision.level, decision.rule_id, decision.rule_set) == (Level.YELLOW, "loitering", "v7")
    assert decision.reason == "a person stays in a watched area (Yard): stayed for 200 s (rule: 180)"
    fire = Decision(Level.RED, "fire", "default-1", "a fire", ())
    assert decide_events(fire, [happening()], "v7", ()) is fire
    assert decide_events(None, [], "v7", ()) is None
    two = [happening(), happening(RuleName.PERSON_DOWN, Level.ORANGE, area_id=None, area=None)]
    assert decide_events(base, two, "v7", ()) == decide_events(base, two[::-1], "v7", ())


def test_an_event_is_told_at_once_once_and_its_end_once():
    incidents, _ = feed([sighting("t1", 0, -90, 0)])
    facts = things.facts(incidents["thing-1"])
    decision = Decision(Level.BLUE, "person-day", "default-1", "a person", ())
    alert = AlertRecord(
        "a", "thing-1", "m", 1, AlertPhase.NEW, AlertState.NEW, decision, facts, NOW, NOW, NOW, None
    )  # fmt: skip
    begun = replace(facts, happenings=(happening(),))
    found = change(alert, begun, decision, Policy())
    assert found.urgent
    assert "stayed for" in found.what
    told = replace(alert, facts=begun)
    later = replace(facts, happenings=(happening(at=NOW + timedelta(seconds=30)),))
    assert change(told, later, decision, Policy()) is None, "newer numbers alone are no message"
    over = replace(facts, happenings=(happening(ended=True),))
    found = change(told, over, decision, Policy())
    assert not found.urgent
    assert change(replace(alert, facts=over), over, decision, Policy()) is None
    assert change(replace(alert, facts=over), begun, decision, Policy()) is None, "going on again is no news"


def test_the_site_file_says_areas_rules_and_levels():
    site = load_site(config_dir() / "lidu" / "site.yaml")
    events = event_site(site)
    areas = {a.area_id: a for a in events.areas}
    assert areas["gate-east"].hours == ((7.0, 8.5), (16.0, 17.5))
    assert areas["gate-east"].wait_s == 90
    crest = Polygon(areas["dam-crest"].ring)
    assert crest.minimum_rotated_rectangle.length == pytest.approx(2 * (8 + 57.4), abs=3)
    assert areas["dam-crest"].hours == ((20.0, 6.0),)
    assert events.rules.recheck.after_s == 1800
    assert events.rules.version == "lidu-1"
    assert {z.name for z in alert_site(site).zones} >= {"East school gate", "Reservoir dam, crest"}
    assert "closed" not in {t for z in alert_site(site).zones for t in z.tags}, (
        "closed only at night: the event says so"
    )


@given(st.floats(0, 360), st.floats(15, 120))
def test_a_footprint_holds_what_is_below_and_nothing_beyond_the_picture(yaw, height):
    camera = Camera("c", Modality.THERMAL, 640, 512, 758.0, 758.0, 319.5, 255.5)
    ring = Polygon(footprint(camera, 10.0, -5.0, height, yaw))
    assert ring.contains(Point(10.0, -5.0))
    assert ring.area == pytest.approx(0.49 * (height * 640 / 758) * (height * 512 / 758), rel=1e-6)
    assert footprint(camera, 0.0, 0.0, 5.0, yaw) is None


def test_rules_with_hours_mean_the_wall_clock_though_it_was_set_meanwhile():
    """The machine began at noon of a wrong day, and has since heard that it is midnight."""
    night = replace(SITE, rules=replace(SITE.rules, closed_area=ClosedArea(hours=(22.0, 6.0))))
    looks = [sighting("t1", t, 20, 20) for t in range(0, 12, 3)]
    for behind_h, expected in ((0.0, set()), (12.0, {RuleName.CLOSED_AREA}), (-12.0, {RuleName.CLOSED_AREA})):
        _, events = feed(looks, night, behind_h * 3600.0)
        assert {event.rule for event in events} & {RuleName.CLOSED_AREA} == expected
