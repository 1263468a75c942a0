# SPDX-License-Identifier: AGPL-3.0-or-later
"""What every detector is: a picture in, boxes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vision.frame import Frame
from vision.sighting import Kind


@dataclass(frozen=True, slots=True)
class Detection:
    """A box in pixels of the full frame: left, top, right, bottom, with right and bottom exclusive."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    kind: Kind
    confidence: float
    detector: str
    temperature_max_c: float | None = None
    contrast_sigma: float | None = None  # classical detectors: height above the surroundings in noise sigmas
    contrast_c: float | None = None  # the same in degrees, radiometric frames only
    area_px: int | None = None  # pixels of the spot itself
    elongation: float | None = None  # of the spot: its long axis over its short one, by second moments
    learned: bool = False  # by a network: what tells its fires from those that are hot

    @property
    def centre_px(self) -> tuple[float, float]:
        return (self.left_px + self.right_px) / 2, (self.top_px + self.bottom_px) / 2

    @property
    def width_px(self) -> float:
        return self.right_px - self.left_px

    @property
    def height_px(self) -> float:
        return self.bottom_px - self.top_px


class Detector(Protocol):
    """Finds things in a frame. Not thread-safe unless it says so."""

    @property
    def name(self) -> str:
        """Engine, model and version: it goes into evidence and alerts."""

    def detect(self, frame: Frame, gsd_m: float | None) -> list[Detection]:
        """Boxes in the frame; gsd_m is the ground sample distance at its centre, None when unknown."""
