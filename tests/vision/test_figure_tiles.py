# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tiles of dressed figures: labels, ground from pictures and from textures, repeatability, bad input."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.train.__main__ import main
from vision.train.dataset import list_samples, read_description
from vision.train.errors import UserError
from vision.train.figure_body import Figures
from vision.train.figure_pose import bend
from vision.train.figure_prepare import prepare_figures
from vision.train.figure_render import figure_sprite
from vision.train.figure_tiles import LONGEST_MAX, VISIBLE_MIN, Props, bounds, figure_tile, labelled
from vision.train.job import Job
from vision.train.labels import read_labels
from vision.train.provenance import command
from vision.train.render_people import Ground, read_grounds
from vision.train.render_scene import View
from vision.train.render_yard import samples, yard
from vision.train.train_config import TrainConfig

LEVEL = Ground("level", (Path("a.jpg"),), 2.0, (65.0, 90.0), (0.5, 0.8), "CC0", "ours", "train")
ENTRY = {
    "gsd_cm": 2.0, "elevation_deg": [65, 90], "shadow": [0.4, 0.8], "licence": "CC0", "source": "ours", "use": "train",
}  # fmt: skip


@pytest.fixture(scope="module")
def figures(figures_file: Path) -> Figures:
    return Figures(figures_file)


def level(mean: float) -> np.ndarray:
    return np.clip(np.random.default_rng(1).normal(mean, 4, (700, 900, 3)), 0, 255).astype(np.uint8)


def sheet(path: Path, colours: tuple[tuple[int, int, int], ...]) -> None:
    """Samples of 128 pixels in rows of three, white about them, as the previews of textures have them."""
    rows = math.ceil(len(colours) / 3)
    whole = np.full((16 + 176 * rows, 16 + 144 * 3, 3), 255, np.uint8)
    for number, colour in enumerate(colours):
        y, x = 16 + 176 * (number // 3), 16 + 144 * (number % 3)
        whole[y : y + 128, x : x + 128] = colour
        whole[y + 60, x : x + 128] = 20
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), whole, [int(cv2.IMWRITE_WEBP_QUALITY), 101])


def grounds(root: Path, **change: dict[str, object]) -> Path:
    """Folders of ground: a meadow and paving to train on, sand to test on."""
    described: dict[str, dict[str, object]] = {
        "meadow": dict(ENTRY),
        "paving": {**ENTRY, "kind": "textures", "weight": 2.0},
        "sand": {**ENTRY, "use": "test"},
    }
    for name, entry in change.items():
        described[name] = {**described.get(name, ENTRY), **entry}
    for name, mean in (("meadow", 90.0), ("sand", 170.0)):
        (root / name).mkdir(parents=True)
        cv2.imwrite(str(root / name / "a.png"), level(mean))
    sheet(root / "paving" / "PavingStones.webp", ((90, 110, 130), (60, 60, 60), (160, 150, 140), (40, 90, 60)))
    (root / "backgrounds.json").write_text(json.dumps(described), encoding="utf-8")
    return root


def rgb(root: Path, tmp_path: Path, *more: str) -> int:
    out = ["--work", "work", "--model", "m.onnx", "--card", "m.md"]
    out[1::2] = [str(tmp_path / name) for name in out[1::2]]
    return main(["rgb", str(root), *out, "--steps", "prepare", "--tiles", "1", *more])


@pytest.mark.parametrize("elevation", [90.0, 60.0, 40.0])
def test_a_box_holds_all_of_a_figure_and_little_else(figures: Figures, elevation: float) -> None:
    for seed, pose in enumerate(("standing", "lying", "waving", "sitting")):
        rng = np.random.default_rng([8, seed])
        cloud = bend(figures.draw(rng, 20000), pose, rng)
        view = View(50.0, elevation, float(rng.uniform(0, 360)), 40.0, float(rng.uniform(0, 360)), 0.8, 2)
        sprite = figure_sprite(cloud, view, (200, 200), (400, 400), np.ones(3, np.float32), np.ones(3, np.float32) / 5)
        assert sprite is not None
        box = bounds(sprite.cover, sprite.left, sprite.top)
        assert box is not None
        flat = cloud.points @ view.axes()[:2].T * view.scale + 200
        want = (*flat.min(axis=0), *np.ptp(flat, axis=0))
        assert box == pytest.approx(want, abs=2.5)


