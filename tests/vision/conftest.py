# SPDX-License-Identifier: AGPL-3.0-or-later
"""A body of boxes in the files that MakeHuman has: mesh, skeleton, weights, shapes, clothes, shoes, hair."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from vision.train import figure_store
from vision.train.figure_store import AGES, BONES, BUILDS, HAIR, HATS, ORIGINS, SEXES

#: Boxes in decimetres (y up, facing z): the bone that carries each, middle, half sides. Left is at x above 0.
BOXES: dict[str, tuple[str, tuple[float, float, float], tuple[float, float, float]]] = {
    "belly": ("root", (0, 0.6, 0), (1.6, 0.8, 0.9)),
    "chest": ("spine01", (0, 3.4, 0), (1.9, 2.0, 1.0)),
    "head": ("head", (0, 7.2, 0.1), (0.8, 1.3, 1.0)),
}
for _letter, _side in (("L", 1), ("R", -1)):
    BOXES |= {
        f"upper arm {_letter}": (f"upperarm01.{_letter}", (_side * 2.4, 3.9, 0), (0.45, 1.5, 0.45)),
        f"forearm {_letter}": (f"lowerarm01.{_letter}", (_side * 2.4, 1.0, 0), (0.4, 1.3, 0.4)),
        f"hand {_letter}": (f"wrist.{_letter}", (_side * 2.4, -0.9, 0), (0.35, 0.6, 0.35)),
        f"thigh {_letter}": (f"upperleg01.{_letter}", (_side * 0.9, -2.3, 0), (0.75, 2.1, 0.75)),
        f"shin {_letter}": (f"lowerleg01.{_letter}", (_side * 0.9, -6.1, 0), (0.55, 1.7, 0.55)),
        f"foot {_letter}": (f"foot.{_letter}", (_side * 0.9, -8.1, 0.6), (0.5, 0.3, 1.3)),
    }
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
#: Where bones begin; each ends where the next begins, or at its own second place.
JOINTS: dict[str, tuple[float, float, float]] = {
    "root": (0, 0, 0), "spine05": (0, 0.4, 0), "spine04": (0, 1.0, 0), "spine03": (0, 1.6, 0), "spine02": (0, 2.4, 0),
    "spine01": (0, 3.2, 0), "neck01": (0, 5.4, 0), "head": (0, 6.0, 0),
}  # fmt: skip
for _letter, _side in (("L", 1), ("R", -1)):
    JOINTS |= {
        f"clavicle.{_letter}": (_side * 0.3, 5.2, 0),
        f"upperarm01.{_letter}": (_side * 2.4, 5.2, 0),
        f"lowerarm01.{_letter}": (_side * 2.4, 2.4, 0),
        f"wrist.{_letter}": (_side * 2.4, -0.3, 0),
        f"upperleg01.{_letter}": (_side * 0.9, -0.3, 0),
        f"lowerleg01.{_letter}": (_side * 0.9, -4.4, 0),
        f"foot.{_letter}": (_side * 0.9, -7.8, 0),
    }


def corners(name: str, grow: float = 0.0) -> list[tuple[float, ...]]:
    """The eight corners of a box, outwards by ``grow``."""
    _, middle, half = BOXES[name]
    return [
        tuple(m + s * (h + grow) for m, s, h in zip(middle, signs, half, strict=True))
        for signs in itertools.product((-1, 1), repeat=3)
    ]


def faces(first: int) -> list[str]:
    return ["f " + " ".join(f"{first + corner + 1}/1" for corner in quad) for quad in QUADS]


def wavefront(names: list[str], grow: float = 0.0) -> list[str]:
    lines = ["# boxes"]
    lines += ["v " + " ".join(f"{value:.3f}" for value in at) for name in names for at in corners(name, grow)]
    lines.append("g body")
    for number in range(len(names)):
        lines += faces(8 * number)
    return lines


def write(path: Path, lines: list[str] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines if isinstance(lines, str) else "\n".join(lines) + "\n", encoding="utf-8")


def garment(root: Path, name: str, worn_on: list[str], kind: str = "clothes", hides: bool = True) -> None:
    """Boxes that hang on the body's boxes: some vertices moved off it, some right on it."""
    order = list(BOXES)
    lines = ["# clothes", f"obj_file {name}.obj", "x_scale 0 7 3.8", "y_scale 0 2 4.0", "z_scale 0 1 2.0", "verts 0"]
    for box in worn_on:
        for corner, (at, off) in enumerate(zip(corners(box), corners(box, 0.1), strict=True)):
            number = 8 * order.index(box) + corner
            moved = " ".join(f"{b - a:.3f}" for a, b in zip(at, off, strict=True))
            lines.append(f"{number} {number} {number} 0.5 0.25 0.25 {moved}" if box != "chest" else str(number))
    if hides:
        lines.append("delete_verts")
        lines += [f"{8 * order.index(box)} - {8 * order.index(box) + 7}" for box in worn_on]
    folder = root / "base" / kind / name
    write(folder / f"{name}.mhclo", lines)
    write(folder / f"{name}.obj", wavefront(worn_on, 0.1))


