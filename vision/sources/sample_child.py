# SPDX-License-Identifier: AGPL-3.0-or-later
"""The process that fetches one picture of a camera at a time: `python -m vision.sources.sample_child`.

Started by `sampling`; a decoder that takes its process down takes no more than the visits that were going on. Each line of
JSON on standard input is a visit (id, address, open_s); each is answered on standard output by a frame or by why there is
none. Still pictures and motion JPEG over HTTP are read as they are, one picture and no more; everything else is opened by
the decoder, which begins at a picture that stands alone and is left after it.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import quote, urlsplit

from vision.sources.stream_child import END, FRAME, HEADER

_MOST_JPEG_BYTES: Final = 32 << 20
_START, _FINISH = b"\xff\xd8", b"\xff\xd9"
_SCAN: Final = 0xDA  # the marker after which the picture itself comes
_BLOCK: Final = 1 << 16
_IN_REQUESTS: Final = "%/?:@!$&'()*+,;=-._~[]"


class VisitError(Exception):
    """A visit without a picture; the text says why, without the address."""


def fetch(address: str, open_s: float) -> tuple[Any, float]:
    """One picture (h, w, 3) BGR or (h, w), and when it was had. Raises VisitError."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and parts.username is None:
        data = _jpeg(address, open_s)
        if data is not None:
            return _decoded(data), time.monotonic()
    return _opened(address, open_s), time.monotonic()


def _jpeg(address: str, open_s: float) -> bytes | None:
    """The first JPEG of an HTTP answer; None where the answer is of another kind."""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    deadline = time.monotonic() + open_s
    connection = kind(parts.hostname or "", parts.port, timeout=open_s)
    try:
        # what may not stand in a request is escaped: else the error, which is shown, would quote the address
        wanted = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request("GET", quote(wanted, safe=_IN_REQUESTS))
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise VisitError(f"it answers {answer.status} {answer.reason}")
        content = answer.headers.get_content_type()
        if content not in ("image/jpeg", "multipart/x-mixed-replace"):
            return None
        data = b""
        while len(data) < _MOST_JPEG_BYTES:
            if time.monotonic() > deadline:
                raise VisitError("it does not send a whole picture in time")
            block = answer.read1(_BLOCK)
            data += block
            picture = first_jpeg(data)
            if picture is not None:
                return picture
            if not block:
                break
    except (OSError, http.client.HTTPException) as error:
        raise VisitError(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    raise VisitError("it sends no whole picture")


def first_jpeg(data: bytes) -> bytes | None:
    """The first picture that is whole in these bytes. Its headers may hold another, small one, with an end of its own."""
    start = data.find(_START)
    while start >= 0:
        at = start + 2
        while data[at : at + 1] == b"\xff" and len(data) >= at + 4:
            if data[at + 1] == 0xFF:
                at += 1
                continue
            if data[at + 1] == _SCAN:
                end = data.find(_FINISH, at)
                return data[start : end + 2] if end >= 0 else None
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if len(data) < at + 4:
            return None  # its headers go on
        start = data.find(_START, start + 2)  # that was none
    return None


def _decoded(data: bytes) -> Any:
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise VisitError("its picture cannot be decoded")
    return picture


def _opened(address: str, open_s: float) -> Any:
    import cv2

    limit_ms = int(1000 * open_s)
    options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [*options, cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise VisitError("it cannot be opened")
        ok, picture = capture.read()
        if not ok or picture is None:
            raise VisitError("it sends no picture")
        return picture
    finally:
        capture.release()


class _Answers:
    """Standard output, one message at a time."""

    def __init__(self) -> None:
        self._out = sys.stdout.buffer
        self._lock = threading.Lock()

    def visit(self, request: dict[str, Any]) -> None:
        number = int(request["id"])
        try:
            picture, at_s = fetch(str(request["address"]), float(request["open_s"]))
        except VisitError as error:
            self._say(number, str(error))
        except Exception as error:  # noqa: BLE001  # a decoder's error is this visit's, not the process's
            self._say(number, f"{type(error).__name__}: {error}".removesuffix(": "))
        else:
            height, width = picture.shape[:2]
            channels = picture.shape[2] if picture.ndim == 3 else 1
            head = HEADER.pack(FRAME, width, height, channels, number, 0, at_s, picture.nbytes)
            with self._lock:
                self._out.write(head)
                self._out.write(memoryview(picture).cast("B"))
                self._out.flush()

    def _say(self, number: int, why: str) -> None:
        text = why.encode()[:1000]
        with self._lock:
            self._out.write(HEADER.pack(END, 0, 0, 0, number, 0, time.monotonic(), len(text)) + text)
            self._out.flush()


def main() -> None:
    """Visit as asked until the input closes."""
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|analyzeduration;500000|probesize;500000")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import cv2

    cv2.setNumThreads(1)
    answers = _Answers()
    lanes = int(sys.argv[1])
    # visits that hang in native code must not keep this process alive: it ends with its input
    with ThreadPoolExecutor(lanes) as visits:
        for line in sys.stdin.buffer:
            visits.submit(answers.visit, json.loads(line))
        os._exit(0)


if __name__ == "__main__":
    main()
