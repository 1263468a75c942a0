# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service's side of the vision worker: starts it, feeds it poses, hands out sightings, restarts it when it dies.

Imports neither cv2 nor an engine. Sightings go through a bounded hub; a reader that falls behind is told. While the
worker is away poses are dropped (its buffers start anew). `coverage` knows from when to when which camera did not look,
for whatever reason: no frames, an engine that is behind, a worker that died.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dronectl.errors import BadInputError
from dronectl.ipc import Channel, worker_process
from dronectl.perception.messages import (
    CameraFeed,
    Configure,
    FromWorker,
    PosedVehicle,
    PoseLike,
    Poses,
    Ready,
    Refused,
    Report,
    Seen,
)
from dronectl.supervise import ChildReport, ChildState, RestartBudget, keep_running
from vision.gaps import CoverageBook, tolerance_s
from vision.pipeline_types import CameraReport
from vision.pose_types import BodyPose
from vision.sighting import Sighting

log = logging.getLogger(__name__)

_READY_TIMEOUT_S = 60.0
_WATCH_S = 1.0
_SILENCE_S = 20.0  # a worker that reports nothing for so long hangs and is ended


class WorkerRefusedError(BadInputError):
    """The worker cannot start with what it was given; a restart would not help."""


class _SilentError(Exception):
    """The worker lives and says nothing."""


@dataclass(frozen=True, slots=True)
class PerceptionSettings:
    """What the worker gets, and how it is kept running. See `messages.Configure`."""

    evidence_dir: Path
    terrain_path: Path | None = None
    flat_amsl_m: float | None = None
    model_path: Path | None = None
    engine: str | None = None
    confidence: float | None = None
    colour_model_path: Path | None = None
    threads: int = 2
    budget: RestartBudget = field(default_factory=RestartBudget)


class PerceptionClient:
    """Use as `async with perception(feeds, settings, on_sighting) as client`."""

    def __init__(
        self, feeds: Sequence[CameraFeed], settings: PerceptionSettings, on_sighting: Callable[[Sighting], None]
    ) -> None:
        self._feeds = tuple(feeds)
        self._settings = settings
        self._on_sighting = on_sighting
        self._channel: Channel[FromWorker] | None = None
        self._ready = asyncio.Event()
        self._refused: WorkerRefusedError | None = None
        self._settled = asyncio.Event()  # ready, or refused for good
        self.cameras: tuple[CameraReport, ...] = ()
        self.detectors: tuple[str, ...] = ()
        self.terrain: str | None = None
        tolerances = {
            f.camera.camera_id: tolerance_s(f.every_s if f.address is not None else None, f.camera.rate_hz)
            for f in feeds
        }
        self.coverage = CoverageBook(tolerances, time.monotonic())
        self.poses_dropped = 0
        self.restarts = 0
        self.state = ChildState.STARTING
        self.reason: str | None = None
        self.process_id: int | None = None

    async def wait_ready(self, timeout_s: float = _READY_TIMEOUT_S) -> None:
        """Until the worker looks. Raises WorkerRefusedError, or TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._settled.wait()
        if self._refused is not None:
            raise self._refused

    def poses(self, samples: Iterable[PoseLike]) -> None:
        """Forward a batch; without a worker it is dropped and counted."""
        batch = [PosedVehicle(s.vehicle_id, _body(s)) for s in samples]
        if not batch:
            return
        if self._channel is None or not self._ready.is_set():
            self.poses_dropped += len(batch)
            return
        self._channel.post(Poses(batch))

    async def supervise(self) -> None:
        """Keep the worker running until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="coverage")
            await keep_running("vision worker", self._run, budget=self._settings.budget, on_report=self._note)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            self.coverage.wait(time.monotonic())

    def _note(self, report: ChildReport) -> None:
        self.state, self.reason, self.restarts = report.state, report.reason, report.restarts

    async def _run(self, ready: Callable[[], None]) -> None:
        try:
            async with worker_process("dronectl.perception.worker", (), FromWorker) as (process, channel):
                self.process_id = process.pid
                await channel.send(self._order())
                async with asyncio.timeout(_READY_TIMEOUT_S):
                    first = await channel.receive()
                if isinstance(first, Refused):
                    self._refused = WorkerRefusedError(first.reason)
                    self._settled.set()
                    log.error("the vision worker cannot start: %s", first.reason)
                    self.state, self.reason = ChildState.DEGRADED, first.reason
                    await asyncio.Event().wait()
                if isinstance(first, Ready):
                    self.detectors, self.terrain = first.detectors, first.terrain
                self._channel = channel
                self._ready.set()
                self._settled.set()
                ready()
                await self._listen(channel)
        finally:
            self._channel = None
            self._ready.clear()
            self.process_id = None
            self.coverage.away("the vision worker is away")

    async def _listen(self, channel: Channel[Any]) -> None:
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    message = await channel.receive()
            except TimeoutError as error:
                raise _SilentError(f"it has said nothing for {_SILENCE_S:.0f} s") from error
            if isinstance(message, Seen):
                self._on_sighting(message.sighting)
            elif isinstance(message, Report):
                self.cameras = message.cameras
                self.coverage.report(message.cameras, time.monotonic())

    def _order(self) -> Configure:
        s = self._settings
        return Configure(
            feeds=self._feeds,
            evidence_dir=str(s.evidence_dir),
            terrain_path=None if s.terrain_path is None else str(s.terrain_path),
            flat_amsl_m=s.flat_amsl_m,
            model_path=None if s.model_path is None else str(s.model_path),
            engine=s.engine,
            confidence=s.confidence,
            colour_model_path=None if s.colour_model_path is None else str(s.colour_model_path),
            threads=s.threads,
        )


def _body(sample: PoseLike) -> BodyPose:
    return BodyPose(
        vehicle_time_s=sample.vehicle_time_s,
        latitude_deg=sample.latitude_deg,
        longitude_deg=sample.longitude_deg,
        amsl_m=sample.amsl_m,
        height_above_home_m=sample.height_above_home_m,
        velocity_north_m_s=sample.velocity_north_m_s,
        velocity_east_m_s=sample.velocity_east_m_s,
        velocity_down_m_s=sample.velocity_down_m_s,
        roll_deg=sample.roll_deg,
        pitch_deg=sample.pitch_deg,
        yaw_deg=sample.yaw_deg,
    )


@asynccontextmanager
async def perception(
    feeds: Sequence[CameraFeed], settings: PerceptionSettings, on_sighting: Callable[[Sighting], None]
) -> AsyncIterator[PerceptionClient]:
    """A supervised vision worker for the length of the with block; on_sighting is called on the event loop."""
    client = PerceptionClient(feeds, settings, on_sighting)
    task = asyncio.create_task(client.supervise(), name="vision worker")
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
