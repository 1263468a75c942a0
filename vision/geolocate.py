# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a pixel to a place on the ground, with its doubt.

Undistort -> ray in camera axes -> east-north-up by the camera's attitude -> march through the terrain -> place. The
covariance comes from a numeric Jacobian over everything that is not known exactly, in two parts: what all looks of a
flight share (GNSS, compass, gimbal mounting, clock, terrain) and what is drawn anew at every look.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.model import Camera
from missions.terrain import FlatTerrain, GridTerrain, OutsideTerrainError, Terrain
from vision.camera_model import camera_to_enu, project, rays
from vision.ellipse import ground_ellipse
from vision.frame import CameraPose
from vision.sighting import GroundEllipse

MAX_RANGE_M: Final = 1500.0
_MIN_STEPS, _MAX_STEPS = 24, 600
_REFINE_PARTS: Final = 16
_RANGE_TOLERANCE_M: Final = 0.02
_NEWTON_STEPS: Final = 8
_LEVEL: Final = 1e-9  # a ray that sinks no faster meets no level ground
_ANGLE_STEP_DEG: Final = 0.05
_LENGTH_STEP_M: Final = 0.2
_PIXEL_STEP: Final = 0.5
_TWO_STEPS: Final = 2.0 * np.array([*(_ANGLE_STEP_DEG,) * 3, _PIXEL_STEP, _PIXEL_STEP, _LENGTH_STEP_M])
_SHIFTS_PX: Final = _PIXEL_STEP * np.array([[0.0, -1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, -1.0, 1.0]])  # of u, of v


@dataclass(frozen=True, slots=True, eq=False)
class GroundFix:
    """One look's place: east-north in the locator's frame, height, doubt, slant range.

    look_cov: (2, 2) in m^2, drawn anew at every look. common_slopes: (2, k), how far one sigma of each of k common
    errors moves the place; kept apart, because an error of height or heading moves places ahead of the vehicle and
    behind it in opposite directions.
    """

    east_north_m: FloatArray
    amsl_m: float
    look_cov: FloatArray
    common_slopes: FloatArray
    range_m: float
    metres_per_px: float  # across the line of sight

    @property
    def common_cov(self) -> FloatArray:
        """(2, 2) in m^2."""
        return self.common_slopes @ self.common_slopes.T


