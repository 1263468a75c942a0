# SPDX-License-Identifier: AGPL-3.0-or-later
"""What TensorRT needs on this machine and what of it is missing; found without importing an engine or touching a card.

ONNX Runtime lists its TensorRT provider as soon as the library file lies in its folder, and goes on with the processor,
saying so on standard error only, when that library cannot be loaded. Hence it is loaded here first, which names the
missing part.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vision.engines.cache import cache_folder

BUILD: Final = "dronectl vision bench --engine tensorrt --model"
_INSTALL: Final = (
    "pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]' 'tensorrt-cu13<11' "
    "(or put the folders of your own CUDA, cuDNN and TensorRT 10 on LD_LIBRARY_PATH)"
)
_DRIVER: Final = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
# in the order in which they need each other; pip keeps them outside the paths that the system searches
_PIP_LIBRARIES: Final = (
    ("nvidia", "**/libcudart.so.*"),
    ("nvidia", "**/libcublasLt.so.*"),
    ("nvidia", "**/libcublas.so.*"),
    ("nvidia", "**/libcudnn.so.*"),
    ("tensorrt_libs", "libnvinfer.so.*"),
    ("tensorrt_libs", "libnvonnxparser.so.*"),
)


@dataclass(frozen=True, slots=True)
class Missing:
    """The first part that is not there, and what to do about it."""

    what: str
    mend: str


def provider_library() -> Path | None:
    """ONNX Runtime's TensorRT provider; None for builds without it, such as the ordinary package for processors."""
    spec = importlib.util.find_spec("onnxruntime")
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        for path in sorted(Path(folder, "capi").glob("*onnxruntime_providers_tensorrt.*")):
            return path
    return None


def missing() -> Missing | None:
    """What keeps TensorRT from coming up here; None where its libraries and a driver load."""
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return Missing(
            "no NVIDIA driver here", "with an NVIDIA card: install its driver; `nvidia-smi` then shows the card"
        )
    library = provider_library()
    if library is None:
        return Missing("this ONNX Runtime is built without TensorRT", _INSTALL)
    _load_pip_libraries()
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return Missing(str(error).splitlines()[0][:200], _INSTALL)
    return None


def _load_pip_libraries() -> None:
    for package, pattern in _PIP_LIBRARIES:
        spec = importlib.util.find_spec(package)
        for folder in [] if spec is None else spec.submodule_search_locations or []:
            for path in sorted(Path(folder).glob(pattern)):
                with contextlib.suppress(OSError):  # the provider then says what it misses
                    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def engine_folder(model: Path) -> Path | None:
    """Where the engines built for this model are kept; None without a cache folder."""
    base = cache_folder()
    if base is None:
        return None
    return base / "tensorrt" / hashlib.sha256(model.read_bytes()).hexdigest()[:16]


def is_built(model: Path) -> bool:
    """Whether an engine was built for this model here; building takes minutes."""
    folder = engine_folder(model)
    return folder is not None and any(folder.glob("*.engine"))
