# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fine-tuning through ultralytics (imported only here, when it is needed).

What differs from a plain ultralytics run: pictures keep their own shape (512x640, not a padded 640x640), grey
augmentation of our own, channels-last memory, and a schedule that follows either steps or the clock, so that the
cosine ends when the time is up. On the CPU pictures are made between steps; a GPU needs workers that make them.
"""

from __future__ import annotations

import importlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .augment import AugmentConfig, Image, augment, calmer
from .dataset import list_samples, read_boxes, read_image
from .errors import MissingExtraError, UserError
from .labels import Boxes, to_relative


def require_ultralytics() -> Any:
    """Import ultralytics, or say in one line what is missing."""
    try:
        return importlib.import_module("ultralytics")
    except ImportError as error:
        raise MissingExtraError(
            f"training needs the package 'ultralytics' (pip install torch torchvision ultralytics): {error}"
        ) from None


@dataclass(frozen=True)
class TrainConfig:
    """How to train; exactly one of epochs and minutes is set."""

    epochs: int | None = None
    minutes: float | None = None
    width: int = 640
    height: int = 512
    batch: int = 8
    lr: float = 1e-3
    final_lr: float = 0.02
    calm: float = 0.0  # this share of the schedule, at its end, is augmented less
    weight_decay: float = 5e-4
    warmup_steps: int = 150
    freeze: int = 0  # the first so many layers stay as they were: a fifth less time where time is short
    threads: int = 2
    device: str = "cpu"  # or the number of a GPU, or what else torch calls its devices
    workers: int = 0  # processes that make the pictures; 0: the training's own
    colour: bool = False
    seed: int = 0
    cache_bytes: int = 2 << 30
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def check(self) -> None:
        """Raise a UserError for settings that cannot work."""
        if (self.epochs is None) == (self.minutes is None):
            raise UserError("give either a number of epochs or a number of minutes")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"epochs must be at least 1 (found {self.epochs})")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UserError(f"minutes must be above 0 (found {self.minutes:g})")
        if not 0 < self.lr <= 1:
            raise UserError(f"--lr must be above 0 and at most 1 (found {self.lr:g})")
        for name, least in (("threads", 1), ("workers", 0), ("seed", 0), ("freeze", 0), ("warmup_steps", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} must be at least {least} (found {getattr(self, name)})")
        if self.width % 32 or self.height % 32 or self.width < 64 or self.height < 64:
            raise UserError(f"width and height must be multiples of 32 (found {self.width}x{self.height})")
        if self.batch < 2:
            raise UserError(f"batch must be at least 2 (found {self.batch})")
        if not 0 <= self.augment.p_cold <= 1:
            raise UserError(f"--cold must be from 0 to 1 (found {self.augment.p_cold:g})")
        if not 0 <= self.augment.p_wild <= 1 - self.augment.p_cold:
            raise UserError(f"--wild must be from 0 to what --cold leaves of 1 (found {self.augment.p_wild:g})")
        if not 0 <= self.calm <= 1:
            raise UserError(f"--calm must be from 0 to 1 (found {self.calm:g})")


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Linear warm-up over the first steps times a cosine over the progress (0..1) of the whole run."""
    cosine = config.final_lr + (1 - config.final_lr) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return config.lr * cosine * min(1.0, (step + 1) / max(config.warmup_steps, 1))


