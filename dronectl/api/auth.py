# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may knock: a token, a known Host, and no foreign Origin, on loopback too.

Any page in a browser on this machine can post to localhost, and DNS rebinding can make a foreign name point here;
the token file (0600) that the command line reads is what tells them apart.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dronectl.operations.http_counts import HttpCounts

OPEN_PATHS = frozenset({"/health"})
WEBSOCKET_POLICY_VIOLATION = 1008
_INVALID = frozenset({400, 405, 422})


def read_or_make_token(path: Path) -> str:
    """Return the token in a 0600 file, made on first use."""
    try:
        token = path.read_text(encoding="ascii").strip()
        if len(token) >= 32:
            path.chmod(0o600)
            return token
    except FileNotFoundError:
        pass
    token = secrets.token_urlsafe(32)
    keep_token(path, token)
    return token


def keep_token(path: Path, token: str) -> None:
    """Write the token to a 0600 file. Raises OSError."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    temporary.replace(path)


class Doorkeeper:
    """ASGI middleware that refuses what lacks the token, names another host, or comes from another origin.

    Outermost: of what is refused no body is read. Counts what is refused, and answers that a request is invalid.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str], counts: HttpCounts) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(hosts)
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope)
        if problem is None:
            await self._app(scope, receive, self._counting(send))
            return
        self._counts.refused += 1
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": WEBSOCKET_POLICY_VIOLATION, "reason": problem[1]})
            return
        status, detail = problem
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        await JSONResponse({"detail": detail}, status, headers=headers)(scope, receive, send)

    def _counting(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in _INVALID:
                self._counts.invalid += 1
            await send(message)

        return counted

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = _host_of("//" + headers.get("host", ""))
        if host not in self._hosts:
            return 421, "this service does not answer to that host name"
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) not in self._hosts:
            return 403, "requests from other origins are refused"
        if scope["path"] in OPEN_PATHS:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), self._token):
            return 401, "a bearer token is needed; the command line reads it from the service's token file"
        return None


def _host_of(url: str) -> str:
    """Empty for what cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
