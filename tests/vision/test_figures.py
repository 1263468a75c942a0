# SPDX-License-Identifier: AGPL-3.0-or-later
"""Dressed figures: gathered, drawn, bent, rendered. The body is made of boxes (conftest)."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vision.train.__main__ import main
from vision.train.errors import UserError
from vision.train.figure_body import Figures
from vision.train.figure_pose import POSES, Cloud, bend
from vision.train.figure_render import figure_sprite, place
from vision.train.figure_store import BONES
from vision.train.figure_things import draw_thing
from vision.train.render_scene import View

NADIR = View(40.0, 90.0, 0.0, 45.0, 30.0, 0.8, 2)
LIGHT = np.ones(3, np.float32)
GROUND = np.full(3, 0.2, np.float32)
SIZE = (256, 256)
AT = (128.0, 128.0)


@pytest.fixture(scope="module")
def figures(figures_file: Path) -> Figures:
    return Figures(figures_file)


def slab(z: float, colour: tuple[float, float, float], side: float = 0.6, count: int = 30000) -> Cloud:
    """A level square at a height, facing up."""
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-side / 2, side / 2, (count, 2)), np.full(count, z)]).astype(np.float32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (count, 1))
    return Cloud(points, normals, np.tile(np.array(colour, np.float32), (count, 1)), "slab")


def both(*clouds: Cloud) -> Cloud:
    return Cloud(*(np.concatenate([getattr(c, n) for c in clouds]) for n in ("points", "normals", "colours")), "both")


def middle(layer: np.ndarray) -> np.ndarray:
    """Where a layer weighs most: column and row of its centre."""
    rows, cols = np.indices(layer.shape)
    return np.array([(cols * layer).sum(), (rows * layer).sum()]) / layer.sum()


def test_gathering_says_what_it_found_and_merges_small_bones_into_those_that_move(
    makehuman: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, assets = makehuman
    out = tmp_path / "f.npz"
    assert main(["figures", str(program), str(assets), "--out", str(out)]) == 0
    assert "142 vertices, 48 targets, 15 garments" in capsys.readouterr().out
    with np.load(out) as store:
        weights = store["bones.weights"]
        assert weights.sum(axis=1)[: 8 * 15] == pytest.approx(1.0)
        assert (weights[:, BONES.index("wrist.L")] > 0).sum() == 8  # the fingers' weights, of no bone of their own
        assert len(set(store["garment.male_casualsuit01.piece"])) == 10  # belly, chest, four of arms, four of legs
        assert not {8 * 2, 8 * 2 + 7} & set(store["garment.male_casualsuit01.hides"])  # the head stays


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("3dobjs/base.obj", "base.obj: cannot be read"),
        ("rigs/default.mhskel", "default.mhskel: cannot be read"),
        ("targets/macrodetails/asian-male-old.target", "asian-male-old.target: cannot be read"),
        ("3dobjs/base.obj=version https://git-lfs", "base.obj: no mesh in it (a Git LFS pointer?)"),
        ("rigs/default.mhskel={", "rigs: not as MakeHuman has it (JSONDecodeError"),
        ("rigs/default.mhskel={}", "rigs: not as MakeHuman has it (KeyError: 'bones')"),
        ("targets/macrodetails/asian-male-old.target=1 a b c", "macrodetails: not as MakeHuman has it (ValueError"),
    ],
)
def test_what_lacks_of_the_body_is_named(
    makehuman: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, told: str
) -> None:
    program = tmp_path / "program"
    shutil.copytree(makehuman[0], program)
    name, _, text = spoil.partition("=")
    path = program / "makehuman" / "data" / name
    path.write_text(text) if text else path.unlink()
    assert main(["figures", str(program), str(makehuman[1]), "--out", str(tmp_path / "f.npz")]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said
    assert "\n" not in said
    assert not (tmp_path / "f.npz").exists()


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("base", "no suit for a female body"),
        ("base/clothes/male_casualsuit01", "no suit for a male body"),
        ("base/clothes/shoes01", "no shoes"),
        ("base/hair/bob02", "no hair or hat bob02"),
    ],
)
def test_what_lacks_of_the_clothes_is_named(
    makehuman: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], without: str, told: str
) -> None:
    assets = tmp_path / "assets"
    shutil.copytree(makehuman[1], assets)
    shutil.rmtree(assets / without)
    assert main(["figures", str(makehuman[0]), str(assets), "--out", str(tmp_path / "f.npz")]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("out", "told"), [("f.bin", "written as .npz"), ("none/f.npz", "cannot be written")])
def test_a_file_that_cannot_be_written_is_named(
    makehuman: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, told: str
) -> None:
    assert main(["figures", *map(str, makehuman), "--out", str(tmp_path / out)]) == 2
    assert told in capsys.readouterr().err


def test_a_garment_of_another_mesh_is_refused(makehuman: tuple[Path, Path], tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    shutil.copytree(makehuman[1], assets)
    worn = assets / "base" / "clothes" / "shoes01" / "shoes01.mhclo"
    worn.write_text(worn.read_text().replace("obj_file shoes01.obj", "obj_file ../fedora/fedora.obj"))
    assert main(["figures", str(makehuman[0]), str(assets), "--out", str(tmp_path / "f.npz")]) == 2


@pytest.mark.parametrize("text", [b"", b"PK\x03\x04 broken", b"words", b"\x93NUMPY\x01\x00"])
def test_a_file_that_holds_no_figures_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "f.npz"
    path.write_bytes(text)
    with pytest.raises(
        UserError, match=r"f\.npz: not a file of figures .*'python -m vision\.train figures' writes one"
    ):
        Figures(path)


def test_arrays_of_something_else_and_figures_without_clothes_are_refused(tmp_path: Path, figures_file: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("other.npz", "one.npy"):
        with pytest.raises(UserError, match=f"{name}: not a file of figures"):
            Figures(tmp_path / name)
    with np.load(figures_file) as store:
        np.savez(tmp_path / "bare.npz", **{**store, "garments": np.array(["shoes01"])})
    with pytest.raises(UserError, match=r"bare\.npz: .* no suit for a female body"):
        Figures(tmp_path / "bare.npz")


def test_figures_have_a_persons_size_stand_on_the_ground_and_wear_what_covers_them(figures: Figures) -> None:
    tall, seen = [], set()
    for seed in range(30):
        figure = figures.draw(np.random.default_rng([1, seed]), 3000)
        assert 2700 <= len(figure.points) <= 3300
        low, high = figure.points[:, 2].min(), figure.points[:, 2].max()
        assert -0.06 < low < 0.05
        tall.append(high - low)
        assert np.isfinite(figure.points).all()
        assert (figure.colours >= 0.004).all()
        assert (figure.colours <= 0.9).all()
        assert figure.bones.sum(axis=1) == pytest.approx(1.0, abs=0.01)
        assert np.linalg.norm(figure.normals, axis=1) == pytest.approx(1.0, abs=0.01)
        seen.add(tuple(np.round(figure.colours.mean(axis=0), 3)))
        arm = figure.heads[BONES.index("upperarm01.L")]
        assert arm[0] < 0 < figure.heads[BONES.index("head")][2]  # facing y, its left arm is at x below 0
    assert 0.95 < min(tall) < 1.5 < max(tall) < 2.1
    assert len(seen) == 30


def test_who_is_heavy_is_wider(figures: Figures) -> None:
    """The belly's boxes are the only ones a build moves here: some figures are wider about the hips, none narrower."""
    wide = []
    for seed in range(40):
        figure = figures.draw(np.random.default_rng([2, seed]), 4000)
        hips = figure.points[figure.bones[:, 0] > 0.5]
        wide.append(np.ptp(hips[:, 0]) / np.ptp(figure.points[:, 2]))
    assert max(wide) > 1.1 * float(np.median(wide))
    assert min(wide) > 0.85 * float(np.median(wide))


