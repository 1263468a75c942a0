# SPDX-License-Identifier: AGPL-3.0-or-later
"""Observations of one camera become tracks: the same thing seen again, in coordinates that do not move with the camera.

With poses these are metres on the ground; without, pixels of the first frame, to which `vision.stabilise` maps later
ones. Either way a camera that passes at 8-10 m/s with one frame a second gives two or three looks at a place that
stands still, and association is a Mahalanobis gate followed by the cheapest assignment.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

import numpy as np

from missions.geo import FloatArray
from vision.confirm import ConfirmSettings, Verdict, judge
from vision.geolocate import GroundFix
from vision.motion import Look, Motion, estimate, velocity
from vision.sighting import GroundVelocity, Kind, Phase
from vision.unite import Observation

_NO_MATCH: Final = 1e6
_KIND_PENALTY: Final = 6.0  # in squared sigmas: a person does not become a car
_TOGETHER: Final = 2  # frames: a body that falls apart into two spots for one look is still one
_MAX_BESIDE: Final = 24
_WITHIN: Final = 0.5  # of the smaller size: what lies so near in one frame may be one body in two pieces
_BODY_M: Final = 2.0  # what two spots cover together, if they may be pieces of one body that lies under branches
_PIECE: Final = 0.6  # of the contrast of the thing that it belongs to
_NEWS: Final = 0.05  # a gain in confidence that is told at once: it may be what a rule waits for


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """Lengths are metres on the ground, or pixels where there is no pose (see `pixel_settings`)."""

    gate2: float = 11.8  # chi-square with two degrees of freedom, 99.7 %
    unknown_speed: float = 0.9  # per second, one sigma per axis: a walker who may turn
    unknown_s: float = 3.0  # and for so long: what comes back later and farther off is another track, or another thing
    near: float = 1.2  # a second spot this close to a thing seen in the same frame is part of it
    near_fire: float = 6.0
    max_misses: int = 3  # in a row, before confirmation
    max_misses_confirmed: int = 8
    unseen_s: float = 4.0  # out of view, before confirmation
    unseen_confirmed_s: float = 5.0  # what comes back later is another track; places say whether it is the same thing
    update_s: float = 3.0  # at most so often an update without news
    max_tracks: int = 300  # unconfirmed ones beyond it are dropped, oldest first, and counted
    keep_looks: int = 30
    apart_s: float = 0.4  # chances that are to tell a flame's flicker: nearer ones of a quick camera hardly differ
    confirm: ConfirmSettings = field(default_factory=ConfirmSettings)


def pixel_settings(settings: TrackerSettings | None = None) -> TrackerSettings:
    """The same for tracking in pixels."""
    return replace(settings or TrackerSettings(), unknown_speed=12.0, near=8.0, near_fire=60.0)


@dataclass(slots=True)
class Track:
    """One thing followed. Mutable; it belongs to its tracker."""

    number: int
    window: deque[Observation | None]
    spaced: deque[Observation | None]  # those chances that lie at least `apart_s` apart
    spaced_s: float  # when the newest of them was
    looks: deque[Look]
    first_s: float
    last_s: float
    motion: Motion
    amsl_m: float
    looks_total: int = 1
    chances_total: int = 1
    misses: int = 0
    sequence: int = 0
    verdict: Verdict | None = None
    told: Verdict | None = None
    told_s: float = 0.0
    changed_s: float = 0.0  # when it was last told with news: another kind, or clearly more confidence
    size_m: float | None = None
    temperature_max_c: float | None = None
    together: Counter[int] = field(default_factory=Counter)  # frames in which it and another track were seen apart

    @property
    def last_seen(self) -> Observation:
        """The newest look."""
        return next(o for o in reversed(self.window) if o is not None)

    @property
    def velocity(self) -> GroundVelocity | None:
        """Its straight line's velocity with its doubt, whether or not it is taken to move. For tracks on the ground."""
        return velocity(self.looks)

    @property
    def beside(self) -> tuple[int, ...]:
        """Tracks that are other things for certain: seen in the same frames, apart from it; the latest of them."""
        sure = [number for number, frames in self.together.items() if frames >= _TOGETHER]
        return tuple(sorted(sure)[-_MAX_BESIDE:])


@dataclass(frozen=True, slots=True, eq=False)
class TrackEvent:
    """News of a track: it is confirmed, followed or gone. `seen` says whether it is in the present frame."""

    phase: Phase
    track: Track
    sequence: int
    seen: bool


