# SPDX-License-Identifier: AGPL-3.0-or-later
"""One training job from data to a model with its card: prepare, train, compare, ship."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import (
    average,
    card,
    export,
    figure_prepare,
    figure_tiles,
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
from .predict import OnnxModel, run_pictures
from .trainer import TrainConfig, fine_tune, require_ultralytics, ultralytics_figures

STEPS = ("prepare", "train", "compare", "ship")

#: Of a curled-up figure in a tile. At twice the usual size (24 to 32) people from above were found 1.3 times as often.
RGB_FIGURE_PX = (44, 60)


@dataclass(frozen=True, slots=True)
class Job:
    """What to train on what. kind: "hituav", "rgb" (rendered people on grounds) or "yolo" (a labelled set)."""

    kind: str
    source: Path
    work: Path
    model: Path
    card: Path
    config: TrainConfig
    weights: Path | None = None
    names: tuple[str, ...] = ("person",)
    modality: str = "thermal"
    modality_stated: bool = False  # else pictures in colour are taken for a mistake
    gsd: str | None = None
    licence: str = "not stated"
    split: str = "official"
    held_out: Path | None = None
    tiles: int = 3200
    figures: Path | None = None  # of a "rgb" job: dressed figures in place of plain bodies
    extra_test: Path | None = None
    version: str = "0.1.0"
    steps: tuple[str, ...] = STEPS
    int8_loss: float | None = None
    average: float | None = None  # ship this share of what was trained, the rest of what it began with
    average_with: Path | None = None  # or of this ONNX file, trained from the same weights before

    @property
    def colour(self) -> bool:
        """Whether pictures have colour."""
        return self.kind == "rgb" or self.modality == "rgb"

    def check(self) -> None:
        """Raise a UserError for what cannot work, before any work."""
        unknown = [step for step in self.steps if step not in STEPS]
        if unknown:
            raise UserError(f"--steps: {unknown[0]!r} is none of {', '.join(STEPS)}")
        self.config.check()
        gsd_range(self.gsd)
        if self.average is not None and not 0 < self.average <= 1:
            raise UserError(f"--average {self.average:g}: must be above 0 and at most 1")
        if self.average_with is not None and self.average is None:
            raise UserError("--average-with: say with --average which share of the trained weights is taken")
        if self.average_with is not None and not self.average_with.is_file():
            raise UserError(f"--average-with {self.average_with}: no such file")
        if self.int8_loss is not None and not 0 <= self.int8_loss <= 1:
            raise UserError(f"--int8-loss {self.int8_loss:g}: must be from 0 to 1")
        if self.tiles < 1:
            raise UserError(f"--tiles must be at least 1 (found {self.tiles})")
        if not self.names:
            raise UserError("give the class names (--names person,car)")
        if not self.source.is_dir():
            raise UserError(f"{self.source}: no such folder")
        if self.figures is not None and not self.figures.is_file():
            raise UserError(f"--figures {self.figures}: no such file; 'python -m vision.train figures' writes one")
        if "train" in self.steps and (self.weights is None or not self.weights.is_file()):
            raise UserError(f"--weights: no such file ({self.weights})")
        if self.weights is not None and self.weights.resolve() == self.model.resolve():
            raise UserError(f"--model {self.model}: training starts from this file; give what comes of it another name")
        if "train" in self.steps and self.weights is not None and self.weights.suffix == ".onnx":
            warm_start.sidecar_classes(self.weights)
        if self.extra_test is not None and not list(iter_flat(self.extra_test)):
            raise UserError(f"--extra-test {self.extra_test}: no pictures in its folder images")


def gsd_range(text: str | None) -> dict[str, Any] | None:
    """MIN-MAX in cm per pixel as the sidecar has it."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise UserError(f"--gsd {text!r}: expected MIN-MAX in cm per pixel, for instance 2-8") from None
    if not 0 < low <= high:
        raise UserError(f"--gsd {text!r}: expected 0 < MIN <= MAX")
    return {"min": low, "max": high, "basis": "as stated by the user"}


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
    record = card.sidecar(job.model, (width, height), names, _about(job, description, trained, confidence, found))
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
    _say_figures(found, main_split, names, say)
    return record


def _say_figures(found: dict[str, Any], split: str, names: list[str], say: Callable[[str], None]) -> None:
    earlier = found.get("before", {}).get(split, {}).get("classes", {})
    for name in names:
        now = found[split]["classes"][name]["ap50"]
        past = earlier.get(name, {}).get("ap50")
        if now is not None:
            say(f"{name}: AP50 {now:.3f} on {split}" + (f", before training {past:.3f}" if past is not None else ""))


def _about(
    job: Job, description: dict[str, Any], trained: dict[str, Any], confidence: dict[str, float], found: dict[str, Any]
) -> dict[str, Any]:
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
