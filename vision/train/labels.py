# SPDX-License-Identifier: AGPL-3.0-or-later
"""Boxes and YOLO label files: reading, range checks and writing.

A box array has one row per box: class, x1, y1, x2, y2 (pixels, float32).
A YOLO label line is ``class xc yc w h``, the last four relative to the picture's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import UserError

Boxes = npt.NDArray[np.float32]

#: How far beyond the picture (relative) a label may reach before it is an error: rounding only.
TOLERANCE = 1e-3


def empty_boxes() -> Boxes:
    """Return a box array without rows."""
    return np.zeros((0, 5), dtype=np.float32)


def parse_label_line(line: str, classes: int, where: str) -> tuple[int, float, float, float, float]:
    """Read one YOLO label line; ``where`` (file and line) goes into the message of a UserError."""
    parts = line.split()
    if len(parts) != 5:
        raise UserError(f"{where}: expected 'class xc yc w h', found {len(parts)} fields")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        raise UserError(f"{where}: not a number in {line.strip()!r}") from None
    if not all(math.isfinite(value) for value in values):
        raise UserError(f"{where}: not a finite number in {line.strip()!r}")
    cls, xc, yc, w, h = values
    if cls != int(cls) or not 0 <= cls < classes:
        raise UserError(f"{where}: class {parts[0]} is not a whole number in 0..{classes - 1}")
    if w <= 0 or h <= 0:
        raise UserError(f"{where}: width and height must be above 0 (found {w:g} x {h:g})")
    for name, low, high in (("x", xc - w / 2, xc + w / 2), ("y", yc - h / 2, yc + h / 2)):
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise UserError(f"{where}: box reaches {name} {low:.4f}..{high:.4f}, outside the picture (0..1)")
    return int(cls), xc, yc, w, h


def read_labels(path: Path, classes: int, width: int, height: int) -> Boxes:
    """Read a YOLO label file into pixel boxes; a missing file means no objects."""
    if not path.exists():
        return empty_boxes()
    rows: list[tuple[float, float, float, float, float]] = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        cls, xc, yc, w, h = parse_label_line(line, classes, f"{path}:{number}")
        rows.append(
            (
                float(cls),
                max(xc - w / 2, 0.0) * width,
                max(yc - h / 2, 0.0) * height,
                min(xc + w / 2, 1.0) * width,
                min(yc + h / 2, 1.0) * height,
            )
        )
    return np.asarray(rows, dtype=np.float32).reshape(-1, 5)


def to_relative(boxes: Boxes, width: int, height: int) -> npt.NDArray[np.float32]:
    """Turn pixel corners (rows of class, x1, y1, x2, y2) into relative centres and sizes (n x 4)."""
    out = np.empty((len(boxes), 4), dtype=np.float32)
    out[:, 0] = (boxes[:, 1] + boxes[:, 3]) / 2 / width
    out[:, 1] = (boxes[:, 2] + boxes[:, 4]) / 2 / height
    out[:, 2] = (boxes[:, 3] - boxes[:, 1]) / width
    out[:, 3] = (boxes[:, 4] - boxes[:, 2]) / height
    return out


def write_labels(path: Path, rows: Sequence[tuple[int, float, float, float, float]], width: int, height: int) -> None:
    """Write boxes (class, left, top, width, height in pixels) as a YOLO label file."""
    lines = [
        f"{cls} {(x + w / 2) / width:.6f} {(y + h / 2) / height:.6f} {w / width:.6f} {h / height:.6f}\n"
        for cls, x, y, w, h in rows
    ]
    path.write_text("".join(lines), encoding="utf-8")
