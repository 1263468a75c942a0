# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl vision`: how well a model sees, and what seeing costs on this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dronectl.cli.advise import advise
from dronectl.cli.common import JsonOption, err, out, print_json
from dronectl.cli.vision_bench import bench
from dronectl.cli.vision_train import train
from dronectl.errors import EXIT_DONE, EXIT_GOAL_MISSED, BadInputError, UnavailableError

vision_app = typer.Typer(
    no_args_is_help=True,
    help="Measure models and engines, train on your own pictures, and ask which camera will see people today.\n\n"
    "To look at pictures, videos and streams: dronectl detect.",
)
vision_app.command()(advise)
vision_app.command()(train)
vision_app.command()(bench)

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="A YOLO model, .onnx, or .pt with the extra. Default: the thermal one that ships."),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", help="tensorrt, openvino, onnxruntime, opencv or ultralytics. Default: the best one here."
    ),
]


class By(StrEnum):
    """What pictures are told apart by."""

    HEIGHT = "height"
    SEQUENCE = "sequence"


@vision_app.command("eval")
def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="Pictures, or a folder with `images` and `labels` in it.", metavar="FOLDER")
    ],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Folder of YOLO label files. Default: `labels` beside `images`.", metavar="DIR"),
    ] = None,
    model: ModelOption = None,
    engine: EngineOption = None,
    by: Annotated[
        By | None, typer.Option("--by", help="Also show figures by height above ground or by sequence.")
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            "--names", help="Names of the label classes in order, with commas. Default: as the model numbers them."
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            "--confidence", min=0.01, max=0.99, help="Where recall and precision are read. Default: the model's."
        ),
    ] = None,
    looks_per_s: Annotated[
        float | None,
        typer.Option("--looks-per-s", min=0.001, max=120.0, help="Frames looked at per second: false alarms per hour."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on labelled pictures: recall, precision, AP50 with its doubt, false alarms, per class.

    Label files are YOLO's: one line `class x-centre y-centre width height` per object, all but the class relative to
    the picture. Height and sequence are read from names like 0_100_60_0_03386 (scene, height, angle, weather, frame;
    as in HIT-UAV), else pictures are told apart by folder. Of a folder that is split as for training (`train` beside
    `val` or `test`) only the part kept apart is measured on. False alarms are raw detections before any tracking.

    Codes: 0 done, 1 some pictures could not be looked at, 2 a bad label file (named with its line), model or folder.
    """
    # heavy: cv2 and an inference engine
    from vision import evaluate as ev
    from vision.errors import EngineMissingError, VisionError
    from vision.model_card import DEFAULT_MODEL

    label_names = None if names is None else [name.strip() for name in names.split(",")]
    unreadable: list[str] = []
    try:
        pairs = ev.pair_up(folder, labels)
        finder = ev.Finder(model or DEFAULT_MODEL, engine)
        card = finder.card
        ev.class_mapping(label_names, card.classes)
        ev.check_labels(pairs, len(label_names or card.classes))
        seen: list[ev.Seen] = []
        with _progress() as progress:
            task = progress.add_task("looking", total=len(pairs))
            for pair in pairs:
                seen += ev.look_at([pair], finder, label_names, unreadable.append)
                progress.advance(task)
    except EngineMissingError as error:
        raise UnavailableError(str(error)) from error
    except VisionError as error:
        raise BadInputError(str(error)) from error
    for line in unreadable:
        err.print(f"left out: {line}", markup=False)
    part = ev.kept_apart(folder)
    if part is not None:
        err.print(
            f"{folder}: split as for training; measured on its part {part!r} alone", markup=False, highlight=False
        )
    if not seen:
        raise BadInputError(f"{folder}: not one of its {len(pairs)} pictures could be looked at")
    at = card.confidence if confidence is None else confidence
    groups = {By.HEIGHT: lambda s: s.height, By.SEQUENCE: lambda s: s.sequence}
    report: dict[str, Any] = {
        "model": finder.name,
        "pictures": len(seen),
        "part": part,
        "left_out": unreadable,
        "without_label_file": sum(not p.labels.is_file() for p in pairs),
        "confidence": at,
        "iou": ev.IOU,
        "classes": {
            name: _figures(ev.figures(seen, number, at), looks_per_s)
            | {
                f"by_{key.value}": {
                    g: _figures(f, looks_per_s) for g, f in ev.by_group(seen, number, at, group).items()
                }
                for key, group in groups.items()
            }
            for number, name in enumerate(card.classes)
        },
    }
    if as_json:
        print_json(report)
    else:
        _show(report, by)
    raise typer.Exit(EXIT_GOAL_MISSED if unreadable else EXIT_DONE)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err,
        transient=True,
    )  # fmt: skip


def _figures(figures: Any, looks_per_s: float | None) -> dict[str, Any]:
    rounded = {
        name: round(value, 4) if isinstance(value := getattr(figures, name), float) else value
        for name in figures.__slots__
    }
    if looks_per_s is not None:
        rounded["false_per_hour"] = round(figures.false_per_picture * looks_per_s * 3600.0, 1)
    return rounded


def _show(report: dict[str, Any], by: By | None) -> None:
    out.print(f"{report['model']}: {report['pictures']} pictures, read at confidence {report['confidence']:.2f}")
    out.print(_table("class", report["classes"]))
    if by is not None:
        for name, figures in report["classes"].items():
            if figures["objects"]:
                out.print(f"by {by.value}:")
                out.print(_table(name, figures[f"by_{by.value}"]))
    out.print("AP50 range: 95 % of a bootstrap over whole sequences. False alarms are counted before tracking.")
    if report["without_label_file"]:
        out.print(f"{report['without_label_file']} picture(s) have no label file: taken as showing nothing.")


def _table(title: str, rows: dict[str, dict[str, Any]]) -> Table:
    hourly = any("false_per_hour" in row for row in rows.values())
    table = Table(box=None, header_style="bold")
    table.add_column(title, no_wrap=True)
    for column in ("pics", "objects", "AP50", "95 %", "recall", "prec.", "false/pic"):
        table.add_column(column, justify="right", no_wrap=True)
    if hourly:
        table.add_column("false/h", justify="right", no_wrap=True)
    for name, row in rows.items():
        doubt = "-" if row["ap50_low"] is None else f"{row['ap50_low']:.2f}-{row['ap50_high']:.2f}"
        cells = [str(row["pictures"]), str(row["objects"]), _two(row["ap50"]), doubt, _two(row["recall"])]
        cells += [_two(row["precision"]), _two(row["false_per_picture"])]
        table.add_row(name, *cells, *([f"{row['false_per_hour']:.0f}"] if hourly else []))
    return table


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
