# SPDX-License-Identifier: AGPL-3.0-or-later
"""One look at one thermal picture: which of all that stands out is a person, when no second frame will confirm it.

Candidates are the learned detector's boxes, down to scores that mean little alone, and warm spots at three scales: the
mean over a body rises out of a noisy sensor where its brightest pixel does not. The learned detector looks for people at
two sizes (`vision.two_sizes`). Each is judged by what both detectors say of it together, by how alone it stands in its surroundings and by how it compares with the warmest of its picture: stones that
the day has left a little warm are many and far cooler than a body. The weights are a logistic regression (Cox 1958)
fitted by `vision.train single` and kept in `models/single_look.json`. All features are ratios, so that 8 bits of
automatic gain, raw counts of any gain and degrees are judged alike. Where a great many things stand out, tree crowns as
well as a town, a spot alone says nothing. There the learned detector has to be sure; where it is sure of hardly anything,
in a wood as a rule, it and the judge may agree instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.model import Polarity
from vision.bare import bared
from vision.detector import Detection
from vision.errors import ModelError
from vision.frame import Frame, PixelKind
from vision.lookers import Look, Lookers
from vision.polarity import is_black_hot, is_stated_black, may_be_black_hot, turned_over
from vision.sighting import Kind
from vision.signs import unsigned
from vision.stretch import without_stuck
from vision.thermal import HotSpotDetector, is_flame, parts, robust_sigma, top_hat
from vision.tone import two_tones
from vision.two_sizes import people_at_both_sizes
from vision.unite import Observation, unite
from vision.yolo import YoloDetector, measured

WEIGHTS: Final = Path(__file__).parent / "models" / "single_look.json"
LEARNED_FROM: Final = 0.03  # the least score of the learned detector that is a candidate
FEATURES: Final = (
    "learned_logit",  # of the learned detector's score for a person, the mean of both its looks
    "learned_vehicle",  # its score for a vehicle
    "log_sigma",  # how far it stands out, in robust sigmas of the picture
    "relative",  # its contrast against the strongest of the picture
    "log_above_ring",  # its contrast against what its surroundings reach
    "ring_warm",  # share of the surroundings that is as warm
    "fill",  # share of its box that is warm
    "log_size",
    "log_rivals",  # how many of the picture are about as warm
    "bias",
)
_SCALES: Final = (3, 7, 13)  # pixels over which a spot's warmth is averaged
_KERNEL_SHARE: Final = 0.07  # of the picture's width: what is larger in both directions is no person
_KERNEL_M: Final = 3.1
_FITTED_ON_PX: Final = 640 * 512
_ODDS_POWER: Final = 0.5  # of a picture's size, by which the odds fall
_COUNTS: Final = 12000.0  # between the percentiles below; the rest up to 65535 is room for what is hotter
_LEAST_SIGMA: Final = 0.01 * _COUNTS  # a smooth picture has next to none, and then everything would stand out
_PERCENTILES: Final = (1.0, 99.0)
_FROM_SIGMA: Final = 4.0
_MOST: Final = 60  # spots, the strongest first
_CROWD_SIGMA: Final = 8.0
_HEARD: Final = 0.3  # what both its looks must say at least of whom the judge sees in a crowded picture
_AT_HOME: Final = 1  # sure of more, the learned detector is in pictures that it knows: towns
_MOST_IN_QUIET: Final = 10  # open cold ground seldom has more of them; four of five towns do, and many woods
_LONGEST_M: Final = 3.5
_LEAST_LOGIT: Final = -4.6
_RIVAL: Final = 0.3
_MOST_LOG_SIGMA: Final = 3.7  # more says no more: some forty
_ABSORBS: Final = 2.5  # a learned box takes a spot in it for its own if it is no more than so many times as long
_FLAMES: Final = frozenset({Kind.FIRE, Kind.SMOKE})
_SURE: Final = 0.7  # whom the learned detector is so sure of is reported whatever the rest says
_TOO_HOT_C: Final = 45.0  # no skin and no clothes in the cold: something else is warm there
_WARMED_C: Final = 15.0  # over the ground: what the sun does to dark clothes where it has heated everything

Levels = NDArray[np.uint16]
Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Weights:
    """Of a candidate's features, in the order of FEATURES; `least` is the score from which it is reported."""

    values: tuple[float, ...]
    least: float

    def score(self, features: Floats, log_odds: float = 0.0) -> Floats:
        """Probability of a person, 0..1, for each row of features. log_odds: of one beforehand, against the fit's pictures."""
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(features @ np.array(self.values) + log_odds, -30, 30))))


