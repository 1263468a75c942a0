# SPDX-License-Identifier: AGPL-3.0-or-later
"""A search track made shorter where that costs least: a stretch is flown past, or the end is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from missions.geo import FloatArray
from missions.search.improve import Allowance, Raster, Sweep, cut_to
from missions.search.moves import leg_free
from missions.search.sweep import sweep_track
from missions.search.tracks import cost_m, passes_frame


class Shortener:
    """Knows what all tracks find together. Tracks (n, 2) in metres of the raster's frame."""

    def __init__(self, tracks: Sequence[FloatArray], raster: Raster, sweep: Sweep) -> None:
        self._raster, self._sweep = raster, sweep
        self._frame = passes_frame(raster, sweep)
        self._mass = np.ascontiguousarray(raster.mass)
        self._counts = np.zeros(raster.mass.shape, dtype=np.int32)
        self._tracks = [np.ascontiguousarray(t) for t in tracks]
        self.found = 0.0  # by all of them
        for track in self._tracks:
            self.found += self._pass(track, 1)

    def shorter(
        self, index: int, allowance: Allowance, turn_m: float, metres: float
    ) -> tuple[FloatArray, float] | None:
        """The track of one vehicle with at least so many metres less, so that all find most, and what is lost by it.

        None when nothing is left of it.
        """
        track = self._tracks[index]
        wanted = cost_m(track, allowance, turn_m) - metres
        if wanted <= 0.0 or len(track) < 2:
            return None
        was = -self._pass(track, -1)
        best, most = cut_to(track, Allowance(wanted, allowance.start_m, allowance.home_m), turn_m), -1.0
        for other in (best, *self._past(track, allowance, turn_m, wanted)):
            found = self._pass(other, 1)
            self._pass(other, -1)
            if found > most + 1e-12:
                best, most = other, found
        self._pass(track, 1)
        return (best, was - most) if len(best) > 1 else None

    def _past(self, track: FloatArray, allowance: Allowance, turn_m: float, wanted: float) -> Iterator[FloatArray]:
        """Tracks that fly past a stretch: after each corner the shortest one that saves enough."""
        last = len(track) - 1
        for k in range(last - 1):
            for after in range(k + 2, last + 1):
                other = np.vstack([track[: k + 1], track[after:]])
                if cost_m(other, allowance, turn_m) <= wanted:
                    if self._free(track[k], track[after]):
                        yield other
                    break

    def _free(self, one: FloatArray, other: FloatArray) -> bool:
        return bool(
            leg_free(self._raster.blocked, self._frame, float(one[0]), float(one[1]), float(other[0]), float(other[1]))
        )

    def _pass(self, track: FloatArray, sign: int) -> float:
        return float(sweep_track(self._counts, self._mass, self._sweep.pod, self._frame, track, sign))
