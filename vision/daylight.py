# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether the sun can have stood above the horizon when a frame was exposed."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Final

from vision.contrast import sun_elevation_deg
from vision.frame import Frame

_DOWN_DEG: Final = -2.0  # refraction lifts the sun by .6 degrees, its radius by .3, a drone's height the horizon by .5


def utc_of(sent_monotonic_s: float) -> float:
    """When a live frame was sent, seconds since 1970, by this machine's clock."""
    return time.time() - max(0.0, time.monotonic() - sent_monotonic_s)


def sun_up(frame: Frame, live_utc_s: float | None) -> bool | None:
    """True from shortly before sunrise until shortly after sunset; None without a place or a time.

    live_utc_s: when a frame without a time of its own came in, if it is looked at as it is taken.
    """
    utc_s = frame.utc_s if frame.utc_s is not None else live_utc_s
    pose = frame.pose
    if utc_s is None or pose is None or not math.isfinite(pose.latitude_deg + pose.longitude_deg):
        return None
    at = datetime.fromtimestamp(utc_s, UTC)
    return sun_elevation_deg(at, pose.latitude_deg, pose.longitude_deg) > _DOWN_DEG
