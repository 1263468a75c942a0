# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fire is told from the sun in a mirror by its directions, growth and flicker, and by a network's word."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.geo import GeoPoint
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain
from vision.confirm import judge
from vision.daylight import sun_up
from vision.detector import Detection
from vision.examine_lines import kind_of, why
from vision.eye import CameraEye
from vision.frame import CameraPose, Frame, PixelKind
from vision.geolocate import Locator
from vision.sighting import Kind, Sighting
from vision.thermal import HotSpotDetector
from vision.unite import Observation, unite


def hot(view_deg: float | None, area_px: int = 30, celsius: float = 300.0) -> Observation:
    a = math.radians(view_deg or 0.0)
    view = None if view_deg is None else (math.sin(a), 0.0, math.cos(a))
    return Observation(0, 0, 8, 8, fire=True, area_px=area_px, temperature_max_c=celsius, size_m=0.64, view=view)


def test_a_fire_seen_from_two_directions_is_one():
    verdict = judge([hot(0.0), hot(8.0), hot(14.0)], sun_up=True)
    assert verdict.kind is Kind.FIRE
    assert "14 degrees apart" in verdict.rule


def test_a_sheet_of_metal_shows_the_sun_to_directions_some_degrees_apart():
    assert judge([hot(0.0), hot(8.0)], sun_up=True) is None  # a camera that passes has two such looks of one glint


def test_something_steady_that_shines_to_one_direction_may_be_the_sun():
    assert judge([hot(0.0)] * 8, sun_up=True) is None
    assert judge([hot(0.1 * n, 30, 300.0 - n) for n in range(8)], sun_up=True) is None


def test_with_the_sun_down_no_mirror_can_show_it():
    verdict = judge([hot(0.0)] * 2, sun_up=False)
    assert verdict.kind is Kind.FIRE
    assert "the sun is down" in verdict.rule
    assert judge([hot(0.0)], sun_up=False) is None


def test_where_nobody_knows_whether_the_sun_is_down_it_is_told_as_what_it_may_be():
    verdict = judge([hot(0.0)] * 2)
    assert verdict.kind is Kind.HOT_SPOT
    assert "may be a reflection" in verdict.rule
    assert judge([hot(0.0), hot(14.0)]).kind is Kind.FIRE
    warm = replace(hot(0.0, celsius=90.0), fire=False, hot_sigma=30.0)
    assert judge([warm] * 5, sun_up=True) is None
    assert "reflection" in judge([warm] * 5).rule
    assert "reflection" not in judge([warm] * 5, sun_up=False).rule


@pytest.mark.parametrize(
    ("utc", "up"), [("2026-06-21T05:00", True), ("2026-06-21T16:00", False), ("2026-12-21T16:00", False)]
)
def test_the_frame_says_whether_the_sun_is_up(utc, up):
    pose = CameraPose(29.7, 107.3, 300.0, 100.0, 0.0, -90.0, 0.0)
    frame = Frame("c", None, 0, 0.0, np.zeros((4, 4), np.float32), PixelKind.CELSIUS, None, pose)
    utc_s = datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()
    assert sun_up(frame, utc_s) is sun_up(replace(frame, utc_s=utc_s), 0.0) is up
    assert sun_up(frame, None) is None
    assert sun_up(replace(frame, pose=None), utc_s) is None


@pytest.mark.parametrize(
    ("utc", "kind"), [("2026-06-21T05:00", None), ("2026-06-21T16:00", Kind.FIRE), (None, Kind.HOT_SPOT)]
)
def test_a_steady_blaze_below_a_hovering_camera(utc, kind):
    camera = Camera("cam", Modality.THERMAL, 64, 48, 80.0, 80.0, 31.5, 23.5)
    locator = Locator(FlatTerrain(200.0), GeoPoint(29.7, 107.3))
    eye = CameraEye(camera, "v", None, HotSpotDetector(), locator, None, "run")
    pose = CameraPose(29.7, 107.3, 260.0, 60.0, 0.0, -90.0, 0.0)
    utc_s = None if utc is None else datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()
    picture = np.full((48, 64), 15.0, np.float32)
    picture[20:23, 30:33] = 320.0
    told = []
    for n in range(3):
        told += eye.look(Frame("cam", "v", n, float(n), picture, PixelKind.CELSIUS, camera, pose, utc_s)).sightings
    assert {s.kind for s in told} == (set() if kind is None else {kind})


@given(st.lists(st.floats(0.05, 1.0), min_size=5, max_size=8))
def test_a_mirror_that_blinks_blinks_with_all_it_has(shares):
    looks = [hot(0.0, 10 + round(60 * s), 150.0 + 400.0 * (10 + round(60 * s)) / 70) for s in shares]
    growing = sorted(o.area_px for o in looks) == [o.area_px for o in looks]
    verdict = judge(looks, sun_up=True)
    assert verdict is None or growing or "growing" in verdict.rule


