# SPDX-License-Identifier: AGPL-3.0-or-later
"""Detection figures from boxes alone: average precision, recall and false positives per picture (numpy only).

Matching is greedy by confidence: a detection takes the free object of its class that it overlaps most, if the overlap
(IoU) reaches the threshold. Average precision is the area under the precision envelope over all points. A detection
without an object that lies mostly within a region to ignore counts neither way.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Picture:
    """The objects and the detections of one picture; corners in pixels.

    ``truth``: rows of class, x1, y1, x2, y2. ``found``: rows of class, confidence, x1, y1, x2, y2.
    ``ignore``: rows of x1, y1, x2, y2. ``group`` is free text (a height, say) for figures by group.
    """

    truth: npt.ArrayLike
    found: npt.ArrayLike
    ignore: npt.ArrayLike = field(default_factory=list)
    group: str = ""


@dataclass(frozen=True, slots=True)
class Operating:
    """What one class gives at one confidence; no recall without objects, no precision without detections."""

    confidence: float
    recall: float | None
    precision: float | None
    false_per_picture: float


@dataclass(frozen=True, slots=True)
class ClassResult:
    """Figures of one class; no average precision where no object of the class exists."""

    objects: int
    pictures: int
    ap: float | None
    operating: tuple[Operating, ...]


def _rows(values: npt.ArrayLike, columns: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, columns))
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(f"expected rows of {columns} numbers, found shape {array.shape}")
    return array


def overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return IoU, and intersection over the area of ``a``, of every pair of corner boxes (len(a) x len(b))."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a = np.prod(np.clip(a[:, 2:] - a[:, :2], 0, None), axis=1)[:, None]
    area_b = np.prod(np.clip(b[:, 2:] - b[:, :2], 0, None), axis=1)[None, :]
    union = area_a + area_b - inter
    iou = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    own = np.divide(inter, area_a, out=np.zeros_like(inter), where=area_a > 0)
    return iou, own


def match(truth: Floats, found: Floats, confidence: Floats, ignore: Floats, iou: float = 0.5) -> npt.NDArray[np.int8]:
    """Judge corner boxes of one class in one picture: 1 right, 0 wrong, -1 not counted; in the order given."""
    verdict = np.zeros(len(found), dtype=np.int8)
    overlaps, _ = overlap(found, truth)
    _, inside = overlap(found, ignore)
    free = np.ones(len(truth), dtype=bool)
    for index in np.argsort(-confidence, kind="stable"):
        candidates = np.where(free, overlaps[index], -1.0)
        best = int(candidates.argmax()) if len(truth) else -1
        if best >= 0 and candidates[best] >= iou:
            free[best] = False
            verdict[index] = 1
        elif len(ignore) and inside[index].max() >= 0.5:
            verdict[index] = -1
    return verdict


def average_precision(right: npt.ArrayLike, confidence: npt.ArrayLike, objects: int) -> float | None:
    """Area under the precision envelope over recall, at all points; None without objects.

    Detections of one confidence cannot be told apart by a threshold, so they enter together.
    """
    if objects == 0:
        return None
    hits = np.asarray(right, dtype=np.float64)
    scores = np.asarray(confidence, dtype=np.float64)
    if hits.size == 0:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    hits, scores = hits[order], scores[order]
    last_of_tie = np.append(scores[1:] != scores[:-1], [True])
    total = np.cumsum(hits)[last_of_tie]
    seen = np.arange(1, hits.size + 1, dtype=np.float64)[last_of_tie]
    recall = np.concatenate([[0.0], total / objects])
    precision = np.concatenate([total / seen, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1][:-1]
    return float(np.sum(np.diff(recall) * envelope))


def evaluate_class(
    pictures: Sequence[Picture],
    cls: int,
    iou: float = 0.5,
    thresholds: Sequence[float] = (0.1, 0.25, 0.4, 0.5),
) -> ClassResult:
    """Figures of one class over all pictures."""
    verdicts: list[npt.NDArray[np.int8]] = []
    scores: list[Floats] = []
    objects = 0
    for picture in pictures:
        truth, found = _rows(picture.truth, 5), _rows(picture.found, 6)
        truth, found = truth[truth[:, 0] == cls], found[found[:, 0] == cls]
        objects += len(truth)
        verdicts.append(match(truth[:, 1:], found[:, 2:], found[:, 1], _rows(picture.ignore, 4), iou))
        scores.append(found[:, 1])
    verdict = np.concatenate(verdicts) if verdicts else np.zeros(0, dtype=np.int8)
    score = np.concatenate(scores) if scores else np.zeros(0)
    counted = verdict >= 0
    verdict, score = verdict[counted], score[counted]
    operating = []
    for threshold in thresholds:
        kept = verdict[score >= threshold]
        right = int((kept == 1).sum())
        wrong = len(kept) - right
        operating.append(
            Operating(
                confidence=float(threshold),
                recall=right / objects if objects else None,
                precision=right / len(kept) if len(kept) else None,
                false_per_picture=wrong / len(pictures) if pictures else 0.0,
            )
        )
    return ClassResult(objects, len(pictures), average_precision(verdict, score, objects), tuple(operating))


def evaluate(
    pictures: Sequence[Picture],
    names: Sequence[str],
    iou: float = 0.5,
    thresholds: Sequence[float] = (0.1, 0.25, 0.4, 0.5),
) -> dict[str, ClassResult]:
    """Figures of every class, by its name."""
    return {name: evaluate_class(pictures, index, iou, thresholds) for index, name in enumerate(names)}


def by_group(
    pictures: Sequence[Picture], cls: int, iou: float = 0.5, thresholds: Sequence[float] = (0.1, 0.25, 0.4, 0.5)
) -> Mapping[str, ClassResult]:
    """Figures of one class for each group of pictures, in the order in which the groups first appear."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(picture)
    return {name: evaluate_class(members, cls, iou, thresholds) for name, members in groups.items()}


