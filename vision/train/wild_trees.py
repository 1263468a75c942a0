# SPDX-License-Identifier: AGPL-3.0-or-later
"""Trees and bushes over rendered wild country, each branch of them: what people are hidden under.

A conifer is a trunk with whorls of drooping boughs, a bare tree a trunk that forks, a bush a cluster of leaves. All are
drawn through the camera, so that trees lean away from the middle of the picture as they do from above. They are drawn
after whoever is under them, and cover him as far as their boughs do.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from .wild_eye import Eye

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

_NOTHING = np.float32(-1000)
_HIGHEST = 0.6  # of the camera's height
_TONES = 4


class Canopy:
    """What is drawn of trees: degrees (h, w) where there is a tree."""

    def __init__(self, eye: Eye) -> None:
        self.eye = eye
        self.degrees = np.full((eye.height_px, eye.width_px), _NOTHING, np.float32)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Where there is a tree."""
        return np.asarray(self.degrees > _NOTHING)

    def strokes(
        self, a: Points, b: Points, width_m: float, degrees: float, uneven: float, rng: np.random.Generator
    ) -> None:
        """Boughs from a to b (n, 3), in a few tones about so many degrees."""
        ends, depth = self.eye.project(np.concatenate([a, b]))
        lines = np.rint(np.clip(ends, -2000, 4000) * 8).astype(np.int32)
        lines = np.stack([lines[: len(a)], lines[len(a) :]], axis=1)
        thick = max(1, round(width_m * self.eye.focal_px / float(np.median(depth))))
        tone = rng.integers(0, _TONES, len(a))
        for number in range(_TONES):
            some = lines[tone == number]
            if len(some):
                value = degrees + uneven * (number - (_TONES - 1) / 2)
                cv2.polylines(self.degrees, list(some), False, value, thick, cv2.LINE_8, 3)

    def conifer(self, rng: np.random.Generator, at: tuple[float, float], tall: float, degrees: float) -> None:
        """A spruce or fir, tall in metres, standing at x and y in metres."""
        near = self.eye.focal_px / max(self.eye.height_m - tall / 2, 1.0)
        reach = tall * rng.uniform(0.12, 0.22)
        whorls = int(np.clip(tall * rng.uniform(0.8, 1.4), 5, 22))
        level = np.linspace(rng.uniform(0.1, 0.4), 0.98, whorls)
        boughs = int(rng.integers(6, 12))
        height = np.repeat(level, boughs) * tall
        turn = rng.uniform(0, 2 * math.pi, len(height))
        length = reach * (1.02 - np.repeat(level, boughs)) ** 0.8 * rng.uniform(0.6, 1.2, len(height))
        foot = np.stack([np.full(len(height), at[0]), np.full(len(height), at[1]), height], 1)
        way = np.stack([np.cos(turn), np.sin(turn), np.full(len(height), -rng.uniform(0.1, 0.7))], 1)
        tip = foot + way * length[:, None]
        root = np.array([[at[0], at[1], 0.0]])
        self.strokes(root, np.array([[at[0], at[1], tall * 0.6]]), 0.25, degrees - rng.uniform(0, 2), 0.0, rng)
        wide, uneven, twigs = rng.uniform(0.05, 0.2), rng.uniform(0.05, 0.5), near * reach >= 12
        rise, tips = rng.uniform(-0.3, 1.0), rng.uniform(-0.3, 0.8)  # the top stands in the sun or under the cold sky
        for low, high in ((0.0, 0.45), (0.45, 0.7), (0.7, 1.0)):  # what is higher covers what is lower
            some = (height >= low * tall) & (height < high * tall)
            if not some.any():
                continue
            tone = degrees + rise * ((low + high) - 1)
            self.strokes(foot[some], tip[some], wide, tone, uneven, rng)
            for share in (0.45, 0.7, 0.9) if twigs else ():  # on either side of a bough, hanging
                base = foot[some] + way[some] * (length[some] * share)[:, None]
                long = (length[some] * 0.35 * (1.15 - share))[:, None]
                for side in (-1.0, 1.0):
                    out = turn[some] + side * rng.uniform(0.5, 1.0)
                    twig = np.stack([np.cos(out), np.sin(out), np.full(len(out), -0.5)], 1) * long
                    self.strokes(base, base + twig, 0.06, tone + tips * share, uneven, rng)

    def bare(self, rng: np.random.Generator, at: tuple[float, float], tall: float, degrees: float) -> None:
        """A tree without leaves: every limb forks four times."""
        foot = np.array([[at[0], at[1], 0.0]])
        tip = np.array([[at[0], at[1], tall * 0.35]]) + rng.normal(0, 0.03, 3) * tall
        width = tall * 0.02
        for _ in range(5):
            self.strokes(foot, tip, width, degrees, 0.1, rng)
            way = np.repeat((tip - foot) * rng.uniform(0.6, 0.85), 3, axis=0)
            foot = np.repeat(tip, 3, axis=0)
            way = way + rng.normal(0, 0.45, way.shape) * np.linalg.norm(way, axis=1, keepdims=True)
            tip, width = foot + way, width * 0.55
            keep = tip[:, 2] > 0.2
            foot, tip = foot[keep], tip[keep]
            if not len(foot):
                break

    def leafy(
        self, rng: np.random.Generator, at: tuple[float, float], tall: float, degrees: float, leaf_m: float
    ) -> None:
        """A crown or a bush: a cloud of leaves, in clusters."""
        clusters = int(rng.integers(4, 14))
        heart = np.array([*at, tall * 0.65]) + rng.normal(0, 1, (clusters, 3)) * (0.22, 0.22, 0.18) * np.array(tall)
        count = int(np.clip((tall / leaf_m) ** 2 * rng.uniform(0.3, 1.5), 30, 700))
        leaves = heart[rng.integers(0, clusters, count)] + rng.normal(0, 0.09 * tall, (count, 3))
        leaves[:, 2] = np.maximum(leaves[:, 2], 0.1)
        lie = rng.normal(0, 0.6, (count, 3)) * leaf_m
        self.strokes(leaves, leaves + lie, leaf_m * 0.5, degrees, rng.uniform(0.1, 0.7), rng)


