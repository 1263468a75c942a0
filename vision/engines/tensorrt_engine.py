# SPDX-License-Identifier: AGPL-3.0-or-later
"""TensorRT on an NVIDIA card, as ONNX Runtime's provider. In f32; cards that have it compute that in TF32.

Building an engine for a card takes minutes and is done once per model, card and version; the result is kept in the
cache folder. What of the network TensorRT does not take runs on the processor.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from pathlib import Path
from typing import Any, Final

import numpy as np

from vision.engines.base import check_onnx, first_line
from vision.engines.onnxruntime_engine import OnnxRuntimeEngine, session_options
from vision.engines.tensorrt_parts import engine_folder, is_built, missing
from vision.errors import EngineUnusableError

ort: Any = importlib.import_module("onnxruntime")  # it has no stubs
log = logging.getLogger(__name__)

PROVIDER: Final = "TensorrtExecutionProvider"


def load(path: Path, threads: int) -> OnnxRuntimeEngine:
    """Open a session that runs on the card. ModelError; EngineUnusableError if TensorRT does not come up."""
    check_onnx(path)
    lack = missing()
    if lack is not None:
        raise EngineUnusableError(f"engine tensorrt: {lack.what}; {lack.mend}")
    if PROVIDER not in ort.get_available_providers():
        raise EngineUnusableError("engine tensorrt: ONNX Runtime does not offer it, though its library is there")
    if not is_built(path):
        log.warning("TensorRT builds an engine of %s for this card, once; it can take minutes", path.name)
    try:
        engine, providers = _opened(path, threads)
    except Exception as error:  # its exceptions share no base class but Exception
        raise EngineUnusableError(f"engine tensorrt: it does not come up ({first_line(error)})") from error
    if PROVIDER not in providers:
        raise EngineUnusableError("engine tensorrt: the session came up without it")
    return engine


def _opened(path: Path, threads: int) -> tuple[OnnxRuntimeEngine, list[str]]:
    """The engine after its first run, and the providers of its session."""
    options = {"trt_fp16_enable": "False"}
    folder = engine_folder(path)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        options |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(folder)}
    with contextlib.redirect_stdout(io.StringIO()):  # it prints there what it then raises
        session = ort.InferenceSession(
            str(path),
            session_options(threads),
            providers=[(PROVIDER, options), "CPUExecutionProvider"],
            enable_fallback=0,
        )
    session.disable_fallback()
    engine = OnnxRuntimeEngine(path, session, f"tensorrt (onnxruntime {ort.__version__}) f32")
    engine.run(np.zeros((1, 3, *engine.input_size), dtype=np.float32))  # builds what is to be built, or fails now
    return engine, session.get_providers()