def test_a_mirror_that_drifts_into_view_and_out_of_it_neither_flickers_nor_grows():
    """As a hovering camera saw sheet metal: a second facet cools below the bound and no longer counts as area."""
    cooling = [301, 297, 292, 286, 279, 273, 268, 263]
    areas = [34, 32, 26, 26, 25, 23, 23, 24]
    looks = [hot(0.05 * n, a, c) for n, (a, c) in enumerate(zip(areas, cooling, strict=True))]
    assert judge(looks, sun_up=True) is None
    assert judge(looks[::-1], sun_up=True) is None  # and back, when it seems to grow
    assert (
        judge(
            [hot(0.0, a, c) for a, c in zip((24, 25, 26, 24, 34, 36, 36, 35), cooling[::-1], strict=True)], sun_up=True
        )
        is None
    )


def test_looks_that_were_not_hot_are_no_flicker_of_what_was():
    steady = [hot(0.0), None] * 4
    assert judge(steady, sun_up=True) is None
    drifting = [None if n % 2 else hot(0.0, 30, 300.0 - 8.0 * n) for n in range(8)]
    assert judge(drifting, sun_up=True) is None


def test_where_the_camera_measures_no_hotter_the_area_tells():
    areas = (30, 41, 26, 38, 29, 33)
    assert "flickering" in judge([hot(0.0, a, 150.0) for a in areas], sun_up=True).rule
    assert judge([hot(0.0, 30, 150.0)] * 6, sun_up=True) is None


def test_what_was_much_hotter_a_moment_ago_may_be_a_mirror_still():
    faded = [replace(hot(0.0, celsius=c), fire=False, hot_sigma=30.0, contrast_c=c - 25.0) for c in (50.0, 48.0, 46.0)]
    assert judge(faded, sun_up=True).kind is Kind.HOT_SPOT
    assert judge(faded, sun_up=True, hottest_c=140.0) is None
    assert judge(faded, sun_up=True, hottest_c=55.0).kind is Kind.HOT_SPOT
    passing = [replace(o, view=hot(8.0 * n).view) for n, o in enumerate(faded)]
    assert judge(passing, sun_up=True, hottest_c=61.0).kind is Kind.HOT_SPOT


def test_the_area_of_a_spot_is_not_compared_with_that_of_a_fire():
    cooled = [hot(0.0, 3, 172.0), hot(0.0, 3, 180.0), hot(0.0, 3, 166.0), hot(0.0, 3, 158.0)]
    cooled += [
        replace(hot(0.0, 10, c), fire=False, hot_sigma=30.0, contrast_c=c - 25.0) for c in (139.0, 126.0, 120.0, 119.0)
    ]
    assert judge(cooled, sun_up=True) is None


def test_flames_flicker_and_grow():
    flames = [hot(0.0, area, heat) for area, heat in ((30, 420), (41, 380), (26, 430), (38, 300), (29, 460), (33, 350))]
    assert "flickering" in judge(flames).rule
    grown = [hot(0.0, 20 + 6 * n, 300.0) for n in range(8)]
    assert judge(grown).kind is Kind.FIRE
    assert "m2" in judge(grown).rule


def test_where_directions_are_not_known_nothing_is_held_back():
    assert judge([hot(None), hot(None)]).kind is Kind.FIRE


def flames(score: float, celsius: float | None = None) -> Observation:
    return Observation(0, 0, 30, 40, flames=score, temperature_max_c=celsius)


@given(st.lists(st.none() | st.floats(0.05, 0.99), min_size=1, max_size=8))
def test_fire_by_its_look_alone_needs_three_looks_of_five_that_are_sure_enough(scores: list[float | None]):
    told = judge([None if score is None else flames(score) for score in scores])
    newest = [score for score in scores[-5:] if score is not None]
    if len(newest) < 3 or sum(newest) / len(newest) < 0.4:
        assert told is None
    else:
        assert told is not None
        assert told.kind is Kind.FIRE
        assert min(0.85, min(newest) * len(newest) / len(scores[-5:])) <= told.confidence <= 0.85
        assert "by its look alone" in told.rule
        assert "no heat was measured" in told.rule


def test_fire_by_its_look_is_none_where_the_camera_measures_that_it_is_cool():
    assert judge([flames(0.9, 25.0)] * 5) is None
    told = judge([flames(0.9, 25.0), flames(0.9, 90.0), flames(0.9, 95.0), flames(0.9, 92.0)])
    assert told is not None
    assert told.kind is Kind.FIRE
    assert "hottest 95 C" in told.rule


def test_a_network_that_takes_the_sun_in_a_mirror_for_fire_does_not_make_it_one():
    assert judge([replace(hot(0.0), flames=0.9)] * 8, sun_up=True) is None


