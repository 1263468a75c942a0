# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small folders of pictures to train on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np


def picture(path: Path, level: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((512, 640), level, dtype=np.uint8))


def make_hituav(root: Path) -> Path:
    source = root / "normal_json"
    (source / "annotations").mkdir(parents=True)
    for split, numbers in (("train", (1, 2, 300)), ("val", (3, 301)), ("test", (4, 500))):
        images, boxes = [], []
        for index, number in enumerate(numbers):
            height = 60 if number < 100 else 80
            name = f"1_{height}_30_0_{number:05d}.jpg"
            picture(source / split / name, level=number % 200)
            images.append({"id": index, "filename": name, "width": 640, "height": 512})
            boxes.append({"image_id": index, "category_id": 0, "bbox": [10, 20, 30, 40]})
            boxes.append({"image_id": index, "category_id": 4, "bbox": [200, 100, 50, 50]})
        text = json.dumps({"images": images, "annotation": boxes})
        (source / "annotations" / f"{split}.json").write_text(text)
    return source


def own_pictures(root: Path, stems: list[str]) -> Path:
    for stem in stems:
        picture(root / f"own/images/{stem}.png")
        label = root / f"own/labels/{stem}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 .5 .5 .1 .1\n")
    return root / "own"
