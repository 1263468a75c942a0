# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl detect`: pictures, folders, videos and radiometric JPEGs to JSON lines and annotated pictures."""

from __future__ import annotations

import json
import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from dronectl.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_GOAL_MISSED, BadInputError, UnavailableError


def detect(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Pictures, folders, videos or radiometric JPEGs (DJI, FLIR).", metavar="PATH..."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the JSON lines to this file instead of standard output.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option("--annotate", help="Write pictures with boxes into this folder.", metavar="DIR")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="A YOLO model, .onnx, or .pt with the extra. Default: the thermal one that ships."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="openvino, onnxruntime, opencv or ultralytics. Default: the best installed."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            "--confidence", min=0.01, max=0.99, help="Least score of a learned detection. Default: the model's."
        ),
    ] = None,
    gsd_cm: Annotated[
        float | None,
        typer.Option("--gsd-cm", min=0.1, max=200.0, help="Centimetres on the ground per pixel, for all pictures."),
    ] = None,
    height_m: Annotated[
        float | None,
        typer.Option("--height-m", min=1.0, max=5000.0, help="Height above ground looking down; with --hfov-deg."),
    ] = None,
    hfov_deg: Annotated[
        float | None, typer.Option("--hfov-deg", min=1.0, max=170.0, help="The camera's horizontal field of view.")
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Look at every n-th frame of a video.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the closing summary as JSON on standard error, too.")
    ] = False,
) -> None:
    """Find people, vehicles, hot spots and fires in thermal pictures.

    One JSON line per frame with its detections; videos also give lines of type "track" (3 of 5 looks). Sizes are
    judged in metres, so say how large a pixel is on the ground (--gsd-cm, or --height-m with --hfov-deg) unless the
    pictures tell it themselves; without it hot spots are not judged, only learned detections and fires are.

    Codes: 0 all files were read, 1 some could not be read or looked at, 2 none could or the input is wrong.
    """
    raise typer.Exit(
        run(
            paths,
            out,
            annotate,
            model,
            engine,
            confidence,
            _scale(gsd_cm, height_m, hfov_deg),
            every,
            as_json,
        )
    )


def _scale(gsd_cm: float | None, height_m: float | None, hfov_deg: float | None) -> tuple[float | None, float | None]:
    """(metres per pixel, metres of ground across a picture): one of the two, or neither."""
    if gsd_cm is not None:
        if height_m is not None or hfov_deg is not None:
            raise BadInputError("give --gsd-cm, or --height-m with --hfov-deg, not both")
        return gsd_cm / 100.0, None
    if height_m is None and hfov_deg is None:
        return None, None
    if height_m is None or hfov_deg is None:
        raise BadInputError("--height-m and --hfov-deg belong together: neither says alone how large a pixel is")
    return None, 2.0 * height_m * math.tan(math.radians(hfov_deg / 2))


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def run(
    paths: list[Path],
    out: Path | None,
    annotate: Path | None,
    model: Path | None,
    engine: str | None,
    confidence: float | None,
    scale: tuple[float | None, float | None],
    every: int,
    as_json: bool,
) -> int:
    """Look through the files and return the exit code; errors in what was given are BadInputError."""
    # heavy: cv2 and an inference engine, which no other command of this program needs
    from vision.errors import EngineMissingError, VisionError
    from vision.examine import Examiner, StatedScale
    from vision.model_card import DEFAULT_MODEL
    from vision.sources.stills import find_files
    from vision.thermal import HotSpotDetector
    from vision.yolo import load_yolo

    try:
        files = find_files(paths)
        learned = load_yolo(model or DEFAULT_MODEL, engine, confidence)
    except EngineMissingError as error:
        raise UnavailableError(str(error)) from error
    except VisionError as error:
        raise BadInputError(str(error)) from error
    _say(f"{len(files)} file(s), {learned.name}")
    examiner = Examiner(learned, HotSpotDetector(), StatedScale(*scale), annotate, every, _say)
    with ExitStack() as stack:
        try:
            target: TextIO = sys.stdout if out is None else stack.enter_context(out.open("w", encoding="utf-8"))
        except OSError as error:
            raise BadInputError(f"--out {out}: {error.strerror or error}") from error
        for number, path in enumerate(files, 1):
            found = examiner.tally.detections
            try:
                for line in examiner.file(path):
                    _write(target, line)
            except VisionError as error:
                raise BadInputError(str(error)) from error
            _say(f"[{number}/{len(files)}] {path.name}: {examiner.tally.detections - found} detection(s)")
    return _close(examiner.tally, len(files), as_json=as_json)


def _write(target: TextIO, line: dict[str, Any]) -> None:
    target.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def _close(tally: Any, files: int, *, as_json: bool) -> int:
    summary = {
        "files": files,
        "frames": tally.pictures,
        "detections": tally.detections,
        "unreadable": tally.unreadable,
        "not_looked_at": tally.not_looked_at,
        "without_gsd": tally.without_gsd,
    }
    if as_json:
        _say(json.dumps(summary))
    else:
        _say(
            f"{tally.pictures} frame(s), {tally.detections} detection(s), {tally.not_looked_at} not looked at, "
            f"{tally.unreadable} file(s) unreadable"
        )
    if tally.without_gsd:
        _say(
            f"{tally.without_gsd} frame(s) without a ground sample distance: sizes unknown, hot spots not judged; "
            "state it with --gsd-cm, or --height-m and --hfov-deg"
        )
    if tally.unreadable == files or (tally.pictures and tally.not_looked_at == tally.pictures):
        return EXIT_BAD_INPUT
    return EXIT_GOAL_MISSED if tally.unreadable or tally.not_looked_at else EXIT_DONE
