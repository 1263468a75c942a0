# SPDX-License-Identifier: AGPL-3.0-or-later
"""A sighting's velocity on its way: between processes, into the store and out of it again, into lines; and a spoilt one."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.alerts.incidents import Mergers, opened, sound
from dronectl.alerts.model import Incident
from dronectl.perception.messages import FromWorker, Seen
from missions.model import Modality
from vision.examine_lines import track_line
from vision.sighting import GroundEllipse, GroundVelocity, Kind, Phase, Sighting

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WALKING = GroundVelocity(1.2, -0.1, 0.16, 0.01, 0.2)


def sighting(track: str, vehicle: str, east_m: float, exposure_s: float, velocity: GroundVelocity | None) -> Sighting:
    place = GroundEllipse(29.74, 107.27 + east_m / 96_600, 250.0, 4.0, 0.0, 4.0, 1.0, 0.0, 1.0)
    return Sighting(
        track, 1, Phase.NEW, Kind.PERSON, 0.7, Modality.THERMAL, f"{vehicle}-thermal", vehicle, place, exposure_s,
        exposure_s, None, 4, 5, "rule", 31.0, 0.6, 0.0, "detector", (), (), 88.0, velocity,
    )  # fmt: skip


finite = st.floats(-20.0, 20.0)


@given(st.builds(GroundVelocity, finite, finite, finite, finite, finite))
def test_between_processes_nothing_is_lost(velocity: GroundVelocity) -> None:
    told = Seen(sighting("t1", "d1", 0.0, 50.0, velocity))
    heard = msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=FromWorker)
    assert heard == told


def test_who_walked_before_a_restart_is_the_same_after_it() -> None:
    a = sighting("t1", "d1", 0.0, 50.0, WALKING)
    mergers = Mergers()
    mergers.restore([stored(a)], START)
    later = START + timedelta(seconds=16)
    assert mergers.add(sighting("t2", "d2", 19.0, 900.0, WALKING), "m", later).number == 1
    assert mergers.add(sighting("t3", "d3", -19.0, 30.0, WALKING), "m", later).number == 2


def test_an_incident_kept_before_sightings_had_velocities_can_still_be_read() -> None:
    document = json.loads(json.dumps(msgspec.to_builtins(kept(sighting("t1", "d1", 0.0, 50.0, WALKING)))))
    del document["members"][0]["sighting"]["velocity"]
    (member,) = msgspec.convert(document, Incident).members
    assert member.sighting == sighting("t1", "d1", 0.0, 50.0, None)


def stored(said: Sighting) -> Incident:
    """An incident of one sighting, written as the store writes it and read again."""
    return msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(kept(said)))), Incident)


def kept(said: Sighting) -> Incident:
    return opened(Mergers().add(said, "m", START), "i1", "m", said, START, START)


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(WALKING, east_m_s=math.nan),
        replace(WALKING, cov_nn_m2_s2=math.inf),
        replace(WALKING, cov_ee_m2_s2=-0.1),
        replace(WALKING, cov_en_m2_s2=0.5),
    ],
    ids=["no number", "endless", "negative", "no covariance"],
)
def test_a_spoilt_velocity_is_an_unknown_one(spoilt: GroundVelocity) -> None:
    said = sighting("t1", "d1", 0.0, 50.0, spoilt)
    assert sound(said) == replace(said, velocity=None)
    assert sound(replace(said, velocity=WALKING)).velocity == WALKING


def test_lines_have_it_with_its_doubt() -> None:
    line = track_line("v.mp4", "video", sighting("t1", "d1", 0.0, 50.0, WALKING), amsl_known=True)
    assert line["velocity"] == {"east_m_s": 1.2, "north_m_s": -0.1, "covariance_m2_s2": [0.16, 0.01, 0.2]}
    still = track_line("v.mp4", "video", sighting("t1", "d1", 0.0, 50.0, None), amsl_known=True)
    assert still["velocity"] is None


@pytest.mark.parametrize("late_s", [0.0, 8.0])
def test_an_ended_track_is_dated_by_its_last_look(late_s: float) -> None:
    """The vehicle's clock says when: the word that a track has ended comes seconds after its last look."""
    mergers = Mergers()
    a = sighting("t1", "d1", 0.0, 50.0, WALKING)
    mergers.add(a, "m", START)
    ended = mergers.add(replace(a, sequence=2, phase=Phase.END), "m", START + timedelta(seconds=late_s))
    assert ended.members["t1"].at_s == pytest.approx(START.timestamp())
    assert ended.last_s == pytest.approx(START.timestamp() + late_s)
