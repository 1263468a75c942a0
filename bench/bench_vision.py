# SPDX-License-Identifier: AGPL-3.0-or-later
"""What seeing costs: raw inference against the whole pipeline, and the engines beside each other.

`python bench/bench_vision.py [--frames N] [--json FILE]`, or `--start N` for the time from the start of a process to its
first detection. All variants take turns in one run, so that another load on the machine hits them alike; ratios are the
figures to compare, absolute times go with the load average and the time of a calibration loop.

Raw inference is the better, by the clock, of one request on both cores after the other and of two streams with a core
each. A turn is 100 frames without a pause, as a camera sends them, and ends when the last frame's sightings are there.
Turns in which other processes took more than 3 % of the two cores are left aside, as long as three are left.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from missions.terrain import FlatTerrain
from tests.vision_scene import CAMERA, GROUND_AMSL_M, ORIGIN, Flight, Thing
from vision.engines import Engine, Tensor, installed_engines, load_engine
from vision.errors import EngineUnusableError
from vision.evidence import EvidenceStore
from vision.eye import CameraEye
from vision.eye_types import Glance, Outcome
from vision.frame import Frame, PixelKind
from vision.geolocate import Locator
from vision.model_card import DEFAULT_MODEL
from vision.pose import camera_pose
from vision.thermal import HotSpotDetector
from vision.yolo import load_yolo, looks_at_once

THREADS, BLOCK = 2, 100
PAUSE_S = 0.3  # between two turns: the engine forgets that pictures came at once
OTHERS = 0.03
THINGS = [
    Thing(-8.0, 0.0, "person"), Thing(6.0, 20.0, "person"), Thing(3.0, 45.0, "rock"), Thing(-12.0, 60.0, "rock"),
    Thing(9.0, 80.0, "fire"), Thing(-3.0, 110.0, "person"),
]  # fmt: skip


def frames(count: int) -> list[Frame]:
    """One camera's flight over people, rocks and a fire, with poses."""
    flight = Flight(THINGS, speed_m_s=160.0 / count)
    made = []
    for k in range(count):
        pose = camera_pose(CAMERA, flight.telemetry(float(k)))
        made.append(Frame("d1-thermal", "d1", k, float(k), flight.render(float(k)), PixelKind.CELSIUS, CAMERA, pose))
    return made


def calibration_ms() -> float:
    """A fixed piece of single-threaded arithmetic: what this machine does with it now."""
    rng = np.random.default_rng(1).random((256, 256))
    began = time.perf_counter()
    for _ in range(20):
        np.sort(rng, axis=1)
    return (time.perf_counter() - began) * 1e3


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds per frame by the clock and of the process's CPU, and the share of the cores that others took."""

    clock_s: float
    cpu_s: float
    others: float


def busy_s() -> float | None:
    """Seconds that all processes together have used of all cores since the start, the hypervisor's included."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(field) for field in fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def turn(work: Callable[[], None]) -> Turn:
    """What work on BLOCK frames costs."""
    time.sleep(PAUSE_S)
    busy, cpu, clock = busy_s(), time.process_time(), time.perf_counter()
    work()
    clock_s, cpu_s = time.perf_counter() - clock, time.process_time() - cpu
    after = busy_s()
    others = 0.0 if busy is None or after is None else (after - busy - cpu_s) / (clock_s * THREADS)
    return Turn(clock_s / BLOCK, cpu_s / BLOCK, others)


class Whole:
    """One camera's eye in the threads of the pipeline: frames are judged in order while the next ones are seen."""

    def __init__(self, folder: Path) -> None:
        learned = load_yolo(DEFAULT_MODEL, threads=THREADS)
        self._at_once = looks_at_once([learned])
        self._seeing = ThreadPoolExecutor(self._at_once)
        self._beside, self._judging = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._eye = CameraEye(
            CAMERA, "d1", learned, HotSpotDetector(), Locator(FlatTerrain(GROUND_AMSL_M, vertical_error_m=2.0), ORIGIN),
            EvidenceStore(folder), "bench", beside=self._beside,
        )  # fmt: skip
        self._before: Future[Outcome] | None = None
        self.told = 0

    def look(self, some: list[Frame]) -> None:
        """Look at frames, from the first to the last one's sightings."""
        seen: deque[Future[Glance]] = deque()
        for frame in some:
            if len(seen) == self._at_once:
                self._judge(seen.popleft())
            seen.append(self._seeing.submit(self._eye.see, frame))
        while seen:
            self._judge(seen.popleft())
        self._judged()

    def _judge(self, seen: Future[Glance]) -> None:
        glance = seen.result()
        self._judged()
        self._before = self._judging.submit(self._eye.judge, glance)

    def _judged(self) -> None:
        if self._before is not None:
            self.told += len(self._before.result().sightings)
        self._before = None