def recall_by_size(
    pictures: Sequence[Picture],
    cls: int,
    edges: Sequence[float],
    confidence: float,
    iou: float = 0.5,
) -> list[tuple[float, float, int, float | None]]:
    """Recall of one class by the longer side of the object: rows of low, high, objects, recall."""
    sizes: list[Floats] = []
    hits: list[npt.NDArray[np.bool_]] = []
    for picture in pictures:
        truth, found = _rows(picture.truth, 5), _rows(picture.found, 6)
        truth = truth[truth[:, 0] == cls][:, 1:]
        found = found[(found[:, 0] == cls) & (found[:, 1] >= confidence)]
        order = np.argsort(-found[:, 1], kind="stable")
        overlaps, _ = overlap(found[order][:, 2:], truth)
        free = np.ones(len(truth), dtype=bool)
        for row in overlaps:
            candidates = np.where(free, row, -1.0)
            if len(truth) and candidates.max() >= iou:
                free[int(candidates.argmax())] = False
        sizes.append(np.maximum(truth[:, 2] - truth[:, 0], truth[:, 3] - truth[:, 1]))
        hits.append(~free)
    size = np.concatenate(sizes) if sizes else np.zeros(0)
    hit = np.concatenate(hits) if hits else np.zeros(0, dtype=bool)
    rows: list[tuple[float, float, int, float | None]] = []
    for low, high in itertools.pairwise(edges):
        within = (size >= low) & (size < high)
        count = int(within.sum())
        rows.append((float(low), float(high), count, float(hit[within].mean()) if count else None))
    return rows


def choose_confidence(pictures: Sequence[Picture], cls: int, max_false: float, floor: float = 0.05) -> float:
    """Return the lowest confidence (in steps of .01, from ``floor``) with at most ``max_false`` false per picture."""
    steps = [round(floor + 0.01 * i, 2) for i in range(round((0.95 - floor) * 100) + 1)]
    for point in evaluate_class(pictures, cls, thresholds=steps).operating:
        if point.false_per_picture <= max_false:
            return point.confidence
    return steps[-1]
