# SPDX-License-Identifier: AGPL-3.0-or-later
"""Radiometric JPEGs, in pure Python: what the sensor measured, and honestly whether that is a temperature.

DJI: raw uint16 little-endian in APP3 (XT S: APP4). Newer models store apparent temperature as (raw >> 2) / 16 kelvin;
the object's follows from T_app^4 = e T^4 + (1 - e) T_refl^4 with a constant e per model that was measured against the
vendor's SDK. Other models give values that rise with temperature and no more: they are RAW16. FLIR: see `flir`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vision.errors import PictureError
from vision.frame import Frame, PixelKind
from vision.sources.exif import ExifFacts
from vision.sources.flir import fff_stream, read_fff
from vision.sources.jpeg_segments import JpegFile, dji_facts, exif_facts, read_jpeg

_KELVIN: Final = 273.15
_REFLECTED_C: Final = 25.0  # what these cameras assume unless they are told otherwise
# model as Exif names it -> constant of the formula above; figures of their agreement are in the tests
_EMISSIVITY: Final = {
    "ZH20N": 0.745,
    "H20N": 0.745,
    "MAVIC2-ENTERPRISE-ADVANCED": 0.79,
    "M2EA": 0.79,
    "M30T": 0.7625,
    "M3T": 0.76,
    "M3TD": 0.76,
}
_SIZES: Final = {640 * 512: (512, 640), 1280 * 1024: (1024, 1280), 336 * 256: (256, 336), 160 * 120: (120, 160)}


@dataclass(frozen=True, slots=True)
class ThermalPicture:
    """Pixels, what they mean, and in words how far to trust them."""

    pixels: NDArray[np.float32] | NDArray[np.uint16]
    kind: PixelKind  # CELSIUS or RAW16
    model: str
    note: str
    exif: ExifFacts
    flight: dict[str, str]  # DJI's XMP values

    def frame(self, source_id: str, sequence: int = 0) -> Frame:
        """The picture as a frame without a pose."""
        return Frame(source_id, None, sequence, float(sequence), self.pixels, self.kind)


def read_rjpeg(path: Path) -> ThermalPicture | None:
    """The radiometric picture in a JPEG; None for an ordinary one. PictureError when it is damaged or cut off."""
    return thermal_in(read_jpeg(path))


def thermal_in(jpeg: JpegFile) -> ThermalPicture | None:
    """The same of a file that has been read."""
    path = jpeg.path
    exif, flight = exif_facts(jpeg), dji_facts(jpeg)
    stream = fff_stream(jpeg)
    if stream is not None:
        return ThermalPicture(
            read_fff(path, stream),
            PixelKind.CELSIUS,
            exif.model or "FLIR",
            "FLIR, by its Planck constants",
            exif,
            flight,
        )
    raw = _dji_raw(jpeg)
    if raw is None:
        return None
    emissivity = _EMISSIVITY.get(exif.model.upper())
    if emissivity is None:
        note = f"{exif.model or 'unknown model'}: values rise with temperature, but are no temperatures"
        return ThermalPicture(raw, PixelKind.RAW16, exif.model, note, exif, flight)
    note = f"{exif.model}, by a formula that agrees with the vendor's within half a degree at default settings"
    return ThermalPicture(dji_celsius(raw, emissivity), PixelKind.CELSIUS, exif.model, note, exif, flight)


def dji_celsius(raw: NDArray[np.uint16], emissivity: float, reflected_c: float = _REFLECTED_C) -> NDArray[np.float32]:
    """Degrees Celsius of the object from raw counts of the newer DJI models."""
    apparent_k = (raw >> 2).astype(np.float64) / 16.0
    reflected4 = (reflected_c + _KELVIN) ** 4
    object4 = (apparent_k**4 - (1.0 - emissivity) * reflected4) / emissivity
    return (np.maximum(object4, 0.0) ** 0.25 - _KELVIN).astype(np.float32)


def _dji_raw(jpeg: JpegFile) -> NDArray[np.uint16] | None:
    for number in (3, 4):
        body = jpeg.joined(number)
        shape = _SIZES.get(len(body) // 2)
        if shape is not None and len(body) % 2 == 0:
            return np.frombuffer(body, "<u2").reshape(shape).astype(np.uint16)
    if len(jpeg.joined(3)) > 100_000:
        raise PictureError(f"{jpeg.path}: radiometric data of an unknown size ({len(jpeg.joined(3))} bytes)")
    return None
