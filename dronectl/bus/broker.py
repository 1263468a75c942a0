# SPDX-License-Identifier: AGPL-3.0-or-later
"""A broker of our own as a child process: mosquitto when it is on the PATH, else amqtt in a Python of its own.

Listens on loopback alone, lets in nobody but the users in `broker.json`, and ends with its parent. `run` is made for
`dronectl.supervise.keep_running`: it says ready when the broker accepts us, and returns when the broker has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dronectl.bus.broker_files import User, may, read_or_make_users, write_access, write_mosquitto, write_private
from dronectl.bus.settings import BrokerAccess, check_broker
from dronectl.errors import BadInputError, UnavailableError
from dronectl.ipc import end_process
from dronectl.ports import free_ports

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
ACCESS_FILE: Final = "broker.json"
AMQTT_WARNING: Final = (
    "mosquitto is not installed, so amqtt serves MQTT: no MQTT 5, some 400 messages a second instead of thousands, "
    "nothing kept over a restart of the broker, the same client id may connect twice, and retained messages go to "
    "any user that connects. Alerts are safe all the same: the outbox keeps them until they are acknowledged. "
    "Install mosquitto to be rid of this."
)
_START_TIMEOUT_S: Final = 30.0
_GRACE_S: Final = 5.0
_FAREWELL_S: Final = 0.3
_LOG_LIMIT_BYTES: Final = 1024 * 1024
Kind = Literal["mosquitto", "amqtt"]


@dataclass(frozen=True, slots=True)
class Broker:
    """Where our broker is, and who its users are. `warning` says what this kind of broker lacks."""

    kind: Kind
    service: BrokerAccess
    dispatch: BrokerAccess
    access_file: Path
    warning: str | None


class BrokerEndedError(Exception):
    """The broker's process ended, or does not let us in."""


class BrokerChild:
    """Our broker's files and process. `port=0` takes the port of the run before, or a free one."""

    def __init__(self, folder: Path, site_id: str, *, port: int = 0, kind: Kind | None = None) -> None:
        self._folder = folder.absolute()
        self._site_id = site_id
        self._port = port
        self._kind: Kind = kind or ("mosquitto" if find_mosquitto() else "amqtt")
        self._users: dict[str, User] = {}
        self._command: list[str] = []
        self._files: tuple[Path, ...] = ()
        self._broker: Broker | None = None
        self.pid: int | None = None

    def prepare(self) -> Broker:
        """Choose the port and write the files. Raises BadInputError for a port in use.

        Blocks for milliseconds; for up to some seconds when the broker of an earlier run is just ending.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise BadInputError(f"{self._folder}: the run directory cannot be made ({error.strerror})") from None
        access_file = self._folder / ACCESS_FILE
        self._users, earlier_port = read_or_make_users(access_file)
        port = self._port or _free_port(earlier_port)
        grace_s = _GRACE_S if port == earlier_port else 0.0  # the broker of a service that was killed is just ending
        if not _becomes_free(port, grace_s):
            raise BadInputError(
                f"port {port} on {HOST} is in use (another broker?): stop that program or set another broker.port"
            )
        if self._kind == "mosquitto":
            binary = find_mosquitto()
            if binary is None:
                raise BadInputError("mosquitto is not on the PATH")
            starting = [binary, "-c"]
        else:
            starting = [sys.executable, "-m", "dronectl.bus.amqtt_child"]
        self._command = [*starting, str(self._write(port))]
        warning = AMQTT_WARNING if self._kind == "amqtt" else None
        if warning:
            log.warning("%s", warning)
        service, dispatch = (
            BrokerAccess(HOST, port, self._users[role].username, self._users[role].password)
            for role in ("service", "dispatch")
        )
        self._broker = Broker(self._kind, service, dispatch, access_file, warning)
        return self._broker

    def write_again(self) -> bool:
        """Write files that are gone as `prepare` wrote them, with its users and port; whether any was. Raises OSError.

        A broker that runs does not need them; who looks for it does, and so does the broker when it is started again.
        """
        if self._broker is None or all(path.exists() for path in self._files):
            return False
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write(self._broker.service.port)
        return True

    async def run(self, ready: Callable[[], None]) -> None:
        """Start the broker, say ready when it accepts us, and raise BrokerEndedError when it ends."""
        broker = self._broker or self.prepare()
        said = self._folder / "broker.log"
        with _open_log(said) as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dronectl.bus.exec_with_parent",
                str(os.getpid()),
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in a terminal is for the service, which ends us after its farewell
            )
        self.pid = process.pid
        try:
            await self._until_ready(process, broker, said)
            ready()
            code = await process.wait()
            raise BrokerEndedError(f"{self._kind} {_how(code)}{_last_words(said) if code > 0 else ''}")
        except asyncio.CancelledError:
            if process.returncode is None:
                await asyncio.sleep(_FAREWELL_S)  # who is connected from here is being cancelled, too, and says so
            raise
        finally:
            self.pid = None
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await end_process(process)

    async def _until_ready(self, process: asyncio.subprocess.Process, broker: Broker, said: Path) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while process.returncode is None:
                    with contextlib.suppress(UnavailableError):
                        await check_broker(broker.service, _START_TIMEOUT_S)
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise BrokerEndedError(f"{self._kind} does not let us in{_last_words(said)}") from None
        raise BrokerEndedError(f"{self._kind} {_how(process.returncode)}{_last_words(said)}")

    def _write(self, port: int) -> Path:
        """Write all files; returns the one that the broker is started with."""
        users, access_file = self._users, self._folder / ACCESS_FILE
        if self._kind == "mosquitto":
            files = write_mosquitto(self._folder, self._site_id, port, users)
        else:
            files = (self._write_amqtt(port, users),)
        write_access(access_file, HOST, port, self._kind, users)
        self._files = (*files, access_file)
        return files[0]

    def _write_amqtt(self, port: int, users: dict[str, User]) -> Path:
        rights = may(self._site_id)
        document = {
            "host": HOST,
            "port": port,
            "passwords": {user.username: user.password for user in users.values()},
            "read": {users[role].username: reads for role, (reads, _) in rights.items()},
            "write": {users[role].username: writes for role, (_, writes) in rights.items()},
        }
        path = self._folder / "amqtt.json"
        write_private(path, json.dumps(document))
        return path


def find_mosquitto() -> str | None:
    """The mosquitto binary on the PATH (Debian keeps it in a folder that users' PATH may lack), or None."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def _becomes_free(port: int, grace_s: float) -> bool:
    deadline = time.monotonic() + grace_s
    while not _is_free(port):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def _free_port(wanted: int | None) -> int:
    if wanted is not None and _becomes_free(wanted, _GRACE_S):
        return wanted
    return free_ports(socket.SOCK_STREAM, 1)[0]


@contextlib.contextmanager
def _open_log(path: Path) -> Iterator[int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        flags |= os.O_TRUNC
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _how(code: int) -> str:
    return f"ended with code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"


def _last_words(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1]}" if lines else ""
