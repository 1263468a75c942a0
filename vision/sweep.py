# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which tiles of a picture are looked at now: those that have waited longest, then where something calls. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from vision.tiles import Floats, Tile, TilePlan, TileSettings

_CELLS: Final = 64  # across and down a picture: finer than tiles overlap
_SHARE: Final = 1e-3  # of a frame


class Sweep:
    """Chooses the tiles of each frame. `promised_frames` after any frame, every tile has been looked at since."""

    def __init__(self, tiles: int, settings: TileSettings) -> None:
        if tiles < 1:
            raise ValueError("a sweep needs at least one tile")
        self._limit = tiles if settings.per_frame is None else min(settings.per_frame, tiles)
        self._due = min(self._limit, math.ceil(tiles / settings.sweep_frames))
        self.promised_frames = math.ceil(tiles / self._due)
        self._waited = np.zeros(tiles)  # frames since each was looked at

    def begin(self, waited: Floats) -> None:
        """Start with tiles that have waited so long, (tiles,) in frames, because a sweep by another plan was going on."""
        self._waited = np.array(waited, dtype=np.float64)

    def choose(self, interest: Floats) -> list[int]:
        """Tiles to look at now, most urgent first. interest: (tiles,), what motion and saliency say; any scale."""
        if interest.shape != self._waited.shape:
            raise ValueError(f"{len(self._waited)} tiles, and interest of shape {interest.shape}")
        self._waited += 1
        oldest = np.argsort(-self._waited, kind="stable")[: self._due]
        waiting = set(map(int, oldest))
        others = [int(i) for i in np.argsort(-np.nan_to_num(interest), kind="stable") if int(i) not in waiting]
        chosen = [*map(int, oldest), *others[: self._limit - self._due]]
        self._waited[chosen] = 0
        return chosen


class Waits:
    """For how many frames each part of a picture has not been looked at, whatever tiles it was cut into."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = width_px, height_px
        self._frames = np.zeros((_CELLS, _CELLS))

    def fits(self, plan: TilePlan) -> bool:
        """Whether this is about pictures of that size."""
        return self._size == (plan.width_px, plan.height_px)

    def step(self, looked_at: Sequence[Tile]) -> None:
        """One frame more, in which these tiles were looked at."""
        self._frames += 1
        for tile in looked_at:
            (left, right), (top, bottom) = (
                (math.ceil(a * _CELLS / side), b * _CELLS // side)
                for a, b, side in (
                    (tile.left_px, tile.right_px, self._size[0]),
                    (tile.top_px, tile.bottom_px, self._size[1]),
                )
            )
            self._frames[top:bottom, left:right] = 0

    def of(self, plan: TilePlan) -> Floats:
        """(tiles,): of each tile the part that has waited longest; between equals, where more has waited comes first."""
        out = []
        for tile in plan.tiles:
            (left, right), (top, bottom) = (
                (a * _CELLS // side, math.ceil(b * _CELLS / side))
                for a, b, side in (
                    (tile.left_px, tile.right_px, self._size[0]),
                    (tile.top_px, tile.bottom_px, self._size[1]),
                )
            )
            part = self._frames[top:bottom, left:right]
            out.append(float(part.max()) + _SHARE * float(part.mean()))
        return np.array(out)
