# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model that ships, through the program's own preparation, engine and decoding, on real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vision.model_card import DEFAULT_MODEL
from vision.sighting import Kind
from vision.sources.stills import read_still
from vision.train.evaluate import Picture, evaluate_class
from vision.yolo import load_yolo

REQUIRED_AP50 = 0.5


def truth_boxes(label: Path, width: int, height: int) -> np.ndarray:
    rows = [[float(v) for v in line.split()] for line in label.read_text(encoding="utf-8").splitlines() if line.strip()]
    return np.array(
        [
            (0, (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            for number, x, y, w, h in rows
            if int(number) == 0
        ]
    ).reshape(-1, 5)


@pytest.mark.data
def test_people_in_real_thermal_pictures_are_found(data_dir: Path) -> None:
    detector = load_yolo(DEFAULT_MODEL, confidence=0.01)
    pictures = []
    for path in sorted((data_dir / "thermal_drone" / "images").glob("*.jpg")):
        frame = read_still(path).frame
        truth = truth_boxes(data_dir / "thermal_drone" / "labels" / f"{path.stem}.txt", frame.width_px, frame.height_px)
        found = [
            (0, d.confidence, d.left_px, d.top_px, d.right_px, d.bottom_px)
            for d in detector.detect(frame, None)
            if d.kind is Kind.PERSON
        ]
        pictures.append(Picture(truth, np.array(found).reshape(-1, 6)))
    assert len(pictures) == 24
    result = evaluate_class(pictures, 0)
    print(f"person AP50 {result.ap:.3f} on {result.objects} people, {detector.name}")
    assert result.objects > 100
    assert result.ap is not None
    assert result.ap >= REQUIRED_AP50