def test_labels_are_cut_by_the_tile_and_left_out_under_cover() -> None:
    box = (-10.0, 90.0, 30.0, 20.0)
    assert labelled(box, 1.0, 100) == (0, 0.0, 90.0, 20.0, 10.0)
    assert labelled(box, VISIBLE_MIN, 100) is not None
    assert labelled(box, VISIBLE_MIN - 0.01, 100) is None
    assert bounds(np.zeros((5, 5), np.float32), 0, 0) is None


def test_labelled_people_can_be_seen_in_their_boxes(figures: Figures) -> None:
    ground, seen, people = level(90), 0, 0
    for seed in range(10):
        tile, boxes = figure_tile(ground, LEVEL, Props(figures, (), ()), 256, np.random.default_rng([7, seed]))
        assert tile.shape == (256, 256, 3)
        flat = np.abs(tile.astype(int) - int(np.median(tile))).max(axis=2) > 20
        for _, left, top, width, height in boxes:
            assert 0 <= left < left + width <= 256
            assert 0 <= top < top + height <= 256
            assert max(width, height) <= LONGEST_MAX
            people += 1
            seen += flat[int(top) : int(top + height), int(left) : int(left + width)].mean() > 0.3 * VISIBLE_MIN
    assert people >= 8
    assert seen >= 0.9 * people


def test_one_seed_gives_one_tile(figures: Figures) -> None:
    props = Props(figures, (np.full((128, 128, 3), 120, np.uint8),), (1.0,))
    for picture in (level(90), None):
        first, boxes = figure_tile(picture, LEVEL, props, 192, np.random.default_rng(3))
        again, others = figure_tile(picture, LEVEL, props, 192, np.random.default_rng(3))
        unlike, _ = figure_tile(picture, LEVEL, props, 192, np.random.default_rng(4))
        assert np.array_equal(first, again)
        assert boxes == others
        assert not np.array_equal(first, unlike)


def test_samples_come_whole_from_their_sheets_and_weigh_as_their_sheet_does(tmp_path: Path) -> None:
    colours = ((90, 110, 130), (60, 60, 60), (160, 150, 140), (40, 90, 60))
    sheet(tmp_path / "PavingStones.webp", colours)
    sheet(tmp_path / "Snow.webp", ((200, 210, 220),))
    sheet(tmp_path / "Ceiling.webp", ((10, 10, 200),))  # no ground
    found, weights = samples(tmp_path)
    assert [tuple(int(v) for v in np.median(cut, axis=(0, 1))) for cut in found] == [*colours, (200, 210, 220)]
    assert all(120 <= side <= 128 for cut in found for side in cut.shape[:2])
    assert all(cut.max() < 250 for cut in found)  # no white margin
    assert weights == pytest.approx([4.0 / 4.4 / 4] * 4 + [0.4 / 4.4])


def test_laid_ground_has_the_colours_of_its_samples_and_no_holes() -> None:
    green = np.zeros((128, 128, 3), np.uint8)
    green[...] = (30, 120, 40)
    for seed in range(8):
        ground = yard(np.random.default_rng(seed), [green], [1.0], 160, 40.0)
        assert ground.shape == (160, 160, 3)
        assert ground.min() >= 0.002
        assert np.mean(ground[..., 1] >= ground[..., 0]) > 0.95  # red green blue: green leads but for kerbs


