# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the camera was at exposure: vehicle poses from telemetry, interpolated, then the camera's mount on top.

Poses come in on the vehicle's clock and are kept for a bounded time. A gap in telemetry is not bridged: a place
computed from a guessed pose would look as good as any other.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import Final

from missions.geo import wrap_degrees, wrap_longitude_deg
from missions.model import Camera
from vision.camera_model import angles_ned, rotation_ned
from vision.frame import CameraPose
from vision.pose_types import BodyPose, PoseDoubts

MAX_GAP_S: Final = 0.6
MAX_EXTRAPOLATION_S: Final = 0.2
KEEP_S: Final = 30.0
MAX_SAMPLES: Final = 3000
_REBOOT_S: Final = 5.0
_EARTH_M: Final = 6_371_000.0  # metres per radian: for the centimetres between two samples


class PoseBuffer:
    """The last half minute of one vehicle's poses."""

    def __init__(self) -> None:
        self._samples: list[BodyPose] = []
        self.reboots = 0

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def newest_s(self) -> float | None:
        return self._samples[-1].vehicle_time_s if self._samples else None

    def add(self, sample: BodyPose) -> None:
        """Take a sample; late ones are sorted in, a clock that jumps back by seconds is a reboot and starts anew."""
        newest = self.newest_s
        if newest is not None and sample.vehicle_time_s < newest - _REBOOT_S:
            self._samples.clear()
            self.reboots += 1
            newest = None
        if newest is None or sample.vehicle_time_s > newest:
            self._samples.append(sample)
        else:
            i = bisect_left(self._samples, sample.vehicle_time_s, key=_time)
            if self._samples[i].vehicle_time_s == sample.vehicle_time_s:
                return
            insort(self._samples, sample, key=_time)
        oldest = self._samples[-1].vehicle_time_s - KEEP_S
        drop = max(bisect_left(self._samples, oldest, key=_time), len(self._samples) - MAX_SAMPLES)
        if drop > 0:
            del self._samples[:drop]

    def covers(self, time_s: float) -> bool:
        """Whether a sample at or after this time is there, so that waiting longer gains nothing."""
        newest = self.newest_s
        return newest is not None and newest >= time_s

    def at(self, time_s: float) -> BodyPose | None:
        """The pose at a time: between two samples at most MAX_GAP_S apart, or just beyond the newest; else None."""
        samples = self._samples
        if not samples:
            return None
        i = bisect_left(samples, time_s, key=_time)
        if i == len(samples):
            last = samples[-1]
            ahead = time_s - last.vehicle_time_s
            return _ahead(last, ahead) if ahead <= MAX_EXTRAPOLATION_S else None
        after = samples[i]
        if after.vehicle_time_s == time_s:
            return after
        if i == 0:
            return None
        before = samples[i - 1]
        gap = after.vehicle_time_s - before.vehicle_time_s
        if gap > MAX_GAP_S:
            return None
        return _between(before, after, (time_s - before.vehicle_time_s) / gap, time_s)


def _time(sample: BodyPose) -> float:
    return sample.vehicle_time_s


def _angle(a: float, b: float, f: float) -> float:
    return wrap_degrees(a + wrap_degrees(b - a) * f)


def _between(a: BodyPose, b: BodyPose, f: float, time_s: float) -> BodyPose:
    def mix(x: float, y: float) -> float:
        return x + (y - x) * f

    longitude_step = wrap_degrees(b.longitude_deg - a.longitude_deg)
    return BodyPose(
        vehicle_time_s=time_s,
        latitude_deg=mix(a.latitude_deg, b.latitude_deg),
        longitude_deg=wrap_longitude_deg(a.longitude_deg + longitude_step * f),
        amsl_m=mix(a.amsl_m, b.amsl_m),
        height_above_home_m=mix(a.height_above_home_m, b.height_above_home_m),
        velocity_north_m_s=mix(a.velocity_north_m_s, b.velocity_north_m_s),
        velocity_east_m_s=mix(a.velocity_east_m_s, b.velocity_east_m_s),
        velocity_down_m_s=mix(a.velocity_down_m_s, b.velocity_down_m_s),
        roll_deg=_angle(a.roll_deg, b.roll_deg, f),
        pitch_deg=_angle(a.pitch_deg, b.pitch_deg, f),
        yaw_deg=_angle(a.yaw_deg, b.yaw_deg, f),
    )


def _ahead(a: BodyPose, seconds: float) -> BodyPose:
    north, east, down = (v * seconds for v in (a.velocity_north_m_s, a.velocity_east_m_s, a.velocity_down_m_s))
    return BodyPose(
        vehicle_time_s=a.vehicle_time_s + seconds,
        latitude_deg=a.latitude_deg + math.degrees(north / _EARTH_M),
        longitude_deg=wrap_longitude_deg(
            a.longitude_deg + math.degrees(east / (_EARTH_M * math.cos(math.radians(a.latitude_deg))))
        ),
        amsl_m=a.amsl_m - down,
        height_above_home_m=a.height_above_home_m - down,
        velocity_north_m_s=a.velocity_north_m_s,
        velocity_east_m_s=a.velocity_east_m_s,
        velocity_down_m_s=a.velocity_down_m_s,
        roll_deg=a.roll_deg,
        pitch_deg=a.pitch_deg,
        yaw_deg=a.yaw_deg,
    )


def camera_pose(camera: Camera, body: BodyPose, doubts: PoseDoubts | None = None) -> CameraPose:
    """The camera's pose: a stabilised mount holds its pitch against the horizon and turns with the heading only."""
    doubts = doubts or PoseDoubts()
    if camera.stabilised:
        yaw, pitch, roll = wrap_degrees(body.yaw_deg + camera.mount_yaw_deg), camera.mount_pitch_deg, 0.0
    else:
        mount = rotation_ned(camera.mount_yaw_deg, camera.mount_pitch_deg, 0.0)
        yaw, pitch, roll = angles_ned(rotation_ned(body.yaw_deg, body.pitch_deg, body.roll_deg) @ mount)
    return CameraPose(
        latitude_deg=body.latitude_deg,
        longitude_deg=body.longitude_deg,
        amsl_m=body.amsl_m,
        height_above_home_m=body.height_above_home_m,
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        velocity_north_m_s=body.velocity_north_m_s,
        velocity_east_m_s=body.velocity_east_m_s,
        velocity_down_m_s=body.velocity_down_m_s,
        horizontal_common_sigma_m=doubts.horizontal_common_sigma_m,
        vertical_common_sigma_m=doubts.vertical_common_sigma_m,
        yaw_common_sigma_deg=doubts.yaw_common_sigma_deg,
        tilt_common_sigma_deg=doubts.tilt_common_sigma_deg,
        clock_common_sigma_s=doubts.clock_common_sigma_s,
        horizontal_sigma_m=doubts.horizontal_sigma_m,
        attitude_sigma_deg=doubts.attitude_sigma_deg,
    )
