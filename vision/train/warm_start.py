# SPDX-License-Identifier: AGPL-3.0-or-later
"""Start a fine-tuning from a model that ships: an exported ONNX file becomes a checkpoint again.

Export folds batch normalisation into the convolutions. A network that is to learn needs it back: each normalisation is
set to the mean and variance that its input has over pictures of the user's own set, with a scale and shift that undo
them, so that the network answers as before and training goes on from there.
"""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import list_samples, read_image
from .errors import MissingExtraError, UserError
from .predict import letterbox, middle_tile, to_tensor
from .train_config import TrainConfig
from .trainer import require_ultralytics

_CALIBRATION_PICTURES = 16
_NARROWEST_HEAD = 64
_BIAS_SIDE = 640


def checkpoint(weights: Path, names: list[str], root: Path, out: Path, config: TrainConfig) -> Path:
    """A checkpoint (.pt) to train from: ``weights`` itself, or one made of an ONNX file's weights.

    Whatever classes of ``names`` the weights know stay known; the others begin with nothing. UserError for weights that
    cannot be read, or an ONNX file without a sidecar that names its classes.
    """
    ultralytics = require_ultralytics()
    torch = importlib.import_module("torch")
    torch.manual_seed(config.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    if weights.suffix != ".onnx":
        yolo = _open(ultralytics, weights)
        known = [str(yolo.names[index]) for index in sorted(yolo.names)]
        if known == names or hasattr(
            yolo.model.model[-1], "one2one_cv3"
        ):  # a second head, which ultralytics makes anew
            return weights
        _keep_classes(yolo.model, known, names, torch)
        yolo.save(str(out))
        return out
    known = sidecar_classes(weights)
    folded = _initialisers(weights)
    yolo = ultralytics.YOLO("yolo11n.yaml", task="detect")
    planned = max(len(known), _planned_classes(folded))
    model = importlib.import_module("ultralytics.nn.tasks").DetectionModel("yolo11n.yaml", nc=planned, verbose=False)
    _keep_classes(model, known, known, torch)
    taken = _unfold(model, folded, torch)
    if taken < 0.9:
        raise UserError(f"{weights}: its weights are not those of a YOLO11n ({taken:.0%} of the layers fit)")
    if known != names:
        _keep_classes(model, known, names, torch)
    _settle(model, root, config, torch)
    yolo.model = model
    yolo.save(str(out))
    return out


def sidecar_classes(weights: Path) -> list[str]:
    """The classes of an ONNX file by the JSON beside it. UserError where that does not name them."""
    sidecar = weights.with_suffix(".json")
    try:
        return [str(name) for name in json.loads(sidecar.read_text(encoding="utf-8"))["classes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{sidecar}: names no classes of {weights.name} ({error})") from None


def _planned_classes(folded: dict[str, Any]) -> int:
    """How many classes the head was built for: its width follows from it, and a model that kept few keeps the width."""
    for name, weight in folded.items():
        if name.endswith("cv3.0.0.1.conv.weight"):
            return int(weight.shape[0]) if weight.shape[0] > _NARROWEST_HEAD else 0
    return 0


def _open(ultralytics: Any, weights: Path) -> Any:
    try:
        return ultralytics.YOLO(str(weights))
    except Exception as error:  # noqa: BLE001  # pickles and archives have errors of many kinds
        raise UserError(f"{weights}: cannot be read as a YOLO checkpoint ({error})") from None


def _keep_classes(model: Any, known: list[str], names: list[str], torch: Any) -> None:
    """Give the head these classes: what it knows of them stays, where a new head would begin with nothing."""
    head = model.model[-1]
    for branch, stride in zip(head.cv3, head.stride.tolist(), strict=True):
        old = branch[-1]
        new = torch.nn.Conv2d(old.in_channels, len(names), 1)
        with torch.no_grad():
            new.bias.fill_(
                math.log(5 / len(names) / (_BIAS_SIDE / stride) ** 2)
            )  # as ultralytics begins: few of the cells
            for row, name in enumerate(names):
                if name in known:
                    new.weight[row] = old.weight[known.index(name)].float()
                    new.bias[row] = old.bias[known.index(name)].float()
        branch[-1] = new
    head.nc, head.no = len(names), len(names) + 4 * head.reg_max
    model.nc, model.names = len(names), dict(enumerate(names))
    model.yaml["nc"] = len(names)
    model.float()


def as_onnx(weights: Path, target: Path, config: TrainConfig) -> tuple[Path, list[str]]:
    """An ONNX file of the weights a training starts from, and the names of its classes."""
    if weights.suffix == ".onnx":
        return weights, sidecar_classes(weights)
    from .export import export_onnx

    names = require_ultralytics().YOLO(str(weights)).names
    return export_onnx(weights, target, config.width, config.height), [str(names[i]) for i in sorted(names)]


def _initialisers(path: Path) -> dict[str, Any]:
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise MissingExtraError(f"starting from an ONNX file needs the package 'onnx': {error}") from None
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # noqa: BLE001  # protobuf has its own errors; all mean that it is no such file
        raise UserError(f"{path}: cannot be read as ONNX ({error})") from None
    return {item.name: np.array(onnx.numpy_helper.to_array(item)) for item in graph.initializer}


def _unfold(model: Any, folded: dict[str, Any], torch: Any) -> float:
    """Copy folded weights where name and shape fit; batch normalisations become the identity. Share that fitted."""
    fitted = total = 0
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Conv2d) or name.endswith("dfl.conv"):
            continue
        total += 1
        weight, bias = folded.get(f"{name}.weight"), folded.get(f"{name}.bias")
        if weight is None or tuple(weight.shape) != tuple(module.weight.shape):
            continue
        fitted += 1
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weight))
            if module.bias is not None and bias is not None:
                module.bias.copy_(torch.from_numpy(bias))
            elif bias is not None:
                norm = model.get_submodule(name.rsplit(".", 1)[0]).bn
                norm.running_mean.zero_()
                norm.running_var.fill_(1.0 - norm.eps)
                norm.weight.fill_(1.0)
                norm.bias.copy_(torch.from_numpy(bias))
    return fitted / max(total, 1)


