# SPDX-License-Identifier: AGPL-3.0-or-later
"""Average a fine-tuned network with the weights that its training began with.

Training on rendered pictures teaches what people look like from above and unteaches some of what real ones look like.
A point on the line between the two networks keeps most of both (Wortsman et al., Robust fine-tuning of zero-shot
models, 2022); where on the line is for real pictures to say.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from .errors import UserError
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
