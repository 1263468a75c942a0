# SPDX-License-Identifier: AGPL-3.0-or-later
"""Gather what figures are made of into one file: a body's mesh, its shapes, its bones, clothes, shoes and hair.

The source is MakeHuman (makehumancommunity/makehuman and makehuman-assets, both CC0 1.0 since September 2020). Of it
are taken the base mesh ``hm08`` in decimetres, y up, facing z; targets (displacements of vertices) for sex, age,
build and origin; the default skeleton with its weights; and garments, whose vertices hang on three vertices of the
body each, so that they fit whatever shape it has. Textures are not taken: colours are drawn anew for every figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import UserError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_T = TypeVar("_T")

#: Bones that move; every other bone of the skeleton goes with the nearest of these above it.
BONES: Final = (
    "root", "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "head",
    "clavicle.L", "upperarm01.L", "lowerarm01.L", "wrist.L", "clavicle.R", "upperarm01.R", "lowerarm01.R", "wrist.R",
    "upperleg01.L", "lowerleg01.L", "foot.L", "upperleg01.R", "lowerleg01.R", "foot.R",
)  # fmt: skip
ORIGINS: Final = ("african", "asian", "caucasian")
SEXES: Final = ("female", "male")
AGES: Final = ("child", "young", "old")
BUILDS: Final = (
    "averagemuscle-averageweight",
    "averagemuscle-maxweight",
    "averagemuscle-minweight",
    "maxmuscle-averageweight",
    "minmuscle-averageweight",
)
#: Hair of the head, short first: what figures wear who wear no hat.
HAIR: Final = (
    "short01", "short02", "short03", "short04", "bob01", "bob02", "long01", "ponytail01", "braid01", "afro01",
)  # fmt: skip
HATS: Final = ("fedora", "fedora_cocked")


def gather(program: Path, assets: Path, out: Path) -> dict[str, int]:
    """Write the figures' file from folders of the two repositories; return what is in it.

    UserError if a part is missing or cannot be understood, or if the file cannot be written.
    """
    if out.suffix != ".npz":
        raise UserError(f"--out {out}: figures are written as .npz; give the file such a name")
    data = program / "makehuman" / "data"
    store: dict[str, npt.NDArray[np.generic]] = {}
    mesh, rigs, shapes = data / "3dobjs" / "base.obj", data / "rigs", data / "targets" / "macrodetails"
    vertices, faces = _understood(mesh, lambda: _mesh(mesh, "body"))
    store["body.vertices"] = vertices.astype(np.float32)
    store["body.faces"] = faces.astype(np.uint16)
    _understood(rigs, lambda: _bones(rigs, len(vertices), store))
    targets = _understood(shapes, lambda: _targets(shapes, store))
    garments: list[str] = []
    for path in sorted(assets.glob("base/clothes/*/*.mhclo")) + sorted(assets.glob("base/hair/*/*.mhclo")):
        _understood(path, lambda path=path: _garment(path, store))  # type: ignore[misc]
        garments.append(path.stem)
    lacking = missing(garments)
    if lacking:
        raise UserError(f"{assets}: no {lacking} in it (base/clothes/*/*.mhclo, base/hair/*/*.mhclo)")
    store["garments"] = np.array(garments)
    try:
        np.savez_compressed(out, **store)  # type: ignore[arg-type]
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from None
    return {"vertices": len(vertices), "targets": targets, "garments": len(garments)}


def suits(garments: Iterable[str], sex: str) -> list[str]:
    """Garments that dress the body of somebody of a sex, from neck to ankles."""
    return [name for name in garments if name.startswith(f"{sex}_") and "suit" in name]


def shoes(garments: Iterable[str]) -> list[str]:
    """Garments that are shoes."""
    return [name for name in garments if name.startswith("shoes")]


def missing(garments: Sequence[str]) -> str | None:
    """What figures cannot be dressed without and these garments do not have; None where nothing lacks."""
    for sex in SEXES:
        if not suits(garments, sex):
            return f"suit for a {sex} body"
    if not shoes(garments):
        return "shoes"
    return next((f"hair or hat {name}" for name in (*HAIR, *HATS) if name not in garments), None)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); it belongs to MakeHuman") from None


def _understood(path: Path, read: Callable[[], _T]) -> _T:
    """What ``read`` makes of a file; UserError with its name where it is not as MakeHuman writes it."""
    try:
        return read()
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path}: not as MakeHuman has it ({type(error).__name__}: {error})") from None


def _mesh(path: Path, group: str | None) -> tuple[Floats, Ints]:
    """Vertices and triangles of a Wavefront file; with a group, only its faces."""
    vertices, triangles, inside = [], [], group is None
    for line in _lines(path):
        if line.startswith("v "):
            vertices.append([float(value) for value in line.split()[1:4]])
        elif line.startswith("g ") and group is not None:
            inside = line.split()[1] == group
        elif line.startswith("f ") and inside:
            corners = [int(part.split("/")[0]) - 1 for part in line.split()[1:]]
            triangles += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
    if not vertices or not triangles:
        raise UserError(f"{path}: no mesh in it (a Git LFS pointer?)")
    return np.array(vertices), np.array(triangles)


def _bones(rigs: Path, count: int, store: dict[str, npt.NDArray[np.generic]]) -> None:
    skeleton = json.loads("\n".join(_lines(rigs / "default.mhskel")))
    weights = json.loads("\n".join(_lines(rigs / "default_weights.mhw")))["weights"]
    bones = skeleton["bones"]
    dense = np.zeros((count, len(BONES)), dtype=np.float64)
    for name, rows in weights.items():
        at = name
        while at not in BONES:
            at = bones[at]["parent"]
        pairs = np.array(rows)
        np.add.at(dense[:, BONES.index(at)], pairs[:, 0].astype(int), pairs[:, 1])
    store["bones.weights"] = dense.astype(np.float16)
    for number, name in enumerate(BONES):
        for end in ("head", "tail"):
            store[f"bone.{number}.{end}"] = np.array(skeleton["joints"][bones[name][end]], dtype=np.uint16)


def _targets(folder: Path, store: dict[str, npt.NDArray[np.generic]]) -> int:
    names = [f"{o}-{s}-{a}" for o in ORIGINS for s in SEXES for a in AGES]
    names += [f"universal-{s}-{a}-{b}" for s in SEXES for a in AGES for b in BUILDS]
    for name in names:
        rows = [line.split() for line in _lines(folder / f"{name}.target") if line[:1].isdigit()]
        table = np.array([[float(value) for value in row[:4]] for row in rows]).reshape(-1, 4)
        store[f"target.{name}.at"] = table[:, 0].astype(np.uint16)
        store[f"target.{name}.by"] = table[:, 1:].astype(np.float16)
    return len(names)


def _garment(path: Path, store: dict[str, npt.NDArray[np.generic]]) -> None:
    """References (vertices of the body, their shares, an offset), scales of offsets, faces, what is hidden beneath."""
    scales, rows, hidden, section, shape = [], [], [], "", path.with_suffix(".obj")
    for line in _lines(path):
        parts = line.split()
        if not parts or parts[0] == "#":
            continue
        if parts[0] in ("x_scale", "y_scale", "z_scale"):
            scales.append((int("xyz".index(parts[0][0])), int(parts[1]), int(parts[2]), float(parts[3])))
        elif parts[0] == "obj_file":
            shape = path.parent / parts[1]
        elif parts[0] in ("verts", "delete_verts", "weights"):
            section = parts[0]
        elif section == "verts" and parts[0].isdigit():
            values = [float(value) for value in parts]
            rows.append(values if len(values) == 9 else [values[0], values[0], values[0], 1, 0, 0, 0, 0, 0])
        elif section == "delete_verts" and parts[0].isdigit():
            hidden += _ranges(parts)
    table = np.array(rows)
    vertices, faces = _mesh(shape, None)
    if len(vertices) != len(table):
        raise UserError(f"{path}: {len(table)} references for {len(vertices)} vertices of {shape.name}")
    name = path.stem
    store[f"garment.{name}.on"] = table[:, :3].astype(np.uint16)
    store[f"garment.{name}.share"] = table[:, 3:6].astype(np.float32)
    store[f"garment.{name}.offset"] = table[:, 6:].astype(np.float32)
    store[f"garment.{name}.scale"] = np.array(sorted(scales), dtype=np.float32)
    store[f"garment.{name}.faces"] = faces.astype(np.uint16)
    store[f"garment.{name}.hides"] = np.array(sorted(set(hidden)), dtype=np.uint16)
    store[f"garment.{name}.piece"] = _pieces(len(vertices), faces).astype(np.uint16)


def _ranges(parts: list[str]) -> list[int]:
    """Numbers of ``3 - 5 8``: 3, 4, 5, 8."""
    out: list[int] = []
    index = 0
    while index < len(parts):
        first = int(parts[index])
        if index + 2 < len(parts) and parts[index + 1] == "-":
            out += range(first, int(parts[index + 2]) + 1)
            index += 3
        else:
            out.append(first)
            index += 1
    return out


def _pieces(count: int, faces: Ints) -> Ints:
    """Number the parts of a mesh that hang together (a shirt, trousers): each vertex gets its part's number."""
    label = np.arange(count)
    while True:
        low = label[faces].min(axis=1)
        new = label.copy()
        for corner in range(3):
            np.minimum.at(new, faces[:, corner], low)
        new = new[new]
        if np.array_equal(new, label):
            return np.unique(label, return_inverse=True)[1]
        label = new
