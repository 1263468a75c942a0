# SPDX-License-Identifier: AGPL-3.0-or-later
"""Data preparation, augmentation and the command line of vision.train, without its heavy extra."""

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

from vision.frame import Frame, PixelKind
from vision.model_card import DEFAULT_MODEL, ModelCard
from vision.prepare import to_grey
from vision.train import folder, hituav, trainer
from vision.train.__main__ import main
from vision.train.augment import COLOUR, AugmentConfig, augment, contrast_stretch
from vision.train.course import learning_rate, unfinished
from vision.train.dataset import fingerprint, list_samples, read_description, read_image
from vision.train.errors import UserError
from vision.train.labels import parse_label_line, read_labels, to_relative, write_labels
from vision.train.predict import decode, letterbox, middle_tile, suppress, to_tensor
from vision.train.splits import assign_sequences, parse_frame_name, split_by_sequence
from vision.train.train_config import TrainConfig


def picture(path: Path, level: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((512, 640), level, dtype=np.uint8))


def make_hituav(root: Path) -> Path:
    source = root / "normal_json"
    (source / "annotations").mkdir(parents=True)
    for split, numbers in (("train", (1, 2, 300)), ("val", (3, 301)), ("test", (4, 500))):
        images, boxes = [], []
        for index, number in enumerate(numbers):
            height = 60 if number < 100 else 80
            name = f"1_{height}_30_0_{number:05d}.jpg"
            picture(source / split / name, level=number % 200)
            images.append({"id": index, "filename": name, "width": 640, "height": 512})
            boxes.append({"image_id": index, "category_id": 0, "bbox": [10, 20, 30, 40]})
            boxes.append({"image_id": index, "category_id": 4, "bbox": [200, 100, 50, 50]})
        text = json.dumps({"images": images, "annotation": boxes})
        (source / "annotations" / f"{split}.json").write_text(text)
    return source


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .1", "4 fields"),
        ("0 .5 .5 .1 x", "not a number"),
        ("0 .5 .5 .1 nan", "not a finite number"),
        ("4 .5 .5 .1 .1", "class 4 is not a whole number in 0..3"),
        ("0.5 .5 .5 .1 .1", "class 0.5"),
        ("-1 .5 .5 .1 .1", "class -1"),
        ("0 .5 .5 0 .1", "must be above 0"),
        ("0 .99 .5 .1 .1", "x 0.9400..1.0400, outside the picture"),
        ("0 .5 .01 .1 .1", "y -0.0400..0.0600, outside the picture"),
    ],
)
def test_a_wrong_label_names_its_place(line, message):
    with pytest.raises(UserError, match=r"a\.txt:7: ") as caught:
        parse_label_line(line, 4, "a.txt:7")
    assert message in str(caught.value)


def test_labels_survive_writing_and_reading(tmp_path):
    path = tmp_path / "a.txt"
    write_labels(path, [(0, 0, 0, 64, 51.2), (3, 100, 200, 20, 30)], 640, 512)
    boxes = read_labels(path, 4, 640, 512)
    assert boxes == pytest.approx(np.array([[0, 0, 0, 64, 51.2], [3, 100, 200, 120, 230]]), abs=0.01)
    assert to_relative(boxes, 640, 512)[1] == pytest.approx([110 / 640, 215 / 512, 20 / 640, 30 / 512], abs=1e-5)


def test_a_missing_label_file_means_no_objects(tmp_path):
    assert read_labels(tmp_path / "none.txt", 4, 640, 512).shape == (0, 5)


def test_a_frame_name_tells_scene_height_and_angle():
    frame = parse_frame_name("1_130_90_0_04077")
    assert (frame.scene, frame.height, frame.angle, frame.number) == ("1", 130, 90, 4077)
    with pytest.raises(UserError, match="not a HIT-UAV name"):
        parse_frame_name("DJI_0001")


def test_a_sequence_ends_with_height_scene_or_gap():
    names = ["1_60_30_0_00001", "1_60_40_0_00005", "1_70_40_0_00006", "0_70_40_0_00007", "0_70_40_0_00500"]
    found = assign_sequences([parse_frame_name(name) for name in reversed(names)])
    assert [found[name] for name in names] == [0, 0, 1, 2, 3]


