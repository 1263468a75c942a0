# SPDX-License-Identifier: AGPL-3.0-or-later
"""Frames from a camera that serves them over TCP in the format of `vision.wire`.

One task reads for ever: it connects, reconnects with growing pauses, drops the connection when it stalls or speaks
nonsense, and hands frames to a queue two deep. The camera is told of every frame that is finished or dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from missions.model import Camera, Modality
from vision.frame import Frame, PixelKind, finite
from vision.wire import PREFIX, WireError, decode_header, decode_pixels, decode_prefix, encode_done

log = logging.getLogger(__name__)

DEPTH: Final = 2
_CONNECT_TIMEOUT_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.1
_PAUSE_CAP_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Received:
    """A frame and when it was taken and came in, on CLOCK_MONOTONIC (sent: the sender's, comparable on one machine)."""

    frame: Frame
    sent_monotonic_s: float
    received_monotonic_s: float


@dataclass(slots=True)
class SocketStats:
    """What a source counts."""

    connected: bool = False
    connects: int = 0
    received: int = 0
    dropped: int = 0
    bad: int = 0
    stalls: int = 0
    last_error: str | None = None
    last_received_monotonic_s: float | None = None


class FrameSocket:
    """Reader of one camera. `run()` in a task; `next()` and `done()` from the consumer on the same loop."""

    def __init__(
        self, host: str, port: int, camera: Camera, vehicle_id: str | None, stall_s: float = 10.0, depth: int = DEPTH
    ) -> None:
        self._host, self._port = host, port
        self._camera, self._vehicle_id = camera, vehicle_id
        self._stall_s = stall_s
        self._frames: deque[Received] = deque()
        self._depth = depth
        self._arrived = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self.stats = SocketStats()

    async def run(self) -> None:
        """Read until cancelled."""
        pause = _FIRST_PAUSE_S
        while True:
            before = self.stats.received
            error: Exception | None = None
            try:
                await self._session()
            except (OSError, TimeoutError, WireError, asyncio.IncompleteReadError) as caught:
                error = caught
            self._note(error)
            pause = _FIRST_PAUSE_S if self.stats.received > before else min(_PAUSE_CAP_S, 2 * pause)
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))

    async def next(self) -> Received:
        """The oldest frame that waits."""
        while not self._frames:
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.popleft()

    def done(self, frame: Frame) -> None:
        """Tell the camera that a frame is finished with; nothing happens when it is gone."""
        writer = self._writer
        if writer is not None and not writer.is_closing():
            writer.write(encode_done(frame.sequence))

    def _note(self, error: Exception | None) -> None:
        if isinstance(error, WireError):
            self.stats.bad += 1
        elif isinstance(error, TimeoutError):
            self.stats.stalls += 1
        if error is None or isinstance(error, asyncio.IncompleteReadError):
            text = "the camera closed the connection"
        else:
            text = str(error) if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
        if text != self.stats.last_error:
            log.warning("camera %s at %s:%d: %s", self._camera.camera_id, self._host, self._port, text)
        self.stats.last_error = text

    async def _session(self) -> None:
        async with _within(_CONNECT_TIMEOUT_S, "no connection"):
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
        self._writer = writer
        self.stats.connected = True
        self.stats.connects += 1
        try:
            while True:
                async with _within(self._stall_s, "no whole frame"):
                    await self._frame(reader)
        finally:
            self.stats.connected = False
            self._writer = None
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    async def _frame(self, reader: asyncio.StreamReader) -> None:
        length = decode_prefix(await reader.readexactly(PREFIX.size))
        header = decode_header(await reader.readexactly(length))
        payload = await reader.readexactly(header.payload_bytes)
        if header.camera_id != self._camera.camera_id:
            raise WireError(f"this is camera {header.camera_id}, not {self._camera.camera_id}")
        stated = (self._camera.height_px, self._camera.width_px)
        if header.shape[:2] != stated:  # the lens is known in those pixels: in others every place would be wrong
            raise WireError(f"a frame of shape {header.shape}, and the camera is said to have {stated}")
        if (header.kind == PixelKind.BGR8.value) is (self._camera.modality is Modality.THERMAL):
            raise WireError(f"a frame of {header.kind}, and the camera is said to be {self._camera.modality.value}")
        try:
            frame = Frame(
                source_id=header.camera_id,
                vehicle_id=self._vehicle_id,
                sequence=header.sequence,
                exposure_s=header.exposure_s,
                pixels=finite(decode_pixels(header, payload)),
                kind=PixelKind(header.kind),
                camera=self._camera,
            )
        except ValueError as error:
            raise WireError(f"a frame that does not fit together: {error}") from error
        now = time.monotonic()
        self.stats.received += 1
        self.stats.last_received_monotonic_s = now
        self.stats.last_error = None
        while len(self._frames) >= self._depth:
            dropped = self._frames.popleft()
            self.stats.dropped += 1
            self.done(dropped.frame)
        self._frames.append(Received(frame, header.sent_monotonic_s, now))
        self._arrived.set()


@contextlib.asynccontextmanager
async def _within(limit_s: float, missing: str) -> AsyncIterator[None]:
    """A limit whose TimeoutError has words: of itself it has none, and a log would say nothing."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"{missing} within {limit_s:g} s") from error
