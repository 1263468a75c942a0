# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fine-tuning through ultralytics (imported only here, when it is needed).

What differs from a plain ultralytics run: pictures keep their own shape (512x640, not a padded 640x640), grey
augmentation of our own, channels-last memory, and a schedule that follows either steps or the clock (`course.py`), so
that the cosine ends when the time is up. On the CPU pictures are made between steps; a GPU needs workers that make them.
"""

from __future__ import annotations

import importlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .augment import Image, augment, calmer
from .course import Course, unfinished
from .dataset import list_samples, read_boxes, read_image
from .errors import MissingExtraError, UserError
from .labels import Boxes, to_relative
from .train_config import TrainConfig


def require_ultralytics() -> Any:
    """Import ultralytics, or say in one line what is missing."""
    try:
        return importlib.import_module("ultralytics")
    except ImportError as error:
        raise MissingExtraError(
            f"training needs the package 'ultralytics' (pip install torch torchvision ultralytics): {error}"
        ) from None


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
    trainer_class = _trainer_class(root, len(names), config)
    torch = importlib.import_module("torch")
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    course = Course(out, config, origin, say)
    going_on = unfinished(out, config, origin)
    if going_on is None:
        (out / "train.json").unlink(missing_ok=True)
    else:
        kept = out / "resume.pt"
        shutil.copyfile(going_on[0], kept)
        weights = kept
        course.go_on(going_on[1])
        say(f"going on after {int(course.epochs)} epoch(s), {int(course.step)} steps")

    def on_start(trainer: Any) -> None:
        torch.set_num_threads(config.threads)
        trainer.model.to(memory_format=torch.channels_last)
        trainer.ema.decay = lambda updates: 0.995 * (1 - math.exp(-updates / 200))

    trainer = trainer_class(overrides=_overrides(root, weights, out, config, int(course.epochs)))
    trainer.add_callback("on_train_start", on_start)
    course.lead(trainer)
    trainer.train()
    (out / "train.json").write_text(json.dumps(course.record(), indent=2) + "\n", encoding="utf-8")
    return Path(trainer.last)


def _trainer_class(root: Path, classes: int, config: TrainConfig) -> Any:
    """A class of its own each time: ultralytics makes data sets and models through methods without our arguments."""
    torch = importlib.import_module("torch")
    detect = importlib.import_module("ultralytics.models.yolo.detect")
    data = importlib.import_module("ultralytics.data")
    torch_utils = importlib.import_module("ultralytics.utils.torch_utils")

    class Trainer(detect.DetectionTrainer):  # type: ignore[name-defined,misc]
        """DetectionTrainer with our data set, memory layout and schedule."""

        def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
            if mode != "train":
                return super().get_dataloader(dataset_path, batch_size, rank, mode)
            train_set = TrainSet(root, classes, config)
            return data.build_dataloader(
                train_set,
                batch=batch_size,
                workers=config.workers,
                shuffle=True,
                rank=rank,
                device=self.device,
            )

        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
            if weights is None or weights.model[-1].nc != classes:
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

    return Trainer


def _overrides(root: Path, weights: Path, out: Path, config: TrainConfig, epochs_done: int) -> dict[str, Any]:
    """What ultralytics is told: its own schedule, augmentation and evaluation are switched off."""
    return {
        "model": str(weights),
        "data": str(root / "data.yaml"),
        "epochs": max(1, config.epochs - epochs_done) if config.epochs is not None else 1000,
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
