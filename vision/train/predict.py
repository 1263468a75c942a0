# SPDX-License-Identifier: AGPL-3.0-or-later
"""Run an exported model on pictures for evaluation: letterbox, ONNX Runtime, decoding, non-maximum suppression."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .augment import Image, contrast_stretch
from .dataset import Sample, read_boxes, read_image
from .errors import MissingExtraError, UserError
from .evaluate import Picture, overlap
from .labels import read_labels

Floats32 = npt.NDArray[np.float32]

BORDER = 114


def letterbox(image: Image, width: int, height: int) -> tuple[Image, float, float, float]:
    """Fit a picture into the input without distortion; return it, the scale and the left and top margins."""
    rows, cols = image.shape[:2]
    scale = min(width / cols, height / rows)
    new_w, new_h = round(cols * scale), round(rows * scale)
    if (new_w, new_h) != (cols, rows):
        image = np.asarray(cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    left, top = (width - new_w) // 2, (height - new_h) // 2
    if (left, top) != (0, 0) or (new_w, new_h) != (width, height):
        canvas = np.full((height, width, *image.shape[2:]), BORDER, dtype=np.uint8)
        canvas[top : top + new_h, left : left + new_w] = image
        image = canvas
    return image, scale, float(left), float(top)


def middle_tile(image: Image, width: int, height: int) -> Image:
    """Of a colour picture larger than the input its middle, at its own scale, as it is looked at; any other as it is."""
    if image.ndim == 2:
        return image
    top, left = max(0, (image.shape[0] - height) // 2), max(0, (image.shape[1] - width) // 2)
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def to_tensor(image: Image) -> Floats32:
    """Grey (three equal channels) or colour (turned red first) picture -> 1 x 3 x H x W, 0..1."""
    scaled = image.astype(np.float32) / np.float32(255.0)
    planes = scaled[..., ::-1].transpose(2, 0, 1) if scaled.ndim == 3 else np.broadcast_to(scaled, (3, *scaled.shape))
    return np.ascontiguousarray(planes[None])


def suppress(rows: npt.NDArray[np.float64], iou: float = 0.6, limit: int = 300) -> npt.NDArray[np.float64]:
    """Greedy non-maximum suppression within each class; rows of class, confidence, x1, y1, x2, y2."""
    rows = rows[np.argsort(-rows[:, 1], kind="stable")][:3000]
    kept: list[int] = []
    alive = np.ones(len(rows), dtype=bool)
    for index in range(len(rows)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) == limit:
            break
        overlaps, _ = overlap(rows[index : index + 1, 2:], rows[:, 2:])
        alive &= ~((overlaps[0] > iou) & (rows[:, 0] == rows[index, 0]))
    return rows[kept]


def decode(
    output: Floats32, scale: float, left: float, top: float, size: tuple[int, int], confidence: float = 0.01
) -> npt.NDArray[np.float64]:
    """Turn a raw (1, 4 + classes, n) output into rows of class, confidence and corners in the picture's pixels."""
    values = output[0].astype(np.float64).T
    scores = values[:, 4:]
    cls = scores.argmax(axis=1)
    best = scores.max(axis=1)
    keep = best >= confidence
    values, cls, best = values[keep], cls[keep], best[keep]
    centre, half = values[:, :2], values[:, 2:4] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    corners[:, [0, 2]] = ((corners[:, [0, 2]] - left) / scale).clip(0, size[0])
    corners[:, [1, 3]] = ((corners[:, [1, 3]] - top) / scale).clip(0, size[1])
    return suppress(np.column_stack([cls.astype(np.float64), best, corners]))


@dataclass
class OnnxModel:
    """An exported detector in ONNX Runtime."""

    session: Any
    input_name: str
    width: int
    height: int
    classes: int

    @classmethod
    def load(cls, path: Path, threads: int = 2) -> OnnxModel:
        """Open an ONNX file with a static N x 3 x H x W input."""
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise MissingExtraError(f"evaluation needs the package 'onnxruntime': {error}") from None
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001  # the runtime has errors of its own; all mean that it is no such file
            raise UserError(f"{path}: cannot be read as ONNX ({str(error).splitlines()[0]})") from None
        first, out = session.get_inputs()[0], session.get_outputs()[0].shape
        shape = first.shape
        if len(shape) != 4 or not all(isinstance(side, int) for side in shape):
            raise UserError(f"{path}: its input {shape} is not a static batch of pictures")
        if len(out) != 3 or not all(isinstance(side, int) for side in out) or not 5 <= out[1] < out[2]:
            raise UserError(
                f"{path}: its output {out} is not 1 x (4 + classes) x boxes, as before non-maximum suppression"
            )
        return cls(session, str(first.name), int(shape[3]), int(shape[2]), int(out[1]) - 4)

    def __call__(self, image: Image) -> npt.NDArray[np.float64]:
        """Detect in an 8-bit picture, grey or colour (blue first)."""
        boxed, scale, left, top = letterbox(image, self.width, self.height)
        output = self.session.run(None, {self.input_name: to_tensor(boxed)})[0]
        return decode(np.asarray(output, dtype=np.float32), scale, left, top, (image.shape[1], image.shape[0]))


def in_tiles(model: OnnxModel, image: Image, overlap: float = 0.2) -> npt.NDArray[np.float64]:
    """Detect in a picture of any size by tiles of the model's own size, at the picture's own scale."""
    rows, cols = image.shape[:2]
    found = []
    for top in _starts(rows, model.height, overlap):
        for left in _starts(cols, model.width, overlap):
            part = model(np.ascontiguousarray(image[top : top + model.height, left : left + model.width]))
            part[:, [2, 4]] += left
            part[:, [3, 5]] += top
            found.append(part)
    return suppress(np.concatenate(found), iou=0.5)


def _starts(length: int, side: int, overlap: float) -> list[int]:
    count = 1 if length <= side else math.ceil((length - side * overlap) / (side * (1 - overlap)))
    return [round(i * max(0, length - side) / max(1, count - 1)) for i in range(count)]


def run_pictures(
    model: OnnxModel,
    samples: Sequence[Sample],
    classes: int,
    group: Callable[[Sample], str] | None = None,
    *,
    stretch: bool = False,
    colour: bool = False,
) -> list[Picture]:
    """Detect in every picture and put objects and detections together for the evaluator.

    Colour pictures that are larger than the model's input are looked at in tiles.
    """
    out = []
    for sample in samples:
        image = read_image(sample.image, colour=colour)
        rows, cols = image.shape[:2]
        larger = colour and (cols > model.width or rows > model.height)
        found = in_tiles(model, image) if larger else model(contrast_stretch(image) if stretch else image)
        out.append(
            Picture(
                truth=read_boxes(sample, classes, cols, rows),
                found=found,
                ignore=read_labels(sample.ignore, 1, cols, rows)[:, 1:],
                group=group(sample) if group else "",
            )
        )
    return out
