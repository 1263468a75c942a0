# SPDX-License-Identifier: AGPL-3.0-or-later
"""How well a model finds things in labelled pictures: recall, precision, AP50 and false alarms, by height and sequence.

Pictures and YOLO label files come from folders, boxes from the engine that the product would use, prepared and decoded
as the product does it. Every class of the model is judged on its own; matching and average precision are those of
`vision.train.evaluate`. Doubt is a bootstrap over whole sequences (Efron 1979), because pictures of one flight leg
resemble each other and a figure from few of them says little.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vision.decode import class_count, decode
from vision.engines import load_engine
from vision.engines.base import Tensor
from vision.errors import ModelError, PictureError, VisionError
from vision.frame import Frame, PixelKind
from vision.model_card import ModelCard, read_card
from vision.prepare import fit_picture, to_grey, to_tensor
from vision.sources.stills import PICTURES, read_still
from vision.tiles import Piece, TileSettings, cut_sides, merge_pieces, plan_tiles
from vision.train.errors import UserError
from vision.train.evaluate import Picture, average_precision, match
from vision.train.labels import read_labels
from vision.train.splits import assign_sequences, parse_frame_name

Floats = NDArray[np.float64]

LEAST_CONFIDENCE: Final = 0.01  # average precision wants the whole curve
IOU: Final = 0.5
RESAMPLES: Final = 300
_MOST_PIECES: Final = 400  # of one picture, before seams are merged: what is below them in score changes no figure
_CUT_PX: Final = 2.5  # as `vision.tiled` has it
_HIT_UAV_NAME: Final = re.compile(r"\d+_\d+_\d+_\d+_\d+")


class LabelError(VisionError):
    """A label file that cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture, the file of its labels, and what its name or folder tells. A missing label file means no objects."""

    picture: Path
    labels: Path
    height: str
    sequence: str


def kept_apart(pictures: Path) -> str | None:
    """Of a set that is split as for training, the part that no training saw: "test", else "val". None of any other set."""
    root = pictures / "images" if (pictures / "images").is_dir() else pictures
    if not (root / "train").is_dir():
        return None
    return next((name for name in ("test", "val") if (root / name).is_dir()), None)


def pair_up(pictures: Path, labels: Path | None) -> list[Labelled]:
    """Pictures below a folder with their label files. PictureError or LabelError when they do not belong together.

    Without `labels` the YOLO layouts are tried: `images` beside `labels`, then label files beside the pictures. Height
    and sequence come from names like HIT-UAV's (scene_height_angle_weather_number), else from the picture's folder. Of a
    set that is split as for training only what is kept apart counts: a model finds nearly all that it learned from.
    """
    if not pictures.is_dir():
        raise PictureError(f"{pictures}: no such folder")
    root = pictures / "images" if (pictures / "images").is_dir() else pictures
    files = sorted(
        p for p in (root / (kept_apart(pictures) or "")).rglob("*") if p.suffix.lower() in PICTURES and p.is_file()
    )
    if not files:
        raise PictureError(f"{pictures}: no pictures in this folder")
    if labels is None:
        beside = root.parent / "labels"
        labels = beside if root.name == "images" and beside.is_dir() else root
    if not labels.is_dir():
        raise LabelError(f"{labels}: no such folder of labels")
    named = [parse_frame_name(p.stem) if _HIT_UAV_NAME.fullmatch(p.stem) else None for p in files]
    numbers = assign_sequences([f for f in named if f is not None])
    pairs = []
    for path, frame in zip(files, named, strict=True):
        inner = path.relative_to(root)
        label = labels / inner.with_suffix(".txt")
        if not label.is_file() and (labels / f"{path.stem}.txt").is_file():
            label = labels / f"{path.stem}.txt"
        folder = inner.parent.as_posix() if inner.parent != Path() else root.name
        if frame is None:
            pairs.append(Labelled(path, label, f"folder {folder}", f"folder {folder}"))
        else:
            pairs.append(Labelled(path, label, f"{frame.height} m", f"{numbers[frame.stem]:03d}"))
    if not any(pair.labels.is_file() for pair in pairs):
        raise LabelError(f"{labels}: not one label file (.txt) for the {len(pairs)} pictures of {root}")
    return pairs


class Finder:
    """A model as the product runs it, with the model's own classes kept apart."""

    def __init__(self, model: Path, engine: str | None = None, threads: int = 2) -> None:
        self._engine = load_engine(model, engine, threads)
        height, width = self._engine.input_size
        self._tensor: Tensor = np.zeros((1, 3, height, width), dtype=np.float32)
        try:
            count = class_count(self._engine.run(self._tensor).shape)
        except ValueError as error:
            raise ModelError(f"model {model}: {error}") from error
        self.card: ModelCard = read_card(model, count)

    @property
    def name(self) -> str:
        return f"{self._engine.name} {self.card.label}"

    def find(self, frame: Frame) -> Floats:
        """Rows of class, confidence, left, top, right, bottom in the picture's pixels.

        A colour model looks in tiles of its input's size, as the product does without a known height. PictureError for a
        colour picture when the model is for thermal ones, and the other way round.
        """
        colour = self.card.modality == "rgb"
        if (frame.kind is PixelKind.BGR8) is not colour:
            what = (
                "a thermal picture, and the model is for colour"
                if colour
                else "a colour picture, and the model is for thermal"
            )
            raise PictureError(f"{frame.source_id}: {what} ones")
        if colour:
            return self._in_tiles(frame)
        tensor, fit = to_tensor(to_grey(frame, self.card), self._engine.input_size, self._tensor)
        boxes = decode(self._engine.run(tensor), fit, (frame.height_px, frame.width_px), LEAST_CONFIDENCE)
        return np.column_stack([boxes.classes, boxes.scores, boxes.corners_px]).astype(np.float64)

    def _in_tiles(self, frame: Frame) -> Floats:
        plan = plan_tiles((frame.height_px, frame.width_px), self._engine.input_size, None, TileSettings())
        pieces: list[Piece] = []
        for index, tile in enumerate(plan.tiles):
            part = frame.pixels[tile.top_px : tile.bottom_px, tile.left_px : tile.right_px]
            fitted, fit = fit_picture(part, self._engine.input_size)
            boxes = decode(self._engine.run_picture(fitted), fit, (part.shape[0], part.shape[1]), LEAST_CONFIDENCE)
            shifted = boxes.corners_px + np.array([tile.left_px, tile.top_px] * 2, dtype=np.float32)
            for corners, score, number in zip(shifted.tolist(), boxes.scores, boxes.classes, strict=True):
                box = (corners[0], corners[1], corners[2], corners[3])
                cut = cut_sides(box, tile, plan, _CUT_PX / plan.scale)
                pieces.append(Piece(box, float(score), str(number), index, cut))
        pieces = sorted(pieces, key=lambda piece: -piece.score)[:_MOST_PIECES]
        merged = [(float(p.label), p.score, *p.corners_px) for p, _members in merge_pieces(pieces)]
        return np.array(merged, dtype=np.float64).reshape(-1, 6)


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture judged: its groups, its objects and what was found in it (see `vision.train.evaluate.Picture`)."""

    height: str
    sequence: str
    boxes: Picture


def class_mapping(label_names: Sequence[str] | None, model_names: Sequence[str]) -> dict[int, int]:
    """Label class -> model class, by name; labels without names of their own use the model's numbers.

    A label class that the model does not know is left out of the mapping. LabelError when none is known.
    """
    if label_names is None:
        return {number: number for number in range(len(model_names))}
    known = {name: number for number, name in enumerate(model_names)}
    mapping = {number: known[name] for number, name in enumerate(label_names) if name in known}
    if not mapping:
        raise LabelError(f"none of the label classes {', '.join(label_names)} is the model's: {', '.join(model_names)}")
    return mapping


def look_at(
    pairs: Sequence[Labelled],
    finder: Finder,
    label_names: Sequence[str] | None = None,
    on_unreadable: Callable[[str], None] = lambda _text: None,
) -> Iterator[Seen]:
    """Judge picture by picture; one that cannot be read or looked at is named and left out. LabelError at a bad label."""
    mapping = class_mapping(label_names, finder.card.classes)
    for pair in pairs:
        try:
            frame = read_still(pair.picture).frame
            found = finder.find(frame)
        except PictureError as error:
            on_unreadable(str(error))
            continue
        classes = len(finder.card.classes) if label_names is None else len(label_names)
        truth = _truth(pair.labels, classes, frame)
        kept = np.array([row for row in truth if int(row[0]) in mapping], dtype=np.float64).reshape(-1, 5)
        kept[:, 0] = [mapping[int(c)] for c in kept[:, 0]]
        yield Seen(pair.height, pair.sequence, Picture(kept, found))


def _truth(path: Path, classes: int, frame: Frame) -> Floats:
    try:
        return read_labels(path, classes, frame.width_px, frame.height_px).astype(np.float64)
    except UserError as error:
        raise LabelError(str(error)) from error


def check_labels(pairs: Sequence[Labelled], classes: int) -> int:
    """Read all label files before any picture; LabelError with file and line. Returns how many objects they hold."""
    objects = 0
    for pair in pairs:
        try:
            objects += len(read_labels(pair.labels, classes, 1, 1))
        except UserError as error:
            raise LabelError(str(error)) from error
    return objects


@dataclass(frozen=True, slots=True)
class Figures:
    """One class over some pictures; None where there is nothing to divide by.

    recall, precision, false_per_picture: at the stated confidence. ap50_low..ap50_high: 95 % of the bootstrap over
    sequences, None with fewer than two sequences that hold objects.
    """

    pictures: int
    sequences: int
    objects: int
    ap50: float | None
    ap50_low: float | None
    ap50_high: float | None
    recall: float | None
    precision: float | None
    false_per_picture: float


@dataclass(frozen=True, slots=True)
class _Verdicts:
    sequence: str
    objects: int
    right: NDArray[np.int8]
    scores: Floats


def figures(seen: Sequence[Seen], number: int, confidence: float, resamples: int = RESAMPLES) -> Figures:
    """Figures of one class. The bootstrap is seeded: the same pictures give the same interval."""
    judged = [_judge(one, number) for one in seen]
    right = np.concatenate([v.right for v in judged]) if judged else np.zeros(0, np.int8)
    scores = np.concatenate([v.scores for v in judged]) if judged else np.zeros(0)
    objects = sum(v.objects for v in judged)
    hits = int(right[scores >= confidence].sum())
    told = int((scores >= confidence).sum())
    low, high = _interval(judged, resamples)
    return Figures(
        pictures=len(judged),
        sequences=len({v.sequence for v in judged}),
        objects=objects,
        ap50=average_precision(right, scores, objects),
        ap50_low=low,
        ap50_high=high,
        recall=hits / objects if objects else None,
        precision=hits / told if told else None,
        false_per_picture=(told - hits) / len(judged) if judged else 0.0,
    )


def _judge(seen: Seen, number: int) -> _Verdicts:
    truth = np.asarray(seen.boxes.truth, dtype=np.float64).reshape(-1, 5)
    found = np.asarray(seen.boxes.found, dtype=np.float64).reshape(-1, 6)
    truth, found = truth[truth[:, 0] == number], found[found[:, 0] == number]
    right = match(truth[:, 1:], found[:, 2:], found[:, 1], np.zeros((0, 4)), IOU)
    return _Verdicts(seen.sequence, len(truth), right, found[:, 1])


def _interval(judged: Sequence[_Verdicts], resamples: int) -> tuple[float | None, float | None]:
    groups: dict[str, list[_Verdicts]] = {}
    for verdict in judged:
        groups.setdefault(verdict.sequence, []).append(verdict)
    clusters = list(groups.values())
    if sum(any(v.objects for v in cluster) for cluster in clusters) < 2:
        return None, None
    rng = np.random.default_rng(0)
    values = []
    for _ in range(resamples):
        drawn = [v for index in rng.integers(len(clusters), size=len(clusters)) for v in clusters[index]]
        objects = sum(v.objects for v in drawn)
        value = average_precision(
            np.concatenate([v.right for v in drawn]), np.concatenate([v.scores for v in drawn]), objects
        )
        if value is not None:
            values.append(value)
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def by_group(seen: Sequence[Seen], number: int, confidence: float, group: Callable[[Seen], str]) -> dict[str, Figures]:
    """Figures of one class for each group, ordered by the numbers in the groups' names."""
    members: dict[str, list[Seen]] = {}
    for one in seen:
        members.setdefault(group(one), []).append(one)
    return {name: figures(members[name], number, confidence) for name in sorted(members, key=_natural)}


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
