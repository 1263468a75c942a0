# SPDX-License-Identifier: AGPL-3.0-or-later
"""The camera process: `python -m sim.eyes.process`, started by `sim.rig`, so that rendering never disturbs MAVLink.

Standard input: the configuration document as one JSON line, then true poses, one JSON array each. Standard output: the
ports, then the largest number of outstanding frames whenever it changes. It ends when its input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sim.config import ConfigError, SimConfig
from sim.eyes.camera import Camera
from sim.eyes.clock import WorldClock
from sim.eyes.ground import make_ground
from sim.eyes.render import Renderer, Seen
from sim.eyes.truth import TruthWriter
from sim.eyes.world import make_world
from sim.ground import load_terrain
from sim.pose import TruePose

_LINE_LIMIT = 1 << 22
_RENDER_END_S = 5.0
_Job = tuple[Camera, int, TruePose, float, float]  # exposed (monotonic), the world's time


class CameraProcess:
    """All cameras of one simulator."""

    def __init__(self, config: SimConfig) -> None:
        self._world = make_world(config, load_terrain(config.terrain))
        look = make_ground(self._world.ground.half_m, config.seed, night=config.night)
        path = None if config.truth_file is None else Path(config.truth_file)
        self._truth = TruthWriter(path, self._world)
        self._clock = WorldClock(frozenset(config.px4 or ()), config.speed)
        self.cameras: dict[str, Camera] = {}
        self._renderers: dict[str, Renderer] = {}
        self._by_vehicle: dict[str, list[Camera]] = {}
        number = 0
        for vehicle in config.vehicles:
            for settings in vehicle.cameras:
                number += 1
                camera = Camera(settings, vehicle.vehicle_id, config.seed * 1000 + number)
                self.cameras[settings.camera_id] = camera
                self._renderers[settings.camera_id] = Renderer(self._world, look, number)
                self._by_vehicle.setdefault(vehicle.vehicle_id, []).append(camera)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._said: int | None = None

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Until the input ends."""
        loop = asyncio.get_running_loop()
        worker = threading.Thread(target=self._render, args=(loop,), name="render", daemon=True)
        worker.start()
        ports = {camera_id: await camera.listen() for camera_id, camera in self.cameras.items()}
        _say({"ports": ports})
        decoder = msgspec.json.Decoder(TruePose)
        watcher = asyncio.create_task(self._watch())
        try:
            while line := await reader.readline():
                self._take(decoder.decode(line))
        finally:
            self._jobs.put(None)
            await asyncio.to_thread(worker.join, _RENDER_END_S)  # a thread in OpenCV must not outlive the interpreter
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            for camera in self.cameras.values():
                await camera.close()
            self._truth.close()

    def _take(self, pose: TruePose) -> None:
        self._truth.pose(pose)
        ahead_s = self._clock.ahead_s(pose.vehicle_id, pose.time_s)
        for camera in self._by_vehicle.get(pose.vehicle_id, ()):
            for sequence, exposure in camera.take(pose):
                self._jobs.put((camera, sequence, exposure, time.monotonic(), exposure.time_s + ahead_s))
        self._report()

    def _render(self, loop: asyncio.AbstractEventLoop) -> None:
        """Render in a thread: NumPy and OpenCV let the loop run meanwhile."""
        while (job := self._jobs.get()) is not None:
            camera, sequence, pose, exposed_s, world_s = job
            view = camera.mount.view(pose, self._world.frame)
            renderer = self._renderers[camera.config.camera_id]
            pixels: np.ndarray[Any, Any]
            if camera.config.modality == "thermal":
                pixels, seen = renderer.thermal(view, world_s)
            else:
                pixels, seen = renderer.rgb(view, world_s)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._send, camera, sequence, pose.time_s, exposed_s, pixels, seen)

    def _send(
        self,
        camera: Camera,
        sequence: int,
        exposure_s: float,
        exposed_monotonic_s: float,
        pixels: np.ndarray[Any, Any],
        seen: list[Seen],
    ) -> None:
        if camera.send(sequence, exposure_s, exposed_monotonic_s, pixels):
            self._truth.look(camera.config.camera_id, camera.vehicle_id, sequence, exposure_s, seen)
        self._report()

    async def _watch(self) -> None:
        """Answers of readers come in without a pose; look for them often enough."""
        while True:
            await asyncio.sleep(0.02)
            self._report()

    def _report(self) -> None:
        lag = max((camera.outstanding for camera in self.cameras.values()), default=0)
        if lag != self._said:
            self._said = lag
            _say({"lag": lag})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _main() -> int:
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    config = msgspec.json.decode(await reader.readline(), type=SimConfig)
    try:
        await CameraProcess(config).run(reader)
    except (ConfigError, ValueError, OSError) as error:
        _say({"error": str(error)})
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
