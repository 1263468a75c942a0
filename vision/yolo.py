# SPDX-License-Identifier: AGPL-3.0-or-later
"""The learned detector: a frame in, boxes with kinds out, by whichever engine runs the model.

Frames whose ground sample distance is far outside what the model was trained for are refused and counted: it would
find next to nothing there, and saying "nobody" would be a lie.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from vision.decode import class_count, decode
from vision.detector import Detection, Detector
from vision.engines import Engine, Tensor, load_engine
from vision.errors import ModelError
from vision.frame import Frame, PixelKind
from vision.model_card import ModelCard, kind_of_class, read_card, unreported
from vision.prepare import BytePicture, Fit, fit_picture, to_grey
from vision.sighting import Kind

log = logging.getLogger(__name__)

_REFUSE_FACTOR: Final = 1.6  # beyond the card's range by this much nothing is looked at; between, it is warned of


@dataclass(frozen=True, slots=True)
class SizeGate:
    """The longest side in metres that a thing of one kind can have, as seen from above or aslant."""

    min_m: float
    max_m: float


SIZE_GATES: Final = {
    Kind.PERSON: SizeGate(0.25, 3.5),  # a tall person aslant with the blur of a thermal lens
    Kind.VEHICLE: SizeGate(0.8, 30.0),
    Kind.STALL: SizeGate(0.6, 15.0),
}


class YoloDetector:
    """A YOLO model behind the Detector protocol. As many threads as `at_once` says may look at once."""

    def __init__(self, engine: Engine, card: ModelCard, confidence: float | None = None, iou: float = 0.6) -> None:
        self._engine = engine
        self._card = card
        self._confidence = card.confidence if confidence is None else confidence
        self._iou = iou
        self._name = f"{engine.name} {card.label}"
        self._kinds = [kind_of_class(name) for name in card.classes]
        self._warned: set[str] = set()
        self._counting = threading.Lock()
        self.refused_frames = 0  # outside the model's range of ground sample distances, or of the other modality
        self.gated_boxes = 0  # of impossible size

    @property
    def name(self) -> str:
        return self._name

    @property
    def at_once(self) -> int:
        return self._engine.at_once

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of what the network gets."""
        return self._engine.input_size

    def refusal(self, frame: Frame, gsd_m: float | None) -> str | None:
        """Why this frame is not for this model; None if it is."""
        if frame.kind is PixelKind.BGR8 and self._card.modality == "thermal":
            return "a colour picture, and the model is for thermal ones"
        if frame.kind is not PixelKind.BGR8 and self._card.modality == "rgb":
            return "a thermal picture, and the model is for colour ones"
        low, high = self._card.gsd_min_m, self._card.gsd_max_m
        if gsd_m is None or (low is None and high is None):
            return None
        if low is not None and gsd_m < low / _REFUSE_FACTOR:
            return f"{gsd_m * 100:.1f} cm per pixel, and the model is for {low * 100:.1f} cm and more"
        if high is not None and gsd_m > high * _REFUSE_FACTOR:
            return f"{gsd_m * 100:.1f} cm per pixel, and the model is for {high * 100:.1f} cm and less"
        if (low is not None and gsd_m < low) or (high is not None and gsd_m > high):
            self._warn_once(
                "outside",
                f"{frame.source_id}: {gsd_m * 100:.1f} cm per pixel is outside what model {self._card.name} "
                "was measured at; expect misses",
            )
        return None

    @property
    def confidence(self) -> float:
        """The least score of what is found: the card's, or what the user stated."""
        return self._confidence

    def detect(self, frame: Frame, gsd_m: float | None, least: float | None = None) -> list[Detection]:
        """Find things. least: another score than the detector's own, for a judge that weighs weak ones."""
        reason = self.refusal(frame, gsd_m)
        if reason is not None:
            with self._counting:
                self.refused_frames += 1
            self._warn_once(
                re.sub(r"^[\d.]+ ", "", reason),
                f"{frame.source_id}: not looked at by model {self._card.name}: {reason}",
            )
            return []
        picture, fit = self.prepared(frame)
        output = self.computed(picture)
        return self.decoded(frame, gsd_m, output, fit, self._confidence if least is None else least)

    def prepared(self, frame: Frame) -> tuple[BytePicture, Fit]:
        """First step: the frame as the network wants it, and where it lies in that."""
        picture = frame.pixels if self._card.modality == "rgb" else to_grey(frame, self._card)
        return fit_picture(picture, self._engine.input_size)

    def computed(self, picture: BytePicture) -> Tensor:
        """Second step: the network's raw output."""
        return self._engine.run_picture(picture)

    def decoded(self, frame: Frame, gsd_m: float | None, output: Tensor, fit: Fit, least: float) -> list[Detection]:
        """Third step: what the output means in the frame."""
        boxes = decode(output, fit, (frame.height_px, frame.width_px), least, self._iou)
        found: list[Detection] = []
        gated = 0
        for corners, score, number in zip(boxes.corners_px, boxes.scores, boxes.classes, strict=True):
            kind = self._kinds[int(number)]
            if kind is None:
                continue
            left, top, right, bottom = (float(v) for v in corners)
            if not self._fits(kind, max(right - left, bottom - top), gsd_m):
                gated += 1
                continue
            found.append(Detection(left, top, right, bottom, kind, float(score), self._name, learned=True))
        with self._counting:
            self.gated_boxes += gated
        return measured(frame, found)

    @staticmethod
    def _fits(kind: Kind, longest_px: float, gsd_m: float | None) -> bool:
        gate = SIZE_GATES.get(kind)
        if gate is None or gsd_m is None:
            return True
        return gate.min_m <= longest_px * gsd_m <= gate.max_m

    def _warn_once(self, key: str, message: str) -> None:
        """Once for what it is about: in a climb or on a slope each frame has another scale."""
        with self._counting:
            new = key not in self._warned
            self._warned.add(key)
        if new:
            log.warning("%s", message)


