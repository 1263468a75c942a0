# SPDX-License-Identifier: AGPL-3.0-or-later
"""Probability maps in files: `.npy` arrays, and `.npz` with one array or with `p`, where it lies and what it rests on.

Of a file's middle, cells and source the file itself knows best; a map that was written here says all of it.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dronectl.errors import BadInputError
from dronectl.operations.plan_files import write_atomically
from missions.errors import PlanningError
from missions.geo import FloatArray, GeoError, GeoPoint, LocalFrame
from missions.search.probability import ProbabilityMap, from_array

MAX_BYTES = 400_000_000
_CORNER = ("west_m", "south_m")
_CENTRE = ("latitude_deg", "longitude_deg")
_WORDS = ("source", "doubts")


@dataclass(frozen=True, slots=True)
class MapReading:
    """What a file may leave open: the place of its middle (None: it has to say), cell size, and which row is first."""

    centre: GeoPoint | None
    cell_m: float
    first_row_north: bool


def read_probability_map(file: Path, reading: MapReading) -> ProbabilityMap:
    """Read a map; its own place and cell size count before the reader's. Raises BadInputError with one line."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BadInputError(f"{file}: is larger than {MAX_BYTES // 1_000_000} MB; cut it to the area of the search")
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return _made(file, loaded, {}, reading)
        with loaded as data:
            chart = _made(file, _array(file, data), {k: float(data[k]) for k in _known(data.files)}, reading)
            if not set(_WORDS) <= set(data.files):
                return chart
            doubts = tuple(str(d) for d in np.atleast_1d(data["doubts"]))
            return replace(chart, source=str(data["source"]), doubts=doubts)
    except OSError as error:
        raise BadInputError(f"{file}: cannot be read: {error.strerror or error}; name a .npz or .npy file") from error
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise BadInputError(f"{file}: is not a probability map: {error}") from error


def write_probability_map(file: Path, chart: ProbabilityMap) -> None:
    """Write a map with where it lies, its source and its doubts; reading it gives the same. Raises BadInputError."""
    held = io.BytesIO()
    np.savez_compressed(
        held,
        p=chart.p,
        latitude_deg=chart.frame.origin.latitude_deg,
        longitude_deg=chart.frame.origin.longitude_deg,
        west_m=chart.west_m,
        south_m=chart.south_m,
        cell_m=chart.cell_m,
        source=chart.source,
        doubts=np.array(chart.doubts, dtype=np.str_),
    )
    write_atomically(file, held.getvalue())


def _known(names: list[str]) -> list[str]:
    return [k for k in (*_CORNER, *_CENTRE, "cell_m") if k in names]


def _array(file: Path, data: np.lib.npyio.NpzFile) -> FloatArray:
    grids = [name for name in data.files if name not in {*_CORNER, *_CENTRE, *_WORDS, "cell_m"}]
    name = "p" if "p" in grids else grids[0] if len(grids) == 1 else None
    if name is None:
        raise BadInputError(f"{file}: holds {', '.join(grids) or 'no array'}; name the map's array p")
    return np.asarray(data[name])


def _made(file: Path, values: FloatArray, extra: dict[str, float], reading: MapReading) -> ProbabilityMap:
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise BadInputError(f"{file}: a map is a grid of numbers, not {values.dtype} of shape {values.shape}")
    if any((k in extra) != (pair[0] in extra) for pair in (_CORNER, _CENTRE) for k in pair):
        raise BadInputError(f"{file}: gives only one of {' or '.join(' and '.join(p) for p in (_CORNER, _CENTRE))}")
    doubts = [f"read from {file.name}: nothing is known about how it was made"]
    try:
        centre = reading.centre
        if "latitude_deg" in extra:
            centre = GeoPoint(extra["latitude_deg"], extra["longitude_deg"])
        elif centre is None:
            raise BadInputError(f"{file}: does not say where it lies; give the place of its middle with --at")
        else:
            doubts.append("the file does not say where it lies: its middle was put on the given place")
        if "cell_m" not in extra:
            doubts.append(f"the file does not say how large its cells are: taken as {reading.cell_m:g} m")
        return from_array(
            values[::-1] if reading.first_row_north else values,
            LocalFrame(centre),
            extra.get("cell_m", reading.cell_m),
            source=file.name,
            west_m=extra.get("west_m"),
            south_m=extra.get("south_m"),
            doubts=tuple(doubts),
        )
    except (PlanningError, GeoError) as error:
        raise BadInputError(f"{file}: {error}") from error
