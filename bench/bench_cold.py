# SPDX-License-Identifier: AGPL-3.0-or-later
"""Single cold thermal frames without buildings: what `dronectl detect` finds by default, and what it takes for somebody.

    python bench/bench_cold.py --frames 200 --json out.json

Frames are those of `bench/cold_scenes.py`, each with its ground sample distance and without. A find counts when its
centre lies in the square round the person, widened by 4 px. Every other find is false, vehicles too, and so is a second
one on the same person; finds on animals are counted apart, finds on somebody who is cut off, hidden or below 6 px not.
`--before` judges as versions before 0.2 did: the learned detector's confidence, and hot spots far above the noise.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
from cold_scenes import Scene, scene

from vision.lookers import Lookers
from vision.model_card import DEFAULT_MODEL, read_card
from vision.prepare import to_grey
from vision.single import SingleLook
from vision.thermal import HotSpotDetector, HotSpotSettings
from vision.unite import Observation, unite
from vision.yolo import load_yolo

SIZES = (6, 10, 16, 24, 40, 1000)


def main() -> int:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--first", type=int, default=70_000, help="first seed")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--before", action="store_true", help="judge as versions before 0.2 did")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of what was missed or false")
    args = parser.parse_args()
    learned = Lookers(load_yolo(args.model))
    single, spots = SingleLook(learned), HotSpotDetector(HotSpotSettings(sigma=11.0))
    report: dict[str, dict[str, object]] = {}
    counts = {"with scale": Counter[str](), "without scale": Counter[str]()}
    for seed in range(args.first, args.first + args.frames):
        made = scene(seed)
        for mode, count in counts.items():
            gsd = made.gsd_m if mode == "with scale" else None
            if args.before:
                things = unite(learned.look(made.frame, gsd).found + spots.detect(made.frame, gsd))
            else:
                things = single.look(made.frame, gsd)[1]
            if not judge(made, things, count) and args.pictures:
                draw(made, things, args.pictures / f"{mode.split()[0]}-{seed}.png")
    for mode, count in counts.items():
        report[mode] = figures(count)
        print(f"{mode}: {json.dumps(report[mode])}")
    report["cost"] = {"cpu_s": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1)}
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def judge(made: Scene, things: list[Observation], count: Counter[str]) -> bool:
    """Count what was found in one frame; whether all was right."""
    left = list(things)
    right = True
    for place in made.places:
        here = [t for t in left if place.holds(t.centre_px)]
        left = [t for t in left if t not in here]
        if place.kind == "person":
            size = next(low for low, high in pairwise(SIZES) if place.longest_px < high)
            count.update(["people", f"of {size}", f"of {place.posture}", f"of {made.file}"])
            if here:
                count.update(["found", f"found {size}", f"found {place.posture}", f"found {made.file}"])
            count["false"] += max(0, len(here) - 1)
            right = right and len(here) == 1
        elif place.kind == "animal":
            count["on_animals"] += len(here)
    count["false"] += len(left)
    count["frames"] += 1
    count["frames with false"] += bool(left)
    return right and not left


def figures(count: Counter[str]) -> dict[str, object]:
    """The figures of a mode."""
    groups = {key[3:]: round(count[f"found {key[3:]}"] / n, 3) for key, n in count.items() if key.startswith("of ")}
    sizes = {f"from {low} px": groups.pop(str(low)) for low in SIZES if str(low) in groups}
    return {
        "frames": count["frames"],
        "people": count["people"],
        "recall": round(count["found"] / max(count["people"], 1), 4),
        "false_per_frame": round(count["false"] / count["frames"], 4),
        "frames_with_false": round(count["frames with false"] / count["frames"], 4),
        "on_animals_per_frame": round(count["on_animals"] / count["frames"], 4),
        "recall_by_size": sizes,
        "recall_by_posture_and_file": dict(sorted(groups.items())),
    }


def draw(made: Scene, things: list[Observation], path: Path) -> None:
    """The frame, people green, animals blue, finds red."""
    path.parent.mkdir(exist_ok=True, parents=True)
    shown = cv2.cvtColor(to_grey(made.frame, read_card(DEFAULT_MODEL)), cv2.COLOR_GRAY2BGR)
    for place in made.places:
        colour = {"person": (0, 200, 0), "animal": (200, 120, 0)}.get(place.kind, (0, 200, 200))
        left, top, right, bottom = (round(v) for v in place.box)
        cv2.rectangle(shown, (left, top), (right, bottom), colour, 1)
    for thing in things:
        cv2.circle(shown, (round(thing.centre_px[0]), round(thing.centre_px[1])), 12, (0, 0, 255), 1)
    cv2.imwrite(str(path), shown)


if __name__ == "__main__":
    sys.exit(main())