class Locator:
    """Turns pixels into places over one terrain, in one local frame.

    The frame is the terrain's own, else one around `origin`, else one around the first camera seen.
    """

    def __init__(self, terrain: Terrain, origin: GeoPoint | None = None) -> None:
        self.terrain = terrain
        self._frame: LocalFrame | None = None
        self._choosing = threading.Lock()
        self._last: tuple[CameraPose, FloatArray] | None = None  # everything in a frame asks for the same pose
        if isinstance(terrain, GridTerrain):
            self._frame = terrain.frame
        elif origin is not None:
            self._frame = LocalFrame(origin)

    @property
    def frame(self) -> LocalFrame:
        """The frame of all places; ValueError before the first camera if nothing gave one."""
        if self._frame is None:
            raise ValueError("no place was located yet, so there is no frame")
        return self._frame

    def camera_place(self, pose: CameraPose) -> FloatArray:
        """(east, north, up) of the camera in this locator's frame; up is above mean sea level."""
        last = self._last  # once: another thread may change it
        if last is not None and last[0] is pose:
            return last[1]
        point = GeoPoint(pose.latitude_deg, pose.longitude_deg)
        with self._choosing:
            if self._frame is None:
                self._frame = LocalFrame(point)
        east, north = self._frame.to_enu(point)
        place = np.array([east, north, pose.amsl_m])
        place.flags.writeable = False
        self._last = pose, place
        return place

    def ground_amsl_m(self, east_north_m: FloatArray) -> FloatArray:
        """Terrain heights under (n, 2) places; raises OutsideTerrainError."""
        if isinstance(self.terrain, GridTerrain):
            return self.terrain.height_at_enu(east_north_m[:, 0], east_north_m[:, 1])
        if isinstance(self.terrain, FlatTerrain):
            return np.full(len(east_north_m), self.terrain.amsl_m)
        geo = self.frame.to_geo_array(east_north_m)
        return self.terrain.height_amsl_m(geo[:, 0], geo[:, 1])

    def height_above_ground_m(self, pose: CameraPose) -> float | None:
        """How high the camera is above the ground below it; None outside the terrain."""
        place = self.camera_place(pose)
        try:
            return float(place[2] - self.ground_amsl_m(place[None, :2])[0])
        except OutsideTerrainError:
            return None

    def gsd_m(self, camera: Camera, pose: CameraPose) -> float | None:
        """Metres per pixel across the line of sight at the picture's centre; None where no ground is seen."""
        hit = self._first_hit(self.camera_place(pose), self._directions(camera, pose, camera.cx_px, camera.cy_px)[0])
        if hit is None:
            return None
        return hit / math.sqrt(camera.fx_px * camera.fy_px)

    def finest_gsd_m(self, camera: Camera, pose: CameraPose) -> float | None:
        """The same at the nearest ground in the picture, which lies at its edge; None where no ground is seen."""
        across, down = (camera.width_px - 1) / 2, (camera.height_px - 1) / 2
        steps = [(i * across, j * down) for i in range(3) for j in range(3)]
        directions = self._directions(camera, pose, *zip(*steps, strict=True))
        start = self.camera_place(pose)
        hits = [hit for direction in directions if (hit := self._first_hit(start, direction)) is not None]
        return min(hits) / math.sqrt(camera.fx_px * camera.fy_px) if hits else None

    def locate(
        self, camera: Camera, pose: CameraPose, u_px: float, v_px: float, pixel_sigma: float = 1.0
    ) -> GroundFix | None:
        """Where the ray through a pixel meets the ground; None where it meets none within range or terrain."""
        through = rays(camera, u_px + _SHIFTS_PX[0], v_px + _SHIFTS_PX[1])
        turned = _turned_cameras(pose.yaw_deg, pose.pitch_deg, pose.roll_deg)
        # rows: nominal, +-yaw, +-pitch, +-roll, +-u, +-v, then the camera moved down and up
        directions = np.empty((13, 3))
        directions[:7], directions[7:11] = turned @ through[0], through[1:] @ turned[0].T
        directions[11:] = directions[0]
        directions = _unit(directions)
        start = self.camera_place(pose)
        reach = self._first_hit(start, directions[0])
        if reach is None:
            return None
        origins = np.tile(start, (len(directions), 1))
        origins[-2, 2] -= _LENGTH_STEP_M
        origins[-1, 2] += _LENGTH_STEP_M
        try:
            places = self._settle(origins, directions, reach)
        except OutsideTerrainError:
            return None
        # (2, 6): metres per degree of yaw, pitch and roll, per pixel of u and v, per metre of height
        slopes = ((places[2::2, :2] - places[1::2, :2]) / _TWO_STEPS[:, None]).T
        vertical = math.hypot(pose.vertical_common_sigma_m, self.terrain.vertical_error_m)
        tilt = pose.tilt_common_sigma_deg
        common = np.zeros((2, 7))
        common[0, 0] = common[1, 1] = pose.horizontal_common_sigma_m
        common[:, 2] = slopes[:, 5] * vertical
        common[:, 3:6] = slopes[:, :3] * (pose.yaw_common_sigma_deg, tilt, tilt)
        common[:, 6] = pose.velocity_east_m_s, pose.velocity_north_m_s
        common[:, 6] *= pose.clock_common_sigma_s
        drawn = slopes[:, :5] * (*(pose.attitude_sigma_deg,) * 3, pixel_sigma, pixel_sigma)
        look = drawn @ drawn.T
        look[0, 0] += pose.horizontal_sigma_m**2
        look[1, 1] += pose.horizontal_sigma_m**2
        span = math.dist(places[0], start)
        return GroundFix(
            places[0, :2], float(places[0, 2]), look, common, span, span / math.sqrt(camera.fx_px * camera.fy_px)
        )

    def ellipse(self, fix: GroundFix) -> GroundEllipse:
        """A single look's place as what sightings carry."""
        return ground_ellipse(self.frame, fix.east_north_m, fix.amsl_m, fix.look_cov + fix.common_cov, fix.common_cov)

    def pixel_of(
        self, camera: Camera, pose: CameraPose, east_north_m: FloatArray, amsl_m: float
    ) -> tuple[float, float] | None:
        """Where a place on the ground appears; None when it is behind the camera or far outside the picture."""
        offset = np.array([east_north_m[0], east_north_m[1], amsl_m]) - self.camera_place(pose)
        return project(camera, camera_to_enu(pose.yaw_deg, pose.pitch_deg, pose.roll_deg), offset)

    @staticmethod
    def _directions(camera: Camera, pose: CameraPose, u_px: ArrayLike, v_px: ArrayLike) -> FloatArray:
        """(n, 3) unit rays in east-north-up through n pixels."""
        return _unit(rays(camera, u_px, v_px) @ camera_to_enu(pose.yaw_deg, pose.pitch_deg, pose.roll_deg).T)

    def _first_hit(self, start: FloatArray, direction: FloatArray) -> float | None:
        """Slant range at which a ray first goes under the ground; None if it does not within MAX_RANGE_M."""
        try:
            below = float(start[2] - self.ground_amsl_m(start[None, :2])[0])
        except OutsideTerrainError:
            return None
        if below <= 0:
            return None
        if isinstance(self.terrain, FlatTerrain):
            hit = below / max(-float(direction[2]), _LEVEL)
            return hit if hit < MAX_RANGE_M else None
        horizontal = float(np.hypot(direction[0], direction[1]))
        end = MAX_RANGE_M
        if direction[2] < 0:
            # a ray that has come this far below the ground under the camera is under any ground a drone flies over
            end = min(MAX_RANGE_M, (below + 400.0) / -float(direction[2]))
        steps = int(np.clip(end * horizontal / (0.5 * self.terrain.resolution_m), _MIN_STEPS, _MAX_STEPS))
        ranges = np.linspace(0.0, end, steps + 1)
        points = start + ranges[:, None] * direction
        above = self._clearance(points)
        under = np.flatnonzero(above < 0)
        if len(under) == 0:
            return None
        far = float(ranges[under[0]])
        near = float(ranges[under[0] - 1])
        while far - near > _RANGE_TOLERANCE_M:  # by sixteenths: one look at the terrain costs as much as sixteen
            ranges = np.linspace(near, far, _REFINE_PARTS + 1)
            under = np.flatnonzero(self._clearance(start + ranges[1:, None] * direction) < 0)
            first = int(under[0]) if len(under) else _REFINE_PARTS - 1
            near, far = float(ranges[first]), float(ranges[first + 1])
        return (near + far) / 2

    def _clearance(self, points: FloatArray) -> FloatArray:
        """Heights above ground along a ray; beyond the terrain's edge they count as above it (no hit)."""
        try:
            return np.asarray(points[:, 2] - self.ground_amsl_m(points[:, :2]))
        except OutsideTerrainError:
            clear = np.full(len(points), np.inf)
            for i, point in enumerate(points):
                try:
                    clear[i] = point[2] - self.ground_amsl_m(point[None, :2])[0]
                except OutsideTerrainError:
                    break
            return clear

    def _settle(self, origins: FloatArray, directions: FloatArray, reach: float) -> FloatArray:
        """Places where rays near one whose range is known meet the ground: secant steps, all rays at once."""
        if isinstance(self.terrain, FlatTerrain):
            ranges = (origins[:, 2] - self.terrain.amsl_m) / np.maximum(-directions[:, 2], _LEVEL)
            return np.asarray(origins + ranges.clip(0.2 * reach, 5.0 * reach)[:, None] * directions)
        t0 = np.full(len(directions), reach)
        t1 = t0 * 1.001 + 0.01
        f0 = self._height_over(origins, directions, t0)
        for _ in range(_NEWTON_STEPS):
            f1 = self._height_over(origins, directions, t1)
            flat = np.abs(f1 - f0) < 1e-9
            step = np.where(flat, 0.0, f1 * (t1 - t0) / np.where(flat, 1.0, f1 - f0))
            t0, f0, t1 = t1, f1, np.clip(t1 - step, 0.2 * reach, 5.0 * reach)
            if np.max(np.abs(step)) < 1e-5:
                break
        return np.asarray(origins + t1[:, None] * directions)

    def _height_over(self, origins: FloatArray, directions: FloatArray, ranges: FloatArray) -> FloatArray:
        points = origins + ranges[:, None] * directions
        return np.asarray(points[:, 2] - self.ground_amsl_m(points[:, :2]))


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


@lru_cache(maxsize=16)
def _turned_cameras(yaw_deg: float, pitch_deg: float, roll_deg: float) -> FloatArray:
    """(7, 3, 3) from camera axes to east-north-up: as it is, then turned by +-_ANGLE_STEP_DEG about three axes.

    Heading turns about the vertical; pitch and roll about the right and forward axes in the horizontal, because
    straight down a roll about the optical axis would be the same as a turn, and one direction of tilt would be lost.
    """
    camera = camera_to_enu(yaw_deg, pitch_deg, roll_deg)
    heading = math.radians(yaw_deg)
    sin, cos = math.sin(heading), math.cos(heading)
    step = math.radians(_ANGLE_STEP_DEG)
    axes = [np.array(axis) for axis in ((0.0, 0.0, -1.0), (cos, -sin, 0.0), (sin, cos, 0.0))]
    return np.array([camera, *(_rotation(axis, sign * step) @ camera for axis in axes for sign in (-1.0, 1.0))])


def _rotation(axis: FloatArray, angle: float) -> FloatArray:
    """Rodrigues' rotation matrix about a unit axis."""
    x, y, z = axis
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * skew + (1.0 - math.cos(angle)) * (skew @ skew))
