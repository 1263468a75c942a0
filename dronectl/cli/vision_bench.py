# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl vision bench`: what seeing costs on this machine, by engine, beside SAHI with ultralytics."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dronectl.cli.common import JsonOption, err, out, print_json
from dronectl.errors import EXIT_DONE, EXIT_GOAL_MISSED, EXIT_UNAVAILABLE, BadInputError, UnavailableError

_SAHI = "sahi"
_PEER_PACKAGES = ("sahi", "ultralytics")
_INSTALL = "python -m venv yolo && yolo/bin/pip install torch torchvision ultralytics onnx onnxruntime sahi, then --python yolo/bin/python"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of measuring one engine: its cost, or in one line why there is none."""

    cost: dict[str, Any] | None
    code: int = EXIT_DONE
    why_not: str = ""


def bench(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            help="A YOLO model, .onnx, or .pt with the extra. Default: the thermal one that ships.",
            metavar="FILE",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            help="tensorrt, openvino, onnxruntime, opencv or ultralytics, alone and without SAHI. Default: all that are "
            "installed.",
        ),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=5, max=5000, help="Frames to look at, per engine.")] = 50,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            help="Width x height of the generated pictures. Default: 640x512, of a model for colour 1920x1080.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="Your own pictures instead of generated ones.", metavar="DIR")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="Threads that an engine may use.")] = 2,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python",
            help="The Python that has sahi and ultralytics. Default: this one if it has them, else that of an environment "
            ".venv-yolo beside this one.",
            metavar="FILE",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure every installed engine here, and SAHI with ultralytics on the same model: speed, latency by stage, memory.

    Pictures are looked at as `dronectl detect` would: thermal ones whole, colour ones in tiles, which SAHI slices in parts
    of the same size. Each engine runs in a process of its own, one after the other. Another load on the machine shows in
    the figures; the load average goes with them. SAHI is an open-source library that others use for this: where it is not
    installed, that is said in its place.

    Codes: 0 done, 1 an engine could not run this model, 2 the input is wrong, 3 no engine is installed.
    """
    # heavy: numpy, and an inference engine where one is found
    from vision.engines.choose import ENGINE_NAMES, installed_engines
    from vision.errors import ModelError
    from vision.model_card import DEFAULT_MODEL, read_card

    file = model or DEFAULT_MODEL
    for option, given in (("--model", file), ("--python", python)):
        if given is not None and not given.is_file():
            raise BadInputError(f"{option} {given}: no such file")
    if engine is not None and engine not in ENGINE_NAMES:
        raise BadInputError(f"--engine {engine}: there are {', '.join(ENGINE_NAMES)}")
    try:
        colour = read_card(file).modality == "rgb"
    except ModelError as error:
        raise BadInputError(str(error)) from error
    width, height = _size(size or ("1920x1080" if colour else "640x512"))
    names = [n for n in installed_engines() if (n == "ultralytics") == (file.suffix == ".pt")]
    chosen = names if engine is None else [engine]
    if not chosen:
        raise UnavailableError(f"no engine for {file.name} is installed; `dronectl doctor` says which there are")
    wanted = ["--model", str(file), "--threads", str(threads), "--frames", str(frames)]
    wanted += ["--width", str(width), "--height", str(height)]
    wanted += [] if pictures is None else ["--pictures", str(pictures)]
    answers: dict[str, _Answer] = {}
    peer: _Answer | None = None
    with _progress() as progress:
        task = progress.add_task("measuring", total=len(chosen) + (engine is None))
        for name in chosen:
            answers[name] = _measure(Path(sys.executable), name, wanted)
            progress.advance(task)
        if engine is None:
            peer = _measure_peer(python, wanted)
            progress.advance(task)
    _tell(answers, peer, as_json=as_json)


def _tell(answers: dict[str, _Answer], peer: _Answer | None, *, as_json: bool) -> None:
    costs = [a.cost for a in answers.values() if a.cost is not None]
    failures = [f"{name}: {a.why_not}" for name, a in answers.items() if a.cost is None]
    if not costs:
        text = "; ".join(failures)
        gone = all(a.code == EXIT_UNAVAILABLE for a in answers.values())
        raise UnavailableError(text) if gone else BadInputError(text)
    load = round(os.getloadavg()[0], 2)
    if as_json:
        report: dict[str, Any] = {"load_average": load, "engines": costs, "failed": failures}
        if peer is not None:
            report |= {"sahi": peer.cost, "sahi_missing": peer.why_not or None}
        print_json(report)
    else:
        _show(costs, peer, load)
    for line in failures:
        err.print(line, markup=False)
    broken = peer is not None and peer.cost is None and peer.code != EXIT_UNAVAILABLE
    raise typer.Exit(EXIT_GOAL_MISSED if failures or broken else EXIT_DONE)


