# SPDX-License-Identifier: AGPL-3.0-or-later
"""People in a thermal still, looked for at two sizes, and what both looks say of them together.

What a network takes for a person at two sizes is more often one than what it is sure of at one: stones and bushes change
with the scale, bodies keep their form. The looks count alike, by the mean of their scores' logits (test-time augmentation;
Shanmugam et al., ICCV 2021, on what it gains and where it errs). A picture much larger than the network's input is looked
at in parts both times, for shrunk it shows nobody small; one so small that the input enlarges it is looked at once: more
of its pixels there are not. Streams do without: there further frames confirm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from vision.detector import Detection
from vision.frame import Frame, PixelKind
from vision.prepare import BytePicture, fit_into, to_grey
from vision.sighting import Kind
from vision.unite import iou
from vision.yolo import SIZE_GATES, YoloDetector

_SIZES: Final = (1.0, 1.5)  # pixels of the input to one of the picture
_SLACK: Final = 0.05  # so much smaller is near enough, if it saves a row of parts
_OVERLAP_PX: Final = 45.0  # at least: whom one part cuts another has whole
_SMALL: Final = 0.8  # pixels of the picture to one of the input
_LARGE: Final = 1.25
_EDGE_PX: Final = 2.0
_SAME_IOU: Final = 0.45
_NEAR: Final = 0.25  # of the shorter of two boxes: a few pixels wide, they overlap little when one is moved by one
_MOST_LONGER: Final = 2.0
_UNSEEN: Final = 0.01  # the score of what a look did not find


def people_at_both_sizes(
    yolo: YoloDetector, tones: tuple[Frame, Frame], gsd_m: float | None, plain: Sequence[Detection], least: float
) -> list[Detection]:
    """People in a thermal picture (h, w), each once.

    tones: the picture for each size (`vision.tone`). plain: what the look at the whole of the first has found. least: of
    a look's scores. gsd_m: metres per pixel, for the size that people can have; None where it is not known.
    """
    first = tones[0]
    shrunk = 1.0 / fit_into((first.height_px, first.width_px), yolo.input_size).scale
    looks = [[d for d in plain if d.kind is Kind.PERSON]]
    if shrunk > _LARGE:
        looks = []
    if shrunk >= _SMALL:
        for size, frame in list(zip(_SIZES, tones, strict=True))[len(looks) :]:
            found = _in_parts(yolo, frame, to_grey(frame, yolo.card), size * shrunk, least)
            looks.append([d for d in found if _fits(d, gsd_m)])
    return together(*looks)


def _in_parts(yolo: YoloDetector, frame: Frame, grey: BytePicture, larger: float, least: float) -> list[Detection]:
    """People in overlapping parts that the input shows so many times larger than it would the whole."""
    height, width = grey.shape
    along = max(1, math.ceil(larger - _SLACK * larger))
    share = max((1.0 + (along - 1) * _OVERLAP_PX / min(width, height)) / along, 1.0 / larger)
    high, wide = min(height, math.ceil(height * share)), min(width, math.ceil(width * share))
    found: list[Detection] = []
    for top in _starts(height, high, along):
        for left in _starts(width, wide, along):
            pixels = np.ascontiguousarray(grey[top : top + high, left : left + wide])
            part = replace(frame, pixels=pixels, kind=PixelKind.GREY8)
            for d in yolo.detect(part, None, least):
                cut_x = (left > 0 and d.left_px < _EDGE_PX) or (left + wide < width and d.right_px > wide - _EDGE_PX)
                cut_y = (top > 0 and d.top_px < _EDGE_PX) or (top + high < height and d.bottom_px > high - _EDGE_PX)
                if d.kind is Kind.PERSON and not (cut_x or cut_y):
                    found.append(_moved(d, left, top))
    kept: list[Detection] = []
    for d in sorted(found, key=lambda d: -d.confidence):
        if not any(_alike(d, k) for k in kept):
            kept.append(d)
    return kept


def _starts(side: int, part: int, along: int) -> list[int]:
    if part == side:  # a strip is too narrow to be cut
        return [0]
    return [round(i * (side - part) / max(along - 1, 1)) for i in range(along)]


def together(*looks: Sequence[Detection]) -> list[Detection]:
    """Everybody whom any look found, with the surest box of each and what all looks say together."""
    groups: list[tuple[Detection, list[float]]] = []
    for d, look in sorted(((d, i) for i, ds in enumerate(looks) for d in ds), key=lambda pair: -pair[0].confidence):
        scores = next((scores for first, scores in groups if _alike(first, d)), None)
        if scores is None:
            scores = [_UNSEEN] * len(looks)
            groups.append((d, scores))
        scores[look] = max(scores[look], d.confidence)
    return [replace(d, confidence=_mean(scores)) for d, scores in groups]


def _mean(scores: Sequence[float]) -> float:
    logits = [math.log(s / (1.0 - s)) for s in (min(max(s, _UNSEEN), 1.0 - _UNSEEN) for s in scores)]
    return 1.0 / (1.0 + math.exp(-math.fsum(logits) / len(logits)))


def _alike(a: Detection, b: Detection) -> bool:
    if iou(a, b) > _SAME_IOU:
        return True
    long, other = max(a.width_px, a.height_px), max(b.width_px, b.height_px)
    if max(long, other) >= _MOST_LONGER * min(long, other):
        return False
    apart = max(abs(p - q) for p, q in zip(a.centre_px, b.centre_px, strict=True))
    return apart < _NEAR * min(long, other) + 1.0


def _fits(d: Detection, gsd_m: float | None) -> bool:
    gate = SIZE_GATES[Kind.PERSON]
    return gsd_m is None or gate.min_m <= max(d.width_px, d.height_px) * gsd_m <= gate.max_m


def _moved(d: Detection, x: float, y: float) -> Detection:
    return replace(d, left_px=d.left_px + x, right_px=d.right_px + x, top_px=d.top_px + y, bottom_px=d.bottom_px + y)
