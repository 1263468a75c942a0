# SPDX-License-Identifier: AGPL-3.0-or-later
"""The marker segments of a JPEG file, and what Exif and XMP in them say.

Sources: ITU-T T.81 annex B (markers), Adobe XMP part 3 (packet in APP1).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vision.errors import PictureError
from vision.sources.exif import ExifFacts, parse_exif
from vision.sources.files import read_bytes

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN: Final = 0xDA
_XMP_VALUE: Final = re.compile(rb'drone-dji:(\w+)(?:="([^"]*)"|>([^<]*)<)')


@dataclass(frozen=True, slots=True)
class JpegFile:
    """A JPEG's application segments (marker number 0..15, payload) in order, and its whole bytes."""

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    data: bytes

    def joined(self, number: int) -> bytes:
        """All payloads of one APPn, one after the other."""
        return b"".join(payload for n, payload in self.segments if n == number)


def read_jpeg(path: Path) -> JpegFile:
    """Read a file's segments. PictureError for a file that is none, or that ends too early."""
    data = read_bytes(path)
    if not data.startswith(_SOI):
        raise PictureError(f"{path}: this is not a JPEG")
    segments: list[tuple[int, bytes]] = []
    at = 2
    while True:
        if at + 4 > len(data):
            raise PictureError(f"{path}: the JPEG is cut off after {len(data)} bytes, within its headers")
        if data[at] != 0xFF:
            raise PictureError(f"{path}: the JPEG is damaged at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _START_OF_SCAN:
            break
        if at + 2 + length > len(data):
            raise PictureError(f"{path}: the JPEG is cut off after {len(data)} bytes, within its headers")
        if 0xE0 <= marker <= 0xEF:
            segments.append((marker - 0xE0, data[at + 4 : at + 2 + length]))
        at += 2 + length
    if _EOI not in data[at:]:
        raise PictureError(f"{path}: the JPEG is cut off after {len(data)} bytes; its picture has no end")
    return JpegFile(path, tuple(segments), data)


def exif_facts(jpeg: JpegFile) -> ExifFacts:
    """What the file's first Exif segment says; empty where it says nothing."""
    for number, payload in jpeg.segments:
        if number == 1 and payload.startswith(b"Exif\0\0"):
            return parse_exif(payload[6:])
    return ExifFacts()


def dji_facts(jpeg: JpegFile) -> dict[str, str]:
    """The `drone-dji:` values of the XMP packet: RelativeAltitude, GimbalPitchDegree and so on."""
    packet = b"".join(p for n, p in jpeg.segments if n == 1 and b"drone-dji:" in p)
    return {
        m.group(1).decode(): (m.group(2) or m.group(3) or b"").decode("utf-8", "replace")
        for m in _XMP_VALUE.finditer(packet)
    }