class TrainSet:
    """The training set in memory: augmented pictures and boxes, in the form of ultralytics' own data sets."""

    def __init__(self, root: Path, classes: int, config: TrainConfig) -> None:
        self._config = config
        self._samples = list_samples(root, "train")
        self._cache: dict[int, Image] = {}
        self._boxes: list[Boxes] = []
        self._rng: np.random.Generator | None = None
        torch = importlib.import_module("torch")
        self.calm = torch.zeros(1, dtype=torch.uint8).share_memory_()  # seen by the processes that make pictures, too
        room = config.cache_bytes
        for index, sample in enumerate(self._samples):
            image = read_image(sample.image, colour=config.colour)
            if image.nbytes <= room:
                self._cache[index] = image
                room -= image.nbytes
            self._boxes.append(read_boxes(sample, classes, image.shape[1], image.shape[0]))
        self.labels = [{"cls": rows[:, :1]} for rows in self._boxes]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        torch = importlib.import_module("torch")
        config = self._config
        if self._rng is None:
            worker = torch.utils.data.get_worker_info()  # None in the training's own process
            self._rng = np.random.default_rng(config.seed if worker is None else [config.seed, worker.id])
        source = self._cache.get(index)
        if source is None:
            source = read_image(self._samples[index].image, colour=config.colour)
        how = calmer(config.augment) if self.calm.item() else config.augment
        image, rows = augment(source, self._boxes[index], config.width, config.height, self._rng, how)
        three = image[..., ::-1].transpose(2, 0, 1) if image.ndim == 3 else np.repeat(image[None], 3, axis=0)
        return {
            "img": torch.from_numpy(np.ascontiguousarray(three)),
            "cls": torch.from_numpy(rows[:, :1].copy()),
            "bboxes": torch.from_numpy(to_relative(rows, config.width, config.height)),
        }

    @staticmethod
    def collate_fn(batch: list[dict[str, Any]]) -> dict[str, Any]:
        """Stack pictures; boxes carry the index of their picture."""
        torch = importlib.import_module("torch")
        index = [torch.full((len(item["cls"]),), float(i)) for i, item in enumerate(batch)]
        return {
            "img": torch.stack([item["img"] for item in batch]),
            "cls": torch.cat([item["cls"] for item in batch]),
            "bboxes": torch.cat([item["bboxes"] for item in batch]),
            "batch_idx": torch.cat(index),
        }


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


