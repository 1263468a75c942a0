# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl vision train` says what is wrong before any work, and what is missing when the extra is not there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from dronectl.cli.vision import vision_app
from dronectl.errors import BadInputError, UnavailableError


def call(*arguments: str) -> str:
    """Run the command and return the text of the error that it must end with."""
    result = CliRunner().invoke(vision_app, ["train", *arguments], standalone_mode=False)
    assert isinstance(result.exception, (BadInputError, UnavailableError)), (result.output, result.exception)
    return f"{type(result.exception).__name__}: {result.exception}"


@pytest.fixture
def own_set(tmp_path: Path) -> Path:
    """Two labelled pictures, split."""
    folder = tmp_path / "set"
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        cv2.imwrite(str(folder / "images" / split / "a.png"), np.full((64, 64), 90, np.uint8))
        (folder / "labels" / split / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    return folder


def test_without_the_extra_it_says_how_to_get_it(own_set: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("ultralytics") is not None:
        pytest.skip("the extra is installed here")
    said = call(str(own_set), "--model", str(tmp_path / "m.onnx"))
    assert said.startswith("UnavailableError: training needs the package ultralytics")
    assert "pip install" in said
    # an environment that does not have it either is found out after the labels were checked
    said = call(str(own_set), "--model", str(tmp_path / "m.onnx"), "--python", sys.executable)
    assert said.startswith("UnavailableError")
    assert "ultralytics" in said


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("0 0.5 0.5 0.2 0.2\n0 0.5 1.3 0.2 0.2\n", "a.txt:2: box reaches y"),
        ("1 0.5 0.5 0.2 0.2\n", "a.txt:1: class 1 is not a whole number in 0..0"),
        ("0 0.5 0.5 0.2\n", "a.txt:1: expected 'class xc yc w h'"),
        ("0 0.5 0.5 nan 0.2\n", "a.txt:1: not a finite number"),
    ],
)
def test_a_bad_label_is_named_with_file_and_line(own_set: Path, tmp_path: Path, label: str, said: str) -> None:
    (own_set / "labels" / "train" / "a.txt").write_text(label)
    error = call(str(own_set), "--model", str(tmp_path / "m.onnx"), "--python", sys.executable)
    assert error.startswith("BadInputError")
    assert said in error


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("kill -9 $$", "UnavailableError: training was ended by signal 9, .* --batch"),
        (
            "echo 'RuntimeError: no kernel'; exit 1",
            "UnavailableError: training ended with code 1: RuntimeError: no kernel",
        ),
        ("echo 'error: labels/a.txt:1: odd'; exit 2", "BadInputError: labels/a.txt:1: odd"),
    ],
)
def test_how_training_ended_is_not_taken_for_what_it_said_last(
    own_set: Path, tmp_path: Path, ending: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho 'epoch 3: 300 steps, 5.0 min'\n{ending}\n")
    python.chmod(0o755)
    error = call(str(own_set), "--model", str(tmp_path / "m.onnx"), "--python", str(python))
    assert re.match(said, error), error
    assert "epoch 3" not in error


def test_an_error_is_one_line_and_success_needs_a_model(own_set: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    arguments = ["train", str(own_set), "--model", str(tmp_path / "m.onnx"), "--python", str(python)]
    for ending, said, told in (
        ("echo 'error: labels/a.txt:1: odd'; exit 2", "labels/a.txt:1: odd", "epoch 1\n"),
        ("echo 'error: one'; echo two; exit 1", "training ended with code 1: two", "epoch 1\nerror: one\ntwo\n"),
        ("exit 0", "training ended without writing", "epoch 1\n"),
    ):
        python.write_text(f"#!/bin/sh\necho 'epoch 1'\n{ending}\n")
        python.chmod(0o755)
        result = CliRunner().invoke(vision_app, arguments, standalone_mode=False)
        assert said in str(result.exception)
        assert result.stderr == told


def test_what_cannot_be_is_said(own_set: Path, tmp_path: Path) -> None:
    assert "no such folder" in call(str(tmp_path / "none"), "--model", str(tmp_path / "m.onnx"))
    model = ["--model", str(tmp_path / "m.onnx"), "--python", sys.executable]
    empty = tmp_path / "empty"
    (empty / "images").mkdir(parents=True)
    for arguments, said in (
        ([str(tmp_path / "none"), *model], "no such folder"),
        ([str(empty), *model], "no pictures"),
        ([str(own_set), *model, "--names", ","], "class names"),
        ([str(own_set), *model, "--names", "sofa,tent"], "things of class sofa, tent are not reported"),
        ([str(own_set), *model, "--size", "100"], "multiple of 32"),
        ([str(own_set), *model, "--gsd-cm", "8-2"], "0 < MIN <= MAX"),
        ([str(own_set), *model, "--epochs", "2", "--minutes", "1"], "not both"),
        ([str(own_set), *model, "--from", str(tmp_path / "x.pt")], "no such file"),
        ([str(own_set), "--model", str(tmp_path / "no" / "m.onnx"), "--python", sys.executable], "folder that exists"),
    ):
        assert said in call(*arguments), arguments
    for label in own_set.glob("labels/*/a.txt"):
        label.unlink()
    assert "no labels" in call(str(own_set), *model)
