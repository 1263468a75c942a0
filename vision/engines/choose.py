# SPDX-License-Identifier: AGPL-3.0-or-later
"""Chooses the inference engine by what is installed: OpenVINO, then ONNX Runtime, then OpenCV DNN; ultralytics for .pt.

A library counts as installed when Python can find it; it is imported only when it is used.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Final

from vision.engines.base import Engine
from vision.errors import EngineMissingError

# name -> (library that must be there, our adapter, how to get it)
_ENGINES: Final = {
    "openvino": ("openvino", "vision.engines.openvino_engine", "pip install openvino"),
    "onnxruntime": ("onnxruntime", "vision.engines.onnxruntime_engine", "pip install onnxruntime"),
    "opencv": ("cv2", "vision.engines.opencv_dnn", "pip install opencv-python-headless"),
    "ultralytics": ("ultralytics", "vision.engines.ultralytics_engine", "pip install 'dronectl[yolo]'"),
}
ENGINE_NAMES: Final = tuple(_ENGINES)
DEFAULT_THREADS: Final = 2


def installed_engines() -> tuple[str, ...]:
    """Engines whose library is there, best first."""
    return tuple(name for name, (library, _, _) in _ENGINES.items() if importlib.util.find_spec(library) is not None)


def choose_engine(preferred: str | None = None, model: Path | None = None) -> str:
    """Name of the engine to use; EngineMissingError says what to install.

    A `.pt` model needs ultralytics; the others read ONNX and do not read `.pt`.
    """
    here = installed_engines()
    checkpoint = model is not None and model.suffix == ".pt"
    if preferred is not None:
        if preferred not in _ENGINES:
            raise EngineMissingError(f"engine {preferred!r} is unknown; there are {', '.join(ENGINE_NAMES)}")
        if (preferred == "ultralytics") != checkpoint and model is not None:
            raise EngineMissingError(f"engine {preferred} does not read {model.name}: .pt is for ultralytics only")
        if preferred not in here:
            raise EngineMissingError(f"engine {preferred} is not installed; {_ENGINES[preferred][2]}")
        return preferred
    candidates = [name for name in here if (name == "ultralytics") == checkpoint]
    if not candidates:
        wanted = "ultralytics" if checkpoint else "onnxruntime"
        raise EngineMissingError(f"no inference engine for {model or 'ONNX models'}; {_ENGINES[wanted][2]}")
    return candidates[0]


def load_engine(model: Path, preferred: str | None = None, threads: int = DEFAULT_THREADS) -> Engine:
    """Load a model with the chosen engine; ModelError or EngineMissingError, one line each."""
    _, adapter, _ = _ENGINES[choose_engine(preferred, model)]
    engine: Engine = importlib.import_module(adapter).load(model, threads)
    return engine
