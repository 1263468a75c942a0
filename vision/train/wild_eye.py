# SPDX-License-Identifier: AGPL-3.0-or-later
"""The camera over rendered wild country: a pinhole at some height that looks down at any angle, over level ground.

World: metres, x to the right of the picture, y away from the camera, z up; the camera stands over the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

_LEAST_BELOW_HORIZON = math.radians(10)


@dataclass(frozen=True, slots=True)
class Eye:
    """Width and height of the picture and focal length in pixels; height over ground in metres; depression in radians."""

    width_px: int
    height_px: int
    focal_px: float
    height_m: float
    depression: float

    @property
    def px_per_m(self) -> float:
        """Pixels per metre where the middle of the picture meets the ground."""
        return self.focal_px * math.sin(self.depression) / self.height_m

    def project(self, points: Points) -> tuple[Points, Points]:
        """Pixels (n, 2) and depth along the optical axis (n, metres) of points (n, 3)."""
        down, ahead = math.sin(self.depression), math.cos(self.depression)
        z = points[:, 2] - self.height_m
        depth = np.maximum(points[:, 1] * ahead - z * down, 0.1)
        below = -points[:, 1] * down - z * ahead
        u = self.focal_px * points[:, 0] / depth + self.width_px / 2
        v = self.focal_px * below / depth + self.height_px / 2
        return np.stack([u, v], axis=1), depth

    def onto_ground(self) -> Points:
        """Homography (3, 3) from the middles of pixels to metres on the ground."""
        down, ahead = math.sin(self.depression), math.cos(self.depression)
        rays = np.array(
            [[1, 0, 0.5 - self.width_px / 2], [0, 1, 0.5 - self.height_px / 2], [0, 0, self.focal_px]], dtype=np.float64
        )
        high = self.height_m
        return np.asarray(np.array([[high, 0, 0], [0, -high * down, high * ahead], [0, ahead, down]]) @ rays)

    def under(self, u: float, v: float) -> tuple[float, float]:
        """Where on the ground (x, y in metres) one pixel looks."""
        right, below = (u - self.width_px / 2) / self.focal_px, (v - self.height_px / 2) / self.focal_px
        down, ahead = math.sin(self.depression), math.cos(self.depression)
        far = self.height_m / (down + below * ahead)
        return far * right, far * (ahead - below * down)


def eye(rng: np.random.Generator, width: int, height: int, px_per_m: tuple[float, float]) -> Eye:
    """Any lens, height and angle at which the middle of the picture has so many pixels per metre."""
    focal = width / 2 / math.tan(math.radians(rng.uniform(24, 70)) / 2)
    steep = rng.random() < 0.6
    depression = math.radians(rng.uniform(65, 90) if steep else rng.uniform(35, 65))
    depression = min(max(depression, math.atan(height / 2 / focal) + _LEAST_BELOW_HORIZON), math.pi / 2)
    scale = math.exp(rng.uniform(math.log(px_per_m[0]), math.log(px_per_m[1])))
    return Eye(width, height, focal, focal * math.sin(depression) / scale, depression)
