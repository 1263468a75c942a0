# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sightings of every kind, and of missions that were quiet for long, become incidents of their own."""

from datetime import UTC, datetime, timedelta

import pytest

from dronectl.alerts.incidents import MAX_MISSIONS, Mergers, facts, opened
from dronectl.alerts.rules import DEFAULT_RULES, decide
from missions.geo import GeoPoint, LocalFrame
from missions.model import Modality
from vision.merge import Merger
from vision.sighting import GroundEllipse, Kind, Phase, Sighting

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HERE = GeoPoint(29.74, 107.27)
DETECTED = [kind for kind in Kind if kind not in (Kind.CROWD, Kind.HAZARD)]  # those two are made by rules


def sighting(track: str, kind: Kind, east_m: float = 0.0, exposure_s: float = 50.0) -> Sighting:
    place = GroundEllipse(HERE.latitude_deg, HERE.longitude_deg + east_m / 96_600, 250.0, 4.0, 0.0, 4.0, 1.0, 0.0, 1.0)
    return Sighting(
        track, 1, Phase.NEW, kind, 0.7, Modality.RGB, "mast-1", None, place, exposure_s, exposure_s, None, 4, 5,
        "rule", None, 3.0, 0.0, "detector", (),
    )  # fmt: skip


@pytest.mark.parametrize("kind", DETECTED, ids=str)
def test_whatever_a_camera_tells_of_becomes_an_incident(kind: Kind) -> None:
    told = sighting("t1", kind)
    merged = Mergers().add(told, "m", START)
    assert merged.kind is kind
    incident = opened(merged, "i1", "m", told, START, START)
    decision = decide(DEFAULT_RULES, facts(incident), (), START)
    calls = {Kind.FIRE: "fire", Kind.SMOKE: "smoke", Kind.PERSON: "person-day"}
    assert (None if decision is None else decision.rule_id) == calls.get(kind)


def test_a_mission_that_others_have_pushed_out_does_not_number_its_incidents_anew() -> None:
    """Cameras on masts belong to no mission: after a day of patrols a person there is no incident of the morning."""
    mergers = Mergers()
    first = mergers.add(sighting("t1", Kind.PERSON), None, START)
    for patrol in range(MAX_MISSIONS + 1):
        mergers.add(sighting(f"p{patrol}", Kind.PERSON, 500.0), f"patrol-{patrol}", START + timedelta(hours=1))
    later = mergers.add(sighting("t2", Kind.PERSON, 300.0), None, START + timedelta(hours=9))
    assert later.number != first.number


def test_what_a_merger_is_relieved_of_does_not_give_its_number_to_another() -> None:
    merger = Merger(LocalFrame(HERE))
    kept = merger.add(sighting("t1", Kind.PERSON), 0.0).incident
    gone = merger.add(sighting("t2", Kind.PERSON, 300.0), 1.0).incident
    merger.restore([kept])
    assert merger.add(sighting("t3", Kind.PERSON, 600.0), 2.0).incident.number > gone.number
