# SPDX-License-Identifier: AGPL-3.0-or-later
"""Dressed people as clouds of coloured points: a shape, clothes, hair and what is carried, before any pose.

Everything hangs on the store that `figure_store` gathers. Metres, z up, facing +y, feet at z = 0; colours are linear
reflectances. Each figure is drawn anew: sex, age, build, garments and their colours, prints, bare arms and legs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from .errors import UserError
from .figure_cloth import bottom_colour, cloth, hair_colour, skin_colour, top_colour
from .figure_store import BONES, BUILDS, HAIR, HATS, ORIGINS, missing, shoes, suits

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_DECIMETRE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed person at rest: n points (metres) with normals, colours, shares of bones; heads and tails of bones."""

    points: Floats
    normals: Floats
    colours: Floats
    bones: Floats  # n x len(BONES)
    heads: Floats  # len(BONES) x 3
    tails: Floats


class Figures:
    """The store in memory, from which figures are drawn."""

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path) as store:
                self._store = {name: store[name] for name in store.files}
            self.garments = tuple(str(name) for name in self._store["garments"])
            self._vertices = self._store["body.vertices"].astype(np.float32)
            self._faces = self._store["body.faces"].astype(np.int64)
            weights = self._store["bones.weights"].astype(np.float32)
            ends = [
                [self._store[f"bone.{i}.{end}"].astype(np.int64) for i in range(len(BONES))] for end in ("head", "tail")
            ]
        except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, BadZipFile) as error:
            raise UserError(
                f"{path}: not a file of figures ({error}); 'python -m vision.train figures' writes one"
            ) from None
        if lacking := missing(self.garments):
            raise UserError(f"{path}: figures cannot be dressed from it: no {lacking}; gather them anew with 'figures'")
        self._used = np.unique(self._faces)
        self._ends = [np.stack([np.resize(part, 48) for part in parts]) for parts in ends]
        total = weights.sum(axis=1, keepdims=True)
        self._weights = np.where(total > 0, weights / np.maximum(total, 1e-6), 0).astype(np.float32)

    def draw(self, rng: np.random.Generator, count: int = 26000) -> Figure:
        """One person of ``count`` points."""
        sex = "male" if rng.random() < 0.55 else "female"
        age = str(rng.choice(["child", "young", "old"], p=[0.12, 0.66, 0.22]))
        body = self._shape(rng, sex, age)
        tall = {"child": rng.uniform(1.0, 1.5), "young": rng.normal(1.77 if sex == "male" else 1.65, 0.07)}.get(
            age, rng.normal(1.70 if sex == "male" else 1.60, 0.07)
        )
        skin = skin_colour(rng)
        parts, covered = self._dress(rng, sex, body)
        bare = ~np.isin(self._faces, covered).all(axis=1)
        parts.append((body, self._faces[bare], self._weights, "skin", np.zeros(len(body), np.int64)))
        parts.append(self._head(rng, sex, body))
        return self._cloud(rng, parts, body, float(tall), skin, count)

    def _shape(self, rng: np.random.Generator, sex: str, age: str) -> Floats:
        body: Floats = self._vertices.copy()
        build = BUILDS[int(rng.integers(len(BUILDS)))]
        mix = float(rng.uniform(0.2, 1.0))
        for name, share in (
            (f"{ORIGINS[int(rng.integers(3))]}-{sex}-{age}", 1.0),
            (f"universal-{sex}-{age}-averagemuscle-averageweight", 1.0 - mix),
            (f"universal-{sex}-{age}-{build}", mix),
        ):
            body[self._store[f"target.{name}.at"].astype(np.int64)] += share * self._store[f"target.{name}.by"].astype(
                np.float32
            )
        return body

    def _dress(
        self, rng: np.random.Generator, sex: str, body: Floats
    ) -> tuple[list[tuple[Floats, Ints, Floats, str, Ints]], Ints]:
        other = rng.random() < 0.15
        fitting = suits(self.garments, sex if not other else "female" if sex == "male" else "male")
        chosen = [fitting[int(rng.integers(len(fitting)))]]
        if rng.random() < 0.93:
            pairs = shoes(self.garments)
            chosen.append(pairs[int(rng.integers(len(pairs)))])
        parts, hidden = [], [np.zeros(0, np.int64)]
        for name in chosen:
            vertices, weights = self._worn(name, body)
            faces = self._store[f"garment.{name}.faces"].astype(np.int64)
            kind = "shoes" if name.startswith("shoes") else "overall" if "work" in name else "suit"
            parts.append((vertices, faces, weights, kind, self._store[f"garment.{name}.piece"].astype(np.int64)))
            hidden.append(self._store[f"garment.{name}.hides"].astype(np.int64))
        return parts, np.concatenate(hidden)

    def _head(self, rng: np.random.Generator, sex: str, body: Floats) -> tuple[Floats, Ints, Floats, str, Ints]:
        draw = rng.random()
        if draw < 0.08:
            name = HATS[0] if rng.random() < 0.5 else HATS[1]
        else:
            names = HAIR[:4] if sex == "male" and rng.random() < 0.9 else HAIR[1:]
            name = names[int(rng.integers(len(names)))]
        vertices, weights = self._worn(name, body)
        kind = "hat" if name in HATS else "hair"
        piece = self._store[f"garment.{name}.piece"].astype(np.int64)
        return vertices, self._store[f"garment.{name}.faces"].astype(np.int64), weights, kind, piece

    def _worn(self, name: str, body: Floats) -> tuple[Floats, Floats]:
        on = self._store[f"garment.{name}.on"].astype(np.int64)
        share = self._store[f"garment.{name}.share"]
        offset = self._store[f"garment.{name}.offset"].copy()
        for axis, first, second, rest in self._store[f"garment.{name}.scale"]:
            a = int(axis)
            offset[:, a] *= abs(body[int(first), a] - body[int(second), a]) / rest
        vertices = np.einsum("nk,nkc->nc", share, body[on]) + offset
        return vertices.astype(np.float32), np.einsum("nk,nkb->nb", share, self._weights[on]).astype(np.float32)

    def _cloud(
        self,
        rng: np.random.Generator,
        parts: list[tuple[Floats, Ints, Floats, str, Ints]],
        body: Floats,
        tall: float,
        skin: Floats,
        count: int,
    ) -> Figure:
        """Points spread evenly over all surfaces, with what they are made of."""
        areas = []
        for vertices, faces, *_ in parts:
            a, b, c = (vertices[faces[:, i]] for i in range(3))
            areas.append(np.linalg.norm(np.cross(b - a, c - a), axis=1))
        total = float(sum(float(area.sum()) for area in areas))
        levels = body[self._used, 1]
        low, high = levels.min(), levels.max()
        grow = tall / (float(high - low) * _DECIMETRE)
        heads, tails = self._joints(body)
        points, normals, colours, bones = [], [], [], []
        waist = (float(heads[BONES.index("spine05")][1]) - float(low)) / float(high - low) + 0.03
        top, bottom, extra = top_colour(rng), bottom_colour(rng), top_colour(rng)
        hair = hair_colour(rng)
        bare_arm = float(rng.choice([-1.0, 0.0, 0.55], p=[0.45, 0.35, 0.2]))
        bare_leg = 0.27 if rng.random() < 0.25 else -1.0
        overall = rng.random() < 0.5
        loose = (max(0.0, rng.normal(0.0, 0.15)), max(0.0, rng.normal(0.0, 0.08)))
        for (vertices, faces, weights, kind, piece), area in zip(parts, areas, strict=True):
            n = round(count * float(area.sum()) / total)
            if n < 3:
                continue
            picked = np.searchsorted(np.cumsum(area), rng.random(n) * area.sum())
            corners = faces[np.minimum(picked, len(faces) - 1)]
            u, v = np.sqrt(rng.random(n, dtype=np.float32)), rng.random(n, dtype=np.float32)
            share = np.stack([1 - u, u * (1 - v), u * v], axis=1)
            a, b, c = (vertices[corners[:, i]] for i in range(3))
            normal = np.cross(b - a, c - a)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
            at = share[:, :1] * a + share[:, 1:2] * b + share[:, 2:] * c
            bone = np.einsum("nk,nkb->nb", share, weights[corners])
            level = (at[:, 1] - low) / (high - low)
            if kind == "skin":
                colour = np.broadcast_to(skin, at.shape).copy()
                if rng.random() < 0.93:  # hair is strands: what shows between them is no scalp
                    head = heads[BONES.index("head")]
                    crown = (at[:, 1] - head[1]) + 0.9 * (head[2] - at[:, 2]) > rng.uniform(0.35, 0.75)
                    colour[crown & (bone[:, BONES.index("head")] > 0.5)] = hair
            elif kind == "hair":
                colour = cloth(rng, at, hair, rough=0.35)
            elif kind == "hat":
                colour = cloth(rng, at, extra, rough=0.1)
            elif kind == "shoes":
                colour = cloth(rng, at, extra if rng.random() < 0.3 else bottom_colour(rng) * 0.6, rough=0.1)
            else:
                upper = _is_top(piece, vertices, low, high, waist)[corners[:, 0]]
                upper = level > waist if upper is None else upper
                if kind == "overall" and overall:
                    upper = np.ones(n, bool)
                colour = np.where(upper[:, None], cloth(rng, at, top, prints=True), cloth(rng, at, bottom, folds=0.15))
                at = at + normal * np.where(upper, loose[0], loose[1])[:, None]
                arm = _along(at, heads, tails, ("lowerarm01.L", "lowerarm01.R"), bone)
                colour[upper & (arm > bare_arm) & (bare_arm > -1) & (arm > -1)] = skin
                colour[~upper & (level < bare_leg)] = skin
            points.append(at)
            normals.append(normal)
            colours.append(colour)
            bones.append(bone)
        at, normal = np.concatenate(points), np.concatenate(normals)
        base = np.array([0.0, low, 0.0], np.float32)
        return Figure(
            _upright(at - base, grow),
            _upright(normal, 1 / _DECIMETRE),
            np.clip(np.concatenate(colours), 0.004, 0.9).astype(np.float32),
            np.concatenate(bones).astype(np.float32),
            _upright(heads - base, grow),
            _upright(tails - base, grow),
        )

    def _joints(self, body: Floats) -> tuple[Floats, Floats]:
        return body[self._ends[0]].mean(axis=1), body[self._ends[1]].mean(axis=1)


