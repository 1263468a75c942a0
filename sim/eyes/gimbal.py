# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a mounted camera truly looks at an exposure: between two true poses, with the gimbal's own faults."""

from __future__ import annotations

import numpy as np

from missions.geo import LocalFrame, wrap_degrees
from sim.config import CameraConfig
from sim.eyes.optics import Lens, View, camera_axes
from sim.pose import TruePose

_BIAS_SIGMA_DEG = 0.5
_JITTER_SIGMA_DEG = 0.12


class Mount:
    """One camera on its gimbal; biases are drawn once."""

    def __init__(self, camera: CameraConfig, seed: int) -> None:
        self._camera = camera
        self._rng = np.random.default_rng([seed, 23])
        self._bias = self._rng.normal(0.0, _BIAS_SIGMA_DEG, 3)
        self.lens = Lens(
            camera.width_px,
            camera.height_px,
            camera.fx_px,
            camera.fy_px,
            camera.cx_px,
            camera.cy_px,
            camera.distortion,
        )

    def view(self, pose: TruePose, frame: LocalFrame) -> View:
        """The view from a pose. A stabilised camera holds its pitch against the horizon and yaws with the body.

        Any other turns with the body whole: a body that rolls tilts a camera that looks down to the side.
        """
        jitter = self._rng.normal(0.0, _JITTER_SIGMA_DEG, 3)
        yaw_off, pitch_off, roll_off = self._bias + jitter
        camera = self._camera
        pitch = camera.mount_pitch_deg if pose.gimbal_pitch_deg is None else pose.gimbal_pitch_deg
        east, north = _enu(frame, pose)
        if camera.stabilised:
            axes = camera_axes(pose.yaw_deg + camera.mount_yaw_deg + yaw_off, pitch + pitch_off, roll_off)
        else:
            right, down, ahead = camera_axes(pose.yaw_deg, pose.pitch_deg, pose.roll_deg)
            on_body = camera_axes(camera.mount_yaw_deg + yaw_off, pitch + pitch_off, roll_off)  # right, ahead, up
            axes = on_body @ np.stack([right, ahead, -down])
        return View(self.lens, np.array([east, north, pose.amsl_m]), axes)


def _enu(frame: LocalFrame, pose: TruePose) -> tuple[float, float]:
    at = frame.to_enu_array([pose.latitude_deg], [pose.longitude_deg])
    return float(at[0, 0]), float(at[0, 1])


def between(a: TruePose, b: TruePose, time_s: float) -> TruePose:
    """The pose at a moment between two: linear, angles the short way round."""
    span = b.time_s - a.time_s
    f = 0.0 if span <= 0 else min(1.0, max(0.0, (time_s - a.time_s) / span))

    def mix(name: str) -> float:
        return float(getattr(a, name) + f * (getattr(b, name) - getattr(a, name)))

    def turn(name: str) -> float:
        return float(getattr(a, name) + f * wrap_degrees(getattr(b, name) - getattr(a, name)))

    return TruePose(
        vehicle_id=a.vehicle_id,
        time_s=time_s,
        latitude_deg=mix("latitude_deg"),
        longitude_deg=mix("longitude_deg"),
        amsl_m=mix("amsl_m"),
        height_above_home_m=mix("height_above_home_m"),
        velocity_north_m_s=mix("velocity_north_m_s"),
        velocity_east_m_s=mix("velocity_east_m_s"),
        velocity_down_m_s=mix("velocity_down_m_s"),
        roll_deg=turn("roll_deg"),
        pitch_deg=turn("pitch_deg"),
        yaw_deg=turn("yaw_deg"),
        gimbal_pitch_deg=b.gimbal_pitch_deg,
    )
