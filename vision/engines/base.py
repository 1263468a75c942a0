# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an inference engine is: a model file in, a function from NCHW float32 to the model's raw output.

Nothing here knows YOLO: decoding is `vision.decode`, pictures are fitted into the input in `vision.prepare`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vision.errors import ModelError

Tensor = NDArray[np.float32]
Picture = NDArray[np.uint8]

ONNX_FIRST_BYTE = b"\x08"  # protobuf tag of ModelProto.ir_version, which every exporter writes first
MIN_ONNX_BYTES = 64


class Engine(Protocol):
    """A loaded model."""

    @property
    def at_once(self) -> int:
        """How many threads may be in run() or run_picture() at once; what they get is the same."""

    @property
    def name(self) -> str:
        """Engine, version and precision, e.g. "openvino 2026.4 f32"."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the one fixed input."""

    def run(self, batch: Tensor) -> Tensor:
        """(1, 3, height, width) RGB in 0..1 to the model's first output, as it is."""

    def run_picture(self, picture: Picture) -> Tensor:
        """The same for a picture of the input's size: (height, width) grey, or (height, width, 3) BGR; 0..255."""


class PictureTensor:
    """Pictures as NCHW tensors, in the same memory for every picture."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._tensor = np.empty((1, 3, *size), dtype=np.float32)

    def of(self, picture: Picture) -> Tensor:
        """(1, 3, height, width) RGB in 0..1; valid until the next call."""
        planes = self._tensor[0]
        if picture.ndim == 2:
            np.multiply(picture, np.float32(1 / 255), out=planes[0])
            planes[1:] = planes[0]
        else:
            np.multiply(picture[..., ::-1].transpose(2, 0, 1), np.float32(1 / 255), out=planes)
        return self._tensor


_WHERE: Final = ("Exception from ", "Check '", "FrontEnd API failed")  # OpenVINO's first lines


def check_onnx(path: Path) -> None:
    """Raise ModelError unless the file exists and can be an ONNX model; the engines check the rest."""
    try:
        with path.open("rb") as file:
            head = file.read(MIN_ONNX_BYTES)
    except OSError as error:
        raise ModelError(f"model {path}: {error.strerror or error}") from error
    if len(head) < MIN_ONNX_BYTES or not head.startswith(ONNX_FIRST_BYTE):
        raise ModelError(f"model {path}: this is not an ONNX model; give a .onnx file exported from YOLO")


def fixed_input(path: Path, shape: tuple[object, ...]) -> tuple[int, int]:
    """(height, width) of an input shape that must be (1, 3, height, width) with fixed numbers."""
    if len(shape) != 4 or shape[0] not in (1, "batch", None) or shape[1] != 3:
        raise ModelError(f"model {path}: its input is {list(shape)}, not [1, 3, height, width]")
    height, width = shape[2], shape[3]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise ModelError(f"model {path}: its input size is not fixed; export it with dynamic=False")
    return height, width


def first_line(error: Exception) -> str:
    """The part of a library's message that fits on one line, without where in the library's source it was found."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    telling = [line for line in lines if line.strip() and not line.startswith(_WHERE)]
    return (telling or lines)[0][:200]