def _upright(vectors: Floats, grow: float) -> Floats:
    """From decimetres, y up, facing z to metres, z up, facing y."""
    return np.stack([-vectors[:, 0], vectors[:, 2], vectors[:, 1]], axis=1).astype(np.float32) * np.float32(
        _DECIMETRE * grow
    )


def _is_top(piece: Ints, vertices: Floats, low: float, high: float, waist: float) -> npt.NDArray[np.bool_]:
    """Of each vertex of a suit whether it belongs to what is worn above: whole pieces, or split at the waist."""
    count = int(piece.max()) + 1
    if count == 1:
        return np.asarray((vertices[:, 1] - low) / (high - low) > waist)
    mean = np.bincount(piece, vertices[:, 1], count) / np.bincount(piece, minlength=count)
    return np.asarray(((mean - low) / (high - low) > waist + 0.02)[piece])


def _along(at: Floats, heads: Floats, tails: Floats, names: tuple[str, str], bone: Floats) -> Floats:
    """How far down the forearm a point is, 0 at the elbow, 1 at the wrist; below 0 on the upper arm, -2 elsewhere."""
    out = np.full(len(at), -2.0, np.float32)
    for name in names:
        number = BONES.index(name)
        upper = BONES.index(name.replace("lowerarm", "upperarm"))
        axis = tails[number] - heads[number]
        mine = bone[:, number] + bone[:, upper] + bone[:, BONES.index("wrist." + name[-1])] > 0.5
        out[mine] = ((at[mine] - heads[number]) @ axis) / float(axis @ axis)
    return out
