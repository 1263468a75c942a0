# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which ground a camera that looks straight down has certainly looked at: without it no hazard can be called gone. Pure."""

from __future__ import annotations

import math
from typing import Final

from missions.model import Camera

_SURE: Final = 0.7  # of the picture's half widths: tilt, gimbal and place are off by some metres
_STRAIGHT_DOWN_DEG: Final = -85.0
_MIN_HEIGHT_M: Final = 12.0  # lower, nothing is looked at

Ring = tuple[tuple[float, float], ...]


def footprint(camera: Camera, east_m: float, north_m: float, height_m: float, yaw_deg: float) -> Ring | None:
    """The surely seen part of a picture on level ground, (east, north) in metres; None where nothing is sure."""
    if camera.mount_pitch_deg > _STRAIGHT_DOWN_DEG or height_m < _MIN_HEIGHT_M:
        return None
    right = _SURE * height_m * camera.width_px / (2.0 * camera.fx_px)
    ahead = _SURE * height_m * camera.height_px / (2.0 * camera.fy_px)
    heading = math.radians(yaw_deg + camera.mount_yaw_deg)
    sin, cos = math.sin(heading), math.cos(heading)
    corners = ((-right, -ahead), (right, -ahead), (right, ahead), (-right, ahead))
    return tuple((east_m + x * cos + y * sin, north_m - x * sin + y * cos) for x, y in corners)
