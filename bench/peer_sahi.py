# SPDX-License-Identifier: AGPL-3.0-or-later
"""The other side of bench_tiles.py: SAHI with ultralytics, in an environment of its own.

Reads one picture's path per line, answers with one JSON line: seconds by the clock, CPU seconds, boxes of class, score
and corners. Imports nothing of ours.
"""

from __future__ import annotations

import importlib
import json
import os
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
    onnx = model.endswith(".onnx")
    if onnx and hasattr(os, "sched_setaffinity"):  # ultralytics gives ONNX Runtime all cores that it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    cv2.setNumThreads(1)
    detector = AutoDetectionModel.from_pretrained(
        model_type="ultralytics", model_path=model, confidence_threshold=confidence, device="cpu", image_size=side,
        task="detect", category_mapping={str(i): str(i) for i in range(int(sys.argv[6]))},
    )  # fmt: skip
    said = sys.stdout
    sys.stdout = sys.stderr  # libraries talk on standard output
    backend = importlib.import_module("onnxruntime") if onnx else torch
    versions = (
        f"sahi {sahi.__version__}, ultralytics {ultralytics.__version__}, {backend.__name__} {backend.__version__}"
    )
    said.write(json.dumps({"versions": versions}) + "\n")
    said.flush()
    for line in sys.stdin:
        picture = cv2.cvtColor(cv2.imread(line.strip()), cv2.COLOR_BGR2RGB)
        began, began_cpu = time.perf_counter(), time.process_time()
        result = get_sliced_prediction(
            picture, detector, slice_height=side, slice_width=side, overlap_height_ratio=overlap,
            overlap_width_ratio=overlap, perform_standard_pred=False, verbose=0,
        )  # fmt: skip
        took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        if not onnx:  # ultralytics takes it down to a thread less than there are cores at its first look;
            torch.set_num_threads(threads)  # beside ONNX Runtime it is well there: the two would fight for the cores
        boxes = [[p.category.id, float(p.score.value), *p.bbox.to_xyxy()] for p in result.object_prediction_list]
        said.write(json.dumps({"s": took, "cpu_s": cpu, "boxes": boxes}) + "\n")
        said.flush()


if __name__ == "__main__":
    main()
