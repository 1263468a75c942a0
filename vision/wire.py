# SPDX-License-Identifier: AGPL-3.0-or-later
"""The frame wire format: how a camera hands exposures over a TCP socket on loopback.

A camera listens; one reader connects. Each message is an 8-byte prefix (magic b"DCF1", header length as uint32
little-endian), a JSON header, then the payload whose length the header gives. The reader answers each frame with
one JSON line {"done": sequence} when it has finished with it or dropped it: a camera that paces itself uses that,
a real one may ignore it. Times are on the camera's own clock, in seconds.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"DCF1"
PREFIX: Final = struct.Struct("<4sI")
MAX_HEADER_BYTES: Final = 16_384
MAX_PAYLOAD_BYTES: Final = 64 * 1024 * 1024
_DTYPES: Final = {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}


class WireError(ValueError):
    """Bytes that are not a frame message."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What goes before the pixels. `kind` is a vision.frame.PixelKind value; pixels are row-major, little-endian."""

    camera_id: str
    sequence: int
    exposure_s: float
    sent_monotonic_s: float  # CLOCK_MONOTONIC of the sender at exposure: latency on one machine, else meaningless
    kind: str
    dtype: str
    shape: tuple[int, ...]
    payload_bytes: int


def encode(header: FrameHeader, pixels: NDArray[Any]) -> list[bytes | memoryview]:
    """The message as buffers for writelines(); the payload is not copied."""
    text = json.dumps(asdict(header), separators=(",", ":")).encode()
    contiguous = np.ascontiguousarray(pixels)
    return [PREFIX.pack(MAGIC, len(text)) + text, contiguous.data.cast("B")]


def decode_prefix(data: bytes) -> int:
    """Length of the header that follows."""
    magic, length = PREFIX.unpack(data)
    if magic != MAGIC:
        raise WireError(f"not a frame stream: it starts with {magic!r}")
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise WireError(f"a frame header of {length} bytes is refused")
    return int(length)


def decode_header(data: bytes) -> FrameHeader:
    """The header, checked: known dtype, and a payload length that fits the shape."""
    try:
        raw = json.loads(data)
        header = FrameHeader(
            camera_id=str(raw["camera_id"]),
            sequence=int(raw["sequence"]),
            exposure_s=float(raw["exposure_s"]),
            sent_monotonic_s=float(raw["sent_monotonic_s"]),
            kind=str(raw["kind"]),
            dtype=str(raw["dtype"]),
            shape=tuple(int(n) for n in raw["shape"]),
            payload_bytes=int(raw["payload_bytes"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise WireError(f"a frame header that cannot be read: {error}") from error
    if not (math.isfinite(header.exposure_s) and math.isfinite(header.sent_monotonic_s)):
        raise WireError(f"a frame of {header.camera_id} whose time is no number")
    if header.dtype not in _DTYPES:
        raise WireError(f"a frame of {header.dtype} is refused")
    if len(header.shape) not in (2, 3) or any(not 1 <= n <= 16_384 for n in header.shape):
        raise WireError(f"a frame of shape {header.shape} is refused")
    size = int(np.prod(header.shape)) * np.dtype(_DTYPES[header.dtype]).itemsize
    if size != header.payload_bytes or size > MAX_PAYLOAD_BYTES:
        raise WireError(f"a frame of shape {header.shape} cannot have {header.payload_bytes} bytes")
    return header


def decode_pixels(header: FrameHeader, payload: bytes) -> NDArray[Any]:
    """The pixels as an array of the header's dtype and shape."""
    return np.frombuffer(payload, dtype=_DTYPES[header.dtype]).reshape(header.shape)


def encode_done(sequence: int) -> bytes:
    """The reader's answer to one frame."""
    return b'{"done":%d}\n' % sequence