def in_streams(engine: Engine, tensor: Tensor, pool: ThreadPoolExecutor) -> None:
    """BLOCK inferences by as many threads as the engine takes at once."""
    for done in [pool.submit(engine.run, tensor) for _ in range(BLOCK)]:
        done.result()


def one_by_one(engine: Engine, tensor: Tensor) -> None:
    """BLOCK inferences, each by all threads of the engine."""
    for _ in range(BLOCK):
        engine.run(tensor)


def whole_against_raw(count: int, folder: Path) -> dict[str, float]:
    """The engine alone on a ready tensor, and the whole (preparation to evidence), in turns of BLOCK frames.

    Ratios are medians over neighbouring turns: another load on the machine hits them alike.
    """
    cv2.setNumThreads(1)
    engine = load_engine(DEFAULT_MODEL, threads=THREADS)
    height, width = engine.input_size
    tensor = np.random.default_rng(2).random((1, 3, height, width), dtype=np.float32)
    whole, pool = Whole(folder), ThreadPoolExecutor(engine.at_once)
    flight = frames(count + BLOCK)
    engine.run(tensor)
    in_streams(engine, tensor, pool)
    whole.look(flight[:BLOCK])  # caches and lazy libraries
    turns = [
        (
            turn(lambda: one_by_one(engine, tensor)),
            turn(lambda: in_streams(engine, tensor, pool)),
            turn(lambda some=flight[start : start + BLOCK]: whole.look(some)),
        )
        for start in range(BLOCK, count + 1, BLOCK)
    ]
    quiet = [three for three in turns if max(t.others for t in three) <= OTHERS]
    used = quiet if len(quiet) >= 3 else turns
    one, streams, wholes = zip(*used, strict=True)
    raw = min(one, streams, key=lambda of: np.median([t.clock_s for t in of]))
    return {
        "raw_one_by_one_ms": _median_ms(t.clock_s for t in one),
        "raw_in_streams_ms": _median_ms(t.clock_s for t in streams),
        "whole_ms": _median_ms(t.clock_s for t in wholes),
        "beyond_raw": _beyond([t.clock_s for t in wholes], [t.clock_s for t in raw]),
        "raw_cpu_ms": _median_ms(t.cpu_s for t in raw),
        "whole_cpu_ms": _median_ms(t.cpu_s for t in wholes),
        "beyond_raw_cpu": _beyond([t.cpu_s for t in wholes], [t.cpu_s for t in raw]),
        "frames_per_s": float(1.0 / np.median([t.clock_s for t in wholes])),
        "frames_per_s_of_cpu": float(THREADS / np.median([t.cpu_s for t in wholes])),
        "turns": len(turns),
        "quiet_turns": len(quiet),
        "others": float(np.median([max(t.others for t in three) for three in used])),
        "sightings": whole.told,
    }


def _median_ms(seconds: Iterable[float]) -> float:
    return float(np.median(list(seconds)) * 1e3)


def _beyond(whole: list[float], raw: list[float]) -> float:
    return float(np.median(np.array(whole) / np.array(raw)) - 1.0)


def first_look() -> int:
    """What a fresh process does until its first detection; it says so on standard output."""
    cv2.setNumThreads(1)
    eye = CameraEye(CAMERA, "d1", load_yolo(DEFAULT_MODEL, threads=THREADS, for_tracking=True), HotSpotDetector(), None,
                    None, "bench", gsd_m=60.0 / CAMERA.fx_px)  # fmt: skip
    flight = Flight([Thing(0.0, 0.0, "person")], start_north_m=0.0, speed_m_s=0.0)
    found = eye.look(Frame("d1-thermal", "d1", 0, 0.0, flight.render(0.0), PixelKind.CELSIUS, CAMERA))
    print(len(found.observations), time.process_time(), flush=True)
    return 0 if found.observations else 1


