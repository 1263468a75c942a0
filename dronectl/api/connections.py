# SPDX-License-Identifier: AGPL-3.0-or-later
"""The HTTP door below HTTP: connections that bring something else are counted, and not one line of log each.

uvicorn answers what it cannot read with 400, or closes; nothing of that reaches the application.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from dronectl.operations.http_counts import HttpCounts

_LOG: Final = logging.getLogger(__name__)
_LOG.setLevel(logging.ERROR)  # warnings are about single requests that cannot be read; they are in the counts


def http_connections(counts: HttpCounts) -> type[H11Protocol]:
    """Uvicorn's HTTP protocol, counting."""

    class Connection(H11Protocol):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.logger = _LOG

        def send_400_response(self, msg: str) -> None:
            counts.unreadable += 1
            super().send_400_response(msg)

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
            super().connection_made(transport)
            if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
                counts.too_many += 1  # its requests are answered with 503 until others have gone

    return Connection


def websocket_connections(counts: HttpCounts) -> type[WebSocketsSansIOProtocol]:
    """Uvicorn's WebSocket protocol, counting."""

    class Connection(WebSocketsSansIOProtocol):
        def handle_parser_exception(self) -> None:
            counts.unreadable += 1
            if self.conn.close_sent is None:  # the handshake itself cannot be read: there is nobody to say goodbye to
                self.transport.close()
            else:
                super().handle_parser_exception()

    return Connection
