# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.detector import Detection
from vision.frame import Frame, PixelKind
from vision.sighting import Kind
from vision.thermal import HotSpotDetector, parts, robust_sigma, top_hat, warmth_in
from vision.unite import unite

GSD_M = 0.08


def night(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    slow = cv2.resize(rng.normal(0, 1.5, (6, 8)).astype(np.float32), (640, 512), interpolation=cv2.INTER_CUBIC)
    return (12.0 + slow + rng.normal(0, 0.1, (512, 640))).astype(np.float32)


def frame(pixels: np.ndarray, kind: PixelKind = PixelKind.CELSIUS) -> Frame:
    return Frame("t", "d1", 0, 0.0, pixels, kind)


def put(
    pixels: np.ndarray, x: float, y: float, length_m: float, width_m: float, degrees_c: float, angle: float
) -> None:
    axes = (round(length_m / GSD_M * 8), round(width_m / GSD_M * 8))
    cv2.ellipse(pixels, (round(x * 16), round(y * 16)), axes, angle, 0, 360, degrees_c, -1, cv2.LINE_8, 4)


def centres(found: list[Detection], kind: Kind) -> list[tuple[float, float]]:
    return [d.centre_px for d in found if d.kind is kind]


@settings(deadline=None, max_examples=40)
@given(
    st.floats(40, 600), st.floats(40, 470), st.floats(0.5, 1.8), st.floats(0, 180), st.floats(3, 20), st.integers(0, 50)
)
def test_one_warm_person_is_one_spot_in_its_place(
    x: float, y: float, length: float, angle: float, contrast: float, seed: int
) -> None:
    pixels = night(seed)
    put(pixels, x, y, length, 0.45, float(pixels[int(y), int(x)]) + contrast, angle)
    found = HotSpotDetector().detect(frame(pixels), GSD_M)
    spots = centres(found, Kind.HOT_SPOT)
    assert len(spots) == 1
    assert spots[0] == pytest.approx((x, y), abs=2.5)
    assert found[0].contrast_sigma is not None
    assert found[0].contrast_sigma > 7
    assert 0 < found[0].confidence < 0.5
    assert found[0].contrast_c == pytest.approx(contrast, rel=0.5)


def test_nothing_is_found_in_noise_and_slow_clutter() -> None:
    assert HotSpotDetector().detect(frame(night()), GSD_M) == []


def test_what_is_too_large_too_small_or_too_thin_is_no_person() -> None:
    pixels = night()
    put(pixels, 100, 100, 6.0, 4.0, 25.0, 0)  # a shed roof
    pixels[300, 300] = 60.0  # a dead pixel
    pixels[400, 50:600] = 22.0  # a pipe
    assert HotSpotDetector().detect(frame(pixels), GSD_M) == []


@pytest.mark.parametrize("angle", [0.0, 10.0, 25.0, 45.0, 70.0])
def test_the_corners_of_a_hot_roof_are_no_spots_and_an_ember_beside_it_is_one(angle: float) -> None:
    pixels = night()
    corners = cv2.boxPoints(((320.0, 250.0), (200.0, 140.0), angle))
    cv2.fillPoly(pixels, [np.round(corners).astype(np.int32)], 84.0)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 0.8)
    assert HotSpotDetector().detect(frame(pixels), GSD_M) == []
    put(pixels, 520, 420, 0.9, 0.7, 95.0, 20)
    (ember,) = HotSpotDetector().detect(frame(pixels), GSD_M)
    assert ember.kind is Kind.HOT_SPOT
    assert ember.centre_px == pytest.approx((520, 420), abs=2.5)


def test_a_fire_is_one_fire_however_ragged_and_no_spot() -> None:
    pixels = night()
    for dx, dy in ((0, 0), (7, 3), (-5, 6)):
        put(pixels, 300 + dx, 200 + dy, 0.5, 0.4, 450.0, 0)
    found = HotSpotDetector().detect(frame(pixels), GSD_M)
    assert [d.kind for d in found] == [Kind.FIRE]
    assert found[0].temperature_max_c == pytest.approx(450.0)
    assert centres(found, Kind.FIRE)[0] == pytest.approx((301, 203), abs=4)


def test_a_hot_roof_is_no_fire_and_values_that_are_no_temperatures_give_none() -> None:
    pixels = night()
    put(pixels, 300, 200, 1.0, 1.0, 85.0, 0)
    assert not centres(HotSpotDetector().detect(frame(pixels), GSD_M), Kind.FIRE)
    raw = (night() * 40 + 8000).astype(np.uint16)
    put(raw, 300, 200, 1.0, 1.0, 30000, 0)
    found = HotSpotDetector().detect(frame(raw, PixelKind.RAW16), GSD_M)
    assert [d.kind for d in found] == [Kind.HOT_SPOT]
    assert found[0].temperature_max_c is None
    assert found[0].contrast_c is None


def test_without_a_scale_fire_and_few_spots_that_stand_out_are_judged() -> None:
    pixels = night()
    put(pixels, 100, 100, 1.7, 0.5, 30.0, 0)
    put(pixels, 300, 200, 0.5, 0.4, 450.0, 0)
    detector = HotSpotDetector()
    assert [d.kind for d in detector.detect(frame(pixels), None)] == [Kind.FIRE, Kind.HOT_SPOT]
    assert detector.unsized_frames == 1
    for i in range(4):  # a warm scene: which of them is somebody cannot be told
        put(pixels, 150 + 60 * i, 350, 1.7, 0.5, 30.0, 0)
    assert [d.kind for d in detector.detect(frame(pixels), None)] == [Kind.FIRE]


