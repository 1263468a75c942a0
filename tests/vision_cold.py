# SPDX-License-Identifier: AGPL-3.0-or-later
"""Stills of cold ground with two people on it, and whom a single look tells of."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from vision.examine_lines import kind_of
from vision.frame import Frame, PixelKind
from vision.lookers import Lookers
from vision.model_card import DEFAULT_MODEL
from vision.sighting import Kind
from vision.single import SingleLook
from vision.yolo import load_yolo

PLACES = ((200, 150), (450, 330))


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


def frame(pixels: np.ndarray, kind: PixelKind = PixelKind.GREY8) -> Frame:
    return Frame("t", None, 0, 0.0, pixels, kind)


def people(grey: np.ndarray) -> list[bool]:
    """Who of PLACES is told of."""
    things = [t for t in single().look(frame(grey), None)[1] if kind_of(t)[0] is Kind.PERSON]
    return [any(t.centre_px == pytest.approx(place, abs=9) for t in things) for place in PLACES]
