# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looks through files: pictures one by one, videos with tracks. What comes out is ready for JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from missions.model import Camera, Modality
from vision.errors import PictureError
from vision.evidence import EvidenceStore, annotate, write_jpeg
from vision.eye import CameraEye
from vision.frame import Frame, PixelKind
from vision.sighting import Kind, Sighting
from vision.sources.stills import is_video, read_still, read_video
from vision.thermal import HotSpotDetector
from vision.unite import Observation, unite
from vision.yolo import YoloDetector

Line = dict[str, Any]
Teller = Callable[[str], None]


@dataclass(slots=True)
class Tally:
    """What a run counted."""

    pictures: int = 0
    detections: int = 0
    unreadable: int = 0
    not_looked_at: int = 0
    without_gsd: int = 0


def kind_of(observation: Observation) -> tuple[Kind, float]:
    """What one look takes a thing for, and how surely; no more than a single look can say."""
    if observation.fire:
        return Kind.FIRE, 0.75
    if observation.learned_kind is not None:
        return observation.learned_kind, observation.learned_score
    return Kind.HOT_SPOT, 0.5 * (1.0 - 7.0 / (observation.hot_sigma + 7.0))


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


class Examiner:
    """Detectors over files."""

    def __init__(
        self,
        learned: YoloDetector,
        classical: HotSpotDetector,
        scale: StatedScale | None = None,
        annotate_dir: Path | None = None,
        every: int = 1,
        tell: Teller = lambda _text: None,
    ) -> None:
        self._learned, self._classical = learned, classical
        self._scale = scale or StatedScale()
        self._annotate_dir = annotate_dir
        self._every = every
        self._tell = tell
        self.tally = Tally()

    def file(self, path: Path) -> Iterator[Line]:
        """Lines of one file. A file that cannot be read gives one line of type "error" and is counted."""
        try:
            yield from self._video(path) if is_video(path) else self._still(path)
        except PictureError as error:
            self.tally.unreadable += 1
            self._tell(str(error))
            yield {"type": "error", "source": str(path), "message": str(error)}

    def _still(self, path: Path) -> Iterator[Line]:
        still = read_still(path)
        stated = self._scale.gsd(still.frame.width_px)
        gsd = stated if stated is not None else still.gsd_m
        source = "stated" if stated is not None else "picture" if still.gsd_m is not None else None
        line, observations = self._look(path, still.frame, gsd)
        line |= {"values": still.note, "gsd_from": source}
        if still.frame.kind in (PixelKind.CELSIUS, PixelKind.RAW16):
            name = "temperature_c" if still.frame.kind is PixelKind.CELSIUS else "raw"
            low, middle, high = np.percentile(still.frame.pixels, (0, 50, 100))
            line[name] = {"min": round(float(low), 2), "median": round(float(middle), 2), "max": round(float(high), 2)}
        self._draw(path, still.frame, observations, "")
        yield line

    def _look(self, path: Path, frame: Frame, gsd: float | None) -> tuple[Line, list[Observation]]:
        self.tally.pictures += 1
        refusal = self._learned.refusal(frame, gsd)
        if refusal is not None:
            self.tally.not_looked_at += 1
            self._tell(f"{path}: not looked at: {refusal}")
        elif gsd is None:
            self.tally.without_gsd += 1
        observations = [] if frame.kind is PixelKind.BGR8 else self._observations(frame, gsd)
        self.tally.detections += len(observations)
        return {
            "type": "frame",
            "source": str(path),
            "sequence": frame.sequence,
            "width_px": frame.width_px,
            "height_px": frame.height_px,
            "pixels": frame.kind.value,
            "gsd_cm": None if gsd is None else round(gsd * 100, 2),
            "pose": None,
            "not_looked_at": refusal,
            "detections": [_detection(o, gsd) for o in observations],
        }, observations

    def _observations(self, frame: Frame, gsd: float | None) -> list[Observation]:
        return unite(self._learned.detect(frame, gsd) + self._classical.detect(frame, gsd))

    def _video(self, path: Path) -> Iterator[Line]:
        eye: CameraEye | None = None
        for frame in read_video(path, self._every):
            gsd = self._scale.gsd(frame.width_px)
            refusal = self._learned.refusal(frame, gsd)
            if refusal is not None:
                line, _ = self._look(path, frame, gsd)
                yield line | {"time_s": round(frame.exposure_s, 3)}
                continue
            if eye is None:
                eye = self._eye(path, frame)
            outcome = eye.look(frame)
            self.tally.pictures += 1
            self.tally.detections += len(outcome.observations)
            self.tally.without_gsd += gsd is None
            yield {
                "type": "frame",
                "source": str(path),
                "sequence": frame.sequence,
                "time_s": round(frame.exposure_s, 3),
                "width_px": frame.width_px,
                "height_px": frame.height_px,
                "pixels": frame.kind.value,
                "gsd_cm": None if gsd is None else round(gsd * 100, 2),
                "pose": None,
                "not_looked_at": None,
                "detections": [_detection(o, gsd) for o in outcome.observations],
            }
            if outcome.observations:
                self._draw(path, frame, list(outcome.observations), f"-{frame.sequence:06d}")
            yield from (_track(path, s) for s in outcome.sightings)
        if eye is not None:
            yield from (_track(path, s) for s in eye.finish())

    def _eye(self, path: Path, frame: Frame) -> CameraEye:
        camera = Camera(
            path.stem,
            Modality.THERMAL,
            frame.width_px,
            frame.height_px,
            1.0,
            1.0,
            frame.width_px / 2,
            frame.height_px / 2,
        )
        store = None if self._annotate_dir is None else EvidenceStore(self._annotate_dir)
        return CameraEye(
            camera, None, self._learned, self._classical, None, store, "video", gsd_m=self._scale.gsd(frame.width_px)
        )

    def _draw(self, path: Path, frame: Frame, observations: list[Observation], suffix: str) -> None:
        if self._annotate_dir is None:
            return
        boxes = []
        for observation in observations:
            kind, confidence = kind_of(observation)
            boxes.append((observation, kind, f"{kind.value} {confidence:.2f}"))
        write_jpeg(self._annotate_dir, f"{path.stem}{suffix}-detections.jpg", "context", annotate(frame, boxes))


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _detection(observation: Observation, gsd: float | None) -> Line:
    kind, confidence = kind_of(observation)
    corners = (observation.left_px, observation.top_px, observation.right_px, observation.bottom_px)
    return {
        "kind": kind.value,
        "confidence": round(confidence, 3),
        "box_px": [round(v, 1) for v in corners],
        "learned_score": _round(observation.learned_score or None, 3),
        "hot_spot_sigma": _round(observation.hot_sigma or None, 1),
        "contrast_c": _round(observation.contrast_c, 2),
        "temperature_max_c": _round(observation.temperature_max_c, 2),
        "size_m": None if gsd is None else round(observation.longest_px * gsd, 2),
        "detectors": list(observation.detectors),
    }


def _track(path: Path, s: Sighting) -> Line:
    return {
        "type": "track",
        "source": str(path),
        "track_id": s.track_id,
        "sequence": s.sequence,
        "phase": s.phase.value,
        "kind": s.kind.value,
        "confidence": round(s.confidence, 3),
        "first_s": round(s.first_exposure_s, 3),
        "last_s": round(s.last_exposure_s, 3),
        "looks": s.looks,
        "chances": s.chances,
        "rule": s.rule,
        "place": None,
        "evidence": [e.path for e in s.evidence],
    }
