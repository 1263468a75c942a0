# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes into an eye and comes out of its two steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from vision.change import ChangeSettings
from vision.detector import Detection
from vision.frame import Frame
from vision.sighting import Sighting
from vision.tiled import TileLook
from vision.tracker import TrackerSettings
from vision.unite import Observation

UNCHANGED: Final = "nothing has changed since the last look"
_VIEW_MARGIN_PX: Final = 8.0
_MIN_HEIGHT_M: Final = 12.0


@dataclass(frozen=True, slots=True)
class EyeSettings:
    """What an eye may be told."""

    min_height_m: float = _MIN_HEIGHT_M  # lower, a vehicle is at its dock or landing
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    change: ChangeSettings | None = None  # for a fixed camera: pictures in which nothing changed are passed over
    every_s: float = 0.0  # between two pictures of a camera that is visited; 0: by the camera's own rate


def sampled(every_s: float, settings: EyeSettings | None = None) -> EyeSettings:
    """Settings for a fixed camera that is looked at every so many seconds: a track outlives some of its pauses.

    It stands as low as it stands: no height is too low.
    """
    settings = settings or EyeSettings()
    tracker = settings.tracker
    patient = replace(
        tracker,
        unseen_s=max(tracker.unseen_s, 2.5 * every_s),
        unseen_confirmed_s=max(tracker.unseen_confirmed_s, 8.5 * every_s),
        update_s=max(tracker.update_s, 0.5 * every_s),  # visits are not punctual, and each is to tell
    )
    return replace(
        settings, min_height_m=0.0, tracker=patient, change=settings.change or ChangeSettings(), every_s=every_s
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one frame. `why_not` names why it was not looked at; faint: as in Glance."""

    sightings: tuple[Sighting, ...]
    observations: tuple[Observation, ...]
    why_not: str | None
    learned_s: float
    total_s: float
    faint: tuple[Observation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """What the detectors found in one frame. `spots()` waits for the classical one; tiles: what a look in tiles covered.

    `why_not` names why they were not asked. faint: who may be there besides, too unsure to be told of: to be blurred.
    """

    frame: Frame
    learned: tuple[Detection, ...]
    spots: Callable[[], list[Detection]]
    tiles: TileLook | None
    why_not: str | None
    learned_s: float
    took_s: float
    gsd_m: float | None = None
    faint: tuple[Observation, ...] = ()

    def covers(self, pixel: tuple[float, float]) -> bool:
        """Whether a thing at this pixel could have been found: well inside the picture, and in a tile that was looked at."""
        if not inside(pixel, self.frame):
            return False
        if self.tiles is None:
            return True
        x, y = pixel
        return any(t.left_px <= x < t.right_px and t.top_px <= y < t.bottom_px for t in self.tiles.looked_at)


def inside(pixel: tuple[float, float], frame: Frame) -> bool:
    """Whether a pixel lies in the picture, and not at its very edge."""
    return (
        _VIEW_MARGIN_PX <= pixel[0] <= frame.width_px - _VIEW_MARGIN_PX
        and _VIEW_MARGIN_PX <= pixel[1] <= frame.height_px - _VIEW_MARGIN_PX
    )
