# SPDX-License-Identifier: AGPL-3.0-or-later
"""Thermal stills in the tones that a network has learned from.

People are few pixels of a still and its warmest. Where the scale ends below them they are white blots, and where it ends
far above they are grey ones: plain pictures, counts and degrees are stretched until the warmest pixel is white.

Pictures whose camera has shared their grey levels out evenly want more. Histogram equalisation, of the whole picture or of
its parts (Zuiderveld, Contrast limited adaptive histogram equalization,
Graphics Gems IV, 1994), gives every level as many pixels. Cold ground then takes all of the scale but its end, and
people, few pixels as they are, share the last levels with the warmest ground. How far they were above it is lost; that
all of a body is in the last levels is not. Two tones bring that out: levels as an exponential distribution has them, with
a long warm tail (half of the scale goes to the uppermost sixteenth of the levels), and levels as a normal distribution
has them, as plain pictures of cold ground do. In each of them another part of the people is seen, so that the look at
one size is given the one and that at the other size the other.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.frame import Frame, PixelKind
from vision.prepare import BytePicture
from vision.stretch import RAW_PER_C, to_the_warmest

_LEVELS: Final = 256
_PARTS: Final = 4  # along each side
_STEP: Final = 2  # every other pixel each way says how the levels are shared out
_TAILS: Final = (0.005, 0.995)  # ranks between which they should be even
_EVEN_PARTS: Final = 0.13  # plain pictures have .15 and more, towns .2
_EVEN: Final = 0.07  # of the whole, which chance makes even more easily than most of sixteen parts
_SIGMAS: Final = 3.0  # of the normal distribution, each way
_SPAN_C: Final = 2.0  # less is not stretched to all of the scale: noise would be blown up
_SPANS: Final = {PixelKind.CELSIUS: _SPAN_C, PixelKind.RAW16: _SPAN_C * RAW_PER_C, PixelKind.GREY8: 24.0}

Counts = NDArray[np.intp]


def is_equalised(grey: BytePicture) -> bool:
    """Whether the levels of a picture (h, w) are shared out evenly, in the whole of it or in most of its parts."""
    seen = grey[::_STEP, ::_STEP]
    counts = [
        np.bincount(part.ravel(), minlength=_LEVELS)
        for row in np.array_split(seen, _PARTS)
        for part in np.array_split(row, _PARTS, axis=1)
        if part.size
    ]
    if _unevenness(np.sum(counts, axis=0)) < _EVEN:
        return True
    return float(np.median([_unevenness(c) for c in counts])) < _EVEN_PARTS


def _unevenness(counts: Counts) -> float:
    """The largest difference (Kolmogorov) of the ranks of levels so often seen from even ones, 0..1."""
    ranks = np.cumsum(counts) / counts.sum()
    low, high = (int(v) for v in np.searchsorted(ranks, _TAILS))
    even = np.clip((np.arange(_LEVELS) - low) / max(high - low, 1), 0.0, 1.0)
    return float(np.abs(ranks - even).max())


def two_tones(frame: Frame) -> tuple[Frame, Frame]:
    """A thermal frame in 8 bits for the looks at the first size and at the second.

    The same stretched to its warmest twice, unless it is of 8 bits and equalised.
    """
    if frame.kind is PixelKind.GREY8 and is_equalised(frame.pixels):
        return replace(frame, pixels=_warm_tail(frame.pixels)), replace(frame, pixels=_normal(frame.pixels))
    plain = replace(frame, pixels=to_the_warmest(frame.pixels, _SPANS[frame.kind]), kind=PixelKind.GREY8)
    return plain, plain


def _warm_tail(grey: BytePicture) -> BytePicture:
    below = np.arange(_LEVELS) / _LEVELS
    return _spread(grey, np.log1p(-below) / -math.log(_LEVELS))


def _normal(grey: BytePicture) -> BytePicture:
    counts = np.bincount(grey.ravel(), minlength=_LEVELS)
    below = (np.cumsum(counts) - counts / 2) / counts.sum()
    inverse, end = NormalDist().inv_cdf, NormalDist().cdf(-_SIGMAS)
    sigmas = np.array([inverse(min(max(float(share), end), 1.0 - end)) for share in below])
    return _spread(grey, (sigmas + _SIGMAS) / (2 * _SIGMAS))


def _spread(grey: BytePicture, shares: NDArray[np.float64]) -> BytePicture:
    table = np.round(255.0 * np.clip(shares, 0.0, 1.0)).astype(np.uint8)
    return np.asarray(cv2.LUT(grey, table), dtype=np.uint8)
