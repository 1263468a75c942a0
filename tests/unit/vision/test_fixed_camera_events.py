# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rules over time at fixed cameras, which are visited now and then and pass over pictures in which nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

from missions.geo import GeoPoint, LocalFrame
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain
from vision.detector import Detection
from vision.events import Area, Event, EventPhase, EventRules, EventWatch, RuleName, TrackState
from vision.events.sightings import state_of
from vision.eye import CameraEye
from vision.eye_types import UNCHANGED, sampled
from vision.frame import CameraPose, Frame, PixelKind
from vision.geolocate import Locator
from vision.sighting import Kind

HERE = GeoPoint(29.7, 107.3)
CAMERA = Camera("m", Modality.THERMAL, 320, 240, 300.0, 300.0, 159.5, 119.5)
POSE = CameraPose(
    29.7, 107.3, 8.0, 8.0, 0.0, -40.0, 0.0, 1.0, 1.0, 0.0, horizontal_common_sigma_m=1.0, vertical_common_sigma_m=1.0,
    yaw_common_sigma_deg=3.0, tilt_common_sigma_deg=1.5, clock_common_sigma_s=0.0, horizontal_sigma_m=0.0,
    attitude_sigma_deg=0.05,
)  # fmt: skip
EVERYWHERE = ((-40.0, -40.0), (40.0, -40.0), (40.0, 60.0), (-40.0, 60.0))
AREAS = (
    Area("lane", "lane", EVERYWHERE, frozenset({"keep_clear"})),
    Area("yard", "yard", EVERYWHERE, frozenset({"watched"})),
    Area("queue", "queue", EVERYWHERE, frozenset({"crowd"}), people=6),
)


class Warm:
    """Finds what was drawn: a fake network over made-up pictures."""

    name = "warm"

    def __init__(self, kind: Kind, at: list[tuple[int, int]]) -> None:
        self.kind, self.at = kind, at

    def detect(self, _frame: Frame, _gsd_m: float | None) -> list[Detection]:
        return [Detection(x - 4.0, y - 8.0, x + 4.0, y + 8.0, self.kind, 0.8, self.name) for x, y in self.at]


def stay(kind: Kind, at: list[tuple[int, int]], every_s: float, for_s: float) -> tuple[list[Event], int]:
    """What the rules say of things that stand before a camera, and how many pictures were passed over."""
    warm, frame = Warm(kind, at), LocalFrame(HERE)
    eye = CameraEye(CAMERA, None, warm, None, Locator(FlatTerrain(0.0), HERE), None, "run", sampled(every_s))
    watch, rng, events = EventWatch(EventRules(), AREAS), np.random.default_rng(3), []
    for k in range(int(for_s / every_s)):
        pixels = (90 + rng.normal(0, 2, (240, 320))).clip(0, 255).astype(np.uint8)
        for x, y in at:
            pixels[y - 8 : y + 8, x - 4 : x + 4] = 200
        outcome = eye.look(Frame("m", None, k, k * every_s, pixels, PixelKind.GREY8, CAMERA, POSE))
        for sighting in outcome.sightings:
            state = state_of(sighting, sighting.track_id, sighting.last_exposure_s, frame, sighting.depression_deg)
            assert state is not None
            events += watch.add(state)
        events += watch.advance(k * every_s)
    return events, eye.not_looked_at[UNCHANGED]


def told(events: list[Event], phase: EventPhase = EventPhase.NEW) -> dict[RuleName, int]:
    return {rule: n for rule in RuleName if (n := sum(e.rule is rule and e.phase is phase for e in events))}


@pytest.mark.parametrize("every_s", [5.0, 10.0, 30.0])
def test_a_car_that_stands_before_a_fixed_camera_is_told_once(every_s: float) -> None:
    events, passed_over = stay(Kind.VEHICLE, [(160, 150)], every_s, 600.0)
    assert passed_over >= 5
    assert told(events) == {RuleName.KEEP_CLEAR: 1}
    assert told(events, EventPhase.END) == {}


@pytest.mark.parametrize("every_s", [5.0, 10.0, 30.0])
def test_people_who_stay_before_a_fixed_camera_are_loiterers_and_a_crowd(every_s: float) -> None:
    people = [(60 + 40 * k, 140 + 5 * (k % 3)) for k in range(6)]
    events, passed_over = stay(Kind.PERSON, people, every_s, 600.0)
    assert passed_over >= 5
    new = told(events)
    assert new[RuleName.LOITERING] == 6
    assert new[RuleName.PERSON_DOWN] == 6
    assert new[RuleName.CROWD] == 1
    assert told(events, EventPhase.END) == {}, "nobody has gone"


def test_people_who_pass_a_fixed_camera_are_not_added_up() -> None:
    """Each picture shows four others."""
    watch = EventWatch(EventRules(), AREAS)
    events = [
        event
        for look in range(30)
        for n in range(4)
        for event in watch.add(
            TrackState(f"{look}-{n}", Kind.PERSON, 10.0 * look, 5.0 * n, 3.0 * look, 0.4, 0.8, again_s=10.0)
        )
    ]
    assert told(events) == {}
