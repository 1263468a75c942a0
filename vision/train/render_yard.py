# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ground laid from textures: paving, asphalt, lawn, gravel and planks with edges, dirt and the shadows of what is out of sight.

The textures come as sheets of square samples with their names beneath (previews of ambientCG's library, CC0 1.0, in
fabien-michel/sweethome3d-textures-ambientcg). A sample of 128 pixels shows one to three metres.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from .augment import Image
from .errors import UserError

Floats = npt.NDArray[np.float32]
_MARGIN, _SAMPLE, _STEP_X, _STEP_Y = 16, 128, 144, 176
#: Sheets of ground, and how often each is taken.
_SHEETS: Final = {
    "PavingStones": 4.0, "Asphalt": 3.0, "Concrete": 2.5, "Grass": 3.0, "Ground": 4.0, "Gravel": 2.0, "Planks": 1.2,
    "Road": 0.7, "Rocks": 0.7, "Moss": 0.6, "Snow": 0.4, "Terrazzo": 0.3, "Bricks": 0.5, "Tiles": 0.8,
    "PineNeedles": 0.3, "RoofingTiles": 0.3,
}  # fmt: skip
_GAMMA: Final = 2.2


def samples(folder: Path) -> tuple[list[Image], list[float]]:
    """All samples of the sheets in a folder, and the weight of each. UserError for none, or a sheet that is no picture."""
    out: list[Image] = []
    weights: list[float] = []
    for name, weight in _SHEETS.items():
        path = folder / f"{name}.webp"
        if not path.is_file():
            continue
        sheet = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if sheet is None:
            raise UserError(f"{path}: cannot be read as a picture")
        mine = [
            cut
            for y in range(_MARGIN, sheet.shape[0] - _SAMPLE, _STEP_Y)
            for x in range(_MARGIN, sheet.shape[1] - _SAMPLE + 1, _STEP_X)
            if (cut := _trimmed(np.asarray(sheet[y : y + _SAMPLE, x : x + _SAMPLE], np.uint8))) is not None
        ]
        out += mine
        weights += [weight / max(len(mine), 1)] * len(mine)
    if not out:
        raise UserError(f"{folder}: no sheets of textures (such as PavingStones.webp) in it")
    return out, [weight / sum(weights) for weight in weights]


def _trimmed(cut: Image) -> Image | None:
    """A sample without the white about it; None where there is no sample."""
    ink = (cut.min(axis=2) < 250) | (np.ptp(cut, axis=2) > 3)
    rows, cols = np.nonzero(ink.mean(axis=1) > 0.5)[0], np.nonzero(ink.mean(axis=0) > 0.5)[0]
    if len(rows) < 60 or len(cols) < 60:
        return None
    return np.asarray(cut[rows[0] + 1 : rows[-1], cols[0] + 1 : cols[-1]], np.uint8)


