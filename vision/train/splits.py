# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sequences: pictures of one flight leg follow each other, so a split by picture leaks and a split by leg does not."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import UserError


@dataclass(frozen=True)
class Frame:
    """A HIT-UAV picture: ``scene_height_angle_weather_number`` (scene 0 day, 1 night; height in metres)."""

    stem: str
    scene: str
    height: int
    angle: int
    number: int
    split: str = "train"


def parse_frame_name(stem: str, split: str = "train") -> Frame:
    """Read what the file name tells."""
    parts = stem.split("_")
    if len(parts) != 5 or not all(part.isdigit() for part in parts):
        raise UserError(f"{stem}: not a HIT-UAV name (scene_height_angle_weather_number)")
    return Frame(stem, parts[0], int(parts[1]), int(parts[2]), int(parts[4]), split)


def assign_sequences(frames: Sequence[Frame], gap: int = 60) -> dict[str, int]:
    """Number the sequences: a new one begins with another scene or height, or after ``gap`` missing frames."""
    out: dict[str, int] = {}
    current = -1
    before: Frame | None = None
    for frame in sorted(frames, key=lambda item: (item.number, item.stem)):
        if (
            before is None
            or (frame.scene, frame.height) != (before.scene, before.height)
            or frame.number - before.number > gap
        ):
            current += 1
        out[frame.stem] = current
        before = frame
    return out


def split_by_sequence(
    sequences: Mapping[str, int], val: float = 0.1, test: float = 0.2, seed: int = 0
) -> dict[str, str]:
    """Give whole sequences to train, val and test, near the wanted shares."""
    members: dict[int, list[str]] = defaultdict(list)
    for stem, sequence in sequences.items():
        members[sequence].append(stem)
    order = sorted(members)
    if len(order) < 3:
        raise UserError(f"a split by sequence needs at least 3 sequences (found {len(order)})")
    random.Random(seed).shuffle(order)
    total = len(sequences)
    wanted = {"test": test * total, "val": val * total}
    filled = {"test": 0, "val": 0}
    out: dict[str, str] = {}
    for sequence in order:
        size = len(members[sequence])
        name = "train"
        for candidate in ("test", "val"):
            empty = filled[candidate] == 0 and size <= total / 3
            if empty or filled[candidate] + size <= wanted[candidate] * 1.1:
                name = candidate
                filled[candidate] += size
                break
        for stem in members[sequence]:
            out[stem] = name
    return out