def cold_start(times: int) -> dict[str, list[float]]:
    """Seconds from the start of a process to its first detection, without compiled models and with them."""
    result: dict[str, list[float]] = {"without_s": [], "with_s": [], "without_cpu_s": [], "with_cpu_s": []}
    for _ in range(times):
        with tempfile.TemporaryDirectory() as cache:
            for name in ("without", "with"):
                began = time.perf_counter()
                answer = subprocess.run(
                    [sys.executable, __file__, "--first-look"], check=True, capture_output=True, encoding="utf-8",
                    env=os.environ | {"XDG_CACHE_HOME": cache},
                ).stdout.split()  # fmt: skip
                result[f"{name}_s"].append(time.perf_counter() - began)
                result[f"{name}_cpu_s"].append(float(answer[1]))
    return result


def engines_beside_each_other(count: int) -> dict[str, dict[str, float]]:
    """Per engine: median milliseconds for one inference, and its ratio to the first."""
    loaded = {}
    for name in installed_engines():
        if name == "ultralytics":
            continue
        try:
            loaded[name] = load_engine(DEFAULT_MODEL, name, THREADS)
        except EngineUnusableError as error:
            print(error)
    names = list(loaded)
    height, width = loaded[names[0]].input_size
    tensor = np.random.default_rng(3).random((1, 3, height, width), dtype=np.float32)
    times: dict[str, list[float]] = {n: [] for n in names}
    for k in range(count + 2):
        for name, engine in loaded.items():
            began = time.perf_counter()
            engine.run(tensor)
            if k >= 2:
                times[name].append(time.perf_counter() - began)
    first = np.median(times[names[0]])
    return {
        loaded[n].name: {"p50_ms": float(np.median(t) * 1e3), "ratio": float(np.median(t) / first)}
        for n, t in times.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=500, help="over 160 m, in turns of 100")
    parser.add_argument("--start", type=int, metavar="N", help="only: start N times to the first detection")
    parser.add_argument("--first-look", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.first_look:
        return first_look()
    before = calibration_ms()
    result: dict[str, Any] = {"threads": THREADS}
    if arguments.start is not None:
        result["start"] = start = cold_start(arguments.start)
        for name, goal in (("with", 2), ("without", 5)):
            wall, cpu = start[f"{name}_s"], start[f"{name}_cpu_s"]
            print(
                f"first detection {name} compiled models at hand: {np.median(wall):.2f} s ({min(wall):.2f} to "
                f"{max(wall):.2f}; CPU {np.median(cpu):.2f} s; goal {goal} s)"
            )
    else:
        with tempfile.TemporaryDirectory() as folder:
            result["pipeline"] = pipeline = whole_against_raw(arguments.frames, Path(folder))
        result["engines"] = engines_beside_each_other(max(5, arguments.frames // 4))
        print(
            f"raw inference: {pipeline['raw_one_by_one_ms']:.1f} ms per frame one by one, "
            f"{pipeline['raw_in_streams_ms']:.1f} ms in {THREADS} streams; the better one counts"
        )
        print(
            f"pipeline beyond raw inference: {pipeline['beyond_raw']:.1%} by the clock ({pipeline['whole_ms']:.1f} ms), "
            f"{pipeline['beyond_raw_cpu']:.1%} of its CPU time ({pipeline['raw_cpu_ms']:.1f} and "
            f"{pipeline['whole_cpu_ms']:.1f} ms per frame); goal 15 %"
        )
        print(
            f"{pipeline['quiet_turns']} of {pipeline['turns']} turns undisturbed"
            + ("" if pipeline["quiet_turns"] >= 3 else ", so all were used, and what the clock says is worth nothing")
            + f"; others took {pipeline['others']:.1%} of the cores in those used"
        )
        print(
            f"{pipeline['frames_per_s']:.1f} frames/s here and now; {pipeline['frames_per_s_of_cpu']:.1f} by the CPU time "
            f"of {THREADS} cores; goal 20"
        )
        for name, figures in result["engines"].items():
            print(f"{name}: {figures['p50_ms']:.1f} ms, {figures['ratio']:.2f} of the first")
    result |= {"load_average": os.getloadavg()[0], "calibration_ms": [before, calibration_ms()]}
    print(f"load average {result['load_average']:.1f}, calibration {before:.1f} and {calibration_ms():.1f} ms")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
