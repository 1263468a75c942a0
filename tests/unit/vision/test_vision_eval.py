# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl vision eval`: figures against an oracle that shares no code, files, groups, exit codes."""

from __future__ import annotations

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli.vision import vision_app
from dronectl.errors import BadInputError
from vision.errors import PictureError
from vision.evaluate import LabelError, Labelled, Seen, by_group, class_mapping, figures, pair_up
from vision.train.evaluate import Picture

APP = typer.Typer()
APP.add_typer(vision_app, name="vision")
RUNNER = CliRunner()


# the oracle: everything from scratch at every threshold, in fractions


def _iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return Fraction(0)
    both = width * height
    return Fraction(both, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _counts(pictures, threshold):
    """(right, told) of greedy matching with only the detections at or above a threshold."""
    right = told = 0
    for truth, found in pictures:
        left = list(truth)
        for _score, box in sorted((f for f in found if f[0] >= threshold), key=lambda f: -f[0]):
            told += 1
            if left:
                best = max(range(len(left)), key=lambda i: _iou(box, left[i]))
                if _iou(box, left[best]) >= Fraction(1, 2):
                    right += 1
                    del left[best]
    return right, told


def oracle(pictures):
    """(average precision at all points as a Fraction or None, {threshold: (right, told)})."""
    objects = sum(len(truth) for truth, _ in pictures)
    points = {t: _counts(pictures, t) for t in {f[0] for _, found in pictures for f in found}}
    if objects == 0:
        return None, points
    best = [
        max((Fraction(r, n) for r, n in points.values() if r >= k), default=Fraction(0)) for k in range(1, objects + 1)
    ]
    return sum(best, Fraction(0)) / objects, points


box = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(2, 6), st.integers(2, 6)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
score = st.integers(1, 9)
pictures = st.lists(
    st.tuples(st.lists(box, max_size=4), st.lists(st.tuples(score, box), max_size=5)), min_size=1, max_size=4
)


def _seen(truth, found, height="60 m", sequence="000"):
    return Seen(
        height, sequence,
        Picture([(0, *b) for b in truth], [(0, s / 10, *b) for s, b in found]),
    )  # fmt: skip


@given(pictures, score)
def test_figures_are_the_oracles(given_pictures, at):
    expected, _ = oracle(given_pictures)
    right, told = _counts(given_pictures, at)
    objects = sum(len(truth) for truth, _ in given_pictures)
    result = figures([_seen(t, f, sequence=str(i)) for i, (t, f) in enumerate(given_pictures)], 0, at / 10, 20)
    assert result.ap50 == (None if expected is None else pytest.approx(float(expected)))
    assert result.recall == (None if objects == 0 else pytest.approx(right / objects))
    assert result.precision == (None if told == 0 else pytest.approx(right / told))
    assert result.false_per_picture == pytest.approx((told - right) / len(given_pictures))
    if result.ap50_low is not None:
        assert 0.0 <= result.ap50_low <= result.ap50_high <= 1.0


def test_the_oracle_itself_on_a_case_worked_out_by_hand():
    a, b, far = (0, 0, 4, 4), (10, 10, 14, 14), (50, 50, 54, 54)
    value, points = oracle([([a, b], [(9, a), (8, far), (7, b)])])
    assert points == {9: (1, 1), 8: (1, 2), 7: (2, 3)}
    assert value == Fraction(1, 2) * (1 + Fraction(2, 3))


def test_doubt_is_of_whole_sequences():
    good = [((0, 0, 4, 4),), ((9, (0, 0, 4, 4)),)]
    bad = [((0, 0, 4, 4),), ()]
    one_flight = figures([_seen(*good, sequence="1"), _seen(*bad, sequence="1")], 0, 0.5)
    assert (one_flight.ap50_low, one_flight.ap50_high) == (None, None)
    two = figures([_seen(*good, sequence="1"), _seen(*bad, sequence="2")], 0, 0.5)
    assert (two.ap50_low, two.ap50_high) == (0.0, 1.0)
    assert two == figures([_seen(*good, sequence="1"), _seen(*bad, sequence="2")], 0, 0.5)


def test_groups_in_the_order_of_their_numbers():
    seen = [_seen((), (), height=h) for h in ("100 m", "60 m", "folder b", "110 m")]
    assert list(by_group(seen, 0, 0.5, lambda s: s.height)) == ["60 m", "100 m", "110 m", "folder b"]


def _folder(root, names, label="0 0.5 0.5 0.1 0.1\n"):
    for name in names:
        picture, text = root / "images" / f"{name}.png", root / "labels" / f"{name}.txt"
        picture.parent.mkdir(parents=True, exist_ok=True)
        text.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(picture), np.full((64, 80), 90, np.uint8))
        if label is not None:
            text.write_text(label)
    return root


