# SPDX-License-Identifier: AGPL-3.0-or-later
"""People rendered on grounds: tiles and their boxes, and grounds that give none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vision.train.errors import UserError
from vision.train.render_people import VISIBLE_MIN, Ground, make_tile

SNOW = Ground("snow", (Path("a.jpg"),), 2.0, (65.0, 90.0), (0.3, 0.6), "CC0", "ours", "train")


def level(mean: float, seed: int = 1) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).normal(mean, 4, (700, 900, 3)), 0, 255).astype(np.uint8)


@pytest.mark.timeout(60)
def test_snow_from_above_is_ground_and_a_picture_of_nothing_but_sky_is_named() -> None:
    tile, _ = make_tile(level(235), SNOW, 192, np.random.default_rng(1))
    assert tile.shape == (192, 192, 3)
    with pytest.raises(UserError, match=r"backgrounds snow: .* looks like sky"):
        make_tile(level(235), replace(SNOW, elevation_deg=(20.0, 40.0)), 192, np.random.default_rng(1))


def test_boxes_lie_in_their_tile_round_what_was_drawn() -> None:
    ground, seen = level(90), 0
    for seed in range(12):
        rng = np.random.default_rng([7, seed])
        tile, boxes = make_tile(ground, SNOW, 192, rng)
        flat = np.abs(tile.astype(int) - int(np.median(tile))).max(axis=2) > 25
        for _, left, top, width, height in boxes:
            assert 0 <= left < left + width <= 192
            assert 0 <= top < top + height <= 192
            inside = flat[int(top) : int(top + height), int(left) : int(left + width)]
            seen += inside.mean() > 0.3 * VISIBLE_MIN
    assert seen >= 8
