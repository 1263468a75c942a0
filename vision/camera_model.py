# SPDX-License-Identifier: AGPL-3.0-or-later
"""The camera: pixels to rays and back, and attitudes to rotations.

Pinhole with Brown-Conrady distortion k1, k2, p1, p2, k3 as OpenCV defines it (Brown 1966, Conrady 1919). Camera axes:
x right, y down, z forward. World axes: east, north, up. Attitude angles as in `vision.frame.CameraPose`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from missions.geo import FloatArray
from missions.model import Camera

_UNDISTORT_STEPS: Final = 12
_NED_TO_ENU: Final = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
_CAMERA_TO_AXIS: Final = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # forward, right, down


def rotation_ned(yaw_deg: float, pitch_deg: float, roll_deg: float) -> FloatArray:
    """(3, 3) from body axes (forward, right, down) to north-east-down: Rz(yaw) Ry(pitch) Rx(roll)."""
    y, p, r = math.radians(yaw_deg), math.radians(pitch_deg), math.radians(roll_deg)
    cy, sy, cp, sp, cr, sr = math.cos(y), math.sin(y), math.cos(p), math.sin(p), math.cos(r), math.sin(r)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def angles_ned(rotation: FloatArray) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of a rotation; looking straight up or down, roll is 0 and yaw carries it all."""
    pitch = math.asin(max(-1.0, min(1.0, -float(rotation[2, 0]))))
    if abs(rotation[2, 0]) > 1.0 - 1e-12:
        return math.degrees(math.atan2(-rotation[0, 1], rotation[1, 1])), math.degrees(pitch), 0.0
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    roll = math.atan2(rotation[2, 1], rotation[2, 2])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


@lru_cache(maxsize=16)  # everything in a frame asks for the same attitude
def camera_to_enu(yaw_deg: float, pitch_deg: float, roll_deg: float) -> FloatArray:
    """(3, 3) from camera axes (right, down, forward) to east-north-up; read-only."""
    turn = np.asarray(_NED_TO_ENU @ rotation_ned(yaw_deg, pitch_deg, roll_deg) @ _CAMERA_TO_AXIS, dtype=np.float64)
    turn.flags.writeable = False
    return turn


def distort(camera: Camera, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ideal image coordinates (x/z, y/z) to distorted ones."""
    k1, k2, p1, p2, k3 = camera.distortion
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return (
        x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
        y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
    )


def undistort(camera: Camera, u_px: ArrayLike, v_px: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Pixels to ideal image coordinates, by fixed-point iteration of the distortion formula."""
    xd = (np.asarray(u_px, dtype=np.float64) - camera.cx_px) / camera.fx_px
    yd = (np.asarray(v_px, dtype=np.float64) - camera.cy_px) / camera.fy_px
    if not any(camera.distortion):
        return xd, yd
    x, y = xd, yd
    for _ in range(_UNDISTORT_STEPS):
        again_x, again_y = distort(camera, x, y)
        x, y = x + (xd - again_x), y + (yd - again_y)
    return x, y


def rays(camera: Camera, u_px: ArrayLike, v_px: ArrayLike) -> FloatArray:
    """(n, 3) directions in camera axes with z = 1 through n pixels."""
    x, y = undistort(camera, np.atleast_1d(np.asarray(u_px)), np.atleast_1d(np.asarray(v_px)))
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def project(camera: Camera, rotation_to_enu: FloatArray, offset_enu_m: FloatArray) -> tuple[float, float] | None:
    """Pixel of a point given by its offset from the camera in east-north-up; None behind or far outside the view."""
    x, y, z = rotation_to_enu.T @ offset_enu_m
    if z <= 1e-6:
        return None
    ideal_x, ideal_y = x / z, y / z
    # far outside, the distortion polynomial folds back into the picture
    half_width = max(camera.cx_px, camera.width_px - camera.cx_px) / camera.fx_px
    half_height = max(camera.cy_px, camera.height_px - camera.cy_px) / camera.fy_px
    if abs(ideal_x) > 2.0 * half_width or abs(ideal_y) > 2.0 * half_height:
        return None
    xd, yd = distort(camera, np.float64(ideal_x), np.float64(ideal_y))  # type: ignore[arg-type]  # scalars broadcast
    return float(xd * camera.fx_px + camera.cx_px), float(yd * camera.fy_px + camera.cy_px)
