# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cold scenes without buildings for single thermal frames, by a renderer that no shipped model learned from.

Ground, people, decoys, lens, sensor and file format all come from the seed: snow, frozen grass, scree with boulders
that hold some warmth, woods; people of 6 to 60 pixels standing, sitting, lying, curled up, half of them hidden up to a
half; sensors of different noise, focus, fall-off and column pattern; files in degrees, in raw counts of unknown gain,
and in 8 bits as automatic gain makes them, plain, equalised or through JPEG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.geo import GeoPoint, LocalFrame
from missions.terrain import FlatTerrain
from sim.eyes.figures import capsules
from sim.eyes.ground import GroundLook
from sim.eyes.optics import Lens, View, camera_axes
from sim.eyes.render import Renderer, Seen
from sim.eyes.world import Entity, TrueGround, World
from vision.frame import Frame, PixelKind

HALF_M = 300.0
GROUND_M = 1800.0
LEAST_PX = 6.0
POSTURES = ("standing", "sitting", "lying", "curled", "walking")
GROUNDS = ("snow", "grass", "scree", "woods")
_ROUGH = {"snow": 0.35, "grass": 1.0, "scree": 1.3, "woods": 0.9}
_GRAIN_C = {"snow": (0.02, 0.1), "grass": (0.1, 0.4), "scree": (0.15, 0.5), "woods": (0.15, 0.4)}
_SENSORS = ((640, 512), (640, 512), (640, 512), (320, 256), (1280, 1024))
Celsius = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Place:
    """Something alive in a frame. kind: person, animal, or "uncounted" for a person cut, hidden or below 6 px."""

    kind: str
    posture: str
    box: tuple[float, float, float, float]  # widened by 4 px
    longest_px: float

    def holds(self, point: tuple[float, float]) -> bool:
        """Whether a point in pixels lies in the box."""
        return self.box[0] <= point[0] <= self.box[2] and self.box[1] <= point[1] <= self.box[3]


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame as a file would give it, what lives in it, metres per pixel, and how it was made."""

    frame: Frame
    places: tuple[Place, ...]
    gsd_m: float
    ground: str
    file: str


def cold_ground(rng: np.random.Generator, kind: str) -> GroundLook:
    """Ground near or below freezing: broad slopes of temperature, tussocks, grain, often a stream or a path."""
    n = int(2 * HALF_M)
    temperature = np.full((n, n), rng.uniform(-14, 8), np.float32)
    for scale, sigma in ((150, 0.8), (30, 0.4), (6, 0.3), (2, 0.25)):
        noise = rng.standard_normal((max(2, n // scale), max(2, n // scale))).astype(np.float32)
        temperature += np.float32(sigma * _ROUGH[kind] * rng.uniform(0.5, 1.5)) * cv2.resize(
            noise, (n, n), interpolation=cv2.INTER_CUBIC
        )
    if rng.random() < 0.6:
        line = np.zeros((n, n), np.uint8)
        points = np.stack([np.linspace(0, n, 12), n / 2 + rng.normal(0, 60, 12)], axis=1).astype(np.int32)
        cv2.polylines(line, [points], False, 255, int(rng.integers(1, 7)))
        temperature[line > 0] += np.float32(rng.uniform(-2.0, 1.8))
    fine = rng.standard_normal((256, 256)).astype(np.float32)
    if rng.random() < 0.5:
        fine = np.asarray(cv2.GaussianBlur(fine, (0, 0), rng.uniform(0.8, 2.5)), np.float32)
    fine *= np.float32(rng.uniform(*_GRAIN_C[kind])) / float(fine.std())
    colour = np.full((n, n, 3), 80, np.uint8)
    smooth = np.asarray(cv2.GaussianBlur(temperature, (0, 0), 0.7), dtype=np.float32)
    return GroundLook(HALF_M, 1.0, smooth, colour, np.tile(fine, (3, 3)))


def _things(rng: np.random.Generator, kind: str, reach: float, seed: int) -> list[Entity]:
    """People or nobody, stones that hold some warmth, now and then a deer."""

    def entity(what: str, number: int, posture: str, size: float, warmth: float) -> Entity:
        east, north = (float(v) for v in rng.uniform(-reach, reach, 2))
        cover = float(rng.choice([0.0, 0.0, 0.25, 0.5])) if what == "person" else 0.0
        turn = float(rng.uniform(0, 360))
        own = seed * 100 + number
        return Entity(f"{what}-{number}", what, posture, east, north, turn, size, warmth, cover, 0.0, own)

    count = 0 if rng.random() < 0.2 else int(rng.integers(1, 5))
    warmth = float(rng.uniform(4, 13))  # of clothes over the ground: the frame's cold decides it
    people = [
        entity("person", i, POSTURES[int(rng.integers(5))], rng.uniform(1.5, 1.9), warmth * rng.uniform(0.75, 1.3))
        for i in range(count)
    ]
    stones = int(rng.integers(3, 14)) if kind == "scree" else int(rng.integers(0, 5))
    hottest = float(rng.uniform(0.3, 2.2))
    rocks = [
        entity("rock", 20 + i, "warm", rng.uniform(0.3, 2.5), hottest * rng.uniform(0.4, 1.0)) for i in range(stones)
    ]
    deer = [entity("animal", 50, "standing", rng.uniform(0.6, 1.2), warmth * 0.8)] if rng.random() < 0.2 else []
    return people + rocks + deer


def scene(seed: int) -> Scene:
    """The scene of one seed."""
    rng = np.random.default_rng([seed, 1])
    kind = GROUNDS[int(rng.integers(len(GROUNDS)))]
    width, height = _SENSORS[int(rng.integers(len(_SENSORS)))]
    gsd = math.exp(rng.uniform(math.log(0.03), math.log(0.16)))
    focal = 757.8 * width / 640
    high = gsd * focal
    lens = Lens(width, height, focal, focal, width / 2, height / 2, (0.0,) * 5)
    reach = 0.35 * width * gsd
    things = _things(rng, kind, reach, seed)
    count = int(rng.integers(20, 60)) if kind == "woods" else int(rng.integers(0, 8))
    stands = np.stack([*rng.uniform(-90, 90, (2, count)), rng.uniform(1, 3, count), rng.uniform(3, 9, count)], axis=1)
    clear = [all(np.hypot(t[0] - e.east_m, t[1] - e.north_m) > t[2] + 4.0 + 0.8 * t[3] for e in things) for t in stands]
    frame = LocalFrame(GeoPoint(46.5, 9.8))
    terrain = TrueGround(FlatTerrain(GROUND_M, "flat", 1.0, 1.0), frame, 0.0, seed, HALF_M)
    trees = stands[np.array(clear, dtype=bool)].reshape(-1, 4)
    world = World(frame, terrain, tuple(things), trees, seed, night=True)
    axes = camera_axes(float(rng.uniform(0, 360)), float(rng.uniform(-90, -65)), 0.0)
    view = View(lens, np.array([0.0, 0.0, GROUND_M + high]), axes)
    picture, seen = Renderer(world, cold_ground(rng, kind), seed).thermal(view, 0.0)
    picture = sensor(rng, picture)
    pixels, pixel_kind, file = as_file(rng, picture)
    made = Frame(f"cold-{seed}", None, 0, 0.0, pixels, pixel_kind)
    return Scene(made, tuple(places_of(view, seen)), gsd, kind, file)


def sensor(rng: np.random.Generator, picture: Celsius) -> Celsius:
    """Worse focus, more noise, columns, fall-off towards the corners, a few stuck pixels."""
    height, width = picture.shape
    if rng.random() < 0.5:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    netd = math.exp(rng.uniform(math.log(0.02), math.log(0.2)))
    picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(netd)
    if rng.random() < 0.4:
        picture += rng.standard_normal((1, width), dtype=np.float32) * np.float32(netd * rng.uniform(0.3, 1.0))
    if rng.random() < 0.4:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        picture += np.asarray(x * x + y * y, np.float32) * np.float32(rng.uniform(-1.5, 1.5))
    if rng.random() < 0.15:
        for _ in range(int(rng.integers(1, 5))):
            picture[rng.integers(height), rng.integers(width)] += np.float32(rng.uniform(-15, 15))
    return np.asarray(picture, np.float32)


def as_file(rng: np.random.Generator, picture: Celsius) -> tuple[NDArray[np.generic], PixelKind, str]:
    """Pixels as a file holds them, and which sort of file it is."""
    draw = rng.random()
    if draw < 0.2:
        return picture, PixelKind.CELSIUS, "degrees"
    if draw < 0.4:
        gain = float(rng.choice([10.0, 25.0, 40.0, 64.0, 100.0]))
        offset = 7000.0 + rng.uniform(0, 2000) if gain != 100.0 else 27315.0
        counts = np.clip(picture * gain + offset + 0.5, 0, 65535)
        return counts.astype(np.uint16), PixelKind.RAW16, "raw counts"
    low, high = np.percentile(picture, (rng.uniform(0, 1), rng.uniform(99.8, 100)))
    grey = np.clip((picture - low) * (255 / max(float(high - low), 1e-3)), 0, 255).astype(np.uint8)
    if draw < 0.55:
        clahe = cv2.createCLAHE(clipLimit=float(rng.uniform(1.5, 4)), tileGridSize=(8, 8))
        return np.asarray(clahe.apply(grey)), PixelKind.GREY8, "8 bit, equalised"
    if draw < 0.75:
        ok, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])
        if not ok:
            raise RuntimeError("the picture could not be compressed")
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)), PixelKind.GREY8, "8 bit, JPEG"
    return grey, PixelKind.GREY8, "8 bit"


def places_of(view: View, seen: list[Seen]) -> list[Place]:
    """What is alive; "uncounted" where the edge or cover hides it or it is too small, which counts neither way."""
    out = []
    width, height = view.lens.width_px, view.lens.height_px
    for s in seen:
        if s.entity.kind not in ("person", "animal"):
            continue
        parts = capsules(s.entity, 0.0)
        ends = np.array([end for part in parts for end in (part.a, part.b)])
        pixels, depth = view.project(ends + np.array([s.east_m, s.north_m, GROUND_M]))
        if depth.min() <= 1.0:
            continue
        radii = np.repeat([part.radius_m for part in parts], 2) * view.lens.fx_px / depth
        (left, top), (right, bottom) = (pixels - radii[:, None]).min(axis=0), (pixels + radii[:, None]).max(axis=0)
        longest = float(max(right - left, bottom - top))
        x, y = (left + right) / 2, (top + bottom) / 2
        whole = s.visible_fraction >= 0.3 and 8 <= x <= width - 8 and 8 <= y <= height - 8 and longest >= LEAST_PX
        kind = "uncounted" if not whole and s.entity.kind == "person" else s.entity.kind
        box = (float(left) - 4, float(top) - 4, float(right) + 4, float(bottom) + 4)
        out.append(Place(kind, s.entity.posture, box, longest))
    return out
