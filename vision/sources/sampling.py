# SPDX-License-Identifier: AGPL-3.0-or-later
"""Many fixed cameras, each looked at now and then: one picture per visit, instead of decoding every stream all the time.

A visit opens the camera's address, takes the first picture that stands alone and leaves. Visits of all cameras are spread
over the period, some at once, in one process of their own (`sample_child`), which is started again when it dies. A camera
that fails is visited less and less often, down to once a minute; one whose last picture still waits to be looked at is not
visited at all, so that an engine that is behind costs no decoding.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import sys
import time
import zlib
from collections import deque
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.model import Camera, Modality
from vision.frame import Frame, PixelKind
from vision.sources.frame_socket import Received, SocketStats
from vision.sources.stream_child import END, FRAME, HEADER

log = logging.getLogger(__name__)

LANES: Final = 24  # visits at once: most of a visit is waiting
_OPEN_S: Final = 8.0
_HANGS_S: Final = 10.0  # beyond _OPEN_S: then the process is ended
_RESTART_S: Final = (0.2, 5.0)
_RETRY_CAP_S: Final = 60.0
_MOST_BYTES: Final = 1 << 28
_SPREAD: Final = 1 << 16
_SAME_SHAPE: Final = 0.02


class VisitFailedError(Exception):
    """A visit that brought no picture; the text says why."""


class Sampler:
    """Visits cameras by way of the child. `run()` in a task; `visit()` from the same loop."""

    def __init__(self, lanes: int = LANES) -> None:
        self._lanes = lanes
        self._free = asyncio.Semaphore(lanes)
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[tuple[NDArray[np.uint8], float]]] = {}
        self._child: asyncio.subprocess.Process | None = None
        self._up = asyncio.Event()
        self.restarts = 0

    @property
    def process_id(self) -> int | None:
        return None if self._child is None else self._child.pid

    async def run(self) -> None:
        """Keep the child running until cancelled."""
        pause = _RESTART_S[0]
        while True:
            began = time.monotonic()
            try:
                await self._session()
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                log.warning("the process that visits cameras has ended and is started again: %s", error)
            self.restarts += 1
            pause = _RESTART_S[0] if time.monotonic() - began > _RETRY_CAP_S else min(_RESTART_S[1], 2 * pause)
            await asyncio.sleep(pause)

    async def visit(self, address: str, open_s: float = _OPEN_S) -> tuple[NDArray[np.uint8], float]:
        """(picture, CLOCK_MONOTONIC when it was had). Raises VisitFailedError."""
        async with self._free:
            await self._up.wait()
            child, number = self._child, next(self._numbers)
            if child is None or child.stdin is None:
                raise VisitFailedError("the process that visits cameras is away")
            answer: asyncio.Future[tuple[NDArray[np.uint8], float]] = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
            try:
                line = json.dumps({"id": number, "address": address, "open_s": open_s})
                child.stdin.write(line.encode() + b"\n")
                async with asyncio.timeout(open_s + _HANGS_S):
                    return await answer
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()  # a thread that hangs in a decoder cannot be ended otherwise
                raise VisitFailedError("it hangs its reader") from None
            finally:
                self._waiting.pop(number, None)

    async def _session(self) -> None:
        path = os.pathsep.join(p for p in sys.path if p)  # the same code, wherever it was found
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vision.sources.sample_child", str(self._lanes),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True, limit=1 << 22, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        self._child = child
        self._up.set()
        try:
            if child.stdout is not None:
                while True:
                    await self._answer(child.stdout)
        finally:
            self._up.clear()
            self._child = None
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(VisitFailedError("the process that visits cameras died"))
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        kind, width, height, channels, number, _, at_s, size = HEADER.unpack(await reader.readexactly(HEADER.size))
        if kind not in (FRAME, END) or size > _MOST_BYTES or (kind == FRAME and size != width * height * channels):
            raise ValueError("it speaks nonsense")
        data = await reader.readexactly(size)
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return
        if kind == END:
            answer.set_exception(VisitFailedError(data.decode("utf-8", "replace")))
        else:
            shape = (height, width, channels) if channels > 1 else (height, width)
            answer.set_result((np.frombuffer(data, np.uint8).reshape(shape), at_s))


def pause_s(period_s: float, failures: int) -> float:
    """Until the next visit after so many failures in a row: twice as long each time, up to a minute or the period."""
    longest = max(period_s, _RETRY_CAP_S)
    doublings = max(0, failures - 1)
    # a camera can be away for months, and no number holds two to the power of its failures
    return longest if doublings > math.log2(longest / period_s) else period_s * 2**doublings


class SampledCamera:
    """One camera's visits, as a source of frames like `FrameSocket`."""

    def __init__(self, address: str, camera: Camera, period_s: float, sampler: Sampler) -> None:
        self._address, self._camera = address, camera
        self._period_s = period_s
        self._sampler = sampler
        self._frames: deque[Received] = deque()
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()
        self._taken.set()
        self._visits = 0
        self.stats = SocketStats()

    async def run(self) -> None:
        """Visit until cancelled."""
        loop = asyncio.get_running_loop()
        # cameras begin at times of their own, the same at every start
        phase = zlib.crc32(self._camera.camera_id.encode()) % _SPREAD / _SPREAD
        due, failures = loop.time() + phase * self._period_s, 0
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._taken.wait()
            try:
                self._take(*await self._sampler.visit(self._address))
            except VisitFailedError as error:
                failures += 1
                self._failed(str(error))
            else:
                failures = 0
            wait_s = pause_s(self._period_s, failures)
            due += max(wait_s, self._period_s * ((loop.time() - due) // self._period_s))  # never two to catch up

    async def next(self) -> Received:
        """The picture that waits."""
        while not self._frames:
            self._arrived.clear()
            await self._arrived.wait()
        received = self._frames.popleft()
        self._taken.set()
        return received

    def done(self, frame: Frame) -> None:
        """Nobody at the camera waits for it."""

    def _failed(self, why: str) -> None:
        if why != self.stats.last_error:
            log.warning("camera %s: %s", self._camera.camera_id, why)
        self.stats.last_error, self.stats.connected = why, False
        self.stats.bad += 1

    def _fitted(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The picture in the pixels in which the lens is known. VisitFailedError for one of another shape."""
        (height, width), camera = picture.shape[:2], self._camera
        if (width, height) == (camera.width_px, camera.height_px):
            return picture
        if abs(width * camera.height_px / (height * camera.width_px) - 1.0) > _SAME_SHAPE:
            raise VisitFailedError(
                f"its pictures are {width}x{height} pixels, and the site file says {camera.width_px}x{camera.height_px}"
            )
        return np.asarray(cv2.resize(picture, (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA))

    def _take(self, picture: NDArray[Any], at_s: float) -> None:
        thermal = self._camera.modality is Modality.THERMAL
        if thermal and picture.ndim == 3:
            picture = np.ascontiguousarray(picture[..., 1])  # a grey picture in colour clothes
        elif not thermal and picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        picture = self._fitted(picture)
        kind = PixelKind.GREY8 if thermal else PixelKind.BGR8
        self._visits += 1
        frame = Frame(self._camera.camera_id, None, self._visits, at_s, picture, kind, self._camera)
        self.stats.connected, self.stats.last_error = True, None
        self.stats.received += 1
        self.stats.last_received_monotonic_s = at_s
        self._frames.append(Received(frame, at_s, time.monotonic()))
        self._taken.clear()
        self._arrived.set()
