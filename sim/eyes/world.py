# SPDX-License-Identifier: AGPL-3.0-or-later
"""What lies on the ground: people, a fire, vehicles, animals, rocks and trees, placed by seed.

Made from the configuration's scene; the renderer draws it and the truth file describes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.geo import GeoPoint, LocalFrame
from missions.terrain import GridTerrain, OutsideTerrainError, Terrain
from sim.config import LostConfig, SceneConfig, SimConfig

FloatArray = NDArray[np.float64]
POSTURES: Final = ("lying", "walking", "standing", "sitting", "curled", "lying")
LOST_POSTURES: Final = ("lying", "curled", "sitting", "walking")
_CLEARANCE_M: Final = 12.0  # between people and decoys, so that truth and alarms can be told apart
_TRIES: Final = 4000
_WALK_M: Final = 24.0
_ERROR_GRID: Final = 64
_TREE_ROOM_M: Final = 5.0


@dataclass(frozen=True, slots=True)
class Entity:
    """One thing. Walkers go to and fro along `heading_deg` over _WALK_M metres at `speed_m_s`.

    begins_s: when smoke began, or the shadow of a cloud passes its place. `cover_fraction` of smoke is how thin it is.
    """

    entity_id: str
    kind: str
    posture: str
    east_m: float
    north_m: float
    heading_deg: float
    size_m: float
    warmth_c: float  # above the ground around it
    cover_fraction: float = 0.0
    speed_m_s: float = 0.0
    seed: int = 0
    begins_s: float = 0.0

    def place(self, time_s: float) -> tuple[float, float]:
        """(east_m, north_m) at a moment of vehicle time."""
        if self.speed_m_s == 0.0:
            return self.east_m, self.north_m
        phase = (time_s * self.speed_m_s / _WALK_M + self.seed * 0.37) % 2.0
        along = (phase if phase <= 1.0 else 2.0 - phase) * _WALK_M - _WALK_M / 2
        h = math.radians(self.heading_deg)
        return self.east_m + along * math.sin(h), self.north_m + along * math.cos(h)


class TrueGround:
    """The map's terrain plus a smooth seeded error, so that the map is not the truth."""

    def __init__(self, terrain: Terrain, frame: LocalFrame, sigma_m: float, seed: int, half_m: float) -> None:
        self._frame = frame
        self.half_m = half_m
        n = 161
        axis = np.linspace(-half_m, half_m, n)
        east, north = np.meshgrid(axis, axis)
        geo = frame.to_geo_array(np.stack([east.ravel(), north.ravel()], axis=1))
        heights = _heights(terrain, geo).reshape(n, n)
        rng = np.random.default_rng([seed, 11])
        rough = cv2.resize(rng.standard_normal((9, 9)), (n, n), interpolation=cv2.INTER_CUBIC)
        error = sigma_m * rough / max(1e-9, float(rough.std()))
        error -= error[n // 2, n // 2]  # the vehicles stand on the map's ground at the origin
        self.heights_amsl_m = (heights + error).astype(np.float64)
        self._step_m = 2.0 * half_m / (n - 1)

    def height(self, east_m: FloatArray, north_m: FloatArray) -> FloatArray:
        """Bilinear heights above mean sea level; the edge is continued outwards."""
        h = self.heights_amsl_m
        n = h.shape[0]
        x = np.clip((east_m + self.half_m) / self._step_m, 0.0, n - 1.000001)
        y = np.clip((north_m + self.half_m) / self._step_m, 0.0, n - 1.000001)
        c, r = x.astype(np.int64), y.astype(np.int64)
        fx, fy = x - c, y - r
        south = h[r, c] * (1 - fx) + h[r, c + 1] * fx
        north = h[r + 1, c] * (1 - fx) + h[r + 1, c + 1] * fx
        return np.asarray(south * (1 - fy) + north * fy)

    def height_at(self, east_m: float, north_m: float) -> float:
        """The same for one place."""
        return float(self.height(np.array([east_m]), np.array([north_m]))[0])


def _heights(terrain: Terrain, geo: FloatArray) -> FloatArray:
    """Heights where the map has them; the nearest known one elsewhere."""
    try:
        return terrain.height_amsl_m(geo[:, 0], geo[:, 1])
    except OutsideTerrainError:
        if not isinstance(terrain, GridTerrain):
            raise
    enu = terrain.frame.to_enu_array(geo[:, 0], geo[:, 1])
    rows, columns = terrain.heights_amsl_m.shape
    step = terrain.resolution_m
    east = np.clip(enu[:, 0], terrain.west_m, terrain.west_m + (columns - 1) * step)
    north = np.clip(enu[:, 1], terrain.south_m, terrain.south_m + (rows - 1) * step)
    return terrain.height_at_enu(east, north)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that the cameras can see."""

    frame: LocalFrame
    ground: TrueGround
    entities: tuple[Entity, ...]
    trees: FloatArray  # (n, 4): east, north, canopy radius, canopy height
    seed: int
    night: bool
    wind_m_s: float = 1.5
    wind_to_deg: float = 60.0


def make_world(config: SimConfig, terrain: Terrain) -> World:
    """The world of a configuration; the same seed gives the same world."""
    frame = LocalFrame(GeoPoint(config.origin.latitude_deg, config.origin.longitude_deg))
    scene = config.scene
    half_m = 1500.0
    if scene is not None:
        ring = frame.to_enu_array([p[0] for p in scene.ring], [p[1] for p in scene.ring])
        half_m = float(np.abs(ring).max()) + 300.0
    ground = TrueGround(terrain, frame, config.terrain.error_sigma_m, config.seed, half_m)
    if scene is None:
        return World(frame, ground, (), np.zeros((0, 4)), config.seed, config.night, *_wind(config))
    placer = _Placer(scene, frame, np.random.default_rng([config.seed, 3]))
    lost = () if scene.lost is None else (_lost(scene.lost, placer, frame, np.random.default_rng([config.seed, 7])),)
    entities = (*lost, *_entities(scene, placer))
    trees = _trees(scene, placer, entities, np.random.default_rng([config.seed, 5]))
    return World(frame, ground, entities, trees, config.seed, config.night, *_wind(config))


def _wind(config: SimConfig) -> tuple[float, float]:
    """Speed near the ground, which is never quite calm, and where it blows to."""
    return max(0.6, config.wind.speed_m_s), (config.wind.from_deg + 180.0) % 360.0


class _Placer:
    """Draws places within the ring, and within near_m of the lines where wanted."""

    def __init__(self, scene: SceneConfig, frame: LocalFrame, rng: np.random.Generator) -> None:
        self.rng = rng
        self.ring = frame.to_enu_array([p[0] for p in scene.ring], [p[1] for p in scene.ring]).astype(np.float32)
        self._near_m = scene.near_m
        lines = [frame.to_enu_array([p[0] for p in line], [p[1] for p in line]) for line in scene.near]
        self._segments = [(a, b) for line in lines for a, b in pairwise(line)]
        self._weights = np.array([np.hypot(*(b - a)) + 20.0 for a, b in self._segments])
        self.taken: list[tuple[float, float]] = []

    def draw(self, *, near: bool, clearance_m: float = _CLEARANCE_M) -> tuple[float, float]:
        """A place that keeps its distance from those drawn before."""
        for _ in range(_TRIES):
            east, north = self._near() if near and self._segments else self._anywhere()
            inside = cv2.pointPolygonTest(self.ring, (east, north), measureDist=False) > 0
            if inside and all(math.hypot(east - e, north - n) >= clearance_m for e, n in self.taken):
                self.taken.append((east, north))
                return east, north
        raise ValueError("scene: there is no room for so many things; enlarge the ring or ask for fewer")

    def take(self, east: float, north: float) -> bool:
        """Reserve a place if it lies in the ring; says whether it does."""
        inside = cv2.pointPolygonTest(self.ring, (east, north), measureDist=False) > 0
        if inside:
            self.taken.append((east, north))
        return inside

    def _anywhere(self) -> tuple[float, float]:
        low, high = self.ring.min(axis=0), self.ring.max(axis=0)
        return float(self.rng.uniform(low[0], high[0])), float(self.rng.uniform(low[1], high[1]))

    def _near(self) -> tuple[float, float]:
        a, b = self._segments[int(self.rng.choice(len(self._segments), p=self._weights / self._weights.sum()))]
        at = a + self.rng.uniform() * (b - a)
        angle, away = self.rng.uniform(0, 2 * math.pi), self._near_m * math.sqrt(self.rng.uniform())
        return float(at[0] + away * math.cos(angle)), float(at[1] + away * math.sin(angle))


def _lost(lost: LostConfig, placer: _Placer, frame: LocalFrame, rng: np.random.Generator) -> Entity:
    """The lost person: a place from the distances, then a posture, some cover, and a slow walk for those who walk."""
    east_0, north_0 = frame.to_enu(GeoPoint(lost.last_seen.latitude_deg, lost.last_seen.longitude_deg))
    rings = [frame.to_enu_array([p[0] for p in r], [p[1] for p in r]).astype(np.float32) for r in lost.keep_out]
    for _ in range(_TRIES):
        away, angle = distance_for(lost, float(rng.uniform())), float(rng.uniform(0.0, 2.0 * math.pi))
        east, north = east_0 + away * math.sin(angle), north_0 + away * math.cos(angle)
        closed = any(cv2.pointPolygonTest(r, (east, north), measureDist=False) > 0 for r in rings)
        if away <= lost.reach_m and not closed and placer.take(east, north):
            break
    else:
        raise ValueError("scene: a lost person last seen there is hardly ever inside the ring; move it or enlarge it")
    posture = str(rng.choice(LOST_POSTURES))
    walks = posture == "walking"
    return Entity(
        entity_id="lost-1",
        kind="person",
        posture=posture,
        east_m=east,
        north_m=north,
        heading_deg=float(rng.uniform(0.0, 360.0)),
        size_m=float(rng.uniform(1.50, 1.72)),
        warmth_c=float(rng.uniform(6.0, 10.0)),
        cover_fraction=0.0 if walks else float(rng.choice([0.0, 0.0, 0.0, 0.15, 0.35, 0.7])),
        speed_m_s=float(rng.uniform(0.3, 0.6)) if walks else 0.0,
        seed=int(rng.integers(1 << 30)),
    )


def distance_for(lost: LostConfig, share: float) -> float:
    """The distance that a share of people do not exceed, in metres; infinite beyond the last share."""
    if share < lost.shares[0]:
        return lost.distances_m[0] * math.sqrt(share / lost.shares[0])
    if share >= lost.shares[-1]:
        return math.inf
    return float(np.exp(np.interp(share, lost.shares, np.log(lost.distances_m))))


def _entities(scene: SceneConfig, placer: _Placer) -> tuple[Entity, ...]:
    rng = placer.rng
    out: list[Entity] = []

    def add(
        kind: str, number: int, posture: str, size: float, warmth: float, *, near: bool,
        clearance_m: float = _CLEARANCE_M, **more: float,
    ) -> None:  # fmt: skip
        east, north = placer.draw(near=near, clearance_m=clearance_m)
        out.append(
            Entity(
                entity_id=f"{kind}-{number + 1}",
                kind=kind,
                posture=posture,
                east_m=east,
                north_m=north,
                heading_deg=float(rng.uniform(0, 360)),
                size_m=size,
                warmth_c=warmth,
                seed=int(rng.integers(1 << 30)),
                **more,
            )
        )

    for i in range(scene.people):
        posture = POSTURES[i % len(POSTURES)]
        height = float(rng.uniform(1.55, 1.80))
        warmth = float(rng.uniform(6.0, 10.0))
        cover = float(rng.choice([0.0, 0.0, 0.15, 0.35, 0.7])) if posture != "walking" else 0.0
        speed = float(rng.uniform(1.0, 1.4)) if posture == "walking" else 0.0
        add("person", i, posture, height, warmth, near=i % 8 != 7, cover_fraction=cover, speed_m_s=speed)
    for i in range(scene.fires):
        add("fire", i, "burning", float(rng.uniform(0.8, 1.8)), float(rng.uniform(350.0, 600.0)), near=True)
    for i in range(scene.parked_vehicles):
        add("parked_vehicle", i, "parked", float(rng.uniform(3.9, 4.9)), float(rng.uniform(3.0, 14.0)), near=i % 2 == 0)
    for i in range(scene.animals):
        add("animal", i, "standing", float(rng.uniform(0.5, 1.1)), float(rng.uniform(5.0, 9.0)), near=i % 2 == 0)
    for i in range(scene.rocks):
        add("rock", i, "warm", float(rng.uniform(0.4, 2.6)), float(rng.uniform(1.0, 4.5)), near=i % 2 == 0)
    for i in range(scene.hot_roofs):
        add("hot_roof", i, "metal", float(rng.uniform(8.0, 22.0)), float(rng.uniform(28.0, 55.0)), near=True)
    for i in range(scene.glints):
        metal = i % 2 == 0
        size, warmth = (rng.uniform(4.0, 12.0), rng.uniform(150.0, 600.0)) if metal else (rng.uniform(10, 30), 6.0)
        add("glint", i, "metal" if metal else "water", float(size), float(warmth), near=True)
    for i in range(scene.smokes):
        tone, begun = ("white", "dark")[i % 2], float(rng.uniform(-30.0, 0.0))
        thin = float(rng.uniform(0.0, 0.35))
        add("smoke", i, tone, float(rng.uniform(0.9, 2.2)), 3.0, near=True, begins_s=begun, cover_fraction=thin)
    for i in range(scene.clouds):
        add(
            "cloud",
            i,
            "shadow",
            float(rng.uniform(15.0, 40.0)),
            0.0,
            near=False,
            begins_s=float(rng.uniform(0, 60)),
            clearance_m=0.0,
        )
    return tuple(out)


def _trees(scene: SceneConfig, placer: _Placer, entities: tuple[Entity, ...], rng: np.random.Generator) -> FloatArray:
    """Trees stand in clumps and keep off everything that is placed: cover is drawn with the covered thing."""
    low, high = placer.ring.min(axis=0), placer.ring.max(axis=0)
    clumps = rng.uniform(low, high, size=(max(1, scene.trees // 9), 2))
    trees = []
    things = np.array([[e.east_m, e.north_m] for e in entities]) if entities else np.zeros((0, 2))
    for i in range(scene.trees):
        east, north = clumps[i % len(clumps)] + rng.normal(0, 14, size=2)
        room = np.hypot(things[:, 0] - east, things[:, 1] - north).min() if len(things) else math.inf
        walkway = _WALK_M / 2 + _TREE_ROOM_M
        if room > walkway and cv2.pointPolygonTest(placer.ring, (float(east), float(north)), measureDist=False) > 0:
            trees.append([east, north, rng.uniform(1.5, 3.8), rng.uniform(4.0, 9.0)])
    return np.array(trees) if trees else np.zeros((0, 4))
