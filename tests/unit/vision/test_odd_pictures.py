# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures as files and cameras do hold them: pixels that are no numbers, kelvin, a pixel or two, other sizes."""

from __future__ import annotations

import contextlib
import json
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from tests.vision_files import jpeg, with_segments
from tests.vision_scene import CAMERA
from vision.errors import PictureError
from vision.eye import CameraEye
from vision.frame import Frame, PixelKind, finite
from vision.model_card import DEFAULT_MODEL
from vision.sources.flir import FlirCamera, celsius
from vision.sources.stills import read_still
from vision.thermal import HotSpotDetector
from vision.yolo import load_yolo

app = typer.Typer()
app.command()(detect)
NAN, INF = float("nan"), float("inf")


def ground() -> np.ndarray:
    """Degrees Celsius with a person at (320, 250)."""
    rng = np.random.default_rng(4)
    picture = cv2.resize(rng.normal(9, 0.3, (8, 10)).astype(np.float32), (640, 512), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(picture, (320, 250), (4, 10), 20, 0, 360, 24.0, -1)
    return (picture + rng.normal(0, 0.05, picture.shape)).astype(np.float32)


def run(path: Path, *more: str) -> tuple[int, list[dict], str]:
    result = CliRunner().invoke(app, [str(path), *more], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.return_value, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


@pytest.mark.parametrize(("value", "rows"), [(NAN, 0), (NAN, 40), (INF, 0)], ids=["one", "a strip", "endless"])
def test_pixels_without_a_number_cost_neither_the_picture_nor_the_person(
    tmp_path: Path, value: float, rows: int
) -> None:
    picture = ground()
    picture[5, 7] = value
    picture[:rows] = value
    path = tmp_path / "p.tiff"
    assert cv2.imwrite(str(path), picture)
    code, (line,), _ = run(path, "--gsd-cm", "8")
    assert code == 0
    people = [d["box_px"] for d in line["detections"] if d["kind"] == "person"]
    assert [True for box in people if box[0] < 320 < box[2] and box[1] < 250 < box[3]]
    assert -20 < line["temperature_c"]["min"] < line["temperature_c"]["max"] < 40


def test_a_picture_without_any_number_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tiff"), np.full((512, 640), np.nan, np.float32))
    cv2.imwrite(str(tmp_path / "b.tiff"), ground())
    code, lines, said = run(tmp_path)
    assert code == 1
    assert [line["type"] for line in lines] == ["error", "frame"]
    assert "a.tiff: none of its pixels is a number" in said


def test_counts_that_flirs_formula_has_no_temperature_for_are_cold_and_no_more() -> None:
    camera = FlirCamera(0.95, 1.0, 293.0, 293.0, 293.0, 1.0, 0.5, 17_000.0, 1430.0, 1.0, -7000.0, 0.012, 0, 0, 0, 0, 1)
    raw = np.full((20, 20), 14_000, np.uint16)
    raw[3, 3] = 0
    degrees = celsius(raw, camera)
    assert np.isfinite(degrees).all()
    assert degrees[3, 3] == degrees.min()


def flir_file(path: Path, values: dict[int, float]) -> Path:
    """A FLIR picture of 4 x 4 pixels; values: floats of its camera record by their place."""
    record = bytearray(0x320)
    struct.pack_into("<H", record, 0, 2)
    usual = {0x20: 0.95, 0x24: 2.0, 0x28: 293.0, 0x2C: 293.0, 0x30: 293.0, 0x34: 1.0, 0x3C: 0.5, 0x58: 17_096.0}
    usual |= {
        0x5C: 1428.0,
        0x60: 1.0,
        0x70: 0.0066,
        0x74: 0.0126,
        0x78: -0.0023,
        0x7C: -0.0067,
        0x80: 1.9,
        0x30C: 0.0457,
    }
    for place, value in (usual | values).items():
        struct.pack_into("<f", record, place, value)
    struct.pack_into("<i", record, 0x308, -342)
    raw = struct.pack("<HHH", 2, 4, 4).ljust(32, b"\0") + np.full(16, 3229, "<u2").tobytes()
    head = b"FFF\0".ljust(0x14, b"\0") + struct.pack(">III", 101, 64, 2)
    entries = struct.pack(">HHIIII", 1, 0, 0, 0, 128, len(raw)).ljust(32, b"\0")
    entries += struct.pack(">HHIIII", 0x20, 0, 0, 0, 128 + len(raw), len(record)).ljust(32, b"\0")
    stream = head.ljust(64, b"\0") + entries + raw + bytes(record)
    path.write_bytes(with_segments(jpeg(np.zeros((4, 4), np.uint8)), (1, b"FLIR\0\1\0\0" + stream)))
    return path


CAMERA_PLACES = (0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x3C, 0x58, 0x5C, 0x60, 0x70, 0x74, 0x78, 0x7C, 0x80, 0x30C)
ODD = st.sampled_from([0.0, -1.0, 1e-30, 1e30, -1e30, math.inf, -math.inf, math.nan, 0.5, 300.0])


@given(st.dictionaries(st.sampled_from(CAMERA_PLACES), ODD, max_size=3))
@example({0x28: 0.0})  # no reflected temperature
@example({0x2C: 1e-3, 0x70: -1e30})
def test_a_damaged_flir_record_is_named_and_never_ends_the_run(tmp_path_factory: Any, values: dict[int, float]) -> None:
    path = flir_file(tmp_path_factory.getbasetemp() / "odd_flir.jpg", values)
    with contextlib.suppress(PictureError):
        assert np.isfinite(read_still(path).frame.pixels).all()


def test_a_flir_record_as_cameras_write_it_is_read(tmp_path: Path) -> None:
    frame = read_still(flir_file(tmp_path / "a.jpg", {})).frame
    assert frame.kind is PixelKind.CELSIUS
    assert 15 < float(frame.pixels.mean()) < 25


def test_kelvin_are_not_taken_for_degrees_celsius(tmp_path: Path) -> None:
    path = tmp_path / "k.tiff"
    cv2.imwrite(str(path), ground() + np.float32(273.15))
    with pytest.raises(PictureError, match=r"k\.tiff.*median.*282.*kelvin"):
        read_still(path)


def test_whole_pictures_are_left_as_they_are() -> None:
    picture = ground()
    assert finite(picture) is picture
    assert finite(picture.astype(np.uint16)).dtype == np.uint16


@pytest.mark.parametrize("figure", [3e38, -3e38, 1e30, np.inf, -np.inf, np.nan])
def test_heat_that_nothing_can_have_ends_no_looking(figure: float) -> None:
    """A camera sends it in good order; an error of the detectors would end the looking of all cameras."""
    pixels = ground()
    pixels[::2] = figure
    kept = finite(pixels)
    assert kept.dtype == np.float32
    assert ground().min() <= kept.min() <= kept.max() <= ground().max()
    learned = load_yolo(DEFAULT_MODEL, "opencv", None, 1)
    eye = CameraEye(CAMERA, None, learned, HotSpotDetector(), None, None, "run")
    assert eye.look(Frame("c", None, 0, 0.0, kept, PixelKind.CELSIUS, CAMERA)).why_not is None
    with pytest.raises(ValueError, match="none of its pixels"):
        finite(np.full((4, 4), figure, np.float32))


def test_a_picture_of_any_size_is_looked_at_or_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for rows, columns in ((1, 1), (1, 3), (2, 2), (3, 640), (640, 3), (7, 9)):
        name, size = f"{rows}x{columns}", (rows, columns)
        cv2.imwrite(str(tmp_path / f"g{name}.png"), rng.integers(0, 255, size, dtype=np.uint8))
        cv2.imwrite(str(tmp_path / f"c{name}.png"), rng.integers(0, 255, (*size, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / f"r{name}.png"), rng.integers(0, 65535, size, dtype=np.uint16))
        cv2.imwrite(str(tmp_path / f"f{name}.tiff"), rng.normal(10, 3, size).astype(np.float32))
    for more in ([], ["--gsd-cm", "5"]):
        _, lines, _ = run(tmp_path, "--annotate", str(tmp_path / "out"), "--review", str(tmp_path / "r.html"), *more)
        assert len(lines) == 24


def test_a_picture_that_was_not_looked_at_is_not_handed_on_as_if_it_were(tmp_path: Path) -> None:
    """Nobody was looked for in it, so nobody in it is blurred; and a picture without boxes says that nobody is there."""
    colour = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "c.png"), colour)
    code, (line,), _ = run(tmp_path, "--model", str(DEFAULT_MODEL), "--annotate", str(tmp_path / "out"))
    assert code == 2
    assert line["not_looked_at"]
    assert not list((tmp_path / "out").glob("*.jpg"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_standard_output_that_takes_no_more_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    cv2.imwrite(str(path), np.full((64, 64), 90, np.uint8))
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dronectl", "detect", str(path)],
            stdout=full, stderr=subprocess.PIPE, text=True, encoding="utf-8", timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "error: standard output: No space left on device" in " ".join(done.stderr.split())