def measured(frame: Frame, found: Sequence[Detection]) -> list[Detection]:
    """What was found with the highest temperature in each box, where the frame is in degrees."""
    if frame.kind is not PixelKind.CELSIUS:
        return list(found)
    return [replace(d, temperature_max_c=_hottest_c(frame, d)) for d in found]


def _hottest_c(frame: Frame, d: Detection) -> float | None:
    patch = frame.pixels[int(d.top_px) : math.ceil(d.bottom_px), int(d.left_px) : math.ceil(d.right_px)]
    return float(patch.max()) if patch.size else None


def load_yolo(
    model: Path,
    engine: str | None = None,
    confidence: float | None = None,
    threads: int = 2,
    *,
    for_tracking: bool = False,
) -> YoloDetector:
    """A ready detector, warmed up by one empty picture. ModelError or EngineMissingError, one line each.

    Without a confidence the card's holds: the one for tracking where a tracker judges what comes out.
    """
    loaded = load_engine(model, engine, threads)
    card = read_card(model)
    colour = (3,) if card.modality == "rgb" else ()
    shape = loaded.run_picture(np.zeros((*loaded.input_size, *colour), dtype=np.uint8)).shape
    try:
        classes = class_count(shape)
    except ValueError as error:
        raise ModelError(f"model {model}: {error}") from error
    if classes is not None and classes != len(card.classes):
        card = read_card(model, classes)  # says what is wrong, or what a model without a card is
    strange = unreported(card.classes)
    if strange is not None:
        if not any(map(kind_of_class, card.classes)):
            raise ModelError(f"model {model}: {strange}")
        log.warning("model %s: %s", model, strange)
    if confidence is None:
        confidence = card.search_confidence if for_tracking else card.confidence
    return YoloDetector(loaded, card, confidence)


def looks_at_once(detectors: Sequence[Detector]) -> int:
    """How many frames may be in the eyes' first step together.

    As many as the engines compute at once, and where that is more than one, another that is prepared meanwhile.
    """
    computed = min(((d.at_once if isinstance(d, YoloDetector) else 1) for d in detectors), default=1)
    return computed + 1 if computed > 1 else 1
