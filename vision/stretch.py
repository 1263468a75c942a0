# SPDX-License-Identifier: AGPL-3.0-or-later
"""Heat of any unit becomes eight bits, alike for whoever trains a model and for whoever uses it."""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

RAW_PER_C: Final = 40.0  # counts per degree of uncooled cameras, roughly: only to keep noise from being blown up
_SAMPLES: Final = 8000  # percentiles of so many, spread evenly, move by less than the noise
_GROUND: Final = (1.0, 99.5)  # percentiles between which nearly all of a picture without people lies
_COLDEST: Final = 0.5
_MOST_SPREADS: Final = 3.0  # of the ground: an engine or a fire must not take all of the scale
_NEIGHBOURS: Final = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)


def limits(pixels: NDArray[Any], percents: tuple[float, float], span: float) -> tuple[float, float]:
    """The values that become black and white: these percentiles, at least `span` apart."""
    step = max(1, round(math.sqrt(pixels.size / _SAMPLES)))
    sample = pixels[::step, ::step].ravel()
    ranks = [round(percent / 100 * (len(sample) - 1)) for percent in percents]
    low, high = (float(value) for value in np.partition(sample, ranks)[ranks])
    if high - low < span:
        middle = (high + low) / 2
        low, high = middle - span / 2, middle + span / 2
    return low, high


def eight_bits(pixels: NDArray[Any], percents: tuple[float, float], span: float) -> NDArray[np.uint8]:
    """Any single-channel picture (h, w) in 8 bits between these limits; what is beyond them saturates."""
    return _between(pixels, *limits(pixels, percents, span))


def without_stuck(pixels: NDArray[Any]) -> NDArray[Any]:
    """The picture (h, w) without pixels that are above all their neighbours: stuck ones, for what a lens shows is wider."""
    if pixels.size == 1:  # it has no neighbours
        return pixels
    return np.asarray(cv2.min(pixels, cv2.dilate(pixels, _NEIGHBOURS)))


def to_the_warmest(pixels: NDArray[Any], span: float) -> NDArray[np.uint8]:
    """Any single-channel picture (h, w) in 8 bits that reach up to its warmest pixel.

    Between percentiles people are white through and through; here their heads are warmer than their clothes, and all of
    them than stones. Ground takes at least a third of the scale, and all of it has at least `span`.
    """
    pixels = without_stuck(pixels)
    low, _ = limits(pixels, (_COLDEST, _COLDEST), 0.0)
    cold, warm = limits(pixels, _GROUND, 0.0)
    high = min(float(pixels.max()), low + _MOST_SPREADS * max(warm - cold, span / _MOST_SPREADS))
    return _between(pixels, low, max(high, low + span))


def _between(pixels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    factor = 255.0 / (high - low)
    grey = cv2.addWeighted(pixels, factor, pixels, 0.0, -low * factor, dtype=cv2.CV_8U)
    return np.asarray(grey, dtype=np.uint8)
