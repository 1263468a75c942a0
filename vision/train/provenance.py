# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a model comes from: its data, what the training started from, and the command that makes it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import export, figure_tiles, render_people
from .job import Job, gsd_range
from .train_config import TrainConfig

#: Of a curled-up figure in a tile. At twice the usual size (24 to 32) people from above were found 1.3 times as often.
RGB_FIGURE_PX = (44, 60)


def about(
    job: Job, description: dict[str, Any], trained: dict[str, Any], confidence: dict[str, float], found: dict[str, Any]
) -> dict[str, Any]:
    """What the sidecar tells of a model's origin and figures, beside what its file says itself.

    `description`: of the prepared set, `trained`: the record of the training, `found`: the figures by set.
    """
    source = description["source"]
    gsd = gsd_range(job.gsd)
    if job.kind == "hituav":
        gsd = {
            "min": 4.0,
            "max": 12.0,
            "basis": "estimated from cars 4.6 m long in the training data; scale augmentation .55 to 2.4 widens it",
        }
    elif job.kind == "rgb":
        rendered = render_people if job.figures is None else figure_tiles
        low, high = (100 / scale for scale in (rendered.SCALE_MAX, rendered.SCALE_MIN))
        gsd = {"min": round(low, 1), "max": round(high, 1), "basis": "of the rendered tiles, on the model's input"}
    weights = job.weights
    return {
        "version": job.version,
        "status": "experimental" if job.kind == "rgb" else None,
        "tiles": {"figure_px": RGB_FIGURE_PX} if job.kind == "rgb" else None,
        "architecture": "YOLO11n",
        "modality": "rgb" if job.colour else "thermal",
        "gsd_cm": gsd,
        "confidence": confidence,
        "figures": found,
        "data": [
            {
                "use": "trained on",
                "name": f"{source['data']}, {'official' if source['split'] == 'official' else source['split']} train split",
                "pictures": description["images"]["train"],
                "citation": _citation(source, job.kind),
                "licence": source.get("licence") or job.licence,
            }
        ],
        "training": {
            "start": _start(job),
            "start_sha256": export.sha256(weights) if weights and weights.is_file() else None,
            "steps": trained["steps"],
            "images_seen": trained["images_seen"],
            "minutes": trained["minutes"],
            "config": trained["config"],
            **({"averaged": job.average} if job.average is not None else {}),
            **({"averaged_with": _known(job.average_with)} if job.average_with is not None else {}),
            "command": command(job, trained["config"]),
        },
    }


def _citation(source: Mapping[str, Any], kind: str) -> str:
    """What the card says before the licences: whose data it is, and what figures were drawn from."""
    if "citation" in source:
        return str(source["citation"])
    if kind != "rgb":
        return "A data set of the user's."
    return f"Figures: {source['figures']}. Grounds:" if source.get("figures") else "Grounds:"


def _start(job: Job) -> str:
    """What the training started from: COCO's weights, or a model that was made before."""
    if job.weights is None:
        return "not stated"
    if job.weights.suffix == ".onnx":
        return _known(job.weights)
    return job.weights.name if job.kind == "yolo" else "YOLO11n, COCO"


def _known(weights: Path) -> str:
    """What an exported file is, by the description beside it."""
    try:
        about = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        return (
            f"{about['name']} {about['version']}, {about['training']['steps']} steps from {about['training']['start']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return weights.name


def command(job: Job, config: dict[str, Any]) -> str:
    """The command that made a model, with file names instead of this machine's folders."""
    length = f"--minutes {config['minutes']:g}" if config["minutes"] else f"--epochs {config['epochs']}"
    words = [f"python -m vision.train {job.kind} {job.source.name}"]
    if job.kind == "yolo":
        words.append(f"--names {','.join(job.names)} --modality {job.modality}")
    elif job.held_out is not None:
        words.append(f"--held-out {job.held_out.name}")
    if job.kind == "yolo" and job.gsd:
        words.append(f"--gsd {job.gsd} --licence {shlex.quote(job.licence)}")
    if job.kind == "hituav" and job.split != "official":
        words.append(f"--split {job.split}")
    if job.kind == "hituav":
        words.append(f"--cold {config.get('augment', {}).get('p_cold', 0.0):g}")
        if wild := config.get("augment", {}).get("p_wild"):
            words.append(f"--wild {wild:g}")
    if config.get("calm"):
        words.append(f"--calm {config['calm']:g}")
    if job.kind == "rgb":
        words.append(f"--tiles {job.tiles}")
    if (config["width"], config["height"]) != (640, 512):
        words.append(f"--width {config['width']} --height {config['height']}")
    words += [
        f"--{name.replace('_', '-')} {config[name]}"
        for name in ("warmup_steps", "freeze", "seed")
        if config.get(name, getattr(TrainConfig, name)) != getattr(TrainConfig, name)
    ]
    if job.figures is not None:
        words.append(f"--figures {job.figures.name}")
    weights = job.weights.name if job.weights else "WEIGHTS.pt"
    words.append(f"--weights {weights} --work work {length} --batch {config['batch']} --lr {config['lr']:g}")
    if config.get("device", "cpu") != "cpu":
        words.append(f"--device {config['device']} --workers {config['workers']}")
    if job.average is not None:
        words.append(f"--average {job.average:g}")
    if job.average_with is not None:
        words.append(f"--average-with {job.average_with.name}")
    if job.extra_test is not None:
        words.append(f"--extra-test {job.extra_test.name}")
    words.append(f"--model vision/models/{job.model.name} --card docs/models/{job.card.name}")
    return " \\\n  ".join(words)
