# SPDX-License-Identifier: AGPL-3.0-or-later
"""The HTTP door of a service: the socket that it listens on, and the server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from dronectl.api.app import create_app
from dronectl.api.connections import http_connections, websocket_connections
from dronectl.errors import BadInputError
from dronectl.operations.desk import Desk
from dronectl.operations.http_counts import HttpCounts
from dronectl.site import Site


@contextmanager
def listening(site: Site) -> Iterator[socket.socket]:
    """The socket of the site file's address. Raises BadInputError where it cannot be had."""
    http = site.model.http
    host = "127.0.0.1" if http.host == "localhost" else http.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((host, http.port))
            door.listen(128)
        except OSError as error:
            raise BadInputError(
                f"{site.file}: http.port: {host}:{http.port} cannot be used ({error.strerror}); end the other program or set another port"
            ) from error
        yield door


def url_of(site: Site) -> str:
    """Where the door is found."""
    http = site.model.http
    host = f"[{http.host}]" if ":" in http.host else http.host
    return f"http://{host}:{http.port}"


async def serve(
    desk: Desk, token: str, counts: HttpCounts, door: socket.socket, on_serving: Callable[[], None]
) -> None:
    """Until cancelled; on_serving is called once when it answers."""
    config = uvicorn.Config(
        create_app(desk, token, counts),
        log_level="warning",
        access_log=False,
        lifespan="off",
        http=http_connections(counts),
        ws=websocket_connections(counts),
        ws_per_message_deflate=False,  # loopback: packing costs more than it saves
        timeout_graceful_shutdown=2,
        h11_max_incomplete_event_size=64 * 1024,
        limit_concurrency=200,
        ws_max_size=64 * 1024,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[door]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        on_serving()
        await asyncio.shield(task)
    finally:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await task


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the service has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
