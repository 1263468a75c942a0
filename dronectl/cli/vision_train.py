# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl vision train`: fine-tune a detector on a user's own labelled pictures."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dronectl.cli.common import JsonOption, err, out, print_json
from dronectl.errors import EXIT_BAD_INPUT, EXIT_UNAVAILABLE, BadInputError, UnavailableError
from vision.model_card import COLOUR_MODEL, DEFAULT_MODEL, kind_of_class, unreported

INSTALL = "python -m venv yolo && yolo/bin/pip install torch torchvision ultralytics onnx onnxruntime, then --python yolo/bin/python"


class Modality(StrEnum):
    """What kind of pictures."""

    THERMAL = "thermal"
    RGB = "rgb"


def train(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Labelled pictures: `images` and `labels` in it, each with `train` and `val` or, without, split here "
            "by sequence.",
            metavar="FOLDER",
        ),
    ],
    model: Annotated[
        Path, typer.Option("--model", help="The ONNX file to write; its sidecar and card go beside it.", metavar="FILE")
    ],
    names: Annotated[str, typer.Option("--names", help="Names of the label classes in order, with commas.")] = "person",
    modality: Annotated[
        Modality | None,
        typer.Option("--modality", help="Kind of pictures. Default: thermal, and pictures in colour are refused."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="What to start from: a YOLO checkpoint (.pt), or a model that this command wrote or that ships (.onnx). "
            "Default: the one for such pictures that ships.",
            metavar="FILE",
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="Folder for checkpoints; a stopped run goes on from it. Default: beside the model.",
            metavar="DIR",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Rounds over all pictures. Default: 10.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.1, help="Instead of rounds: train for so long.")
    ] = None,
    size: Annotated[
        int, typer.Option("--size", min=64, max=1280, help="Side of the network's input, a multiple of 32.")
    ] = 640,
    batch: Annotated[int, typer.Option("--batch", min=2, max=256, help="Pictures per step.")] = 8,
    lr: Annotated[float, typer.Option("--lr", min=1e-6, max=0.1, help="Learning rate.")] = 1e-3,
    freeze: Annotated[
        int, typer.Option("--freeze", min=0, max=22, help="Leave the first so many layers as they are: quicker.")
    ] = 0,
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of order and augmentation.")] = 0,
    gsd: Annotated[
        str | None,
        typer.Option(
            "--gsd-cm", help="Ground sample distance of the pictures, cm per pixel, MIN-MAX: used to refuse others."
        ),
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="Licence of the data, for the card.")] = "not stated",
    int8_loss: Annotated[
        float | None,
        typer.Option(
            "--int8-loss",
            min=0.0,
            max=1.0,
            help="Also quantise to INT8, kept if AP50 of the first class falls by no more than this.",
        ),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python", help="The Python that has the extra, where that is an environment of its own.", metavar="FILE"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a detector on your own labelled pictures, export it, and write its card with figures before and after.

    Label files are YOLO's: one line `class x-centre y-centre width height` per object, all but the class relative to
    the picture; a picture without a label file shows nothing. Every label is checked before the work. Colour pictures
    larger than the input are learned from as they are looked at, in parts at their own scale. A hundred pictures of your
    own ground do more than thousands of another's. `dronectl detect --model FILE` uses what comes out.

    Needs the heavy extra (ultralytics with torch); it may be installed in an environment of its own (--python).

    Codes: 0 done, 2 the input is wrong (a bad label is named with file and line), 3 the extra is not installed or broke down.
    """
    if epochs is not None and minutes is not None:
        raise BadInputError("give --epochs or --minutes, not both")
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such folder")
    if size % 32:
        raise BadInputError(f"--size {size}: must be a multiple of 32")
    weights = start or (COLOUR_MODEL if modality is Modality.RGB else DEFAULT_MODEL)
    for option, file in (("--from", weights), ("--python", python)):
        if file is not None and not file.is_file():
            raise BadInputError(f"{option} {file}: no such file")
    if model.suffix != ".onnx" or not model.absolute().parent.is_dir():
        raise BadInputError(f"--model {model}: must be an .onnx file in a folder that exists")
    if python is None and importlib.util.find_spec("ultralytics") is None:
        raise UnavailableError(f"training needs the package ultralytics, which is not installed here: {INSTALL}")
    classes = [name.strip() for name in names.split(",") if name.strip()]
    strange = unreported(classes)
    if strange is not None:
        if not any(map(kind_of_class, classes)):
            raise BadInputError(f"--names {names}: {strange}")
        err.print(f"--names {names}: {strange}", markup=False, highlight=False)
    given: dict[str, object] = {
        "names": names,
        "modality": None if modality is None else modality.value,
        "weights": weights,
        "work": work or model.with_name(f"{model.stem}-training"),
        "model": model,
        "card": model.with_suffix(".md"),
        "steps": "prepare,train,ship",
        "width": size,
        "height": size,
        "batch": batch,
        "lr": lr,
        "freeze": freeze,
        "threads": threads,
        "seed": seed,
        "licence": licence,
        "gsd": gsd,
        "int8-loss": int8_loss,
        "minutes": minutes,
        "epochs": None if minutes is not None else epochs or 10,
    }
    _run(python or Path(sys.executable), folder, {k: str(v) for k, v in given.items() if v is not None})
    if not model.is_file():
        raise UnavailableError(f"training ended without writing {model}: is --python {python} a Python?")
    if as_json:
        print_json(json.loads(model.with_suffix(".json").read_text(encoding="utf-8")))
    else:
        out.print(f"{model}: use it with `dronectl detect --model {model}`", markup=False, highlight=False)


def _run(python: Path, folder: Path, given: dict[str, str]) -> None:
    """Train in a process of its own: torch may live in another environment, and its memory goes when it ends."""
    command = [str(python), "-m", "vision.train", "yolo", str(folder)]
    command += [word for name, value in given.items() for word in (f"--{name}", value)]
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    environment = os.environ | {"PYTHONPATH": paths, "YOLO_VERBOSE": "False", "PYTHONUNBUFFERED": "1"}
    last = ""
    # both outputs in one: what is said as the work goes on, and the one line of an error
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", env=environment
    ) as child:
        assert child.stdout is not None  # noqa: S101
        for line in child.stdout:
            if last.startswith("error: "):  # the last of them is told once, as this command's own
                err.print(last, markup=False, highlight=False)
            if line.strip():
                last = line.rstrip()
                if not last.startswith("error: "):
                    err.print(last, markup=False, highlight=False)
    said = last.removeprefix("error: ")
    if child.returncode == EXIT_UNAVAILABLE:
        raise UnavailableError(f"{said}; {INSTALL}")
    if child.returncode == EXIT_BAD_INPUT:
        raise BadInputError(said)
    if child.returncode < 0:  # what was said last is no reason
        raise UnavailableError(
            f"training was ended by signal {-child.returncode}, which is most often too little memory: a smaller --batch or "
            "--size needs less. The same command goes on from the last whole round"
        )
    if child.returncode:
        raise UnavailableError(f"training ended with code {child.returncode}: {said}")