def test_no_sequence_is_in_two_splits():
    sequences = {f"p{i}": i // 10 for i in range(400)}
    target = split_by_sequence(sequences, seed=3)
    shares = {name: sum(v == name for v in target.values()) / 400 for name in ("train", "val", "test")}
    assert all(len({target[f"p{10 * s + i}"] for i in range(10)}) == 1 for s in range(40))
    assert shares["test"] == pytest.approx(0.2, abs=0.05)
    assert shares["val"] == pytest.approx(0.1, abs=0.05)
    assert target == split_by_sequence(sequences, seed=3)


def test_hituav_official_split_with_regions_nobody_could_label(tmp_path):
    source, out = make_hituav(tmp_path), tmp_path / "data"
    assert hituav.prepare(source, out) == {"train": 3, "val": 2, "test": 2}
    assert read_labels(out / "labels/train/1_60_30_0_00001.txt", 4, 640, 512) == pytest.approx(
        np.array([[0, 10, 20, 40, 60]]), abs=0.01
    )
    assert not list((out / "ignore/train").iterdir())
    assert len(list((out / "ignore/test").iterdir())) == 2
    assert read_description(out)["names"] == hituav.NAMES


def test_held_out_pictures_are_never_trained_on_under_another_name_either(tmp_path):
    source, held = make_hituav(tmp_path), tmp_path / "held" / "images"
    held.mkdir(parents=True)
    (held / "1_60_30_0_00001.jpg").write_bytes(b"another picture of the same name")
    (held / "renamed.jpg").write_bytes((source / "val/1_60_30_0_00003.jpg").read_bytes())
    counts = hituav.prepare(source, tmp_path / "data", held_out=tmp_path / "held")
    assert counts == {"train": 2, "val": 1, "test": 2}


def test_hituav_by_sequence_keeps_neighbours_together(tmp_path):
    source, out = make_hituav(tmp_path), tmp_path / "data"
    assert sum(hituav.prepare(source, out, split="sequence").values()) == 7
    places = {sample.stem: split for split in ("train", "val", "test") for sample in list_samples(out, split)}
    assert len({places[f"1_60_30_0_{number:05d}"] for number in (1, 2, 3, 4)}) == 1


def test_hituav_boxes_a_pixel_over_the_edge_end_at_it(tmp_path):
    source, out = make_hituav(tmp_path), tmp_path / "data"
    path = source / "annotations/train.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["annotation"][0]["bbox"] = [601, -1, 40, 50]  # a person
    data["annotation"][1]["bbox"] = [100, -1, 50, 31]  # what nobody could label: to be painted over
    path.write_text(json.dumps(data))
    grey = np.full((512, 640), 90, np.uint8)
    grey[:30, 100:150] = 240
    cv2.imwrite(str(source / "train/1_60_30_0_00001.jpg"), grey)
    hituav.prepare(source, out)
    boxes = read_labels(out / "labels/train/1_60_30_0_00001.txt", 4, 640, 512)
    assert boxes == pytest.approx(np.array([[0, 601, 0, 640, 49]]), abs=0.01)
    assert read_image(out / "images/train/1_60_30_0_00001.jpg")[:29, 102:148].max() < 110


def test_hituav_names_the_wrong_box(tmp_path):
    source = make_hituav(tmp_path)
    path = source / "annotations/val.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["annotation"][1]["bbox"] = [600, 0, 50, 50]
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"val\.json: annotation 1: box .* is not within 640x512"):
        hituav.prepare(source, tmp_path / "data")


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_heat_in_sixteen_bits_is_learned_from_as_it_is_looked_at(tmp_path, name):
    rng = np.random.default_rng(2)
    raw = rng.normal(7400, 15, (512, 640)).astype(np.uint16)
    raw[200:230, 300:312] += 240  # a person six degrees warmer than the ground
    assert cv2.imwrite(str(tmp_path / name), raw)
    learned = read_image(tmp_path / name)
    assert learned.dtype == np.uint8
    assert learned[200:230, 300:312].mean() - learned[:150].mean() > 60
    card = ModelCard("m", "0", ("person",), low_percentile=1.0, high_percentile=99.5, min_span_c=2.0)
    seen = to_grey(Frame("a", None, 0, 0.0, raw, PixelKind.RAW16), card)
    assert np.abs(seen.astype(int) - learned.astype(int)).max() <= 1


