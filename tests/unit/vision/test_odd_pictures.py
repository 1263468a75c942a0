# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures as files and cameras do hold them: pixels that are no numbers, kelvin, a pixel or two, other sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from vision.errors import PictureError
from vision.frame import finite
from vision.model_card import DEFAULT_MODEL
from vision.sources.flir import FlirCamera, celsius
from vision.sources.stills import read_still

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


def test_kelvin_are_not_taken_for_degrees_celsius(tmp_path: Path) -> None:
    path = tmp_path / "k.tiff"
    cv2.imwrite(str(path), ground() + np.float32(273.15))
    with pytest.raises(PictureError, match=r"k\.tiff.*median.*282.*kelvin"):
        read_still(path)


def test_whole_pictures_are_left_as_they_are() -> None:
    picture = ground()
    assert finite(picture) is picture
    assert finite(picture.astype(np.uint16)).dtype == np.uint16


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
