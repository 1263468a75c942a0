# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cold pictures as frames of the files that cameras write. Apart from what renders them: frames need the product's libraries."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vision.frame import Frame, PixelKind

from .cold_sensor import grey_levels

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

_SHARE_OF_DEGREES = 0.15
_SHARE_OF_COUNTS = 0.2


def as_frame(rng: np.random.Generator, picture: Floats, name: str) -> Frame:
    """The picture as a frame of a file: in degrees, in raw counts of any gain, or in 8 bits."""
    draw = rng.random()
    degrees = rng.uniform(-20, 10) + picture * np.float32(math.exp(rng.uniform(math.log(0.15), math.log(1.5))))
    if draw < _SHARE_OF_DEGREES:
        return Frame(name, None, 0, 0.0, degrees.astype(np.float32), PixelKind.CELSIUS)
    if draw < _SHARE_OF_DEGREES + _SHARE_OF_COUNTS:
        counts = (degrees + 60.0) * math.exp(rng.uniform(math.log(8), math.log(120))) + rng.uniform(0, 8000)
        return Frame(name, None, 0, 0.0, np.clip(counts + 0.5, 0, 65535).astype(np.uint16), PixelKind.RAW16)
    return Frame(name, None, 0, 0.0, grey_levels(rng, picture), PixelKind.GREY8)
