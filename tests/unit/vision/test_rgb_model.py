# SPDX-License-Identifier: AGPL-3.0-or-later
"""The experimental colour model that ships: its card, what it finds, and that whoever uses it is told what it is.

The pictures are rendered here on synthetic ground; they show that the way from a picture to a finding works, not how
good the model is on real people. That is in docs/models/rgb_person.md.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from dronectl.cli.vision import vision_app
from vision.errors import ModelError
from vision.examine import Examiner
from vision.lookers import Lookers, tile_settings
from vision.model_card import COLOUR_MODEL, file_sha256, kind_of_class, read_card, unreported
from vision.sighting import Kind
from vision.sources.stills import read_still
from vision.thermal import HotSpotDetector
from vision.tiles import TileSettings
from vision.train.__main__ import main as evaluate_model
from vision.train.labels import write_labels
from vision.train.render_body import person
from vision.train.render_scene import GAMMA, View, blend, exposure, render
from vision.yolo import load_yolo

DETECT = typer.Typer()
DETECT.command()(detect)
EVAL = typer.Typer()
EVAL.add_typer(vision_app, name="vision")
RUNNER = CliRunner()
GSD_CM = 3.0
SIZE = (960, 640)
PLACES = ((140, 130), (420, 200), (760, 150), (230, 460), (560, 500), (830, 430))
POSES = ("standing", "lying", "walking", "waving", "lying", "sitting")


def meadow(seed: int) -> np.ndarray:
    """Green noise in three grains."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((SIZE[1], SIZE[0], 1))
    for cell, weight in ((160, 10.0), (16, 6.0), (2, 5.0)):
        grain = rng.standard_normal((SIZE[1] // cell, SIZE[0] // cell))
        picture[..., 0] += weight * cv2.resize(grain, SIZE, interpolation=cv2.INTER_CUBIC)
    return np.clip(np.array([70.0, 118.0, 104.0]) + picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of six people each, straight down at 3 cm per pixel, with YOLO labels; and an empty one."""
    root = tmp_path_factory.mktemp("rendered")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    for seed in range(4):
        rng = np.random.default_rng([3, seed])
        ground = meadow(seed)
        view = View(100 / GSD_CM, 85.0, float(rng.uniform(0, 360)), 45.0, float(rng.uniform(0, 360)), 0.6)
        canvas = ((ground / 255.0) ** GAMMA).astype(np.float32)
        boxes = []
        for place, pose in zip(PLACES, POSES, strict=True):
            layer = render(person(rng, pose), view, place, SIZE, exposure(ground, rng)[::-1])
            assert layer is not None
            ys, xs = np.nonzero(layer.cover > 0.25)
            boxes.append((0, layer.left + xs.min(), layer.top + ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1))
            layer.colour = layer.colour[..., ::-1]
            blend(canvas, layer, 0.5, 0.6, None)
        picture = (np.clip(canvas, 0, 1) ** (1 / GAMMA) * 255).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"p{seed}.png"), picture)
        write_labels(root / "labels" / f"p{seed}.txt", boxes, *SIZE)
    cv2.imwrite(str(root / "images" / "empty.png"), meadow(99))
    (root / "labels" / "empty.txt").write_text("")
    return root


def test_its_card_says_what_it_is() -> None:
    card = read_card(COLOUR_MODEL, 1)
    assert card.experimental
    assert (card.classes, card.modality) == (("person",), "rgb")
    sidecar = json.loads(COLOUR_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    assert sidecar["sha256"] == file_sha256(COLOUR_MODEL)
    assert sidecar["bytes"] == COLOUR_MODEL.stat().st_size <= 12_000_000
    text = (Path(__file__).parents[3] / "docs" / "models" / "rgb_person.md").read_text(encoding="utf-8")
    assert sidecar["sha256"] in text
    assert tile_settings(card).figure_min_px > TileSettings().figure_max_px
    assert not any("NC" in item["licence"] for item in sidecar["data"])


@pytest.mark.parametrize("figure_px", [[60, 44], [0, 30], [30], "wide", [1, 2, 3]])
def test_a_card_that_asks_for_impossible_tiles_is_refused(tmp_path: Path, figure_px: object) -> None:
    model = tmp_path / "own.onnx"
    model.write_bytes(b"x")
    sidecar = {"classes": ["person"], "modality": "rgb", "tiles": {"figure_px": figure_px}}
    model.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    with pytest.raises(ModelError, match=r"own\.json"):
        read_card(model)


def test_eval_looks_in_tiles_and_finds_rendered_people(folder: Path) -> None:
    result = RUNNER.invoke(
        EVAL, ["vision", "eval", str(folder), "--model", str(COLOUR_MODEL), "--confidence", "0.1", "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["classes"]["person"]
    assert found["objects"] == 24
    assert found["recall"] >= 0.85
    assert found["ap50"] >= 0.85
    assert found["false_per_picture"] <= 2.0


def test_figures_of_a_colour_model_are_those_in_colour_also_where_its_classes_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("images/p0.png", "labels/p0.txt"):
        (tmp_path / kind).parent.mkdir()
        (tmp_path / kind).write_bytes((folder / kind).read_bytes())
    said = []
    for more in ([], ["--names", "person"], ["--names", "person", "--modality", "thermal"]):
        assert evaluate_model(["evaluate", str(COLOUR_MODEL), str(tmp_path), *more]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]
    assert evaluate_model(["evaluate", str(COLOUR_MODEL), str(tmp_path), "--names", "person,car"]) == 2
    assert "it has 1 classes, and 2 are named" in capsys.readouterr().err


def test_detect_uses_it_for_colour_and_says_once_that_it_is_experimental(folder: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    result = RUNNER.invoke(DETECT, [str(folder / "images"), "--gsd-cm", str(GSD_CM), "--out", str(lines)])
    assert result.exit_code == 0, result.output
    told = [line for line in result.output.splitlines() if "experimental" in line]
    assert len(told) == 1
    assert "rgb_person" in told[0]
    frames = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    frames = [frame for frame in frames if frame["type"] == "frame"]
    assert len(frames) == 5
    assert all(frame["experimental"] and frame["model"].startswith("rgb_person@") for frame in frames)
    assert sum(len(frame["detections"]) for frame in frames) >= 12


def named(tmp_path: Path, name: str) -> Path:
    """The model that ships with another name of its one class."""
    model = tmp_path / "own.onnx"
    model.write_bytes(COLOUR_MODEL.read_bytes())
    model.with_suffix(".json").write_text(json.dumps({"classes": [name], "modality": "rgb", "confidence": 0.1}))
    return model


@pytest.mark.parametrize("name", ["Person", " person", "Pedestrians", "HUMAN"])
def test_people_are_found_however_a_users_model_writes_their_name(folder: Path, tmp_path: Path, name: str) -> None:
    frame = read_still(folder / "images" / "p0.png").frame
    frame = replace(frame, pixels=np.ascontiguousarray(frame.pixels[:640, :640]))
    found = load_yolo(named(tmp_path, name)).detect(frame, None)
    assert any(d.kind is Kind.PERSON for d in found)


def test_a_model_of_whose_classes_nothing_is_reported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"own.onnx: things of class tent are not reported: .* person"):
        load_yolo(named(tmp_path, "tent"))


def test_what_a_users_model_calls_fire_is_told_as_fire_after_three_looks(folder: Path, tmp_path: Path) -> None:
    """The model that ships, with its one class named otherwise, finds its people as fires: same boxes, same scores."""
    frame = read_still(folder / "images" / "p0.png").frame
    frame = replace(frame, pixels=np.ascontiguousarray(frame.pixels[:640, :640]))
    boxes = {
        (round(d.left_px, 1), round(d.top_px, 1)): d.confidence for d in load_yolo(COLOUR_MODEL).detect(frame, None)
    }
    looks = [replace(frame, sequence=n, exposure_s=float(n)) for n in range(4)]
    lines = list(Examiner(Lookers(load_yolo(named(tmp_path, "fire"))), HotSpotDetector()).stream("v", looks))
    found = [d for line in lines if line["type"] == "frame" for d in line["detections"]]
    assert {d["kind"] for d in found} == {"fire"}
    for d in found:
        said, score = d["rule"].rsplit(" ", 1)
        assert said == "fire: one look, learned"
        assert float(score) == pytest.approx(d["confidence"], abs=0.0056)  # each is rounded by itself
    sure = {corner: score for corner, score in boxes.items() if score >= 0.45}
    assert sure
    for corner, score in sure.items():
        scores = [d["confidence"] for d in found if tuple(d["box_px"][:2]) == pytest.approx(corner, abs=0.5)]
        assert scores == pytest.approx([score] * 4, abs=0.01)
    tracks = [line for line in lines if line["type"] == "track" and line["phase"] == "new"]
    assert len(tracks) >= len(sure)
    assert {(t["kind"], t["looks"]) for t in tracks} == {("fire", 3)}
    assert all("by its look alone: 3 of 3 looks" in t["rule"] and t["confidence"] <= 0.85 for t in tracks)


def test_names_of_classes() -> None:
    assert kind_of_class("Wild  Boar") is Kind.ANIMAL
    assert kind_of_class("other-vehicle") is kind_of_class("awning-tricycle") is Kind.VEHICLE
    assert kind_of_class("Smoke") is Kind.SMOKE
    assert kind_of_class("Fire") is kind_of_class("flames") is Kind.FIRE
    assert kind_of_class("tent") is None
    assert unreported(["person", "car"]) is None
    assert (unreported(["person", "tent", "sofa"]) or "").startswith("things of class tent, sofa are")


@pytest.mark.parametrize("still", [True, False], ids=["still", "video"])
def test_who_is_too_unsure_to_be_told_of_is_blurred_all_the_same(folder: Path, tmp_path: Path, still: bool) -> None:
    """A higher confidence means fewer findings, not more people who can be known."""
    source = folder / "images" / "p0.png"
    original = cv2.imread(str(source))
    if not still:
        source = tmp_path / "v.avi"
        writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 2, SIZE)
        for _ in range(4):
            writer.write(original)
        writer.release()
    result = RUNNER.invoke(DETECT, [str(source), "--confidence", "0.7", "--annotate", str(tmp_path / "seen")])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    told = len(next(line for line in lines if line["type"] == "frame")["detections"])
    assert 0 < told < 4
    drawn = cv2.imread(str(min((tmp_path / "seen").glob("*.jpg"))))
    hidden = 0
    for row in (folder / "labels" / "p0.txt").read_text().splitlines():
        x, y, w, h = (float(v) * side for v, side in zip(row.split()[1:], (*SIZE, *SIZE), strict=True))
        inner = np.s_[int(y - h / 4) : int(y + h / 4), int(x - w / 4) : int(x + w / 4)]
        sharp, now = (float(cv2.Laplacian(p[inner], cv2.CV_64F).std()) for p in (original, drawn))
        hidden += now < 0.5 * sharp
    assert hidden >= told + 2


def test_pictures_too_coarse_for_it_are_refused(folder: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    result = RUNNER.invoke(DETECT, [str(folder / "images" / "p0.png"), "--gsd-cm", "30", "--out", str(lines)])
    frame = json.loads(lines.read_text(encoding="utf-8").splitlines()[0])
    assert "30.0 cm per pixel" in frame["not_looked_at"]
    assert "not looked at" in result.output
