# SPDX-License-Identifier: AGPL-3.0-or-later
"""A path over an area, and what the camera does on each of its legs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from missions.geo import FloatArray


@dataclass(frozen=True, slots=True)
class Track:
    """A path with what the camera does on it: corners (n, 2) in east, north metres, and a value for each leg.

    trigger_m: (n - 1,) distance between pictures, 0 for none; NaN leaves the camera alone. pitch_deg: (n - 1,), NaN
    where it does not matter.
    """

    corners_m: FloatArray
    trigger_m: FloatArray
    pitch_deg: FloatArray


def even_track(corners_m: FloatArray, pitch_deg: float) -> Track:
    """A path with one camera angle, on which nothing is triggered."""
    legs = len(corners_m) - 1
    return Track(corners_m, np.full(legs, np.nan), np.full(legs, pitch_deg))
