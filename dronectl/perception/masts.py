# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fixed cameras as feeds of the vision worker: a pose that never changes, and an address that is visited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dronectl.perception.messages import CameraFeed
from dronectl.site import Mast
from missions.terrain import Terrain
from vision.frame import CameraPose

# one sigma of what somebody with a map and a level gets right on a ladder
_PLACE_SIGMA_M: Final = 1.0
_YAW_SIGMA_DEG: Final = 3.0
_TILT_SIGMA_DEG: Final = 1.5


def mast_feeds(masts: Iterable[Mast], terrain: Terrain) -> list[CameraFeed]:
    """One feed per mast. Raises OutsideTerrainError for one that stands beside the terrain."""
    feeds = []
    for mast in masts:
        at = mast.position
        ground_m = float(terrain.height_amsl_m([at.latitude_deg], [at.longitude_deg])[0])
        pose = CameraPose(
            at.latitude_deg, at.longitude_deg, ground_m + mast.height_m, mast.height_m,
            mast.yaw_deg, mast.pitch_deg, 0.0,
            horizontal_common_sigma_m=_PLACE_SIGMA_M, vertical_common_sigma_m=_PLACE_SIGMA_M,
            yaw_common_sigma_deg=_YAW_SIGMA_DEG, tilt_common_sigma_deg=_TILT_SIGMA_DEG, clock_common_sigma_s=0.0,
            horizontal_sigma_m=0.0, attitude_sigma_deg=0.05,
        )  # fmt: skip
        feeds.append(CameraFeed(mast.camera, None, fixed_pose=pose, address=mast.address, every_s=mast.every_s))
    return feeds
