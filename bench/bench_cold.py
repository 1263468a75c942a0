# SPDX-License-Identifier: AGPL-3.0-or-later
"""Single cold thermal frames without buildings: what `dronectl detect` finds by default, and what it takes for somebody.

    python bench/bench_cold.py --frames 60 --json out.json

Frames are rendered: cold ground with grass, scree, a stream and trees, one to three people standing, sitting, lying or
curled up, half of the frames with stones that are still a little warm, some with a deer. Each is judged as an 8-bit
picture stretched to its own percentiles, as files are, with its ground sample distance and without. A find counts when
its centre lies in the square round the person, widened by 4 px; every other find is false, except on an animal or on
somebody whom the picture's edge cuts.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path

import cv2
import numpy as np

from missions.geo import GeoPoint, LocalFrame
from missions.terrain import FlatTerrain
from sim.eyes.ground import GroundLook
from sim.eyes.optics import Lens, View, camera_axes
from sim.eyes.render import Renderer, Seen
from sim.eyes.world import Entity, TrueGround, World
from vision.frame import Frame, PixelKind
from vision.lookers import Lookers
from vision.model_card import DEFAULT_MODEL
from vision.thermal import HotSpotDetector, HotSpotSettings
from vision.unite import unite
from vision.yolo import load_yolo

HALF_M = 220.0
Place = tuple[str, tuple[float, float, float, float]]
POSTURES = ("standing", "sitting", "lying", "curled", "walking")


def cold_ground(rng: np.random.Generator) -> GroundLook:
    """Ground near freezing: broad slopes of temperature, tussocks, scree, a colder stream."""
    n = int(2 * HALF_M)
    temperature = np.full((n, n), rng.uniform(-8, 8), np.float32)
    for scale, sigma in ((150, 0.8), (30, 0.4), (6, 0.3), (2, 0.25)):
        noise = rng.standard_normal((max(2, n // scale), max(2, n // scale))).astype(np.float32)
        temperature += np.float32(sigma * rng.uniform(0.5, 1.5)) * cv2.resize(
            noise, (n, n), interpolation=cv2.INTER_CUBIC
        )
    stream = np.zeros((n, n), np.uint8)
    points = np.stack([np.linspace(0, n, 12), n / 2 + rng.normal(0, 60, 12)], axis=1).astype(np.int32)
    cv2.polylines(stream, [points], False, 255, int(rng.integers(2, 7)))
    temperature[stream > 0] -= np.float32(rng.uniform(-2.0, 1.5))
    fine = rng.standard_normal((256, 256)).astype(np.float32) * np.float32(rng.uniform(0.1, 0.4))
    colour = np.full((n, n, 3), 80, np.uint8)
    smooth = np.asarray(cv2.GaussianBlur(temperature, (0, 0), 0.7), dtype=np.float32)
    return GroundLook(HALF_M, 1.0, smooth, colour, np.tile(fine, (3, 3)))


def scene(seed: int) -> tuple[np.ndarray, list[Place], float]:
    """A frame in degrees Celsius, kind and box of what is in it, and its ground sample distance in metres."""
    rng = np.random.default_rng([seed, 1])
    frame = LocalFrame(GeoPoint(46.5, 9.8))
    ground = TrueGround(FlatTerrain(1800.0, "flat", 1.0, 1.0), frame, 0.0, seed, HALF_M)
    height = float(rng.uniform(25, 75))
    lens = Lens(640, 512, 757.8, 757.8, 320.0, 256.0, (0.0,) * 5)
    reach = 0.32 * 640 / 757.8 * height

    def entity(kind: str, number: int, posture: str, size: float, warmth: float) -> Entity:
        east, north = (float(v) for v in rng.uniform(-reach, reach, 2))
        cover = float(rng.choice([0.0, 0.0, 0.0, 0.3])) if kind == "person" else 0.0
        return Entity(
            f"{kind}-{number}", kind, posture, east, north, float(rng.uniform(0, 360)), size, warmth, cover, 0.0, seed
        )

    things = [
        entity("person", i, POSTURES[int(rng.integers(5))], float(rng.uniform(1.5, 1.9)), float(rng.uniform(5, 14)))
        for i in range(int(rng.integers(1, 4)))
    ]
    if rng.random() < 0.5:
        things += [
            entity("rock", i, "warm", float(rng.uniform(0.4, 2.5)), float(rng.uniform(0.3, 1.5)))
            for i in range(int(rng.integers(2, 7)))
        ]
    if rng.random() < 0.2:
        things.append(entity("animal", 0, "standing", float(rng.uniform(0.6, 1.1)), float(rng.uniform(5, 9))))
    stands = np.array([[*rng.uniform(-90, 90, 2), rng.uniform(1, 3), rng.uniform(3, 8)] for _ in range(30)])
    clear = [min(np.hypot(t[0] - e.east_m, t[1] - e.north_m) for e in things) > 7.0 for t in stands]
    trees = stands[clear][: int(rng.integers(0, 25))]
    world = World(frame, ground, tuple(things), trees.reshape(-1, 4), seed, night=True)
    axes = camera_axes(float(rng.uniform(0, 360)), float(rng.uniform(-90, -65)), 0.0)
    view = View(lens, np.array([0.0, 0.0, 1800.0 + height]), axes)
    picture, seen = Renderer(world, cold_ground(rng), seed).thermal(view, 0.0)
    return picture, places_of(view, seen), height / 757.8


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--first", type=int, default=7000, help="first seed")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of what was missed or false")
    args = parser.parse_args()
    learned, spots = Lookers(load_yolo(DEFAULT_MODEL)), HotSpotDetector(HotSpotSettings(sigma=11.0))  # as detect has it
    report: dict[str, dict[str, float]] = {}
    for mode in ("with scale", "without scale"):
        people = found = false = 0
        for seed in range(args.first, args.first + args.frames):
            celsius, places, gsd = scene(seed)
            low, high = np.percentile(celsius, (0.5, 99.95))
            grey = np.clip((celsius - low) * (255 / max(high - low, 1e-3)), 0, 255).astype(np.uint8)
            frame = Frame("cold", None, 0, 0.0, grey, PixelKind.GREY8)
            known = gsd if mode == "with scale" else None
            things = unite(learned.look(frame, known).found + spots.detect(frame, known))
            centres = [o.centre_px for o in things]
            hits = [any(_inside(c, box) for c in centres) for kind, box in places if kind == "person"]
            wrong = [c for c in centres if not any(_inside(c, box) for _, box in places)]
            people, found, false = people + len(hits), found + sum(hits), false + len(wrong)
            if args.pictures and (wrong or not all(hits)):
                args.pictures.mkdir(exist_ok=True, parents=True)
                shown = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
                for kind, (x0, y0, x1, y1) in places:
                    colour = (0, 200, 0) if kind == "person" else (200, 120, 0)
                    cv2.rectangle(shown, (int(x0), int(y0)), (int(x1), int(y1)), colour, 1)
                for o in things:
                    x, y = (round(v) for v in o.centre_px)
                    cv2.circle(shown, (x, y), 12, (0, 0, 255), 1)
                cv2.imwrite(str(args.pictures / f"{mode.split()[0]}-{seed}.png"), shown)
        report[mode] = {
            "frames": args.frames,
            "people": people,
            "recall": round(found / max(people, 1), 4),
            "false_per_frame": round(false / args.frames, 4),
        }
        print(f"{mode}: {report[mode]}")
    report["cost"] = {"cpu_s": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1)}
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def places_of(view: View, seen: list[Seen]) -> list[Place]:
    """Kind and box of what is alive; "cut off" for what the edge or its cover hides, which counts neither way."""
    out = []
    for s in seen:
        middle = 0.4 * s.entity.size_m if s.entity.posture in ("standing", "walking") else 0.2
        (x, y), depth = (v[0] for v in view.project(np.array([[s.east_m, s.north_m, 1800.0 + middle]])))
        if s.entity.kind in ("person", "animal") and depth > 0:
            half = max(s.width_px, s.height_px) / 2 + 4
            whole = s.visible_fraction >= 0.3 and 8 <= x <= 632 and 8 <= y <= 504
            kind = s.entity.kind if whole else "cut off"
            out.append((kind, (x - half, y - half, x + half, y + half)))
    return out


def _inside(point: tuple[float, float], box: tuple[float, float, float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


if __name__ == "__main__":
    sys.exit(main())
