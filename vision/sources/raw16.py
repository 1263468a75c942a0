# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sixteen-bit thermal pictures without a header (Y16), and what their counts mean when the user says so."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vision.errors import PictureError
from vision.frame import PixelKind
from vision.sources.files import read_bytes

RAW: Final = frozenset({".y16", ".raw"})
_KELVIN: Final = 273.15
# what uncooled cameras deliver; all areas differ, so that a file's length tells its size
SIZES: Final = (
    (80, 60), (160, 120), (206, 156), (256, 192), (320, 240), (320, 256), (336, 256), (384, 288), (400, 300),
    (640, 480), (640, 512), (1024, 768), (1280, 1024),
)  # fmt: skip


class Counts(StrEnum):
    """What one count of a sixteen-bit picture is."""

    RELATIVE = "relative"  # rises with temperature, and no more is known
    CENTIKELVIN = "centikelvin"  # 0.01 K: Lepton and Boson with TLinear at high resolution
    TLINEAR = "tlinear"  # 0.04 K: Tau 2, Vue Pro R and others with TLinear at high resolution
    DECIKELVIN = "decikelvin"  # 0.1 K


_KELVIN_PER_COUNT: Final = {Counts.CENTIKELVIN: 0.01, Counts.TLINEAR: 0.04, Counts.DECIKELVIN: 0.1}


def read_y16(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint16]:
    """One headerless picture, uint16 little-endian, (height, width). size: (width, height), else by the file's length.

    PictureError for a length that fits no size, or several pictures in one file.
    """
    data = read_bytes(path)
    if size is None:
        size = next(((w, h) for w, h in SIZES if 2 * w * h == len(data)), None)
        if size is None:
            raise PictureError(
                f"{path}: {len(data)} bytes are no picture of a known size; say its size with --raw-size WIDTHxHEIGHT"
            )
    width, height = size
    if len(data) != 2 * width * height:
        raise PictureError(
            f"{path}: {len(data)} bytes, and {width}x{height} pixels of 16 bits are {2 * width * height}"
        )
    return np.frombuffer(data, "<u2").reshape(height, width).astype(np.uint16)


def meaning(
    path: Path, pixels: NDArray[np.uint16], counts: Counts
) -> tuple[NDArray[np.uint16] | NDArray[np.float32], PixelKind, str]:
    """Pixels by what their counts are stated to mean, their kind, and a note.

    PictureError where the statement cannot be true: no scene has a median beyond -80 to 400 degrees.
    """
    kelvin = _KELVIN_PER_COUNT.get(counts)
    if kelvin is None:
        return pixels, PixelKind.RAW16, "16-bit values rise with temperature, but are no temperatures"
    celsius = (pixels * np.float32(kelvin) - np.float32(_KELVIN)).astype(np.float32)
    middle = float(np.median(celsius[::4, ::4]))
    if not -80.0 <= middle <= 400.0:
        raise PictureError(f"{path}: counts of {kelvin:g} K would make its median {middle:.0f} C: --counts is not true")
    return celsius, PixelKind.CELSIUS, f"16-bit values of {kelvin:g} K each, as stated"
