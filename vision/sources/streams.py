# SPDX-License-Identifier: AGPL-3.0-or-later
"""Live streams and cameras on this machine as frames: addresses, a reader in a process of its own, and its failures.

A stream that stalls is dropped after five seconds and opened again with growing pauses; what was missed is a gap with its
times, never silence. Addresses often hold passwords: only `label` is ever shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from missions.model import Modality
from vision.colours import IN_VIDEOS
from vision.errors import PictureError, VisionError
from vision.frame import Frame
from vision.sources.modality import classify
from vision.sources.stream_child import END, FRAME, HEADER

SCHEMES: Final = ("rtsp", "rtsps", "http", "https", "rtmp", "udp")
_DEVICE: Final = re.compile(r"(?:usb:|/dev/video)(\d{1,3})|(\d{1,3})")
_STATED: Final = re.compile(r"(=|(?:user|pass|pwd|token|key|auth)[a-z]*_)[^/&;,]*", re.IGNORECASE)  # also in paths
_ESCAPED: Final = 'in a user or password, "/", "?", "#" and "@" are written %2F, %3F, %23 and %40'
_FIRST_PAUSE_S: Final = 0.5
_PAUSE_CAP_S: Final = 10.0
_SESSION_OPEN_S: Final = 10.0
_MOST_FRAME_BYTES: Final = 1 << 28
_MOST_TEXT_BYTES: Final = 4096


class StreamUnavailableError(VisionError):
    """A stream that never gave a frame."""


class StreamLostError(VisionError):
    """A stream that gave frames, and then none for too long."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """What to open, and what to call it in front of people: without user, password, query and values in its path."""

    address: str
    device: int | None
    label: str


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How long to wait for what, in seconds. run_s: when to end by itself; None: never."""

    open_s: float = 15.0
    stall_s: float = 5.0
    give_up_s: float = 60.0
    run_s: float | None = None


@dataclass(slots=True)
class StreamStats:
    """What a stream counted."""

    received: int = 0  # frames that were read, whether looked at or dropped
    delivered: int = 0
    dropped: int = 0
    stalls: int = 0
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without frames, on the stream's clock (seconds since its first frame)."""

    from_s: float
    to_s: float
    reason: str


def parse_address(text: str) -> StreamAddress | None:
    """A stream's address or a camera's number; None for what names a file. PictureError for a damaged address."""
    match = _DEVICE.fullmatch(text)
    if match is not None and not (match[2] and Path(text).exists()):
        number = int(match[1] or match[2])
        return StreamAddress(text, number, f"camera {number}")
    scheme, separator, _ = text.partition("://")
    if not separator:
        return None
    if scheme.lower() not in SCHEMES:
        raise PictureError(f"{scheme}://: streams come over {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        # what is wrong is not quoted: after a "/" or "#" in a password, the port is a piece of it
        raise PictureError(f"{scheme}://...: this address cannot be read; {_ESCAPED}") from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}" and "@" not in parts.netloc:
        raise PictureError(f"{scheme}://...: this address has an @ after its host; {_ESCAPED}")
    if not host:
        raise PictureError(f"{scheme}://...: this address names no host")
    where = f"[{host}]" if ":" in host else host
    path = _STATED.sub(r"\1...", parts.path)
    return StreamAddress(text, None, f"{scheme.lower()}://{where}{'' if port is None else f':{port}'}{path}")


class _BrokenError(Exception):
    """A session ended; the text says how."""


class _StallError(_BrokenError):
    """No frame came in time."""


class _OverError(Exception):
    """The time to run is over."""