@pytest.mark.parametrize("pose", POSES)
def test_poses_leave_bones_their_length_and_lie_or_stand_as_named(figures: Figures, pose: str) -> None:
    high, level = [], []
    for seed in range(12):
        rng = np.random.default_rng([5, seed])
        figure = figures.draw(rng, 4000)
        cloud = bend(figure, pose, rng)
        assert cloud.pose == pose
        assert cloud.points[:, 2].min() == 0.0
        assert np.abs(cloud.points[:, :2].min(axis=0) + cloud.points[:, :2].max(axis=0)) == pytest.approx(0, abs=1e-4)
        whole = np.ptp(figure.points[:, 2])
        high.append(np.ptp(cloud.points[:, 2]) / whole)
        level.append(max(np.ptp(cloud.points[:, 0]), np.ptp(cloud.points[:, 1])) / whole)
        for bone in ("lowerleg01.L", "upperarm01.R"):  # rigid parts stay rigid
            mine = figure.bones[:, BONES.index(bone)] > 0.999
            mine &= cloud.points[:, 2] > 0.02  # what the ground presses flat
            a, b = figure.points[mine], cloud.points[mine]
            assert np.linalg.norm(a - a[:1], axis=1) == pytest.approx(np.linalg.norm(b - b[:1], axis=1), abs=2e-3)
    tall, long = float(np.median(high)), float(np.median(level))
    if pose in ("standing", "walking", "busy"):
        assert tall > 0.85
    elif pose in ("lying", "curled"):
        assert tall < 0.45
    elif pose in ("sitting", "crouching"):
        assert 0.3 < tall < 0.8
    if pose == "lying":
        assert long > 0.75


