# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.examine_lines import kind_of
from vision.frame import Frame, PixelKind
from vision.lookers import Lookers
from vision.model_card import DEFAULT_MODEL
from vision.sighting import Kind
from vision.single import SingleLook
from vision.tone import is_equalised, two_tones
from vision.yolo import load_yolo

PLACES = ((200, 150), (450, 330))
SIZES = st.sampled_from([(512, 640), (256, 320), (480, 640), (1024, 1280)])


@cache
def single() -> SingleLook:
    return SingleLook(Lookers(load_yolo(DEFAULT_MODEL)))


def plain(seed: int, size: tuple[int, int] = (512, 640), places: tuple[tuple[int, int], ...] = PLACES) -> np.ndarray:
    """Cold ground with texture of every scale and bodies of 20 pixels on it, through a lens, in 8 bits."""
    rng = np.random.default_rng(seed)
    warmth = rng.normal(0, 0.3, size).astype(np.float32)
    for cell in (160, 60, 24, 9, 4):
        grid = rng.normal(0, 0.5, (size[0] // cell + 3, size[1] // cell + 3)).astype(np.float32)
        warmth += cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
    bodies = np.zeros(size, np.float32)
    for x, y in places:
        cv2.ellipse(bodies, (x, y), (5, 3), 0, 0, 360, 1.0, -1)
        cv2.circle(bodies, (x + 6, y), 2, 1.2, -1)
        cv2.line(bodies, (x, y), (x - 10, y + 2), 0.8, 2)
    warmth += cv2.GaussianBlur(bodies, (0, 0), 0.8) * 7.0
    low, high = np.percentile(warmth, (0.5, 99.97))
    return np.clip((warmth - low) * (255 / (high - low)), 0, 255).astype(np.uint8)


def in_parts(grey: np.ndarray, limit: float = 4.0) -> np.ndarray:
    return np.asarray(cv2.createCLAHE(limit, (8, 8)).apply(grey))


def frame(pixels: np.ndarray, kind: PixelKind = PixelKind.GREY8) -> Frame:
    return Frame("t", None, 0, 0.0, pixels, kind)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), SIZES)
def test_equalised_pictures_are_known_from_plain_ones(seed: int, size: tuple[int, int]) -> None:
    grey = plain(seed, size)
    assert not is_equalised(grey)
    assert is_equalised(cv2.equalizeHist(grey))
    assert is_equalised(in_parts(grey))
    _, data = cv2.imencode(".jpg", in_parts(grey), [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert is_equalised(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize(
    "grey",
    [
        np.full((512, 640), 90, np.uint8),
        np.tile(np.array([[0, 255]], np.uint8), (256, 320)),
        np.kron(np.random.default_rng(1).integers(0, 256, (5, 6)), np.ones((100, 100))).astype(np.uint8),
        np.zeros((1, 1), np.uint8),
        np.zeros((3, 2), np.uint8),
    ],
    ids=["blank", "two levels", "roofs", "a pixel", "six pixels"],
)
def test_what_has_few_levels_or_is_tiny_is_not_equalised(grey: np.ndarray) -> None:
    assert not is_equalised(grey)
    assert two_tones(frame(grey))[1].pixels is grey


def test_only_equalised_pictures_of_eight_bits_get_other_tones() -> None:
    grey = plain(1)
    even = in_parts(grey)
    for made in (
        frame(grey),
        frame(even.astype(np.uint16) * 20, PixelKind.RAW16),
        frame(even.astype(np.float32), PixelKind.CELSIUS),
    ):
        assert all(tone is made for tone in two_tones(made))
    assert not any(tone.pixels is even for tone in two_tones(frame(even)))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_tones_keep_the_order_and_are_what_they_are_called(seed: int) -> None:
    even = cv2.equalizeHist(plain(seed))
    for tone in two_tones(frame(even)):
        shown = np.array([tone.pixels[even == v][0] if (even == v).any() else 0 for v in range(256)], int)
        used = shown[np.unique(even)]
        assert (np.diff(used) >= 0).all()
        assert used[-1] == 255
    tail, normal = (tone.pixels for tone in two_tones(frame(even)))
    assert np.mean(tail >= 128) == pytest.approx(1 / 16, abs=0.015)
    assert np.mean(tail >= 64) == pytest.approx(1 / 4, abs=0.015)
    assert np.percentile(normal, (15.87, 50, 84.13)) == pytest.approx((85, 127.5, 170), abs=4)


def people(grey: np.ndarray) -> list[bool]:
    """Who of PLACES is told of."""
    things = [t for t in single().look(frame(grey), None)[1] if kind_of(t)[0] is Kind.PERSON]
    return [any(t.centre_px == pytest.approx(place, abs=9) for t in things) for place in PLACES]


@pytest.mark.parametrize(("seed", "equalised"), [(2, in_parts), (8, in_parts), (6, cv2.equalizeHist)])
def test_people_whom_equalising_hid_are_told_of(seed: int, equalised: Callable[[np.ndarray], np.ndarray]) -> None:
    """In these pictures as they are nobody is found."""
    assert people(equalised(plain(seed))) == [True, True]
