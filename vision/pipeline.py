# SPDX-License-Identifier: AGPL-3.0-or-later
"""All cameras of one process: sources -> poses -> eyes -> sightings, with bounded queues and a count of every loss.

Frames wait two deep per camera; the oldest is dropped and counted. Looking happens in one thread, frame by frame in
the order of arrival, so that the event loop never blocks and one camera cannot starve another. A frame waits for its
pose up to a second: telemetry comes after the exposure, and camera clocks are off by up to 150 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from missions.model import Camera, Modality
from vision.detector import Detector
from vision.evidence import EvidenceStore
from vision.eye import CameraEye, EyeSettings, Outcome
from vision.frame import CameraPose, Frame
from vision.geolocate import Locator
from vision.pipeline_types import CameraReport
from vision.pose import PoseBuffer, camera_pose
from vision.pose_types import BodyPose, PoseDoubts
from vision.sighting import Sighting
from vision.sources.frame_socket import FrameSocket, Received

log = logging.getLogger(__name__)

POSE_WAIT_S: Final = 1.0
_KEPT_COLOUR_FRAMES: Final = 4
_COLOUR_WITHIN_S: Final = 1.5
_LATENCIES: Final = 256


@dataclass(frozen=True, slots=True)
class Feed:
    """One camera and where its frames come from. `fixed_pose` is for a camera on a mast."""

    camera: Camera
    vehicle_id: str | None
    host: str
    port: int
    fixed_pose: CameraPose | None = None
    doubts: PoseDoubts = field(default_factory=PoseDoubts)
    stall_s: float = 15.0


class PoseBook:
    """Pose buffers by vehicle, and a way to wait for the next batch."""

    def __init__(self) -> None:
        self._buffers: dict[str, PoseBuffer] = {}
        self._arrived = asyncio.Event()

    def add(self, samples: Iterable[tuple[str, BodyPose]]) -> None:
        """Take a batch and wake whoever waits."""
        for vehicle_id, sample in samples:
            self._buffers.setdefault(vehicle_id, PoseBuffer()).add(sample)
        self._arrived.set()
        self._arrived = asyncio.Event()

    async def wait(self, vehicle_id: str, time_s: float, timeout_s: float) -> BodyPose | None:
        """The pose at a time, once telemetry has come that far, else the best there is after the time-out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._covers(vehicle_id, time_s):
                    await self._arrived.wait()
        buffer = self._buffers.get(vehicle_id)
        return None if buffer is None else buffer.at(time_s)

    def _covers(self, vehicle_id: str, time_s: float) -> bool:
        buffer = self._buffers.get(vehicle_id)
        return buffer is not None and buffer.covers(time_s)


class ColourShelf:
    """The last colour frames of each vehicle, for context pictures."""

    def __init__(self) -> None:
        self._frames: dict[str, deque[Frame]] = {}

    def put(self, frame: Frame) -> None:
        """Keep a frame; the oldest of its vehicle goes."""
        if frame.vehicle_id is not None:
            self._frames.setdefault(frame.vehicle_id, deque(maxlen=_KEPT_COLOUR_FRAMES)).append(frame)

    def near(self, vehicle_id: str | None, exposure_s: float) -> Frame | None:
        """The frame nearest in time, if it is near enough to show the same scene."""
        frames = list(self._frames.get(vehicle_id or "", ()))
        best = min(frames, key=lambda f: abs(f.exposure_s - exposure_s), default=None)
        return best if best is not None and abs(best.exposure_s - exposure_s) <= _COLOUR_WITHIN_S else None