class Tracker:
    """Tracks of one camera. Times must not run backwards; a step back of more than a second drops all tracks."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.tracks: list[Track] = []
        self.dropped_tracks = 0
        self._next = 1
        self._time_s: float | None = None

    def step(
        self,
        time_s: float,
        observations: Sequence[tuple[Observation, GroundFix]],
        in_view: Callable[[FloatArray, float], bool],
        *,
        sun_up: bool | None = None,
    ) -> list[TrackEvent]:
        """Take one frame's observations; in_view(place, amsl_m) says whether a place could have been seen in it.

        sun_up as in `vision.confirm.judge`.
        """
        events: list[TrackEvent] = []
        if self._time_s is not None and time_s < self._time_s - 1.0:
            events += [e for e in (self._end(t) for t in self.tracks) if e is not None]
            self.tracks = []
        self._time_s = time_s
        pairs, unmatched = self._associate(time_s, observations)
        seen = set()
        for index, (observation, fix) in pairs.items():
            track = self.tracks[index]
            self._look(track, time_s, observation, fix)
            seen.add(track.number)
        for track in self.tracks:
            if track.number not in seen and in_view(self._expected(track, time_s), track.amsl_m):
                self._chance(track, time_s, None)
                track.misses += 1
        for observation, fix in unmatched:
            if not self._part_of_known(observation, fix, seen):
                track = self._start(time_s, observation, fix)
                seen.add(track.number)
        self._note_together(seen)
        for track in self.tracks:
            event = self._tell(track, time_s, seen=track.number in seen, sun_up=sun_up)
            if event is not None:
                events.append(event)
        events += self._prune(time_s)
        return events

    def still_there(self, time_s: float) -> list[TrackEvent]:
        """A picture in which nothing has changed since the last step: what that saw is where it was, and is told again."""
        if self._time_s is not None and time_s < self._time_s:
            return []
        self._time_s = time_s
        events = []
        for track in self.tracks:
            if track.told is None or track.misses:
                continue
            track.last_s = time_s
            if time_s - track.told_s >= self.settings.update_s:
                track.told_s = time_s
                track.sequence += 1
                events.append(TrackEvent(Phase.UPDATE, track, track.sequence, seen=False))
        return events

    def finish(self) -> list[TrackEvent]:
        """End all tracks, as when the camera goes away."""
        events = [e for e in (self._end(t) for t in self.tracks) if e is not None]
        self.tracks = []
        return events

    def _associate(
        self, time_s: float, observations: Sequence[tuple[Observation, GroundFix]]
    ) -> tuple[dict[int, tuple[Observation, GroundFix]], list[tuple[Observation, GroundFix]]]:
        if not self.tracks or not observations:
            return {}, list(observations)
        from scipy.optimize import linear_sum_assignment  # slow to import, and most stills have no tracks

        s = self.settings
        cost = np.full((len(self.tracks), len(observations)), _NO_MATCH)
        for i, track in enumerate(self.tracks):
            for j, (observation, fix) in enumerate(observations):
                distance2 = track.motion.gate_distance2(Look(time_s, fix), s.unknown_speed, s.unknown_s)
                if distance2 <= s.gate2:
                    cost[i, j] = distance2 + _misfit(track, observation)
        rows, columns = linear_sum_assignment(cost)
        pairs = {int(i): observations[int(j)] for i, j in zip(rows, columns, strict=True) if cost[i, j] < s.gate2 + 1.0}
        taken = {int(j) for i, j in zip(rows, columns, strict=True) if int(i) in pairs}
        return pairs, [o for j, o in enumerate(observations) if j not in taken]

    def _start(self, time_s: float, observation: Observation, fix: GroundFix) -> Track:
        look = Look(time_s, fix)
        track = Track(
            number=self._next,
            window=deque([observation], maxlen=max(8, self.settings.confirm.chances)),
            spaced=deque([observation], maxlen=8),
            spaced_s=time_s,
            looks=deque([look], maxlen=self.settings.keep_looks),
            first_s=time_s,
            last_s=time_s,
            motion=estimate([look]),
            amsl_m=fix.amsl_m,
            size_m=observation.size_m,
            temperature_max_c=observation.temperature_max_c,
        )
        self._next += 1
        self.tracks.append(track)
        return track

    def _chance(self, track: Track, time_s: float, observation: Observation | None) -> None:
        track.window.append(observation)
        track.chances_total += 1
        if time_s >= track.spaced_s + self.settings.apart_s:
            track.spaced.append(observation)
            track.spaced_s = time_s

    def _look(self, track: Track, time_s: float, observation: Observation, fix: GroundFix) -> None:
        self._chance(track, time_s, observation)
        track.looks.append(Look(time_s, fix))
        track.motion = estimate(track.looks)
        track.amsl_m = fix.amsl_m
        track.last_s = time_s
        track.misses = 0
        track.looks_total += 1
        sizes = [o.size_m for o in track.window if o is not None and o.size_m is not None]
        track.size_m = median(sizes) if sizes else None
        if observation.temperature_max_c is not None:
            track.temperature_max_c = max(observation.temperature_max_c, track.temperature_max_c or -273.15)

    def _expected(self, track: Track, time_s: float) -> FloatArray:
        motion = track.motion
        if motion.velocity is None:
            return motion.place
        return motion.place + motion.velocity * min(time_s - motion.time_s, self.settings.unknown_s)

    def _note_together(self, seen: set[int]) -> None:
        here = [t for t in self.tracks if t.number in seen]
        for i, one in enumerate(here):
            for other in here[i + 1 :]:
                apart = one.looks[-1].fix.east_north_m - other.looks[-1].fix.east_north_m
                if not self._may_be_one(one.last_seen, other.last_seen, float(np.hypot(*apart))):
                    one.together[other.number] += 1
                    other.together[one.number] += 1

    def _may_be_one(self, one: Observation, other: Observation, apart_m: float) -> bool:
        """Whether two spots of one frame can be one body: boxed twice, or in pieces that nobody has named two people."""
        if one.size_m is None or other.size_m is None:
            return False
        if apart_m <= _WITHIN * min(one.size_m, other.size_m):
            return True
        named = self.settings.confirm.mean_score
        if all(o.score(Kind.PERSON) >= named for o in (one, other)) or one.burns or other.burns:
            return False
        return apart_m + (one.size_m + other.size_m) / 2 <= _BODY_M

    def _part_of_known(self, observation: Observation, fix: GroundFix, seen: set[int]) -> bool:
        """Whether a spot lies so close to something seen in this frame that it is a piece of it.

        One that the learned detector has a word on must be far weaker, too: a body half hidden falls apart into pieces
        of unlike warmth, two people beside each other are alike. Both are placed by this frame, whose errors they share.
        """
        if observation.learned_score >= self.settings.confirm.strong_score or observation.learned_kind is Kind.VEHICLE:
            return False
        for track in self.tracks:
            if track.number not in seen:
                continue
            fire = track.last_seen.fire or (track.verdict is not None and track.verdict.kind is Kind.FIRE)
            if fire and observation.learned_kind is Kind.PERSON:
                continue  # somebody at the fire: a box of the flames alone does not come so far
            mounted = track.last_seen.learned_kind is Kind.VEHICLE and observation.learned_kind is Kind.PERSON
            if mounted and observation.learned_score >= self.settings.confirm.mean_score:
                continue
            reach = self.settings.near_fire if fire else self.settings.near
            if observation.learned_kind is not None and observation.hot_sigma > _PIECE * track.last_seen.hot_sigma:
                continue
            if float(np.hypot(*(fix.east_north_m - track.looks[-1].fix.east_north_m))) <= reach:
                return True
        return False

    def _tell(self, track: Track, time_s: float, *, seen: bool, sun_up: bool | None) -> TrackEvent | None:
        if not seen:
            return None
        verdict = judge(
            list(track.window),
            self.settings.confirm,
            spaced=list(track.spaced),
            hottest_c=track.temperature_max_c,
            sun_up=sun_up,
        )
        if verdict is None:
            return None
        if track.verdict is not None and _rank(track.verdict) > _rank(verdict):
            verdict = track.verdict  # once a person, a spot that is seen less well later stays one
        elif track.verdict is not None and track.verdict.kind is verdict.kind:
            verdict = max(track.verdict, verdict, key=lambda v: v.confidence)
        track.verdict = verdict
        told = track.told
        news = told is None or told.kind is not verdict.kind or verdict.confidence - told.confidence > _NEWS
        if not news and time_s - track.told_s < self.settings.update_s:
            return None
        phase = Phase.NEW if told is None else Phase.UPDATE
        if news:
            track.changed_s = time_s
        track.told, track.told_s = verdict, time_s
        track.sequence += 1
        return TrackEvent(phase, track, track.sequence, seen=True)

    def _end(self, track: Track) -> TrackEvent | None:
        if track.told is None:
            return None
        track.sequence += 1
        return TrackEvent(Phase.END, track, track.sequence, seen=False)

    def _prune(self, time_s: float) -> list[TrackEvent]:
        s = self.settings
        kept: list[Track] = []
        events: list[TrackEvent] = []
        for track in self.tracks:
            confirmed = track.told is not None
            misses, unseen = (s.max_misses_confirmed, s.unseen_confirmed_s) if confirmed else (s.max_misses, s.unseen_s)
            if track.misses < misses and time_s - track.last_s <= unseen:
                kept.append(track)
                continue
            event = self._end(track)
            if event is not None:
                events.append(event)
        loose = [t for t in kept if t.told is None]
        if len(kept) > s.max_tracks and loose:
            gone = {t.number for t in sorted(loose, key=lambda t: t.last_s)[: len(kept) - s.max_tracks]}
            self.dropped_tracks += len(gone)
            kept = [t for t in kept if t.number not in gone]
        self.tracks = kept
        return events


def _rank(verdict: Verdict) -> int:
    return {Kind.HOT_SPOT: 0, Kind.FIRE: 2}.get(verdict.kind, 1)


def _misfit(track: Track, observation: Observation) -> float:
    last = track.last_seen
    if last.burns != observation.burns or (last.smoke > 0) != (observation.smoke > 0):
        return _KIND_PENALTY
    a, b = last.learned_kind, observation.learned_kind
    return _KIND_PENALTY if a is not None and b is not None and a is not b else 0.0
