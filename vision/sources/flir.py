# SPDX-License-Identifier: AGPL-3.0-or-later
"""Temperatures from FLIR's radiometric JPEGs: the FFF container in APP1, with the Planck constants it carries.

Layout of the container and its records as documented by ExifTool (FLIR.pm). Radiance to temperature as in FLIR's
"Advanced Radiometry Note" and Minkina and Dudzik, "Infrared Thermography", 2009, chapter 3.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.errors import PictureError
from vision.frame import finite
from vision.sources.jpeg_segments import JpegFile

_PREFIX: Final = b"FLIR\0"
_RECORD_RAW, _RECORD_CAMERA = 1, 0x20
_PNG: Final = b"\x89PNG"
_KELVIN: Final = 273.15


@dataclass(frozen=True, slots=True)
class FlirCamera:
    """What the camera wrote down about itself and the scene. Temperatures in kelvin, distance in metres."""

    emissivity: float
    distance_m: float
    reflected_k: float
    atmosphere_k: float
    window_k: float
    window_transmission: float
    humidity: float  # 0..1
    r1: float
    b: float
    f: float
    o: float
    r2: float
    alpha1: float
    alpha2: float
    beta1: float
    beta2: float
    x: float


def fff_stream(jpeg: JpegFile) -> bytes | None:
    """The FFF container, put together from its APP1 segments; None where there is none."""
    parts: dict[int, bytes] = {}
    for number, payload in jpeg.segments:
        if number == 1 and payload.startswith(_PREFIX) and len(payload) > 8:
            parts[payload[6]] = payload[8:]
    return b"".join(parts[i] for i in sorted(parts)) if parts else None


def read_fff(path: Path, stream: bytes) -> NDArray[np.float32]:
    """Degrees Celsius as float32 (height, width). PictureError for a container that is not understood."""
    try:
        records = _records(path, stream)
        if _RECORD_RAW not in records or _RECORD_CAMERA not in records:
            raise PictureError(f"{path}: a FLIR picture without raw data or without its camera's constants")
        raw = _raw(path, records[_RECORD_RAW])
        return celsius(raw, _camera(records[_RECORD_CAMERA]))
    except (struct.error, IndexError, ValueError, ArithmeticError) as error:
        raise PictureError(f"{path}: a FLIR container that cannot be read ({error})") from error


def _records(path: Path, stream: bytes) -> dict[int, bytes]:
    if not stream.startswith((b"FFF\0", b"AFF\0")):
        raise PictureError(f"{path}: a FLIR container of an unknown kind")
    order = ">" if 100 <= struct.unpack_from(">I", stream, 0x14)[0] < 200 else "<"
    directory, count = struct.unpack_from(order + "II", stream, 0x18)
    records: dict[int, bytes] = {}
    for i in range(min(count, 200)):
        kind, _sub, _version, _id, offset, length = struct.unpack_from(order + "HHIIII", stream, directory + 32 * i)
        if kind and kind not in records and length and offset + length <= len(stream):
            records[kind] = stream[offset : offset + length]
    return records


def _raw(path: Path, record: bytes) -> NDArray[np.uint16]:
    order = "<" if struct.unpack_from("<H", record, 0)[0] == 2 else ">"
    width, height = struct.unpack_from(order + "HH", record, 2)
    body = record[32:]
    if body.startswith(_PNG):
        picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.dtype != np.uint16 or picture.shape != (height, width):
            raise PictureError(f"{path}: a FLIR picture whose raw data cannot be decoded")
        # the camera stores little-endian numbers in a format that is big-endian
        return np.asarray(picture.byteswap(), dtype=np.uint16)
    if len(body) < 2 * width * height:
        raise PictureError(f"{path}: a FLIR picture whose raw data ends too early")
    return np.frombuffer(body, order + "u2", width * height).reshape(height, width).astype(np.uint16)


def _camera(record: bytes) -> FlirCamera:
    order = "<" if struct.unpack_from("<H", record, 0)[0] == 2 else ">"

    def number(at: int) -> float:
        return float(struct.unpack_from(order + "f", record, at)[0])

    humidity = number(0x3C)
    return FlirCamera(
        emissivity=number(0x20),
        distance_m=number(0x24),
        reflected_k=number(0x28),
        atmosphere_k=number(0x2C),
        window_k=number(0x30),
        window_transmission=number(0x34),
        humidity=humidity / 100.0 if humidity > 2 else humidity,
        r1=number(0x58),
        b=number(0x5C),
        f=number(0x60),
        alpha1=number(0x70),
        alpha2=number(0x74),
        beta1=number(0x78),
        beta2=number(0x7C),
        x=number(0x80),
        o=float(struct.unpack_from(order + "i", record, 0x308)[0]),
        r2=number(0x30C),
    )


def celsius(raw: NDArray[np.uint16], c: FlirCamera) -> NDArray[np.float32]:
    """Counts to degrees Celsius of the object, with air and window between taken off. ValueError for what has none."""
    if not (c.r1 > 0 and c.r2 > 0 and c.b > 0 and 0 < c.emissivity <= 1):
        raise ValueError("constants out of range")

    def counts(kelvin: float) -> float:
        return c.r1 / (c.r2 * (math.exp(c.b / kelvin) - c.f)) - c.o

    t = c.atmosphere_k - _KELVIN
    vapour = c.humidity * math.exp(1.5587 + 6.939e-2 * t - 2.7816e-4 * t**2 + 6.8455e-7 * t**3)
    root_d, root_v = math.sqrt(max(0.0, c.distance_m)), math.sqrt(max(0.0, vapour))
    air = c.x * math.exp(-root_d * (c.alpha1 + c.beta1 * root_v)) + (1 - c.x) * math.exp(
        -root_d * (c.alpha2 + c.beta2 * root_v)
    )
    window = c.window_transmission if 0 < c.window_transmission <= 1 else 1.0
    through = c.emissivity * air * window
    added = (
        (1 - c.emissivity) * air * window * counts(c.reflected_k)
        + (1 - air) * window * counts(c.atmosphere_k)
        + ((1 - window) * counts(c.window_k) if window < 1 else 0.0)
    )
    with np.errstate(all="ignore"):  # counts colder than the formula knows, and constants that a damaged file holds
        signal = (raw.astype(np.float64) - added) / through
        return finite((c.b / np.log(c.r1 / (c.r2 * (signal + c.o)) + c.f) - _KELVIN).astype(np.float32))
