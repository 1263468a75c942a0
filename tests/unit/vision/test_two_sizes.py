# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.detector import Detection
from vision.engines import load_engine
from vision.frame import Frame, PixelKind
from vision.model_card import DEFAULT_MODEL, read_card
from vision.sighting import Kind
from vision.two_sizes import people_at_both_sizes, together
from vision.yolo import YoloDetector, load_yolo

PLACES = ((40, 30), (600, 480), (320, 256), (214, 172), (426, 340), (60, 260))  # corners, what parts share, their edges
LONG_PX = 26


@cache
def yolo() -> YoloDetector:
    return load_yolo(DEFAULT_MODEL)


def warm(size: tuple[int, int], places: tuple[tuple[int, int], ...], long: int = LONG_PX) -> np.ndarray:
    """Cold ground with bodies on it, through a lens, in degrees."""
    rng = np.random.default_rng(3)
    out = cv2.GaussianBlur(rng.normal(-6, 1.0, size).astype(np.float32), (0, 0), 2.0)
    bodies = np.zeros(size, np.float32)
    for x, y in places:
        cv2.ellipse(bodies, (x, y), (long // 4, max(2, long // 8)), 0, 0, 360, 1.0, -1)
        cv2.circle(bodies, (x + long // 3, y), max(1, long // 9), 1.2, -1)
        cv2.line(bodies, (x, y), (x - long // 2, y + 2), 0.8, max(1, long // 10))
    return np.asarray(out + cv2.GaussianBlur(bodies, (0, 0), 0.8) * 9.0, np.float32)


def frame(pixels: np.ndarray) -> Frame:
    return Frame("t", None, 0, 0.0, pixels, PixelKind.CELSIUS)


def found(x: float, y: float, score: float, long: float = 20.0) -> Detection:
    return Detection(x - long / 2, y - 5, x + long / 2, y + 5, Kind.PERSON, score, "learned", learned=True)


def people(pixels: np.ndarray, gsd_m: float | None = None, least: float = 0.2) -> list[Detection]:
    seen = frame(pixels)
    plain = yolo().detect(seen, gsd_m, 0.03)
    return [d for d in people_at_both_sizes(yolo(), (seen, seen), gsd_m, plain, 0.03) if d.confidence >= least]


@pytest.mark.parametrize(
    ("size", "scale", "long"),
    [
        ((512, 640), 1, LONG_PX),
        ((480, 640), 1, LONG_PX),
        ((512, 512), 1, LONG_PX),
        ((576, 768), 1, LONG_PX),
        ((1024, 1280), 2, 20),
        ((256, 320), 1, 14),
    ],
)
def test_people_are_where_they_are_and_once_each(size: tuple[int, int], scale: int, long: int) -> None:
    places = tuple((x * scale, y * scale) for x, y in PLACES if x * scale < size[1] - 15 and y * scale < size[0] - 15)
    found = people(warm(size, places, long))
    assert len(found) == len(places)
    for x, y in places:
        here = [d for d in found if abs(d.centre_px[0] - x) < 6 and abs(d.centre_px[1] - y) < 6]
        assert len(here) == 1
        assert here[0].width_px == pytest.approx(1.05 * long, rel=0.35)


def test_small_people_in_a_large_picture_are_not_lost_by_shrinking_it() -> None:
    places = tuple((2 * x, 2 * y) for x, y in PLACES)
    pixels = warm((1024, 1280), places, 14)
    assert len(yolo().detect(frame(pixels), None, 0.42)) < len(PLACES)
    assert len(people(pixels, least=0.42)) == len(PLACES)


def test_a_picture_that_the_input_enlarges_is_looked_at_once() -> None:
    pixels = warm((256, 320), ((40, 30), (160, 128), (60, 220)), 14)
    plain = [d for d in yolo().detect(frame(pixels), None, 0.03) if d.kind is Kind.PERSON]
    assert sorted(d.confidence for d in people(pixels, least=0.03)) == pytest.approx(
        sorted(d.confidence for d in plain)
    )


def test_nobody_is_found_of_a_size_that_nobody_has() -> None:
    pixels = warm((512, 640), PLACES)
    assert len(people(pixels, 0.07)) == len(PLACES)
    seen = frame(pixels)
    assert people_at_both_sizes(yolo(), (seen, seen), 0.2, [], 0.2) == []  # 5 m long
    assert people_at_both_sizes(yolo(), (seen, seen), 0.005, [], 0.2) == []  # 13 cm


scores = st.floats(0.03, 0.97)


@given(scores, scores)
def test_both_looks_count_alike(a: float, b: float) -> None:
    one = together([found(100, 100, a)], [found(101, 100, b)])
    other = together([found(101, 100, b)], [found(100, 100, a)])
    assert len(one) == len(other) == 1
    assert one[0].confidence == pytest.approx(other[0].confidence)
    assert min(a, b) - 1e-9 <= one[0].confidence <= max(a, b) + 1e-9
    odds = one[0].confidence / (1 - one[0].confidence)
    assert odds**2 == pytest.approx(a * b / ((1 - a) * (1 - b)), rel=1e-6)
    assert one[0].left_px == (90 if a >= b else 91)  # the surer look's box


@given(scores)
def test_whom_one_look_does_not_find_is_told_less_surely(score: float) -> None:
    (alone,) = together([found(100, 100, score)], [])
    (agreed,) = together([found(100, 100, score)], [found(100, 100, score)])
    assert agreed.confidence == pytest.approx(score)
    assert alone.confidence < score
    assert alone == together([], [found(100, 100, score)])[0]


def test_neighbours_stay_two_and_small_boxes_that_hardly_overlap_are_one() -> None:
    assert (
        len(together([found(100, 100, 0.8), found(125, 100, 0.7)], [found(100, 100, 0.6), found(125, 100, 0.5)])) == 2
    )
    small = [Detection(x, 100, x + 5, 105, Kind.PERSON, 0.5, "learned", learned=True) for x in (100, 102)]
    assert len(together([small[0]], [small[1]])) == 1
    assert len(together([found(100, 100, 0.5, 60.0)], [found(100, 100, 0.5, 12.0)])) == 2  # a hut, somebody before it


class Counting(YoloDetector):
    """The detector, and how many pictures it had computed."""

    pictures = 0

    def computed(self, picture: np.ndarray) -> np.ndarray:
        self.pictures += 1
        return super().computed(picture)


@pytest.mark.parametrize("size", [(17, 1300), (1300, 17), (1, 2000)])
def test_a_strip_too_narrow_to_be_cut_is_not_looked_at_again_and_again(size: tuple[int, int]) -> None:
    counting = Counting(load_engine(DEFAULT_MODEL), read_card(DEFAULT_MODEL))
    seen = frame(np.full(size, -6.0, np.float32))
    assert people_at_both_sizes(counting, (seen, seen), None, [], 0.03) == []
    assert counting.pictures == 2