def test_colour_and_too_coarse_pictures_are_counted_not_judged() -> None:
    detector = HotSpotDetector()
    assert detector.detect(Frame("c", None, 0, 0.0, np.zeros((64, 64, 3), np.uint8), PixelKind.BGR8), GSD_M) == []
    assert detector.detect(frame(night()), 1.5) == []
    assert detector.refused_frames == 2


def test_clutter_is_bounded_and_counted() -> None:
    pixels = night()
    for x in range(30, 620, 40):
        for y in range(30, 490, 40):
            put(pixels, x, y, 1.0, 0.5, 30.0, 0)
    detector = HotSpotDetector()
    assert len(detector.detect(frame(pixels), GSD_M)) == 40
    assert detector.spots_left_off > 100


def test_top_hat_keeps_what_is_smaller_than_its_kernel() -> None:
    pixels = np.zeros((80, 80), np.float32)
    pixels[10:15, 10:15] = 3.0
    pixels[40:70, 40:70] = 3.0
    hat = top_hat(pixels, 9)
    assert hat[12, 12] == 3.0
    assert hat[55, 55] == 0.0
    median, sigma = robust_sigma(np.random.default_rng(1).normal(5, 2, (400, 400)).astype(np.float32))
    assert (median, sigma) == pytest.approx((5, 2), rel=0.05)  # five thousand of its pixels


def test_somebody_in_a_yard_with_a_warm_fence_is_found() -> None:
    pixels = night(5)
    cv2.rectangle(pixels, (200, 150), (420, 340), 24.0, 3)  # sheet metal after a day in the sun
    put(pixels, 300, 240, 1.7, 0.5, 24.0, 30)
    found = HotSpotDetector().detect(frame(pixels), GSD_M)
    assert [d.kind for d in found] == [Kind.HOT_SPOT]
    assert np.hypot(found[0].centre_px[0] - 300, found[0].centre_px[1] - 240) < 5


@given(st.integers(0, 10_000))
@settings(max_examples=60)
def test_parts_are_those_that_labelling_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hat = cv2.GaussianBlur(rng.normal(0, 1, (60, 80)).astype(np.float32), (0, 0), 1.5)
    hat += 0.4 * (np.abs(np.hypot(*np.meshgrid(np.arange(80) - 40, np.arange(60) - 30)) - rng.integers(6, 25)) < 2)
    strong, weak, most = 0.45, 0.25, float(rng.integers(6, 60))
    count, labels = cv2.connectedComponents((hat >= weak).view(np.uint8), connectivity=8)
    expected = set()
    for k in range(1, count):
        y, x = np.nonzero(labels == k)
        peak = float(hat[y, x].max())
        if peak >= strong and max(np.ptp(x), np.ptp(y)) + 1 <= most:
            expected.add((peak, (int(x.min()), int(y.min())), len(x)))
    got = {(peak, corner, int((values >= weak).sum())) for peak, corner, values in parts(hat, strong, weak, most)}
    assert got == expected


def box(x: float, y: float, size: float, kind: Kind, confidence: float = 0.5, sigma: float | None = None) -> Detection:
    return Detection(x, y, x + size, y + size, kind, confidence, kind.value, contrast_sigma=sigma)


def test_detectors_words_on_one_thing_become_one_observation() -> None:
    person = box(100, 100, 20, Kind.PERSON, 0.7)
    spot = box(104, 104, 10, Kind.HOT_SPOT, 0.4, 12.0)
    elsewhere = box(300, 300, 10, Kind.HOT_SPOT, 0.4, 9.0)
    doubled = replace(person, left_px=102, confidence=0.4, kind=Kind.VEHICLE)
    united = unite([spot, doubled, person, elsewhere])
    assert len(united) == 2
    assert united[0].learned_kind is Kind.PERSON
    assert united[0].learned_score == 0.7
    assert united[0].hot_sigma == 12.0
    assert united[0].detectors == ("person", "hot_spot")
    assert united[1].learned_kind is None
    assert united[1].score(Kind.PERSON) == 0.0


def test_a_spot_or_a_person_in_a_fire_is_the_fire() -> None:
    fire = box(100, 100, 20, Kind.FIRE, 0.9)
    united = unite([box(105, 105, 10, Kind.HOT_SPOT, 0.4, 50.0), fire, box(98, 98, 25, Kind.PERSON, 0.6)])
    assert len(united) == 1
    assert united[0].fire


@pytest.mark.parametrize(("length", "width", "angle"), [(1.7, 0.5, 30.0), (0.6, 0.5, 0.0), (2.2, 1.8, 70.0)])
def test_warmth_in_a_box_is_measured(length: float, width: float, angle: float) -> None:
    pixels = night(9)
    put(pixels, 200, 150, length, width, float(pixels[150, 200]) + 6.0, angle)
    half = length / GSD_M / 2 + 3
    measured = warmth_in(pixels, (200 - half, 150 - half, 200 + half, 150 + half))
    assert measured is not None
    assert measured.contrast_c == pytest.approx(6.0, abs=1.5)
    assert measured.area_px * GSD_M**2 == pytest.approx(np.pi / 4 * length * width, rel=0.4)
    assert measured.elongation == pytest.approx(length / width, rel=0.25)


def test_nothing_warm_in_a_box_is_said_so() -> None:
    flat = np.full((100, 100), 12.0, np.float32)
    assert warmth_in(flat, (40, 40, 60, 60)) is None
    cold = flat.copy()
    cold[45:55, 45:55] = 5.0
    assert warmth_in(cold, (44, 44, 56, 56)) is None
    assert warmth_in(flat[:5, :5], (0, 0, 3, 3)) is None
