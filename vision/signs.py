# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signs that a camera or recorder has burned into thermal stills of 8 bits: found, and filled from their surroundings. Pure.

Text, cross-hairs and scale bars are brighter than people or darker than ground, and stretch a picture's levels until
nobody stands out. No lens makes such strokes: a letter's edge is one pixel wide, a body's two or more, and bodies do
not stand in rows of equal height with gaps of a few pixels. A picture is touched only where whole words or crossing
lines say that it has signs; then fainter strokes are believed, too. A person alone never looks like a word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.frame import Frame, PixelKind
from vision.prepare import BytePicture

_STROKE_PX: Final = 6  # wider ones are no strokes; in pictures of up to so many pixels' width:
_OF_WIDTH_PX: Final = 800
_STANDS_OUT: Final = 60  # grey levels of a stroke above what is beside it
_MOST_STROKES: Final = 0.03  # of a picture: where noise and stones stand out as far, strokes must further
_NEARLY_WHITE: Final = 240  # white, through JPEG:
_FAINT: Final = 35  # such strokes need not stand out as far in a picture that is known to have signs
_FAINT_SHARP: Final = 30.0
_BESIDE_PX: Final = 25  # of a word there are its other letters
_GAP_PX: Final = 9  # between the letters of a word
_HEIGHTS_PX: Final = (5, 48)  # of letters
_SHARP: Final = 60.0  # grey levels from a stroke's edge to the next pixel: text 40 to 150, woods and towns up to 50
_RATHER_SHARP: Final = 48.0
_EDGES: Final = 2.5  # a row of pixels crosses so many strokes of a word
_RATHER_EDGES: Final = 2.0
_UPRIGHT: Final = 0.55  # of a word's height, a stroke's mean length down its columns: people in a row reach it all
_DENSE: Final = 0.8  # strokes of a row of pixels for each height of the letters along it
_SQUARE: Final = 0.4  # of its box that a word takes, with the gaps in it
_LINE_PX: Final = 12  # and an arm of a cross-hair is no shorter
_LINE_WIDTH_PX: Final = 3
_CROSSING_PX: Final = 31  # arms of a cross-hair lie no further from one another
_BAR_PX: Final = (60, 5, 32)  # length, and least and most width of a bar that shows the scale
_SAME: Final = 12  # grey levels across a bar, through JPEG
_LAG_PX: Final = 12  # along a bar, over which its levels must fall
_ALL_LEVELS: Final = 110  # from its one end to the other, at least
_MOST_SIGNS: Final = 0.25  # of a picture: more is no picture with signs
_LEAST_SIDE_PX: Final = 48
_MOST_PIXELS: Final = 16_000_000  # twice what recorders and screens write: of larger pictures it would take a gigabyte
_FILL_FROM_PX: Final = 3.0