def test_own_pictures_are_split_by_flight(tmp_path):
    for flight in range(10):
        for number in range(6):
            picture(tmp_path / f"own/images/flight{flight}_{number:03d}.png")
            label = tmp_path / f"own/labels/flight{flight}_{number:03d}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("0 .5 .5 .1 .1\n")
    counts = folder.prepare(tmp_path / "own", tmp_path / "data", ["person"])
    assert sum(counts.values()) == 60
    assert all(count % 6 == 0 and count for count in counts.values())


def own_pictures(root: Path, stems: list[str]) -> Path:
    for stem in stems:
        picture(root / f"own/images/{stem}.png")
        label = root / f"own/labels/{stem}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 .5 .5 .1 .1\n")
    return root / "own"


def test_pictures_named_by_their_time_are_split_by_flight_and_not_by_picture(tmp_path):
    stems = [
        f"DJI_202603{flight + 10}14{minute:02d}12_{minute + 1:04d}_T"
        for flight in range(6)
        for minute in range(0, 12, 2)
    ]
    folder.prepare(own_pictures(tmp_path, stems), tmp_path / "data", ["person"])
    places = {s.stem: split for split in ("train", "val", "test") for s in list_samples(tmp_path / "data", split)}
    assert set(places) == set(stems)
    assert all(len({places[s] for s in stems if s[:12] == f"DJI_202603{f + 10}"}) == 1 for f in range(6))
    assert read_description(tmp_path / "data")["source"]["split"] == "sequence"


def test_a_flight_ends_after_five_minutes_without_a_picture_and_lenses_are_of_one_flight():
    told = folder.flights(
        [
            "DJI_20260312143000_0001_T",
            "DJI_20260312143000_0001_W",
            "DJI_20260312143400_0002_T",
            "DJI_20260312144000_0003_T",
        ]
    )
    assert told["DJI_20260312143000_0001_T"] == told["DJI_20260312143000_0001_W"] == told["DJI_20260312143400_0002_T"]
    assert told["DJI_20260312144000_0003_T"] != told["DJI_20260312143400_0002_T"]
    assert set(folder.flights(["field2_001", "field2_002_T", "field2-3"]).values()) == {"field2"}


def test_names_that_tell_no_flights_are_split_by_picture_and_the_card_will_say_so(tmp_path):
    stems = [f"{number:03d}-{'abcdefghij'[number]}x" for number in range(10)]
    counts = folder.prepare(own_pictures(tmp_path, stems), tmp_path / "data", ["person"])
    assert all(counts.values())
    assert read_description(tmp_path / "data")["source"]["split"] == "picture"


def test_pictures_of_one_flight_cannot_be_split_and_it_is_said_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"own/images: .* 1 flight\(s\).* images/train and images/val"):
        folder.prepare(own_pictures(tmp_path, [f"DJI_{n:04d}" for n in range(12)]), tmp_path / "data", ["person"])


def test_colour_pictures_make_no_thermal_model_by_mistake(tmp_path):
    own = own_pictures(tmp_path, [f"flight{flight}_{number}" for flight in range(4) for number in range(3)])
    rng = np.random.default_rng(1)
    for path in sorted((own / "images").iterdir())[:10]:
        cv2.imwrite(str(path), rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
    with pytest.raises(UserError, match=r"own/images: 10 of 12 pictures are in colour: .* --modality rgb"):
        folder.prepare(own, tmp_path / "data", ["person"])
    assert sum(folder.prepare(own, tmp_path / "data", ["person"], any_colours=True).values()) == 12


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
