# SPDX-License-Identifier: AGPL-3.0-or-later
"""Picture files for vision's tests, put together byte by byte."""

from __future__ import annotations

import struct

import cv2
import numpy as np


def jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def with_segments(plain: bytes, *segments: tuple[int, bytes]) -> bytes:
    body = b"".join(
        bytes([0xFF, 0xE0 + n]) + struct.pack(">H", len(part) + 2) + part
        for n, payload in segments
        for part in (payload[i : i + 60_000] for i in range(0, len(payload), 60_000))
    )
    return plain[:2] + body + plain[2:]


def exif(model: str) -> bytes:
    text = model.encode() + b"\0"
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1)
    where = text.ljust(4, b"\0") if len(text) <= 4 else struct.pack("<I", 26)
    tiff += struct.pack("<HHI", 0x0110, 2, len(text)) + where + struct.pack("<I", 0) + text
    return b"Exif\0\0" + tiff


def dji(model: str, raw: np.ndarray) -> bytes:
    return with_segments(jpeg(np.zeros((512, 640), np.uint8)), (1, exif(model)), (3, raw.astype("<u2").tobytes()))


def person_picture() -> np.ndarray:
    rng = np.random.default_rng(4)
    picture = cv2.resize(rng.normal(90, 6, (8, 10)).astype(np.float32), (640, 512), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(picture, (320, 250), (4, 10), 20, 0, 360, 235, -1)
    return np.clip(picture + rng.normal(0, 1, picture.shape), 0, 255).astype(np.uint8)
