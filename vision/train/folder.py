# SPDX-License-Identifier: AGPL-3.0-or-later
"""Prepare a user's own data set in YOLO form: check every label, split where there is no split yet."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .dataset import IMAGE_SUFFIXES, SPLITS, Sample, iter_flat, list_samples, read_image, write_description
from .errors import UserError
from .labels import read_labels
from .splits import split_by_sequence


def sequence_of(stem: str) -> str:
    """The flight a picture belongs to: its name without the trailing number."""
    return re.sub(r"[_\-. ]*\d+$", "", stem) or stem


def find_samples(source: Path) -> list[tuple[str, Sample]]:
    """List (split or '', sample) of ``images/train ...`` or of a flat ``images`` folder."""
    if not (source / "images").is_dir():
        raise UserError(f"{source / 'images'}: no such folder (pictures go to images/, labels to labels/)")
    present = [name for name in SPLITS if (source / "images" / name).is_dir()]
    if present:
        if "train" not in present or "val" not in present:
            raise UserError(f"{source / 'images'}: a split needs both train and val (found {', '.join(present)})")
        return [(name, sample) for name in present for sample in list_samples(source, name)]
    flat = [("", sample) for sample in iter_flat(source)]
    if not flat:
        raise UserError(f"{source / 'images'}: no pictures ({', '.join(IMAGE_SUFFIXES)}) in it")
    return flat


def prepare(source: Path, out: Path, names: list[str], seed: int = 0) -> dict[str, int]:
    """Write the prepared data set to ``out`` (pictures as links where possible); return the pictures per split."""
    if not names:
        raise UserError("give the class names (--names person,car)")
    if not source.is_dir():
        raise UserError(f"{source}: no such folder")
    if out.resolve() == source.resolve():
        raise UserError(f"{out}: must not be the source folder itself")
    found = find_samples(source)
    objects = 0
    for _, sample in found:
        image = read_image(sample.image)
        objects += len(read_labels(sample.labels, len(names), image.shape[1], image.shape[0]))
    if not objects:
        raise UserError(f"{source / 'labels'}: no labels for any of the {len(found)} pictures")
    ready_split = bool(found[0][0])
    if ready_split:
        target = {str(sample.image): name for name, sample in found}
    else:
        flights = {name: i for i, name in enumerate(sorted({sequence_of(sample.stem) for _, sample in found}))}
        target = split_by_sequence(
            {str(sample.image): flights[sequence_of(sample.stem)] for _, sample in found}, seed=seed
        )
    counts = dict.fromkeys(SPLITS, 0)
    for name in SPLITS:
        for kind in ("images", "labels", "ignore"):
            folder = out / kind / name
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
    for _, sample in found:
        name = target[str(sample.image)]
        place = out / "images" / name / sample.image.name
        try:
            os.link(sample.image, place)
        except OSError:
            shutil.copyfile(sample.image, place)
        if sample.labels.exists():
            shutil.copyfile(sample.labels, out / "labels" / name / sample.labels.name)
        if sample.ignore.exists():
            shutil.copyfile(sample.ignore, out / "ignore" / name / sample.ignore.name)
        counts[name] += 1
    for name in ("train", "val"):
        if not counts[name]:
            raise UserError(f"{source}: the split by sequence left '{name}' empty; give images/train and images/val")
    write_description(
        out, names, counts, {"data": source.name, "split": "as given" if ready_split else "sequence", "withheld": 0}
    )
    return counts
