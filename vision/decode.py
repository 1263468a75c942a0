# SPDX-License-Identifier: AGPL-3.0-or-later
"""A YOLO model's raw output becomes boxes. Both layouts in use: (1, 4 + C, N) with NMS to do, (1, N, 6) without.

The first holds centre x, centre y, width, height and one score per class (YOLOv8, YOLO11, YOLO26 with nms=None);
the second left, top, right, bottom, score, class, already free of duplicates (YOLO26 with nms=False, exports with
NMS inside).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.engines.base import Tensor
from vision.prepare import Fit

_FREE_COLUMNS = 6
_MAX_FREE_ROWS = 1000
_CLASS_OFFSET_PX = 7680.0  # larger than any input: boxes of different classes then never overlap


@dataclass(frozen=True, slots=True)
class Boxes:
    """n boxes: corners (n, 4) left, top, right, bottom in picture pixels, scores (n,), classes (n,)."""

    corners_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.corners_px.shape != (n, 4) or self.classes.shape != (n,):
            raise ValueError(f"{self.corners_px.shape}, {self.scores.shape}, {self.classes.shape} do not fit together")

    def __len__(self) -> int:
        return len(self.scores)


def class_count(shape: tuple[int, ...]) -> int | None:
    """How many classes an output of this shape has; None where it does not show (NMS-free)."""
    if len(shape) != 3 or shape[0] != 1:
        raise ValueError(f"an output of shape {shape} is not YOLO's: (1, 4 + classes, boxes) or (1, boxes, 6)")
    if shape[2] == _FREE_COLUMNS and shape[1] <= _MAX_FREE_ROWS:
        return None
    if shape[1] < 5 or shape[1] >= shape[2]:
        raise ValueError(f"an output of shape {shape} is not YOLO's: (1, 4 + classes, boxes) or (1, boxes, 6)")
    return shape[1] - 4


def decode(output: Tensor, fit: Fit, shape: tuple[int, int], confidence: float, iou: float = 0.6) -> Boxes:
    """Boxes in the picture's own pixels, cut at its edges.

    shape: (height, width) of the picture. Raises ValueError for an output that is not YOLO's.
    """
    if class_count(output.shape) is None:
        corners, scores, classes = _free(output[0], confidence)
    else:
        corners, scores, classes = _raw(output[0], confidence, iou)
    corners = (corners - np.array([fit.left_px, fit.top_px] * 2, dtype=np.float32)) / np.float32(fit.scale)
    corners[:, 0::2] = corners[:, 0::2].clip(0, shape[1])
    corners[:, 1::2] = corners[:, 1::2].clip(0, shape[0])
    inside = (corners[:, 2] - corners[:, 0] >= 1) & (corners[:, 3] - corners[:, 1] >= 1)
    return Boxes(corners[inside], scores[inside], classes[inside])


_Parts = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


def _free(rows: NDArray[np.float32], confidence: float) -> _Parts:
    kept = rows[rows[:, 4] >= confidence]
    return kept[:, :4].copy(), kept[:, 4], kept[:, 5].astype(np.int64)


def _raw(columns: NDArray[np.float32], confidence: float, iou: float) -> _Parts:
    candidates = np.flatnonzero(columns[4:].max(axis=0) >= confidence)
    few = columns[:, candidates]  # out of thousands
    if len(candidates) == 0:
        return np.empty((0, 4), np.float32), few[4], candidates
    scores, classes = few[4:].max(axis=0), few[4:].argmax(axis=0)
    centre, size = few[0:2].T, few[2:4].T
    corner = centre - size / 2
    apart = corner + (classes * _CLASS_OFFSET_PX)[:, None]
    rectangles = np.concatenate([apart, size], axis=1)
    kept = np.asarray(cv2.dnn.NMSBoxes(rectangles.tolist(), scores.tolist(), confidence, iou), dtype=np.int64).ravel()
    corners = np.concatenate([corner, corner + size], axis=1)[kept].astype(np.float32)
    return corners, scores[kept], classes[kept]
