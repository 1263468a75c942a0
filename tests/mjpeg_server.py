# SPDX-License-Identifier: AGPL-3.0-or-later
"""An MJPEG camera on loopback that does what a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import cv2

from tests.vision_files import person_picture

PART = cv2.imencode(".jpg", cv2.resize(person_picture(), (320, 256)))[1].tobytes()
Script = Callable[[int, Callable[[], None], threading.Event], None]


@contextmanager
def mjpeg(script: Script, pictures: Sequence[bytes] = (PART,)) -> Iterator[str]:
    """A server that runs script(connection number, send the next picture, over) for each connection; its address."""
    over = threading.Event()
    connections = [0]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number, parts = connections[0], cycle(pictures)
            connections[0] += 1
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
            self.end_headers()

            def send() -> None:
                part = next(parts)
                head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}\r\n\r\n"
                self.wfile.write(head.encode() + part + b"\r\n")
                self.wfile.flush()

            try:
                script(number, send, over)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://user:secret@127.0.0.1:{server.server_address[1]}/cam.mjpg?token=secret"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def steady(_number: int, send: Callable[[], None], over: threading.Event) -> None:
    while not over.wait(0.04):
        send()


def leisurely(_number: int, send: Callable[[], None], over: threading.Event) -> None:
    while not over.wait(0.25):
        send()
