# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bars beside thermal stills, and enlarged ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vision_cold import PLACES, frame, plain, single
from vision.bare import bared
from vision.detector import Detection
from vision.examine_lines import kind_of
from vision.frame import Frame, PixelKind
from vision.sighting import Kind

INPUT = (512, 640)
ENLARGED = [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]


def through_jpeg(grey: np.ndarray, quality: int = 90) -> np.ndarray:
    _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def barred(grey: np.ndarray, beside: int, above: int = 0) -> np.ndarray:
    return np.asarray(cv2.copyMakeBorder(grey, above, above, beside, beside, cv2.BORDER_CONSTANT, value=0))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(4, 150), st.integers(0, 60), st.booleans())
def test_bars_are_cut_off_and_what_is_found_lies_where_it_was(seed: int, beside: int, above: int, jpeg: bool) -> None:
    grey = np.maximum(plain(seed), 12)
    above = above if above >= 4 else 0
    shown = barred(grey, beside, above)
    bare = bared(frame(through_jpeg(shown) if jpeg else shown), INPUT)
    near = 8 if jpeg else 0  # blocks of JPEG reach into the bars
    assert abs(bare.left_px - beside) <= near
    assert abs(bare.top_px - above) <= near
    assert abs(bare.frame.width_px - 640) <= 2 * near
    there = bare.in_file(Detection(10, 20, 30, 50, Kind.HOT_SPOT, 0.5, "t", area_px=7))
    assert (there.left_px, there.top_px, there.right_px, there.bottom_px) == (
        10 + bare.left_px,
        20 + bare.top_px,
        30 + bare.left_px,
        50 + bare.top_px,
    )
    assert there.area_px == 7


@pytest.mark.parametrize("how", ENLARGED)
@pytest.mark.parametrize("quality", [None, 60, 90])
def test_enlarged_pictures_are_known_and_shrunk(how: int, quality: int | None) -> None:
    large = cv2.resize(plain(3), (1280, 1024), interpolation=how)
    bare = bared(frame(large if quality is None else through_jpeg(large, quality)), INPUT)
    assert bare.frame.pixels.shape == (512, 640)
    assert bare.scale == 2.0
    there = bare.in_file(Detection(10, 20, 30, 50, Kind.HOT_SPOT, 0.5, "t", area_px=7))
    assert (there.left_px, there.bottom_px, there.area_px) == (20, 100, 28)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_what_a_large_sensor_sees_is_left_as_it_is(seed: int) -> None:
    grey = plain(seed, (1024, 1280))
    assert bared(frame(grey), INPUT).is_all
    assert bared(frame(through_jpeg(grey)), INPUT).is_all


@pytest.mark.parametrize(
    "made",
    [
        frame(plain(1)),
        frame(np.zeros((512, 640), np.uint8)),
        frame(np.full((1024, 1280), 90, np.uint8)),
        frame(np.zeros((1, 1), np.uint8)),
        frame(barred(plain(1), 3)),
        frame(barred(np.full((20, 30), 200, np.uint8), 300)),
        frame(barred(plain(1), 80).astype(np.uint16) * 30, PixelKind.RAW16),
        frame(cv2.resize(plain(1), (1280, 1024)).astype(np.float32), PixelKind.CELSIUS),
    ],
    ids=["plain", "black", "blank", "a pixel", "a thin rim", "next to nothing", "counts", "degrees"],
)
def test_anything_else_is_itself(made: Frame) -> None:
    assert bared(made, INPUT).frame is made


@pytest.mark.parametrize("seed", [1, 5, 8])
def test_people_in_a_full_hd_recording_are_told_of_where_they_are(seed: int) -> None:
    """In the recordings as they are one of the two is found, or neither."""
    large = cv2.resize(plain(seed), (1350, 1080), interpolation=cv2.INTER_CUBIC)
    look, things = single().look(frame(through_jpeg(barred(large, 285))), None)
    people = [t for t in things if kind_of(t)[0] is Kind.PERSON]
    assert len(people) == len(things) == 2
    for x, y in PLACES:
        at = (285 + x * 1350 / 640, y * 1080 / 512)
        assert any(t.centre_px == pytest.approx(at, abs=18) for t in people)
        assert any(d.centre_px == pytest.approx(at, abs=18) for d in look.found)