def make_program(root: Path) -> None:
    data, order = root / "makehuman" / "data", list(BOXES)
    lines, at = wavefront(order), {}
    ends: list[str] = []
    for name, place in JOINTS.items():
        at[name] = 8 * len(order) + len(ends)
        ends.append("v " + " ".join(f"{value:.3f}" for value in place))
    write(data / "3dobjs" / "base.obj", [*lines[: 1 + 8 * len(order)], *ends, *lines[1 + 8 * len(order) :]])
    bones = {name: {"head": f"{name}-head", "tail": f"{name}-tail", "parent": "root"} for name in BONES}
    bones |= {f"finger.{letter}": {"head": "", "tail": "", "parent": f"wrist.{letter}"} for letter in "LR"}
    follows = dict(
        itertools.pairwise(("root", "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "head"))
    )
    for letter in "LR":
        follows |= {f"upperarm01.{letter}": f"lowerarm01.{letter}", f"lowerarm01.{letter}": f"wrist.{letter}"}
        follows |= {f"upperleg01.{letter}": f"lowerleg01.{letter}", f"lowerleg01.{letter}": f"foot.{letter}"}
    joints = {f"{name}-head": [at[name]] for name in BONES}
    joints |= {f"{name}-tail": [at[follows.get(name, name)]] for name in BONES}
    write(data / "rigs" / "default.mhskel", json.dumps({"bones": bones, "joints": joints}))
    weights: dict[str, list[list[float]]] = {}
    for number, (name, (bone, *_)) in enumerate(BOXES.items()):
        carried = f"finger.{bone[-1]}" if name.startswith("hand") else bone
        weights.setdefault(carried, []).extend([8 * number + corner, 1.0] for corner in range(8))
    write(data / "rigs" / "default_weights.mhw", json.dumps({"weights": weights}))
    shapes = data / "targets" / "macrodetails"
    for sex, age in itertools.product(SEXES, AGES):
        for origin in ORIGINS:
            write(shapes / f"{origin}-{sex}-{age}.target", ["# shape", "0 0 0 0"])
        for build in BUILDS:
            wide = 0.6 if "maxweight" in build else 0.0
            out = [f"{corner} {(-wide if corner < 4 else wide):.2f} 0 0" for corner in range(8)]
            write(shapes / f"universal-{sex}-{age}-{build}.target", ["# shape", *out])


def make_assets(root: Path) -> None:
    dressed = [name for name in BOXES if not name.startswith(("head", "hand", "foot"))]
    for sex in SEXES:
        garment(root, f"{sex}_casualsuit01", dressed)
    garment(root, "shoes01", ["foot L", "foot R"])
    for name in HAIR:
        garment(root, name, ["head"], "hair", hides=False)
    for name in HATS:
        garment(root, name, ["head"], hides=False)


@pytest.fixture(scope="session")
def makehuman(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders like those of the repositories makehuman and makehuman-assets, with a body of boxes."""
    program, assets = tmp_path_factory.mktemp("makehuman"), tmp_path_factory.mktemp("assets")
    make_program(program)
    make_assets(assets)
    return program, assets


@pytest.fixture(scope="session")
def figures_file(makehuman: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What 'figures' writes of them."""
    out = tmp_path_factory.mktemp("figures") / "figures.npz"
    figure_store.gather(*makehuman, out)
    return out
