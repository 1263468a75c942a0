# SPDX-License-Identifier: AGPL-3.0-or-later
"""Command line: ``python -m vision.train hituav|rgb|yolo|figures|single|evaluate``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision.errors import EngineMissingError, VisionError

from . import card, figure_store
from .augment import COLOUR, AugmentConfig
from .dataset import iter_flat, list_samples
from .errors import MissingExtraError, UserError
from .evaluate import evaluate
from .job import STEPS, Job
from .predict import OnnxModel, run_pictures
from .steps import run
from .train_config import TrainConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "evaluate":
            return _evaluate(args)
        if args.command == "figures":
            found = figure_store.gather(args.program, args.assets, args.out)
            _say(f"wrote {args.out}: " + ", ".join(f"{count} {what}" for what, count in found.items()))
            return 0
        if args.command == "single":
            from .single import SingleJob  # needs an inference engine, which training does not
            from .single import run as fit_single

            job = SingleJob(args.model, args.out, args.pictures, args.least, args.seed)
            fit_single(job, _say)
            return 0
        run(_job(args), _say)
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except EngineMissingError as error:
        return _fail(str(error), MissingExtraError.exit_code)
    except VisionError as error:
        return _fail(str(error), UserError.exit_code)
    except OSError as error:
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}", UserError.exit_code)
    return 0


def _fail(text: str, code: int) -> int:
    print(f"error: {text}", file=sys.stderr)  # noqa: T201
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vision.train", description="Train, export and evaluate detectors.")
    commands = parser.add_subparsers(dest="command", required=True)
    hit = commands.add_parser("hituav", help="the thermal detector from HIT-UAV (folder normal_json)")
    hit.add_argument("source", type=Path, help="HIT-UAV's folder normal_json")
    hit.add_argument("--split", choices=("official", "sequence"), default="official")
    hit.add_argument("--held-out", type=Path, help="folder of pictures never to train on")
    hit.add_argument(
        "--cold", type=float, default=0.2, help="share of rendered cold wilderness in training, 0 to 1 (default 0.2)"
    )
    hit.add_argument(
        "--wild", type=float, default=0.0, help="share of pictures of the other renderer, 0 to 1 (default 0)"
    )
    own = commands.add_parser("yolo", help="a detector from your own pictures with YOLO labels")
    own.add_argument("source", type=Path, help="folder with images/ and labels/, split into train/ and val/ or not")
    own.add_argument("--names", required=True, help="class names, in order, separated by commas")
    own.add_argument(
        "--modality", choices=("thermal", "rgb"), help="default: thermal, and pictures in colour are refused"
    )
    own.add_argument("--gsd", help="ground sample distance of the pictures in cm per pixel, MIN-MAX")
    own.add_argument("--licence", default="not stated", help="licence of the data, for the card")
    rgb = commands.add_parser("rgb", help="the RGB person detector: people rendered on your pictures of ground")
    rgb.add_argument(
        "source",
        type=Path,
        help=(
            "folder of folders of ground, with backgrounds.json: for each gsd_cm, elevation_deg [low, high], shadow [low, high],"
            " licence, source, use (train or test); with --figures also kind (pictures or textures) and weight"
        ),
    )
    rgb.add_argument("--figures", type=Path, help="file of dressed figures, as 'figures' writes it; else plain bodies")
    rgb.add_argument("--tiles", type=int, default=3200, help="rendered tiles to train on (default 3200)")
    for command in (hit, own, rgb):
        _add_training(command)
    gathered = commands.add_parser("figures", help="gather figures from MakeHuman's body, clothes and hair (CC0)")
    gathered.add_argument("program", type=Path, help="folder of the repository makehumancommunity/makehuman")
    gathered.add_argument("assets", type=Path, help="folder of the repository makehumancommunity/makehuman-assets")
    gathered.add_argument("--out", type=Path, required=True, help="the file to write (.npz)")
    single = commands.add_parser("single", help="the weights by which single thermal pictures are judged")
    single.add_argument("model", type=Path, help="the thermal detector whose scores are weighed")
    single.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    single.add_argument("--pictures", type=int, default=900, help="rendered cold pictures (default 900)")
    single.add_argument(
        "--least", type=float, default=0.54, help="probability from which a person is reported (default 0.54)"
    )
    single.add_argument("--seed", type=int, default=0)
    check = commands.add_parser("evaluate", help="figures of an ONNX model on labelled pictures")
    check.add_argument("model", type=Path)
    check.add_argument("source", type=Path, help="prepared data set, or a folder with images/ and labels/")
    check.add_argument("--split", default="test", help="split of a prepared data set")
    check.add_argument("--names", help="class names; default: from the sidecar beside the model")
    check.add_argument("--modality", choices=("thermal", "rgb"), help="default: from the sidecar beside the model")
    check.add_argument("--threads", type=int, default=2)
    return parser


def _add_training(command: argparse.ArgumentParser) -> None:
    command.add_argument("--weights", type=Path, help="checkpoint (.pt) or shipped model (.onnx) to start from")
    command.add_argument("--work", type=Path, required=True, help="folder for the prepared data and the run")
    command.add_argument("--model", type=Path, required=True, help="the ONNX file to write; sidecar beside it")
    command.add_argument("--card", type=Path, required=True, help="the model card (Markdown) to write")
    command.add_argument("--version", default="0.1.0")
    command.add_argument("--extra-test", type=Path, help="folder with images/ and labels/ for a further evaluation")
    command.add_argument("--steps", default=",".join(STEPS), help="of prepare,train,compare,ship")
    command.add_argument(
        "--int8-loss", type=float, help="also quantise; keep it if the first class's AP50 falls by no more"
    )
    command.add_argument(
        "--average", type=float, help="ship the average of the trained weights (this share) and those it began with"
    )
    command.add_argument("--average-with", type=Path, help="the rest is of this ONNX file instead, from the same start")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int)
    length.add_argument("--minutes", type=float, help="let the schedule end after this wall time")
    defaults = TrainConfig(epochs=1)
    command.add_argument("--device", default="cpu", help="cpu, or the number of a GPU (default cpu)")
    for name in ("width", "height", "batch", "threads", "workers", "seed", "warmup-steps", "freeze"):
        command.add_argument(f"--{name}", type=int, default=getattr(defaults, name.replace("-", "_")))
    command.add_argument("--lr", type=float, default=defaults.lr)
    command.add_argument(
        "--calm", type=float, default=defaults.calm, help="share of the training, at its end, that is augmented less"
    )


def _job(args: argparse.Namespace) -> Job:
    given = vars(args)
    modality = "rgb" if args.command == "rgb" else given.get("modality") or "thermal"
    config = TrainConfig(
        epochs=10 if args.epochs is None and args.minutes is None else args.epochs,
        minutes=args.minutes,
        width=args.width,
        height=args.height,
        batch=args.batch,
        lr=args.lr,
        threads=args.threads,
        device=args.device,
        workers=args.workers,
        seed=args.seed,
        warmup_steps=args.warmup_steps,
        freeze=args.freeze,
        calm=args.calm,
        colour=modality == "rgb",
        augment=COLOUR
        if modality == "rgb"
        else AugmentConfig(p_cold=given.get("cold", 0.0), p_wild=given.get("wild", 0.0)),
    )
    fields = (
        "source",
        "work",
        "model",
        "card",
        "weights",
        "extra_test",
        "version",
        "int8_loss",
        "average",
        "average_with",
    )
    more: dict[str, Any] = {
        name: given[name] for name in ("gsd", "licence", "split", "held_out", "tiles", "figures") if name in given
    }
    if given.get("names"):
        more["names"] = tuple(name.strip() for name in args.names.split(",") if name.strip())
    return Job(
        kind=args.command,
        config=config,
        modality=modality,
        modality_stated=given.get("modality") is not None,
        steps=tuple(step.strip() for step in args.steps.split(",")),
        **{name: given[name] for name in fields},
        **more,
    )


def _evaluate(args: argparse.Namespace) -> int:
    about = _sidecar(args.model)
    modality = args.modality or about.get("modality")
    if not (args.names or about.get("classes")) or modality not in ("thermal", "rgb"):
        raise UserError(f"{args.model.with_suffix('.json')}: does not say it; give --names and --modality")
    colour = modality == "rgb"
    names = [n.strip() for n in args.names.split(",")] if args.names else [str(name) for name in about["classes"]]
    prepared = (args.source / "images" / args.split).is_dir()
    samples = list_samples(args.source, args.split) if prepared else list(iter_flat(args.source))
    if not samples:
        raise UserError(f"{args.source / 'images'}: no pictures in it")
    model = OnnxModel.load(args.model, args.threads)
    if model.classes != len(names):
        raise UserError(
            f"{args.model}: it has {model.classes} classes, and {len(names)} are named ({', '.join(names)})"
        )
    results = evaluate(run_pictures(model, samples, len(names), colour=colour), names, thresholds=card.THRESHOLDS)
    for name, result in results.items():
        _say(f"{name}: {result.objects} objects in {result.pictures} pictures, AP50 {_figure(result.ap)}")
        for point in result.operating:
            _say(
                f"  confidence {point.confidence:.2f}: recall {_figure(point.recall)}, precision {_figure(point.precision)},"
                f" false per picture {point.false_per_picture:.2f}"
            )
    return 0


def _sidecar(model: Path) -> dict[str, Any]:
    """What lies beside a model; empty where nothing does."""
    path = model.with_suffix(".json")
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(about, dict) or not isinstance(about.get("classes", []), list):
        raise UserError(f"{path}: not the description of a model")
    return about


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _say(text: str) -> None:
    print(text)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
