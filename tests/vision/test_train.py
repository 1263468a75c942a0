# SPDX-License-Identifier: AGPL-3.0-or-later
"""Augmentation and the command line of vision.train, without its heavy extra."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.vision.train_pictures import make_hituav, own_pictures, picture
from vision.model_card import DEFAULT_MODEL
from vision.train import folder, trainer
from vision.train.__main__ import main
from vision.train.augment import COLOUR, AugmentConfig, augment, contrast_stretch
from vision.train.course import learning_rate, unfinished
from vision.train.dataset import fingerprint
from vision.train.predict import decode, letterbox, middle_tile, suppress, to_tensor
from vision.train.steps import figure_lines
from vision.train.train_config import TrainConfig


def test_learning_rate_warms_up_and_ends_low():
    config = TrainConfig(epochs=1, lr=1e-3, final_lr=0.02, warmup_steps=100)
    assert learning_rate(config, 0, 0.0) == pytest.approx(1e-5)
    assert learning_rate(config, 500, 0.0) == pytest.approx(1e-3)
    assert learning_rate(config, 500, 0.5) == pytest.approx(1e-3 * 0.51)
    assert learning_rate(config, 500, 1.3) == pytest.approx(2e-5)


def test_an_augmented_box_stays_on_its_object():
    rng = np.random.default_rng(5)
    image = np.full((512, 640), 20, dtype=np.uint8)
    cv2.ellipse(image, (300, 250), (20, 30), 0, 0, 360, 250, -1)
    boxes = np.array([[0, 280, 220, 321, 281]], dtype=np.float32)
    plain = AugmentConfig(p_gain=0, p_gamma=0, p_blur=0, p_noise=0, p_stripes=0, p_stretch=0, border=20)
    seen = 0
    for _ in range(60):
        out, moved = augment(image, boxes, 640, 512, rng, plain)
        assert out.shape == (512, 640)
        ys, xs = np.nonzero(out > 135)
        if not len(moved) or xs.min() == 0 or ys.min() == 0 or xs.max() == 639 or ys.max() == 511:
            continue
        seen += 1
        assert moved[0, 1:] == pytest.approx([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], abs=3)
    assert seen > 20


def test_large_colour_pictures_are_trained_on_at_the_scale_at_which_they_are_looked_at():
    rng = np.random.default_rng(3)
    picture_of_ground = np.full((1920, 2560, 3), 90, dtype=np.uint8)
    figure = np.array([[0, 1200, 800, 1260, 840], [0, 5, 1890, 65, 1918]], dtype=np.float32)
    longest = []
    for _ in range(60):
        out, moved = augment(picture_of_ground, figure, 640, 512, rng, COLOUR)
        assert out.shape == (512, 640, 3)
        longest += [max(float(b[3] - b[1]), float(b[4] - b[2])) for b in moved]
    assert len(longest) >= 25  # most cuts show somebody
    assert 45 <= float(np.median(longest)) <= 85  # as long as in the picture's own pixels: 60
    small = np.full((512, 640, 3), 90, dtype=np.uint8)
    assert middle_tile(picture_of_ground, 640, 512).shape == middle_tile(small, 640, 512).shape == (512, 640, 3)
    assert middle_tile(picture_of_ground[..., 0], 640, 512).shape == (1920, 2560)  # thermal ones are looked at whole


def test_augmentation_keeps_white_hot_polarity():
    rng = np.random.default_rng(1)
    image = np.full((512, 640), 60, dtype=np.uint8)
    image[:, 320:] = 200
    flat = AugmentConfig(p_scale=0, degrees=0, translate=0, p_flip_lr=0, p_flip_ud=0, p_stretch=1)
    for _ in range(30):
        out, _ = augment(image, np.zeros((0, 5), np.float32), 640, 512, rng, flat)
        assert out[:, 400:].mean() > out[:, :240].mean()


def test_contrast_stretch_uses_the_whole_range_and_leaves_a_flat_picture_alone():
    ramp = np.tile(np.linspace(100, 140, 640).astype(np.uint8), (512, 1))
    assert (contrast_stretch(ramp).min(), contrast_stretch(ramp).max()) == (0, 255)
    flat = np.full((512, 640), 77, dtype=np.uint8)
    assert (contrast_stretch(flat) == 77).all()


def test_letterbox_and_decode_undo_each_other():
    image = np.zeros((256, 640), dtype=np.uint8)
    boxed, scale, left, top = letterbox(image, 640, 512)
    assert (scale, left, top) == (1.0, 0.0, 128.0)
    assert to_tensor(boxed).shape == (1, 3, 512, 640)
    output = np.zeros((1, 8, 2), dtype=np.float32)
    output[0, :4, 0] = (100, 228, 20, 40)
    output[0, 4, 0] = 0.9
    assert decode(output, scale, left, top, (640, 256)) == pytest.approx(np.array([[0, 0.9, 90, 80, 110, 120]]))


def test_suppression_keeps_the_surest_of_each_class():
    rows = np.array([[0, 0.5, 0, 0, 10, 10], [0, 0.9, 0, 0, 10, 11], [1, 0.4, 0, 0, 10, 10]], dtype=np.float64)
    assert suppress(rows)[:, :2].tolist() == [[0, 0.9], [1, 0.4]]


def train_arguments(tmp_path: Path, source: Path) -> list[str]:
    weights = tmp_path / "start.pt"
    weights.write_bytes(b"weights")
    out = [
        "--weights",
        weights,
        "--work",
        tmp_path / "work",
        "--model",
        tmp_path / "m.onnx",
        "--card",
        tmp_path / "m.md",
    ]
    return ["hituav", str(source), *map(str, out)]


def test_a_missing_folder_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main(train_arguments(tmp_path, tmp_path / "nowhere")) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'nowhere'}: no such folder\n"


def test_a_wrong_label_is_one_line_with_file_and_line_and_exit_code_2(tmp_path, capsys):
    picture(tmp_path / "own/images/a_1.png")
    (tmp_path / "own/labels").mkdir()
    label = tmp_path / "own/labels/a_1.txt"
    label.write_text("0 .5 .5 .1 .1\n\n2 .5 .5 .1 .1\n")
    arguments = train_arguments(tmp_path, tmp_path / "own")
    assert main(["yolo", *arguments[1:], "--names", "person,car"]) == 2
    assert capsys.readouterr().err == f"error: {label}:3: class 2 is not a whole number in 0..1\n"


def test_without_the_extra_training_ends_with_one_line_and_exit_code_3(tmp_path, capsys, monkeypatch):
    def absent(name: str):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(trainer.importlib, "import_module", absent)
    assert main([*train_arguments(tmp_path, make_hituav(tmp_path)), "--epochs", "1"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("error: training needs the package 'ultralytics'")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--steps", "prepare,fly"], "--steps: 'fly'"),
        (["--width", "650"], "multiples of 32"),
        (["--minutes", "-1"], "minutes must be above 0"),
        (["--minutes", "1", "--average", "1.5"], "--average 1.5"),
        (["--epochs", "0"], "epochs must be at least 1"),
        (["--minutes", "0"], "minutes must be above 0"),
        (["--minutes", "nan"], "minutes must be above 0"),
        (["--epochs", "1", "--threads", "0"], "--threads must be at least 1"),
        (["--epochs", "1", "--seed", "-1"], "--seed must be at least 0"),
        (["--epochs", "1", "--lr", "0"], "--lr must be above 0"),
        (["--epochs", "1", "--int8-loss", "-1"], "--int8-loss -1"),
        (["--epochs", "1", "--cold", "0.5", "--wild", "0.6"], "--wild must be from 0 to what --cold leaves"),
        (["--epochs", "1", "--calm", "1.5"], "--calm must be from 0 to 1"),
    ],
)
def test_settings_that_cannot_work_are_exit_code_2(tmp_path, capsys, extra, message):
    assert main([*train_arguments(tmp_path, tmp_path), *extra]) == 2
    assert message in capsys.readouterr().err


def test_a_model_is_not_written_over_the_one_it_is_measured_against(tmp_path, capsys):
    source = tmp_path / "own"
    source.mkdir()
    model = tmp_path / "m.onnx"
    model.write_bytes(b"onnx")
    arguments = ["--work", str(tmp_path / "w"), "--card", str(tmp_path / "m.md"), "--names", "person", "--epochs", "1"]
    linked = tmp_path / "linked.onnx"
    linked.symlink_to(model)
    for start in (model, linked):
        assert main(["yolo", str(source), "--weights", str(start), "--model", str(model), *arguments]) == 2
        assert "training starts from this file" in capsys.readouterr().err
    # what is only needed after hours of training is asked for before them
    assert main(["yolo", str(source), "--weights", str(model), "--model", str(tmp_path / "n.onnx"), *arguments]) == 2
    assert "m.json: names no classes of m.onnx" in capsys.readouterr().err
    (tmp_path / "m.json").write_text('{"classes": ["person"]}')
    more = ["--extra-test", str(tmp_path / "none")]
    assert (
        main(["yolo", str(source), "--weights", str(model), "--model", str(tmp_path / "n.onnx"), *arguments, *more])
        == 2
    )
    assert f"{tmp_path / 'none' / 'images'}: no such folder" in capsys.readouterr().err


def test_a_stopped_run_goes_on_only_with_the_same_weights_pictures_and_labels(tmp_path):
    own = own_pictures(tmp_path, [f"flight{flight}_{number}" for flight in range(4) for number in range(3)])
    folder.prepare(own, tmp_path / "data", ["person"])
    before = fingerprint(tmp_path / "data", ["person"])
    folder.prepare(own, tmp_path / "data", ["person"])
    assert fingerprint(tmp_path / "data", ["person"]) == before
    assert fingerprint(tmp_path / "data", ["deer"]) != before
    for label in (own / "labels").iterdir():
        label.write_text("0 .5 .5 .1 .2\n")
    folder.prepare(own, tmp_path / "data", ["person"])
    assert fingerprint(tmp_path / "data", ["person"]) != before

    config = TrainConfig(epochs=3)
    last = tmp_path / "run" / "run" / "weights" / "last.pt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"checkpoint")
    state = {"step": 3, "seconds": 1.0, "images": 24, "epochs": 1, "config": dataclasses.asdict(config), "origin": "a"}
    (tmp_path / "run" / "state.json").write_text(json.dumps(state))
    assert unfinished(tmp_path / "run", config, "a") is not None
    assert unfinished(tmp_path / "run", config, "b") is None
    assert unfinished(tmp_path / "run", dataclasses.replace(config, lr=0.5), "a") is None


def test_a_training_that_made_the_model_worse_is_told_of():
    def record(before: float, after: float) -> dict:
        return {
            "test": {"classes": {"person": {"ap50": after}, "car": {"ap50": None}}},
            "before": {"test": {"classes": {"person": {"ap50": before}, "car": {"ap50": None}}}},
        }

    assert list(figure_lines(record(0.5, 0.7), "test", ["person", "car"])) == [
        "person: AP50 0.700 on test, before training 0.500"
    ]
    told = list(figure_lines(record(0.893, 0.546), "test", ["person", "car"]))
    assert told[0] == "person: AP50 0.546 on test, before training 0.893"
    assert told[1].startswith("worse than before training on these pictures: person.")


def test_evaluation_needs_class_names_and_what_kind_of_pictures(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "m.onnx"), str(tmp_path)]) == 2
    assert "--names" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "m.onnx"), str(tmp_path), "--names", "person"]) == 2
    assert "--modality" in capsys.readouterr().err


@pytest.mark.parametrize("sidecar", ["{", "[]", '{"classes": ["person"]}'])
def test_a_damaged_sidecar_or_model_is_one_line_and_exit_code_2(tmp_path, capsys, sidecar):
    own_pictures(tmp_path, ["a_1"])
    model = tmp_path / "m.onnx"
    model.write_bytes(b"no model")
    model.with_suffix(".json").write_text(sidecar)
    assert main(["evaluate", str(model), str(tmp_path / "own")]) == 2
    assert "m.json" in capsys.readouterr().err
    model.with_suffix(".json").write_text('{"classes": ["person"], "modality": "thermal"}')
    assert main(["evaluate", str(model), str(tmp_path / "own")]) == 2
    err = capsys.readouterr().err
    assert "m.onnx: cannot be read as ONNX" in err
    assert err.count("\n") == 1


def test_weights_for_single_pictures_are_asked_for_in_one_line(tmp_path, capsys):
    for arguments, said in (
        ([tmp_path / "no.onnx", "--out", tmp_path / "w.json"], "no.onnx"),
        ([DEFAULT_MODEL, "--out", tmp_path / "none" / "w.json"], "folder that exists"),
        ([DEFAULT_MODEL, "--out", tmp_path / "w.json", "--seed", "-1"], "--seed"),
        ([DEFAULT_MODEL, "--out", tmp_path / "w.json", "--least", "2"], "--least"),
    ):
        assert main(["single", *map(str, arguments)]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line_and_exit_code_2(tmp_path, capsys):
    (tmp_path / "work").write_text("a file where the folder should be")
    assert main([*train_arguments(tmp_path, make_hituav(tmp_path)), "--epochs", "1", "--steps", "prepare"]) == 2
    err = capsys.readouterr().err
    assert "work" in err
    assert err.count("\n") == 1


def test_the_package_imports_without_its_extra():
    assert importlib.import_module("vision.train.export").OPSET == 17


def test_it_runs_in_an_environment_that_holds_the_extra_alone():
    """As the message that says how to install the extra makes one: none of the product's other libraries is there."""
    absent = ("pyproj", "msgspec", "pydantic", "typer", "shapely", "aiomqtt", "openvino", "ultralytics", "torch")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import vision.train.__main__"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
