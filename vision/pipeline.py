# SPDX-License-Identifier: AGPL-3.0-or-later
"""All cameras of one process: sources -> poses -> eyes -> sightings, with bounded queues and a count of every loss.

Frames wait two deep per camera; the oldest is dropped and counted. The detectors run in as many threads as the engine
takes frames at once, and cameras take turns at them by fair shares of their time (`vision.shares`), so that a fast camera
cannot starve a slow one; another thread tracks, places and writes evidence, each camera's frames in order. A frame waits for its pose up to a second:
telemetry comes after the exposure, and camera clocks are off by up to 150 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from missions.model import Camera, Modality
from vision.blindness import BLIND
from vision.blur import blurred
from vision.clips import ClipWriter
from vision.detector import Detector
from vision.evidence import EvidenceStore
from vision.eye import CameraEye
from vision.eye_types import EyeSettings, Glance, sampled
from vision.frame import CameraPose, Frame, PixelKind
from vision.gaps import Attention, tolerance_s
from vision.geolocate import Locator
from vision.lookers import tile_settings
from vision.pipeline_types import CameraReport
from vision.pose import PoseBuffer, camera_pose
from vision.pose_types import BodyPose, PoseDoubts
from vision.shares import Turns
from vision.sighting import Sighting
from vision.smoke import SmokeDetector
from vision.sources.frame_socket import FrameSocket, Received
from vision.sources.sampling import SampledCamera, Sampler
from vision.tiled import TiledDetector
from vision.tiles import TileSettings
from vision.yolo import YoloDetector, looks_at_once

log = logging.getLogger(__name__)

POSE_WAIT_S: Final = 1.0
# One look at a colour picture must not take the thermal cameras' second: few tiles at once, all of them in a sweep.
SERVICE_TILES: Final = TileSettings(per_frame=3, sweep_frames=8)
_KEPT_COLOUR_FRAMES: Final = 4
_COLOUR_WITHIN_S: Final = 1.5
_LATENCIES: Final = 256


@dataclass(frozen=True, slots=True)
class Feed:
    """One camera and where its frames come from: a socket at host and port, or an address that is visited now and then.

    `fixed_pose` is for a camera on a mast.
    """

    camera: Camera
    vehicle_id: str | None
    host: str = ""
    port: int = 0
    fixed_pose: CameraPose | None = None
    doubts: PoseDoubts = field(default_factory=PoseDoubts)
    stall_s: float = 15.0
    share: float = 1.0  # weight of its share of the engine's time
    address: str | None = None
    every_s: float = 10.0  # between two visits of the address


class PoseBook:
    """Pose buffers by vehicle, and a way to wait for the next batch."""

    def __init__(self) -> None:
        self._buffers: dict[str, PoseBuffer] = {}
        self._arrived = asyncio.Event()

    def add(self, samples: Iterable[tuple[str, BodyPose]]) -> None:
        """Take a batch and wake whoever waits. Poses that are nowhere are none: nothing could be placed by them."""
        for vehicle_id, sample in samples:
            if sample.is_somewhere:
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

    def __init__(self, feed: Feed, eye: CameraEye, pipeline: VisionPipeline, at_once: int = 1) -> None:
        """at_once: frames of this camera that may be in the eye's first step together."""
        self.feed = feed
        self._free = asyncio.Semaphore(at_once)
        self.source: FrameSocket | SampledCamera
        if feed.address is None:
            stall_s = max(feed.stall_s, 2.0 / feed.camera.rate_hz)
            self.source = FrameSocket(feed.host, feed.port, feed.camera, feed.vehicle_id, stall_s)
        else:
            self.source = SampledCamera(feed.address, feed.camera, feed.every_s, pipeline.sampler)
        self._eye = eye
        self._pipeline = pipeline
        self._stages: dict[str, deque[float]] = {
            name: deque(maxlen=_LATENCIES) for name in ("transport", "pose", "queue", "learned", "look", "total")
        }
        self._unseen: deque[float] = deque(maxlen=_LATENCIES)
        self._sweep_frames: int | None = None
        self._attention = Attention(
            tolerance_s(feed.every_s if feed.address is not None else None, feed.camera.rate_hz)
        )
        self._no_pose = 0
        self._in_degrees = False
        self._blind: str | None = None  # why nothing could be seen in the newest picture
        self._sightings = 0

    async def run(self) -> None:
        """Read, look and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.source.run(), name=f"read {self.feed.camera.camera_id}")
            group.create_task(self._looks(), name=f"look {self.feed.camera.camera_id}")

    async def _looks(self) -> None:
        before: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                await self._free.acquire()
                work = _Work(await self.source.next(), time.monotonic())
                before = group.create_task(self._look(work, before), name=f"look at {self.feed.camera.camera_id}")

    async def _look(self, work: _Work, before: asyncio.Task[None] | None) -> None:
        await self._seen(work)
        if before is not None:
            await before  # frames are judged in order, one while the next is seen, and no more wait in between
        self._free.release()
        await self._judged(work)

    async def _seen(self, work: _Work) -> None:
        """The first step."""
        frame = await self._posed(work.received.frame)
        work.posed_s = time.monotonic()
        loop = asyncio.get_running_loop()
        async with self._pipeline.turns.of(self.feed.camera.camera_id):
            work.began_s = time.monotonic()
            work.glance = await loop.run_in_executor(self._pipeline.detecting, self._eye.see, frame)

    async def _judged(self, work: _Work) -> None:
        """The second step, and what came of both."""
        glance, eye, received = work.glance, self._eye, work.received
        if glance is None:
            raise ValueError("only what was seen can be judged")
        loop = asyncio.get_running_loop()
        try:
            outcome = await loop.run_in_executor(self._pipeline.judging, eye.judge, glance, received.sent_monotonic_s)
        finally:
            self.source.done(received.frame)
        self._blind = outcome.why_not if outcome.why_not in BLIND else None
        if self._blind is None:
            self._attention.attend(time.monotonic())
        if glance.frame.kind is PixelKind.BGR8:
            self._pipeline.colour.put(blurred(glance.frame, (*outcome.observations, *glance.faint)))
        if outcome.why_not is None:
            self._in_degrees = glance.frame.kind is PixelKind.CELSIUS
            self._stages["transport"].append(received.received_monotonic_s - received.sent_monotonic_s)
            self._stages["pose"].append(work.posed_s - work.taken_s)
            self._stages["queue"].append(work.taken_s - received.received_monotonic_s + work.began_s - work.posed_s)
            self._stages["learned"].append(outcome.learned_s)
            self._stages["look"].append(outcome.total_s)
            self._stages["total"].append(time.monotonic() - received.sent_monotonic_s)
            if glance.tiles is not None:
                self._unseen.append(glance.tiles.fraction_unseen)
                self._sweep_frames = glance.tiles.waiting_frames
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
            looked_at=eye.looked_at,
            dropped=stats.dropped,
            no_pose=self._no_pose,
            not_looked_at=dict(+eye.not_looked_at),
            bad_streams=stats.bad,
            stalls=stats.stalls,
            dropped_tracks=eye.dropped_tracks,
            sightings=self._sightings,
            evidence_lost=self._pipeline.evidence_lost,
            latency_p50_s=float(np.percentile(total, 50)) if len(total) else None,
            latency_p95_s=float(np.percentile(total, 95)) if len(total) else None,
            stage_p50_s={name: float(np.median(values)) for name, values in self._stages.items() if values},
            attends_since_monotonic_s=self._attention.since_s,
            attended_monotonic_s=self._attention.last_s,
            why_not=self._why_not(),
            unseen_fraction=float(np.mean(self._unseen)) if self._unseen else None,
            sweep_frames=self._sweep_frames,
            in_degrees=self._in_degrees,
            clip_frames_dropped=self._pipeline.clip_frames_dropped,
        )

    def _why_not(self) -> str:
        stats = self.source.stats
        if not stats.connected:
            return stats.last_error or "not connected yet"
        if self._blind is not None:
            return self._blind
        came, last = stats.last_received_monotonic_s, self._attention.last_s
        if came is None or (last is not None and came <= last):
            return "the camera sends no frames"
        return "its frames wait for the engine"


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
        colour: YoloDetector | None = None,
        tiles: TileSettings | None = None,
    ) -> None:
        """learned, classical: for thermal cameras. colour: for colour cameras, in tiles.

        Without `colour` the pictures of colour cameras are looked at for smoke alone, and kept for evidence.
        """
        self.poses = PoseBook()
        self.colour = ColourShelf()
        self.on_sighting = on_sighting
        at_once = looks_at_once([d for d in (learned, colour) if d is not None])
        self.turns = Turns(time.monotonic, at_once)
        self.sampler = Sampler()
        self.detecting = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="detect")
        self.judging = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hot spots")
        self._evidence = evidence
        self._clips = None if evidence is None else ClipWriter(evidence)
        self.loops = []
        for feed in feeds:
            self.turns.shares.add(feed.camera.camera_id, feed.share)
            thermal = feed.camera.modality is Modality.THERMAL
            eye = CameraEye(
                feed.camera,
                feed.vehicle_id,
                learned if thermal else None if colour is None else _in_tiles(colour, tiles),
                classical if thermal else SmokeDetector(),
                locator,
                evidence,
                run_id,
                settings if feed.address is None else sampled(feed.every_s, settings),
                context=self._context_of(feed.vehicle_id),
                beside=self._beside,
                clips=self._clips,
            )
            # tiles, smoke and the search for changes remember the frame before
            alone = not thermal or feed.address is not None
            self.loops.append(CameraLoop(feed, eye, self, 1 if alone else at_once))

    @property
    def evidence_lost(self) -> int:
        return 0 if self._evidence is None else self._evidence.lost

    @property
    def clip_frames_dropped(self) -> int:
        return 0 if self._clips is None else self._clips.dropped

    async def run(self) -> None:
        """Run all cameras until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                if any(loop.feed.address is not None for loop in self.loops):
                    group.create_task(self.sampler.run(), name="visits")
                for loop in self.loops:
                    group.create_task(loop.run(), name=f"camera {loop.feed.camera.camera_id}")
        finally:
            for executor in (self.detecting, self._beside, self.judging):
                executor.shutdown(wait=True, cancel_futures=True)
            if self._clips is not None:
                self._clips.close()

    def reports(self) -> list[CameraReport]:
        """One report per camera."""
        return [loop.report() for loop in self.loops]

    def _context_of(self, vehicle_id: str | None) -> Callable[[float], Frame | None]:
        return lambda exposure_s: self.colour.near(vehicle_id, exposure_s)


def _in_tiles(detector: YoloDetector, settings: TileSettings | None) -> TiledDetector:
    """Tiles of one camera's own before the detector that all share."""
    card = detector.card
    tiles = settings or tile_settings(card, SERVICE_TILES)
    return TiledDetector(detector, detector.input_size, tiles, (card.gsd_min_m, card.gsd_max_m))


@dataclass(slots=True)
class _Work:
    """One frame on its way, with the times of its stages on CLOCK_MONOTONIC."""

    received: Received
    taken_s: float
    posed_s: float = 0.0
    began_s: float = 0.0
    glance: Glance | None = None
