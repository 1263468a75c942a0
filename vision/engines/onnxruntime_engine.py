# SPDX-License-Identifier: AGPL-3.0-or-later
"""ONNX Runtime on the CPU, and what its sessions have in common."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from vision.engines.base import Picture, PictureTensor, Tensor, check_onnx, first_line, fixed_input
from vision.errors import ModelError

ort: Any = importlib.import_module("onnxruntime")  # it has no stubs


class OnnxRuntimeEngine:
    """An inference session."""

    at_once = 1

    def __init__(self, path: Path, session: Any, name: str) -> None:
        self._session, self._name = session, name
        first = self._session.get_inputs()[0]
        self._input, self._output = first.name, self._session.get_outputs()[0].name
        self._size = fixed_input(path, tuple(first.shape))
        self._pictures = PictureTensor(self._size)

    @property
    def name(self) -> str:
        return self._name

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def run(self, batch: Tensor) -> Tensor:
        (output,) = self._session.run([self._output], {self._input: batch})
        return np.asarray(output, dtype=np.float32)

    def run_picture(self, picture: Picture) -> Tensor:
        return self.run(self._pictures.of(picture))


def session_options(threads: int) -> Any:
    """Options of a session for frames that come one by one."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised; its own log lines would only repeat it
    # spinning workers would take the other processes' cores between frames
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def load(path: Path, threads: int) -> OnnxRuntimeEngine:
    """Open a session on the CPU; ModelError if the file cannot be read."""
    check_onnx(path)
    try:
        session = ort.InferenceSession(str(path), session_options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class but Exception
        raise ModelError(f"model {path}: ONNX Runtime cannot read it ({first_line(error)})") from error
    return OnnxRuntimeEngine(path, session, f"onnxruntime {ort.__version__} f32")
