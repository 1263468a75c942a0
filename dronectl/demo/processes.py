# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demonstration's children: simulator, service, dispatcher. Each logs to a file and ends with this program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dronectl.errors import UnavailableError

_GRACE_S = 15.0
_LOG_TAIL_LINES = 6


class Child:
    """One child process and its log."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def check(self) -> None:
        """Raise UnavailableError with the end of its log if it has ended."""
        if self.process.returncode is not None:
            raise UnavailableError(
                f"{self.name} ended with code {self.process.returncode}; {self.log} ends:\n{self.tail()}"
            )

    async def order(self, line: dict[str, Any]) -> None:
        """One JSON line on its standard input. Raises UnavailableError when it takes none any more."""
        stdin = self.process.stdin
        if stdin is None or stdin.is_closing():
            raise UnavailableError(f"{self.name} takes no orders")
        try:
            stdin.write(json.dumps(line).encode() + b"\n")
            await stdin.drain()
        except ConnectionError as error:
            raise UnavailableError(f"{self.name} takes no orders any more; {self.log} ends:\n{self.tail()}") from error

    def tail(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])


@asynccontextmanager
async def child(
    name: str, arguments: Sequence[str], log: Path, on_line: Callable[[str], None] | None = None
) -> AsyncIterator[Child]:
    """Run `python -m ARGUMENTS`; on leaving, ask it to end (closed stdin, SIGTERM), then insist.

    Its standard input is a pipe that closes when this program dies, however it dies; children that take
    --exit-with-parent watch that. Standard output goes to the log, or line by line to on_line.
    """
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if on_line else file,
            stderr=file if on_line else asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            limit=1 << 20,
        )
        reader = asyncio.create_task(_read_lines(process, on_line)) if on_line else None
        try:
            yield Child(name, process, log)
        finally:
            await _end(process)
            if reader is not None:
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reader


async def _read_lines(process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> None:
    if process.stdout is None:
        return
    async for line in process.stdout:
        on_line(line.decode("utf-8", errors="replace").rstrip("\n"))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    for how, grace_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _GRACE_S)):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await process.wait()


async def wait_for(what: str, condition: Callable[[], bool], children: Sequence[Child], timeout_s: float) -> None:
    """Poll a condition; a child's end or the time-out is UnavailableError."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # files and other processes raise no event here
                for each in children:
                    each.check()
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise UnavailableError(f"{what} was not ready within {timeout_s:.0f} s") from None
