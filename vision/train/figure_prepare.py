# SPDX-License-Identifier: AGPL-3.0-or-later
"""A training set of figures on ground: `figure_tiles` in several processes, in the folders of a prepared set."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from .augment import Image
from .dataset import SPLITS
from .errors import UserError
from .figure_tiles import Props, figure_tile
from .labels import write_labels
from .render_people import BLOCK, Ground, described, empty_folders, read_grounds

SIZE: Final = 512
#: Where figures come from, for the description and the card.
SOURCE: Final = "MakeHuman's base mesh, clothes and hair (CC0 1.0)"
_PROPS: dict[str, Props] = {}  # of this process


@dataclass(frozen=True, slots=True)
class _Task:
    picture: Path | None
    ground: Ground
    out: Path
    split: str
    first: int
    count: int
    size: int
    seed: int


def _load(figures: Path, textures: Path | None) -> None:
    cv2.setNumThreads(1)
    _PROPS["all"] = Props.load(figures, textures)


def _block(task: _Task) -> int:
    picture: Image | None = None
    if task.picture is not None:
        read = cv2.imread(str(task.picture), cv2.IMREAD_COLOR)
        if read is None:
            raise UserError(f"{task.picture}: cannot be read as a picture")
        picture = np.asarray(read, np.uint8)
    rng = np.random.default_rng([task.seed, SPLITS.index(task.split), task.first])
    for number in range(task.first, task.first + task.count):
        tile, boxes = figure_tile(picture, task.ground if picture is not None else None, _PROPS["all"], task.size, rng)
        stem = f"{task.ground.name}_{number:05d}"
        cv2.imwrite(str(task.out / "images" / task.split / f"{stem}.jpg"), tile, [int(cv2.IMWRITE_JPEG_QUALITY), 95])
        write_labels(task.out / "labels" / task.split / f"{stem}.txt", boxes, task.size, task.size)
    return task.count


def prepare_figures(
    root: Path,
    figures: Path,
    out: Path,
    counts: dict[str, int],
    size: int = SIZE,
    seed: int = 0,
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Write a rendered set of ``counts`` tiles per split; test tiles stand on grounds of their own.

    The same folders, counts, size and seed give the same tiles, whatever the number of workers. UserError for grounds or
    figures that cannot be read.
    """
    grounds = read_grounds(root)
    laid = [ground for ground in grounds if ground.kind == "textures"]
    if len(laid) > 1:
        raise UserError(f"{root / 'backgrounds.json'}: one folder of textures at most (found {len(laid)})")
    textures = root / laid[0].name if laid else None
    Props.load(figures, textures)  # what is wrong with them shows before any process starts
    tasks: list[_Task] = []
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng([seed, 99 + number])
        empty_folders(out, split)
        chosen = [g for g in grounds if g.use == ("test" if split == "test" else "train")]
        weights = np.array([g.weight for g in chosen])
        for at in range(0, counts.get(split, 0), BLOCK):
            ground = chosen[int(rng.choice(len(chosen), p=weights / weights.sum()))]
            path = ground.pictures[int(rng.integers(len(ground.pictures)))] if ground.kind == "pictures" else None
            tasks.append(_Task(path, ground, out, split, at, min(BLOCK, counts[split] - at), size, seed))
    done, total = 0, sum(task.count for task in tasks)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _load, (figures, textures)) as pool:
        for count in pool.map(_block, tasks):
            done += count
            if done % (25 * BLOCK) < count:
                say(f"rendered {done} of {total} tiles")
    return described(out, counts, grounds, SOURCE)
