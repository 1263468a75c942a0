# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fit the weights by which single thermal pictures are judged (`vision.single`).

From rendered cold scenes (`cold`) in the files that cameras make of them, those that are not crowded, as the judge does
it. Two thirds are fitted on, figures are those of the rest. The other renderer (`wild`) was tried, alone and by turns: in
pictures of a third and in real ones fewer people were found at as many false ones. Real pictures of towns would teach
what is true of towns: that contrast tells little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vision.frame import Frame
from vision.single import FEATURES, LEARNED_FROM, Picture, candidates, crowded, features, heard
from vision.tone import two_tones
from vision.yolo import YoloDetector, load_yolo

from .cold import Box, ColdScene, cold_scene
from .cold_frames import as_frame
from .cold_sensor import sensed
from .errors import UserError

Floats = npt.NDArray[np.float64]
NOBODY: Final = -1
UNSURE: Final = -2  # somebody of whom too little shows: fitted on neither way
ANIMAL: Final = -3
_ANIMAL_WEIGHT = 0.3  # some look like people, and to miss somebody is worse
_MARGIN_PX = 4.0
_PENALTY = 0.3  # of squared weights, in standard deviations of their features
_LEAST_SPREAD = (
    0.1  # rendered wilderness has no vehicles: what hardly varies there must not weigh without limit elsewhere
)


@dataclass(frozen=True, slots=True)
class Judged:
    """The candidates of one picture: features, whom each lies on, and how many people there are.

    person: the number of the person, or NOBODY, UNSURE, ANIMAL.
    """

    rows: Floats
    person: npt.NDArray[np.int64]
    people: int


@dataclass(frozen=True, slots=True)
class SingleJob:
    """What to fit: for which detector, on how many rendered pictures, reported from which probability."""

    model: Path
    out: Path
    pictures: int = 900
    least: float = 0.54
    seed: int = 0


def run(job: SingleJob, say: Callable[[str], None]) -> dict[str, Any]:
    """Fit, choose the least score, write the weights; return what was written."""
    if job.pictures < 30:
        raise UserError(f"--pictures must be at least 30 (found {job.pictures})")
    if not 0 < job.least < 1 or job.seed < 0:
        raise UserError(
            f"--least must lie between 0 and 1 (found {job.least:g}), --seed be at least 0 (found {job.seed})"
        )
    if not job.out.absolute().parent.is_dir():
        raise UserError(f"--out {job.out}: must be a file in a folder that exists")
    yolo = load_yolo(job.model, confidence=LEARNED_FROM)

    def rendered_one(number: int) -> Judged | None:
        rng = np.random.default_rng([job.seed, 41, number])
        made = cold_scene(rng, 640, 512)
        return judged(yolo, made, as_frame(rng, sensed(rng, made.picture), "rendered"))

    rendered = [p for p in map(rendered_one, range(job.pictures)) if p is not None]
    third = len(rendered) // 3
    weights = fit(rendered[third:])
    recall, false = figures(rendered[:third], weights, job.least)
    record = {
        "weights": {name: round(float(w), 4) for name, w in zip(FEATURES, weights, strict=True)},
        "least_score": job.least,
        "learned_model": yolo.card.label,
        "fitted_on": {"pictures": len(rendered) - third},
        "figures": {"pictures": third, "recall": round(recall, 4), "false_per_picture": round(false, 4)},
    }
    job.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    say(
        f"wrote {job.out}: reported from {job.least:.2f}, where recall is {recall:.3f} with {false:.2f} false per picture"
    )
    return record


def judged(yolo: YoloDetector, made: ColdScene, frame: Frame) -> Judged | None:
    """What there is to judge in the frame made of a scene; None if it is crowded by what the first look has found."""
    picture, tones = Picture(frame, None), two_tones(frame)
    found = yolo.detect(tones[0], None, LEARNED_FROM)
    if crowded(picture, candidates(picture, found, None)):
        return None
    things = candidates(picture, heard(yolo, tones, None, found), None)
    on = np.array([_whom(t.centre_px, made) for t in things], int)
    return Judged(features(picture, things), on, len(made.people))


def _whom(point: tuple[float, float], made: ColdScene) -> int:
    number = _on(point, made.people)
    if number >= 0:
        return number
    if _on(point, made.unsure) >= 0:
        return UNSURE
    return ANIMAL if _on(point, made.animals) >= 0 else NOBODY


def _on(point: tuple[float, float], boxes: Sequence[Box]) -> int:
    for number, (left, top, right, bottom) in enumerate(boxes):
        inside_x = left - _MARGIN_PX <= point[0] <= right + _MARGIN_PX
        if inside_x and top - _MARGIN_PX <= point[1] <= bottom + _MARGIN_PX:
            return number
    return -1


def fit(pictures: list[Judged]) -> Floats:
    """Weights of a ridge logistic regression by Newton's method; the last belongs to the constant feature."""
    on = np.concatenate([p.person for p in pictures])
    rows = np.concatenate([p.rows for p in pictures])[on != UNSURE]
    on = on[on != UNSURE]
    person, weight = on >= 0, np.where(on == ANIMAL, _ANIMAL_WEIGHT, 1.0)
    if not person.any() or person.all():
        raise UserError("there is nothing to tell apart: the pictures hold only people, or none")
    mean, spread = rows[:, :-1].mean(axis=0), np.maximum(rows[:, :-1].std(axis=0), _LEAST_SPREAD)
    scaled = np.column_stack([(rows[:, :-1] - mean) / spread, rows[:, -1]])
    weights = np.zeros(scaled.shape[1])
    for _ in range(40):
        likely = 1.0 / (1.0 + np.exp(-np.clip(scaled @ weights, -30, 30)))
        slope = scaled.T @ (weight * (person - likely)) - _PENALTY * weights
        bend = scaled.T @ (scaled * (weight * likely * (1 - likely))[:, None]) + _PENALTY * np.eye(len(weights))
        step = np.linalg.solve(bend, slope)
        weights += step
        if float(np.abs(step).max()) < 1e-8:
            break
    own = weights[:-1] / spread
    return np.append(own, weights[-1] - float(own @ mean))


def figures(pictures: list[Judged], weights: Floats, least: float) -> tuple[float, float]:
    """(recall, false per picture) of what scores at least so much; finds on somebody unsure or on animals count neither way."""
    found = false = 0
    for picture in pictures:
        scores = 1.0 / (1.0 + np.exp(-np.clip(picture.rows @ weights, -30, 30)))
        on = picture.person[scores >= least]
        found, false = found + len(set(on[on >= 0])), false + int((on == NOBODY).sum())
    return found / max(sum(p.people for p in pictures), 1), false / max(len(pictures), 1)