def test_legs_spread_outwards_not_across(figures: Figures) -> None:
    for seed in range(12):
        rng = np.random.default_rng([6, seed])
        figure = figures.draw(rng, 4000)
        cloud = bend(figure, "lying", rng)

        def middle_of(bone: str, figure=figure, cloud=cloud) -> np.ndarray:  # type: ignore[no-untyped-def]
            return cloud.points[figure.bones[:, BONES.index(bone)] > 0.9].mean(axis=0)

        thighs = middle_of("upperleg01.L") - middle_of("upperleg01.R")
        feet = middle_of("foot.L") - middle_of("foot.R")
        assert feet @ thighs > 0.8 * (thighs @ thighs)


def test_the_nearest_hides_what_is_behind_it() -> None:
    red, blue = (0.8, 0.02, 0.02), (0.02, 0.02, 0.8)
    for over, under, strong in ((red, blue, 0), (blue, red, 2)):
        sprite = figure_sprite(both(slab(1.0, over), slab(0.4, under)), NADIR, AT, SIZE, LIGHT, GROUND)
        assert sprite is not None
        inside = sprite.cover > 0.99
        assert inside.sum() > 400
        mean = sprite.colour[inside].mean(axis=0)
        assert mean[strong] > 5 * mean[2 - strong]


def test_the_sun_shades_what_lies_below_and_grounds_shadow_falls_away_from_it() -> None:
    for azimuth in (0.0, 70.0, 160.0, 255.0):
        for elevation in (90.0, 55.0):
            view = replace(NADIR, sun_azimuth_deg=azimuth, elevation_deg=elevation)
            sprite = figure_sprite(slab(1.0, (0.5, 0.5, 0.5), 0.3), view, AT, SIZE, LIGHT, GROUND)
            assert sprite is not None
            foot = np.array([AT[0] - sprite.left, AT[1] - sprite.top])
            sun = view.sun()
            away = -(sun * [1, 1, 0]) @ view.axes()[:2].T  # on the ground, in the picture
            # the shadow of what is a metre up lies 1 m / tan(elevation of the sun) from the foot
            want = foot + away / sun[2] * view.scale
            assert middle(sprite.shadow) == pytest.approx(want, abs=1.5)
    lit, shut = slab(0.05, (0.5, 0.5, 0.5)), both(slab(1.9, (0.5, 0.5, 0.5)), slab(0.05, (0.5, 0.5, 0.5)))
    shut.points[: len(lit.points), :2] += np.array([math.cos(math.radians(30)), math.sin(math.radians(30))]) * 1.85
    plain = figure_sprite(lit, NADIR, AT, SIZE, LIGHT, GROUND)
    shaded = figure_sprite(shut, NADIR, AT, SIZE, LIGHT, GROUND)
    assert plain is not None
    assert shaded is not None

    def level(sprite: object, at: tuple[float, float]) -> float:
        row, col = round(at[1] - sprite.top), round(at[0] - sprite.left)  # type: ignore[attr-defined]
        return float(sprite.colour[row - 2 : row + 3, col - 2 : col + 3].mean())  # type: ignore[attr-defined]

    assert level(shaded, AT) < 0.5 * level(plain, AT)


def test_cover_keeps_a_figure_out_of_the_picture_and_its_share_is_told(figures: Figures) -> None:
    rng = np.random.default_rng(9)
    cloud = bend(figures.draw(rng, 8000), "lying", rng)
    sprite = figure_sprite(cloud, NADIR, AT, SIZE, LIGHT, GROUND)
    assert sprite is not None
    left = np.zeros(SIZE, np.float32)
    left[:, :128] = 1.0
    shares = []
    for hidden in (None, left, 1 - left, np.ones(SIZE, np.float32)):
        canvas = np.full((*SIZE, 3), 0.2, np.float32)
        shares.append(place(canvas, sprite, 0.7, 0.4, 0.0, hidden))
        if hidden is not None:
            assert np.abs(canvas[hidden > 0] - 0.2).max() < 1e-6
    assert shares[0] == pytest.approx(1.0)
    assert shares[1] + shares[2] == pytest.approx(1.0)
    assert 0.1 < shares[1] < 0.9
    assert shares[3] == 0.0


def test_things_stand_on_the_ground_and_are_no_larger_than_a_parasol(figures: Figures) -> None:
    sizes = []
    for seed in range(60):
        rng = np.random.default_rng([4, seed])
        cloud = draw_thing(rng, figures.draw(rng, 3000) if seed % 3 == 0 else None)
        assert cloud.points[:, 2].min() >= 0
        assert cloud.points.shape == cloud.normals.shape == cloud.colours.shape
        assert np.isfinite(cloud.points).all()
        sizes.append(np.ptp(cloud.points, axis=0).max())
    assert min(sizes) > 0.1
    assert max(sizes) < 6.0
