# SPDX-License-Identifier: AGPL-3.0-or-later
"""OpenVINO on the CPU: the fastest of the engines measured; bf16 where the processor computes in it, else f32."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from vision.engines.base import Tensor, check_onnx, first_line, fixed_input
from vision.errors import ModelError

ov: Any = importlib.import_module("openvino")  # its stubs leave out what it exports


class OpenVinoEngine:
    """A compiled model with one inference request, whose output is copied out."""

    def __init__(self, path: Path, threads: int) -> None:
        check_onnx(path)
        core = ov.Core()
        bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        try:
            model = core.read_model(path)
            shape = tuple(int(n.get_length()) if n.is_static else None for n in model.inputs[0].get_partial_shape())
            self._size = fixed_input(path, shape)
            compiled = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
                    # pinned threads of two processes would fight for the same cores
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            raise ModelError(f"model {path}: OpenVINO cannot read it ({first_line(error)})") from error
        self._request = compiled.create_infer_request()
        version = ".".join(ov.__version__.split("-")[0].split(".")[:2])
        self._name = f"openvino {version} {'bf16' if bf16 else 'f32'}"

    @property
    def name(self) -> str:
        return self._name

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def run(self, batch: Tensor) -> Tensor:
        self._request.infer([batch], share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)


def load(path: Path, threads: int) -> OpenVinoEngine:
    """Compile the model; ModelError if it cannot be read."""
    return OpenVinoEngine(path, threads)
