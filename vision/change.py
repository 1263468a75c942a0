# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a fixed camera's picture shows anything that its last look did not: else the network would say the same again.

Reduced pictures are compared in units of their own noise, after the change of light over the whole picture is taken out.
The comparison is with the picture of the last full look, so that slow changes add up; and a full look comes at least
every `full_every` pictures, whatever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.frame import Frame

_WIDTH_PX: Final = 320
_MAD_TO_SIGMA: Final = 1.4826
_LEAST_SIGMA: Final = 0.5  # of 255: a decoder that repeats itself has no noise at all
_LIGHT_PX: Final = 41  # lighting changes over more than this, things over less


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """sigma: a reduced pixel that differs by so many sigmas has changed. full_every: of pictures, one at least is looked at."""

    sigma: float = 8.0
    full_every: int = 6


class ChangeGate:
    """One fixed camera's. Not thread-safe."""

    def __init__(self, settings: ChangeSettings | None = None) -> None:
        self._settings = settings or ChangeSettings()
        self._reference: NDArray[np.float32] | None = None
        self._passed = 0

    def open(self, frame: Frame, *, needed: bool = False) -> bool:
        """Whether this picture must be looked at. needed: it must be anyway; it becomes the picture to compare with."""
        grey = frame.pixels if frame.pixels.ndim == 2 else cv2.cvtColor(frame.pixels, cv2.COLOR_BGR2GRAY)
        factor = min(1.0, _WIDTH_PX / frame.width_px)
        size = (max(8, round(frame.width_px * factor)), max(8, round(frame.height_px * factor)))
        small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        if not needed and self._passed + 1 < self._settings.full_every and not self._changed(small):
            self._passed += 1
            return False
        self._reference, self._passed = small, 0
        return True

    def _changed(self, small: NDArray[np.float32]) -> bool:
        if self._reference is None or self._reference.shape != small.shape:
            return True
        difference = small - self._reference
        difference -= cv2.blur(difference, (_LIGHT_PX, _LIGHT_PX))
        values = np.abs(cv2.blur(difference, (3, 3)))
        sigma = max(_LEAST_SIGMA, _MAD_TO_SIGMA * float(np.median(values)))
        return float(values.max()) > self._settings.sigma * sigma
