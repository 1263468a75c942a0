# SPDX-License-Identifier: AGPL-3.0-or-later
"""Many fixed cameras on one machine: how many get their look every ten seconds, and what a look costs.

`python bench/bench_cameras.py [--cameras 380] [--seconds 60] [--moving .1] [--no-gate] [--video FILE] [--json FILE]`.
A process on loopback plays the cameras: motion JPEG over HTTP (640 x 512), or FILE (any codec that the decoder reads) from
its first byte for every visitor. Some cameras show something new at every visit, the others the same scene with noise.
The pipeline is the service's: visits, change gate, fair shares, the shipped thermal network, tracks. CPU time is what
counts on a machine that does other things too: `fits` is how many cameras two cores could serve by it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from missions.model import Camera, Modality
from vision.change import ChangeSettings
from vision.eye_types import UNCHANGED, EyeSettings
from vision.model_card import DEFAULT_MODEL
from vision.pipeline import Feed, VisionPipeline
from vision.thermal import HotSpotDetector
from vision.yolo import load_yolo

EVERY_S, CORES, WIDTH, HEIGHT = 10.0, 2, 640, 512
SCENES, NOISES = 24, 4


def pictures() -> list[list[list[bytes]]]:
    """[scene][where a thing stands][noise]: JPEGs."""
    made = []
    for scene in range(SCENES):
        rng = np.random.default_rng(scene)
        coarse = rng.normal(90, 25, (32, 40)).astype(np.float32)
        ground = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        places = []
        for place in range(6):
            picture = ground.copy()
            if place:
                cv2.ellipse(picture, (90 * place, 250), (5, 12), 20, 0, 360, 220, -1)
            noisy = [np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8) for _ in range(NOISES)]
            places.append([cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes() for p in noisy])
        made.append(places)
    return made


async def serve(moving: float, video: Path | None) -> None:
    """Play the cameras until the input ends; the port goes to standard output."""
    shown = [] if video is not None else pictures()
    data = b"" if video is None else await asyncio.to_thread(video.read_bytes)
    visits: dict[int, int] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            number = int((await reader.readuntil(b"\r\n\r\n")).split()[1].rsplit(b"/", 1)[1])
            if video is not None:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
                for start in range(0, len(data), 1 << 16):
                    writer.write(data[start : start + (1 << 16)])
                    await writer.drain()
                return
            visits[number] = visits.get(number, 0) + 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
            place = visits[number] % 6 if number % 1000 < 1000 * moving else 0
            while True:
                picture = shown[number % SCENES][place][visits[number] % NOISES]
                writer.write(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


def cpu_of(pid: int) -> float:
    """CPU seconds of another process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """The most memory that a process has had, MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


async def watch(port: int, given: argparse.Namespace) -> dict[str, Any]:
    """Run the pipeline over the cameras; counts begin when all had time for their first visit."""
    numbers = np.random.default_rng(3).permutation(1000)[: given.cameras]
    feeds = [
        Feed(
            Camera(f"mast-{n}", Modality.THERMAL, WIDTH, HEIGHT, 700.0, 700.0, 319.5, 255.5), None,
            address=f"http://127.0.0.1:{port}/{n}", every_s=EVERY_S,
        )
        for n in map(int, numbers)
    ]  # fmt: skip
    always = EyeSettings(change=ChangeSettings(full_every=1))
    pipeline = VisionPipeline(
        feeds, load_yolo(DEFAULT_MODEL, threads=CORES, for_tracking=True), HotSpotDetector(), None, None, "bench",
        lambda _sighting: None, settings=always if given.no_gate else None,
    )  # fmt: skip
    task = asyncio.create_task(pipeline.run())
    await asyncio.sleep(2 * EVERY_S)

    def now() -> dict[str, float]:
        reports = pipeline.reports()
        child = pipeline.sampler.process_id
        return {
            "full": sum(r.looked_at for r in reports),
            "unchanged": sum(r.not_looked_at.get(UNCHANGED, 0) for r in reports),
            "received": sum(r.received for r in reports),
            "failed": sum(r.bad_streams for r in reports),
            "cpu_s": time.process_time(),
            "child_cpu_s": 0.0 if child is None else cpu_of(child),
            "at_s": time.monotonic(),
        }

    before = now()
    attended = {r.camera_id: r.looked_at + r.not_looked_at.get(UNCHANGED, 0) for r in pipeline.reports()}
    await asyncio.sleep(given.seconds)
    after = now()
    served = sum(
        r.looked_at + r.not_looked_at.get(UNCHANGED, 0) - attended[r.camera_id] >= int(given.seconds / EVERY_S)
        for r in pipeline.reports()
    )
    child = pipeline.sampler.process_id
    memory_mb = peak_mb(os.getpid()) + (0.0 if child is None else peak_mb(child))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    d = {key: after[key] - before[key] for key in after}
    done = max(1.0, d["full"] + d["unchanged"])
    due = given.cameras * d["at_s"] / EVERY_S
    cpu_s = (d["cpu_s"] + d["child_cpu_s"]) / done
    return {
        "cameras": given.cameras,
        "share": min(1.0, done / due),
        "cameras_with_all_their_looks": served,
        "full_looks": d["full"],
        "unchanged": d["unchanged"],
        "failed": d["failed"],
        "visit_cpu_ms": d["child_cpu_s"] / max(1.0, d["received"]) * 1e3,
        "look_cpu_ms": d["cpu_s"] / done * 1e3,
        "cores_used": (d["cpu_s"] + d["child_cpu_s"]) / d["at_s"],
        "fits": int(CORES * EVERY_S / cpu_s),
        "memory_mb": memory_mb,
        "load_average": os.getloadavg()[0],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, choices=range(1, 1001), metavar="1..1000", default=380)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--moving", type=float, default=0.1, help="share of cameras with something new at every visit")
    parser.add_argument("--no-gate", action="store_true", help="the network looks at every picture")
    parser.add_argument("--video", type=Path, help="a recording that every camera plays, instead of motion JPEG")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    if given.serve:
        asyncio.run(serve(given.moving, given.video))
        return 0
    orders = [sys.executable, __file__, "--serve", "--moving", str(given.moving)]
    orders += [] if given.video is None else ["--video", str(given.video)]
    with subprocess.Popen(orders, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as cameras:
        if cameras.stdin is None or cameras.stdout is None:
            raise SystemExit("the cameras have no pipes")
        port = int(cameras.stdout.readline())
        before = cpu_of(cameras.pid)
        result = asyncio.run(watch(port, given))
        result["cameras_own_cores"] = (cpu_of(cameras.pid) - before) / (given.seconds + 2 * EVERY_S)
        cameras.stdin.close()
    print({key: round(value, 3) for key, value in result.items()})
    print(
        f"{result['share']:.0%} of the looks that were due; {result['cameras_with_all_their_looks']} of {given.cameras} "
        f"cameras had all of theirs; by CPU time two cores serve {result['fits']} cameras (goal 380)"
    )
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
