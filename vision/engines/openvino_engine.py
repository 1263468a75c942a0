# SPDX-License-Identifier: AGPL-3.0-or-later
"""OpenVINO on the CPU: the fastest of the engines measured; bf16 where the processor computes in it, else f32.

Pictures go in as they are: scaling to 0..1, the order of colours and the three equal channels of a grey picture are
nodes in front of the model, computed by its threads. Outputs are those of the tensor made outside, to the last bit.

A picture that comes alone is computed by all threads together, which is the soonest; pictures that come while another is
computed get half of the threads each ("streams"), since fewer then wait for each other and for what is between pictures.
"""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision.engines.base import Picture, Tensor, check_onnx, first_line, fixed_input
from vision.engines.cache import cache_folder, prune
from vision.errors import ModelError

ov: Any = importlib.import_module("openvino")  # its stubs leave out what it exports
_COLOUR_AXES = 3
_STREAMS = 2  # each has memory of its own
_CROWDED_S = 0.25  # after two at once: so long the next ones are taken to come in a crowd too


class _Crowd:
    """Whether pictures come one by one or several at once. One for the process: its engines share the cores."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._inside = 0
        self._until_s = float("-inf")

    @contextmanager
    def entered(self) -> Iterator[bool]:
        """Inside the block a picture is computed; gives whether it has the cores to itself."""
        with self._lock:
            now_s = self._clock()
            if self._inside:
                self._until_s = now_s + _CROWDED_S
            alone = now_s >= self._until_s
            self._inside += 1
        try:
            yield alone
        finally:
            with self._lock:
                self._inside -= 1


_CROWD = _Crowd(time.monotonic)


class OpenVinoEngine:
    """One model, compiled for each kind of input and crowd that is met; outputs are copied out.

    Memory for crowds (some 60 MB) is taken when the first comes, and not by a process that looks now and then.
    """

    def __init__(self, path: Path, threads: int) -> None:
        check_onnx(path)
        self._path = path
        self._streams = min(_STREAMS, threads)
        self._core = ov.Core()
        self._cache = cache_folder()
        bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            # pinned threads of two processes would fight for the same cores
            "ENABLE_CPU_PINNING": False,
        }
        if self._cache is not None:
            self._options["CACHE_DIR"] = str(self._cache)
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise ModelError(f"model {path}: OpenVINO cannot read it ({first_line(error)})") from error
        shape = tuple(int(n.get_length()) if n.is_static else None for n in self._model.inputs[0].get_partial_shape())
        self._size = fixed_input(path, shape)
        self._requests: dict[tuple[str, int], queue.SimpleQueue[Any]] = {}
        self._compiling = threading.Lock()
        version = ".".join(ov.__version__.split("-")[0].split(".")[:2])
        self._name = f"openvino {version} {'bf16' if bf16 else 'f32'}"

    @property
    def name(self) -> str:
        return self._name

    @property
    def at_once(self) -> int:
        return self._streams

    @property
    def input_size(self) -> tuple[int, int]:
        return self._size

    def run(self, batch: Tensor) -> Tensor:
        return self._infer("tensor", batch)

    def run_picture(self, picture: Picture) -> Tensor:
        if picture.ndim == _COLOUR_AXES:
            return self._infer("colour", picture[None])
        return self._infer("grey", picture[None, None])

    def _infer(self, kind: str, batch: NDArray[Any]) -> Tensor:
        with _CROWD.entered() as alone:
            free = self._requests_for(kind, 1 if alone else self._streams)
            request = free.get()
            try:
                request.infer([batch], share_inputs=True)
                return np.array(request.get_output_tensor(0).data, dtype=np.float32)
            finally:
                free.put(request)

    def _requests_for(self, kind: str, streams: int) -> queue.SimpleQueue[Any]:
        with self._compiling:
            free = self._requests.get((kind, streams))
            if free is None:
                compiled = self._compiled(kind, streams)
                free = self._requests[kind, streams] = queue.SimpleQueue()
                # in a crowd one more than is computed waits inside: the next begins without a word from Python, which may
                # be busy with something else
                for _ in range(streams + (streams > 1)):
                    free.put(compiled.create_infer_request())
            return free

    def _compiled(self, kind: str, streams: int) -> Any:
        model = self._model.clone()
        if kind == "colour":
            steps = ov.preprocess.PrePostProcessor(model)
            steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
            steps.input().tensor().set_color_format(ov.preprocess.ColorFormat.BGR)
            steps.input().model().set_layout(ov.Layout("NCHW"))
            to_rgb = steps.input().preprocess().convert_element_type(ov.Type.f32)
            to_rgb.convert_color(ov.preprocess.ColorFormat.RGB).scale(255.0)
            model = steps.build()
        elif kind == "grey":
            model = self._with_grey_input(model)
        try:
            compiled = self._core.compile_model(model, "CPU", self._options | {"NUM_STREAMS": streams})
        except RuntimeError as error:
            raise ModelError(f"model {self._path}: OpenVINO cannot compile it ({first_line(error)})") from error
        if self._cache is not None:
            prune(self._cache)
        return compiled

    def _with_grey_input(self, model: Any) -> Any:
        """The model with one 8-bit plane as its input."""
        ops = ov.opset13
        old, size = model.get_parameters()[0], self._size
        plane = ops.parameter([1, 1, *size], np.uint8, name="grey")
        scaled = ops.multiply(ops.convert(plane, "f32"), ops.constant(np.float32(1 / 255)))
        three = ops.broadcast(scaled, ops.constant(np.array([1, 3, *size], np.int64)))
        for consumer in old.output(0).get_target_inputs():
            consumer.replace_source_output(three.output(0))
        return ov.Model(model.get_results(), [plane], "grey")


def load(path: Path, threads: int) -> OpenVinoEngine:
    """Read the model; ModelError if it cannot be read."""
    return OpenVinoEngine(path, threads)