def _laid(rng: np.random.Generator, sample: Image, size: int, scale: float) -> Floats:
    """A texture over a square of ``size``, linear, red green blue; ``scale`` is pixels per metre."""
    metres = math.exp(rng.uniform(math.log(0.9), math.log(3.2)))
    zoom = metres * scale / sample.shape[1]
    if zoom < 1:
        sample = np.asarray(cv2.resize(sample, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8)
        zoom = 1.0
    need = math.ceil(size * 1.5 / zoom)
    times = (math.ceil(need / sample.shape[0]) + 1, math.ceil(need / sample.shape[1]) + 1)
    wide = np.tile(sample, (*times, 1))
    angle = rng.uniform(0, 360)
    turn = np.asarray(cv2.getRotationMatrix2D((wide.shape[1] / 2, wide.shape[0] / 2), angle, zoom), np.float64)
    turn[:, 2] += np.array([size / 2 - wide.shape[1] / 2, size / 2 - wide.shape[0] / 2]) + rng.uniform(-40, 40, 2)
    flat = cv2.warpAffine(wide, turn, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    linear = (flat[..., ::-1].astype(np.float32) / 255) ** _GAMMA
    return np.asarray(linear * math.exp(rng.normal(0.0, 0.3)), np.float32)


def _blobs(rng: np.random.Generator, size: int, grain_px: float) -> Floats:
    """Smooth noise of mean 0 and spread 1."""
    small = max(4, round(size / max(grain_px, 1.0)))
    noise = cv2.resize(
        rng.standard_normal((small, small)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-6), np.float32)


def _region(rng: np.random.Generator, size: int, scale: float) -> Floats:
    """Where a second kind of ground lies, 0..1: a half plane, a path, a bed, patches."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    across = (x - rng.uniform(0, size)) * math.cos(angle) + (y - rng.uniform(0, size)) * math.sin(angle)
    kind = int(rng.integers(4))
    wobble = np.float32(rng.choice([0.0, 0.0, 0.15])) * scale * _blobs(rng, size, scale)
    if kind == 0:
        inside = across
    elif kind == 1:
        inside = rng.uniform(0.3, 2.0) * scale - np.abs(across)
    elif kind == 2:
        along = -(x - size / 2) * math.sin(angle) + (y - size / 2) * math.cos(angle)
        inside = np.minimum(rng.uniform(0.4, 3) * scale - np.abs(across), rng.uniform(0.4, 3) * scale - np.abs(along))
    else:
        inside = (_blobs(rng, size, rng.uniform(1, 4) * scale) - rng.uniform(0, 1)) * scale * 0.5
    return np.asarray(np.clip((inside + wobble) / rng.uniform(1.0, 4.0) + 0.5, 0, 1), np.float32)


def shade(rng: np.random.Generator, size: int, scale: float) -> Floats:
    """Where shadows of houses and trees lie, 0..1."""
    out = np.zeros((size, size), np.float32)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):
        if rng.random() < 0.5:
            angle = rng.uniform(0, 2 * math.pi)
            across = (x - rng.uniform(0, size)) * math.cos(angle) + (y - rng.uniform(0, size)) * math.sin(angle)
            width = rng.uniform(0.5, 6) * scale
            mask = np.clip((width - np.abs(across)) / rng.uniform(1, 4) + 0.5, 0, 1)
        else:
            coarse = _blobs(rng, size, rng.uniform(1.0, 3.0) * scale) + 0.5 * _blobs(rng, size, 0.25 * scale)
            mask = np.clip((coarse - rng.uniform(0.2, 1.2)) * 6, 0, 1)
        out = np.maximum(out, mask.astype(np.float32))
    return out


def yard(rng: np.random.Generator, textures: list[Image], weights: list[float], size: int, scale: float) -> Floats:
    """A square of ground before any shadow: linear, red green blue."""

    def pick() -> Image:
        return textures[int(rng.choice(len(textures), p=weights))]

    ground = _laid(rng, pick(), size, scale)
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.25, 0.35, 0.25, 0.15]))):
        mask = _region(rng, size, scale)
        if rng.random() < 0.5:  # a kerb or an edge
            edge = np.clip(1 - np.abs(mask - 0.5) * 2, 0, 1)
            edge = cv2.dilate(edge, np.ones((max(1, round(0.06 * scale)),) * 2, np.uint8))
            ground = ground * (1 - 0.6 * edge[..., None]) + np.float32(rng.uniform(0.02, 0.4)) * 0.6 * edge[..., None]
        ground = ground * (1 - mask[..., None]) + _laid(rng, pick(), size, scale) * mask[..., None]
    dirt = 1 + np.float32(rng.uniform(0.02, 0.18)) * _blobs(rng, size, rng.uniform(0.3, 3) * scale)
    fine = 1 + np.float32(rng.uniform(0.0, 0.08)) * rng.standard_normal((size, size)).astype(np.float32)
    grey = ground.mean(axis=2, keepdims=True)
    ground = grey + np.float32(rng.uniform(0.35, 1.0)) * (ground - grey)
    level = rng.uniform(0.08, 0.45) / max(float(ground.mean()), 1e-3) if rng.random() < 0.7 else 1.0
    return np.asarray(np.clip(ground * (dirt * fine * np.float32(level))[..., None], 0.002, 1.2), np.float32)
