# SPDX-License-Identifier: AGPL-3.0-or-later
"""An INT8 twin of an exported model, by ONNX Runtime's static quantisation, kept only where it sees as well.

The layers after the last convolutions of the head stay in floating point: they add up boxes in pixels and scores in one
tensor, which eight bits cannot hold.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .card import figures
from .dataset import Sample, read_image
from .evaluate import evaluate
from .export import sha256
from .job import Job
from .predict import OnnxModel, letterbox, middle_tile, run_pictures, to_tensor

_CALIBRATION_PICTURES = 48


class _Pictures:
    """Pictures as ONNX Runtime's calibration takes them: one dictionary after the other, then None."""

    def __init__(self, samples: Sequence[Sample], model: OnnxModel, *, colour: bool) -> None:
        step = max(1, len(samples) // _CALIBRATION_PICTURES)
        self._left = list(samples[::step][:_CALIBRATION_PICTURES])
        self._model, self._colour = model, colour

    def get_next(self) -> dict[str, Any] | None:
        """The next picture."""
        if not self._left:
            return None
        image = read_image(self._left.pop(0).image, colour=self._colour)
        size = self._model.width, self._model.height
        boxed = letterbox(middle_tile(image, *size), *size)[0]
        return {self._model.input_name: to_tensor(boxed)}

    def __iter__(self) -> _Pictures:
        return self

    def __next__(self) -> dict[str, Any]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found


def attempt(
    path: Path,
    calibration: Sequence[Sample],
    test: Sequence[Sample],
    names: list[str],
    job: Job,
    say: Callable[[str], None],
    confidence: float,
) -> dict[str, Any]:
    """Write ``NAME-int8.onnx`` if its AP50 of the first class falls by no more than the job allows.

    Returns what the whole model's sidecar says of it, and its own "figures" at a confidence.
    """
    allowed = float(job.int8_loss or 0.0)
    try:
        quantization = importlib.import_module("onnxruntime.quantization")
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        say(f"not quantised: onnxruntime's quantisation is not there ({error})")
        return {"kept": False, "why": "onnxruntime.quantization is not installed"}
    whole = OnnxModel.load(path, job.config.threads)
    graph = onnx.load(str(path)).graph
    convolutions = [node.name for node in graph.node if node.op_type == "Conv"]
    last = max(i for i, node in enumerate(graph.node) if node.op_type == "Conv" and node.name in convolutions)
    tail = [node.name for node in graph.node[last:] if node.name]
    target = path.with_name(f"{path.stem}-int8.onnx")
    quantization.quantize_static(
        str(path),
        str(target),
        _Pictures(calibration, whole, colour=job.colour),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["Conv"],
        nodes_to_exclude=tail,
    )
    small = OnnxModel.load(target, job.config.threads)
    seen = [run_pictures(model, test, len(names), colour=job.colour) for model in (whole, small)]
    before, after = (evaluate(pictures, names)[names[0]].ap for pictures in seen)
    if before is None or after is None:
        say(f"INT8: nothing of class {names[0]} to judge it by, not kept")
        return _dropped(target, {"kept": False, "why": f"no {names[0]} in the pictures to judge it by"})
    kept = before - after <= allowed
    result: dict[str, Any] = {
        "kept": kept,
        "ap50": round(after, 4),
        "ap50_fp32": round(before, 4),
        "allowed_loss": allowed,
    }
    say(
        f"INT8: AP50 {after:.3f} against {before:.3f}, {'kept as ' + target.name if kept else 'too much lost, not kept'}"
    )
    if not kept:
        return _dropped(target, result)
    result |= {"file": target.name, "sha256": sha256(target), "bytes": target.stat().st_size}
    return result | {"figures": figures(seen[1], names, confidence)}


def _dropped(target: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Take the file away, and the sidecar of one that an earlier run kept."""
    target.unlink()
    target.with_suffix(".json").unlink(missing_ok=True)
    return result


def write_sidecar(path: Path, record: dict[str, Any], measured: dict[str, Any]) -> None:
    """The sidecar of a kept INT8 model: that of the whole one with its own name, hash, precision and figures (by set)."""
    found = record.get("int8") or {}
    if not found.get("kept"):
        return
    target = path.with_name(found["file"])
    twin = record | {"name": target.stem, "file": found["file"], "sha256": found["sha256"], "bytes": found["bytes"]}
    twin |= {"precision": "int8 convolutions", "figures": measured}
    target.with_suffix(".json").write_text(json.dumps(twin, indent=2, allow_nan=False) + "\n", encoding="utf-8")
