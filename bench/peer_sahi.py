# SPDX-License-Identifier: AGPL-3.0-or-later
"""The other side of bench_tiles.py: SAHI with ultralytics, in an environment of its own.

Reads one picture's path per line, answers with one JSON line: seconds by the clock, CPU seconds, boxes of class, score
and corners. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import sahi
import torch
import ultralytics
from sahi import AutoDetectionModel
from sahi.predict import get_sliced_prediction


def main() -> None:
    model, side, overlap, confidence, threads = (
        sys.argv[1],
        int(sys.argv[2]),
        *map(float, sys.argv[3:5]),
        int(sys.argv[5]),
    )
    cv2.setNumThreads(1)
    detector = AutoDetectionModel.from_pretrained(
        model_type="ultralytics", model_path=model, confidence_threshold=confidence, device="cpu", image_size=side
    )
    said = sys.stdout
    sys.stdout = sys.stderr  # libraries talk on standard output
    versions = f"sahi {sahi.__version__}, ultralytics {ultralytics.__version__}, torch {torch.__version__}"
    said.write(json.dumps({"versions": versions}) + "\n")
    said.flush()
    for line in sys.stdin:
        picture = cv2.cvtColor(cv2.imread(line.strip()), cv2.COLOR_BGR2RGB)
        began, began_cpu = time.perf_counter(), time.process_time()
        result = get_sliced_prediction(
            picture, detector, slice_height=side, slice_width=side, overlap_height_ratio=overlap,
            overlap_width_ratio=overlap, perform_standard_pred=False, verbose=0,
        )  # fmt: skip
        torch.set_num_threads(
            threads
        )  # ultralytics takes it down to a thread less than there are cores at its first look
        took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        boxes = [[p.category.id, float(p.score.value), *p.bbox.to_xyxy()] for p in result.object_prediction_list]
        said.write(json.dumps({"s": took, "cpu_s": cpu, "boxes": boxes}) + "\n")
        said.flush()


if __name__ == "__main__":
    main()
