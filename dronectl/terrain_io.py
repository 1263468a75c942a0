# SPDX-License-Identifier: AGPL-3.0-or-later
"""Terrain files: `.npz` grids with their source, resolution and vertical error."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dronectl.errors import BadInputError
from missions.geo import GeoError, GeoPoint, LocalFrame
from missions.terrain import GridTerrain

_KEYS = (
    "latitude_deg",
    "longitude_deg",
    "west_m",
    "south_m",
    "resolution_m",
    "vertical_error_m",
    "heights_amsl_m",
    "source",
)


def load_terrain(path: Path) -> GridTerrain:
    """Read a terrain grid; raises BadInputError with one line."""
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [key for key in _KEYS if key not in data]
            if missing:
                raise BadInputError(f"{path}: is not a terrain grid: it lacks {', '.join(missing)}")
            return GridTerrain(
                frame=LocalFrame(GeoPoint(float(data["latitude_deg"]), float(data["longitude_deg"]))),
                west_m=float(data["west_m"]),
                south_m=float(data["south_m"]),
                resolution_m=float(data["resolution_m"]),
                heights_amsl_m=np.asarray(data["heights_amsl_m"], dtype=np.float32),
                source=str(data["source"]),
                vertical_error_m=float(data["vertical_error_m"]),
            )
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, GeoError, zipfile.BadZipFile, TypeError) as error:
        raise BadInputError(f"{path}: is not a terrain grid: {error}") from error


def grid_file(path: Path, terrain: GridTerrain, folder: Path) -> Path:
    """The file that another process reads a terrain from: `path` if it is a grid already, else a copy in `folder`."""
    if path.suffix.lower() == ".npz":
        return path
    copy = folder / "terrain.npz"
    save_terrain(copy, terrain)
    return copy


def save_terrain(file: Path | BinaryIO, terrain: GridTerrain) -> None:
    """Write a terrain grid that load_terrain reads."""
    np.savez_compressed(
        file,
        latitude_deg=terrain.frame.origin.latitude_deg,
        longitude_deg=terrain.frame.origin.longitude_deg,
        west_m=terrain.west_m,
        south_m=terrain.south_m,
        resolution_m=terrain.resolution_m,
        vertical_error_m=terrain.vertical_error_m,
        heights_amsl_m=terrain.heights_amsl_m,
        source=terrain.source,
    )
