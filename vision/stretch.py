# SPDX-License-Identifier: AGPL-3.0-or-later
"""Heat in sixteen bits or degrees becomes eight bits, alike for whoever trains a model and for whoever uses it."""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

RAW_PER_C: Final = 40.0  # counts per degree of uncooled cameras, roughly: only to keep noise from being blown up
_SAMPLES: Final = 8000  # percentiles of so many, spread evenly, move by less than the noise


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
    low, high = limits(pixels, percents, span)
    factor = 255.0 / (high - low)
    grey = cv2.addWeighted(pixels, factor, pixels, 0.0, -low * factor, dtype=cv2.CV_8U)
    return np.asarray(grey, dtype=np.uint8)