def plant(rng: np.random.Generator, canopy: Canopy, warm: float) -> None:
    """Woods, a few trees or nothing; warm: degrees over the air of what stands in the light."""
    eye = canopy.eye
    draw = rng.random()
    if draw < 0.4:
        return
    count = int(rng.integers(1, 9)) if draw < 0.65 else int(rng.integers(8, 46))
    kinds = rng.choice(3, 2, p=(0.5, 0.15, 0.35))
    tall = math.exp(rng.uniform(math.log(1.0), math.log(28.0)))
    tall = min(tall, _HIGHEST * eye.height_m)
    open_at, open_px = rng.uniform(0, (eye.width_px, eye.height_px)), rng.uniform(0, 220)  # a clearing
    for _ in range(count):
        u, v = rng.uniform(-60, eye.width_px + 60), rng.uniform(-40, eye.height_px + 60)
        if math.dist((u, v), open_at) < open_px:
            continue
        grow(
            rng, canopy, int(kinds[int(rng.integers(len(kinds)))]), eye.under(u, v), tall * rng.uniform(0.5, 1.0), warm
        )


def grow(
    rng: np.random.Generator, canopy: Canopy, kind: int, at: tuple[float, float], tall: float, warm: float
) -> None:
    """One plant of kind 0 conifer, 1 bare tree, 2 leafy, at x and y in metres."""
    degrees = warm + rng.normal(0, 0.4)
    if kind == 0:
        canopy.conifer(rng, at, tall, degrees)
    elif kind == 1:
        canopy.bare(rng, at, tall, degrees)
    else:
        canopy.leafy(rng, at, tall, degrees, max(0.08, 1.2 / canopy.eye.px_per_m) * rng.uniform(0.6, 1.6))
