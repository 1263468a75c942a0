# SPDX-License-Identifier: AGPL-3.0-or-later
"""The course of a training: how far it has come, the learning rate there, and its end, by steps or by the clock.

Kept beside the checkpoints after each whole epoch, so that a run that was stopped goes on from there. Knows the trainer
only as it calls back.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .train_config import TrainConfig


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up over the first steps times a cosine over the progress (0..1) of the whole run."""
    cosine = config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return config.lr * cosine * min(1.0, (step + 1) / max(config.warmup_steps, 1))


def unfinished(out: Path, config: TrainConfig, origin: str) -> tuple[Path, dict[str, float]] | None:
    """The last checkpoint of a run that was stopped, and how far it was; None where there is nothing to go on with.

    A run with other settings than these, from other weights or pictures (`origin`), or one that is finished, is none to
    go on with.
    """
    last, state = out / "run" / "weights" / "last.pt", out / "state.json"
    if (out / "train.json").is_file() or not last.is_file() or not state.is_file():
        return None
    try:
        found = json.loads(state.read_text(encoding="utf-8"))
        if found.pop("config") != json.loads(json.dumps(asdict(config))) or found.pop("origin") != origin:
            return None
        return last, {key: float(found[key]) for key in ("step", "seconds", "images", "epochs")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Course:
    """Steps, pictures, whole epochs and seconds of one run, those before a stop included."""

    def __init__(self, out: Path, config: TrainConfig, origin: str, say: Callable[[str], None]) -> None:
        self._out, self._config, self._origin, self._say = out, config, origin, say
        self.step: float = 0
        self.epochs: float = 0
        self._images: float = 0
        self._before_s = 0.0
        self._start_s = 0.0

    def go_on(self, found: Mapping[str, float]) -> None:
        """Take up what `unfinished` found."""
        self.step, self.epochs, self._images = found["step"], found["epochs"], found["images"]
        self._before_s = found["seconds"]

    def lead(self, trainer: Any) -> None:
        """Be called back by an ultralytics trainer from its start on."""
        trainer.add_callback("on_train_start", self._on_start)
        trainer.add_callback("on_train_batch_start", self._on_batch_start)
        trainer.add_callback("on_train_batch_end", self._on_batch_end)
        trainer.add_callback("on_model_save", self._on_saved)

    def record(self) -> dict[str, Any]:
        """What the run came to."""
        return {
            "steps": int(self.step),
            "images_seen": int(self._images),
            "minutes": round(self._elapsed_s() / 60, 1),
            "config": asdict(self._config),
        }

    def _elapsed_s(self) -> float:
        return self._before_s + time.monotonic() - self._start_s

    def _progress(self, trainer: Any) -> float:
        config = self._config
        if config.minutes is not None:
            return self._elapsed_s() / (60 * config.minutes)
        return self.step / max(1, int(config.epochs or 1) * len(trainer.train_loader))

    def _on_start(self, _trainer: Any) -> None:
        self._start_s = time.monotonic()

    def _on_batch_start(self, trainer: Any) -> None:
        rate = learning_rate(self._config, int(self.step), self._progress(trainer))
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
        if self._progress(trainer) >= 1 - self._config.calm:
            trainer.train_loader.dataset.calm.fill_(1)

    def _on_batch_end(self, trainer: Any) -> None:
        self.step += 1
        self._images += self._config.batch
        done = self._progress(trainer)
        if self._config.minutes is not None and done >= 1:
            trainer.stop = True
        if int(self.step) % 25 == 0:
            row = {
                "step": self.step,
                "seconds": round(self._elapsed_s(), 1),
                "progress": round(done, 4),
                "lr": trainer.optimizer.param_groups[0]["lr"],
                **{key: round(float(value), 4) for key, value in trainer.tloss.items()},
            }
            with (self._out / "progress.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _on_saved(self, _trainer: Any) -> None:
        self.epochs += 1
        found = {"step": self.step, "images": self._images, "epochs": self.epochs, "seconds": self._elapsed_s()}
        text = json.dumps(found | {"config": asdict(self._config), "origin": self._origin}) + "\n"
        (self._out / "state.json.tmp").write_text(text, encoding="utf-8")
        (self._out / "state.json.tmp").replace(self._out / "state.json")
        self._say(f"epoch {int(self.epochs)}: {int(self.step)} steps, {self._elapsed_s() / 60:.1f} min")