def read_weights(path: Path = WEIGHTS) -> Weights:
    """The fitted weights. ModelError when the file is not what `vision.train single` writes."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        values = tuple(float(raw["weights"][name]) for name in FEATURES)
        return Weights(values, float(raw["least_score"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: weights for single pictures cannot be read ({type(error).__name__}: {error})"
        ) from error


@dataclass(frozen=True, slots=True)
class _Scale:
    hat: Levels
    median: float
    sigma: float


class Picture:
    """A thermal frame at the scales on which spots are sought. Pixels of any unit; no colour."""

    def __init__(self, frame: Frame, gsd_m: float | None) -> None:
        self.shape = (frame.height_px, frame.width_px)
        self._levels = _levels(frame)
        side = _KERNEL_SHARE * frame.width_px if gsd_m is None else _KERNEL_M / gsd_m
        kernel = int(np.clip(side, 9, 121)) | 1
        self._scales = []
        for size in _SCALES:
            hat = top_hat(cv2.blur(self._levels, (size, size)), max(kernel, 2 * size + 1))
            median, sigma = robust_sigma(hat)
            self._scales.append(_Scale(hat, median, max(sigma, _LEAST_SIGMA)))
        self.smooth = np.asarray(cv2.blur(self._levels, (3, 3)))
        self.most_px = kernel * 1.3
        self._spots: tuple[Detection, ...] | None = None

    @property
    def outstanding(self) -> float:
        """How far the warmest things stand out on the finest scale, in robust sigmas: the uppermost in ten thousand pixels."""
        fine = self._scales[0]
        return (float(np.percentile(fine.hat, 99.99)) - fine.median) / fine.sigma

    @property
    def log_odds(self) -> float:
        """Of a candidate beforehand: four times as many pixels hold more things that are nobody.

        Not four times as many that look like people: with that many, large pictures lost two people in a hundred at
        equal false alarms.
        """
        return -_ODDS_POWER * max(0.0, math.log(self.shape[0] * self.shape[1] / _FITTED_ON_PX))

    def spots(self) -> tuple[Detection, ...]:
        """Warm spots of all scales, the most outstanding first, each place once. Looked for when first asked."""
        if self._spots is None:
            self._spots = tuple(self._sought())
        return self._spots

    def _sought(self) -> list[Detection]:
        found: list[Detection] = []
        for scale in self._scales:
            strong = scale.median + _FROM_SIGMA * scale.sigma
            weak = scale.median + 0.5 * _FROM_SIGMA * scale.sigma
            for peak, corner, values in parts(scale.hat, strong, weak, 4 * self.most_px):
                y, x = np.nonzero(values >= max(weak, 0.5 * peak))
                left, top = float(x.min() + corner[0]), float(y.min() + corner[1])
                right, bottom = float(x.max() + 1 + corner[0]), float(y.max() + 1 + corner[1])
                if not 2 <= max(right - left, bottom - top) <= self.most_px:
                    continue
                sigma = (peak - scale.median) / scale.sigma
                found.append(
                    Detection(
                        left, top, right, bottom, Kind.HOT_SPOT, 0.0, "hot spot", contrast_sigma=sigma, area_px=len(x)
                    )
                )
        found.sort(key=lambda d: -(d.contrast_sigma or 0.0))
        kept: list[Detection] = []
        for d in found:
            if len(kept) < _MOST and not any(_holds(k, d) for k in kept):
                kept.append(d)
        return kept

    def sigma(self, box: Box) -> float:
        """What a box reaches above its surroundings on the finest scale, in robust sigmas."""
        left, top, right, bottom = _inside(box, self.shape)
        fine = self._scales[0]
        return (float(fine.hat[top:bottom, left:right].max()) - fine.median) / fine.sigma

    def ring(self, box: Box) -> tuple[float, float, float, float]:
        """(contrast in counts, contrast over the ring's 98th percentile, share of the ring that is warm, fill)."""
        left, top, right, bottom = _inside(box, self.shape)
        grow = max(4, round(0.6 * max(right - left, bottom - top)))
        x0, y0 = max(0, left - grow), max(0, top - grow)
        patch = self.smooth[y0 : bottom + grow, x0 : right + grow].astype(np.float32)
        outside = np.ones(patch.shape, dtype=bool)
        outside[max(0, top - 2 - y0) : bottom + 2 - y0, max(0, left - 2 - x0) : right + 2 - x0] = False
        ring = patch[outside]
        inner = patch[top - y0 : bottom - y0, left - x0 : right - x0]
        if ring.size < 8:
            return 0.0, 0.0, 1.0, 1.0
        ground = float(np.median(ring))
        contrast = float(inner.max()) - ground
        if contrast <= 0:
            return 0.0, 0.0, 1.0, 1.0
        spread = max(float(np.percentile(ring, 98)) - ground, 0.5 * self._scales[0].sigma)
        half = ground + 0.5 * contrast
        return contrast, contrast / spread, float((ring > half).mean()), float((inner > half).mean())


def heard(
    yolo: YoloDetector, tones: tuple[Frame, Frame], gsd_m: float | None, found: Sequence[Detection]
) -> list[Detection]:
    """What the learned detector says of a picture in which it `found` so much: people by its looks at two sizes."""
    people = people_at_both_sizes(yolo, tones, gsd_m, found, LEARNED_FROM)
    return [*(d for d in found if d.kind is not Kind.PERSON), *people]


def crowded(picture: Picture, things: Sequence[Observation]) -> bool:
    """Whether so much stands out so far that this is a town, a wood or a warm day: contrast tells little there."""
    return sum(picture.sigma(_box(t)) >= _CROWD_SIGMA for t in things) > _MOST_IN_QUIET


def candidates(picture: Picture, learned: Sequence[Detection], gsd_m: float | None) -> list[Observation]:
    """Whatever could be a person: learned boxes with the spots in them, and spots, without what is too long for one."""
    learned = [d for d in learned if d.kind not in _FLAMES]  # of a model that knows them
    spots = picture.spots()
    owned = [any(_holds(d, spot) and _long(d) <= _ABSORBS * _long(spot) for d in learned) for spot in spots]
    things = unite([*learned, *(spot for spot, own in zip(spots, owned, strict=True) if own)])
    things += unite([spot for spot, own in zip(spots, owned, strict=True) if not own])
    if gsd_m is None:
        return things
    return [t for t in things if t.longest_px * gsd_m <= _LONGEST_M or _is_known(t)]


def features(picture: Picture, things: Sequence[Observation], fires: Sequence[Observation] = ()) -> Floats:
    """(n, len(FEATURES)) of n candidates of one picture. Nobody is compared with the warmth of its fires."""
    rows = []
    rings = [picture.ring(_box(t)) for t in things]
    burning = [any(_same(t, f) for f in fires) for t in things]
    warmest = max((r[0] for r, burns in zip(rings, burning, strict=True) if not burns), default=1.0)
    relative = [min(r[0] / max(warmest, 1.0), 1.0) for r in rings]
    rivals = math.log1p(sum(r >= _RIVAL for r in relative))
    for thing, ring, share in zip(things, rings, relative, strict=True):
        person = thing.score(Kind.PERSON)
        logit = max(math.log(person / (1 - person)), _LEAST_LOGIT) if 0 < person < 1 else _LEAST_LOGIT
        sigma = min(math.log1p(max(picture.sigma(_box(thing)), 0.0)), _MOST_LOG_SIGMA)
        size = math.log(max(thing.longest_px, 2.0) * 640 / picture.shape[1])
        above = math.log1p(min(ring[1], 50.0))
        own = (logit, thing.score(Kind.VEHICLE), sigma, share, above, ring[2], ring[3], size)
        rows.append((*own, rivals, 1.0))
    return np.array(rows, dtype=np.float64).reshape(-1, len(FEATURES))


class SingleLook:
    """Looks at single pictures, thermal or colour: what `dronectl detect` does with a still. Not thread-safe."""

    def __init__(self, learned: Lookers, weights: Weights | None = None, polarity: Polarity | None = None) -> None:
        """weights: those that ship, if None. polarity: of thermal pictures in grey levels; None: as each looks."""
        self._learned = learned
        self._polarity = polarity
        self._weights = weights or read_weights()
        self._classical = HotSpotDetector()

    def look(self, frame: Frame, gsd_m: float | None) -> tuple[Look, list[Observation]]:
        """The learned detector's look, and what is reported. gsd_m: metres per pixel, None where it is not known.

        People of thermal pictures have `judged`, the probability of one. Vehicles and all else are the learned
        detector's own. The look at a thermal picture holds both looks of the detector together.
        """
        if frame.kind is PixelKind.BGR8:
            look = self._learned.look(frame, gsd_m)
            return look, unite(look.found)
        clean = unsigned(frame)
        bare = bared(clean.frame, self._learned.yolo(frame).input_size)
        look, things = self._look(bare.frame, None if gsd_m is None else gsd_m * bare.scale)
        look = replace(look, found=[bare.in_file(d) for d in look.found])
        return look, [t for t in map(bare.in_file, things) if not clean.on_sign(_box(t))]

    def _first(self, frame: Frame, gsd_m: float | None) -> tuple[Frame, tuple[Frame, Frame], Look, Picture]:
        """The look at the whole of a picture, its tones, and itself as warm things are bright in it."""
        black = is_stated_black(frame, self._polarity)
        if black:
            frame = turned_over(frame)
        tones, picture = two_tones(frame), Picture(frame, gsd_m)
        look = self._learned.look(tones[0], gsd_m, LEARNED_FROM)
        unknown = self._polarity is None and frame.kind is PixelKind.GREY8 and look.refusal is None
        if unknown and may_be_black_hot(look.found):
            negative = turned_over(frame)
            inverted, other = two_tones(negative), Picture(negative, gsd_m)
            again = self._learned.look(inverted[0], gsd_m, LEARNED_FROM)
            if is_black_hot(look.found, again.found, picture.outstanding, other.outstanding):
                return negative, inverted, replace(again, black_hot=True), other
        return frame, tones, replace(look, found=measured(frame, look.found), black_hot=black), picture

    def _look(self, frame: Frame, gsd_m: float | None) -> tuple[Look, list[Observation]]:
        frame, tones, look, picture = self._first(frame, gsd_m)
        yolo = self._learned.yolo(frame)
        hot = self._classical.fires(frame, gsd_m)

        def sure_of(found: Sequence[Detection]) -> list[Observation]:
            return unite([*(d for d in found if d.confidence >= yolo.confidence), *hot], partial(is_flame, frame))

        crowd = crowded(picture, candidates(picture, look.found, gsd_m))
        if crowd:
            sure = sure_of(look.found)
            if sum(o.learned_score > 0 for o in sure) > _AT_HOME:
                return look, sure
        if look.refusal is None:
            look = replace(look, found=measured(frame, heard(yolo, tones, gsd_m, look.found)))
        things = candidates(picture, look.found, gsd_m)
        flames = [d for d in look.found if d.kind in _FLAMES and d.confidence >= yolo.confidence]
        fires = unite([*hot, *flames])
        scores = self._weights.score(features(picture, things, fires), picture.log_odds)
        least = self._weights.least if yolo.confidence == yolo.card.confidence else yolo.confidence
        ranked = sorted(zip(scores.tolist(), things, strict=True), key=lambda pair: -pair[0])
        if crowd:
            agreed = [(s, t) for s, t in ranked if s >= least and t.score(Kind.PERSON) >= _HEARD]
            return look, self._besides(frame, sure_of(look.found), agreed)
        kept: list[Observation] = []
        for score, thing in ranked:
            known = _is_known(thing) and thing.learned_score >= yolo.confidence
            person = score >= least or thing.score(Kind.PERSON) >= max(_SURE, yolo.confidence)
            if not (person or known) or any(_same(thing, k) for k in kept):
                continue
            at_fire = any(_same(thing, f) for f in fires)
            if not at_fire:
                kept.append(self._judged(frame, thing, score) if person else thing)
            elif thing.learned_kind is Kind.PERSON and not is_flame(frame, thing):
                kept.append(replace(thing, judged=score))  # whoever stands at a fire matters most
        kept = [*fires, *kept]
        return look, kept

    def _besides(
        self, frame: Frame, sure: list[Observation], judged: Sequence[tuple[float, Observation]]
    ) -> list[Observation]:
        """Those that are sure, and whom the judge adds to them."""
        kept = list(sure)
        for score, thing in judged:
            if not any(_same(thing, k) for k in kept):
                kept.append(self._judged(frame, thing, score))
        return kept

    @staticmethod
    def _judged(frame: Frame, thing: Observation, score: float) -> Observation:
        left, top, right, bottom = _inside(_box(thing), (frame.height_px, frame.width_px))
        if frame.kind is not PixelKind.CELSIUS:
            return replace(thing, judged=score)
        hottest = float(frame.pixels[top:bottom, left:right].max())
        if hottest > max(_TOO_HOT_C, float(np.median(frame.pixels[::4, ::4])) + _WARMED_C):
            return replace(thing, learned_kind=None, learned_score=0.0, temperature_max_c=hottest)
        return replace(thing, judged=score, temperature_max_c=hottest)


def _box(thing: Observation) -> Box:
    return thing.left_px, thing.top_px, thing.right_px, thing.bottom_px


def _is_known(thing: Observation) -> bool:
    """Whether the learned detector takes it for something else than a person: a vehicle, or what a user's own model knows."""
    return thing.learned_kind not in (None, Kind.PERSON)


def _long(d: Detection) -> float:
    return max(d.width_px, d.height_px)


def _holds(outer: Detection | Observation, inner: Detection | Observation) -> bool:
    x, y = inner.centre_px
    return outer.left_px - 2 <= x <= outer.right_px + 2 and outer.top_px - 2 <= y <= outer.bottom_px + 2


def _same(a: Observation, b: Observation) -> bool:
    return _holds(a, b) or _holds(b, a)


def _levels(frame: Frame) -> Levels:
    """Whole counts between robust percentiles, in any unit: rank filters on them take half the time of floats."""
    pixels = frame.pixels
    if frame.kind is PixelKind.BGR8:
        raise ValueError("a colour picture has no warm spots")
    low, high = (float(v) for v in np.percentile(pixels[::4, ::4], _PERCENTILES))
    factor = _COUNTS / max(high - low, 1e-3)
    scaled = cv2.addWeighted(pixels, factor, pixels, 0.0, 2000.0 - low * factor, dtype=cv2.CV_16U)
    return np.asarray(without_stuck(scaled), dtype=np.uint16)


def _inside(box: Box, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = min(max(0, int(box[0])), shape[1] - 1), min(max(0, int(box[1])), shape[0] - 1)
    return left, top, max(left + 1, min(shape[1], math.ceil(box[2]))), max(top + 1, min(shape[0], math.ceil(box[3])))
