# SPDX-License-Identifier: AGPL-3.0-or-later
"""A thermal camera flying over flat ground, for vision's tests: drawn with cv2.projectPoints, independent of vision
and of sim. Things are (east_m, north_m, kind) in metres around ORIGIN; times are vehicle seconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np

from missions.geo import GeoPoint, LocalFrame
from missions.model import Camera, Modality
from vision.pose_types import BodyPose
from vision.wire import FrameHeader, encode

ORIGIN = GeoPoint(29.7, 107.3)
FRAME = LocalFrame(ORIGIN)
GROUND_AMSL_M = 250.0
CAMERA = Camera("d1-thermal", Modality.THERMAL, 640, 512, 758.0, 758.0, 319.5, 255.5)
COLOUR_CAMERA = Camera("d1-rgb", Modality.RGB, 1280, 1024, 1516.0, 1516.0, 639.5, 511.5)


@dataclass(frozen=True)
class Thing:
    east_m: float
    north_m: float
    kind: str  # person, rock, fire
    velocity_m_s: tuple[float, float] = (0.0, 0.0)


@dataclass
class Flight:
    """North along `east_m` at a height and a speed; telemetry is off by constant biases and by noise."""

    things: list[Thing]
    east_m: float = 0.0
    start_north_m: float = -60.0
    height_m: float = 60.0
    speed_m_s: float = 8.0
    clock_offset_s: float = 0.0
    position_bias_m: tuple[float, float] = (0.0, 0.0)
    yaw_bias_deg: float = 0.0
    seed: int = 1
    vehicle_id: str = "d1"
    camera: Camera = CAMERA
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        coarse = self.rng.normal(0, 1, (40, 32)).astype(np.float32)
        self._texture = cv2.resize(coarse, (800, 1000), interpolation=cv2.INTER_CUBIC)

    def place(self, time_s: float) -> tuple[float, float, float]:
        return self.east_m, self.start_north_m + self.speed_m_s * time_s, GROUND_AMSL_M + self.height_m

    def telemetry(self, time_s: float) -> BodyPose:
        east, north, up = self.place(time_s)
        point = FRAME.to_geo(
            east + self.position_bias_m[0] + self.rng.normal(0, 0.1),
            north + self.position_bias_m[1] + self.rng.normal(0, 0.1),
        )
        return BodyPose(
            time_s,
            point.latitude_deg,
            point.longitude_deg,
            up,
            self.height_m,
            self.speed_m_s,
            0.0,
            0.0,
            float(self.rng.normal(0, 0.2)),
            -3.0,
            self.yaw_bias_deg,
        )

    def render(self, time_s: float) -> np.ndarray:
        """As seen at a true time: degrees Celsius, float32, or (h, w, 3) uint8 in which what is warm is bright."""
        camera = self.camera
        east, north, up = self.place(time_s)
        scale = camera.fx_px / self.height_m
        # the texture lies on the ground, one of its pixels per half metre
        to_texture = np.array([[0.5 * scale, 0.0, 0.0], [0.0, 0.5 * scale, 0.0]])
        to_texture[:, 2] = (
            camera.cx_px - 0.5 * scale * (400 + 2 * east),
            camera.cy_px - 0.5 * scale * (500 - 2 * north),
        )
        size = (camera.width_px, camera.height_px)
        picture = 14.0 + 0.6 * cv2.warpAffine(self._texture, to_texture, size, borderMode=cv2.BORDER_REFLECT)
        intrinsics = np.array([[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1]])
        for thing in self.things:
            x = thing.east_m + thing.velocity_m_s[0] * time_s
            y = thing.north_m + thing.velocity_m_s[1] * time_s
            # camera axes looking down with north up: x east, y south, z down
            point = np.array([[[x - east, -(y - north), up - GROUND_AMSL_M]]])
            pixel, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), intrinsics, np.array(self.camera.distortion))
            u, v = pixel.ravel()
            if -40 < u < camera.width_px + 40 and -40 < v < camera.height_px + 40:
                _draw(picture, thing.kind, float(u), float(v), scale)
        picture = cv2.GaussianBlur(picture, (0, 0), 0.7)
        picture = (picture + self.rng.normal(0, 0.08, picture.shape)).astype(np.float32)
        if camera.modality is Modality.THERMAL:
            return picture
        grey = np.clip((picture - 12.0) * 18.0, 0, 255).astype(np.uint8)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def _draw(picture: np.ndarray, kind: str, u: float, v: float, scale: float) -> None:
    def blob(along: float, across: float, degrees: float, angle: float, du: float = 0.0, dv: float = 0.0) -> None:
        axes = (max(1, round(along * scale * 16 / 2)), max(1, round(across * scale * 16 / 2)))
        centre = (round((u + du * scale) * 16), round((v + dv * scale) * 16))
        cv2.ellipse(picture, centre, axes, angle, 0, 360, degrees, -1, cv2.LINE_8, 4)

    if kind == "person":  # lying: legs, trunk, head
        blob(0.9, 0.35, 19.0, 30, 0.35, 0.2)
        blob(0.7, 0.45, 22.0, 30)
        blob(0.25, 0.22, 29.0, 0, -0.4, -0.25)
    elif kind == "rock":
        blob(0.8, 0.7, 19.0, 10)
    elif kind == "fire":
        blob(1.6, 1.1, 420.0, 45)
    else:
        raise ValueError(kind)


class CameraServer:
    """Serves a flight's frames as `vision.wire` says, each after the one before (or `ahead` before) is answered.

    hold_after: so many frames are served, then no more until `go` is set.
    """

    def __init__(
        self, flight: Flight, rate_hz: float = 1.0, count: int = 16, hold_after: int | None = None, ahead: int = 1
    ) -> None:
        self.flight, self.rate_hz, self.count, self.ahead = flight, rate_hz, count, ahead
        self.hold_after = count if hold_after is None else hold_after
        self.go = asyncio.Event()
        self.done: list[int] = []
        self.exposed_s = 0.0  # true time of the last exposure
        self.finished = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for sequence in range(len(self.done), self.count):
                if sequence >= self.hold_after:
                    await self.go.wait()
                time_s = sequence / self.rate_hz
                self.exposed_s = time_s
                pixels = self.flight.render(time_s)
                header = FrameHeader(
                    self.flight.camera.camera_id,
                    sequence,
                    time_s + self.flight.clock_offset_s,
                    time.monotonic(),
                    "celsius" if pixels.ndim == 2 else "bgr8",
                    str(pixels.dtype),
                    pixels.shape,
                    pixels.nbytes,
                )
                writer.writelines(encode(header, pixels))
                await writer.drain()
                answered = self.count if sequence + 1 == self.count else sequence + 2 - self.ahead
                while len(self.done) < answered:
                    self.done.append(int((await reader.readline()).split(b":")[1].rstrip(b"}\n")))
            self.finished.set()
            await reader.read()
        except (ConnectionError, IndexError):
            pass
        finally:
            writer.close()


def distance_m(latitude_deg: float, longitude_deg: float, thing: Thing, time_s: float = 0.0) -> float:
    """Between a found place and the true one."""
    east, north = FRAME.to_enu(GeoPoint(latitude_deg, longitude_deg))
    return math.hypot(
        east - thing.east_m - thing.velocity_m_s[0] * time_s, north - thing.north_m - thing.velocity_m_s[1] * time_s
    )
