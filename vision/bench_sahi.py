# SPDX-License-Identifier: AGPL-3.0-or-later
"""The peer in `vision.bench`: SAHI with ultralytics, on the same model file, the same pictures and as many threads.

It slices as we tile: parts of one size where a picture is looked at in parts, with SAHI's usual overlap and merging, else
the picture whole. An ONNX file is computed by ONNX Runtime, as ultralytics does; a checkpoint by PyTorch. Nothing of ours
is in what is timed but the stretch of thermal values to 8 bits, which both sides need.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.bench_parts import STAGES, WARM_UP, Cost, Run, cost_of, resident_mb
from vision.engines.base import first_line
from vision.engines.onnx_header import input_shape
from vision.errors import EngineMissingError, EngineUnusableError, ModelError
from vision.frame import Frame, PixelKind
from vision.lookers import tile_settings
from vision.model_card import ModelCard, read_card
from vision.prepare import to_grey
from vision.tiles import plan_tiles

SAHI: Final = "sahi"
PEER_PACKAGES: Final = ("sahi", "ultralytics")
_OVERLAP: Final = 0.2  # SAHI's usual one
_CHECKPOINT_PX: Final = 640


def measure_sahi(model: Path, threads: int, frames: Sequence[Frame], count: int) -> Cost:
    """Load, look `count` times, and say what it cost. ModelError; EngineMissingError without the libraries."""
    missing = [name for name in PEER_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineMissingError(
            f"{' and '.join(missing)} not installed: {sys.executable} -m pip install sahi ultralytics"
        )
    cv2.setNumThreads(1)
    _confine(threads)
    # neither fetches packages nor asks the network whether there is a newer one
    os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
    card = read_card(model)
    with contextlib.redirect_stdout(sys.stderr):  # libraries talk on standard output
        return _measured(model, card, threads, frames, count)


def _measured(model: Path, card: ModelCard, threads: int, frames: Sequence[Frame], count: int) -> Cost:
    before_mb = resident_mb()
    began = time.perf_counter()
    peer = _Peer(model, card, threads, (frames[0].height_px, frames[0].width_px))
    load_s = time.perf_counter() - began
    began = time.perf_counter()
    peer.first(np.zeros((frames[0].height_px, frames[0].width_px, 3), np.uint8))
    first_ms = (time.perf_counter() - began) * 1e3
    times: dict[str, list[float]] = {stage: [] for stage in STAGES if stage != "hot_spots"}
    cpu_began = wall_began = 0.0
    boxes = 0
    for number in range(count + WARM_UP):
        if number == WARM_UP:
            cpu_began, wall_began = time.process_time(), time.perf_counter()
        frame = frames[number % len(frames)]
        began = time.perf_counter()
        picture = _rgb(frame, card)
        made_ms = (time.perf_counter() - began) * 1e3
        found, spent = peer.look(picture)
        whole_ms = (time.perf_counter() - began) * 1e3
        if number >= WARM_UP:
            boxes += found
            spent["prepare"] += made_ms
            spent["tiles"] = whole_ms - sum(spent.values())
            for stage, values in times.items():
                values.append(spent[stage])
    wall_s, cpu_s = time.perf_counter() - wall_began, time.process_time() - cpu_began
    run = Run(peer.name, card.label, threads, peer.slices, boxes, load_s, first_ms, times, wall_s, cpu_s, before_mb)
    return cost_of(run, frames)


def _confine(threads: int) -> None:
    """No more cores than our side has threads: ultralytics gives ONNX Runtime all that it may use."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])


def _rgb(frame: Frame, card: ModelCard) -> NDArray[np.uint8]:
    """The frame as SAHI takes it."""
    if frame.kind is PixelKind.BGR8:
        return np.asarray(cv2.cvtColor(frame.pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(to_grey(frame, card), cv2.COLOR_GRAY2RGB), dtype=np.uint8)


class _Peer:
    """A model in SAHI. `look` gives boxes and the milliseconds of ultralytics's own steps, over all slices."""

    def __init__(self, model: Path, card: ModelCard, threads: int, size: tuple[int, int]) -> None:
        try:
            sahi, ultralytics, torch = (importlib.import_module(name) for name in (*PEER_PACKAGES, "torch"))
        except (ImportError, OSError) as error:  # half an installation, or one for another system
            raise EngineUnusableError(f"SAHI or ultralytics cannot be loaded ({first_line(error)})") from error
        onnx = model.suffix == ".onnx"
        try:
            self._model: Any = sahi.AutoDetectionModel.from_pretrained(
                model_type="ultralytics", model_path=str(model), confidence_threshold=card.confidence, device="cpu",
                task="detect", category_mapping={str(i): name for i, name in enumerate(card.classes)},
            )  # fmt: skip
        except Exception as error:  # SAHI's and those of all below it have no common base
            raise ModelError(f"model {model}: SAHI cannot read it ({first_line(error)})") from error
        rows, columns = input_shape(model) if onnx else _checkpoint_size(self._model.model.overrides.get("imgsz"))
        self._model.image_size = max(rows, columns)
        self._slice = size
        if card.modality == "rgb":
            tile = plan_tiles(size, (rows, columns), None, tile_settings(card)).tiles[0]
            self._slice = (tile.bottom_px - tile.top_px, tile.right_px - tile.left_px)
        self._predict: Callable[..., Any] = importlib.import_module("sahi.predict").get_sliced_prediction
        self._speeds: list[dict[str, float]] = []
        self._model.model.add_callback("on_predict_batch_end", self._note)
        backend = importlib.import_module("onnxruntime") if onnx else torch
        name = "ONNX Runtime" if onnx else "PyTorch"
        self.name = f"SAHI {sahi.__version__}, ultralytics {ultralytics.__version__}, {name} {backend.__version__}"
        self.slices = 0
        self._give_threads: Callable[[int], None] | None = None if onnx else torch.set_num_threads
        self._threads = threads

    def first(self, picture: NDArray[np.uint8]) -> None:
        """The first look, in which ultralytics takes PyTorch down to a thread less than there are cores.

        Where PyTorch computes the network that is undone. Beside ONNX Runtime it is as well: their threads would wait for
        each other's cores, which costs ten times what is gained.
        """
        self.look(picture)
        if self._give_threads is not None:
            self._give_threads(self._threads)

    def _note(self, predictor: Any) -> None:
        self._speeds += [result.speed for result in predictor.results]

    def look(self, picture: NDArray[np.uint8]) -> tuple[int, dict[str, float]]:
        """(boxes, milliseconds by stage)."""
        self._speeds.clear()
        height, width = self._slice
        result = self._predict(
            picture, self._model, slice_height=height, slice_width=width, overlap_height_ratio=_OVERLAP,
            overlap_width_ratio=_OVERLAP, perform_standard_pred=False, verbose=0,
        )  # fmt: skip
        self.slices = len(self._speeds)
        names = {"prepare": "preprocess", "infer": "inference", "decode": "postprocess"}
        spent = {ours: sum(speed[theirs] for speed in self._speeds) for ours, theirs in names.items()}
        return len(result.object_prediction_list), spent


def _checkpoint_size(stated: Any) -> tuple[int, int]:
    """(height, width) that a checkpoint was trained at."""
    sides = [stated] if isinstance(stated, int) else list(_integers(stated))
    return (sides[0], sides[-1]) if sides else (_CHECKPOINT_PX, _CHECKPOINT_PX)


def _integers(stated: Any) -> Iterator[int]:
    yield from (int(side) for side in stated or ())
