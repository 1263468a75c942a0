# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keeps the service's children running: restart with jittered backoff inside a budget, then degraded, visibly.

    running --fails--> waiting (backoff) --> running
       |                                        |
       +-- budget spent --> degraded (stays down; raised to the caller when `essential`)

A failure is logged once, and the recovery once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dronectl.clock import Clock, SystemClock
from dronectl.errors import words_of

log = logging.getLogger(__name__)

STORE_PART: Final = "store"  # the name under which the reports speak of the database


class ChildState(StrEnum):
    """How a supervised part is doing."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    DEGRADED = "degraded"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RestartBudget:
    """At most `restarts` within `window_s`; waits of first_s doubling to cap_s, each with +-50 % jitter."""

    restarts: int = 5
    window_s: float = 60.0
    first_s: float = 0.2
    cap_s: float = 5.0


@dataclass(frozen=True, slots=True)
class ChildReport:
    """What others may show of a child."""

    name: str
    state: ChildState
    restarts: int
    reason: str | None


class BudgetSpentError(Exception):
    """An essential child failed too often."""


async def keep_running(
    name: str,
    run: Callable[[Callable[[], None]], Awaitable[None]],
    *,
    budget: RestartBudget | None = None,
    on_report: Callable[[ChildReport], None] = lambda _report: None,
    essential: bool = False,
    clock: Clock | None = None,
) -> None:
    """Await `run(ready)` again and again; it calls ready() when it works, and returns or raises when it has failed.

    Ends only by cancellation, or by BudgetSpentError when the budget is spent and the child is essential; a child
    that is not essential stays degraded until cancellation.
    """
    budget = budget or RestartBudget()
    clock = clock or SystemClock()
    failures: deque[float] = deque()
    total = 0
    rng = random.Random()  # jitter only: two sites must not retry in step

    def report(state: ChildState, reason: str | None = None) -> None:
        on_report(ChildReport(name, state, total, reason))

    def ready() -> None:
        if total:
            log.info("%s runs again after %d restart(s)", name, total)
        report(ChildState.RUNNING)

    try:
        while True:
            report(ChildState.STARTING)
            reason = "it ended by itself"
            try:
                await run(ready)
            except Exception as error:  # noqa: BLE001  # whatever a child dies of, it is restarted within its budget
                reason = words_of(error)
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError(reason)  # it failed while it was ended: it is not to come back
            now = clock.monotonic_s()
            failures.append(now)
            while failures and now - failures[0] > budget.window_s:
                failures.popleft()
            if len(failures) > budget.restarts:
                log.error(
                    "%s failed %d times in %.0f s and stays down: %s", name, len(failures), budget.window_s, reason
                )
                report(ChildState.DEGRADED, reason)
                if essential:
                    raise BudgetSpentError(f"{name} failed {len(failures)} times: {reason}")
                await asyncio.Event().wait()
            total += 1
            log.warning("%s failed and is started again: %s", name, reason)
            report(ChildState.WAITING, reason)
            wait_s = min(budget.cap_s, budget.first_s * 2 ** (len(failures) - 1))
            await asyncio.sleep(wait_s * rng.uniform(0.5, 1.5))
    finally:
        report(ChildState.STOPPED)