Mask = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A frame with its signs filled, and where they were: None, or (h, w) with 1 where something was filled."""

    frame: Frame
    signs: Mask | None

    def on_sign(self, box: tuple[float, float, float, float]) -> bool:
        """Whether most of a box (left, top, right, bottom), px, was filled: what stands out there is left of a sign."""
        if self.signs is None:
            return False
        left, top = max(0, int(box[0])), max(0, int(box[1]))
        there = self.signs[top : int(np.ceil(box[3])), left : int(np.ceil(box[2]))]
        return there.size > 0 and float(there.mean()) > 0.5


def unsigned(frame: Frame) -> Unsigned:
    """The frame without burned-in signs; itself unless it is a thermal one of 8 bits that has some."""
    if frame.kind is not PixelKind.GREY8:
        return Unsigned(frame, None)
    signs = find_signs(frame.pixels)
    if signs is None:
        return Unsigned(frame, None)
    # A. Telea, "An image inpainting technique based on the fast marching method", 2004.
    filled = cv2.inpaint(np.ascontiguousarray(frame.pixels), signs, _FILL_FROM_PX, cv2.INPAINT_TELEA)
    return Unsigned(replace(frame, pixels=np.asarray(filled, dtype=np.uint8)), signs)


def find_signs(grey: BytePicture) -> Mask | None:
    """Where signs lie in a picture (h, w), with what a lens or JPEG leaves beside their strokes; None without any."""
    if min(grey.shape) < _LEAST_SIDE_PX or grey.size > _MOST_PIXELS:
        return None
    size = max(1.0, grey.shape[1] / _OF_WIDTH_PX)
    sides = [_Strokes(levels, size) for levels in (grey, 255 - grey)]
    if not any(side.certain for side in sides):
        return None
    signs = np.zeros(grey.shape, np.uint8)
    for side in sides:
        signs |= side.signs()
    signs |= _scale_bars(grey)
    return signs if signs.mean() <= _MOST_SIGNS else None


class _Strokes:
    """Thin bright strokes of a picture, and what they make up."""

    def __init__(self, grey: BytePicture, size: float) -> None:
        """size: pixels of the picture to one of an ordinary one."""
        self._grey, self._size = grey, size
        side = 2 * round(_STROKE_PX / 2 * size) + 1
        hat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((side, side), np.uint8))
        least = max(_STANDS_OUT, int(np.percentile(hat[::3, ::3], 100 * (1 - _MOST_STROKES))))
        self._mask = np.asarray(hat >= least, dtype=np.uint8)
        self._noisy = least / _STANDS_OUT
        self._faint = np.asarray((hat >= _FAINT) & (grey >= _NEARLY_WHITE), dtype=np.uint8)
        self._any = bool(self._mask.any())
        self.certain = False
        if self._any:
            self._words()
            self.certain = bool(self._surely.any()) or self._crossing()

    def _words(self) -> None:
        self._found = _Words(self._grey, self._mask, self._size)
        self._surely = self._found.like(_SHARP * self._noisy, _EDGES, 1.5)

    def _crossing(self) -> bool:
        """Whether thin lines along both axes lie near one another."""
        least = round(_LINE_PX * self._size)
        if not (_runs(self._mask, least).any() and _runs(self._mask.T, least).any()):
            return False
        lying, standing = self._lines()
        near = np.ones((round(_CROSSING_PX * self._size) | 1,) * 2, np.uint8)
        return bool(cv2.bitwise_and(cv2.dilate(lying, near), cv2.dilate(standing, near)).any())

    def _lines(self) -> tuple[Mask, Mask]:
        """Thin lines along the rows and along the columns."""
        least = round(_LINE_PX * self._size)
        standing = _thin_runs(self._grey.T, self._mask.T, least, self._size).T
        return _thin_runs(self._grey, self._mask, least, self._size), np.ascontiguousarray(standing)

    def signs(self) -> Mask:
        """Where they are, believed as soon as something in the picture is certain."""
        if not self._any:
            return np.zeros_like(self._mask)
        found = self._found.like(_RATHER_SHARP * self._noisy, _RATHER_EDGES, 1.2) | self._surely
        words = self._found.strokes(found)
        if self._faint.mean() <= _MOST_STROKES:
            faint = _Words(self._grey, self._faint, self._size)
            words |= faint.strokes(faint.like(_FAINT_SHARP, _RATHER_EDGES, 1.2))
        beside = cv2.dilate(words, np.ones((1, 2 * round(_BESIDE_PX * self._size) + 1), np.uint8)) > 0
        words |= self._found.strokes(self._found.letters(beside, _RATHER_SHARP * self._noisy))
        wide = 2 * round(2 * self._size) + 1
        narrow = 2 * round(self._size) + 1
        lying, standing = self._lines()
        lines = cv2.dilate(lying | standing, np.ones((narrow, narrow), np.uint8))
        letters = cv2.dilate(words, np.ones((wide, wide), np.uint8))
        return np.asarray(cv2.bitwise_or(letters, lines), dtype=np.uint8)


class _Words:
    """Strokes joined over the gaps between letters, and what tells text in each."""

    def __init__(self, grey: BytePicture, mask: Mask, size: float) -> None:
        self._mask = mask
        gap = np.ones((1, round(_GAP_PX * size) | 1), np.uint8)
        joined = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, gap)
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        self._labels = np.asarray(labels, dtype=np.int32)
        self._width, self._height, area = (boxes[:, k].astype(float) for k in (2, 3, 4))
        crossed, tops, self._sharp = _edges(grey, mask, self._labels, count)
        self._edges = crossed / self._height
        inked = np.bincount(self._labels[mask > 0], minlength=count)
        self._upright = inked / np.maximum(tops, 1) / self._height
        low, high = _HEIGHTS_PX
        self._tall_enough = (self._height >= low) & (self._height <= high * size)
        self._tall_enough[0] = False
        self._square = area >= _SQUARE * self._width * self._height

    def like(self, sharp: float, edges: float, long: float) -> Flags:
        """(n,) Which are words: so sharp, of so many strokes, and so many times as long as high."""
        shaped = self._tall_enough & self._square & (self._width >= long * self._height)
        dense = self._edges * self._height >= _DENSE * self._width
        lettered = self._upright <= _UPRIGHT
        return np.asarray(shaped & dense & lettered & (self._sharp >= sharp) & (self._edges >= edges))

    def letters(self, beside: Flags, sharp: float) -> Flags:
        """(n,) Which are as sharp and lie in `beside` (h, w)."""
        near = np.zeros(len(self._sharp), dtype=bool)
        near[self._labels[beside]] = True
        return np.asarray(near & self._tall_enough & (self._sharp >= sharp))

    def strokes(self, which: Flags) -> Mask:
        """The strokes (h, w) of some of them."""
        return np.asarray(which[self._labels] & (self._mask > 0), dtype=np.uint8)


def _edges(
    grey: BytePicture, mask: Mask, labels: NDArray[np.int32], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(n,) Of each label: strokes crossed by its rows, by its columns, and the mean step from their edges to the next pixel."""
    y, x = np.nonzero(mask)
    inside = np.pad(mask, 1) > 0
    levels = np.pad(grey, 1, mode="edge").astype(np.int16)
    whose, own = labels[y, x], levels[y + 1, x + 1]
    total, steps, crossed, tops = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(count)
    for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0)):
        outer = ~inside[y + 1 + dy, x + 1 + dx]
        number = np.bincount(whose[outer], minlength=count)
        fall = (own - levels[y + 1 + dy, x + 1 + dx])[outer]
        total += np.bincount(whose[outer], weights=fall, minlength=count)
        steps += number
        if (dy, dx) == (0, -1):
            crossed += number
        elif (dy, dx) == (-1, 0):
            tops += number
    return crossed, tops, total / np.maximum(steps, 1)


