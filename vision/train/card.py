# SPDX-License-Identifier: AGPL-3.0-or-later
"""Figures, sidecar (JSON) and model card (Markdown) of an exported detector."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .dataset import LEAST_SPAN_C, PERCENTS
from .evaluate import ClassResult, Picture, by_group, choose_confidence, evaluate, recall_by_size
from .export import OPSET, sha256

THRESHOLDS = (0.05, 0.1, 0.15, 0.25, 0.4, 0.5)
#: For frames that are not 8-bit pictures yet: these percentiles become black and white; a flatter frame is stretched as
#: if they were the span apart (below it the stretched noise would exceed what the training augmentation holds).
THERMAL_STRETCH = {
    "stretch_8_bit": False,
    "low_percentile": PERCENTS[0],
    "high_percentile": PERCENTS[1],
    "min_span_c": LEAST_SPAN_C,
}
SIZE_EDGES = (0.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 1000.0)


def _number(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _class_record(result: ClassResult) -> dict[str, Any]:
    return {
        "objects": result.objects,
        "pictures": result.pictures,
        "ap50": _number(result.ap),
        "operating": [
            {
                "confidence": point.confidence,
                "recall": _number(point.recall),
                "precision": _number(point.precision),
                "false_per_picture": _number(point.false_per_picture),
            }
            for point in result.operating
        ],
    }


def figures(pictures: Sequence[Picture], names: Sequence[str], confidence: float) -> dict[str, Any]:
    """All figures of one set of pictures; by group and by size for the first class."""
    groups = by_group(pictures, 0, thresholds=(confidence,))
    return {
        "pictures": len(pictures),
        "classes": {name: _class_record(r) for name, r in evaluate(pictures, names, thresholds=THRESHOLDS).items()},
        "by_group": {
            name: {
                "pictures": result.pictures,
                "objects": result.objects,
                "ap50": _number(result.ap),
                "recall": _number(result.operating[0].recall),
                "false_per_picture": _number(result.operating[0].false_per_picture),
            }
            for name, result in groups.items()
            if name
        },
        "by_size": [
            {"from_px": low, "to_px": high, "objects": count, "recall": _number(recall)}
            for low, high, count, recall in recall_by_size(pictures, 0, SIZE_EDGES, confidence)
            if count
        ],
    }


def recommend(pictures: Sequence[Picture]) -> dict[str, float]:
    """Confidences for the first class from the validation split: alerts (1 false in 2 pictures), search (2 in 1)."""
    return {
        "recommended": choose_confidence(pictures, 0, max_false=0.5),
        "search": choose_confidence(pictures, 0, max_false=2.0),
    }


def sidecar(model: Path, shape: tuple[int, int], names: Sequence[str], about: Mapping[str, Any]) -> dict[str, Any]:
    """Put the machine-readable description of an exported model together."""
    width, height = shape
    anchors = sum((width // stride) * (height // stride) for stride in (8, 16, 32))
    modality = str(about["modality"])
    thermal = modality == "thermal"
    gsd = about["gsd_cm"]
    return {
        "schema": 1,
        "name": model.stem,
        "version": about["version"],
        "file": model.name,
        "sha256": sha256(model),
        "bytes": model.stat().st_size,
        "format": "onnx",
        "opset": OPSET,
        "precision": "fp32",
        "architecture": about["architecture"],
        "modality": modality,
        **{key: about[key] for key in ("status", "caution", "tiles") if about.get(key)},
        "classes": list(names),
        "gsd_cm": gsd,
        "gsd_m": {key: round(gsd[key] / 100, 4) for key in ("min", "max")} if gsd else None,
        "input": {"name": "images", "shape": [1, 3, height, width], "layout": "NCHW", "dtype": "float32"},
        "preprocessing": {
            "source": "8-bit grey, white-hot" if thermal else "8-bit colour",
            "channels": "grey, three equal channels" if thermal else "RGB",
            "scale": 1 / 255,
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
            "letterbox": {"keep_aspect": True, "anchor": "centre", "border": 114, "interpolation": "bilinear"},
            **(THERMAL_STRETCH if thermal else {}),
        },
        "output": {
            "name": "output0",
            "shape": [1, 4 + len(names), anchors],
            "rows": "xc, yc, w, h in pixels of the input, then one score 0..1 for each class (no further sigmoid)",
            "nms": {"needed": True, "iou": 0.6, "within_class": True},
        },
        "confidence": about["confidence"]["recommended"],
        "confidence_search": about["confidence"]["search"],
        "figures": about["figures"],
        "data": about["data"],
        "training": about["training"],
        "licence": "AGPL-3.0-or-later",
    }


def _cell(value: Any, digits: int = 3) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return [*lines, ""]


def _set_section(title: str, found: Mapping[str, Any], confidence: float, first: str) -> list[str]:
    lines = [f"### {title} ({found['pictures']} pictures)", ""]
    lines += _table(
        ["class", "objects", "AP50"],
        [[name, item["objects"], item["ap50"]] for name, item in found["classes"].items()],
    )
    lines += [f"{first.capitalize()}, by confidence:", ""]
    lines += _table(
        ["confidence", "recall", "precision", "false per picture"],
        [
            [f"{p['confidence']:.2f}", p["recall"], p["precision"], p["false_per_picture"]]
            for p in found["classes"][first]["operating"]
        ],
    )
    if found["by_group"]:
        what = "height above ground" if all(name.endswith(" m") for name in found["by_group"]) else "scale"
        lines += [f"{first.capitalize()}, by {what} (recall and false at confidence {confidence:.2f}):", ""]
        lines += _table(
            [what, "pictures", "objects", "AP50", "recall", "false per picture"],
            [
                [name, i["pictures"], i["objects"], i["ap50"], i["recall"], i["false_per_picture"]]
                for name, i in found["by_group"].items()
            ],
        )
    if found["by_size"]:
        lines += [f"{first.capitalize()}, recall by longer side in pixels (confidence {confidence:.2f}):", ""]
        lines += _table(
            ["pixels", "objects", "recall"],
            [
                [
                    f"{i['from_px']:.0f} to {i['to_px']:.0f}" if i["to_px"] < 1000 else f"{i['from_px']:.0f} and more",
                    i["objects"],
                    i["recall"],
                ]
                for i in found["by_size"]
            ],
        )
    return lines


def _before_section(before: Mapping[str, Any], key: str, after: Mapping[str, Any], first: str) -> list[str]:
    """What the weights before this training found in the same pictures."""
    if key not in before:
        return []
    rows = []
    for name, found in ((before["name"], before[key]), ("this model", after)):
        item = found["classes"][first]
        at = {f"{p['confidence']:.2f}": p for p in item["operating"]}
        rows.append(
            [name, item["ap50"]] + [at[c][k] for c in ("0.10", "0.25") for k in ("recall", "false_per_picture")]
        )
    head = ["weights", "AP50", "recall at .10", "false per picture", "recall at .25", "false per picture"]
    return [
        f"{first.capitalize()}, beside the weights that training began with, on the same tiles:",
        "",
        *_table(head, rows),
    ]


def _machine(config: dict[str, Any]) -> str:
    if config.get("device", "cpu") == "cpu":
        return f"{config['threads']} CPU threads"
    return f"a GPU, the pictures made by {config['workers']} processes"


def _rendered(config: dict[str, Any]) -> list[str]:
    """Which shares of the training pictures were rendered, and where the training ended with fewer."""
    shares = [(config.get("augment", {}).get(f"p_{name}", 0.0), name) for name in ("cold", "wild")]
    lines = [
        f"- instead of {share:.0%} of these, pictures of cold wilderness rendered by `vision/train/{name}.py`."
        for share, name in shares
        if share
    ]
    if lines and config.get("calm"):
        lines.append(f"- in the last {config['calm']:.0%} of the training fewer of them, and all augmented less.")
    return lines


def card(record: Mapping[str, Any], titles: Mapping[str, str], limits: Sequence[str]) -> str:
    """Write the model card in Markdown from the sidecar."""
    lines = [
        *_head(record),
        "## Data",
        "",
        *_data_section(record),
        *_training_section(record["training"]),
        *_figures_section(record, titles),
        "## Limits",
        "",
        *(f"- {line}" for line in limits),
    ]
    return "\n".join(lines) + "\n"


def _head(record: Mapping[str, Any]) -> list[str]:
    """What the model is, and what a program that runs it must know."""
    first = record["classes"][0]
    shape = "x".join(str(side) for side in record["input"]["shape"])
    gsd, confidence = record["gsd_cm"], record["confidence"]
    lines = [
        f"# {record['name']} {record['version']}" + (f" ({record['status']})" if record.get("status") else ""),
        "",
        f"{record['architecture']} detector for {record['modality']} drone pictures. Classes: {', '.join(record['classes'])}.",
        "",
        (
            f"- File: `{record['file']}` ({record['bytes'] / 1e6:.1f} MB, {record['precision']}, ONNX opset {record['opset']}),"
            f" SHA-256 `{record['sha256']}`"
        ),
        f"- Sidecar with the same facts for programs, beside it: `{record['name']}.json`",
        (
            f"- Input: {shape} float32 NCHW; {record['preprocessing']['source']}; {record['preprocessing']['channels']};"
            " times 1/255; letterbox with border 114, centred, bilinear. 8-bit pictures need no contrast stretch."
        ),
    ]
    if record["modality"] == "thermal":
        lines.append(
            "- 16-bit frames: map the percentiles 1 and 99.5 to 0 and 255 first. Black-hot pictures: invert first."
        )
    lines += [
        (
            f"- Output: {'x'.join(str(side) for side in record['output']['shape'])}, {record['output']['rows']}. Then"
            f" non-maximum suppression within each class at IoU {record['output']['nms']['iou']}."
        ),
    ]
    if gsd:
        lines.append(f"- Ground sample distance: {gsd['min']:g} to {gsd['max']:g} cm per pixel ({gsd['basis']}).")
    lines += [
        (
            f"- Confidence for alerts: {confidence:.2f}; for a search that a person reviews: {record['confidence_search']:.2f}"
            f" (lowest on the validation split with at most 0.5 and 2 false {first} boxes per picture)."
        ),
        f"- Licence: {record['licence']} (fine-tuned with ultralytics from weights under AGPL-3.0).",
        "",
    ]
    return lines


def _data_section(record: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- {item['use']}: {item['name']}, {item['pictures']} pictures. {item['citation']} {item['licence']}."
        for item in record["data"]
    ]
    return lines + _rendered(record["training"]["config"])


def _training_section(training: Mapping[str, Any]) -> list[str]:
    return [
        "",
        "## Training",
        "",
        (
            f"Start: {training['start']} (SHA-256 `{training['start_sha256']}`). {training['steps']} steps,"
            f" {training['images_seen']} augmented pictures, {training['minutes']:g} minutes on {_machine(training['config'])}."
            + (
                f" The file holds {training['averaged']:.0%} of that and the rest of {training.get('averaged_with', 'the start')}."
                if "averaged" in training
                else ""
            )
        ),
        "",
        "```",
        str(training["command"]),
        "```",
        "",
        "With `--minutes` the cosine schedule follows the clock, so a faster machine sees more pictures and gives other weights.",
        "",
    ]


def _figures_section(record: Mapping[str, Any], titles: Mapping[str, str]) -> list[str]:
    """Each set's figures, then what else was compared."""
    first, confidence, found = record["classes"][0], record["confidence"], record["figures"]
    lines = [
        "## Figures",
        "",
        (
            "AP50 is the area under the precision envelope at all points, IoU .5, from `vision/train/evaluate.py` on the"
            " shipped ONNX file in ONNX Runtime. Boxes that the data set marks DontCare count neither way."
        ),
        "",
    ]
    for key, title in titles.items():
        if key in found:
            lines += _set_section(title, found[key], confidence, first)
            lines += _before_section(found.get("before", {}), key, found[key], first)
    if "ultralytics_test_ap50" in found:
        values = ", ".join(f"{name} {value:.3f}" for name, value in found["ultralytics_test_ap50"].items())
        lines += [f"For comparison, AP50 on the test split by ultralytics (its own interpolation): {values}.", ""]
    if "stretched_test_ap50" in found:
        values = ", ".join(
            f"{name} {value:.3f}" for name, value in found["stretched_test_ap50"].items() if value is not None
        )
        lines += [
            f"With a contrast stretch (percentiles 1 and 99.5) before the model, AP50 on the test split: {values}.",
            "",
        ]
    engines = found.get("engine_difference", {})
    if engines:
        values = ", ".join(f"{name} {'unreadable' if v is None else f'{v:.1e}'}" for name, v in engines.items())
        lines += [f"Largest relative difference of the raw output from ONNX Runtime, on one picture: {values}.", ""]
    int8 = record.get("int8")
    if int8 and "ap50" in int8:
        kept = f"kept as `{int8['file']}`" if int8["kept"] else "not kept"
        lines += [
            (
                f"INT8 (ONNX Runtime): AP50 {int8['ap50']:.3f} against {int8['ap50_fp32']:.3f}; allowed loss"
                f" {int8['allowed_loss']:g}: {kept}."
            ),
            "",
        ]
    return lines


def write(record: Mapping[str, Any], model: Path, card_path: Path, text: str) -> Path:
    """Write the sidecar beside the model, and the card; return the sidecar's path."""
    path = model.with_suffix(".json")
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    card_path.parent.mkdir(parents=True, exist_ok=True)
    card_path.write_text(text, encoding="utf-8")
    return path
