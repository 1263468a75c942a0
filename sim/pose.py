# SPDX-License-Identifier: AGPL-3.0-or-later
"""TruePose: where a simulated vehicle really is. Made by the vehicles (or PX4's ground truth), read by the cameras.

It never leaves the simulator's processes except through the truth file that the report reads.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TruePose:
    """True position, velocity and attitude of one vehicle at one moment of its own clock.

    Velocities are NED, yaw is clockwise from true north, roll right wing down and pitch nose up are positive.
    gimbal_pitch_deg is what was last commanded (DO_MOUNT_CONTROL or DO_GIMBAL_MANAGER_PITCHYAW); None: never.
    """

    vehicle_id: str
    time_s: float
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
    gimbal_pitch_deg: float | None
