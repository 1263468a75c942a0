# SPDX-License-Identifier: AGPL-3.0-or-later
"""Frames become what a network eats: 8-bit white-hot grey or colour, fitted into the input."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.engines.base import Tensor
from vision.frame import Frame, PixelKind
from vision.model_card import ModelCard
from vision.stretch import RAW_PER_C, eight_bits

BytePicture = NDArray[np.uint8]
_PAD_GREY = 114  # what YOLO was trained with around its pictures


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture lies in the network's input: input = picture * scale + offset."""

    scale: float
    left_px: float
    top_px: float


def to_grey(frame: Frame, card: ModelCard) -> BytePicture:
    """8-bit picture in which warmer is brighter. Colour pictures give their luminance."""
    pixels = frame.pixels
    if frame.kind is PixelKind.GREY8:
        return pixels
    if frame.kind is PixelKind.BGR8:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    span = card.min_span_c * (RAW_PER_C if frame.kind is PixelKind.RAW16 else 1.0)
    return eight_bits(pixels, (card.low_percentile, card.high_percentile), span)


def fit_into(shape: tuple[int, int], size: tuple[int, int]) -> Fit:
    """Where a picture of (height, width) lies when it is letterboxed into (height, width) `size`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = _shrunk(shape, scale)
    return Fit(scale, float((size[1] - width) // 2), float((size[0] - height) // 2))


def _shrunk(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width), of which a line of pixels keeps one."""
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def fit_picture(picture: BytePicture, size: tuple[int, int]) -> tuple[BytePicture, Fit]:
    """The picture, (h, w) or (h, w, 3), letterboxed into (height, width) `size`, and where it lies."""
    fit = fit_into((picture.shape[0], picture.shape[1]), size)
    if picture.shape[:2] == size:
        return np.ascontiguousarray(picture), fit
    height, width = _shrunk((picture.shape[0], picture.shape[1]), fit.scale)
    method = cv2.INTER_AREA if fit.scale < 1 else cv2.INTER_LINEAR
    canvas = np.full((*size, *picture.shape[2:]), _PAD_GREY, dtype=np.uint8)
    left, top = int(fit.left_px), int(fit.top_px)
    inside = canvas[top : top + height, left : left + width]
    inside[...] = picture if fit.scale == 1.0 else cv2.resize(picture, (width, height), interpolation=method)
    return canvas, fit


def to_tensor(picture: BytePicture, size: tuple[int, int], into: Tensor | None = None) -> tuple[Tensor, Fit]:
    """(1, 3, height, width) in 0..1 of a grey picture, letterboxed, and where it lies. Written `into`, if that is given."""
    fitted, fit = fit_picture(picture, size)
    tensor = np.empty((1, 3, *size), dtype=np.float32) if into is None else into
    np.multiply(fitted, np.float32(1 / 255), out=tensor[0, 0])
    tensor[0, 1:] = tensor[0, 0]
    return tensor, fit
