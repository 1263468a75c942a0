# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl vision bench`: what is measured, on what, and what is said where the peer is not installed."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli.vision import vision_app
from dronectl.errors import BadInputError
from vision.bench import measure
from vision.bench_parts import generated, own
from vision.errors import PictureError
from vision.frame import PixelKind
from vision.model_card import COLOUR_MODEL

APP = typer.Typer()
APP.add_typer(vision_app, name="vision")
RUNNER = CliRunner()


def test_bench_measures_each_engine_in_its_own_process():
    result = RUNNER.invoke(
        APP, ["vision", "bench", "--frames", "5", "--engine", "opencv", "--size", "160x128", "--json"]
    )
    assert result.exit_code == 0, result.output
    (cost,) = json.loads(result.stdout)["engines"]
    assert cost["engine"].startswith("opencv")
    assert (cost["width_px"], cost["height_px"], cost["frames"]) == (160, 128, 5)
    assert cost["memory_mb"] > 5
    assert 0 < cost["p50_ms"]["infer"] <= cost["frame_p95_ms"]
    assert set(cost["p50_ms"]) == {"prepare", "infer", "decode", "tiles", "hot_spots"}
    assert cost["tiles"] == 1


@pytest.mark.parametrize(
    "arguments",
    [["--size", "640"], ["--model", "nowhere.onnx"], ["--engine", "warp"], ["--python", "nowhere/python"]],
)
def test_bench_refuses_what_it_cannot_use(arguments):
    with pytest.raises(BadInputError):
        RUNNER.invoke(APP, ["vision", "bench", *arguments], catch_exceptions=False)


def test_colour_pictures_are_measured_in_tiles_as_they_are_looked_at():
    frames = generated(960, 720, "rgb", 1)
    assert frames[0].kind is PixelKind.BGR8
    cost = measure(COLOUR_MODEL, "openvino", 1, frames, 1)
    assert cost.tiles == 4  # 640 pixels a side, reduced by a tenth at most: two across, and two down for 9 pixels more
    assert set(cost.p50_ms) == {"prepare", "infer", "decode", "tiles"}
    assert sum(cost.p50_ms.values()) == pytest.approx(cost.frame_p50_ms)


def test_sahi_that_is_not_installed_is_named_with_the_command_that_mends_it(monkeypatch):
    arguments = ["vision", "bench", "--frames", "5", "--size", "64x64", "--python", sys.executable]
    monkeypatch.setattr("vision.engines.choose.installed_engines", lambda: ("onnxruntime",))
    result = RUNNER.invoke(APP, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert len(report["engines"]) == 1
    assert report["sahi"] is None
    assert "not installed" in report["sahi_missing"]
    assert f"{sys.executable} -m pip install" in report["sahi_missing"]


def test_own_pictures_are_of_one_size_and_of_the_models_kind(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((48, 64, 3), (10, 90, 200), np.uint8))
    for modality, kind in (("rgb", PixelKind.BGR8), ("thermal", PixelKind.GREY8)):
        assert [f.kind for f in own(tmp_path, modality)] == [kind]
    cv2.imwrite(str(tmp_path / "b.png"), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(PictureError, match=r"b\.png: 64 x 64 pixels, and a\.png has 64 x 48"):
        own(tmp_path, "thermal")
    cv2.imwrite(str(tmp_path / "b.png"), np.full((48, 64), 29000, np.uint16))
    with pytest.raises(PictureError, match=r"b\.png: it measures heat"):
        own(tmp_path, "rgb")


def test_a_file_that_is_no_model_is_one_line(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a model" * 20)
    done = subprocess.run(
        [sys.executable, "-m", "vision.bench", "--model", str(tmp_path / "x.onnx"), "--engine", "opencv"],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "x.onnx: this is not an ONNX model" in done.stderr
