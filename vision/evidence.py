# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures that show why: an enlarged crop with a temperature scale, and the whole frame with the box in it.

Written beside each other, complete or not at all (temporary name, then rename). A disk that is full costs evidence,
which is counted, never a detection. People large enough in a colour picture to be known are blurred.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.blur import BLUR_FROM_PX, hide
from vision.ellipse import ellipse95
from vision.errors import EvidenceError
from vision.evidence_index import EvidenceIndex, Indexed
from vision.frame import CameraPose, Frame, PixelKind
from vision.model_card import ModelCard
from vision.prepare import to_grey
from vision.sighting import Evidence, GroundEllipse, Kind
from vision.unite import Observation

log = logging.getLogger(__name__)

_CROP_PX: Final = 320
_MIN_MARGIN_PX: Final = 24.0
_JPEG_QUALITY: Final = 88
_BAR_PX: Final = 26
_PERSON_M: Final = 1.9
_POSE: Final = ("latitude_deg", "longitude_deg", "amsl_m", "yaw_deg", "pitch_deg", "roll_deg")
_VIEW_CARD: Final = ModelCard("view", "", (), low_percentile=0.5, high_percentile=99.8, min_span_c=4.0)
_COLOURS: Final = {
    Kind.PERSON: (60, 200, 255),
    Kind.FIRE: (40, 60, 255),
    Kind.VEHICLE: (255, 190, 60),
    Kind.ANIMAL: (160, 220, 120),
    Kind.STALL: (200, 140, 230),
    Kind.HOT_SPOT: (210, 210, 210),
    Kind.SMOKE: (200, 200, 120),
}
Picture = NDArray[np.uint8]


