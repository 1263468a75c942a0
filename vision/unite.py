# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the detectors say about one frame, united: one observation for each thing, with every detector's word on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vision.detector import Detection
from vision.sighting import Kind

_SAME_LEARNED_IOU: Final = 0.5
_PART: Final = 0.85  # of a box that lies inside another: a network sometimes boxes a trunk as well as the person
_PART_SCORE: Final = 0.5  # and is then much less sure of it
_SAME_SPOT_IOU: Final = 0.15
_MARGIN_PX: Final = 2.0
SMOKE_CUES: Final = "smoke by motion, colour and texture"  # the detector that needs no training
_LEARNED: Final = (Kind.PERSON, Kind.VEHICLE, Kind.ANIMAL, Kind.STALL)


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing in one frame. Scores are 0 where the detector said nothing.

    The box is the learned detector's where it has one, else that of the spot or the fire.
    """

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    learned_kind: Kind | None = None
    learned_score: float = 0.0
    judged: float = 0.0  # probability of a person by all that one look shows; 0 where nobody judged
    hot_sigma: float = 0.0
    contrast_c: float | None = None
    fire: bool = False
    flames: float = 0.0  # a learned detector's score for fire, which it tells by its look alone
    smoke: float = 0.0  # the smoke detector's confidence
    area_px: int | None = None
    elongation: float | None = None
    temperature_max_c: float | None = None
    detectors: tuple[str, ...] = ()
    size_m: float | None = None
    view: tuple[float, float, float] | None = None  # unit vector from the thing to the camera: east, north, up

    @property
    def centre_px(self) -> tuple[float, float]:
        return (self.left_px + self.right_px) / 2, (self.top_px + self.bottom_px) / 2

    @property
    def burns(self) -> bool:
        """Whether anything takes it for a fire, by heat or by look."""
        return self.fire or self.flames > 0

    @property
    def longest_px(self) -> float:
        return max(self.right_px - self.left_px, self.bottom_px - self.top_px)

    @property
    def spot_axes_m(self) -> tuple[float, float] | None:
        """(long, short) axis in metres of the ellipse with the spot's area and elongation; None without a scale."""
        if self.size_m is None or self.area_px is None or self.elongation is None:
            return None
        area_m2 = self.area_px * (self.size_m / self.longest_px) ** 2
        short = math.sqrt(4.0 * area_m2 / (math.pi * self.elongation))
        return short * self.elongation, short

    @property
    def area_m2(self) -> float | None:
        """What the spot or fire covers on the ground; None without a scale."""
        if self.size_m is None or self.area_px is None:
            return None
        return self.area_px * (self.size_m / self.longest_px) ** 2

    def score(self, kind: Kind) -> float:
        """The learned detector's score for one kind."""
        return self.learned_score if self.learned_kind is kind else 0.0


def iou(a: Detection | Observation, b: Detection | Observation) -> float:
    """Intersection over union of two boxes."""
    width = min(a.right_px, b.right_px) - max(a.left_px, b.left_px)
    height = min(a.bottom_px, b.bottom_px) - max(a.top_px, b.top_px)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    area = (a.right_px - a.left_px) * (a.bottom_px - a.top_px) + (b.right_px - b.left_px) * (b.bottom_px - b.top_px)
    return both / (area - both)


def unite(
    detections: Sequence[Detection], is_flame: Callable[[Detection], bool] = lambda _person: True
) -> list[Observation]:
    """One observation per thing: fires first, then learned boxes by score, then the spots that belong to none.

    is_flame says of a person's box that touches a fire whether it is the flames' own, or somebody beside them.
    """
    fires = [_fire(d) for d in detections if d.kind is Kind.FIRE and not d.learned]
    flames = _flames([d for d in detections if d.kind is Kind.FIRE and d.learned], fires)
    learned: list[Observation] = []
    for d in sorted((d for d in detections if d.kind in _LEARNED), key=lambda d: -d.confidence):
        fire = next((i for i, f in enumerate(fires) if _touches(f, d)), None)
        if fire is not None and (d.kind is not Kind.PERSON or is_flame(d)):
            fires[fire] = replace(fires[fire], detectors=(*fires[fire].detectors, d.detector))
        elif not any(_same(d, other) or _part(d, other) for other in learned):
            learned.append(
                Observation(
                    d.left_px,
                    d.top_px,
                    d.right_px,
                    d.bottom_px,
                    learned_kind=d.kind,
                    learned_score=d.confidence,
                    temperature_max_c=d.temperature_max_c,
                    detectors=(d.detector,),
                )
            )
    alone: list[Observation] = []
    for d in sorted((d for d in detections if d.kind is Kind.HOT_SPOT), key=lambda d: -(d.contrast_sigma or 0.0)):
        if any(_touches(f, d) for f in fires):
            continue
        owner = max(range(len(learned)), key=lambda i: iou(learned[i], d), default=None)
        if owner is not None and (iou(learned[owner], d) < _SAME_SPOT_IOU and not _holds(learned[owner], d)):
            owner = next((i for i, other in enumerate(learned) if _holds(other, d)), None)
        if owner is None:
            alone.append(_spot(d))
        elif (d.contrast_sigma or 0.0) > learned[owner].hot_sigma:
            learned[owner] = replace(
                learned[owner],
                hot_sigma=d.contrast_sigma or 0.0,
                contrast_c=d.contrast_c,
                area_px=d.area_px,
                elongation=d.elongation,
                temperature_max_c=d.temperature_max_c,
                detectors=(learned[owner].detectors[0], d.detector),
            )
    return fires + flames + learned + alone + _smokes([d for d in detections if d.kind is Kind.SMOKE])


