# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a point of the world lands in a picture, and which ray belongs to a pixel. The renderer's own projection.

World frame: east, north, up in metres around the scene's origin. Camera frame: x right, y down, z forward. Distortion is
Brown-Conrady with OpenCV's order of coefficients (k1, k2, p1, p2, k3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lens:
    """A pinhole with distortion."""

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, float, float, float, float]

    def distort(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Normalised coordinates to distorted ones (Brown 1966 as OpenCV writes it)."""
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return (
            x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x),
            y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y,
        )

    def undistort(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Inverse of distort by fixed-point iteration; to 1e-6 for lenses of ordinary distortion."""
        ux, uy = x.copy(), y.copy()
        for _ in range(12):
            dx, dy = self.distort(ux, uy)
            ux, uy = ux + x - dx, uy + y - dy
        return ux, uy


@dataclass(frozen=True, slots=True)
class View:
    """A lens at a place, looking somewhere. axes: rows are the camera's right, down and forward in east-north-up."""

    lens: Lens
    position: FloatArray
    axes: FloatArray

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points (n, 3) to pixels (n, 2) and depths (n,) along the optical axis; depth <= 0 is behind the camera."""
        local = (points - self.position) @ self.axes.T
        depth = local[:, 2]
        safe = np.where(depth > 1e-6, depth, 1e-6)
        x, y = self.lens.distort(local[:, 0] / safe, local[:, 1] / safe)
        pixels = np.stack([x * self.lens.fx_px + self.lens.cx_px, y * self.lens.fy_px + self.lens.cy_px], axis=1)
        return pixels, depth

    def rays(self, u_px: FloatArray, v_px: FloatArray) -> FloatArray:
        """Unit directions (n, 3) in east-north-up of pixels."""
        x = (u_px - self.lens.cx_px) / self.lens.fx_px
        y = (v_px - self.lens.cy_px) / self.lens.fy_px
        x, y = self.lens.undistort(x, y)
        local = np.stack([x, y, np.ones_like(x)], axis=1)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        return np.asarray(local @ self.axes)


def camera_axes(yaw_deg: float, pitch_deg: float, roll_deg: float) -> FloatArray:
    """Rows right, down, forward in east-north-up for an optical axis of that yaw, pitch (-90 down) and roll."""
    yaw, pitch, roll = math.radians(yaw_deg), math.radians(pitch_deg), math.radians(roll_deg)
    forward = np.array([math.cos(pitch) * math.sin(yaw), math.cos(pitch) * math.cos(yaw), math.sin(pitch)])
    right = np.array([math.cos(yaw), -math.sin(yaw), 0.0])
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward])