def test_names_tell_height_and_sequence_else_the_folder_does(tmp_path):
    root = _folder(tmp_path, ["0_60_80_0_00010", "0_60_80_0_00020", "0_60_80_0_00500", "1_90_80_0_00501", "b/x"])
    pairs = {p.picture.stem: p for p in pair_up(root, None)}
    assert all(isinstance(p, Labelled) and p.labels.is_file() for p in pairs.values())
    assert [pairs[n].height for n in sorted(pairs)] == ["60 m", "60 m", "60 m", "90 m", "folder b"]
    assert pairs["0_60_80_0_00010"].sequence == pairs["0_60_80_0_00020"].sequence
    assert len({p.sequence for p in pairs.values()}) == 4
    assert pair_up(root / "images", root / "labels") == pair_up(root, None)


def test_folders_that_do_not_belong_together(tmp_path):
    with pytest.raises(PictureError, match="no such folder"):
        pair_up(tmp_path / "nowhere", None)
    with pytest.raises(PictureError, match="no pictures"):
        pair_up(tmp_path, None)
    root = _folder(tmp_path / "a", ["x"], label=None)
    with pytest.raises(LabelError, match="not one label file"):
        pair_up(root, None)
    with pytest.raises(LabelError, match="no such folder of labels"):
        pair_up(root, tmp_path / "elsewhere")


def test_label_classes_are_matched_by_name():
    assert class_mapping(["car", "dog", "person"], ("person", "car")) == {0: 1, 2: 0}
    assert class_mapping(None, ("person", "car")) == {0: 0, 1: 1}
    with pytest.raises(LabelError, match="none of the label classes dog"):
        class_mapping(["dog"], ("person",))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0 0.5 0.5 0.1 0.1\n0 0.99 0.5 0.1 0.1\n", r"x\.txt:2: box reaches x"),
        ("9 0.5 0.5 0.1 0.1\n", r"x\.txt:1: class 9"),
        ("0 0.5 0.5 0.1\n", r"x\.txt:1: expected"),
        ("0 0.5 nan 0.1 0.1\n", r"x\.txt:1: not a finite"),
        ("person 0.5 0.5 0.1 0.1\n", r"x\.txt:1: not a number"),
    ],
)
def test_a_bad_label_is_bad_input_with_file_and_line(tmp_path, text, what):
    root = _folder(tmp_path, ["x"], label=text)
    with pytest.raises(BadInputError, match=what):
        RUNNER.invoke(APP, ["vision", "eval", str(root)], catch_exceptions=False)


@pytest.mark.parametrize(("parts", "measured"), [(("train", "val"), "val"), (("train", "val", "test"), "test")])
def test_pictures_that_were_trained_on_do_not_count(tmp_path, parts, measured):
    for number, part in enumerate(parts):
        for kind in ("images", "labels"):
            (tmp_path / kind / part).mkdir(parents=True)
        for i in range(number + 2):
            cv2.imwrite(str(tmp_path / "images" / part / f"{part}{i}.png"), np.full((64, 80), 90, np.uint8))
            (tmp_path / "labels" / part / f"{part}{i}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    result = RUNNER.invoke(APP, ["vision", "eval", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["part"] == measured
    assert report["pictures"] == parts.index(measured) + 2
    assert report["classes"]["person"]["objects"] == parts.index(measured) + 2
    assert f"part '{measured}' alone" in result.stderr


def test_a_picture_that_cannot_be_looked_at_is_named_and_the_rest_goes_on(tmp_path):
    root = _folder(tmp_path, ["x", "y", "z"])
    (root / "images" / "y.png").write_bytes(b"cut off")
    cv2.imwrite(str(root / "images" / "z.png"), np.full((64, 80, 3), (0, 0, 250), np.uint8))
    result = RUNNER.invoke(APP, ["vision", "eval", str(root), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["pictures"] == 1
    assert ["y.png" in report["left_out"][0], "colour" in report["left_out"][1]] == [True, True]
    assert report["classes"]["person"]["objects"] == 1


@pytest.mark.data
def test_the_model_that_ships_on_real_pictures(data_dir):
    folder = data_dir / "thermal_drone"
    result = RUNNER.invoke(APP, ["vision", "eval", str(folder), "--labels", str(folder / "labels"), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    person = report["classes"]["person"]
    assert (report["pictures"], person["objects"]) == (24, 134)
    assert 0.80 <= person["ap50"] <= 0.90
    assert person["ap50_low"] < person["ap50"] < person["ap50_high"]
    assert sum(g["objects"] for g in person["by_height"].values()) == 134
    assert set(person["by_height"]) == {f"{h} m" for h in range(60, 140, 10)}
