# SPDX-License-Identifier: AGPL-3.0-or-later
"""ultralytics on PyTorch for `.pt` files, on a GPU when there is one. Needs the extra: pip install 'dronectl[yolo]'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import ultralytics

from vision.engines.base import Picture, PictureTensor, Tensor, first_line
from vision.errors import ModelError

_STRIDE = 32


class UltralyticsEngine:
    """The bare network of a checkpoint: our own preparation and decoding, so that engines can be compared."""

    at_once = 1

    def __init__(self, path: Path, threads: int) -> None:
        if not path.is_file():
            raise ModelError(f"model {path}: no such file")
        try:
            checkpoint = ultralytics.YOLO(str(path), task="detect")
            network = checkpoint.model
            self._device = "cuda" if torch.cuda.is_available() else "cpu"
            if self._device == "cpu":
                torch.set_num_threads(threads)
            self._network = network.fuse().float().eval().to(self._device)
        except Exception as error:  # torch, pickle and zip errors have no common base
            raise ModelError(f"model {path}: ultralytics cannot read it ({first_line(error)})") from error
        size = getattr(network, "args", {}).get("imgsz", 640) if isinstance(network.args, dict) else 640
        height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
        self._size = (-(-height // _STRIDE) * _STRIDE, -(-width // _STRIDE) * _STRIDE)
        self._pictures = PictureTensor(self._size)

    @property
    def name(self) -> str:
        return f"ultralytics {ultralytics.__version__} {self._device}"

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def run(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            output = self._network(torch.from_numpy(batch).to(self._device))
        while isinstance(output, list | tuple):
            output = output[0]
        return np.asarray(output.float().cpu().numpy(), dtype=np.float32)

    def run_picture(self, picture: Picture) -> Tensor:
        return self.run(self._pictures.of(picture))


def load(path: Path, threads: int) -> UltralyticsEngine:
    """Load the checkpoint; ModelError if it cannot be read."""
    return UltralyticsEngine(path, threads)
