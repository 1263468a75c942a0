# SPDX-License-Identifier: AGPL-3.0-or-later
"""Text, cross-hairs and scale bars that cameras burn into thermal stills."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.vision_cold import PLACES, frame, people, plain, single
from vision.frame import PixelKind
from vision.signs import find_signs, unsigned

WORDS = (("ALT 58.2m  SPD 4.1", (10, 20)), ("2024-11-03 06:41:22", (440, 500)), ("HT:10.5 C", (250, 60)))


def written(
    grey: np.ndarray, level: int = 255, outline: bool = False, opacity: float = 1.0, quality: int | None = 90
) -> tuple[np.ndarray, np.ndarray]:
    """(the picture with words and a cross-hair, where their strokes are)."""
    ink, rim = np.zeros_like(grey), np.zeros_like(grey)
    for canvas, width in ((rim, 3), (ink, 1)):
        for text, place in WORDS:
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, width, cv2.LINE_AA)
        cv2.line(canvas, (300, 256), (340, 256), 255, width)
        cv2.line(canvas, (320, 236), (320, 276), 255, width)
    drawn = grey.astype(np.float32)
    if outline:
        drawn *= 1 - rim / 255.0
    cover = ink / 255.0 * opacity
    shown = np.clip(drawn * (1 - cover) + level * cover + 0.5, 0, 255).astype(np.uint8)
    if quality is not None:
        _, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])
        shown = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    return shown, ink > 128


@pytest.mark.parametrize("quality", [None, 90, 70])
@pytest.mark.parametrize(("level", "outline"), [(255, False), (255, True), (0, False)])
def test_signs_are_found_and_little_else(level: int, outline: bool, quality: int | None) -> None:
    grey = (plain(1) * 0.6 + 60).astype(np.uint8)
    shown, strokes = written(grey, level, outline, quality=quality)
    signs = find_signs(shown)
    assert signs is not None
    assert signs[strokes].mean() > 0.85
    around = cv2.dilate(strokes.astype(np.uint8), np.ones((15, 15), np.uint8))
    assert not (signs.astype(bool) & (around == 0)).any()
    for x, y in PLACES:
        assert not signs[y - 8 : y + 8, x - 12 : x + 12].any()


def test_filled_pictures_are_as_they_were_without_signs() -> None:
    grey = (plain(2) * 0.6 + 60).astype(np.uint8)
    shown, strokes = written(grey, quality=None)
    filled = unsigned(frame(shown)).frame.pixels
    before = np.abs(shown.astype(int) - grey)[strokes].mean()
    after = np.abs(filled.astype(int) - grey)[strokes].mean()
    assert after < 0.25 * before
    same = cv2.dilate(strokes.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert (filled == shown)[same].all()


@pytest.mark.parametrize("rising", [False, True])
@pytest.mark.parametrize("lying", [False, True])
def test_scale_bars_beside_words_are_signs(rising: bool, lying: bool) -> None:
    shown, _ = written((plain(3) * 0.6 + 60).astype(np.uint8), quality=None)
    bar = np.repeat(np.linspace(0 if rising else 255, 255 if rising else 0, 200).astype(np.uint8)[:, None], 9, 1)
    where = np.s_[400:409, 100:300] if lying else np.s_[150:350, 600:609]
    shown[where] = bar.T if lying else bar
    _, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 90])
    signs = find_signs(np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)))
    assert signs is not None
    assert signs[where].mean() > 0.8


@pytest.mark.parametrize("seed", range(12))
def test_people_and_ground_are_no_signs(seed: int) -> None:
    grey = plain(seed)
    for shown in (grey, cv2.equalizeHist(grey), (grey * 0.35).astype(np.uint8), np.repeat(np.repeat(grey, 2, 0), 2, 1)):
        assert find_signs(np.asarray(shown)) is None


@pytest.mark.parametrize("apart", [8, 10, 12])
def test_people_in_a_row_are_no_word(apart: int) -> None:
    grey = np.full((512, 640), 60, np.uint8)
    for k in range(8):
        cv2.ellipse(grey, (200 + k * apart, 200), (2, 5), 0, 0, 360, 255, -1)
        cv2.circle(grey, (200 + k * apart, 194), 1, 255, -1)
    through_lens = cv2.GaussianBlur(grey, (0, 0), 0.9)
    noisy = np.clip(through_lens + np.random.default_rng(apart).normal(0, 3, grey.shape), 0, 255).astype(np.uint8)
    assert find_signs(noisy) is None


def test_only_thermal_stills_of_eight_bits_are_touched() -> None:
    shown, _ = written(plain(1))
    for seen in (
        frame(shown.astype(np.uint16) * 50, PixelKind.RAW16),
        frame(shown.astype(np.float32), PixelKind.CELSIUS),
        frame(np.repeat(shown[..., None], 3, 2), PixelKind.BGR8),
        frame(plain(1)),
    ):
        assert unsigned(seen).frame is seen
        assert unsigned(seen).signs is None


@pytest.mark.parametrize("size", [(1, 1), (5, 640), (640, 3), (47, 47), (64, 64)])
@pytest.mark.parametrize("level", [0, 255])
def test_small_and_empty_pictures_have_none(size: tuple[int, int], level: int) -> None:
    assert find_signs(np.full(size, level, np.uint8)) is None


def test_signs_of_pictures_larger_than_any_recorder_writes_are_not_sought() -> None:
    shown, _ = written(plain(1), quality=None)
    twice, seven = (cv2.resize(shown, None, fx=n, fy=n, interpolation=cv2.INTER_NEAREST) for n in (2.0, 7.1))
    assert find_signs(twice) is not None
    assert find_signs(seven) is None


@pytest.mark.parametrize("outline", [False, True])
def test_people_are_told_of_and_signs_are_not(outline: bool) -> None:
    shown, _ = written(plain(5), outline=outline)
    assert people(shown) == people(plain(5)) == [True, True]
    assert len(single().look(frame(shown), None)[1]) == len(single().look(frame(plain(5)), None)[1])
