# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ground under the vehicles: loads the terrain that a configuration names.

The file is the one that the site's own terrain is stored in (numpy .npz, see `KEYS`); vehicles land on it.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from missions.geo import GeoPoint, LocalFrame
from missions.terrain import FlatTerrain, GridTerrain, Terrain
from sim.config import ConfigError, TerrainConfig

KEYS = (
    "latitude_deg",
    "longitude_deg",
    "west_m",
    "south_m",
    "resolution_m",
    "vertical_error_m",
    "heights_amsl_m",
    "source",
)


def load_terrain(config: TerrainConfig) -> Terrain:
    """The map's ground. Raises ConfigError for a file that is missing, no .npz, or lacks a key."""
    if config.npz is None:
        if config.flat_amsl_m is None:
            raise ConfigError("terrain: give either npz or flat_amsl_m")
        return FlatTerrain(config.flat_amsl_m)
    path = Path(config.npz)
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [key for key in KEYS if key not in data]
            if missing:
                raise ConfigError(f"{path}: not a terrain file: it lacks {', '.join(missing)}")
            return GridTerrain(
                frame=LocalFrame(GeoPoint(float(data["latitude_deg"]), float(data["longitude_deg"]))),
                west_m=float(data["west_m"]),
                south_m=float(data["south_m"]),
                resolution_m=float(data["resolution_m"]),
                heights_amsl_m=np.asarray(data["heights_amsl_m"], dtype=np.float32),
                source=str(data["source"]),
                vertical_error_m=float(data["vertical_error_m"]),
            )
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such terrain file") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path}: cannot be read as terrain ({error})") from error
