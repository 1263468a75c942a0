# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a look through files is asked for and what it counts; names of the pictures that it writes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from missions.geo import GeoPoint
from missions.model import Polarity
from missions.terrain import GridTerrain
from vision.sources.stills import StillOptions

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


def file_name(text: str, longest: int) -> str:
    """The text with what has no place in a file name replaced."""
    return _UNSAFE.sub("_", text)[:longest]


@dataclass(slots=True)
class Tally:
    """What a run counted."""

    pictures: int = 0
    detections: int = 0
    unreadable: int = 0
    damaged: int = 0  # stills of which a part could not be decoded; the rest was looked at
    not_looked_at: int = 0
    without_gsd: int = 0
    without_place: int = 0  # detections
    tracks: int = 0
    black_hot: int = 0  # frames that were taken for it


@dataclass(frozen=True, slots=True)
class StatedScale:
    """The user's own statement of scale, which goes before what a file says: per pixel, or for a picture's width."""

    gsd_m: float | None = None
    ground_width_m: float | None = None

    def gsd(self, width_px: int) -> float | None:
        """Metres per pixel of a picture that is so wide."""
        if self.gsd_m is not None:
            return self.gsd_m
        return None if self.ground_width_m is None else self.ground_width_m / width_px


@dataclass(frozen=True, slots=True)
class ExamineOptions:
    """What to look at and what to leave behind."""

    scale: StatedScale = field(default_factory=StatedScale)
    still: StillOptions = field(default_factory=StillOptions)
    terrain: GridTerrain | None = None  # in place of level ground at take-off
    take_off: GeoPoint | None = None
    every: int = 1
    annotate_dir: Path | None = None  # whole pictures with boxes
    review_dir: Path | None = None  # crop and context of each detection or track
    polarity: Polarity | None = None  # of thermal grey levels; None: as each still looks, white in the rest


class Names:
    """A file name for each source's pictures: its stem, where that says enough, else with a hash of its path."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._stems = Counter(path.stem.lower() for path in paths)

    def of(self, path: Path) -> str:
        """The name; the same in every run that is given the same files."""
        stem = file_name(path.stem, 80)
        if self._stems[path.stem.lower()] <= 1 and stem == path.stem:
            return stem
        return f"{stem}-{hashlib.sha256(str(path).encode(errors='surrogateescape')).hexdigest()[:8]}"
