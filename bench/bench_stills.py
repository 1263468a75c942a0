# SPDX-License-Identifier: AGPL-3.0-or-later
"""Thousands of stills: memory over the run, and pictures lost or done twice when the run is killed.

`python bench/bench_stills.py [--stills N] [--kills K] [--review] [--json FILE]`. A folder of generated thermal pictures
(some radiometric, some damaged) is looked through by `dronectl detect --out` in a process of its own, which is killed with
SIGKILL K times and started again. Memory is the process's resident set; its growth is a ratio of two moments of one run:
the largest of the last tenth over the largest of the second tenth. Ends with code 1 when a picture is lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from dronectl.operations.detect_journal import journal_path, read_journal

DISTINCT = 60
DAMAGED_EVERY = 500


def picture(seed: int) -> np.ndarray:
    """Ground in 8 bits, with warm spots of a person's size."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.normal(90, 8, (8, 10)).astype(np.float32), (640, 512), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 4))):
        at = (int(rng.integers(40, 600)), int(rng.integers(40, 470)))
        cv2.ellipse(ground, at, (4, 10), float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(180, 240)), -1)
    return np.clip(ground + rng.normal(0, 1.5, ground.shape), 0, 255).astype(np.uint8)


def radiometric(seed: int) -> bytes:
    """The same as a DJI R-JPEG: 16-bit values in APP3."""
    grey = picture(seed)
    kelvin = 273.15 + grey.astype(np.float64) / 6.0
    raw = (np.round(kelvin * 16).astype(np.uint16) << 2).astype("<u2").tobytes()
    model = b"M3T\0"
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 1, 0x0110, 2, len(model)) + model + bytes(4)
    segments = [(1, exif)] + [(3, raw[i : i + 60_000]) for i in range(0, len(raw), 60_000)]
    body = b"".join(bytes([0xFF, 0xE0 + n]) + struct.pack(">H", len(p) + 2) + p for n, p in segments)
    plain = cv2.imencode(".jpg", grey)[1].tobytes()
    return plain[:2] + body + plain[2:]


def make_folder(folder: Path, count: int) -> None:
    """Names for `count` stills over a few distinct files: hard links, so that the disk holds few."""
    base = folder.with_name("base")
    base.mkdir()
    for i in range(DISTINCT):
        data = radiometric(i) if i % 3 == 0 else cv2.imencode(".jpg", picture(i))[1].tobytes()
        (base / f"{i}.jpg").write_bytes(data)
    (base / "damaged.jpg").write_bytes((base / "0.jpg").read_bytes()[:300_000])
    for i in range(count):
        place = folder / f"{i // 1000:03d}MEDIA" / f"DJI_{i % 1000:04d}_T.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        of = "damaged" if i % DAMAGED_EVERY == DAMAGED_EVERY - 1 else str(i % DISTINCT)
        os.link(base / f"{of}.jpg", place)


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process; None when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith("VmRSS")), None)
    return None if line is None else int(line.split()[1]) / 1024.0


def done_count(out: Path) -> int:
    try:
        return len(read_journal(journal_path(out).read_bytes())[1].done)
    except OSError:
        return 0


def run(command: list[str], out: Path, total: int, kill_at: int | None) -> tuple[int, list[tuple[int, float]], float]:
    """(exit code, (files done, resident MB) samples, CPU seconds) of one run, killed when it has done `kill_at`."""
    samples: list[tuple[int, float]] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        cpu = 0.0
        while child.poll() is None:
            memory = resident_mb(child.pid)
            if memory is not None:
                done = done_count(out)
                samples.append((done, memory))
                times = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[-1].split()
                cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
                if kill_at is not None and done >= kill_at:
                    child.send_signal(signal.SIGKILL)
                    break
            if done_count(out) >= total:
                child.wait()
            time.sleep(0.5)
    return child.returncode, samples, cpu


def growth(samples: list[tuple[int, float]], start: int, total: int) -> float | None:
    """Largest memory of the last tenth over that of the second tenth; None for runs too short to say."""
    span = total - start
    early = [m for done, m in samples if start + 0.1 * span <= done <= start + 0.2 * span]
    late = [m for done, m in samples if done >= start + 0.9 * span]
    return max(late) / max(early) if early and late else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stills", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--review", action="store_true", help="with crops and a review page")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "stills", Path(name) / "out.jsonl"
        make_folder(folder, options.stills)
        command = [sys.executable, "-m", "dronectl", "detect", str(folder), "--out", str(out), "--gsd-cm", "8"]
        if options.review:
            command += ["--review", str(Path(name) / "review.html")]
        samples: list[tuple[int, float]] = []
        cpu, start, code = 0.0, 0, 0
        kills = [round(options.stills * 0.1 * (k + 1) / options.kills) for k in range(options.kills)]
        for kill_at in [*kills, None]:
            start = done_count(out)
            code, samples, used = run(command, out, options.stills, kill_at)
            cpu += used
        lines = [json.loads(line) for line in out.read_bytes().splitlines()]
        named = Counter(line["source"] for line in lines)
        wanted = {str(p) for p in folder.rglob("*.jpg")}
        errors = sum(line["type"] == "error" for line in lines)
    peak = max(m for _, m in samples)
    grown = growth(samples, start, options.stills)
    result = {
        "stills": options.stills,
        "kills": options.kills,
        "lost": len(wanted - set(named)),
        "twice": sum(count > 1 for count in named.values()),
        "damaged_named": errors,
        "damaged": options.stills // DAMAGED_EVERY,
        "exit_code": code,
        "peak_mb": round(peak, 1),
        "peak_over_600_mb": round(peak / 600.0, 3),
        "growth": None if grown is None else round(grown, 3),
        "cpu_s_per_still": round(cpu / options.stills, 4),
        "load_average": os.getloadavg()[0],
    }
    for key, value in result.items():
        print(f"{key:18} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    whole = not result["lost"] and not result["twice"] and errors == result["damaged"]
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
