# SPDX-License-Identifier: AGPL-3.0-or-later
"""Chooses the inference engine by what is installed: TensorRT, OpenVINO, ONNX Runtime, OpenCV DNN; ultralytics for .pt.

A library counts as installed when Python can find it; it is imported only when it is used. An engine that is installed
and does not come up is passed over with a warning that says why, unless it was asked for by name.

TensorRT is passed over too until it was asked for by name once: it builds an engine for minutes, and a service that was
just started must look.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import Final

from vision.engines.base import Engine, first_line
from vision.engines.tensorrt_parts import BUILD, is_built, missing, provider_library
from vision.errors import EngineChoiceError, EngineMissingError, EngineUnusableError

log = logging.getLogger(__name__)

# name -> (library that must be there, our adapter, how to get it)
_ENGINES: Final = {
    "tensorrt": ("onnxruntime", "vision.engines.tensorrt_engine", "`dronectl doctor` says what it needs"),
    "openvino": ("openvino", "vision.engines.openvino_engine", "pip install openvino"),
    "onnxruntime": ("onnxruntime", "vision.engines.onnxruntime_engine", "pip install onnxruntime"),
    "opencv": ("cv2", "vision.engines.opencv_dnn", "pip install opencv-python-headless"),
    "ultralytics": ("ultralytics", "vision.engines.ultralytics_engine", "pip install 'dronectl[yolo]'"),
}
ENGINE_NAMES: Final = tuple(_ENGINES)
DEFAULT_THREADS: Final = 2


def installed_engines() -> tuple[str, ...]:
    """Engines whose library is there, best first."""
    return tuple(
        name
        for name, (library, _, _) in _ENGINES.items()
        if importlib.util.find_spec(library) is not None and (name != "tensorrt" or provider_library() is not None)
    )


def choose_engine(preferred: str | None = None, model: Path | None = None) -> str:
    """Name of the engine to try first; EngineMissingError says what to install.

    A `.pt` model needs ultralytics; the others read ONNX and do not read `.pt`.
    """
    return _candidates(preferred, model)[0]


def _candidates(preferred: str | None, model: Path | None) -> list[str]:
    """The engines to try, best first: the one that was asked for, or all that can read the model."""
    here = installed_engines()
    checkpoint = model is not None and model.suffix == ".pt"
    if preferred is not None:
        if preferred not in _ENGINES:
            raise EngineChoiceError(f"engine {preferred!r} is unknown; there are {', '.join(ENGINE_NAMES)}")
        if (preferred == "ultralytics") != checkpoint and model is not None:
            raise EngineChoiceError(f"engine {preferred} does not read {model.name}: .pt is for ultralytics only")
        if preferred not in here:
            raise EngineMissingError(f"engine {preferred} is not installed; {_ENGINES[preferred][2]}")
        return [preferred]
    candidates = [name for name in here if (name == "ultralytics") == checkpoint]
    if not candidates:
        wanted = "ultralytics" if checkpoint else "onnxruntime"
        raise EngineMissingError(f"no inference engine for {model or 'ONNX models'}; {_ENGINES[wanted][2]}")
    return candidates


def load_engine(model: Path, preferred: str | None = None, threads: int = DEFAULT_THREADS) -> Engine:
    """Load a model with the best engine that comes up; ModelError or EngineMissingError, one line each."""
    *first, last = _candidates(preferred, model)
    for name in first:
        try:
            _ready(name, model)
            return _load(name, model, threads)
        except EngineUnusableError as error:
            log.warning("%s; passed over", error)
    return _load(last, model, threads)


def _ready(name: str, model: Path) -> None:
    """Raise EngineUnusableError if an engine that nobody asked for by name would keep the caller waiting."""
    if name == "tensorrt" and missing() is None and model.is_file() and not is_built(model):
        raise EngineUnusableError(f"engine tensorrt: not built for {model.name} yet; `{BUILD} {model}` does it")


def _load(name: str, model: Path, threads: int) -> Engine:
    try:
        adapter = importlib.import_module(_ENGINES[name][1])
    except (ImportError, OSError) as error:  # half an installation, or one for another system
        raise EngineUnusableError(f"engine {name}: its library cannot be loaded ({first_line(error)})") from error
    engine: Engine = adapter.load(model, threads)
    return engine
