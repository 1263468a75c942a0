#!/usr/bin/env python3
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Make the demonstration site's synthetic terrain: hills of smoothed seeded noise, a river valley, a level dock.

    .venv/bin/python scripts/make_terrain.py config/lidu/terrain.npz

It is invented and says so in its `source`; no survey of the place went into it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from dronectl.terrain_io import save_terrain
from missions.geo import GeoPoint, LocalFrame
from missions.terrain import GridTerrain

SEED = 20261
ORIGIN = GeoPoint(29.74, 107.27)
HALF_M = 2400.0
STEP_M = 30.0


def make() -> GridTerrain:
    """Build the grid: 161 x 161 heights around the dock."""
    rng = np.random.default_rng(SEED)
    axis = np.arange(-HALF_M, HALF_M + STEP_M / 2, STEP_M)
    east, north = np.meshgrid(axis, axis)
    hills = np.zeros_like(east)
    for wavelength_m, relief_m in ((900.0, 10.0), (350.0, 4.0), (120.0, 1.0)):
        noise = gaussian_filter(rng.standard_normal(east.shape), wavelength_m / STEP_M / 4.0, mode="wrap")
        hills += relief_m * noise / noise.std()
    river_distance = np.abs(north + 0.55 * east + 1150.0 + 60.0 * np.sin(east / 400.0)) / np.hypot(1.0, 0.55)
    valley = -24.0 * np.exp(-((river_distance / 260.0) ** 2))
    level = 1.0 - np.exp(-((east**2 + north**2) / 220.0**2))
    heights = 228.0 + hills * level + valley
    return GridTerrain(
        frame=LocalFrame(ORIGIN),
        west_m=-HALF_M,
        south_m=-HALF_M,
        resolution_m=STEP_M,
        heights_amsl_m=heights.astype(np.float32),
        source=f"synthetic, seed {SEED}: invented hills and a river, no survey of the place",
        vertical_error_m=3.0,
    )


if __name__ == "__main__":
    save_terrain(Path(sys.argv[1]), make())