def test_a_learned_fire_adds_its_word_to_a_hot_one_and_swallows_nobody():
    hot_one = Detection(100.0, 100.0, 120.0, 120.0, Kind.FIRE, 0.9, "fire rule", 300.0, area_px=200)
    learned = Detection(95.0, 90.0, 130.0, 125.0, Kind.FIRE, 0.7, "network fire@1", 300.0, learned=True)
    elsewhere = replace(learned, left_px=300.0, right_px=330.0, confidence=0.5)
    twice = replace(elsewhere, top_px=92.0, confidence=0.4)
    person = Detection(310.0, 95.0, 318.0, 110.0, Kind.PERSON, 0.6, "network person@1")
    spot = Detection(322.0, 100.0, 328.0, 110.0, Kind.HOT_SPOT, 0.3, "spots", 30.0, contrast_sigma=9.0, area_px=40)
    both, alone, somebody, warm = unite([spot, twice, hot_one, person, elsewhere, learned])
    assert (both.fire, both.flames, both.detectors) == (True, 0.7, ("fire rule", "network fire@1"))
    assert (alone.fire, alone.flames, alone.longest_px) == (False, 0.5, 35.0)
    assert (somebody.learned_kind, warm.hot_sigma) == (Kind.PERSON, 9.0)
    assert kind_of(both) == (Kind.FIRE, 0.75)
    assert (kind_of(alone), why(alone)) == ((Kind.FIRE, 0.5), "fire: one look, learned 0.50")


def at_a_fire(box_px: tuple[int, int, int, int]) -> list[Sighting]:
    """What is told of a small blaze with somebody 1.2 m beside it, whom the learned detector boxes as given."""

    class Network:
        name = "network"

        def detect(self, _frame: Frame, _gsd_m: float | None) -> list[Detection]:
            return [Detection(*map(float, box_px), Kind.PERSON, 0.5, self.name)]

    camera = Camera("cam", Modality.THERMAL, 128, 96, 300.0, 300.0, 63.5, 47.5)
    locator = Locator(FlatTerrain(200.0), GeoPoint(29.7, 107.3))
    eye = CameraEye(camera, "v", Network(), HotSpotDetector(), locator, None, "run")
    utc_s = datetime(2026, 6, 21, 16, tzinfo=UTC).timestamp()
    picture = np.full((96, 128), 15.0, np.float32)
    cv2.ellipse(picture, (50, 48), (4, 3), 0.0, 0.0, 360.0, 420.0, -1)
    cv2.ellipse(picture, (61, 48), (3, 8), 0.0, 0.0, 360.0, 24.0, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
    told = []
    for n in range(6):
        pose = CameraPose(29.7, 107.3 + 2e-7 * n, 230.0, 30.0, 0.0, -90.0, 0.0)
        told += eye.look(Frame("cam", "v", n, float(n), picture, PixelKind.CELSIUS, camera, pose, utc_s)).sightings
    return told


@pytest.mark.parametrize("box_px", [(53, 38, 66, 58), (57, 39, 65, 57)], ids=["touches the flames", "stands clear"])
def test_somebody_at_a_fire_is_told_beside_it(box_px):
    assert {s.kind for s in at_a_fire(box_px)} == {Kind.FIRE, Kind.PERSON}


def test_a_box_of_the_flames_alone_is_no_person():
    assert {s.kind for s in at_a_fire((43, 42, 58, 55))} == {Kind.FIRE}


def test_flames_below_a_quick_camera_that_hovers_are_told_within_seconds():
    """At 30 frames a second neighbours hardly differ; looks some tenths of a second apart do."""
    camera = Camera("cam", Modality.THERMAL, 64, 48, 80.0, 80.0, 31.5, 23.5)
    locator = Locator(FlatTerrain(200.0), GeoPoint(29.7, 107.3))
    eye = CameraEye(camera, "v", None, HotSpotDetector(), locator, None, "run")
    pose = CameraPose(29.7, 107.3, 260.0, 60.0, 0.0, -90.0, 0.0)
    noon_s = datetime(2026, 6, 21, 5, tzinfo=UTC).timestamp()
    told = []
    for n in range(150):
        time_s = n / 30.0
        picture = np.full((48, 64), 15.0, np.float32)
        picture[20:23, 30:33] = 320.0 + 90.0 * math.sin(2 * math.pi * 1.5 * time_s)  # puffs of a fire a metre wide
        frame = Frame("cam", "v", n, time_s, picture, PixelKind.CELSIUS, camera, pose, noon_s + time_s)
        told += [(time_s, s.kind) for s in eye.look(frame).sightings]
    assert told[0][1] is Kind.FIRE
    assert told[0][0] < 3.0
