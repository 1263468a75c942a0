# SPDX-License-Identifier: AGPL-3.0-or-later
"""A model that loads and fails: an ONNX file, written by hand, whose output can be had for a black picture only.

Gather(data, 1000 * max(picture)): index 0 for black, beyond the data for anything else, which ONNX Runtime refuses
when it runs. The bytes follow onnx.proto (ModelProto, GraphProto, NodeProto, TensorProto); no library is needed.
"""

from __future__ import annotations

import struct
from pathlib import Path

_FLOAT, _INT64 = 1, 7


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _node(kind: str, inputs: list[str], output: str, **attributes: int) -> bytes:
    made = b"".join(_bytes(1, name) for name in inputs) + _bytes(2, output) + _bytes(4, kind)
    for name, value in attributes.items():
        made += _bytes(5, _bytes(1, name) + _number(3, value) + _number(20, 2))
    return made


def _tensor(name: str, shape: tuple[int, ...], values: list[float]) -> bytes:
    made = b"".join(_number(1, n) for n in shape) + _number(2, _FLOAT) + _bytes(8, name)
    return made + _bytes(9, struct.pack(f"<{len(values)}f", *values))


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, dimensions)))


def write(path: Path, height_px: int = 512, width_px: int = 640) -> Path:
    """Write it and return its path; its output is YOLO's for one class and eight boxes, all of nothing."""
    graph = _bytes(1, _node("ReduceMax", ["images"], "brightest", keepdims=0))
    graph += _bytes(1, _node("Mul", ["brightest", "thousand"], "scaled"))
    graph += _bytes(1, _node("Cast", ["scaled"], "index", to=_INT64))
    graph += _bytes(1, _node("Gather", ["data", "index"], "output0", axis=0))
    graph += _bytes(2, "fragile")
    graph += _bytes(5, _tensor("thousand", (), [1000.0])) + _bytes(5, _tensor("data", (1, 1, 5, 8), [0.0] * 40))
    graph += _bytes(11, _value("images", (1, 3, height_px, width_px))) + _bytes(12, _value("output0", (1, 5, 8)))
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13)))
    return path
