# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures that their file says to be shown turned, turned, and camera and pose so that every ray stays what it was. Pure.

The attitude that a drone writes is of its sensor, whose rows the file holds. A camera turned by a quarter about its axis
sees the same rays through a picture turned by a quarter, so a place on the ground is the same to the last digit.
Source: Exif 2.32 (CIPA DC-008), clause 4.6.4, Orientation. Mirrored orientations (2, 4, 5, 7), which no camera writes, are
left as they lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from missions.geo import wrap_degrees
from missions.model import Camera
from vision.frame import CameraPose, Frame

CLOCKWISE_DEG: Final[Mapping[int, int]] = {3: 180, 6: 90, 8: 270}  # what brings a picture upright, by Exif's number


def turned(frame: Frame, clockwise_deg: int) -> Frame:
    """The frame turned by a multiple of 90 degrees, with its camera and pose."""
    quarters = clockwise_deg // 90 % 4
    if not quarters:
        return frame
    camera = frame.camera
    for _ in range(quarters):
        camera = None if camera is None else _quarter(camera)
    pixels: NDArray[Any] = np.ascontiguousarray(np.rot90(frame.pixels, -quarters))
    pose = None if frame.pose is None else _rolled(frame.pose, -90.0 * quarters)
    return replace(frame, pixels=pixels, camera=camera, pose=pose)


def _quarter(camera: Camera) -> Camera:
    """The camera of the picture turned by 90 degrees clockwise: a pixel (u, v) becomes (height - v, u)."""
    k1, k2, p1, p2, k3 = camera.distortion
    return replace(
        camera,
        width_px=camera.height_px,
        height_px=camera.width_px,
        fx_px=camera.fy_px,
        fy_px=camera.fx_px,
        cx_px=camera.height_px - camera.cy_px,
        cy_px=camera.cx_px,
        distortion=(k1, k2, p2, -p1, k3),
    )


def _rolled(pose: CameraPose, deg: float) -> CameraPose:
    return replace(pose, roll_deg=wrap_degrees(pose.roll_deg + deg))
