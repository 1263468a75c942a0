# SPDX-License-Identifier: AGPL-3.0-or-later
"""One camera's seeing: a frame with its pose in, sightings out.

Synchronous, in two steps for different threads: `see` (the detectors) keeps the engine busy while `judge` works on the
frame before.

Detectors -> one observation per thing -> places on the ground -> tracks -> verdicts -> sightings with evidence. Frames
that cannot be judged (too low, outside what the model was measured at) are named and counted.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

import numpy as np

from missions.geo import FloatArray
from missions.model import Camera, Modality
from vision.blindness import Blindness
from vision.blur import BLUR_FROM_PX, blurred, searched_only
from vision.change import ChangeGate
from vision.clips import ClipWriter, Film
from vision.daylight import sun_up, utc_of
from vision.detector import Detection, Detector
from vision.ellipse import ground_ellipse
from vision.evidence import About, EvidenceStore, annotate, crop, share_unknowable, unknowable
from vision.eye_types import UNCHANGED, EyeSettings, Glance, Outcome, inside
from vision.frame import Frame, PixelKind
from vision.geolocate import GroundFix, Locator
from vision.polarity import is_stated_black, turned_over
from vision.sighting import Evidence, GroundEllipse, Kind, Phase, Sighting
from vision.stabilise import Stabiliser
from vision.thermal import is_flame, warmth_in
from vision.tiled import TiledDetector
from vision.tiles import Tile
from vision.tracker import Track, Tracker, TrackEvent, pixel_settings
from vision.unite import Observation, unite

_PIXEL_SIGMA = 2.0
_SMOKE_SIGMA = 0.4  # of the longest side: a plume has no sharp end
_OBLIQUE_FROM_DEG = -60.0  # shallower than this, a standing thing is where its feet are
_STILL_LOOKS = 3


class CameraEye:
    """Detectors, tracks and evidence of one camera. Not thread-safe."""

    def __init__(
        self,
        camera: Camera,
        vehicle_id: str | None,
        learned: Detector | None,
        classical: Detector | None,
        locator: Locator | None,
        evidence: EvidenceStore | None,
        run_id: str,
        settings: EyeSettings | None = None,
        context: Callable[[float], Frame | None] = lambda _exposure_s: None,
        gsd_m: float | None = None,
        beside: Executor | None = None,
        clips: ClipWriter | None = None,
        besides: Callable[[Frame], Sequence[Observation]] = lambda _frame: (),
    ) -> None:
        """gsd_m: somebody's own statement of the ground sample distance, for frames without a pose.

        beside: where the classical detector may run while the learned one computes. A TiledDetector as `learned` must
        be this camera's own. besides: people whom another detector sees, to be blurred in what is kept.
        """
        self._camera, self._vehicle_id = camera, vehicle_id
        self._learned, self._classical = learned, classical
        self._locator, self._evidence = locator, evidence
        self._run_id = run_id
        self._settings = settings or EyeSettings()
        self._context, self._besides = context, besides
        self._stated_gsd_m = gsd_m
        self._beside = beside
        self._film = None if clips is None else Film(clips, camera.camera_id)
        self._ground = Tracker(self._settings.tracker)
        self._pixels = Tracker(pixel_settings(self._settings.tracker))
        self._gate = None if self._settings.change is None else ChangeGate(self._settings.change)
        self._blindness = Blindness()
        self._stabiliser = Stabiliser()
        self._epoch = 0
        self._pictures: dict[str, tuple[Evidence, ...]] = {}
        self._confirmed_at: dict[str, float | None] = {}
        self.not_looked_at: Counter[str] = Counter()
        self.looked_at = 0

    @property
    def dropped_tracks(self) -> int:
        return self._ground.dropped_tracks + self._pixels.dropped_tracks

    def look(self, frame: Frame, sent_monotonic_s: float | None = None) -> Outcome:
        """Look at the next frame of this camera: both steps at once."""
        return self.judge(self.see(frame), sent_monotonic_s)

    def see(self, frame: Frame) -> Glance:
        """First step: the detectors. Frames in order, one at a time, if anything in it remembers (tiles, smoke, changes)."""
        began = time.perf_counter()
        if is_stated_black(frame, self._camera.polarity):
            frame = turned_over(frame)
        locator = self._locator
        gsd = self._stated_gsd_m
        if frame.pose is not None and locator is not None:
            height = locator.height_above_ground_m(frame.pose)
            if height is not None and height < self._settings.min_height_m:
                return Glance(frame, (), list, None, "too low", 0.0, time.perf_counter() - began)
            gsd = locator.gsd_m(self._camera, frame.pose)
        blind = self._blindness.why(frame)
        if blind is not None:
            return Glance(frame, (), list, None, blind, 0.0, time.perf_counter() - began)
        if self._gate is not None and not self._gate.open(frame, needed=self._undecided):
            return Glance(frame, (), list, None, UNCHANGED, 0.0, time.perf_counter() - began)
        classical, learned = self._classical, self._learned
        spots: Callable[[], list[Detection]] = list
        if classical is not None and self._beside is not None:
            spots = self._beside.submit(classical.detect, frame, gsd).result
        elif classical is not None:
            spots = partial(classical.detect, frame, gsd)
        started = time.perf_counter()
        found = () if learned is None else tuple(learned.detect(frame, gsd))
        in_tiles = learned if isinstance(learned, TiledDetector) else None
        tiles, faint = (None, ()) if in_tiles is None else (in_tiles.last, tuple(unite(in_tiles.faint)))
        now = time.perf_counter()
        return Glance(frame, found, spots, tiles, None, now - started, now - began, gsd, faint)

    def judge(self, glance: Glance, sent_monotonic_s: float | None = None) -> Outcome:
        """Second step: tracks, places, sightings and evidence. One thread at a time, glances in order."""
        began = time.perf_counter()
        frame, locator = glance.frame, self._locator
        if glance.why_not is not None:
            self.not_looked_at[glance.why_not] += 1
            same: tuple[Sighting, ...] = ()
            if glance.why_not == UNCHANGED:
                told = self._ground.still_there(frame.exposure_s) + self._pixels.still_there(frame.exposure_s)
                same = tuple(self._sighting(event, None, sent_monotonic_s) for event in told)
            return Outcome(same, (), glance.why_not, 0.0, glance.took_s)
        found = unite([*glance.learned, *glance.spots()], partial(is_flame, frame))
        observations = [_measured(o, frame) for o in found]
        if frame.pose is not None and locator is not None:
            events, seen = self._on_ground(glance, locator, observations, sent_monotonic_s)
        else:
            events, seen = self._in_pixels(glance, observations)
        self.looked_at += 1
        keeps = events or self._film is not None
        kept = frame.as_in_file if keeps else frame
        scale_m = self._finest_gsd_m(glance) if keeps and frame.may_show_who else None
        shown = kept
        if events and frame.may_show_who:
            searched = self._searched_only(kept, glance, scale_m)
            shown = blurred(searched, [*seen, *glance.faint, *self._besides(kept)])
        late = () if self._film is None else self._film.late()
        if self._film is not None:  # of known scale, it is made too small to know anybody in it
            filmed = kept if scale_m is not None else self._searched_only(kept, glance, None)
            self._film.take(filmed, [*seen, *glance.faint], scale_m)
        sightings = late + tuple(self._sighting(event, shown, sent_monotonic_s) for event in events)
        took_s = glance.took_s + time.perf_counter() - began
        return Outcome(sightings, tuple(seen), None, glance.learned_s, took_s, glance.faint)

    def _finest_gsd_m(self, glance: Glance) -> float | None:
        """The scale at which people in the picture are largest; None where nobody knows it."""
        pose = glance.frame.pose
        if pose is None or self._locator is None:
            return glance.gsd_m
        return self._locator.finest_gsd_m(self._camera, pose)

    def _searched_only(self, frame: Frame, glance: Glance, scale_m: float | None) -> Frame:
        """The frame without what could be known of people where nobody looked for them."""
        if not frame.may_show_who:
            return frame
        if self._learned is None:  # nowhere; of known scale more may stay
            whole = Tile(0, 0, frame.width_px, frame.height_px)
            share = 1.0 / BLUR_FROM_PX if scale_m is None else share_unknowable(scale_m)
            return frame if share >= 1.0 else searched_only(frame, [whole], share)
        return frame if glance.tiles is None else searched_only(frame, glance.tiles.not_looked_at)

    @property
    def _undecided(self) -> bool:
        """Whether something was seen of which more looks must say what it is."""
        return any(track.told is None for track in (*self._ground.tracks, *self._pixels.tracks))

    def finish(self) -> tuple[Sighting, ...]:
        """End all tracks: the camera is gone."""
        return tuple(self._sighting(event, None, None) for event in self._ground.finish() + self._pixels.finish())

    def _on_ground(
        self, glance: Glance, locator: Locator, observations: Sequence[Observation], sent_monotonic_s: float | None
    ) -> tuple[list[TrackEvent], list[Observation]]:
        frame = glance.frame
        pose = frame.pose
        if pose is None:
            raise ValueError("tracking on the ground needs a pose")
        placed: list[tuple[Observation, GroundFix]] = []
        nowhere: list[Observation] = []
        for observation in observations:
            x, y = observation.centre_px
            if pose.pitch_deg > _OBLIQUE_FROM_DEG:
                y = observation.bottom_px - 0.1 * (observation.bottom_px - observation.top_px)
            vague = _SMOKE_SIGMA * observation.longest_px if observation.smoke else 0.0
            fix = locator.locate(self._camera, pose, x, y, max(_PIXEL_SIGMA, vague))
            if fix is None:
                nowhere.append(observation)
            else:
                ray = locator.camera_place(pose) - np.array([*fix.east_north_m, fix.amsl_m])
                east, north, up = (float(v) for v in ray / np.linalg.norm(ray))
                size_m = observation.longest_px * fix.metres_per_px
                sized = replace(observation, size_m=size_m, view=(east, north, up))
                placed.append((sized, fix))
        if nowhere:
            self.not_looked_at["no ground behind a detection"] += len(nowhere)

        def in_view(place: FloatArray, amsl_m: float) -> bool:
            pixel = locator.pixel_of(self._camera, pose, place, amsl_m)
            return pixel is not None and glance.covers(pixel)

        sun = sun_up(frame, None if sent_monotonic_s is None else utc_of(sent_monotonic_s))
        return self._ground.step(frame.exposure_s, placed, in_view, sun_up=sun), [*(o for o, _ in placed), *nowhere]

    def _in_pixels(
        self, glance: Glance, observations: Sequence[Observation]
    ) -> tuple[list[TrackEvent], list[Observation]]:
        frame = glance.frame
        shift = self._stabiliser.step(frame)
        events: list[TrackEvent] = []
        if shift.epoch != self._epoch:
            self._epoch = shift.epoch
            events += self._pixels.finish()
        placed = [
            (
                o,
                GroundFix(
                    np.array([o.centre_px[0] + shift.x_px, o.centre_px[1] + shift.y_px]),
                    0.0,
                    np.eye(2) * (2 * _PIXEL_SIGMA) ** 2,
                    np.zeros((2, 1)),
                    0.0,
                    1.0,
                ),
            )
            for o in observations
        ]

        def in_view(place: FloatArray, _amsl_m: float) -> bool:
            return glance.covers((place[0] - shift.x_px, place[1] - shift.y_px))

        return events + self._pixels.step(frame.exposure_s, placed, in_view), list(observations)

    def _sighting(self, event: TrackEvent, frame: Frame | None, sent_monotonic_s: float | None) -> Sighting:
        track = event.track
        verdict = track.told
        if verdict is None:
            raise ValueError("a track that was never confirmed makes no sighting")
        on_ground = bool(np.any(track.motion.common_slopes))
        prefix = f"{self._run_id}-{self._camera.camera_id}-{'g' if on_ground else 'p'}"
        track_id = f"{prefix}{track.number}"
        new = track_id not in self._confirmed_at
        if new or (frame is not None and track.told_s == track.changed_s):  # this frame made it what it is now called
            self._confirmed_at[track_id] = sent_monotonic_s
        place = self._place(track) if on_ground else None
        if event.seen and frame is not None and (new or self._better(event, track_id)):
            pictures = self._take_pictures(track_id, event, frame, place, sent_monotonic_s)
            if pictures:
                self._pictures[track_id] = pictures
        moving = track.motion.speed if on_ground else None
        sighting = Sighting(
            track_id=track_id,
            sequence=event.sequence,
            phase=event.phase,
            kind=verdict.kind,
            confidence=verdict.confidence,
            modality=self._camera.modality,
            camera_id=self._camera.camera_id,
            vehicle_id=self._vehicle_id,
            place=place,
            first_exposure_s=track.first_s,
            last_exposure_s=track.last_s,
            confirmed_exposure_monotonic_s=self._confirmed_at[track_id],
            looks=track.looks_total,
            chances=track.chances_total,
            rule=verdict.rule,
            temperature_max_c=track.temperature_max_c,
            size_m=track.size_m,
            speed_m_s=moving
            if moving is not None
            else (0.0 if on_ground and track.looks_total >= _STILL_LOOKS else None),
            detector="; ".join(self._detectors(track)),
            evidence=self._pictures.get(track_id, ()) + (() if self._film is None else self._film.of(track_id)),
            beside=tuple(f"{prefix}{number}" for number in track.beside),
            depression_deg=_depression_deg(track, frame) if on_ground else None,
            velocity=track.velocity if on_ground else None,
            again_s=max(self._settings.tracker.update_s, self._settings.every_s or 1.0 / self._camera.rate_hz),
        )
        if event.phase is Phase.END:
            self._confirmed_at.pop(track_id, None)
            self._pictures.pop(track_id, None)
            if self._film is not None:
                self._film.ended(sighting)
        return sighting

    @staticmethod
    def _detectors(track: Track) -> list[str]:
        names: dict[str, None] = {}
        for observation in track.window:
            if observation is not None:
                names.update(dict.fromkeys(observation.detectors))
        return list(names)

    def _better(self, event: TrackEvent, track_id: str) -> bool:
        """Whether this frame should replace the pictures: news, not a mere reminder."""
        return track_id not in self._pictures or event.track.told_s == event.track.changed_s

    def _place(self, track: Track) -> GroundEllipse | None:
        if self._locator is None:
            return None
        motion = track.motion
        return ground_ellipse(
            self._locator.frame, motion.place, track.amsl_m, motion.look_cov + motion.common_cov, motion.common_cov
        )

    def _take_pictures(
        self, track_id: str, event: TrackEvent, frame: Frame, place: GroundEllipse | None, sent: float | None
    ) -> tuple[Evidence, ...]:
        verdict, store = event.track.told, self._evidence
        if store is None or verdict is None:
            return ()
        observation = event.track.last_seen
        name = f"{track_id}-{event.sequence}"
        caption = f"{verdict.kind.value} {verdict.confidence:.2f}"
        about = About(
            kind=verdict.kind,
            track_id=track_id,
            camera_id=self._camera.camera_id,
            vehicle_id=self._vehicle_id,
            place=place,
            pose=frame.pose,
            detector="; ".join(self._detectors(event.track)),
            taken_at_s=time.time() if sent is None else utc_of(sent),
        )
        pictures = [
            store.save(name, "crop", crop(frame, observation, verdict.kind), about),
            store.save(name, "context", annotate(frame, [(observation, verdict.kind, caption)]), about),
        ]
        if self._film is not None:
            self._film.begin(name, about, frame.exposure_s)
        if place is not None and self._camera.modality is Modality.THERMAL:
            colour = self._in_colour(observation, event.track, frame.exposure_s)
            if colour is not None:
                # nobody may have looked for people in this picture: it is kept so small that nobody can be known
                shown = unknowable(annotate(colour[0], [(colour[1], verdict.kind, caption)]), colour[2])
                pictures.append(store.save(name, "context-rgb", shown, about))
        return tuple(p for p in pictures if p is not None)

    def _in_colour(
        self, observation: Observation, track: Track, exposure_s: float
    ) -> tuple[Frame, Observation, float] | None:
        """The colour frame nearest in time, with the box where the thing must be in it."""
        frame = self._context(exposure_s)
        if frame is None or frame.pose is None or frame.camera is None or self._locator is None:
            return None
        if frame.kind is not PixelKind.BGR8:
            return None
        pixel = self._locator.pixel_of(frame.camera, frame.pose, track.motion.place, track.amsl_m)
        gsd = self._locator.gsd_m(frame.camera, frame.pose)
        finest = self._locator.finest_gsd_m(frame.camera, frame.pose)
        if pixel is None or gsd is None or finest is None or not inside(pixel, frame):
            return None
        half = max(6.0, 0.5 * (track.size_m or 1.0) / gsd)
        box = (pixel[0] - half, pixel[1] - half, pixel[0] + half, pixel[1] + half)
        return frame, replace(observation, left_px=box[0], top_px=box[1], right_px=box[2], bottom_px=box[3]), finest


def _depression_deg(track: Track, frame: Frame | None) -> float | None:
    """How steeply the newest look at a thing looks down; None when this frame did not see it."""
    look = track.looks[-1]
    if frame is None or frame.pose is None or look.time_s != frame.exposure_s or look.fix.range_m <= 0.0:
        return None
    return math.degrees(math.asin(min(1.0, max(-1.0, (frame.pose.amsl_m - look.fix.amsl_m) / look.fix.range_m))))


def _measured(observation: Observation, frame: Frame) -> Observation:
    """A learned person that the hot-spot detector passed over, with its warmth and shape where they can be measured."""
    if observation.learned_kind is not Kind.PERSON or observation.area_px is not None:
        return observation
    if frame.kind is not PixelKind.CELSIUS:
        return observation
    box = (observation.left_px, observation.top_px, observation.right_px, observation.bottom_px)
    warmth = warmth_in(frame.pixels, box)
    if warmth is None:
        return observation
    return replace(observation, contrast_c=warmth.contrast_c, area_px=warmth.area_px, elongation=warmth.elongation)