def _settle(model: Any, root: Path, config: TrainConfig, torch: Any) -> None:
    """Give every normalisation the statistics of its input, and a scale and shift that leave its answer as it was."""
    sums: dict[Any, list[Any]] = {}

    def keep(module: Any, inputs: tuple[Any, ...]) -> None:
        values = inputs[0].double()
        mean, square = values.mean((0, 2, 3)), (values**2).mean((0, 2, 3))
        found = sums.setdefault(module, [0, torch.zeros_like(mean), torch.zeros_like(mean)])
        found[0], found[1], found[2] = found[0] + 1, found[1] + mean, found[2] + square

    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    hooks = [m.register_forward_pre_hook(keep) for m in norms]
    samples = list_samples(root, "train")
    step = max(1, len(samples) // _CALIBRATION_PICTURES)
    model.eval()
    with torch.no_grad():
        for sample in samples[::step][:_CALIBRATION_PICTURES]:
            image = middle_tile(read_image(sample.image, colour=config.colour), config.width, config.height)
            model(torch.from_numpy(to_tensor(letterbox(image, config.width, config.height)[0])))
        for module, (count, mean_sum, square_sum) in sums.items():
            mean = mean_sum / count
            variance = (square_sum / count - mean**2).clamp_min(1e-6)
            scale = torch.sqrt(variance + module.eps)
            gain, shift = module.weight.double().clone(), module.bias.double().clone()
            module.running_mean.copy_(mean)
            module.running_var.copy_(variance)
            module.weight.copy_(gain * scale)
            module.bias.copy_(shift + gain * mean)
    for hook in hooks:
        hook.remove()