class CameraLoop:
    """One camera's way through the pipeline."""

    def __init__(self, feed: Feed, eye: CameraEye | None, pipeline: VisionPipeline) -> None:
        self.feed = feed
        self.source = FrameSocket(feed.host, feed.port, feed.camera, feed.vehicle_id, feed.stall_s)
        self._eye = eye
        self._pipeline = pipeline
        self._stages: dict[str, deque[float]] = {
            name: deque(maxlen=_LATENCIES) for name in ("transport", "pose", "queue", "learned", "look", "total")
        }
        self._no_pose = 0
        self._sightings = 0
        self._skipped: Counter[str] = Counter()

    async def run(self) -> None:
        """Read, look and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.source.run(), name=f"read {self.feed.camera.camera_id}")
            group.create_task(self._looks(), name=f"look {self.feed.camera.camera_id}")

    async def _looks(self) -> None:
        while True:
            received = await self.source.next()
            try:
                await self._one(received)
            finally:
                self.source.done(received.frame)

    async def _one(self, received: Received) -> None:
        frame = received.frame
        started = time.monotonic()
        frame = await self._posed(frame)
        posed = time.monotonic()
        if self._eye is None:
            self._pipeline.colour.put(frame)
            self._skipped["no detector for colour pictures"] += 1
            return
        loop = asyncio.get_running_loop()
        outcome, began = await loop.run_in_executor(
            self._pipeline.thread, _look, self._eye, frame, received.sent_monotonic_s
        )
        if outcome.why_not is None:
            self._stages["transport"].append(received.received_monotonic_s - received.sent_monotonic_s)
            self._stages["pose"].append(posed - started)
            self._stages["queue"].append(started - received.received_monotonic_s + began - posed)
            self._stages["learned"].append(outcome.learned_s)
            self._stages["look"].append(outcome.total_s)
            self._stages["total"].append(time.monotonic() - received.sent_monotonic_s)
        for sighting in outcome.sightings:
            self._sightings += 1
            self._pipeline.on_sighting(sighting)

    async def _posed(self, frame: Frame) -> Frame:
        feed = self.feed
        if feed.fixed_pose is not None:
            return replace(frame, pose=feed.fixed_pose)
        if feed.vehicle_id is None:
            return frame
        body = await self._pipeline.poses.wait(feed.vehicle_id, frame.exposure_s, POSE_WAIT_S)
        if body is None:
            self._no_pose += 1
            return frame
        return replace(frame, pose=camera_pose(feed.camera, body, feed.doubts))

    def report(self) -> CameraReport:
        """Counts and latencies so far."""
        stats, eye = self.source.stats, self._eye
        total = np.array(self._stages["total"])
        return CameraReport(
            camera_id=self.feed.camera.camera_id,
            connected=stats.connected,
            last_error=stats.last_error,
            received=stats.received,
            looked_at=0 if eye is None else eye.looked_at,
            dropped=stats.dropped,
            no_pose=self._no_pose,
            not_looked_at=dict(self._skipped + (eye.not_looked_at if eye is not None else Counter())),
            bad_streams=stats.bad,
            stalls=stats.stalls,
            dropped_tracks=0 if eye is None else eye.dropped_tracks,
            sightings=self._sightings,
            evidence_lost=self._pipeline.evidence_lost,
            latency_p50_s=float(np.percentile(total, 50)) if len(total) else None,
            latency_p95_s=float(np.percentile(total, 95)) if len(total) else None,
            stage_p50_s={name: float(np.median(values)) for name, values in self._stages.items() if values},
        )


class VisionPipeline:
    """All cameras. `run()` until cancelled; sightings come through `on_sighting` on the event loop."""

    def __init__(
        self,
        feeds: Iterable[Feed],
        learned: Detector | None,
        classical: Detector | None,
        locator: Locator | None,
        evidence: EvidenceStore | None,
        run_id: str,
        on_sighting: Callable[[Sighting], None],
        settings: EyeSettings | None = None,
    ) -> None:
        self.poses = PoseBook()
        self.colour = ColourShelf()
        self.on_sighting = on_sighting
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="look")
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hot spots")
        self._evidence = evidence
        self.loops = []
        for feed in feeds:
            eye = None
            if feed.camera.modality is Modality.THERMAL:
                eye = CameraEye(
                    feed.camera,
                    feed.vehicle_id,
                    learned,
                    classical,
                    locator,
                    evidence,
                    run_id,
                    settings,
                    context=self._context_of(feed.vehicle_id),
                    beside=self._beside,
                )
            self.loops.append(CameraLoop(feed, eye, self))

    @property
    def evidence_lost(self) -> int:
        return 0 if self._evidence is None else self._evidence.lost

    async def run(self) -> None:
        """Run all cameras until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in self.loops:
                    group.create_task(loop.run(), name=f"camera {loop.feed.camera.camera_id}")
        finally:
            self.thread.shutdown(wait=True, cancel_futures=True)
            self._beside.shutdown(wait=True, cancel_futures=True)

    def reports(self) -> list[CameraReport]:
        """One report per camera."""
        return [loop.report() for loop in self.loops]

    def _context_of(self, vehicle_id: str | None) -> Callable[[float], Frame | None]:
        return lambda exposure_s: self.colour.near(vehicle_id, exposure_s)


def _look(eye: CameraEye, frame: Frame, sent_monotonic_s: float) -> tuple[Outcome, float]:
    began = time.monotonic()
    return eye.look(frame, sent_monotonic_s), began
