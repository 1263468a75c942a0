# SPDX-License-Identifier: AGPL-3.0-or-later
"""Smoke is told from shadows, trees and cars by what it does."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vision.confirm import judge
from vision.detector import Detection
from vision.examine import Examiner
from vision.examine_lines import kind_of, why
from vision.frame import Frame, PixelKind
from vision.lookers import Lookers
from vision.model_card import COLOUR_MODEL
from vision.sighting import Kind
from vision.smoke import SmokeDetector
from vision.thermal import HotSpotDetector
from vision.unite import unite
from vision.yolo import load_yolo


def ground(rng: np.random.Generator, rows: int = 240) -> np.ndarray:
    """Green, with grain and paths to hold on to."""
    grain = cv2.GaussianBlur(rng.standard_normal((rows, 320)), (0, 0), 1.5)
    picture = np.array([60.0, 105.0, 80.0]) * (1.0 + 0.6 * grain[..., None] / grain.std() * 0.25)
    for _ in range(6):
        a, b = rng.integers(0, 320, 2), rng.integers(0, rows, 2)
        cv2.line(picture, (int(a[0]), int(b[0])), (int(a[1]), int(b[1])), (120.0, 122.0, 124.0), 3)
    return picture


def run(change, looks: int = 14, pace_px: int = 0) -> list[int]:
    """Apply change(picture, look) to each look over one ground; returns how many detections each look gave.

    With a pace the camera flies towards the top of the picture, so that the ground comes down through it.
    """
    rng = np.random.default_rng(4)
    base, detector = ground(rng, 240 + pace_px * (looks - 1)), SmokeDetector()
    found = []
    for look in range(looks):
        picture = base.copy()
        change(picture, look, np.random.default_rng([9, look]))
        picture = picture[(top := pace_px * (looks - 1 - look)) : top + 240]
        picture += rng.normal(0, 2.0, picture.shape)
        frame = Frame("c", None, look, float(look), picture.clip(0, 255).astype(np.uint8), PixelKind.BGR8)
        found.append(len(detector.detect(frame, 0.2)))
    return found


def plume(picture: np.ndarray, look: int, _rng: np.random.Generator, drift_px: float = 11.0) -> None:
    y, x = (np.arange(side, dtype=np.float64) for side in picture.shape[:2])
    for puff in range(look * 2, look * 2 + 14):
        age = look * 2 + 14 - puff
        draws = np.random.default_rng([3, puff])
        cx, cy, r = 90 + drift_px * age, 120 + draws.normal(0, 2.0 + age), 7 + 2.2 * age
        mask = draws.uniform(0.4, 0.8) * np.outer(np.exp(-(((y - cy) / r) ** 2)), np.exp(-(((x - cx) / r) ** 2)))
        picture += mask[..., None] * (190.0 - picture)


def shadow(picture: np.ndarray, look: int, _rng: np.random.Generator) -> None:
    y, x = np.mgrid[0:240, 0:320].astype(np.float64)
    away = np.hypot(x - 20 * look, y - 120) / 70.0
    picture *= (1.0 - 0.45 / (1.0 + np.exp(np.minimum(10.0 * (away - 1.0), 50.0))))[..., None]


def over_roof(change):
    """The same over a large roof that has no colour."""

    def changed(picture: np.ndarray, look: int, rng: np.random.Generator) -> None:
        cv2.rectangle(picture, (110, 70), (230, 170), (186.0, 190.0, 188.0), -1)
        change(picture, look, rng)

    return changed


def slow_shadow(picture: np.ndarray, look: int, _rng: np.random.Generator) -> None:
    """A cloud's, with a wide soft edge, which takes as long over a roof as a fire smokes."""
    x = np.arange(320, dtype=np.float64)[None, :]
    picture *= (1.0 - 0.5 / (1.0 + np.exp((x - 60.0 - 8.0 * look) / 16.0)))[..., None]


def crowns(seed: int):
    """Clumps of trees 4 to 9 m high, as from 60 m: they come down through the picture faster than the ground does."""
    rng, trees = np.random.default_rng(seed), []
    for _ in range(5):
        east, south = rng.uniform(30, 290), rng.uniform(60, 420)
        for _ in range(5):
            tall_m, tone = rng.uniform(4, 9), rng.uniform(0.7, 1.3)
            at = (east + rng.normal(0, 10), south + rng.normal(0, 10))
            trees.append((*at, rng.uniform(9, 18), tall_m / (60 - tall_m), (38 * tone, 80 * tone, 48 * tone)))

    def change(picture: np.ndarray, look: int, _rng: np.random.Generator) -> None:
        for x, y, radius, farther, colour in trees:
            at = (round(x * 8), round(8 * (y + 11 * farther * (look - 11))))
            cv2.circle(picture, at, round(radius * 8), colour, -1, cv2.LINE_AA, 3)

    return change