def _same(d: Detection, surer: Observation) -> bool:
    """Whether a box says no more than a surer one. A person on a vehicle or an animal is one besides."""
    besides = d.kind is Kind.PERSON and surer.learned_kind is not Kind.PERSON
    return not besides and iou(d, surer) >= _SAME_LEARNED_IOU


def _part(d: Detection, whole: Observation) -> bool:
    """Whether a box is a part of a thing that is boxed already: inside it, of the same kind, and far less sure."""
    if d.kind is not whole.learned_kind or d.confidence >= _PART_SCORE * whole.learned_score:
        return False
    width = min(d.right_px, whole.right_px) - max(d.left_px, whole.left_px)
    height = min(d.bottom_px, whole.bottom_px) - max(d.top_px, whole.top_px)
    return width > 0 and height > 0 and width * height >= _PART * d.width_px * d.height_px


def _touches(thing: Observation, d: Detection) -> bool:
    return iou(thing, d) > 0 or _holds(thing, d)


def _holds(thing: Observation, d: Detection) -> bool:
    x, y = d.centre_px
    return (
        thing.left_px - _MARGIN_PX <= x <= thing.right_px + _MARGIN_PX
        and thing.top_px - _MARGIN_PX <= y <= thing.bottom_px + _MARGIN_PX
    )


def _fire(d: Detection) -> Observation:
    return Observation(
        d.left_px,
        d.top_px,
        d.right_px,
        d.bottom_px,
        fire=True,
        area_px=d.area_px,
        temperature_max_c=d.temperature_max_c,
        detectors=(d.detector,),
    )


def _flames(found: Sequence[Detection], fires: list[Observation]) -> list[Observation]:
    """What a network takes for fire: its word on a fire that is hot enough by itself, else a thing of its own.

    Who or what else is there is never taken for a part of it: a network's box of flames may be anything.
    """
    flames: list[Observation] = []
    for d in sorted(found, key=lambda d: -d.confidence):
        hot = next((i for i, fire in enumerate(fires) if _touches(fire, d)), None)
        if hot is not None:
            known = fires[hot]
            names = known.detectors if d.detector in known.detectors else (*known.detectors, d.detector)
            fires[hot] = replace(known, flames=max(known.flames, d.confidence), detectors=names)
        elif not any(iou(d, other) >= _SAME_LEARNED_IOU for other in flames):
            box = (d.left_px, d.top_px, d.right_px, d.bottom_px)
            hottest = d.temperature_max_c
            flames.append(Observation(*box, flames=d.confidence, temperature_max_c=hottest, detectors=(d.detector,)))
    return flames


def _smokes(found: Sequence[Detection]) -> list[Observation]:
    """One observation of each plume: what cues and a network say of one place is one, two boxes of one detector are two."""
    plumes: list[Observation] = []
    for d in sorted(found, key=lambda d: -d.confidence):
        same = next((i for i, p in enumerate(plumes) if d.detector not in p.detectors and _touches(p, d)), None)
        if same is None:
            box = (d.left_px, d.top_px, d.right_px, d.bottom_px)
            plumes.append(Observation(*box, smoke=d.confidence, area_px=d.area_px, detectors=(d.detector,)))
        else:
            plumes[same] = replace(plumes[same], detectors=(*plumes[same].detectors, d.detector))
    return plumes


def _spot(d: Detection) -> Observation:
    return Observation(
        d.left_px,
        d.top_px,
        d.right_px,
        d.bottom_px,
        hot_sigma=d.contrast_sigma or 0.0,
        contrast_c=d.contrast_c,
        area_px=d.area_px,
        elongation=d.elongation,
        temperature_max_c=d.temperature_max_c,
        detectors=(d.detector,),
    )
