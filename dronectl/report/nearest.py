# SPDX-License-Identifier: AGPL-3.0-or-later
"""How near any two vehicles really came to each other away from their pads, by true positions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from dronectl.report.truth import TruePosition
from missions.geo import FloatArray, GeoPoint, LocalFrame
from missions.separation import MINIMA, PAD_RADIUS_M

STEP_S: Final = 0.25  # between looks; positions are known once a second and straight between, which is right to .5 m
_LONGEST_GAP_S = 3.0  # nothing is said of a longer time without a position


@dataclass(frozen=True, slots=True)
class Nearest:
    """The moment at which two vehicles were nearest, as shares of the two distances one of which must be kept."""

    first: str
    second: str
    time_s: float  # on the vehicles' clock
    lateral_m: float
    vertical_m: float
    lateral_needed_m: float = MINIMA.lateral_m
    vertical_needed_m: float = MINIMA.vertical_m

    @property
    def apart(self) -> bool:
        return self.lateral_m >= self.lateral_needed_m or self.vertical_m >= self.vertical_needed_m


def nearest_of(tracks: Mapping[str, Sequence[TruePosition]], pads: Mapping[str, GeoPoint]) -> Nearest | None:
    """Of all moments at which two are farther than 60 m from their own pads; None if there is none.

    tracks: by vehicle, in time, on one clock for all. Who stands on a pad is within its 60 m.
    """
    flown = {v: track for v, track in tracks.items() if v in pads and len(track) > 1}
    if len(flown) < 2:
        return None
    frame = LocalFrame(pads[next(iter(flown))])
    first_s = min(track[0].time_s for track in flown.values())
    last_s = max(track[-1].time_s for track in flown.values())
    times = np.arange(first_s, last_s + STEP_S, STEP_S)
    places = {v: _away(track, pads[v], frame, times) for v, track in flown.items()}
    best: tuple[float, Nearest] | None = None
    for one, two in combinations(sorted(flown), 2):
        apart = places[one] - places[two]
        lateral, vertical = np.hypot(apart[:, 0], apart[:, 1]), np.abs(apart[:, 2])
        share = np.fmax(lateral / MINIMA.lateral_m, vertical / MINIMA.vertical_m)
        if np.isnan(share).all():
            continue
        k = int(np.nanargmin(share))
        if best is None or share[k] < best[0]:
            found = Nearest(one, two, float(times[k]), float(lateral[k]), float(vertical[k]))
            best = float(share[k]), found
    return None if best is None else best[1]


def _away(track: Sequence[TruePosition], pad: GeoPoint, frame: LocalFrame, times: FloatArray) -> FloatArray:
    """East, north and height at each time, (n, 3); NaN where nothing is known, and near the pad."""
    at = np.array([p.time_s for p in track])
    known = np.column_stack(
        [
            frame.to_enu_array([p.latitude_deg for p in track], [p.longitude_deg for p in track]),
            [p.amsl_m for p in track],
        ]
    )
    places = np.column_stack([np.interp(times, at, known[:, axis]) for axis in range(3)])
    after = np.clip(np.searchsorted(at, times), 1, len(at) - 1)
    unknown = (times < at[0]) | (times > at[-1]) | (at[after] - at[after - 1] > _LONGEST_GAP_S)
    near = np.hypot(*(places[:, :2] - np.array(frame.to_enu(pad))).T) <= PAD_RADIUS_M
    places[unknown | near] = np.nan
    return places