def _runs(mask: Mask, least: int) -> Mask:
    """Pixels in runs of at least so many along the rows."""
    return np.asarray(cv2.morphologyEx(np.ascontiguousarray(mask), cv2.MORPH_OPEN, np.ones((1, least), np.uint8)))


def _thin_runs(grey: BytePicture, mask: Mask, least: int, size: float) -> Mask:
    """Thin lines along the rows: no wider than a few pixels, sharp at both sides."""
    runs = _runs(mask, least)
    if not runs.any():
        return runs
    width = round(_LINE_WIDTH_PX * size)
    thick = cv2.morphologyEx(runs, cv2.MORPH_OPEN, np.ones((width + 1, 1), np.uint8))
    runs = np.asarray(cv2.subtract(runs, thick), dtype=np.uint8)
    count, found, boxes, _ = cv2.connectedComponentsWithStats(runs, connectivity=8)
    labels = np.asarray(found, dtype=np.int32)
    _, _, sharp = _edges(grey, runs, labels, count)
    kept = (sharp >= _SHARP) & (boxes[:, 2] >= least) & (boxes[:, 3] <= width)
    kept[0] = False
    return np.asarray(kept[labels], dtype=np.uint8)


def _scale_bars(grey: BytePicture) -> Mask:
    """Bars of all levels in order, upright or lying, falling or rising."""
    turned = np.ascontiguousarray(grey.T)
    upright = _falling(grey) | _falling(grey[::-1])[::-1]
    lying = _falling(turned) | _falling(turned[::-1])[::-1]
    return np.asarray(upright | lying.T, dtype=np.uint8)


def _falling(grey: BytePicture) -> Mask:
    """Upright bars whose levels fall from their top."""
    grey = np.ascontiguousarray(grey)
    length, narrow, wide = _BAR_PX
    across = np.ones((1, narrow), np.uint8)
    even = cv2.subtract(cv2.dilate(grey, across), cv2.erode(grey, across)) <= _SAME
    falls = np.zeros(grey.shape, np.uint8)
    falls[:-_LAG_PX] = (grey[:-_LAG_PX] > grey[_LAG_PX:]) & even[:-_LAG_PX]
    bars = cv2.morphologyEx(falls, cv2.MORPH_OPEN, np.ones((length - _LAG_PX, 1), np.uint8))
    bars[0], bars[-1] = 0, 0
    _, _, boxes, _ = cv2.connectedComponentsWithStats(bars, connectivity=4)
    kept = np.zeros_like(grey)
    for left, top, width, height, area in boxes[1:]:
        middle = grey[top : top + height + _LAG_PX, left + width // 2]
        all_levels = int(middle[0]) - int(middle[-1]) >= _ALL_LEVELS
        if all_levels and width <= wide and area >= 0.7 * width * height:
            kept[max(0, top - 3) : top + height + _LAG_PX + 3, max(0, left - narrow) : left + width + narrow] = 1
    return kept
