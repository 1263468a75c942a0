# SPDX-License-Identifier: AGPL-3.0-or-later
"""What one training job is: what to train on what, with which steps; checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import warm_start
from .dataset import iter_flat
from .errors import UserError
from .train_config import TrainConfig

STEPS = ("prepare", "train", "compare", "ship")


@dataclass(frozen=True, slots=True)
class Job:
    """What to train on what. kind: "hituav", "rgb" (rendered people on grounds) or "yolo" (a labelled set)."""

    kind: str
    source: Path
    work: Path
    model: Path
    card: Path
    config: TrainConfig
    weights: Path | None = None
    names: tuple[str, ...] = ("person",)
    modality: str = "thermal"
    modality_stated: bool = False  # else pictures in colour are taken for a mistake
    gsd: str | None = None
    licence: str = "not stated"
    split: str = "official"
    held_out: Path | None = None
    tiles: int = 3200
    figures: Path | None = None  # of a "rgb" job: dressed figures in place of plain bodies
    extra_test: Path | None = None
    version: str = "0.1.0"
    steps: tuple[str, ...] = STEPS
    int8_loss: float | None = None
    average: float | None = None  # ship this share of what was trained, the rest of what it began with
    average_with: Path | None = None  # or of this ONNX file, trained from the same weights before

    @property
    def colour(self) -> bool:
        """Whether pictures have colour."""
        return self.kind == "rgb" or self.modality == "rgb"

    def check(self) -> None:
        """Raise a UserError for what cannot work, before any work."""
        unknown = [step for step in self.steps if step not in STEPS]
        if unknown:
            raise UserError(f"--steps: {unknown[0]!r} is none of {', '.join(STEPS)}")
        self.config.check()
        gsd_range(self.gsd)
        if self.average is not None and not 0 < self.average <= 1:
            raise UserError(f"--average {self.average:g}: must be above 0 and at most 1")
        if self.average_with is not None and self.average is None:
            raise UserError("--average-with: say with --average which share of the trained weights is taken")
        if self.average_with is not None and not self.average_with.is_file():
            raise UserError(f"--average-with {self.average_with}: no such file")
        if self.int8_loss is not None and not 0 <= self.int8_loss <= 1:
            raise UserError(f"--int8-loss {self.int8_loss:g}: must be from 0 to 1")
        if self.tiles < 1:
            raise UserError(f"--tiles must be at least 1 (found {self.tiles})")
        if not self.names:
            raise UserError("give the class names (--names person,car)")
        if not self.source.is_dir():
            raise UserError(f"{self.source}: no such folder")
        if self.figures is not None and not self.figures.is_file():
            raise UserError(f"--figures {self.figures}: no such file; 'python -m vision.train figures' writes one")
        if "train" in self.steps and (self.weights is None or not self.weights.is_file()):
            raise UserError(f"--weights: no such file ({self.weights})")
        if self.weights is not None and self.weights.resolve() == self.model.resolve():
            raise UserError(f"--model {self.model}: training starts from this file; give what comes of it another name")
        if "train" in self.steps and self.weights is not None and self.weights.suffix == ".onnx":
            warm_start.sidecar_classes(self.weights)
        if self.extra_test is not None and not list(iter_flat(self.extra_test)):
            raise UserError(f"--extra-test {self.extra_test}: no pictures in its folder images")


def gsd_range(text: str | None) -> dict[str, Any] | None:
    """MIN-MAX in cm per pixel as the sidecar has it."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise UserError(f"--gsd {text!r}: expected MIN-MAX in cm per pixel, for instance 2-8") from None
    if not 0 < low <= high:
        raise UserError(f"--gsd {text!r}: expected 0 < MIN <= MAX")
    return {"min": low, "max": high, "basis": "as stated by the user"}
