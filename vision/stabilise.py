# SPDX-License-Identifier: AGPL-3.0-or-later
"""How the picture moved since the last frame, for cameras whose pose nobody knows.

Phase correlation of reduced pictures (Kuglin and Hines 1975): translation only, which is what a stabilised camera
looking down mostly does between frames. Without a clear answer the chain is broken and tracks start anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.frame import Frame

_WIDTH_PX: Final = 320
_MIN_RESPONSE: Final = 0.08


@dataclass(frozen=True, slots=True)
class Shift:
    """Add to a pixel to get coordinates that stand still; `epoch` rises when the chain was broken."""

    x_px: float
    y_px: float
    epoch: int


def reduced(frame: Frame, width_px: int) -> NDArray[np.float32]:
    """The frame in grey at so many pixels across (never enlarged), in its own units."""
    factor = min(1.0, width_px / frame.width_px)
    size = (max(8, round(frame.width_px * factor)), max(8, round(frame.height_px * factor)))
    # first made small, then grey and float: a large colour picture costs a tenth that way
    small = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return np.asarray(grey, dtype=np.float32)


class Stabiliser:
    """Chains frame-to-frame shifts of one camera."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._window: NDArray[np.float32] | None = None
        self._shift = Shift(0.0, 0.0, 0)

    def step(self, frame: Frame) -> Shift:
        """Take the next frame and return where it lies."""
        small = reduced(frame, _WIDTH_PX)
        size = (small.shape[1], small.shape[0])
        factor = small.shape[1] / frame.width_px
        # a fire's few hundred degrees must not be all that the correlation sees
        low, high = np.percentile(small, (1, 99))
        picture = np.clip(small, low, high).astype(np.float32)
        if self._last is None or self._last.shape != picture.shape:
            self._window = np.asarray(cv2.createHanningWindow(size, cv2.CV_32F), dtype=np.float32)
            self._shift = Shift(0.0, 0.0, self._shift.epoch + 1)
        else:
            (dx, dy), response = cv2.phaseCorrelate(self._last, picture, self._window)
            if response < _MIN_RESPONSE:
                self._shift = Shift(0.0, 0.0, self._shift.epoch + 1)
            else:
                self._shift = Shift(self._shift.x_px - dx / factor, self._shift.y_px - dy / factor, self._shift.epoch)
        self._last = picture
        return self._shift
