# SPDX-License-Identifier: AGPL-3.0-or-later
"""Thermal stills of 8 bits as the sensor saw them: without black bars beside them, and no larger than what it resolved. Pure.

Recorders put a picture between bars to fill a screen, and enlarge it. Bars take the dark end of the scale, and in an
enlarged picture everybody has a size, and the ground a smoothness, that no sensor gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.detector import Detection
from vision.frame import Frame, PixelKind
from vision.prepare import BytePicture, fit_into
from vision.unite import Observation

_LARGE: Final = 1.25  # pixels of the picture to one of the input: smaller ones lose nothing by what they were enlarged
_EMPTY: Final = 0.6  # of the finest octave against the next: enlarged ones .2 to .6, through JPEG too; others .8 to 2
_BAR: Final = 3  # grey levels: black, and black through JPEG
_LEAST_BAR_PX: Final = 4
_MOST_BARS: Final = 0.7  # of a side, both together: a picture that is all but black is no picture between bars
_LEAST_SIDE_PX: Final = 32  # narrower strips show no octaves
_MAD_TO_SIGMA: Final = 1.4826

T = TypeVar("T", Detection, Observation)


@dataclass(frozen=True, slots=True)
class Bare:
    """A frame cut out of a file's picture and shrunk: where it lies, and pixels of the file to one of its own."""

    frame: Frame
    left_px: int
    top_px: int
    scale: float

    @property
    def is_all(self) -> bool:
        """Whether it is the file's picture itself."""
        return self.scale == 1.0 and not self.left_px and not self.top_px

    def in_file(self, thing: T) -> T:
        """What was found in the frame, in pixels of the file."""
        if self.is_all:
            return thing
        return replace(
            thing,
            left_px=thing.left_px * self.scale + self.left_px,
            right_px=thing.right_px * self.scale + self.left_px,
            top_px=thing.top_px * self.scale + self.top_px,
            bottom_px=thing.bottom_px * self.scale + self.top_px,
            area_px=None if thing.area_px is None else round(thing.area_px * self.scale**2),
        )


def bared(frame: Frame, input_size: tuple[int, int]) -> Bare:
    """The frame without bars and enlargement; itself unless it is a thermal one of 8 bits.

    input_size: (height, width) of the network's input; pictures not much larger are not shrunk.
    """
    if frame.kind is not PixelKind.GREY8:
        return Bare(frame, 0, 0, 1.0)
    rows, columns = between_bars(frame.pixels)
    grey, scale = frame.pixels[rows, columns], 1.0
    across = grey.shape[1]
    while (larger := 1.0 / fit_into((grey.shape[0], grey.shape[1]), input_size).scale) > _LARGE and _enlarged(grey):
        factor = min(2.0, larger)
        size = (round(grey.shape[1] / factor), round(grey.shape[0] / factor))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        scale = across / size[0]
    if grey.shape == frame.pixels.shape:
        return Bare(frame, 0, 0, 1.0)
    return Bare(replace(frame, pixels=np.ascontiguousarray(grey)), columns.start, rows.start, scale)


def between_bars(grey: BytePicture) -> tuple[slice, slice]:
    """Rows and columns of a picture (h, w) that lie between black bars."""
    rows = slice(*_lit(grey))
    return rows, slice(*_lit(grey[rows].T))


def _lit(grey: BytePicture) -> tuple[int, int]:
    """First row of the picture (h, w), and the one behind its last."""
    lit = np.flatnonzero(grey.max(axis=1, initial=0) > _BAR)
    if not len(lit):
        return 0, len(grey)
    first, last = int(lit[0]), int(lit[-1]) + 1
    if len(grey) - (last - first) > _MOST_BARS * len(grey):
        return 0, len(grey)
    return (first if first >= _LEAST_BAR_PX else 0), (last if len(grey) - last >= _LEAST_BAR_PX else len(grey))


def _enlarged(grey: BytePicture) -> bool:
    """Whether shrinking a picture to half would lose next to nothing: its finest octave (Burt and Adelson, 1983) is empty."""
    if min(grey.shape) < _LEAST_SIDE_PX:
        return False
    height, width = (side // 4 * 4 for side in grey.shape)
    whole = grey[:height, :width].astype(np.float32)
    half, finest = _octave(whole)
    _, next_one = _octave(half)
    return _sigma(finest) < _EMPTY * _sigma(next_one)


def _octave(picture: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A picture at half its size, and what that has lost of it."""
    height, width = picture.shape
    half = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return half, picture - cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC)


def _sigma(lost: NDArray[Any]) -> float:
    return _MAD_TO_SIGMA * float(np.median(np.abs(lost)))
