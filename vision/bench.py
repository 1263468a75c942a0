# SPDX-License-Identifier: AGPL-3.0-or-later
"""What one engine costs on this machine: `python -m vision.bench --model FILE --engine NAME` prints one JSON object.

An engine gets an interpreter of its own, so that memory is its own and no library's threads stand in another's way;
`dronectl vision bench` starts one after the other. Pictures are generated (radiometric, with a gradient, texture and
warm blobs) or the user's own. Stages: prepare (stretch, letterbox), infer, decode, and hot spots beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from vision.decode import class_count, decode
from vision.engines import load_engine
from vision.errors import EngineMissingError, ModelError, PictureError, VisionError
from vision.frame import Frame, PixelKind
from vision.model_card import read_card
from vision.prepare import fit_picture, to_grey
from vision.sources.files import find_files
from vision.sources.stills import PICTURES, read_still
from vision.thermal import HotSpotDetector

STAGES: Final = ("prepare", "infer", "decode", "hot_spots")
_WARM_UP: Final = 3
_GSD_M: Final = 0.08
_EXIT_MISSING: Final = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run cost. Milliseconds by the clock on the wall; cpu_* by the process's own clock, all threads together.

    memory_mb: resident memory that the engine, the model and their work added to the bare program;
    peak_mb: the whole process at its highest. frames_per_s: all stages one after the other.
    """

    engine: str
    model: str
    width_px: int
    height_px: int
    threads: int
    frames: int
    load_s: float
    first_ms: float
    p50_ms: dict[str, float]
    p95_ms: dict[str, float]
    frame_p50_ms: float
    frame_p95_ms: float
    frames_per_s: float
    cpu_frame_ms: float
    memory_mb: float
    peak_mb: float


def generated(width_px: int, height_px: int, count: int = 4) -> list[Frame]:
    """Radiometric frames like open ground at night, the same every time."""
    rng = np.random.default_rng(20)
    rows = np.linspace(0.0, 3.0, height_px, dtype=np.float32)[:, None]
    frames = []
    for number in range(count):
        coarse = rng.normal(0.0, 1.5, (height_px // 16 + 1, width_px // 16 + 1)).astype(np.float32)
        ground = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
        pixels = 8.0 + rows + ground + rng.normal(0.0, 0.15, (height_px, width_px)).astype(np.float32)
        for _ in range(12):
            x, y = int(rng.integers(8, width_px - 8)), int(rng.integers(8, height_px - 8))
            pixels[y - 4 : y + 4, x - 3 : x + 3] += np.float32(rng.uniform(4.0, 12.0))
        frames.append(Frame("generated", None, number, float(number), pixels.astype(np.float32), PixelKind.CELSIUS))
    return frames


def _resident_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return _peak_mb()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def measure(model: Path, engine_name: str | None, threads: int, frames: Sequence[Frame], count: int) -> Cost:
    """Load the engine, look `count` times, and say what it cost. ModelError, EngineMissingError."""
    cv2.setNumThreads(1)
    before_mb = _resident_mb()
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
    hot_spots = HotSpotDetector()
    times: dict[str, list[float]] = {stage: [] for stage in STAGES}
    cpu_began = wall_began = 0.0
    for number in range(count + _WARM_UP):
        if number == _WARM_UP:
            cpu_began, wall_began = time.process_time(), time.perf_counter()
        frame = frames[number % len(frames)]
        marks = [time.perf_counter()]
        picture, fit = fit_picture(frame.pixels if colour else to_grey(frame, card), engine.input_size)
        marks.append(time.perf_counter())
        output = engine.run_picture(picture)
        marks.append(time.perf_counter())
        decode(output, fit, (frame.height_px, frame.width_px), card.search_confidence)
        marks.append(time.perf_counter())
        if frame.kind is not PixelKind.BGR8:
            hot_spots.detect(frame, _GSD_M)
        marks.append(time.perf_counter())
        if number >= _WARM_UP:
            for stage, start, end in zip(STAGES, marks, marks[1:], strict=False):
                times[stage].append((end - start) * 1e3)
    whole = np.sum([times[stage] for stage in STAGES], axis=0)
    return Cost(
        engine=engine.name,
        model=card.label,
        width_px=frames[0].width_px,
        height_px=frames[0].height_px,
        threads=threads,
        frames=count,
        load_s=load_s,
        first_ms=first_ms,
        p50_ms={stage: float(np.median(values)) for stage, values in times.items()},
        p95_ms={stage: float(np.percentile(values, 95)) for stage, values in times.items()},
        frame_p50_ms=float(np.median(whole)),
        frame_p95_ms=float(np.percentile(whole, 95)),
        frames_per_s=count / (time.perf_counter() - wall_began),
        cpu_frame_ms=(time.process_time() - cpu_began) / count * 1e3,
        memory_mb=_resident_mb() - before_mb,
        peak_mb=_peak_mb(),
    )


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
        if given.pictures is None:
            frames = generated(given.width, given.height)
        else:
            files = find_files([given.pictures], PICTURES).files
            if not files:
                raise PictureError(f"{given.pictures}: videos only; the bench wants pictures")
            frames = [read_still(path).frame for path in files[:16]]
        cost = measure(given.model, given.engine, given.threads, frames, given.frames)
    except VisionError as error:
        sys.stderr.write(f"{error}\n")
        return _EXIT_MISSING if isinstance(error, EngineMissingError) else 2
    sys.stdout.write(json.dumps(asdict(cost)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
