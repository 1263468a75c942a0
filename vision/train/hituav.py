# SPDX-License-Identifier: AGPL-3.0-or-later
"""Prepare HIT-UAV (Suo et al., Sci Data 10, 227 (2023), CC BY 4.0) for training.

Reads the axis-aligned boxes of ``normal_json``. Its class DontCare marks what nobody could label: in training
pictures such a region is painted over with the picture's median, in val and test it is kept as a region that counts
neither for nor against a detector.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .dataset import SPLITS, read_image, write_description
from .errors import UserError
from .labels import write_labels
from .splits import Frame, assign_sequences, parse_frame_name, split_by_sequence

NAMES = ["person", "car", "bicycle", "other_vehicle"]
DONT_CARE = 4

Row = tuple[int, float, float, float, float]


@dataclass(frozen=True)
class Entry:
    """One picture of the original data set."""

    frame: Frame
    image: Path
    width: int
    height: int
    boxes: list[Row]
    ignore: list[Row]


def read_split(source: Path, split: str) -> list[Entry]:
    """Read one official split."""
    path = source / "annotations" / f"{split}.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file (give the folder 'normal_json' of HIT-UAV)")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        images = {int(item["id"]): item for item in data["images"]}
        annotations = data["annotation"] if "annotation" in data else data["annotations"]
        rows: dict[int, list[Row]] = {key: [] for key in images}
        for number, item in enumerate(annotations):
            where = f"{path}: annotation {number}"
            key, cls = int(item["image_id"]), int(item["category_id"])
            x, y, w, h = (float(value) for value in item["bbox"])
            if key not in images:
                raise UserError(f"{where}: picture {key} is not listed")
            width, height = float(images[key]["width"]), float(images[key]["height"])
            if not 0 <= cls <= DONT_CARE:
                raise UserError(f"{where}: class {cls} is not in 0..{DONT_CARE}")
            if w <= 0 or h <= 0 or x < -1 or y < -1 or x + w > width + 1 or y + h > height + 1:
                raise UserError(f"{where}: box {item['bbox']} is not within {width:g}x{height:g}")
            right, bottom = min(x + w, width), min(y + h, height)  # a pixel over the edge is how they were rounded
            x, y = max(x, 0.0), max(y, 0.0)
            rows[key].append((cls, x, y, right - x, bottom - y))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not in the expected form ({type(error).__name__}: {error})") from None
    entries = []
    for key, item in sorted(images.items(), key=lambda pair: str(pair[1]["filename"])):
        image = source / split / str(item["filename"])
        if not image.is_file():
            raise UserError(f"{image}: no such file, though {path} lists it")
        entries.append(
            Entry(
                frame=parse_frame_name(image.stem, split),
                image=image,
                width=int(item["width"]),
                height=int(item["height"]),
                boxes=[row for row in rows[key] if row[0] != DONT_CARE],
                ignore=[row for row in rows[key] if row[0] == DONT_CARE],
            )
        )
    return entries


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def held_out_pictures(folder: Path | None) -> tuple[set[str], set[str]]:
    """Names and digests of pictures that must never be trained on."""
    if folder is None:
        return set(), set()
    where = folder / "images" if (folder / "images").is_dir() else folder
    if not where.is_dir():
        raise UserError(f"{where}: no such folder")
    files = [path for path in where.iterdir() if path.is_file()]
    return {path.stem for path in files}, {digest(path) for path in files}


def prepare(
    source: Path, out: Path, split: str = "official", held_out: Path | None = None, seed: int = 0
) -> dict[str, int]:
    """Write the prepared data set to ``out`` and return the number of pictures of each split."""
    if not source.is_dir():
        raise UserError(f"{source}: no such folder")
    if split not in ("official", "sequence"):
        raise UserError(f"split must be 'official' or 'sequence' (found {split!r})")
    names, digests = held_out_pictures(held_out)
    entries = [entry for name in SPLITS for entry in read_split(source, name)]
    sequences = assign_sequences([entry.frame for entry in entries])
    target = {entry.frame.stem: entry.frame.split for entry in entries}
    if split == "sequence":
        target = split_by_sequence(sequences, seed=seed)
    counts = dict.fromkeys(SPLITS, 0)
    withheld = 0
    for name in SPLITS:
        for kind in ("images", "labels", "ignore"):
            folder = out / kind / name
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
    for entry in entries:
        name = target[entry.frame.stem]
        if name != "test" and (entry.frame.stem in names or digest(entry.image) in digests):
            withheld += 1
            continue
        stem = entry.frame.stem
        image = out / "images" / name / entry.image.name
        if name == "train" and entry.ignore:
            picture = read_image(entry.image)
            for _, x, y, w, h in entry.ignore:
                picture[round(y) : round(y + h), round(x) : round(x + w)] = int(np.median(picture))
            cv2.imwrite(str(image), picture, [cv2.IMWRITE_JPEG_QUALITY, 97])
        else:
            shutil.copyfile(entry.image, image)
            if entry.ignore:
                rows = [(0, *row[1:]) for row in entry.ignore]
                write_labels(out / "ignore" / name / f"{stem}.txt", rows, entry.width, entry.height)
        write_labels(out / "labels" / name / f"{stem}.txt", entry.boxes, entry.width, entry.height)
        counts[name] += 1
    write_description(
        out,
        NAMES,
        counts,
        {
            "data": "HIT-UAV",
            "citation": "Suo et al., Sci Data 10, 227 (2023)",
            "licence": "CC BY 4.0",
            "split": split,
            "sequences": len(set(sequences.values())),
            "withheld": withheld,
        },
    )
    return counts
