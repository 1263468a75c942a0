# SPDX-License-Identifier: AGPL-3.0-or-later
"""A detector that looks through tiles: large pictures with small people, behind the Detector protocol.

Each chosen tile is scaled to the network's input and given to the inner detector as a frame of its own, with the ground
sample distance that it then has; boxes come back in the picture's pixels and are merged across seams. One instance
serves one camera, as tiles wait their turn from frame to frame. `last` says what the last frame's look left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.detector import Detection, Detector
from vision.frame import Frame
from vision.sighting import Kind
from vision.stabilise import Stabiliser, reduced
from vision.sweep import Sweep, Waits
from vision.tiles import Piece, Tile, TilePlan, TileSettings, cut_sides, merge_pieces, plan_tiles, unseen
from vision.yolo import YoloDetector

_REDUCED_WIDTH: Final = 640
_CUT_PX: Final = 2.5  # on the network's input: a box that ends so near a seam was cut by it
_HARDLY_SMALLER: Final = 0.75  # averaging areas takes seven times as long there as a mean of neighbours
_SAME_SCALE: Final = 0.1  # a height that wavers must not begin the sweep anew
_FAINT: Final = 0.05  # half as many people again as at the confidence from which they are told of
_FOUND_BEFORE: Final = 4.0  # interest, in units of noise, of a tile where something was found in the last frame


@dataclass(frozen=True, slots=True)
class TileLook:
    """What one frame's look covered.

    not_looked_at: rectangles that do not overlap, in picture pixels; fraction_unseen: their share of the picture.
    waiting_frames: within how many frames every tile is looked at.
    """

    tiles: int
    looked_at: tuple[Tile, ...]
    not_looked_at: tuple[Tile, ...]
    fraction_unseen: float
    waiting_frames: int
    scale: float

    def polygons_px(self) -> list[list[tuple[float, float]]]:
        """What was not looked at as rings (x, y), for projection onto the ground."""
        return [
            [(t.left_px, t.top_px), (t.right_px, t.top_px), (t.right_px, t.bottom_px), (t.left_px, t.bottom_px)]
            for t in self.not_looked_at
        ]


class TiledDetector:
    """Tiles in front of another detector. Not thread-safe; one per camera."""

    def __init__(
        self,
        inner: Detector,
        input_size: tuple[int, int],
        settings: TileSettings | None = None,
        model_gsd_m: tuple[float | None, float | None] = (None, None),
    ) -> None:
        self._inner = inner
        self._input_size = input_size
        self._settings = settings or TileSettings()
        self._model_gsd_m = model_gsd_m
        self._plan: TilePlan | None = None
        self._gsd_m: float | None = None
        self._sweep = Sweep(1, self._settings)
        self._waits = Waits(0, 0)
        self._interest = Interest()
        self._found: list[Detection] = []
        self._sure = inner.confidence if isinstance(inner, YoloDetector) else 0.0
        self.faint: list[Detection] = []  # what may be people: too unsure to be told of, not to be blurred
        self.last: TileLook | None = None

    @property
    def name(self) -> str:
        return f"{self._inner.name} in tiles"

    def detect(self, frame: Frame, gsd_m: float | None) -> list[Detection]:
        plan = self._planned(frame, gsd_m)
        if len(plan.tiles) > 1 and self._settings.per_frame is not None and self._settings.per_frame < len(plan.tiles):
            interest = self._interest.of(frame, plan)
            for box in self._found:
                x, y = box.centre_px
                inside = [t.left_px <= x < t.right_px and t.top_px <= y < t.bottom_px for t in plan.tiles]
                interest[inside] += _FOUND_BEFORE
        else:
            interest = np.zeros(len(plan.tiles))
        chosen = self._sweep.choose(interest)
        self._waits.step([plan.tiles[i] for i in chosen])
        found: list[Detection] = []
        pieces: list[Piece] = []
        self.faint = []
        for index in chosen:
            for box in self._look(frame, plan, index, gsd_m):
                if box.confidence < self._sure:
                    self.faint += [box] if box.kind is Kind.PERSON else []
                    continue
                corners = (box.left_px, box.top_px, box.right_px, box.bottom_px)
                cut = cut_sides(corners, plan.tiles[index], plan, _CUT_PX / plan.scale)
                found.append(box)
                pieces.append(Piece(corners, box.confidence, box.kind.value, index, cut))
        self._found = [self._one(found, piece, members) for piece, members in merge_pieces(pieces)]
        left_out, fraction = unseen(plan, chosen)
        self.last = TileLook(
            len(plan.tiles), tuple(plan.tiles[i] for i in chosen), tuple(left_out), fraction,
            self._sweep.promised_frames, plan.scale,
        )  # fmt: skip
        return list(self._found)

    def _planned(self, frame: Frame, gsd_m: float | None) -> TilePlan:
        plan = self._plan
        same_size = plan is not None and (plan.width_px, plan.height_px) == (frame.width_px, frame.height_px)
        if plan is not None and same_size and _near(gsd_m, self._gsd_m):
            return plan
        plan = plan_tiles((frame.height_px, frame.width_px), self._input_size, gsd_m, self._settings, self._model_gsd_m)
        if self._plan is None or plan.tiles != self._plan.tiles:
            self._sweep = Sweep(len(plan.tiles), self._settings)
            if self._waits.fits(plan):
                self._sweep.begin(self._waits.of(plan))  # over hills the scale never rests: the sweep goes on
            else:
                self._waits = Waits(plan.width_px, plan.height_px)
        self._plan, self._gsd_m = plan, gsd_m
        return plan

    def _look(self, frame: Frame, plan: TilePlan, index: int, gsd_m: float | None) -> list[Detection]:
        tile = plan.tiles[index]
        pixels: NDArray[Any] = frame.pixels[tile.top_px : tile.bottom_px, tile.left_px : tile.right_px]
        rows, columns = pixels.shape[:2]
        width, height = max(1, round(columns * plan.scale)), max(1, round(rows * plan.scale))
        if (width, height) != (columns, rows):
            # what is made a little smaller loses nothing between two neighbours, and models learned from such pictures
            method = cv2.INTER_AREA if plan.scale < _HARDLY_SMALLER else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=method), dtype=frame.pixels.dtype)
        part = replace(frame, pixels=np.ascontiguousarray(pixels), camera=None, pose=None)
        across, down = columns / width, rows / height
        gsd_m = None if gsd_m is None else gsd_m * across
        if isinstance(self._inner, YoloDetector):
            boxes = self._inner.detect(part, gsd_m, min(self._sure, _FAINT))
        else:
            boxes = self._inner.detect(part, gsd_m)
        return [
            replace(
                box,
                left_px=tile.left_px + box.left_px * across,
                top_px=tile.top_px + box.top_px * down,
                right_px=tile.left_px + box.right_px * across,
                bottom_px=tile.top_px + box.bottom_px * down,
                area_px=None if box.area_px is None else round(box.area_px * across * down),
            )
            for box in boxes
        ]

    @staticmethod
    def _one(found: list[Detection], piece: Piece, members: list[int]) -> Detection:
        parts = [found[i] for i in members]
        left, top, right, bottom = piece.corners_px
        hottest = [p.temperature_max_c for p in parts if p.temperature_max_c is not None]
        best = max(parts, key=lambda p: p.confidence)
        return replace(
            best,
            left_px=left,
            top_px=top,
            right_px=right,
            bottom_px=bottom,
            temperature_max_c=max(hottest, default=None),
        )


def _near(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a / b - 1.0) <= _SAME_SCALE


class Interest:
    """Where to look first: what moves against the ground, and what stands out from it. Both in units of noise."""

    def __init__(self) -> None:
        self._stabiliser = Stabiliser()
        self._last: NDArray[np.float32] | None = None
        self._last_at = (0.0, 0.0, 0)

    def of(self, frame: Frame, plan: TilePlan) -> NDArray[np.float64]:
        """(tiles,): the most that any reduced pixel of each tile shows, by motion plus by contrast."""
        small = reduced(frame, _REDUCED_WIDTH)
        size = (small.shape[1], small.shape[0])
        factor = small.shape[1] / frame.width_px
        ground = cv2.blur(small, (31, 31))
        shown = _in_noise(np.abs(cv2.GaussianBlur(small, (0, 0), 1.0) - ground))
        shift = self._stabiliser.step(frame)
        if self._last is not None and self._last.shape == small.shape and shift.epoch == self._last_at[2]:
            dx, dy = (shift.x_px - self._last_at[0]) * factor, (shift.y_px - self._last_at[1]) * factor
            move = np.array([[1.0, 0.0, -dx], [0.0, 1.0, -dy]], dtype=np.float32)
            before = cv2.warpAffine(self._last, move, size, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan"))
            difference = np.nan_to_num(np.abs(small - before))  # what has just come into view has no before
            shown = shown + _in_noise(cv2.GaussianBlur(difference, (0, 0), 1.0))
        self._last, self._last_at = small, (shift.x_px, shift.y_px, shift.epoch)
        across, down = size[0] / frame.width_px, size[1] / frame.height_px
        return np.array(
            [
                float(
                    shown[
                        int(t.top_px * down) : max(int(t.top_px * down) + 1, int(t.bottom_px * down)),
                        int(t.left_px * across) : max(int(t.left_px * across) + 1, int(t.right_px * across)),
                    ].max()
                )
                for t in plan.tiles
            ]
        )


def _in_noise(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Absolute values over their median, which a few bright things do not move."""
    middle = float(np.median(values[::4, ::4]))
    return np.asarray(values / np.float32(max(middle, 1e-3)), dtype=np.float32)
