# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sixteen-bit pictures, and videos whose size changes midway."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vision.errors import PictureError
from vision.frame import PixelKind
from vision.sources.coded_size import h264_size, jpeg_size, packet_size
from vision.sources.raw16 import SIZES, Counts
from vision.sources.stills import StillOptions, read_still, read_video


def test_lengths_of_raw_pictures_tell_their_sizes() -> None:
    assert len({w * h for w, h in SIZES}) == len(SIZES)


@pytest.mark.parametrize("size", SIZES)
def test_raw_y16_by_its_length(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.arange(width * height, dtype=np.uint32).astype("<u2").reshape(height, width)
    path = tmp_path / "a.y16"
    path.write_bytes(pixels.tobytes())
    frame = read_still(path).frame
    assert frame.kind is PixelKind.RAW16
    assert np.array_equal(frame.pixels, pixels)


def test_raw_y16_of_another_size_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(np.full((10, 30), 29_815, "<u2").tobytes())
    with pytest.raises(PictureError, match=r"a\.raw.*--raw-size"):
        read_still(path)
    still = read_still(path, StillOptions(raw_size=(30, 10), counts=Counts.CENTIKELVIN))
    assert still.frame.kind is PixelKind.CELSIUS
    assert still.frame.pixels == pytest.approx(np.full((10, 30), 25.0), abs=0.01)
    with pytest.raises(PictureError, match=r"600 bytes, and 30x11 pixels"):
        read_still(path, StillOptions(raw_size=(30, 11)))
    with pytest.raises(PictureError, match=r"--counts is not true"):
        read_still(path, StillOptions(raw_size=(30, 10), counts=Counts.DECIKELVIN))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_sixteen_bit_pictures_with_stated_counts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.full((48, 64), round((20 + 273.15) / 0.04), np.uint16))
    plain = read_still(path)
    assert plain.frame.kind is PixelKind.RAW16
    assert "no temperatures" in plain.note
    stated = read_still(path, StillOptions(counts=Counts.TLINEAR))
    assert stated.frame.pixels == pytest.approx(np.full((48, 64), 20.0), abs=0.03)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PictureError, match="damaged or cut off"):
        read_still(path)


def mjpeg(path: Path, sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(1)
    with path.open("wb") as file:
        for width, height in sizes:
            file.write(cv2.imencode(".jpg", rng.integers(0, 255, (height, width), dtype=np.uint8))[1].tobytes())


@pytest.mark.parametrize("every", [1, 2])
def test_a_video_whose_size_changes_keeps_what_was_before(tmp_path: Path, every: int) -> None:
    path = tmp_path / "v.mjpeg"
    mjpeg(path, [(320, 256)] * 5 + [(160, 128)] * 4)
    seen = []
    with pytest.raises(PictureError, match=r"v\.mjpeg: .* from 320x256 to 160x128 at frame 5") as caught:
        seen.extend(frame.sequence for frame in read_video(path, every))
    assert seen == list(range(0, 5, every))
    assert "\n" not in str(caught.value)
    mjpeg(path, [(320, 256)] * 6)
    assert len(list(read_video(path, every))) == 6 // every


class Writer:
    """Bits as H.264 writes them: an encoder of its own, against which the parser is held."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, count: int, value: int) -> None:
        self.bits += format(value, f"0{count}b") if count else ""

    def ue(self, value: int) -> None:
        text = format(value + 1, "b")
        self.bits += "0" * (len(text) - 1) + text

    def nal(self) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        raw = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        out, zeros = bytearray(), 0
        for byte in raw:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1\x67" + bytes(out) + b"\0\0\0\1\x65\x88\x84"


@settings(deadline=None)
@given(
    width=st.integers(8, 2048).map(lambda v: 2 * v),
    height=st.integers(8, 1100).map(lambda v: 2 * v),
    profile=st.sampled_from([66, 77, 100]),
    order=st.sampled_from([0, 1, 2]),
    lists=st.booleans(),
)
def test_sizes_in_h264(width: int, height: int, profile: int, order: int, lists: bool) -> None:
    w = Writer()
    w.u(8, profile)
    w.u(16, 0x001F)
    w.ue(0)
    if profile == 100:
        for value in (1, 0, 0):  # 4:2:0, 8 bits each
            w.ue(value)
        w.u(1, 0)
        w.u(1, int(lists))
        if lists:
            for i in range(8):
                w.u(1, int(i in (0, 6)))
                if i in (0, 6):
                    for _ in range(16 if i == 0 else 64):
                        w.ue(0)  # no change
    w.ue(0)
    w.ue(order)
    if order == 0:
        w.ue(4)
    if order == 1:
        w.u(1, 0)
        for value in (0, 0, 2, 1, 2):  # two offsets, a cycle of two
            w.ue(value)
    w.ue(1)
    w.u(1, 0)
    blocks_x, blocks_y = -(-width // 16), -(-height // 16)
    w.ue(blocks_x - 1)
    w.ue(blocks_y - 1)
    w.u(2, 0b11)
    crop_x, crop_y = (16 * blocks_x - width) // 2, (16 * blocks_y - height) // 2
    w.u(1, int(bool(crop_x or crop_y)))
    if crop_x or crop_y:
        for value in (0, crop_x, 0, crop_y):
            w.ue(value)
    w.u(1, 0)
    assert h264_size(w.nal()) == (width, height)


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"\xff\xd8\xff\xc0\x00\x11\x08")
@example(b"\0\0\1\x67")
def test_no_packet_breaks_the_sizes(data: bytes) -> None:
    for size in (packet_size(data), jpeg_size(data), h264_size(b"\0\0\1\x67" + data)):
        assert size is None or (0 < size[0] <= 16_384 and 0 < size[1] <= 16_384)
