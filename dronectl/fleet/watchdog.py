# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ends a process whose event loop hangs, from a thread that does not need the interpreter.

A link worker's native threads go on sending heartbeats while Python hangs, and hide from the autopilot that nobody
is there any more. The stack of every thread goes to stderr first, so that the cause can be found.
"""

from __future__ import annotations

import asyncio
import faulthandler
from typing import Final, NoReturn

_FEEDS_PER_LIMIT: Final = 8


def arm(limit_s: float) -> None:
    """End the process unless armed again, or disarmed, within limit_s; it exits with code 1, running no handlers."""
    faulthandler.dump_traceback_later(limit_s, exit=True)


def disarm() -> None:
    """Call it off."""
    faulthandler.cancel_dump_traceback_later()


async def watch(limit_s: float) -> NoReturn:
    """Keep arming as long as the loop runs; a task of its own."""
    while True:
        arm(limit_s)
        await asyncio.sleep(limit_s / _FEEDS_PER_LIMIT)