@pytest.mark.timeout(240)
def test_a_set_is_the_same_whatever_the_workers_and_tests_stand_on_ground_of_their_own(
    tmp_path: Path, figures_file: Path
) -> None:
    root, sets = grounds(tmp_path / "g"), []
    counts = {"train": 14, "val": 0, "test": 2}
    for workers in (1, 2):
        out = tmp_path / f"w{workers}"
        assert prepare_figures(root, figures_file, out, counts, 96, 3, workers) == counts
        sets.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.suffix in (".jpg", ".txt")})
    assert sets[0] == sets[1]
    train = {sample.stem.split("_")[0] for sample in list_samples(tmp_path / "w1", "train")}
    assert train == {"meadow", "paving"}
    assert {sample.stem.split("_")[0] for sample in list_samples(tmp_path / "w1", "test")} == {"sand"}
    about = read_description(tmp_path / "w1")["source"]
    assert "MakeHuman" in about["figures"]  # type: ignore[index]
    labels = [read_labels(path, 1, 96, 96) for path in (tmp_path / "w1" / "labels").rglob("*.txt")]
    assert sum(len(boxes) for boxes in labels) >= 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"paving": {"kind": "photographs"}}, "paving: kind is 'photographs', expected pictures or textures"),
        ({"paving": {"weight": 0}}, "paving: weight is 0, expected a number above 0"),
        ({"paving": {"weight": math.nan}}, "paving: weight is nan, expected a number above 0"),
        ({"paving": {"weight": "much"}}, "paving: needs gsd_cm"),
        ({"meadow": {"kind": "textures"}}, "one folder of textures at most (found 2)"),
    ],
)
def test_grounds_that_cannot_be_are_named_in_one_line(
    tmp_path: Path,
    figures_file: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, dict[str, object]],
    told: str,
) -> None:
    root = grounds(tmp_path / "g", **change)
    assert rgb(root, tmp_path, "--figures", str(figures_file)) == 2
    said = capsys.readouterr().err.strip()
    assert told in said
    assert "\n" not in said


def test_what_figures_need_is_said_before_anything_is_rendered(
    tmp_path: Path, figures_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = grounds(tmp_path / "g")
    assert rgb(root, tmp_path) == 2
    assert "ground laid from textures needs figures (--figures)" in capsys.readouterr().err
    assert rgb(root, tmp_path, "--figures", str(tmp_path / "none.npz")) == 2
    assert "none.npz: no such file; 'python -m vision.train figures' writes one" in capsys.readouterr().err
    (tmp_path / "words.npz").write_text("words")
    assert rgb(root, tmp_path, "--figures", str(tmp_path / "words.npz")) == 2
    assert "words.npz: not a file of figures" in capsys.readouterr().err
    (root / "paving" / "PavingStones.webp").rename(root / "paving" / "Ceiling.webp")
    assert rgb(root, tmp_path, "--figures", str(figures_file)) == 2
    assert "paving: no sheets of textures (such as PavingStones.webp) in it" in capsys.readouterr().err
    assert not (tmp_path / "work" / "data" / "images").exists()


@pytest.mark.timeout(120)
def test_a_picture_of_ground_that_cannot_be_read_is_named(tmp_path: Path, figures_file: Path) -> None:
    root = grounds(tmp_path / "g")
    (root / "sand" / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"sand/a\.png: cannot be read as a picture"):
        prepare_figures(root, figures_file, tmp_path / "out", {"test": 1}, 64)


def test_the_command_on_the_card_names_the_figures(tmp_path: Path) -> None:
    job = Job("rgb", tmp_path / "grounds", tmp_path, tmp_path / "m.onnx", tmp_path / "m.md", TrainConfig(epochs=1))
    config = {"minutes": None, "epochs": 1, "width": 640, "height": 512, "batch": 8, "lr": 1e-3}
    assert "--figures" not in command(job, config)
    assert "--seed" not in command(job, config)
    said = command(replace(job, figures=tmp_path / "people.npz"), {**config, "seed": 2})
    assert "--figures people.npz" in said
    assert "--seed 2" in said


def test_photographed_ground_may_be_webp(tmp_path: Path) -> None:
    root = grounds(tmp_path / "g")
    cv2.imwrite(str(root / "meadow" / "b.webp"), level(80))
    meadow = next(ground for ground in read_grounds(root) if ground.name == "meadow")
    assert [path.name for path in meadow.pictures] == ["a.png", "b.webp"]
