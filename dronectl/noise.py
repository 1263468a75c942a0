# SPDX-License-Identifier: AGPL-3.0-or-later
"""Says once when something that should not come begins to come, and once when it has stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from dronectl.clock import Clock

log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
QUIET_S: Final = 30.0  # what comes in drips shall not fill the log either


class NoiseLog:
    """One door's unwanted traffic, counted in all and told of twice."""

    def __init__(self, where: str, what: str, hint: str) -> None:
        """`where: what ..., hint` is how a person reads it."""
        self._where = where
        self._what = what
        self._hint = hint
        self._began_s: float | None = None
        self._last_s = 0.0
        self._since_began = 0
        self.total = 0

    @property
    def noisy(self) -> bool:
        """Whether it goes on."""
        return self._began_s is not None

    def add(self, count: int, now_s: float) -> None:
        """So many more have come."""
        if count <= 0:
            return
        self.total += count
        self._since_began += count
        self._last_s = now_s
        if self._began_s is None:
            self._began_s = now_s
            log.warning("%s: %s (%d to begin with); %s", self._where, self._what, count, self._hint)

    def tick(self, now_s: float) -> None:
        """Say that it has stopped when it has been quiet for QUIET_S. Call about once a second."""
        if self._began_s is not None and now_s - self._last_s >= QUIET_S:
            seconds = self._last_s - self._began_s
            log.info("%s: quiet again, after %d within %.0f s", self._where, self._since_began, seconds)
            self._began_s = None
            self._since_began = 0


async def watch_noise(doors: Mapping[NoiseLog, Callable[[], int]], clock: Clock) -> NoReturn:
    """Tell of what each door's count of unwanted things says; a task of its own."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        for noise, count in doors.items():
            noise.add(count() - noise.total, clock.monotonic_s())
            noise.tick(clock.monotonic_s())
