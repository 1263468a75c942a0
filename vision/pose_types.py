# SPDX-License-Identifier: AGPL-3.0-or-later
"""Poses of a vehicle's body as they come from telemetry, and how far they are trusted. No third-party imports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_POLAR_DEG: Final = 84.9  # farther from the equator no place is computed
_TURN_DEG: Final = 181.0  # a pose a moment after the last may be over the date line
_HIGH_M: Final = 20_000.0


@dataclass(frozen=True, slots=True)
class BodyPose:
    """A vehicle at one moment of its own clock. Velocities north-east-down, attitude in degrees."""

    vehicle_time_s: float
    latitude_deg: float
    longitude_deg: float
    amsl_m: float
    height_above_home_m: float
    velocity_north_m_s: float
    velocity_east_m_s: float
    velocity_down_m_s: float
    roll_deg: float
    pitch_deg: float
    yaw_deg: float

    @property
    def is_somewhere(self) -> bool:
        """Whether it can be: all its numbers are some, on Earth, away from the poles, at a height where drones fly."""
        known = all(math.isfinite(getattr(self, name)) for name in self.__slots__)
        here = abs(self.latitude_deg) < _POLAR_DEG and abs(self.longitude_deg) <= _TURN_DEG
        return known and here and abs(self.amsl_m) < _HIGH_M


@dataclass(frozen=True, slots=True)
class PoseDoubts:
    """One-sigma doubts of the telemetry and the mount, shared by a flight (common) or drawn at every look.

    The camera's clock is off by a constant that nobody knows: 50 to 150 ms either way has an rms of 104 ms.
    """

    horizontal_common_sigma_m: float = 1.5
    vertical_common_sigma_m: float = 2.5
    yaw_common_sigma_deg: float = 2.0
    tilt_common_sigma_deg: float = 0.8
    clock_common_sigma_s: float = 0.1
    horizontal_sigma_m: float = 0.3
    attitude_sigma_deg: float = 0.4
