# SPDX-License-Identifier: AGPL-3.0-or-later
"""The steps of a training job, from data to a model with its card: prepare, train, compare, ship."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import (
    average,
    card,
    export,
    figure_prepare,
    folder,
    hituav,
    limits,
    quantise,
    render_people,
    warm_start,
)
from .dataset import Sample, fingerprint, iter_flat, list_samples, read_description, read_image
from .errors import UserError
from .evaluate import Picture, evaluate
from .job import Job
from .predict import OnnxModel, run_pictures
from .provenance import about
from .trainer import fine_tune, require_ultralytics, ultralytics_figures


def run(job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the steps of a job and return the shipped model's sidecar, if it came to that.

    UserError or MissingExtraError with one line.
    """
    job.check()
    root = job.work / "data"
    if "prepare" in job.steps:
        counts = _prepare(job, root, say)
        say("prepared: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    description = read_description(root)
    if "prepare" in job.steps and _by_picture(description):
        say(limits.BY_PICTURE)
    names = [str(name) for name in description["names"]]  # type: ignore[attr-defined]
    if job.steps != ("prepare",):
        require_ultralytics()
    run_dir = job.work / "train"
    if "train" in job.steps and job.weights is not None:
        start = warm_start.checkpoint(job.weights, names, root, job.work / "start.pt", job.config)
        origin = f"{export.sha256(job.weights)} {fingerprint(root, names)}"
        fine_tune(root, names, start, run_dir, job.config, say, origin)
    if "compare" in job.steps:
        _compare(job, root, run_dir, names, description)
    if "ship" not in job.steps:
        return {}
    return _ship(job, root, run_dir, names, description, say)


def _prepare(job: Job, root: Path, say: Callable[[str], None]) -> dict[str, int]:
    if job.kind == "hituav":
        return hituav.prepare(job.source, root, job.split, job.held_out, job.config.seed)
    if job.kind == "rgb":
        tiles = {"train": job.tiles, "val": max(24, job.tiles // 10), "test": max(24, job.tiles // 6)}
        if job.figures is not None:
            return figure_prepare.prepare_figures(
                job.source, job.figures, root, tiles, seed=job.config.seed, workers=job.config.threads, say=say
            )
        return render_people.prepare(job.source, root, tiles, seed=job.config.seed, workers=job.config.threads, say=say)
    return folder.prepare(job.source, root, list(job.names), job.config.seed, any_colours=job.modality_stated)


def _by_picture(description: Mapping[str, Any]) -> bool:
    return bool((description.get("source") or {}).get("split") == folder.BY_PICTURE)


def _height(sample: Sample) -> str:
    parts = sample.stem.split("_")
    return f"{int(parts[1])} m" if len(parts) == 5 and parts[1].isdigit() else ""


def _scale(sample: Sample) -> str:
    """Pictures named ..._x050 are reduced to that many hundredths."""
    tail = sample.stem.rsplit("_", 1)[-1]
    return f"at {int(tail[1:]) / 100:.2f} of its size" if tail[:1] == "x" and tail[1:].isdigit() else ""


def _by_height(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: (len(_height(sample)), _height(sample), sample.stem))


def _finished(run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """The final checkpoint of a run and the record of its training."""
    checkpoint = run_dir / "run" / "weights" / "last.pt"
    if not (run_dir / "train.json").is_file() or not checkpoint.is_file():
        raise UserError(f"{run_dir}: no finished training in it")
    trained: dict[str, Any] = json.loads((run_dir / "train.json").read_text(encoding="utf-8"))
    return checkpoint, trained


def _compare(job: Job, root: Path, run_dir: Path, names: list[str], description: dict[str, Any]) -> None:
    """Figures beside the main ones, into compare.json: by ultralytics; thermal: stretched; colour: before training."""
    checkpoint, trained = _finished(run_dir)
    width, height = int(trained["config"]["width"]), int(trained["config"]["height"])
    split = "test" if description["images"].get("test") else "val"
    threads = job.config.threads
    found: dict[str, Any] = {
        f"ultralytics_{split}_ap50": ultralytics_figures(checkpoint, root, split, max(width, height), threads)
    }
    if not job.colour:
        model = OnnxModel.load(export.export_onnx(checkpoint, run_dir / "compare.onnx", width, height), threads)
        stretched = evaluate(run_pictures(model, list_samples(root, split), len(names), stretch=True), names)
        found[f"stretched_{split}_ap50"] = {name: round(r.ap, 4) for name, r in stretched.items() if r.ap is not None}
    (run_dir / "compare.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def before(job: Job, run_dir: Path, names: list[str], sets: dict[str, list[Sample]]) -> dict[str, Any]:
    """Figures of the weights the training started from, on the same pictures, for the classes that they have."""
    if job.weights is None:
        return {}
    model, classes = warm_start.as_onnx(job.weights, run_dir / "before.onnx", job.config)
    number = {classes.index(name): index for index, name in enumerate(names) if name in classes}
    if not number:
        return {}
    out: dict[str, Any] = {"name": job.weights.name}
    detector = OnnxModel.load(model, job.config.threads)
    for title, samples in sets.items():
        pictures = []
        for picture in run_pictures(detector, samples, len(names), colour=job.colour):
            rows = np.array(picture.found, dtype=np.float64).reshape(-1, 6)
            rows = rows[[int(cls) in number for cls in rows[:, 0]]]
            rows[:, 0] = [number[int(cls)] for cls in rows[:, 0]]
            pictures.append(replace(picture, found=rows))
        out[title] = card.figures(pictures, names, 0.25)
    return out


def _ship(
    job: Job, root: Path, run_dir: Path, names: list[str], description: dict[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    checkpoint, trained = _finished(run_dir)
    if job.average is not None and job.average_with is None and job.weights is not None:
        start = warm_start.checkpoint(job.weights, names, root, job.work / "start.pt", job.config)
        checkpoint = average.average(start, checkpoint, job.average, run_dir / "averaged.pt")
    config = trained["config"]
    # a colour model looks through tiles: its input may be larger than the tiles it was trained on
    width, height = (640, 640) if job.kind == "rgb" else (int(config["width"]), int(config["height"]))
    export.export_onnx(checkpoint, job.model, width, height)
    if job.average is not None and job.average_with is not None:
        average.blend(job.average_with, job.model, job.average)
    model = OnnxModel.load(job.model, job.config.threads)
    classes, count = len(names), description["images"]
    hit = job.kind == "hituav"
    confidence = card.recommend(run_pictures(model, list_samples(root, "val"), classes, colour=job.colour))
    main_split = "test" if count.get("test") else "val"
    sets = {main_split: _by_height(list_samples(root, main_split)) if hit else list_samples(root, main_split)}
    if job.extra_test is not None:
        sets["extra"] = list(iter_flat(job.extra_test))
    found: dict[str, Any] = {}
    seen: dict[str, list[Picture]] = {}
    for title, samples in sets.items():
        group = (_height if hit else None) if title == main_split else _scale
        seen[title] = run_pictures(model, samples, classes, group, colour=job.colour)
        found[title] = card.figures(seen[title], names, confidence["recommended"])
    if not hit:
        found["before"] = before(job, run_dir, names, sets)
    if (run_dir / "compare.json").is_file():
        found.update(json.loads((run_dir / "compare.json").read_text(encoding="utf-8")))
    picture = read_image(sets[main_split][0].image, colour=job.colour)
    differences = export.engine_differences(job.model, picture)
    found["engine_difference"] = {name: v if v == v else None for name, v in differences.items()}  # noqa: PLR0124
    record = card.sidecar(job.model, (width, height), names, about(job, description, trained, confidence, found))
    titles = {
        main_split: f"{description['source']['data']!s} {main_split} split",
        "extra": "Real pictures, labelled by hand"
        if job.kind == "rgb"
        else "Pictures kept out of training in every split",
    }
    said = limits.HITUAV if hit else limits.RGB if job.kind == "rgb" else limits.OWN
    said = (*said, limits.BY_PICTURE) if _by_picture(description) else said
    if job.int8_loss is not None:
        record["int8"] = quantise.attempt(
            job.model, list_samples(root, "train"), sets[main_split], names, job, say, record["confidence"]
        )
    measured = {main_split: record.get("int8", {}).pop("figures", None)}
    card.write(record, job.model, job.card, card.card(record, titles, said))
    quantise.write_sidecar(job.model, record, measured)
    say(f"wrote {job.model}, its sidecar and {job.card}")
    for line in figure_lines(found, main_split, names):
        say(line)
    return record


def figure_lines(found: dict[str, Any], split: str, names: list[str]) -> Iterator[str]:
    """What training came to, class by class, and a warning where it made the model worse. found: as in the record."""
    earlier = found.get("before", {}).get(split, {}).get("classes", {})
    worse = []
    for name in names:
        now = found[split]["classes"][name]["ap50"]
        past = earlier.get(name, {}).get("ap50")
        if now is not None:
            yield f"{name}: AP50 {now:.3f} on {split}" + (f", before training {past:.3f}" if past is not None else "")
            if past is not None and now < past:
                worse.append(name)
    if worse:
        yield (
            f"worse than before training on these pictures: {', '.join(worse)}. Train for more rounds or on more pictures, "
            "or keep the model that training began with"
        )
