# SPDX-License-Identifier: AGPL-3.0-or-later
"""Prepare a user's own data set in YOLO form: check every label, split where there is no split yet."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from .dataset import IMAGE_SUFFIXES, SPLITS, Sample, in_colours, iter_flat, list_samples, write_description
from .errors import UserError
from .labels import read_labels
from .splits import split_by_sequence

#: What a camera writes after a picture's number to say which of its lenses took it goes with the number.
_NUMBER = re.compile(r"[_\-. ]*\d+(?:_[A-Z])?$")
_STAMPED = re.compile(r"(.*?)((?:19|20)\d{12})[_\-]\d+")
_APART_S = 300.0
_LEAST_FLIGHTS = 3
BY_PICTURE = "picture"


def flights(stems: Iterable[str]) -> dict[str, str]:
    """The flight of each picture, by its name.

    A name with a time in it (DJI_20260312143012_0001_T) is of the flight of the one before it, if that is no more than
    five minutes older. Of any other name what goes before the number says it (field2_0001).
    """
    out: dict[str, str] = {}
    stamped: list[tuple[str, float, str]] = []
    for stem in stems:
        match = _STAMPED.match(stem)
        taken_s = None if match is None else _seconds(match[2])
        if match is None or taken_s is None:
            out[stem] = _NUMBER.sub("", stem) or stem
        else:
            stamped.append((match[1], taken_s, stem))
    name, before = "", ("", -math.inf)
    for prefix, taken_s, stem in sorted(stamped):
        if prefix != before[0] or taken_s - before[1] > _APART_S:
            name = stem
        out[stem], before = name, (prefix, taken_s)
    return out


def _seconds(text: str) -> float | None:
    """A time written as YYYYMMDDhhmmss, in seconds; None for digits that are none."""
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


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


def prepare(source: Path, out: Path, names: list[str], seed: int = 0, *, any_colours: bool = False) -> dict[str, int]:
    """Write the prepared data set to ``out`` (pictures as links where possible); return the pictures per split.

    Without ``any_colours`` a UserError for pictures in colour: a thermal model would be made of them by mistake.
    """
    if not names:
        raise UserError("give the class names (--names person,car)")
    if not source.is_dir():
        raise UserError(f"{source}: no such folder")
    if out.resolve() == source.resolve():
        raise UserError(f"{out}: must not be the source folder itself")
    found = find_samples(source)
    objects = in_colour = 0
    for _, sample in found:
        in_colour += in_colours(sample.image)
        objects += len(read_labels(sample.labels, len(names), 1, 1))
    if not objects:
        raise UserError(f"{source / 'labels'}: no labels for any of the {len(found)} pictures")
    if not any_colours and 2 * in_colour > len(found):
        raise UserError(
            f"{source / 'images'}: {in_colour} of {len(found)} pictures are in colour: say --modality rgb if they are an ordinary"
            " camera's, or --modality thermal if they are a thermal one's in whose palette what is brighter is warmer"
        )
    target, split = _split(source, found, seed)
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
    write_description(out, names, counts, {"data": source.name, "split": split, "withheld": 0})
    return counts


def _split(source: Path, found: list[tuple[str, Sample]], seed: int) -> tuple[dict[str, str], str]:
    """The part of each picture, and how they were parted: as given, by sequence, or by picture where no name tells more."""
    if found[0][0]:
        return {str(sample.image): name for name, sample in found}, "as given"
    named = flights(sample.stem for _, sample in found)
    numbers = {name: i for i, name in enumerate(sorted(set(named.values())))}
    if 2 * len(numbers) > len(named):  # hardly two of a flight: it is not the flight that these names tell
        return split_by_sequence({str(sample.image): i for i, (_, sample) in enumerate(found)}, seed=seed), BY_PICTURE
    if len(numbers) < _LEAST_FLIGHTS:
        raise UserError(
            f"{source / 'images'}: by their names all pictures are of {len(numbers)} flight(s), and a split by flight needs "
            f"{_LEAST_FLIGHTS}: sort them into images/train and images/val, and their labels likewise, or name them by flight"
        )
    return split_by_sequence({str(s.image): numbers[named[s.stem]] for _, s in found}, seed=seed), "sequence"
