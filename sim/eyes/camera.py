# SPDX-License-Identifier: AGPL-3.0-or-later
"""One camera: decides when to expose, listens for its reader, counts what was not taken.

Frames go out only while a reader is connected, at most MAX_OUTSTANDING unanswered; a new reader replaces the old one.
The stamp on a frame is the camera's own clock: vehicle time plus a constant that nobody is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Final

import numpy as np

from sim.config import CameraConfig
from sim.eyes.gimbal import Mount, between
from sim.pose import TruePose
from vision.wire import FrameHeader, encode

MAX_OUTSTANDING: Final = 4
_MIN_HEIGHT_M: Final = 10.0
_HISTORY: Final = 64
_MAX_ANSWER_BYTES: Final = 4096


class Camera:
    """The camera's side of its socket and its shutter."""

    def __init__(self, config: CameraConfig, vehicle_id: str, seed: int) -> None:
        self.config = config
        self.vehicle_id = vehicle_id
        self.mount = Mount(config, seed)
        rng = np.random.default_rng([seed, 29])
        self._clock_offset_s = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.05, 0.15))
        self._phase_s = float(rng.uniform(0.0, 1.0)) / config.rate_hz
        self._history: deque[TruePose] = deque(maxlen=_HISTORY)
        self._due_s: float | None = None
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._unanswered: set[int] = set()
        self._sequence = 0
        self.waiting = 0  # exposures that are being rendered
        self.dropped = 0

    async def listen(self) -> int:
        """Open the port; returns its number. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.config.port)
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def outstanding(self) -> int:
        """Frames on their way that the reader has not answered; 0 without a reader."""
        return len(self._unanswered) + self.waiting if self._writer is not None else 0

    def take(self, pose: TruePose) -> list[tuple[int, TruePose]]:
        """Take a true pose; returns the exposures (sequence, pose) that it makes due."""
        if self._history and pose.time_s <= self._history[-1].time_s:
            self._history.clear()
            self._due_s = None
        self._history.append(pose)
        period_s = 1.0 / self.config.rate_hz
        if self._due_s is None:
            self._due_s = (int((pose.time_s - self._phase_s) / period_s) + 1) * period_s + self._phase_s
        out = []
        while self._due_s <= pose.time_s:
            if len(self._history) >= 2 and pose.height_above_home_m > _MIN_HEIGHT_M:
                out += self._expose(between(self._history[-2], self._history[-1], self._due_s))
            self._due_s += period_s
        return out

    def _expose(self, pose: TruePose) -> list[tuple[int, TruePose]]:
        if self._writer is None:
            return []
        if self.outstanding >= MAX_OUTSTANDING:
            self.dropped += 1
            return []
        self._sequence += 1
        self.waiting += 1
        return [(self._sequence, pose)]

    def send(self, sequence: int, exposure_s: float, exposed_monotonic_s: float, pixels: np.ndarray) -> bool:
        """Put a rendered frame on the wire; False when the reader has left meanwhile."""
        self.waiting -= 1
        writer = self._writer
        if writer is None or writer.is_closing():
            return False
        header = FrameHeader(
            camera_id=self.config.camera_id,
            sequence=sequence,
            exposure_s=exposure_s + self._clock_offset_s,
            sent_monotonic_s=exposed_monotonic_s,
            kind="celsius" if self.config.modality == "thermal" else "bgr8",
            dtype=str(pixels.dtype),
            shape=tuple(int(n) for n in pixels.shape),
            payload_bytes=int(pixels.nbytes),
        )
        self._unanswered.add(sequence)
        writer.writelines(encode(header, pixels))
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = writer
        self._unanswered.clear()
        try:
            while line := await reader.readline():
                if len(line) > _MAX_ANSWER_BYTES:
                    break
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    self._unanswered.discard(int(json.loads(line)["done"]))
        except (ConnectionError, ValueError):  # ValueError: a line without end
            pass
        finally:
            if self._writer is writer:
                self._writer = None
                self._unanswered.clear()
            writer.close()

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._writer is not None:
            self._writer.close()
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._server.wait_closed()
