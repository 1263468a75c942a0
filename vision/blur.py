# SPDX-License-Identifier: AGPL-3.0-or-later
"""Colour pictures that are kept show no people who could be known.

Everybody who was detected is blurred, not only whom the picture is about; and where nobody was looked for, everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.frame import Frame
from vision.sighting import Kind
from vision.tiles import Tile
from vision.unite import Observation

BLUR_FROM_PX: Final = 25.0  # smaller figures cannot be told apart
_MARGIN: Final = 0.1  # of the box: heads stick out of it
_LEFT: Final = 4  # pixels per side that stay of a person


def blurred(frame: Frame, observations: Sequence[Observation]) -> Frame:
    """The frame with all detected people of 25 pixels and more blurred; the frame itself where there are none."""
    people = [o for o in observations if o.learned_kind is Kind.PERSON and o.longest_px >= BLUR_FROM_PX]
    if not people:
        return frame
    pixels = np.array(frame.pixels)
    for person in people:
        hide(pixels, person)
    return replace(frame, pixels=pixels)


def hide(pixels: NDArray[Any], person: Observation) -> None:
    """Blur one person of 25 pixels and more, with what sticks out of the box, in the picture itself."""
    if person.longest_px < BLUR_FROM_PX:
        return
    margin = _MARGIN * person.longest_px
    left, top = max(0, int(person.left_px - margin)), max(0, int(person.top_px - margin))
    region = pixels[top : int(person.bottom_px + margin) + 1, left : int(person.right_px + margin) + 1]
    if region.size:
        tiny = cv2.resize(region, (_LEFT, _LEFT), interpolation=cv2.INTER_AREA)
        region[...] = cv2.resize(tiny, (region.shape[1], region.shape[0]), interpolation=cv2.INTER_LINEAR)


def searched_only(frame: Frame, left_out: Sequence[Tile], share: float = 1.0 / BLUR_FROM_PX) -> Frame:
    """The frame with all that nobody looked at made so coarse that nobody in it can be known; itself where that is nothing.

    share: of the pixels along a side, how many stay.
    """
    if not left_out:
        return frame
    pixels = np.array(frame.pixels)
    for part in left_out:
        region = pixels[part.top_px : part.bottom_px, part.left_px : part.right_px]
        rows, columns = region.shape[:2]
        few = (max(1, round(columns * share)), max(1, round(rows * share)))
        coarse = cv2.resize(region, few, interpolation=cv2.INTER_AREA)
        region[...] = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return replace(frame, pixels=pixels)