def view(frame: Frame) -> Picture:
    """The frame as a BGR picture for people."""
    if frame.kind is PixelKind.BGR8:
        return np.array(frame.pixels)
    return np.asarray(cv2.cvtColor(to_grey(frame, _VIEW_CARD), cv2.COLOR_GRAY2BGR), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class About:
    """What a picture is of, for the index. taken_at_s: UTC of the exposure, seconds since 1970."""

    kind: Kind
    track_id: str
    camera_id: str
    vehicle_id: str | None
    place: GroundEllipse | None
    pose: CameraPose | None
    detector: str
    taken_at_s: float


def share_unknowable(gsd_m: float) -> float:
    """To how much of its size a picture is to be reduced, so that a person at this scale spans 25 pixels at most."""
    return min(1.0, BLUR_FROM_PX * gsd_m / _PERSON_M)


def unknowable(picture: Picture, gsd_m: float | None) -> Picture:
    """A colour picture so reduced that no person in it, found or not, spans more than 25 pixels.

    Without a scale it is left as it is: then only those are blurred who were detected.
    """
    share = 1.0 if gsd_m is None else share_unknowable(gsd_m)
    if share >= 1.0:
        return picture
    size = (max(2, round(picture.shape[1] * share)), max(2, round(picture.shape[0] * share)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def annotate(frame: Frame, boxes: Sequence[tuple[Observation, Kind, str]]) -> Picture:
    """The whole frame with boxes and their captions."""
    picture = view(frame)
    if frame.may_show_who:
        for observation, kind, _ in boxes:
            if kind is Kind.PERSON:
                hide(picture, observation)
    for observation, kind, caption in boxes:
        corner = (round(observation.left_px) - 3, round(observation.top_px) - 3)
        other = (round(observation.right_px) + 3, round(observation.bottom_px) + 3)
        cv2.rectangle(picture, corner, other, _COLOURS[kind], 1, cv2.LINE_AA)
        baseline = corner[1] - 4 if corner[1] > 14 else other[1] + 12
        _write(picture, caption, (max(0, corner[0]), baseline), _COLOURS[kind])
    return picture


def crop(frame: Frame, observation: Observation, kind: Kind) -> Picture:
    """The thing with a margin, enlarged; radiometric frames get a scale from the coldest to the hottest in the crop."""
    half = max(_MIN_MARGIN_PX, 1.2 * observation.longest_px)
    x, y = observation.centre_px
    left, right = round(max(0.0, x - half)), round(min(float(frame.width_px), x + half))
    top, bottom = round(max(0.0, y - half)), round(min(float(frame.height_px), y + half))
    left, top = min(left, frame.width_px - 2), min(top, frame.height_px - 2)
    right, bottom = max(right, left + 2), max(bottom, top + 2)
    whole = frame.pixels
    if frame.may_show_who and kind is Kind.PERSON:
        whole = np.array(whole)
        hide(whole, observation)
    pixels = whole[top:bottom, left:right]
    if frame.kind is PixelKind.BGR8:
        picture = np.array(pixels)
    else:
        low, high = float(pixels.min()), float(pixels.max())
        span = max(high - low, 1e-3)
        picture = ((pixels.astype(np.float32) - low) * (255.0 / span)).clip(0, 255).astype(np.uint8)
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    scale = _CROP_PX / max(picture.shape[:2])
    size = (max(2, round(picture.shape[1] * scale)), max(2, round(picture.shape[0] * scale)))
    large = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    box = [
        round((v - o) * scale)
        for v, o in (
            (observation.left_px, left),
            (observation.top_px, top),
            (observation.right_px, left),
            (observation.bottom_px, top),
        )
    ]
    cv2.rectangle(large, (box[0] - 4, box[1] - 4), (box[2] + 4, box[3] + 4), _COLOURS[kind], 1, cv2.LINE_AA)
    if frame.kind is PixelKind.CELSIUS:
        large = _with_scale(large, float(pixels.min()), float(pixels.max()))
    return large


def _with_scale(picture: Picture, low_c: float, high_c: float) -> Picture:
    bar = np.linspace(0, 255, picture.shape[1]).astype(np.uint8)
    strip = np.zeros((_BAR_PX, picture.shape[1], 3), np.uint8)
    strip[:8] = bar[None, :, None]
    _write(strip, f"{low_c:.1f} C", (2, _BAR_PX - 6), (230, 230, 230))
    text = f"{high_c:.1f} C"
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0]
    _write(strip, text, (picture.shape[1] - width - 2, _BAR_PX - 6), (230, 230, 230))
    return np.concatenate([picture, strip])


def _write(picture: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)


class EvidenceStore:
    """Writes pictures below one folder. A write that fails is counted and said once until it works again."""

    def __init__(self, folder: Path, index: EvidenceIndex | None = None) -> None:
        self.folder = folder
        self._index = index
        self._failing = False
        _write(np.zeros((16, 64, 3), np.uint8), "C", (2, 12), (0, 0, 0))  # loads the font: no alert shall wait for it
        self.written = 0
        self.lost = 0

    def save(self, name: str, role: str, picture: Picture, about: About | None = None) -> Evidence | None:
        """Store one picture as `name-role.jpg`; None when the disk would not have it."""
        return self.keep(lambda: write_jpeg(self.folder, f"{safe_name(name)}-{role}.jpg", role, picture), about)

    def keep(self, write: Callable[[], Evidence], about: About | None) -> Evidence | None:
        """Write something and enter it in the index; what cannot be found again is not kept. None: it is lost."""
        try:
            evidence = write()
            if self._index is not None and about is not None:
                try:
                    self._index.add(_entry(evidence, about))
                except EvidenceError:
                    with contextlib.suppress(OSError):
                        (self.folder / evidence.path).unlink(missing_ok=True)
                    raise
        except EvidenceError as error:
            self.lost += 1
            if not self._failing:
                log.error("evidence is being lost: %s", error)  # noqa: TRY400  # the message holds the cause
            self._failing = True
            return None
        if self._failing:
            log.info("evidence is written again; %d pictures were lost", self.lost)
        self._failing = False
        self.written += 1
        return evidence


def safe_name(name: str) -> str:
    """The name without what file systems treat specially."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _entry(evidence: Evidence, about: About) -> Indexed:
    place, pose = about.place, about.pose
    return Indexed(
        path=evidence.path,
        sha256=evidence.sha256,
        role=evidence.role,
        tag=about.kind.value,
        taken_at_s=about.taken_at_s,
        camera_id=about.camera_id,
        vehicle_id=about.vehicle_id,
        track_id=about.track_id,
        latitude_deg=None if place is None else place.latitude_deg,
        longitude_deg=None if place is None else place.longitude_deg,
        doubt_m=None if place is None else ellipse95(place).semi_major_m,
        pose=None if pose is None else {name: getattr(pose, name) for name in _POSE},
        detector=about.detector,
    )


def write_jpeg(folder: Path, name: str, role: str, picture: Picture) -> Evidence:
    """Write a picture under its final name only when it is complete. Raises EvidenceError."""
    ok, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise EvidenceError(f"{name}: the picture cannot be encoded as JPEG")
    data = write_whole(folder, name, encoded.tobytes())
    return Evidence(name, hashlib.sha256(data).hexdigest(), int(picture.shape[1]), int(picture.shape[0]), role)


def write_whole(folder: Path, name: str, data: bytes) -> bytes:
    """Write a file under its final name only when it is complete; returns what is in it. Raises EvidenceError."""
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
        temporary.replace(folder / name)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise EvidenceError(f"{folder / name}: {error.strerror or error}") from error
    return data
