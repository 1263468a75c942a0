# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads an ONNX model's first input shape from the file: OpenCV does not tell it, and `onnx` is not a dependency.

Protocol buffers, as far as needed: ModelProto.graph (field 7) -> GraphProto.input (11) -> ValueInfoProto.type (2)
-> TypeProto.tensor_type (1) -> Tensor.shape (2) -> TensorShapeProto.dim (1) -> Dimension.dim_value (1).
Source: onnx/onnx.proto3 of the ONNX project.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vision.engines.base import fixed_input
from vision.errors import ModelError

_GRAPH, _INPUT, _TYPE, _TENSOR, _SHAPE, _DIM, _DIM_VALUE = 7, 11, 2, 1, 2, 1, 1


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message; nested messages come as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("a field that reaches beyond the end")
            yield number, data[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")


def _only(data: memoryview, number: int) -> memoryview:
    for found, value in _fields(data):
        if found == number and isinstance(value, memoryview):
            return value
    raise ValueError(f"no field {number}")


def input_shape(path: Path) -> tuple[int, int]:
    """(height, width) of the model's first input; ModelError if the file does not say."""
    try:
        view = memoryview(path.read_bytes())
        for number in (_GRAPH, _INPUT, _TYPE, _TENSOR, _SHAPE):
            view = _only(view, number)
        dims: list[int | None] = []
        for number, value in _fields(view):
            if number == _DIM and isinstance(value, memoryview):
                numbers = [v for n, v in _fields(value) if n == _DIM_VALUE and isinstance(v, int)]
                dims.append(numbers[0] if numbers else None)
    except (ValueError, IndexError) as error:
        raise ModelError(f"model {path}: this is not an ONNX model ({error})") from error
    return fixed_input(path, tuple(dims))
