# SPDX-License-Identifier: AGPL-3.0-or-later
"""JPEG pictures as a Motion JPEG file in an AVI container, in memory: what cannot be written is then one error of the disk.

OpenCV's writer says nothing to its caller when the disk is full, and prints a line per frame. Pictures are kept as they are.
The layout is Microsoft's "AVI RIFF File Reference" (aviriff.h): a main header, one stream of video, the frames, an index.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

_RATE_SCALE: Final = 1000  # frames per 1000 seconds, so that slow cameras have their rate
_HAS_INDEX: Final = 0x10  # AVIF_HASINDEX
_KEY_FRAME: Final = 0x10  # AVIIF_KEYFRAME


def motion_jpeg(pictures: Sequence[bytes], width_px: int, height_px: int, rate_hz: float) -> bytes:
    """Return the file. pictures: whole JPEGs, all of that size; at least one. rate_hz: frames per second, above 0.001."""
    largest = max(len(picture) for picture in pictures)
    main = struct.pack(
        "<14I", round(1e6 / rate_hz), round(largest * rate_hz), 0, _HAS_INDEX, len(pictures), 0, 1, largest,
        width_px, height_px, 0, 0, 0, 0,
    )  # fmt: skip
    stream = struct.pack(
        "<4s4sI2H8I4H", b"vids", b"MJPG", 0, 0, 0, 0, _RATE_SCALE, round(rate_hz * _RATE_SCALE), 0, len(pictures),
        largest, 0xFFFFFFFF, 0, 0, 0, width_px, height_px,
    )  # fmt: skip
    bitmap = struct.pack("<I2i2H4s5I", 40, width_px, height_px, 1, 24, b"MJPG", 3 * width_px * height_px, 0, 0, 0, 0)
    head = _list(b"hdrl", _chunk(b"avih", main) + _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", bitmap)))
    frames, index = [], []
    at = 4  # from the list's kind on
    for picture in pictures:
        frames.append(_chunk(b"00dc", picture))
        index.append(struct.pack("<4s3I", b"00dc", _KEY_FRAME, at, len(picture)))
        at += len(frames[-1])
    body = head + _list(b"movi", b"".join(frames)) + _chunk(b"idx1", b"".join(index))
    return _chunk(b"RIFF", b"AVI " + body)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _list(kind: bytes, content: bytes) -> bytes:
    return _chunk(b"LIST", kind + content)