def car(picture: np.ndarray, look: int, _rng: np.random.Generator) -> None:
    cv2.rectangle(picture, (20 * look, 100), (20 * look + 22, 110), (190.0, 190.0, 195.0), -1)


def glitter(picture: np.ndarray, _look: int, rng: np.random.Generator) -> None:
    cv2.circle(picture, (160, 120), 60, (84.0, 70.0, 50.0), -1)
    for _ in range(30):
        angle, away = rng.uniform(0, 2 * math.pi), 55 * math.sqrt(rng.uniform())
        cv2.circle(
            picture, (round(160 + away * math.cos(angle)), round(120 + away * math.sin(angle))), 1, (255.0,) * 3, -1
        )


@pytest.mark.parametrize("smoke", [plume, over_roof(plume)])
def test_smoke_is_found_within_some_looks(smoke):
    found = run(smoke, looks=20)
    assert sum(found[12:]) >= 5, found


@pytest.mark.parametrize("drift_px", [2.0, 11.0])
def test_smoke_is_found_by_a_camera_that_passes_although_it_drifts_as_what_is_tall_seems_to(drift_px):
    """Slow smoke that comes towards the camera goes half as far again as the ground, as a tower of 20 m would."""

    def along(picture: np.ndarray, look: int, rng: np.random.Generator) -> None:
        plume(picture.transpose(1, 0, 2), look, rng, drift_px)

    found = run(along, looks=20, pace_px=11)
    assert sum(found[12:]) >= 5, found


@pytest.mark.parametrize("seed", [0, 5, 10])
def test_crowns_of_trees_that_shift_as_the_camera_passes_are_no_smoke(seed):
    assert sum(run(crowns(seed), looks=22, pace_px=11)) == 0


@pytest.mark.parametrize("decoy", [shadow, car, glitter, slow_shadow, over_roof(slow_shadow), lambda *_: None])
def test_what_is_no_smoke_is_none(decoy):
    assert sum(run(decoy, looks=22)) == 0


def test_detect_tells_of_smoke_in_a_colour_video():
    rng = np.random.default_rng(3)
    base, frames = ground(rng), []
    for look in range(18):
        picture = base + rng.normal(0, 1.0, base.shape)
        plume(picture, look, rng)
        frames.append(Frame("v", None, look, float(look), picture.clip(0, 255).astype(np.uint8), PixelKind.BGR8))
    lines = list(Examiner(Lookers(load_yolo(COLOUR_MODEL)), HotSpotDetector()).stream("v", frames))
    assert any(line["kind"] == "smoke" for line in lines if line["type"] == "track")
    seen = [found for line in lines if line["type"] == "frame" for found in line["detections"]]
    assert any(found["kind"] == "smoke" and found["confidence"] > 0.3 for found in seen)
    assert not any(found["kind"] == "hot_spot" for found in seen)  # in a colour picture nothing is known of heat


def test_smoke_by_a_users_own_model_is_smoke_once_and_says_who_saw_it():
    learned = Detection(10.0, 10.0, 60.0, 50.0, Kind.SMOKE, 0.62, "network smoke@1")
    cues = Detection(20.0, 15.0, 70.0, 60.0, Kind.SMOKE, 0.5, SmokeDetector().name)
    elsewhere = replace(learned, left_px=200.0, right_px=240.0)
    (alone,) = unite([learned])
    assert (kind_of(alone), why(alone)) == ((Kind.SMOKE, 0.62), "smoke: one look, learned 0.62")
    told = judge([alone] * 3)
    assert (told.kind, told.rule) == (Kind.SMOKE, "smoke: 3 of 3 looks, learned 0.62")
    both, other = unite([cues, learned, elsewhere])
    assert both.detectors == (learned.detector, cues.detector)
    assert other.detectors == (learned.detector,)
    assert len(unite([cues, replace(cues, left_px=40.0, right_px=90.0)])) == 2
    assert "moving, without colour" in judge([both] * 3).rule


def test_what_cannot_be_judged_is_counted():
    detector = SmokeDetector()
    dark = np.full((240, 320, 3), 8, np.uint8)
    assert detector.detect(Frame("c", None, 0, 0.0, dark, PixelKind.BGR8), 0.2) == []
    assert detector.detect(Frame("c", None, 1, 1.0, np.full((240, 320), 8, np.uint8), PixelKind.GREY8), 0.2) == []
    light = ground(np.random.default_rng(1)).clip(0, 255).astype(np.uint8)
    for n, at in ((2, 2.0), (3, 60.0)):
        assert detector.detect(Frame("c", None, n, at, light, PixelKind.BGR8), 0.2) == []
    assert dict(detector.refused) == {
        "too dark": 1, "not a colour picture": 1, "too long after the frame before": 1, "does not fit the frame before": 1
    }  # fmt: skip
