# SPDX-License-Identifier: AGPL-3.0-or-later
"""What `vision.bench` measures with: the pictures, the memory, and the record of what a run cost."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from missions.model import Modality
from vision.errors import PictureError
from vision.frame import Frame, PixelKind
from vision.sources.files import find_files
from vision.sources.stills import PICTURES, StillOptions, read_still

STAGES: Final = ("prepare", "infer", "decode", "tiles", "hot_spots")
WARM_UP: Final = 3
_MOST_PICTURES: Final = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run cost. Milliseconds by the clock on the wall; cpu_* by the process's own clock, all threads together.

    memory_mb: resident memory that the engine, the model and their work added to the bare program;
    peak_mb: the whole process at its highest. frames_per_s: all stages one after the other. tiles: parts that a picture
    was looked at in; found: boxes per picture at the model's confidence.
    """

    engine: str
    model: str
    width_px: int
    height_px: int
    threads: int
    frames: int
    tiles: int
    found: float
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


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over: what `cost_of` makes a Cost of. times_ms: by stage, one for each frame."""

    engine: str
    model: str
    threads: int
    tiles: int
    boxes: int
    load_s: float
    first_ms: float
    times_ms: dict[str, list[float]]
    wall_s: float
    cpu_s: float
    before_mb: float


def cost_of(run: Run, frames: Sequence[Frame]) -> Cost:
    """The record of a run that has just ended in this process."""
    whole = np.sum(list(run.times_ms.values()), axis=0)
    count = len(whole)
    return Cost(
        engine=run.engine,
        model=run.model,
        width_px=frames[0].width_px,
        height_px=frames[0].height_px,
        threads=run.threads,
        frames=count,
        tiles=run.tiles,
        found=run.boxes / count,
        load_s=run.load_s,
        first_ms=run.first_ms,
        p50_ms={stage: float(np.median(values)) for stage, values in run.times_ms.items()},
        p95_ms={stage: float(np.percentile(values, 95)) for stage, values in run.times_ms.items()},
        frame_p50_ms=float(np.median(whole)),
        frame_p95_ms=float(np.percentile(whole, 95)),
        frames_per_s=count / run.wall_s,
        cpu_frame_ms=run.cpu_s / count * 1e3,
        memory_mb=resident_mb() - run.before_mb,
        peak_mb=_peak_mb(),
    )


def generated(width_px: int, height_px: int, modality: str, count: int = 4) -> list[Frame]:
    """Frames like open ground, the same every time: in degrees at night, or in colour ("rgb") by day."""
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
        if modality == "rgb":
            shades = [(pixels * factor + 40.0).clip(0, 255) for factor in (5.0, 9.0, 7.0)]
            colour = np.stack(shades, axis=2).astype(np.uint8)
            frames.append(Frame("generated", None, number, float(number), colour, PixelKind.BGR8))
        else:
            degrees = pixels.astype(np.float32)
            frames.append(Frame("generated", None, number, float(number), degrees, PixelKind.CELSIUS))
    return frames


def own(folder: Path, modality: str) -> list[Frame]:
    """The first pictures of a folder, taken for what the model is for. PictureError where there are none for it."""
    files = find_files([folder], PICTURES).files
    if not files:
        raise PictureError(f"{folder}: videos only; the bench wants pictures")
    options = StillOptions(modality=Modality.RGB if modality == "rgb" else Modality.THERMAL)
    frames = [read_still(path, options).frame for path in files[:_MOST_PICTURES]]
    for path, frame in zip(files, frames, strict=False):
        if modality == "rgb" and frame.kind is not PixelKind.BGR8:
            raise PictureError(f"{path}: it measures heat, and the model is for colour pictures")
        if frame.pixels.shape[:2] != frames[0].pixels.shape[:2]:
            raise PictureError(
                f"{path}: {frame.width_px} x {frame.height_px} pixels, and {files[0].name} has {frames[0].width_px} x "
                f"{frames[0].height_px}; the bench wants pictures of one size"
            )
    return frames


def resident_mb() -> float:
    """What this process has in memory now; its peak where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return _peak_mb()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)
