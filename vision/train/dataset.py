# SPDX-License-Identifier: AGPL-3.0-or-later
"""A prepared data set on disk: ``images/<split>``, ``labels/<split>``, ``ignore/<split>`` and ``dataset.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.colours import is_grey
from vision.stretch import RAW_PER_C, eight_bits

from .errors import UserError
from .labels import Boxes, read_labels

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
SPLITS = ("train", "val", "test")
#: What of a picture of heat becomes black and white, and how far apart both are at least: a flatter one would be its noise.
PERCENTS = (1.0, 99.5)
LEAST_SPAN_C = 2.0


@dataclass(frozen=True)
class Sample:
    """One picture with its label file and the file of regions to leave out of the count."""

    image: Path
    labels: Path
    ignore: Path

    @property
    def stem(self) -> str:
        """The picture's name without its suffix."""
        return self.image.stem


def list_samples(root: Path, split: str) -> list[Sample]:
    """List a split's pictures in order of name."""
    folder = root / "images" / split
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise UserError(f"{folder}: no pictures in it")
    return [
        Sample(
            image=path,
            labels=root / "labels" / split / f"{path.stem}.txt",
            ignore=root / "ignore" / split / f"{path.stem}.txt",
        )
        for path in found
    ]


def read_image(path: Path, *, colour: bool = False) -> npt.NDArray[np.uint8]:
    """Read a picture in 8 bits: grey (H x W), or colour (H x W x 3, blue first).

    Heat in 16 bits or in degrees is stretched as the detector will stretch it.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise UserError(f"{path}: cannot be read as a picture")
    if image.dtype == np.uint8:
        return np.asarray(image, dtype=np.uint8)
    if not np.isfinite(image).all():
        raise UserError(f"{path}: some of its pixels are no number")
    return eight_bits(image, PERCENTS, LEAST_SPAN_C * (RAW_PER_C if image.dtype.kind == "u" else 1.0))


def in_colours(path: Path) -> bool:
    """Whether a picture shows any colour. UserError for one that cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UserError(f"{path}: cannot be read as a picture")
    if image.ndim == 2:
        return False
    three = np.asarray(image[..., :3])
    return not is_grey(np.asarray(three // 256 if three.dtype == np.uint16 else three))


def iter_flat(root: Path) -> Iterator[Sample]:
    """List the pictures of a folder with plain ``images`` and ``labels`` folders."""
    folder = root / "images"
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield Sample(path, root / "labels" / f"{path.stem}.txt", root / "ignore" / f"{path.stem}.txt")


def fingerprint(root: Path, names: list[str]) -> str:
    """SHA-256 of what is trained on: class names, the training pictures' names and sizes, and their labels."""
    digest = hashlib.sha256(json.dumps(names).encode())
    for sample in list_samples(root, "train"):
        digest.update(f"\n{sample.image.name} {sample.image.stat().st_size}\n".encode())
        digest.update(sample.labels.read_bytes() if sample.labels.exists() else b"")
    return digest.hexdigest()


def read_boxes(sample: Sample, classes: int, width: int, height: int) -> Boxes:
    """Read a picture's boxes in pixels."""
    return read_labels(sample.labels, classes, width, height)


def write_description(root: Path, names: list[str], counts: dict[str, int], source: dict[str, object]) -> None:
    """Write ``data.yaml`` (for ultralytics) and ``dataset.json`` (what was prepared, and how)."""
    lines = ["path: " + json.dumps(str(root.resolve())), "train: images/train", "val: images/val"]
    if counts.get("test"):
        lines.append("test: images/test")
    lines.append("names:")
    lines += [f"  {index}: {name}" for index, name in enumerate(names)]
    (root / "data.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = json.dumps({"names": names, "images": counts, "source": source}, indent=2, sort_keys=True)
    (root / "dataset.json").write_text(text + "\n", encoding="utf-8")


def read_description(root: Path) -> dict[str, object]:
    """Read ``dataset.json`` of a prepared data set."""
    path = root / "dataset.json"
    if not path.is_file():
        raise UserError(f"{path}: no such file; prepare the data set first")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(value, dict) or not isinstance(value.get("names"), list):
        raise UserError(f"{path}: not a description of a prepared data set")
    return value
