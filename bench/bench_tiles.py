# SPDX-License-Identifier: AGPL-3.0-or-later
"""1080p pictures in tiles: ours against SAHI with ultralytics on the same weights, by time, CPU time and recall.

`python bench/bench_tiles.py --data DIR --model X.onnx [--peer PYTHON --peer-model X] [--rounds N] [--json FILE]`.
Pictures are mosaics of labelled ones, six to a frame, so that both sides are judged on the same people: thermal ones
($DRONECTL_DATA/thermal_drone), or with `--pictures` those of a YOLO folder of one's own, in colour for a model for colour.
Slices are of one size, confidence is the same; SAHI overlaps by its usual 20 %, we by 10 % or more and merge what seams
cut. The two take turns picture by picture. The peer computes a .pt by PyTorch, an .onnx by ONNX Runtime.
PYTHON is the interpreter of an environment with sahi and ultralytics; without it ours is measured alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from vision.engines import load_engine
from vision.evaluate import Seen, figures, pair_up
from vision.frame import Frame, PixelKind
from vision.model_card import read_card
from vision.sighting import Kind
from vision.tiled import TiledDetector
from vision.tiles import TileSettings
from vision.train.evaluate import Picture
from vision.train.labels import read_labels
from vision.yolo import YoloDetector

CONFIDENCE, OVERLAP, THREADS = 0.25, 0.2, 2
WIDTH, HEIGHT = 1920, 1080


def mosaics(folder: Path, count: int, *, colour: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """(1080 x 1920 grey or colour, rows of person 0 or vehicle 1 and corners): six pictures each, reduced where they must."""
    pairs = pair_up(folder, None)
    rng = np.random.default_rng(5)
    how = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    made = []
    for _ in range(count):
        truth = []
        canvas = np.zeros((1024, WIDTH, 3) if colour else (1024, WIDTH), np.uint8)
        for cell, index in enumerate(rng.choice(len(pairs), 6, replace=False)):
            picture = cv2.imread(str(pairs[index].picture), how)
            factor = min(1.0, 640 / picture.shape[1], 512 / picture.shape[0])
            if factor < 1.0:
                picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            rows, columns = picture.shape[:2]
            x, y = cell % 3 * 640, cell // 3 * 512
            canvas[y : y + rows, x : x + columns] = picture
            boxes = read_labels(pairs[index].labels, 4, columns, rows)
            truth += [(min(b[0], 1.0), b[1] + x, b[2] + y, b[3] + x, b[4] + y) for b in boxes]
        # below it plain grey of the mean: mirrored people would be people without labels
        below = np.full((HEIGHT - 1024, *canvas.shape[1:]), int(canvas.mean()), np.uint8)
        made.append((np.concatenate([canvas, below]), np.array(truth).reshape(-1, 5)))
    return made


class Ours:
    """Our tiles, engine and decoding."""

    def __init__(self, model: Path, settings: TileSettings) -> None:
        cv2.setNumThreads(1)
        engine = load_engine(model, None, THREADS)
        self.name = engine.name
        self._tiled = TiledDetector(YoloDetector(engine, read_card(model), CONFIDENCE), engine.input_size, settings)
        self.side = engine.input_size[0]

    def look(self, picture: np.ndarray, number: int) -> dict[str, Any]:
        kind = PixelKind.GREY8 if picture.ndim == 2 else PixelKind.BGR8
        began, began_cpu = time.perf_counter(), time.process_time()
        found = self._tiled.detect(Frame("bench", None, number, float(number), picture, kind), None)
        took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        boxes = [
            [0 if d.kind is Kind.PERSON else 1, d.confidence, d.left_px, d.top_px, d.right_px, d.bottom_px]
            for d in found
        ]
        return {"s": took, "cpu_s": cpu, "boxes": boxes, "tiles": self._tiled.last.tiles}


class Peer:
    """SAHI in its own interpreter."""

    def __init__(self, python: str, model: Path, side: int, classes: int) -> None:
        script = Path(__file__).with_name("peer_sahi.py")
        self._child = subprocess.Popen(
            [python, str(script), str(model), str(side), str(OVERLAP), str(CONFIDENCE), str(THREADS),
             str(classes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
            # it neither fetches packages nor talks on standard output
            env=os.environ | {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"},
        )  # fmt: skip
        self.name = self._answer()["versions"]

    def _answer(self) -> dict[str, Any]:
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit("the peer ended: is sahi with ultralytics in that environment?")
        return json.loads(line)

    def look(self, path: Path) -> dict[str, Any]:
        self._child.stdin.write(f"{path}\n")
        self._child.stdin.flush()
        answer = self._answer()
        answer["boxes"] = [[min(b[0], 1), *b[1:]] for b in answer["boxes"]]
        return answer

    def close(self) -> None:
        self._child.stdin.close()
        self._child.wait(timeout=30)


def summary(answers: list[dict[str, Any]], truths: list[np.ndarray]) -> dict[str, Any]:
    seen = [Seen("", str(i), Picture(t, a["boxes"])) for i, (a, t) in enumerate(zip(answers, truths, strict=True))]
    people, vehicles = (figures(seen, number, CONFIDENCE, resamples=1) for number in (0, 1))
    return {
        "p50_ms": float(np.median([a["s"] for a in answers]) * 1e3),
        "least_ms": float(min(a["s"] for a in answers) * 1e3),
        "mean_ms": float(np.mean([a["s"] for a in answers]) * 1e3),
        "cpu_mean_ms": float(np.mean([a["cpu_s"] for a in answers]) * 1e3),
        "person_recall": people.recall,
        "person_precision": people.precision,
        "vehicle_recall": vehicles.recall,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("DRONECTL_DATA"))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--peer", help="interpreter with sahi and ultralytics")
    parser.add_argument("--peer-model", type=Path, help="the same weights, .pt or .onnx")
    parser.add_argument("--pictures", type=Path, help="labelled pictures of one's own: class 0 people, others vehicles")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if (given.data is None and given.pictures is None) or (given.peer is not None and given.peer_model is None):
        parser.error("--data (or $DRONECTL_DATA) or --pictures is needed, and --peer-model with --peer")
    card = read_card(given.model)
    colour = card.modality == "rgb"
    if colour and given.pictures is None:
        parser.error(f"{given.model} is for colour pictures: state labelled ones with --pictures")
    everything = mosaics(given.pictures or Path(given.data) / "thermal_drone", given.rounds + 2, colour=colour)
    ours = Ours(given.model, TileSettings())
    few = Ours(given.model, TileSettings(per_frame=3))
    peer = None if given.peer is None else Peer(given.peer, given.peer_model, ours.side, len(card.classes))
    answers: dict[str, list[dict[str, Any]]] = {"ours": [], "ours, 3 tiles a frame": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        for number, (picture, _truth) in enumerate(everything):
            path = Path(folder) / f"{number}.png"
            cv2.imwrite(str(path), picture)
            answers["ours"].append(ours.look(picture, number))
            answers["ours, 3 tiles a frame"].append(few.look(picture, number))
            if peer is not None:
                answers["peer"].append(peer.look(path))
    if peer is not None:
        peer.close()
    truths = [truth for _, truth in everything][2:]
    result: dict[str, Any] = {n: summary(a[2:], truths) for n, a in answers.items() if a}  # two to warm up
    result |= {"tiles": answers["ours"][-1]["tiles"], "engine": ours.name, "peer_versions": peer.name if peer else None}
    result |= {"load_average": os.getloadavg()[0], "threads": THREADS, "frames": given.rounds}
    for name in answers:
        if name in result:
            print(name, {k: None if v is None else round(v, 3) for k, v in result[name].items()})
    if peer is not None:
        result["speed_ratio"] = result["peer"]["p50_ms"] / result["ours"]["p50_ms"]
        result["cpu_ratio"] = result["peer"]["cpu_mean_ms"] / result["ours"]["cpu_mean_ms"]
        print(f"{peer.name} against {ours.name}, {result['tiles']} tiles of {WIDTH} x {HEIGHT}:")
        result["least_ratio"] = result["peer"]["least_ms"] / result["ours"]["least_ms"]
        print(f"ours is {result['speed_ratio']:.2f} times as fast, with 1/{result['cpu_ratio']:.2f} of the CPU time")
        print(
            f"by the quickest picture of each, which other loads disturb least: {result['least_ratio']:.2f} times as fast"
        )
    print(f"load average {result['load_average']:.1f}")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