def _measure(python: Path, name: str, wanted: list[str]) -> _Answer:
    """One engine in a process of its own."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    done = subprocess.run(
        [str(python), "-m", "vision.bench", "--engine", name, *wanted],
        capture_output=True, encoding="utf-8", errors="replace", check=False, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    if done.returncode == EXIT_DONE:
        return _Answer(json.loads(done.stdout))
    said = done.stderr.strip().splitlines()
    return _Answer(None, done.returncode, said[-1] if said else f"ended with {done.returncode}")


def _measure_peer(python: Path | None, wanted: list[str]) -> _Answer:
    """SAHI with ultralytics, in the environment that has them."""
    beside = Path(sys.prefix).parent / ".venv-yolo" / "bin" / "python"
    if python is None and all(importlib.util.find_spec(name) is not None for name in _PEER_PACKAGES):
        python = Path(sys.executable)
    if python is None and beside.is_file():
        python = beside
    if python is None:
        return _Answer(None, EXIT_UNAVAILABLE, f"not installed here: {_INSTALL}")
    try:
        return _measure(python, _SAHI, wanted)
    except OSError as error:
        raise BadInputError(f"--python {python}: {error.strerror or error}") from error


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err,
        transient=True,
    )  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) == 2 and all(part.isdigit() and 32 <= int(part) <= 16384 for part in parts):
        return int(parts[0]), int(parts[1])
    raise BadInputError(f"--size {text}: give width x height in pixels, 32 to 16384, like 1920x1080")


def _show(costs: list[dict[str, Any]], peer: _Answer | None, load: float) -> None:
    first = costs[0]
    out.print(
        f"{first['model']}, {first['width_px']} x {first['height_px']} pictures, {first['threads']} threads, "
        f"{first['frames']} frames; load average {load:.1f}"
    )
    table = Table(box=None, header_style="bold")
    table.add_column("", no_wrap=True)
    columns = list(costs)
    for cost in costs:
        table.add_column(cost["engine"], justify="right")
    if peer is not None and peer.cost is not None:
        columns.append(peer.cost)
        table.add_column("SAHI with ultralytics", justify="right", min_width=len("ultralytics"))
    rows = [("frames/s", "frames_per_s"), ("frame p50 ms", "frame_p50_ms"), ("frame p95 ms", "frame_p95_ms")]
    for title, key in rows:
        table.add_row(title, *[f"{cost[key]:.1f}" for cost in columns])
    for stage in first["p50_ms"]:
        title = stage.replace("_", " ")
        cells = [f"{cost['p50_ms'][stage]:.1f}" if stage in cost["p50_ms"] else "-" for cost in columns]
        table.add_row(f"  {title} p50 ms", *cells)
    rows = [("CPU ms", "cpu_frame_ms"), ("load s", "load_s"), ("first run ms", "first_ms")]
    for title, key in [*rows, ("memory MB", "memory_mb"), ("peak MB", "peak_mb"), ("boxes a frame", "found")]:
        table.add_row(title, *[f"{cost[key]:.1f}" for cost in columns])
    table.add_row("tiles a frame", *[f"{cost['tiles']}" for cost in columns])
    out.print(table)
    out.print(
        "Frames per second: all stages in a row; in the service hot spots run beside the network. Memory: what the engine added."
    )
    if peer is None:
        return
    if peer.cost is None:
        out.print(f"SAHI with ultralytics: {peer.why_not}", markup=False)
        return
    best = max(costs, key=lambda cost: float(cost["frames_per_s"]))
    # hot spots are no part of what SAHI does
    ours_ms = best["frame_p50_ms"] - best["p50_ms"].get("hot_spots", 0.0)
    out.print(
        f"{peer.cost['engine']} on the same file: {peer.cost['frame_p50_ms'] / ours_ms:.2f} times the time of {best['engine']} "
        "without its hot spots",
        markup=False,
    )
