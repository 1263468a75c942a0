# SPDX-License-Identifier: AGPL-3.0-or-later
"""Logs orders before they are sent, unless that would keep a vehicle from being stopped or brought home.

Orders come from `fleet.py`, rows go to the command log. Hold, return, land and abort wait for their row a moment only:
a full disk, or one that does not answer, must not keep them back. What is late is written when the store answers again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from dronectl.fleet.commands import Command, CommandKind, CommandLog, CommandResult

log = logging.getLogger(__name__)

_SAFE: Final = frozenset({CommandKind.HOLD, CommandKind.RETURN, CommandKind.LAND, CommandKind.ABORT})
_LOG_WAIT_S: Final = 0.5  # a row takes some milliseconds
_CLOSE_WAIT_S: Final = 3.0  # the order is out; whoever gave it waits for the answer
_LAST_WAIT_S: Final = 2.0

Issuing = asyncio.Future[list[Command]]


class OrderLog:
    """The orders of one fleet. `finish` gives what is late a last chance."""

    def __init__(self, commands: CommandLog) -> None:
        self._log = commands
        self._late: set[asyncio.Task[None]] = set()

    async def issue(self, commands: Sequence[Command], payload: dict[str, Any] | None = None) -> Issuing:
        """Write them; give the answer to `close`. Raises StoreError: then nothing must be sent."""
        issuing = asyncio.ensure_future(self._log.issue(commands, payload))
        if any(command.kind not in _SAFE for command in commands):
            await issuing
            return issuing
        await asyncio.wait([issuing], timeout=_LOG_WAIT_S)
        if not issuing.done():
            log.error("a command is sent before it is logged: the store does not answer")
        elif (error := issuing.exception()) is not None:
            log.error("a command is sent without being logged: %s", error)
        return issuing

    async def close(self, issuing: Issuing, results: Sequence[tuple[Command, CommandResult]]) -> None:
        """Append what came of them, now or when the store answers; nothing for what could not be logged."""
        closing = asyncio.create_task(self._close(issuing, results), name="command log")
        self._late.add(closing)
        closing.add_done_callback(self._late.discard)
        await asyncio.wait([closing], timeout=_CLOSE_WAIT_S)

    async def _close(self, issuing: Issuing, results: Sequence[tuple[Command, CommandResult]]) -> None:
        in_time = issuing.done()
        try:
            await issuing
            await self._log.close(results)
        except Exception as error:  # noqa: BLE001  # whatever it is, the order has been carried out
            if not in_time or issuing.exception() is None:  # else it is said already
                log.error("what came of %d command(s) is not logged: %s", len(results), error)  # noqa: TRY400  # one line

    async def finish(self) -> None:
        """Before the store is closed."""
        if self._late:
            await asyncio.wait(self._late, timeout=_LAST_WAIT_S)
