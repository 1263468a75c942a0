# SPDX-License-Identifier: AGPL-3.0-or-later
"""Export a checkpoint to ONNX: static batch 1, FP32, opset 17 (ONNX Runtime, OpenVINO, OpenCV DNN, TensorRT read it)."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from .augment import Image
from .errors import MissingExtraError, UserError
from .predict import Floats32, OnnxModel, letterbox, to_tensor
from .trainer import require_ultralytics

OPSET = 17


def export_onnx(checkpoint: Path, target: Path, width: int, height: int) -> Path:
    """Write ``target`` from an ultralytics checkpoint, without metadata that names folders of this machine."""
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such file")
    ultralytics = require_ultralytics()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / f"{target.stem}.pt"
        shutil.copyfile(checkpoint, work)
        made = ultralytics.YOLO(str(work)).export(
            format="onnx", imgsz=(height, width), opset=OPSET, dynamic=False, simplify=True, batch=1
        )
        strip_metadata(Path(made))
        shutil.copyfile(made, target)
    return target


def strip_metadata(path: Path) -> None:
    """Keep of the metadata only what a reader needs."""
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise MissingExtraError(f"export needs the package 'onnx': {error}") from None
    model = onnx.load(str(path))
    kept = {
        item.key: item.value
        for item in model.metadata_props
        if item.key in {"author", "license", "stride", "task", "batch", "imgsz", "names"}
    }
    del model.metadata_props[:]
    for key, value in sorted(kept.items()):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    model.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def engine_differences(path: Path, image: Image) -> dict[str, float]:
    """Largest difference of the raw output of each installed engine from ONNX Runtime, relative to the largest value.

    A missing engine is left out; one that cannot read the file gives NaN.
    """
    reference = OnnxModel.load(path)
    tensor = to_tensor(letterbox(image, reference.width, reference.height)[0])
    wanted = np.asarray(reference.session.run(None, {reference.input_name: tensor})[0], dtype=np.float64)
    out: dict[str, float] = {"onnxruntime": 0.0}
    for name, run in (("openvino", _run_openvino), ("opencv", _run_opencv)):
        try:
            got = run(path, tensor)
        except ImportError:
            continue
        except Exception:  # noqa: BLE001  # each engine has its own errors; all mean that it cannot run the file
            out[name] = float("nan")
            continue
        out[name] = (
            float(np.abs(got - wanted).max() / np.abs(wanted).max()) if got.shape == wanted.shape else float("nan")
        )
    return out


def _run_openvino(path: Path, tensor: Floats32) -> npt.NDArray[np.float64]:
    openvino = importlib.import_module("openvino")
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled(tensor)[0], dtype=np.float64)


def _run_opencv(path: Path, tensor: Floats32) -> npt.NDArray[np.float64]:
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(tensor)
    return np.asarray(net.forward(), dtype=np.float64)
