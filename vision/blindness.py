# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures in which nobody could be seen, whoever stood there: of a covered lens, of a dead or of a frozen camera.

They are no looks. A live sensor has noise: no two of its pictures are the same in every pixel, and a level scene seen by a
thermal camera is not the same in every pixel of one. Colour pictures are judged after averaging, as a covered lens has noise
of its own, and in what is black or white all over nothing is seen, whatever it is of.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.frame import Frame, PixelKind

UNIFORM: Final = "the picture shows nothing: the same all over, as of a covered lens or a dead camera"
FROZEN: Final = "the camera repeats one picture: it is frozen"
BLIND: Final = frozenset({UNIFORM, FROZEN})
_FROZEN_S: Final = 5.0  # a decoder or a slow link repeats a picture for less
_FROZEN_FRAMES: Final = 3
_WIDTH_PX: Final = 160
_LEAST_AVERAGED: Final = 1 / 8  # of the width
_SPREAD: Final = 6.0  # of 255: what noise leaves after averaging
_BLACK: Final = 8.0


def is_uniform(frame: Frame) -> bool:
    """Whether nothing in the picture differs from the rest of it."""
    pixels = frame.pixels
    if frame.kind is not PixelKind.BGR8:
        first = pixels[0, 0]
        # a row lies together in memory and mostly decides; pixels spread over the picture have to be fetched one by one
        return bool((pixels[len(pixels) // 2] == first).all() and (pixels == first).all())
    factor = min(_LEAST_AVERAGED, _WIDTH_PX / frame.width_px)
    size = (max(1, round(frame.width_px * factor)), max(1, round(frame.height_px * factor)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    low, high = small.min(axis=(0, 1)), small.max(axis=(0, 1))
    return float(high.max()) <= _BLACK or float((high - low).max()) <= _SPREAD


class Blindness:
    """One camera's. May be asked by several threads, and hears frames in about their order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: NDArray[Any] | None = None
        self._since_s = 0.0
        self._repeats = 0

    def why(self, frame: Frame) -> str | None:
        """Why nothing can be seen in the next frame; None: it can."""
        if is_uniform(frame):
            return UNIFORM
        with self._lock:
            if self._last is None or not _same(self._last, frame.pixels):
                self._last, self._since_s, self._repeats = frame.pixels, frame.exposure_s, 0
                return None
            self._repeats += 1
            long = frame.exposure_s - self._since_s >= _FROZEN_S
            return FROZEN if long and self._repeats + 1 >= _FROZEN_FRAMES else None


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    row = len(a) // 2  # as above
    return a is b or bool(np.array_equal(a[row], b[row]) and np.array_equal(a, b))
