# SPDX-License-Identifier: AGPL-3.0-or-later
"""Logs orders before they are sent, unless that would keep a vehicle from being stopped or brought home.

Orders come from `fleet.py`, rows go to the command log. Hold, return, land and abort wait for their row a moment only:
a full disk, or one that does not answer, must not keep them back. What is late keeps its own times and is written when
the store takes it again; what cannot be written before the end is said in the service's log, one line each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from dronectl.errors import words_of
from dronectl.fleet.commands import Command, CommandKind, CommandLog, CommandResult
from dronectl.store import StoreError

log = logging.getLogger(__name__)

_SAFE: Final = frozenset({CommandKind.HOLD, CommandKind.RETURN, CommandKind.LAND, CommandKind.ABORT})
_LOG_WAIT_S: Final = 0.5  # a row takes some milliseconds
_CLOSE_WAIT_S: Final = 3.0  # the order is out; whoever gave it waits for the answer
_LAST_WAIT_S: Final = 2.0
_RETRY_S: Final = 1.0
_MOST_LATE: Final = 500


class Entry:
    """Rows on their way into the log. trouble: why they are not there yet; empty when nothing is known against them."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.trouble = ""
        self.task: asyncio.Task[bool] | None = None  # whether they are there; None: they were before anything was sent
        self.tried = asyncio.Event()

    @property
    def kept(self) -> bool:
        """Whether they are in the log."""
        return self.task is None or (self.task.done() and self.task.result())


class OrderLog:
    """The orders of one fleet. `finish` gives what is late a last chance."""

    def __init__(self, commands: CommandLog) -> None:
        self._log = commands
        self._late: dict[asyncio.Task[bool], Entry] = {}

    async def issue(self, commands: Sequence[Command], payload: dict[str, Any] | None = None) -> Entry:
        """Write them; give the answer to `close`. Raises StoreError: then nothing must be sent."""
        rows = self._log.entries(commands, payload)
        entry = Entry(_named(commands))
        if any(command.kind not in _SAFE for command in commands):
            await self._log.write(rows)
            return entry
        self._start(entry, lambda: self._log.write(rows))
        if not await _within(_LOG_WAIT_S, entry.tried):
            entry.trouble = "the store does not answer"
            log.error("%s: sent before it is logged: %s", entry.what, entry.trouble)
        return entry

    async def close(self, issued: Entry, results: Sequence[tuple[Command, CommandResult]]) -> str:
        """Append what came of them, now or when the store takes it. Returns what is not logged yet, and why, in words."""
        rows = self._log.outcome(results)
        entry = Entry(f"what came of {issued.what}")
        self._start(entry, lambda: self._log.append(rows), after=issued)
        if issued.kept:
            await _within(_CLOSE_WAIT_S, entry.tried)
            return "" if entry.kept else f"the result is not logged yet: {entry.trouble or 'the store does not answer'}"
        return f"not logged yet: {issued.trouble}"

    async def finish(self) -> None:
        """Before the store is closed."""
        if self._late:
            await asyncio.wait(self._late, timeout=_LAST_WAIT_S)
        for task, entry in tuple(self._late.items()):
            task.cancel()
            log.error("%s: lost to the log: %s", entry.what, entry.trouble or "the store does not answer")

    def _start(self, entry: Entry, write: Callable[[], Awaitable[None]], after: Entry | None = None) -> None:
        again = len(self._late) < _MOST_LATE
        entry.task = asyncio.create_task(_write(entry, write, after, again=again), name="command log")
        self._late[entry.task] = entry
        entry.task.add_done_callback(lambda task: self._late.pop(task, None))


async def _write(entry: Entry, write: Callable[[], Awaitable[None]], after: Entry | None, *, again: bool) -> bool:
    """Try until the store takes it; never raises: the order has been carried out. Returns whether it is in the log."""
    try:
        if after is not None and after.task is not None and not await asyncio.shield(after.task):
            return False  # that is said already, and without it there is nothing to append to
        while True:
            try:
                await write()
            except StoreError as error:
                said, more = str(error), again
            except Exception as error:  # noqa: BLE001  # as above
                said, more = words_of(error), False
            else:
                if entry.trouble:
                    log.warning("%s: logged now", entry.what)
                entry.trouble = ""
                return True
            if said != entry.trouble:
                log.error("%s: %s: %s", entry.what, "not logged yet" if more else "not logged", said)
            entry.trouble = said
            entry.tried.set()
            if not more:
                return False
            await asyncio.sleep(_RETRY_S)
    finally:
        entry.tried.set()


async def _within(timeout_s: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _named(commands: Sequence[Command]) -> str:
    kinds = dict.fromkeys(str(command.kind) for command in commands)
    return f"{'/'.join(kinds)} of {', '.join(command.vehicle_id for command in commands)}"