class LiveStream:
    """One stream, read in another process. Iterate over `frames()` in one thread; `end()` may come from another."""

    def __init__(
        self,
        address: StreamAddress,
        settings: StreamSettings | None = None,
        tell: Callable[[str], None] = lambda _text: None,
        modality: Modality | None = None,
    ) -> None:
        self._address = address
        self._settings = settings or StreamSettings()
        self._tell = tell
        self._modality = modality
        self._gaps: list[Gap] = []
        self._origin_s: float | None = None  # monotonic time of the first frame
        self._last_s = 0.0
        self._away = ""  # why no frames come, from the end of a session to the next frame
        self._before = StreamStats()  # of sessions that have ended
        self._asked = threading.Event()  # to end
        self._child: subprocess.Popen[bytes] | None = None
        self.stats = StreamStats()

    def end(self) -> None:
        """End `frames()` soon: what it waits for is not waited for any longer."""
        self._asked.set()
        child = self._child
        if child is not None:
            child.kill()

    def take_gaps(self) -> list[Gap]:
        """Gaps since the last call."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def frames(self) -> Iterator[Frame]:
        """Frames until the stream is finished or its time is over.

        Raises StreamUnavailableError when none came within open_s, StreamLostError when none came for give_up_s.
        """
        try:
            yield from self._frames()
        finally:
            if self._away and self._origin_s is not None:  # however it ends while the stream is away, that is a gap
                self._gaps.append(Gap(self._clock(self._last_s), self._clock(time.monotonic()), self._away))
                self._away = ""

    def _frames(self) -> Iterator[Frame]:
        s = self._settings
        began = time.monotonic()
        until = None if s.run_s is None else began + s.run_s
        pause, told = _FIRST_PAUSE_S, ""
        while True:
            first = self._origin_s is None
            limit = began + s.open_s if first else self._last_s + s.give_up_s
            try:
                for frame in self._session(min(limit, time.monotonic() + _SESSION_OPEN_S), until, self._away):
                    pause, told, self._away = _FIRST_PAUSE_S, "", ""
                    yield frame
            except _OverError:
                return
            except _BrokenError as error:
                if self._asked.is_set():
                    return
                reason = self._away = str(error)
                self.stats.stalls += isinstance(error, _StallError) and self._origin_s is not None
            else:
                return
            now = time.monotonic()
            if self._origin_s is None and now + pause >= began + s.open_s:
                raise StreamUnavailableError(f"{self._address.label}: no picture within {s.open_s:g} s: {reason}")
            if self._origin_s is not None:
                if now + pause >= self._last_s + s.give_up_s:
                    raise StreamLostError(f"{self._address.label}: lost for {s.give_up_s:g} s, given up: {reason}")
                self.stats.reconnects += 1
                if reason != told:
                    told = reason
                    self._tell(f"{self._address.label}: {reason}; opening it again")
            if until is not None and now + pause >= until:
                return
            if self._asked.wait(pause * random.uniform(0.7, 1.0)):
                return
            pause = min(_PAUSE_CAP_S, 2 * pause)

    def _clock(self, monotonic_s: float) -> float:
        return monotonic_s - (self._origin_s or monotonic_s)

    def _session(self, open_by_s: float, until: float | None, reason: str) -> Iterator[Frame]:
        """Frames of one connection; _BrokenError when it breaks. reason: why the one before did."""
        read_fd, write_fd = os.pipe()
        path = os.pathsep.join(p for p in sys.path if p)  # the same code, wherever it was found
        with (
            os.fdopen(read_fd, "rb", buffering=0) as pipe,
            subprocess.Popen(
                [sys.executable, "-m", "vision.sources.stream_child"],
                stdin=subprocess.PIPE,
                stdout=write_fd,
                stderr=subprocess.DEVNULL,  # a decoder's complaints about every broken packet
                start_new_session=True,  # Ctrl-C is for the parent to act on
                env=os.environ | {"PYTHONPATH": path},
            ) as child,
        ):
            os.close(write_fd)
            self._child = child
            try:
                if self._asked.is_set():
                    raise _OverError
                yield from self._messages(pipe.fileno(), child, open_by_s, until, reason)
            finally:
                self._child = None
                child.kill()
                with contextlib.suppress(BrokenPipeError):
                    if child.stdin is not None:
                        child.stdin.close()
                self._before = StreamStats(self.stats.received, 0, self.stats.dropped)

    def _messages(
        self, fd: int, child: subprocess.Popen[bytes], open_by_s: float, until: float | None, reason: str
    ) -> Iterator[Frame]:
        opening = {
            "address": self._address.address,
            "device": self._address.device,
            "open_s": max(1.0, open_by_s - time.monotonic()),
        }
        self._ask(child, json.dumps(opening).encode() + b"\n")
        deadline, opened = open_by_s, False
        while True:
            self._ask(child, b"n")
            head = _read(fd, HEADER.size, deadline, until, opened=opened)
            kind, width, height, channels, sequence, dropped, monotonic_s, size = HEADER.unpack(head)
            if kind == END and size <= _MOST_TEXT_BYTES:
                why = bytes(_read(fd, size, deadline, until, opened=opened)).decode("utf-8", "replace")
                if why == "finished":
                    return
                raise _BrokenError(why)
            if kind != FRAME or size != width * height * channels or not 0 < size <= _MOST_FRAME_BYTES:
                raise _BrokenError("its reader speaks nonsense")
            data = np.frombuffer(_read(fd, size, deadline, until, opened=opened), np.uint8)
            frame = self._frame(data.reshape(height, width, channels), monotonic_s)
            if not opened and self._origin_s != monotonic_s and self._last_s:
                self._gaps.append(Gap(self._clock(self._last_s), self._clock(monotonic_s), reason))
            self._last_s, opened = monotonic_s, True
            self.stats.received = self._before.received + sequence + 1
            self.stats.dropped = self._before.dropped + dropped
            self.stats.delivered += 1
            yield frame
            if until is not None and time.monotonic() >= until:
                raise _OverError
            deadline = time.monotonic() + self._settings.stall_s

    @staticmethod
    def _ask(child: subprocess.Popen[bytes], data: bytes) -> None:
        try:
            if child.stdin is not None:
                child.stdin.write(data)
                child.stdin.flush()
        except OSError as error:
            raise _BrokenError("its reader has died") from error

    def _frame(self, picture: NDArray[np.uint8], monotonic_s: float) -> Frame:
        if self._origin_s is None:
            self._origin_s = monotonic_s
        label = self._address.label
        picture = picture[..., 0] if picture.shape[2] == 1 else picture
        known = classify(Path(label), picture, self._modality, tolerance=IN_VIDEOS)
        return Frame(
            label,
            None,
            self.stats.delivered,
            self._clock(monotonic_s),
            known.pixels,
            known.kind,
            modality_from=known.by,
            false_colours=known.false_colours,
        )


def _read(fd: int, size: int, deadline: float, until: float | None, *, opened: bool) -> bytearray:
    """So many bytes of a pipe; _StallError when they do not come in time."""
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        now = time.monotonic()
        ends = deadline if until is None else min(deadline, until)
        if not select.select([fd], [], [], max(0.0, ends - now))[0]:
            if until is not None and time.monotonic() >= until:
                raise _OverError
            raise _StallError("it has stalled" if opened else "it does not answer")
        count = os.readv(fd, [view[got:]])
        if count == 0:
            raise _BrokenError("its reader has died")
        got += count
    return data
