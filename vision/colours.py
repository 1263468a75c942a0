# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a picture with three channels shows any colour."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IN_STILLS: Final = 1.0  # of 255: most that the channels of a grey pixel differ by
IN_VIDEOS: Final = 3.0  # where a codec's conversion of colours makes a step of its own
_SHARE: Final = 97.0  # per cent of all pixels: cameras write coloured signs into their pictures
_SAMPLES: Final = 60_000


def is_grey(picture: NDArray[Any], tolerance: float = IN_STILLS) -> bool:
    """Whether the channels of a picture (h, w, 3) of 8 bits differ by no more than the tolerance nearly everywhere."""
    step = max(1, round(math.sqrt(picture.shape[0] * picture.shape[1] / _SAMPLES)))
    sample = picture[::step, ::step]
    spread = sample.max(axis=2) - sample.min(axis=2)
    return float(np.percentile(spread, _SHARE)) <= tolerance
