# SPDX-License-Identifier: AGPL-3.0-or-later
"""Short flights over rendered fire, smoke and what is taken for them: frames with poses, from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from missions.geo import GeoPoint
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain
from sim.config import CameraConfig, Place, SceneConfig, SimConfig, TerrainConfig, VehicleConfig, WindConfig
from sim.eyes.gimbal import Mount
from sim.eyes.ground import make_ground
from sim.eyes.optics import View
from sim.eyes.render import Renderer
from sim.eyes.world import Entity, World, make_world
from sim.pose import TruePose
from vision.frame import CameraPose, Frame, PixelKind

ORIGIN: Final = GeoPoint(29.74, 107.27)
GROUND_AMSL_M: Final = 250.0
NOON_UTC_S: Final = 1782018000.0  # 21 June 2026, early afternoon there: mirrors show the sun
Flight = Literal["pass", "hover", "slow"]
_REACH_M: Final[dict[Flight, float]] = {"pass": 40.0, "hover": 18.0, "slow": 25.0}
_SPEEDS_M_S: Final[dict[Flight, float]] = {"pass": 8.0, "hover": 0.0, "slow": 2.0}


@dataclass(frozen=True, slots=True)
class Shot:
    """One exposure, and where each thing truly was in it (pixels), of those within the picture."""

    frame: Frame
    places: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Scene:
    """A world and a flight through it."""

    seed: int
    modality: Modality
    flight: Flight
    counts: dict[str, int]
    seconds: float = 60.0
    rate_hz: float = 1.0
    height_m: float = 60.0
    pitch_deg: float = -90.0

    @property
    def camera(self) -> Camera:
        c = self.config.vehicles[0].cameras[0]
        return Camera(
            c.camera_id, self.modality, c.width_px, c.height_px, c.fx_px, c.fy_px, c.cx_px, c.cy_px,
            mount_pitch_deg=self.pitch_deg, rate_hz=self.rate_hz,
        )  # fmt: skip

    @property
    def config(self) -> SimConfig:
        rng = np.random.default_rng([self.seed, 101])
        thermal = self.modality is Modality.THERMAL
        width, height, focal = (640, 512, 758.0) if thermal else (960, 720, 1000.0)
        camera = CameraConfig(
            "cam", self.modality.value, width, height, focal, focal, (width - 1) / 2, (height - 1) / 2,
            mount_pitch_deg=self.pitch_deg, rate_hz=self.rate_hz,
        )  # fmt: skip
        d = _REACH_M[self.flight] / 111_000.0
        ring = tuple((ORIGIN.latitude_deg + y * d, ORIGIN.longitude_deg + x * d) for x, y in _CORNERS)
        return SimConfig(
            schema_version=1,
            origin=Place(ORIGIN.latitude_deg, ORIGIN.longitude_deg),
            terrain=TerrainConfig(flat_amsl_m=GROUND_AMSL_M),
            vehicles=(VehicleConfig("v", 1, Place(ORIGIN.latitude_deg, ORIGIN.longitude_deg), "127.0.0.1", 9, cameras=(camera,)),),
            seed=self.seed,
            night=False,
            wind=WindConfig(speed_m_s=float(rng.uniform(0.8, 4.0)), from_deg=float(rng.uniform(0, 360))),
            scene=SceneConfig(ring=ring, **self.counts),
        )  # fmt: skip

    def world(self) -> World:
        return make_world(self.config, FlatTerrain(GROUND_AMSL_M))

    def shots(self) -> Iterator[Shot]:
        """The flight's frames in order. Poses are what a vehicle would say: the gimbal's faults are not in them."""
        world, config = self.world(), self.config.vehicles[0].cameras[0]
        mount, renderer = (
            Mount(config, self.seed),
            Renderer(world, make_ground(world.ground.half_m, self.seed, night=False), 1),
        )
        rng = np.random.default_rng([self.seed, 103])
        heading = float(rng.uniform(0, 360)) if self.flight != "hover" else 0.0
        speed, h = _SPEEDS_M_S[self.flight], math.radians(heading)
        back = self.height_m / math.tan(math.radians(-self.pitch_deg)) if self.pitch_deg > -80.0 else 0.0
        for number in range(int(self.seconds * self.rate_hz)):
            time_s = number / self.rate_hz
            along = (time_s - self.seconds / 2) * speed - back
            wander = 0.4 * np.sin(np.array([0.31, 0.23]) * time_s + np.array([0.3, 1.7]))
            east, north = along * math.sin(h) + wander[0], along * math.cos(h) + wander[1]
            point = world.frame.to_geo(float(east), float(north))
            amsl = GROUND_AMSL_M + self.height_m
            true = TruePose("v", time_s, point.latitude_deg, point.longitude_deg, amsl, self.height_m,
                            speed * math.cos(h), speed * math.sin(h), 0.0, 0.0, 0.0, heading, None)  # fmt: skip
            view = mount.view(true, world.frame)
            thermal = self.modality is Modality.THERMAL
            pixels, _ = renderer.thermal(view, time_s) if thermal else renderer.rgb(view, time_s)
            pose = CameraPose(
                point.latitude_deg, point.longitude_deg, amsl, self.height_m, heading, self.pitch_deg, 0.0
            )
            kind = PixelKind.CELSIUS if thermal else PixelKind.BGR8
            frame = Frame("cam", "v", number, time_s, pixels, kind, self.camera, pose, NOON_UTC_S)
            yield Shot(frame, _inside(world, world.entities, view, frame))


_CORNERS: Final = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def _inside(world: World, entities: tuple[Entity, ...], view: View, frame: Frame) -> dict[str, tuple[float, float]]:
    found = {}
    for entity in entities:
        place = np.array([[entity.east_m, entity.north_m, world.ground.height_at(entity.east_m, entity.north_m) + 0.3]])
        pixels, depth = view.project(place)
        x, y = float(pixels[0, 0]), float(pixels[0, 1])
        if depth[0] > 1.0 and 10 <= x <= frame.width_px - 10 and 10 <= y <= frame.height_px - 10:
            found[entity.entity_id] = (x, y)
    return found
