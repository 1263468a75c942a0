# SPDX-License-Identifier: AGPL-3.0-or-later
"""How to reach the broker, and the check that it can be reached.

Off loopback a connection needs TLS and a user: the settings refuse anything less. `access_from` reads what a person
gives: a URL, or the `broker.json` that a site's own broker leaves in its run directory.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import math
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import aiomqtt

from dronectl.bus.connection import Connection
from dronectl.errors import BadInputError, UnavailableError

quiet = logging.getLogger("dronectl.bus.paho")
quiet.setLevel(logging.CRITICAL)  # what goes wrong comes out as an exception, and is said once by us

DEFAULT_PORT: Final = 1883
DEFAULT_TLS_PORT: Final = 8883


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """A broker and who we are to it."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise BadInputError(f"broker {self.host}: {self.port} is no port")
        if not is_loopback(self.host) and not (self.tls and self.username):
            raise BadInputError(
                f"broker {self.host}:{self.port} is not on this machine: that needs TLS (mqtts://) and a user"
            )

    @property
    def name(self) -> str:
        """How a person knows it; without the password."""
        return f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"BrokerAccess({self.name}, user {self.username})"

    def tls_context(self) -> ssl.SSLContext | None:
        """The context that verifies the broker's certificate; None without TLS."""
        return ssl.create_default_context(cafile=self.ca_file) if self.tls else None


@dataclass(frozen=True, slots=True)
class BusSettings:
    """The service's connection. `session_id` names this run of the service."""

    site_id: str
    site_status: str
    access: BrokerAccess
    session_id: str
    keepalive_s: int = 15
    timeout_s: float = 10.0
    first_retry_s: float = 0.2
    cap_retry_s: float = 5.0

    @property
    def client_id(self) -> str:
        return f"dronectl-{self.site_id}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for certain, without asking a name server."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def access_from(text: str, *, role: str = "dispatch", ca_file: Path | None = None) -> BrokerAccess:
    """`mqtt[s]://[user:password@]host[:port]`, or the path of a `broker.json`. Raises BadInputError."""
    if "://" not in text:
        return access_from_file(Path(text), role)
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise BadInputError(f"{_without_password(text)}: {error}") from None
    if url.scheme not in {"mqtt", "mqtts"} or not url.hostname or url.path.strip("/"):
        raise BadInputError(f"{_without_password(text)}: a broker is given as mqtt[s]://[user:password@]host[:port]")
    try:
        port = url.port or (DEFAULT_TLS_PORT if url.scheme == "mqtts" else DEFAULT_PORT)
    except ValueError as error:
        raise BadInputError(f"{_without_password(text)}: {error}") from None
    return BrokerAccess(
        host=url.hostname,
        port=port,
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        tls=url.scheme == "mqtts",
        ca_file=ca_file,
    )


def access_from_file(path: Path, role: str) -> BrokerAccess:
    """Read who `role` is from a run directory's `broker.json`. Raises BadInputError."""
    try:
        document = json.loads(path.read_bytes())
        user = document["users"][role]
        return BrokerAccess(document["host"], int(document["port"]), user["username"], user["password"])
    except FileNotFoundError:
        raise BadInputError(f"{path}: no such file; is the site running?") from None
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: not a broker.json of dronectl ({type(error).__name__}: {error})") from None


def _without_password(text: str) -> str:
    head, at, tail = text.rpartition("@")
    scheme, _, who = head.partition("://")
    return f"{scheme}://{who.partition(':')[0]}@{tail}" if at else text


def explain(access: BrokerAccess, error: BaseException) -> str:
    """One line: which broker, and why not."""
    words = re.sub(r"^\[(Errno -?\d+|code:\d+)\]\s*", "", str(error).strip()) or type(error).__name__
    if words.startswith("Disconnected during"):
        words = "the connection was lost"
    elif isinstance(error, TimeoutError) or "timed out" in words.lower():
        words = "it does not answer"
    elif "not authorized" in words.lower() or "bad user name" in words.lower():
        words = f"it refuses user {access.username or '(none)'} ({words})"
    return words if words.startswith(f"broker {access.name}") else f"broker {access.name}: {words}"


async def check_broker(access: BrokerAccess, timeout_s: float = 5.0) -> None:
    """Connect once and leave. Raises UnavailableError that names host, port and why."""
    try:
        async with asyncio.timeout(timeout_s):
            context = await asyncio.to_thread(access.tls_context)
            async with Connection(
                access.host,
                access.port,
                username=access.username,
                password=access.password,
                tls_context=context,
                logger=quiet,
                timeout=math.ceil(timeout_s),
            ):
                return
    except TimeoutError:
        raise UnavailableError(f"broker {access.name}: it does not answer within {timeout_s:g} s") from None
    except (aiomqtt.MqttError, OSError) as error:
        raise UnavailableError(explain(access, error)) from None
