# SPDX-License-Identifier: AGPL-3.0-or-later
"""OpenCV's DNN module: the slowest, and the one that is always there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vision.engines.base import Picture, PictureTensor, Tensor, check_onnx, first_line
from vision.engines.onnx_header import input_shape
from vision.errors import ModelError


class OpenCvEngine:
    """A cv2.dnn network. Its thread count is OpenCV's own and belongs to the process."""

    at_once = 1

    def __init__(self, path: Path) -> None:
        check_onnx(path)
        self._size = input_shape(path)
        self._pictures = PictureTensor(self._size)
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise ModelError(f"model {path}: OpenCV cannot read it ({first_line(error)})") from error
        self._output = self._net.getUnconnectedOutLayersNames()[0]

    @property
    def name(self) -> str:
        return f"opencv-dnn {cv2.__version__} f32"

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def run(self, batch: Tensor) -> Tensor:
        self._net.setInput(batch)
        return np.array(self._net.forward(self._output), dtype=np.float32)

    def run_picture(self, picture: Picture) -> Tensor:
        return self.run(self._pictures.of(picture))


def load(path: Path, threads: int) -> OpenCvEngine:
    """Read the network; ModelError if it cannot be read."""
    cv2.setNumThreads(threads)
    return OpenCvEngine(path)
