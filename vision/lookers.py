# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which learned detector looks at which picture: the thermal one, or for colour pictures the RGB one, in tiles.

The colour model is loaded with the first colour picture. Colour pictures are large and people in them small, so they
are always looked at in tiles, all of them; the ground sample distance that counts for the model is the tile's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vision.detector import Detection, Detector
from vision.frame import Frame, PixelKind
from vision.model_card import ModelCard
from vision.sighting import Kind
from vision.tiled import TiledDetector, TileLook
from vision.tiles import TileSettings
from vision.unite import Observation, unite
from vision.yolo import YoloDetector

_CAUTION: Final = "it learned from rendered people, and misses some"


def experimental_note(card: ModelCard) -> str:
    """What whoever uses an experimental model must know, in one line."""
    return f"{card.name} is experimental: {card.caution or _CAUTION}; that it finds nobody does not show that nobody is there"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found. refusal: why there was none; tiles: what it covered, where it was in tiles.

    black_hot: the picture was taken for black-hot, and what was looked at is its negative.
    faint: who may be in a colour picture besides, too unsure to be told of: to be blurred in what is kept.
    """

    found: list[Detection]
    refusal: str | None
    model: ModelCard
    tiles: TileLook | None = None
    faint: tuple[Observation, ...] = ()
    black_hot: bool = False


class Lookers:
    """The learned detectors of a run. Not thread-safe."""

    def __init__(self, main: YoloDetector, load_colour: Callable[[], YoloDetector] | None = None) -> None:
        """load_colour: gives the detector for colour pictures if `main` is for thermal ones; None: there is none."""
        self._main = main
        self._load_colour = load_colour
        self._colour: YoloDetector | None = main if main.card.modality == "rgb" else None
        self._tiled: TiledDetector | None = None

    @property
    def name(self) -> str:
        """The main detector's name."""
        return self._main.name

    def yolo(self, frame: Frame) -> YoloDetector:
        """The detector that such a frame is for, or the main one, which will refuse it."""
        if frame.kind is not PixelKind.BGR8:
            return self._main
        if self._colour is None and self._load_colour is not None:
            self._colour = self._load_colour()
        return self._colour or self._main

    def detector(self, frame: Frame) -> Detector:
        """One for such frames of one camera; in tiles for colour."""
        yolo = self.yolo(frame)
        return _in_tiles(yolo) if yolo is self._colour else yolo

    def refusal(self, frame: Frame, gsd_m: float | None) -> str | None:
        """Why a frame is not for its model; None if it is. A picture finer than the model knows is reduced in tiles."""
        yolo = self.yolo(frame)
        finest = yolo.card.gsd_min_m
        if yolo is self._colour and gsd_m is not None and finest is not None:
            gsd_m = max(gsd_m, finest)
        return yolo.refusal(frame, gsd_m)

    def besides(self, frame: Frame) -> list[Observation]:
        """Whom the detector of colour pictures finds in a grey one that may be of an ordinary camera: to be blurred."""
        if frame.kind is not PixelKind.GREY8 or not frame.may_show_who:
            return []
        three = replace(frame, pixels=np.repeat(frame.pixels[..., None], 3, axis=2), kind=PixelKind.BGR8)
        look = self.look(three, None)
        return [o for o in (*unite(look.found), *look.faint) if o.learned_kind is Kind.PERSON]

    def look(self, frame: Frame, gsd_m: float | None, least: float | None = None) -> Look:
        """Look at a single picture. least: score of what is found in a thermal one, None: the detector's own."""
        yolo = self.yolo(frame)
        refusal = self.refusal(frame, gsd_m)
        if refusal is not None:
            return Look([], refusal, yolo.card)
        if yolo is not self._colour:
            return Look(yolo.detect(frame, gsd_m, least), None, yolo.card)
        if self._tiled is None:
            self._tiled = _in_tiles(yolo)
        found = self._tiled.detect(frame, gsd_m)
        return Look(found, None, yolo.card, self._tiled.last, tuple(unite(self._tiled.faint)))


def _in_tiles(yolo: YoloDetector) -> TiledDetector:
    return TiledDetector(yolo, yolo.input_size, tile_settings(yolo.card), (yolo.card.gsd_min_m, yolo.card.gsd_max_m))


def tile_settings(card: ModelCard, otherwise: TileSettings | None = None) -> TileSettings:
    """Tiles in which a figure has the size that the model's card asks for; the rest as given, else all tiles at once."""
    settings = otherwise or TileSettings()
    if card.figure_px is None:
        return settings
    return replace(settings, figure_min_px=card.figure_px[0], figure_max_px=card.figure_px[1])
