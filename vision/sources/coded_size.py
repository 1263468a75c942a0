# SPDX-License-Identifier: AGPL-3.0-or-later
"""The picture size that each packet of a video states: OpenCV scales later frames to the first one's size, unsaid.

JPEG: the frame header (ITU-T T.81, B.2.2). H.264: the sequence parameter set (ITU-T H.264, 7.3.2.1.1). For other codecs
nothing is known, and nothing is claimed. The parsers are pure and answer None to what they do not understand.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import cv2
import numpy as np

Size = tuple[int, int]  # width, height in pixels
_SOF: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_SPS: Final = 7
_MOST_UE_BITS: Final = 31
_MOST_SIDE_PX: Final = 16_384


class SizeWatch:
    """Reads a video's packets beside its decoder. `next()` gives the size that the next packet states, if it does."""

    def __init__(self, path: Path) -> None:
        self._packets: cv2.VideoCapture | None = None
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        if capture.isOpened():
            self._packets = capture
        else:
            capture.release()

    def next(self) -> Size | None:
        """The size that the next packet states; None where it states none, or after the last."""
        if self._packets is None:
            return None
        ok, packet = self._packets.read()
        if not ok or packet is None:
            self.close()
            return None
        return packet_size(np.asarray(packet, dtype=np.uint8).tobytes())

    def close(self) -> None:
        """Let the file go."""
        if self._packets is not None:
            self._packets.release()
            self._packets = None


def packet_size(data: bytes) -> Size | None:
    """The size that one coded packet states."""
    if data.startswith(b"\xff\xd8"):
        return jpeg_size(data)
    return h264_size(data)


def jpeg_size(data: bytes) -> Size | None:
    """Width and height in a JPEG's frame header, of what a video can hold."""
    size = stated_jpeg_size(data)
    return None if size is None else _plausible(*size)


def stated_jpeg_size(data: bytes) -> Size | None:
    """The same of any picture."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def h264_size(data: bytes) -> Size | None:
    """Width and height by the first sequence parameter set in an Annex B packet."""
    at = data.find(b"\0\0\1")
    while 0 <= at < len(data) - 4:
        if data[at + 3] & 0x9F == _SPS:  # forbidden bit clear, type 7
            end = data.find(b"\0\0\1", at + 3)
            return _sps_size(data[at + 4 : end if end > 0 else len(data)])
        at = data.find(b"\0\0\1", at + 3)
    return None


def _plausible(width: int, height: int) -> Size | None:
    return (width, height) if 0 < width <= _MOST_SIDE_PX and 0 < height <= _MOST_SIDE_PX else None


class _Bits:
    """Bits of a raw byte sequence payload, most significant first. IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data.replace(b"\0\0\3", b"\0\0")  # emulation prevention, 7.4.1.1
        self._at = 0

    def u(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte = self._data[self._at >> 3]
            value = value << 1 | byte >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def ue(self) -> int:
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > _MOST_UE_BITS:
                raise IndexError
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        value = self.ue()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _sps_size(payload: bytes) -> Size | None:
    try:
        return _sps(_Bits(payload))
    except IndexError:
        return None


def _sps(bits: _Bits) -> Size | None:
    profile = bits.u(8)
    bits.u(16)  # constraints and level
    bits.ue()
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        if chroma == 3 and bits.u(1):
            chroma = 0  # planes coded apart count as monochrome for cropping
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            for i in range(8 if chroma != 3 else 12):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    bits.ue()
    bits.u(1)
    width_mbs, height_units = bits.ue() + 1, bits.ue() + 1
    frames_only = bits.u(1)
    if not frames_only:
        bits.u(1)
    bits.u(1)
    width, height = 16 * width_mbs, 16 * height_units * (2 - frames_only)
    if bits.u(1):
        step_x = 2 if chroma in (1, 2) else 1
        step_y = (2 if chroma == 1 else 1) * (2 - frames_only)
        left, right, top, bottom = (bits.ue() for _ in range(4))
        width, height = width - step_x * (left + right), height - step_y * (top + bottom)
    return _plausible(width, height)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last
