# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vision_cold import frame, people, plain
from vision.frame import Frame, PixelKind
from vision.tone import is_equalised, two_tones

SIZES = st.sampled_from([(512, 640), (256, 320), (480, 640), (1024, 1280)])


def in_parts(grey: np.ndarray, limit: float = 4.0) -> np.ndarray:
    return np.asarray(cv2.createCLAHE(limit, (8, 8)).apply(grey))


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
    first, second = two_tones(frame(grey))
    assert first is second


def test_only_equalised_pictures_of_eight_bits_get_two_tones() -> None:
    even = in_parts(plain(1))
    for made in (
        frame(plain(1)),
        frame(even.astype(np.uint16) * 20, PixelKind.RAW16),
        frame(even.astype(np.float32), PixelKind.CELSIUS),
    ):
        first, second = two_tones(made)
        assert first is second
        assert first.kind is PixelKind.GREY8
    first, second = two_tones(frame(even))
    assert (first.pixels != second.pixels).any()


def stepped(hottest_c: float, kind: PixelKind) -> Frame:
    """Ground from 0 to 3 degrees, a body of 8 and something small that is hotter, in any unit."""
    warmth = np.tile(np.linspace(0.0, 3.0, 640, dtype=np.float32), (512, 1))
    warmth[200:206, 100:120] = 8.0
    warmth[300:303, 300:303] = hottest_c
    warmth[400, 400] = 60.0  # stuck
    if kind is PixelKind.CELSIUS:
        return frame(warmth - 20.0, kind)
    if kind is PixelKind.RAW16:
        return frame((warmth * 40 + 7000).astype(np.uint16), kind)
    return frame(np.clip(warmth * 4 + 60, 0, 255).astype(np.uint8), kind)


@pytest.mark.parametrize("kind", [PixelKind.CELSIUS, PixelKind.RAW16, PixelKind.GREY8])
def test_the_warmest_is_white_and_bodies_are_seen_below_it(kind: PixelKind) -> None:
    seen = two_tones(stepped(8.5, kind))[0].pixels
    assert seen[301, 301] == 255
    assert 235 <= seen[203, 110] < 250
    assert seen[203, 5] < 5


@pytest.mark.parametrize("hottest_c", [14.0, 40.0])
def test_an_engine_does_not_darken_everybody_else(hottest_c: float) -> None:
    seen = two_tones(stepped(hottest_c, PixelKind.CELSIUS))[0].pixels
    assert seen[301, 301] == 255
    assert 215 < seen[203, 110] < 250
    assert 50 < seen[203, 630] < 90


@pytest.mark.parametrize("kind", [PixelKind.CELSIUS, PixelKind.RAW16])
def test_noise_alone_is_not_stretched_to_all_of_the_scale(kind: PixelKind) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, (512, 640)).astype(np.float32)
    made = frame(noise, kind) if kind is PixelKind.CELSIUS else frame((noise * 40 + 7000.5).astype(np.uint16), kind)
    assert two_tones(made)[0].pixels.max() < 60


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


@pytest.mark.parametrize(("seed", "equalised"), [(2, in_parts), (8, in_parts), (6, cv2.equalizeHist)])
def test_people_whom_equalising_hid_are_told_of(seed: int, equalised: Callable[[np.ndarray], np.ndarray]) -> None:
    """In these pictures as they are nobody is found."""
    assert people(equalised(plain(seed))) == [True, True]


@pytest.mark.parametrize("seed", [1, 2, 5, 8])
def test_people_in_pictures_of_few_grey_levels_are_told_of(seed: int) -> None:
    """Unstretched, nobody is found in them."""
    assert people(np.round(plain(seed) * 0.1 + 4).astype(np.uint8)) == [True, True]
