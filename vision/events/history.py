# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the rules remember of one track: since when it stands still, and since when it is in which area.

All of it is judged against the places' own doubt. Errors that looks share move slowly with the camera; what they may
do between two looks is allowed for, so that a camera's motion is not taken for the thing's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean, median
from typing import Final

import numpy as np

from missions.geo import FloatArray
from vision.events.model import UNSEEN_S, Area, Point, TrackState
from vision.sighting import Kind

_TWO_SIDED_95: Final = 1.959963984540054  # of the normal distribution
_KEPT: Final = 64
_FIRST_KEPT: Final = 5
_TOO_VAGUE_M: Final = 6.0  # standing still within so much says nothing about a person or a car


def _unit_places(count: int = 64) -> FloatArray:
    """(count, 2) places that share a circular unit normal distribution equally: a sunflower (Vogel 1979) bent to it."""
    rank = (np.arange(count) + 0.5) / count
    radius = np.sqrt(-2.0 * np.log1p(-rank))
    angle = np.arange(count) * (math.pi * (3.0 - math.sqrt(5.0)))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


_PLACES: Final = _unit_places()
_FARTHEST: Final = float(np.hypot(*_PLACES.T).max())


def contains(ring: Sequence[Point], places: FloatArray) -> np.ndarray:
    """(n,) whether an open ring contains each of the (n, 2) places; even-odd rule."""
    inside = np.zeros(len(places), dtype=bool)
    x, y = places[:, 0], places[:, 1]
    for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        crosses = (y1 > y) != (y2 > y)
        if y1 != y2:
            inside ^= crosses & (x < x1 + (x2 - x1) * (y - y1) / (y2 - y1))
    return inside


def probability_inside(ring: Sequence[Point], state: TrackState) -> float:
    """How probably a thing is in an area, by its place's doubt; right to some hundredths, in narrow areas as well."""
    west, south, east, north = _bounds(tuple(ring))
    reach = _FARTHEST * state.doubt_m
    if not (west - reach <= state.east_m <= east + reach and south - reach <= state.north_m <= north + reach):
        return 0.0  # not one of the places below can be inside
    places = np.array([state.place]) if state.doubt_m == 0 else np.array(state.place) + _PLACES * state.doubt_m
    return float(contains(ring, places).mean())


@lru_cache(maxsize=256)
def _bounds(ring: tuple[Point, ...]) -> tuple[float, float, float, float]:
    """West, south, east, north."""
    return min(p[0] for p in ring), min(p[1] for p in ring), max(p[0] for p in ring), max(p[1] for p in ring)


@dataclass(slots=True)
class Stay:
    """How long and how surely one track has been in one area. `inside` falls only when the probability falls far."""

    inside: bool = False
    since_s: float = 0.0
    last_s: float = -math.inf
    looks: int = 0
    probability: float = 0.0

    def see(self, time_s: float, probability: float, enter: float, leave: float, gap_s: float) -> None:
        self.probability = probability
        here = probability >= (leave if self.inside else enter)
        if not here or time_s - self.last_s > gap_s:
            self.inside = False
        if here and not self.inside and probability >= enter:
            self.inside, self.since_s, self.looks = True, time_s, 0
        if self.inside:
            self.looks += 1
            self.last_s = time_s


@dataclass(slots=True)
class History:
    """One track's memory. `states` are its newest looks."""

    first_s: float
    states: deque[TrackState] = field(default_factory=lambda: deque(maxlen=_KEPT))
    stays: dict[str, Stay] = field(default_factory=dict)
    anchor: TrackState | None = None
    still_looks: int = 0
    farthest_m: float = 0.0
    alone_since_s: float | None = None
    first_looks: list[TrackState] = field(default_factory=list)  # that have a size, of the kind it is now

    @property
    def last(self) -> TrackState:
        return self.states[-1]

    def see(self, state: TrackState, areas: Sequence[Area], enter: float, leave: float, gap_s: float) -> None:
        """Take the next look; states come in the order of their times."""
        unseen = state.time_s - self.last.time_s if self.states else 0.0
        self.states.append(state)
        if state.long_m is not None:
            if self.first_looks and self.first_looks[0].kind is not state.kind:
                self.first_looks.clear()
            if len(self.first_looks) < _FIRST_KEPT:
                self.first_looks.append(state)
        for area in areas:
            stay = self.stays.setdefault(area.area_id, Stay())
            stay.see(state.time_s, probability_inside(area.ring, state), enter, leave, state.silent_s(gap_s))
        if self.anchor is None or unseen > UNSEEN_S:
            self._anchor(state)

    def _anchor(self, state: TrackState) -> None:
        self.anchor, self.still_looks, self.farthest_m = state, 0, 0.0

    def stand(self, moved_m: float) -> None:
        """Judge the newest look against where the thing stood; beyond what doubt explains it stands anew."""
        if self.anchor is None:
            return
        offset = math.dist(self.anchor.place, self.last.place)
        if offset > self.reach_m(moved_m):
            self._anchor(self.last)
        self.still_looks += 1
        self.farthest_m = max(self.farthest_m, offset if self.anchor is not self.last else 0.0)

    def reach_m(self, moved_m: float) -> float:
        """How far apart two looks at a thing may lie that did not move by more than moved_m."""
        assert self.anchor is not None  # noqa: S101  # stand() and still_s() ask only then
        own = math.hypot(self.anchor.sigma_m, self.last.sigma_m)
        return moved_m + _TWO_SIDED_95 * own + max(self.anchor.common_sigma_m, self.last.common_sigma_m)

    def still_s(self, moved_m: float) -> float:
        """For how long it has not moved; 0 where the places are too vague to say so."""
        if self.anchor is None or self.reach_m(moved_m) > _TOO_VAGUE_M:
            return 0.0
        return self.last.time_s - self.anchor.time_s

    def confidence(self) -> float:
        """Of the newest ten looks, on average."""
        return fmean(s.confidence for s in list(self.states)[-10:])

    def growth(self, kind: Kind, looks: int) -> tuple[float, float, float] | None:
        """Median longest side at its first looks and at its newest, and the time between; None without enough looks."""
        first = [s for s in self.first_looks if s.kind is kind][:looks]
        newest = [s for s in self.states if s.long_m is not None and s.kind is kind][-looks:]
        if len(first) < looks or len(newest) < looks or newest[0].time_s <= first[-1].time_s:
            return None
        was, now = (median(s.long_m or 0.0 for s in part) for part in (first, newest))
        return was, now, newest[-1].time_s - first[0].time_s

    def lying_m(self, steep_deg: float, least_looks: int) -> float | None:
        """Median longest side while it has stood here, as seen from steeply above; None without looks enough."""
        start = self.anchor.time_s if self.anchor is not None else math.inf
        lengths = [
            s.long_m
            for s in self.states
            if s.long_m is not None and (s.depression_deg or 0.0) >= steep_deg and s.time_s >= start
        ]
        return median(lengths) if len(lengths) >= least_looks else None
