# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ground below pictures from files: a height model where one is given, else level ground at take-off height.

What a file calls altitude is often the barometer's, tens of metres off. With the place of take-off the camera stands
as high above the height model there as the file says it is above take-off; both are then in one datum. Without it the
file's altitude above sea level is taken, and where it has none the ground stays level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from missions.geo import GeoPoint
from missions.terrain import GridTerrain, OutsideTerrainError, height_at
from vision.errors import PictureError
from vision.frame import CameraPose
from vision.geolocate import Locator
from vision.poses import locator_of


class Ground:
    """Locators for the pictures of one run. PictureError if take-off lies outside the height model."""

    def __init__(self, terrain: GridTerrain | None, take_off: GeoPoint | None, tell: Callable[[str], None]) -> None:
        self._locator = None if terrain is None else Locator(terrain)
        self._tell = tell
        self._said: set[str] = set()
        self._take_off_amsl_m: float | None = None
        if terrain is not None and take_off is not None:
            try:
                self._take_off_amsl_m = height_at(terrain, take_off)
            except OutsideTerrainError as error:
                raise PictureError(f"take-off: {error}") from error

    def under(self, pose: CameraPose, ground_amsl_m: float, *, amsl_known: bool) -> tuple[CameraPose, Locator]:
        """The pose, in the height model's datum where there is one, and what locates from it."""
        level = locator_of(pose, ground_amsl_m)
        if self._locator is None:
            return pose, level
        if self._take_off_amsl_m is not None:
            raised = replace(pose, amsl_m=self._take_off_amsl_m + pose.height_above_home_m)
        elif amsl_known:
            raised = pose
        else:
            self._once("no altitude above sea level in the file: the ground is taken to be level; --take-off helps")
            return pose, level
        above = self._locator.height_above_ground_m(raised)
        if above is None:
            self._once("taken outside the height model: there the ground is taken to be level with take-off")
            return pose, level
        if above < 1.0:
            self._once(
                f"the file's altitude lies {-above:.0f} m below the height model, so the ground is taken to be level;"
                " state where it took off with --take-off"
            )
            return pose, level
        return raised, self._locator

    def _once(self, text: str) -> None:
        if text.split(":", maxsplit=1)[0][:20] not in self._said:
            self._said.add(text.split(":", maxsplit=1)[0][:20])
            self._tell(text)
