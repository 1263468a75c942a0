# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is made of labelled pictures before a training: labels, splits by flight, held out ones."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tests.vision.train_pictures import make_hituav, own_pictures, picture
from vision.frame import Frame, PixelKind
from vision.model_card import ModelCard
from vision.prepare import to_grey
from vision.train import folder, hituav
from vision.train.dataset import list_samples, read_description, read_image
from vision.train.errors import UserError
from vision.train.labels import parse_label_line, read_labels, to_relative, write_labels
from vision.train.splits import assign_sequences, parse_frame_name, split_by_sequence


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