def fine_tune(
    root: Path,
    names: list[str],
    weights: Path,
    out: Path,
    config: TrainConfig,
    say: Callable[[str], None] = lambda _: None,
    origin: str = "",
) -> Path:
    """Fine-tune ``weights`` on a prepared data set; return the final checkpoint (the average of the weights).

    A run with the same settings and `origin` (of weights and pictures) that was stopped goes on from its last whole
    epoch: weights and schedule; the optimiser's moments begin anew.
    """
    config.check()
    if not weights.is_file():
        raise UserError(f"{weights}: no such file")
    list_samples(root, "train")
    list_samples(root, "val")
    require_ultralytics()
    torch = importlib.import_module("torch")
    detect = importlib.import_module("ultralytics.models.yolo.detect")
    data = importlib.import_module("ultralytics.data")
    torch_utils = importlib.import_module("ultralytics.utils.torch_utils")
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    log: list[dict[str, float]] = []
    state: dict[str, float] = {"step": 0, "start": 0.0, "images": 0, "before": 0.0, "epochs": 0}
    going_on = unfinished(out, config, origin)
    if going_on is None:
        (out / "train.json").unlink(missing_ok=True)
    else:
        kept = out / "resume.pt"
        shutil.copyfile(going_on[0], kept)
        weights = kept
        state |= {"before": going_on[1]["seconds"]} | {key: going_on[1][key] for key in ("step", "images", "epochs")}
        say(f"going on after {int(state['epochs'])} epoch(s), {int(state['step'])} steps")

    class Trainer(detect.DetectionTrainer):  # type: ignore[name-defined,misc]
        """DetectionTrainer with our data set, memory layout and schedule."""

        def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
            if mode != "train":
                return super().get_dataloader(dataset_path, batch_size, rank, mode)
            train_set = TrainSet(root, len(names), config)
            return data.build_dataloader(
                train_set,
                batch=batch_size,
                workers=config.workers,
                shuffle=True,
                rank=rank,
                device=self.device,
            )

        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
            if weights is None or weights.model[-1].nc != len(names):
                return super().get_model(cfg, weights, verbose)
            ready = weights.float()  # head and all: building it anew from its plan could give a head of another width
            for parameter in ready.parameters():
                parameter.requires_grad = True
            ready.criterion = None
            return ready

        def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
            batch = super().preprocess_batch(batch)
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
            return batch

        def validate(self) -> tuple[dict[str, float], float]:
            return {}, 0.0  # our own evaluation follows; on a busy CPU this one outlasts the time given

        def final_eval(self) -> None:
            torch_utils.strip_optimizer(self.last)

    def elapsed_s() -> float:
        return state["before"] + time.monotonic() - state["start"]

    def progress(trainer: Any) -> float:
        if config.minutes is not None:
            return elapsed_s() / (60 * config.minutes)
        return state["step"] / max(1, int(config.epochs or 1) * len(trainer.train_loader))

    def on_saved(_trainer: Any) -> None:
        state["epochs"] += 1
        found = {"step": state["step"], "images": state["images"], "epochs": state["epochs"], "seconds": elapsed_s()}
        text = json.dumps(found | {"config": asdict(config), "origin": origin}) + "\n"
        (out / "state.json.tmp").write_text(text, encoding="utf-8")
        (out / "state.json.tmp").replace(out / "state.json")
        say(f"epoch {int(state['epochs'])}: {int(state['step'])} steps, {elapsed_s() / 60:.1f} min")

    def on_start(trainer: Any) -> None:
        torch.set_num_threads(config.threads)
        trainer.model.to(memory_format=torch.channels_last)
        trainer.ema.decay = lambda updates: 0.995 * (1 - math.exp(-updates / 200))
        state["start"] = time.monotonic()

    def on_batch_start(trainer: Any) -> None:
        rate = learning_rate(config, int(state["step"]), progress(trainer))
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
        if progress(trainer) >= 1 - config.calm:
            trainer.train_loader.dataset.calm.fill_(1)

    def on_batch_end(trainer: Any) -> None:
        state["step"] += 1
        state["images"] += config.batch
        done = progress(trainer)
        if config.minutes is not None and done >= 1:
            trainer.stop = True
        if int(state["step"]) % 25 == 0:
            row = {
                "step": state["step"],
                "seconds": round(elapsed_s(), 1),
                "progress": round(done, 4),
                "lr": trainer.optimizer.param_groups[0]["lr"],
                **{key: round(float(value), 4) for key, value in trainer.tloss.items()},
            }
            log.append(row)
            with (out / "progress.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    trainer = Trainer(
        overrides={
            "model": str(weights),
            "data": str(root / "data.yaml"),
            "epochs": max(1, config.epochs - int(state["epochs"])) if config.epochs is not None else 1000,
            "imgsz": max(config.width, config.height),
            "batch": config.batch,
            "nbs": config.batch,
            "freeze": config.freeze or None,
            "optimizer": "AdamW",
            "lr0": config.lr,
            "weight_decay": config.weight_decay,
            "warmup_epochs": 0.0,
            "close_mosaic": 0,
            "patience": 0,
            "seed": config.seed,
            "deterministic": False,
            "device": config.device,
            "amp": False,
            "plots": False,
            "val": False,
            "save_period": 1,
            "project": str(out.resolve()),
            "name": "run",
            "exist_ok": True,
            "workers": 0,
        }
    )
    trainer.add_callback("on_train_start", on_start)
    trainer.add_callback("on_train_batch_start", on_batch_start)
    trainer.add_callback("on_train_batch_end", on_batch_end)
    trainer.add_callback("on_model_save", on_saved)
    trainer.train()
    record = {
        "steps": int(state["step"]),
        "images_seen": int(state["images"]),
        "minutes": round(elapsed_s() / 60, 1),
        "config": asdict(config),
    }
    (out / "train.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return Path(trainer.last)


def ultralytics_figures(checkpoint: Path, root: Path, split: str, size: int, threads: int = 2) -> dict[str, float]:
    """Average precision at IoU .5 of each class as ultralytics computes it, to compare with our own."""
    ultralytics = require_ultralytics()
    importlib.import_module("torch").set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        result = ultralytics.YOLO(str(checkpoint)).val(
            data=str(root / "data.yaml"),
            split=split,
            imgsz=size,
            batch=4,
            workers=0,
            device="cpu",
            plots=False,
            verbose=False,
            project=folder,
            name="val",
        )
    names = result.names
    return {
        str(names[int(cls)]): round(float(ap), 4)
        for cls, ap in zip(result.ap_class_index, result.box.ap50, strict=True)
    }
