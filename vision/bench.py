# SPDX-License-Identifier: AGPL-3.0-or-later
"""What one engine costs on this machine: `python -m vision.bench --model FILE --engine NAME` prints one JSON object.

An engine gets an interpreter of its own, so that memory is its own and no library's threads stand in another's way;
`dronectl vision bench` starts one after the other. Pictures are generated (open ground with texture and blobs) or the
user's own, and are looked at as `dronectl detect` would: thermal ones whole, colour ones in tiles. Stages: prepare
(stretch, letterbox), infer, decode, what tiles cost besides, and hot spots. `--engine sahi` is the peer (`bench_sahi`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from vision.bench_parts import STAGES, WARM_UP, Cost, Run, cost_of, generated, own, resident_mb
from vision.bench_sahi import SAHI, measure_sahi
from vision.decode import class_count
from vision.detector import Detection
from vision.engines import Engine, Tensor, load_engine
from vision.errors import EngineMissingError, ModelError, VisionError
from vision.frame import Frame
from vision.lookers import tile_settings
from vision.model_card import ModelCard, read_card
from vision.prepare import BytePicture, Fit
from vision.thermal import HotSpotDetector
from vision.tiled import TiledDetector
from vision.yolo import YoloDetector

_GSD_M: Final = 0.08
_EXIT_MISSING: Final = 3


class _Watched(YoloDetector):
    """The detector, with the milliseconds that its steps took since the count was begun."""

    def __init__(self, engine: Engine, card: ModelCard) -> None:
        super().__init__(engine, card)
        self.spent_ms: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        """Begin to count anew."""
        self.spent_ms = {"prepare": 0.0, "infer": 0.0, "decode": 0.0}

    def prepared(self, frame: Frame) -> tuple[BytePicture, Fit]:
        began = time.perf_counter()
        made = super().prepared(frame)
        self.spent_ms["prepare"] += (time.perf_counter() - began) * 1e3
        return made

    def computed(self, picture: BytePicture) -> Tensor:
        began = time.perf_counter()
        output = super().computed(picture)
        self.spent_ms["infer"] += (time.perf_counter() - began) * 1e3
        return output

    def decoded(self, frame: Frame, gsd_m: float | None, output: Tensor, fit: Fit, least: float) -> list[Detection]:
        began = time.perf_counter()
        found = super().decoded(frame, gsd_m, output, fit, least)
        self.spent_ms["decode"] += (time.perf_counter() - began) * 1e3
        return found


def measure(model: Path, engine_name: str | None, threads: int, frames: Sequence[Frame], count: int) -> Cost:
    """Load the engine, look `count` times, and say what it cost. ModelError, EngineMissingError."""
    cv2.setNumThreads(1)
    before_mb = resident_mb()
    began = time.perf_counter()
    engine = load_engine(model, engine_name, threads)
    load_s = time.perf_counter() - began
    colour = read_card(model).modality == "rgb"
    blank = np.zeros((*engine.input_size, 3) if colour else engine.input_size, dtype=np.uint8)
    began = time.perf_counter()
    shape = engine.run_picture(blank).shape
    first_ms = (time.perf_counter() - began) * 1e3
    try:
        card = read_card(model, class_count(shape))
    except ValueError as error:
        raise ModelError(f"model {model}: {error}") from error
    yolo = _Watched(engine, card)
    tiled = TiledDetector(yolo, engine.input_size, tile_settings(card)) if colour else None
    hot_spots = HotSpotDetector()
    times: dict[str, list[float]] = {stage: [] for stage in STAGES if stage != "hot_spots" or not colour}
    cpu_began = wall_began = 0.0
    boxes = 0
    for number in range(count + WARM_UP):
        if number == WARM_UP:
            cpu_began, wall_began = time.process_time(), time.perf_counter()
        frame = frames[number % len(frames)]
        yolo.begin()
        marks = [time.perf_counter()]
        # no scale is stated: a model for another one must be measured, too
        found = (tiled or yolo).detect(frame, None)
        marks.append(time.perf_counter())
        if not colour:
            hot_spots.detect(frame, _GSD_M)
        marks.append(time.perf_counter())
        if number >= WARM_UP:
            boxes += len(found)
            besides = (marks[1] - marks[0]) * 1e3 - sum(yolo.spent_ms.values())
            spent = yolo.spent_ms | {"tiles": besides, "hot_spots": (marks[2] - marks[1]) * 1e3}
            for stage, values in times.items():
                values.append(spent[stage])
    tiles = 1 if tiled is None or tiled.last is None else tiled.last.tiles
    wall_s, cpu_s = time.perf_counter() - wall_began, time.process_time() - cpu_began
    run = Run(engine.name, card.label, threads, tiles, boxes, load_s, first_ms, times, wall_s, cpu_s, before_mb)
    return cost_of(run, frames)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; a failure is one line on standard error and code 2 or 3."""
    parser = argparse.ArgumentParser(prog="python -m vision.bench", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--engine")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args(arguments)
    try:
        modality = read_card(given.model).modality
        if given.pictures is None:
            frames = generated(given.width, given.height, modality)
        else:
            frames = own(given.pictures, modality)
        if given.engine == SAHI:
            cost = measure_sahi(given.model, given.threads, frames, given.frames)
        else:
            cost = measure(given.model, given.engine, given.threads, frames, given.frames)
    except VisionError as error:
        sys.stderr.write(f"{error}\n")
        return _EXIT_MISSING if isinstance(error, EngineMissingError) else 2
    sys.stdout.write(json.dumps(asdict(cost)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
