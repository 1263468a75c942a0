# SPDX-License-Identifier: AGPL-3.0-or-later
"""Average a fine-tuned network with the weights that its training began with.

Training on rendered pictures teaches what people look like from above and unteaches some of what real ones look like.
A point on the line between the two networks keeps most of both (Wortsman et al., Robust fine-tuning of zero-shot
models, 2022); where on the line is for real pictures to say.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from .errors import MissingExtraError, UserError
from .trainer import require_ultralytics


def average(start: Path, trained: Path, share: float, out: Path) -> Path:
    """Write the checkpoint ``(1 - share) * start + share * trained``; return its path. UserError if they do not fit."""
    if not 0 < share <= 1:
        raise UserError(f"the share of the trained weights must be above 0 and at most 1 (found {share:g})")
    ultralytics = require_ultralytics()
    torch = importlib.import_module("torch")
    first = ultralytics.YOLO(str(start)).model.float().state_dict()
    yolo = ultralytics.YOLO(str(trained))
    network = yolo.model.float()
    second = network.state_dict()
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in second.items()}:
        raise UserError(f"{start} and {trained} are not of one network: there is no average of them")
    network.load_state_dict(
        {
            name: torch.lerp(first[name], value, share) if value.is_floating_point() else value
            for name, value in second.items()
        }
    )
    torch.save({"model": network, "ema": None, "epoch": -1, "train_args": {}}, str(out))
    return out


def blend(other: Path, trained: Path, share: float) -> None:
    """Make of an exported network ``(1 - share) * other + share * trained``, in place. UserError if they do not fit.

    Both have to be fine-tuned from the same weights, or a straight line between them leads over bad networks
    (Wortsman et al., Model soups, 2022).
    """
    if not 0 < share <= 1:
        raise UserError(f"the share of the trained weights must be above 0 and at most 1 (found {share:g})")
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise MissingExtraError(f"averaging ONNX files needs the package 'onnx': {error}") from None
    array = onnx.numpy_helper.to_array
    first = {value.name: array(value) for value in onnx.load(str(other)).graph.initializer}
    model = onnx.load(str(trained))
    for value in model.graph.initializer:
        second = array(value)
        if value.name not in first or first[value.name].shape != second.shape:
            raise UserError(f"{other} and {trained} are not of one network: there is no average of them")
        if second.dtype == np.float32:
            mean = (1 - share) * first[value.name] + share * second
            value.CopyFrom(onnx.numpy_helper.from_array(mean.astype(np.float32), value.name))
    onnx.save(model, str(trained))
