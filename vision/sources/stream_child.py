# SPDX-License-Identifier: AGPL-3.0-or-later
"""The process that opens and reads one live stream: `python -m vision.sources.stream_child`, started by `streams`.

A decoder may hang for ever or take its process down; here it takes nobody with it. On standard input come one line of
JSON (what to open), then a byte for each frame that is wanted; frames go to standard output. Two frames wait, the oldest
is dropped and counted. It ends when its input closes, so that none is left behind by a parent that was killed.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from collections import deque
from typing import Any, Final

HEADER: Final = struct.Struct("<4sIIIQQdQ")  # kind, width, height, channels, sequence, dropped, monotonic s, bytes
FRAME, END = b"DCSF", b"DCSE"
DEPTH: Final = 2
_CHANNELS: Final = 3


class Shelf:
    """Two frames between the thread that reads and the one that sends."""

    def __init__(self) -> None:
        self._frames: deque[tuple[Any, int, float]] = deque()
        self._news = threading.Condition()
        self._wanted = 0
        self._ended: str | None = None
        self._received = 0
        self._dropped = 0

    def put(self, picture: Any, monotonic_s: float) -> None:
        with self._news:
            if len(self._frames) >= DEPTH:
                self._frames.popleft()
                self._dropped += 1
            self._frames.append((picture, self._received, monotonic_s))
            self._received += 1
            self._news.notify_all()

    def want(self) -> None:
        with self._news:
            self._wanted += 1
            self._news.notify_all()

    def end(self, why: str) -> None:
        with self._news:
            self._ended = why
            self._news.notify_all()

    def take(self) -> tuple[Any, int, float, int] | str:
        """The next frame, once it is wanted and there; why there will be none, after the last."""
        with self._news:
            self._news.wait_for(lambda: (self._wanted > 0 and self._frames) or (self._ended and not self._frames))
            if not self._frames:
                return self._ended or ""
            self._wanted -= 1
            return *self._frames.popleft(), self._dropped


def read(request: dict[str, Any], shelf: Shelf) -> None:
    """Open and read until the end."""
    options = ["fflags;nobuffer", "analyzeduration;2000000"]
    if str(request["address"]).startswith("rtsp"):
        options.append("rtsp_transport;tcp")  # lost datagrams would be smeared pictures
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "|".join(options))
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import cv2

    cv2.setNumThreads(1)
    if request["device"] is not None:
        capture = cv2.VideoCapture(int(request["device"]))
    else:
        limit_ms = int(1000 * float(request["open_s"]))
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
        capture = cv2.VideoCapture(str(request["address"]), cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        shelf.end("it cannot be opened")
        return
    frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    finite = 0 < frames < 1e9  # a recording behind an address, which ends rightly
    count = 0
    while True:
        ok, picture = capture.read()
        if not ok or picture is None:
            break
        count += 1
        shelf.put(picture, time.monotonic())
    shelf.end("finished" if finite and count >= 0.9 * frames else "it ended")


def _send(shelf: Shelf) -> None:
    out = sys.stdout.buffer
    while True:
        taken = shelf.take()
        if isinstance(taken, str):
            text = taken.encode()
            out.write(HEADER.pack(END, 0, 0, 0, 0, 0, time.monotonic(), len(text)) + text)
            out.flush()
            os._exit(0)
        picture, sequence, monotonic_s, dropped = taken
        height, width = picture.shape[:2]
        channels = picture.shape[2] if picture.ndim == _CHANNELS else 1
        out.write(HEADER.pack(FRAME, width, height, channels, sequence, dropped, monotonic_s, picture.nbytes))
        out.write(memoryview(picture).cast("B"))
        out.flush()


def main() -> None:
    """Read as asked until the input closes."""
    requests = sys.stdin.buffer
    request = json.loads(requests.readline())
    shelf = Shelf()
    # a reader that hangs in native code, or a pipe that nobody empties, must not keep this process alive
    threading.Thread(target=read, args=(request, shelf), daemon=True).start()
    threading.Thread(target=_send, args=(shelf,), daemon=True).start()
    while requests.read(1):
        shelf.want()
    os._exit(0)


if __name__ == "__main__":
    main()
