# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who looks next: several cameras on one inference engine, each with its share of the engine's time. Pure, no clock.

Start-time fair queueing (Goyal, Vin and Cheng 1996). Every camera has a virtual time that grows by what its looks cost
divided by its weight; the waiting camera with the least begins next. Hence, for cameras that always have a frame waiting,
the time given to any two, each divided by its weight, differs by no more than one look of either; and a camera that asks
rarely waits for at most one look of every other camera of the same weight, however many frames the others send. Time
that a camera does not use is the others', and is not saved up: a camera that was away comes back at the present.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

_LEAST_COST_S = 1e-4  # a look that cost nothing that a clock could measure was a turn all the same


@dataclass(slots=True)
class _Share:
    weight: float
    finish: float = 0.0  # virtual time at which what it has had is paid for
    start: float | None = None  # of the look that it waits for; None: it waits for none
    number: int = 0  # order of asking, between equals


class FairShares:
    """The book of shares. One look at a time: `ask` for each camera with a frame, `next`, then `charge` what it cost."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        self._now = 0.0  # virtual: the start of the newest look
        self._asked = 0
        self._looking: str | None = None

    def add(self, camera_id: str, weight: float = 1.0) -> None:
        """A camera and its weight: twice the weight, twice the time where all want more than there is."""
        if camera_id in self._shares:
            raise ValueError(f"camera {camera_id} is there already")
        if not weight > 0:
            raise ValueError(f"camera {camera_id}: a weight is above 0, not {weight}")
        self._shares[camera_id] = _Share(weight)

    def ask(self, camera_id: str) -> None:
        """Say that a camera has a frame. Raises ValueError when it waits already."""
        share = self._shares[camera_id]
        if share.start is not None:
            raise ValueError(f"camera {camera_id} waits already")
        self._asked += 1
        share.start, share.number = max(self._now, share.finish), self._asked

    def withdraw(self, camera_id: str) -> None:
        """It no longer waits."""
        self._shares[camera_id].start = None

    def next(self) -> str | None:
        """The camera that looks now; None where none waits. Raises RuntimeError while one looks."""
        if self._looking is not None:
            raise RuntimeError(f"camera {self._looking} still looks")
        waiting = [(s.start, s.number, name) for name, s in self._shares.items() if s.start is not None]
        if not waiting:
            return None
        start, _, name = min(waiting)
        self._now = start
        self._shares[name].start = None
        self._shares[name].finish = start
        self._looking = name
        return name

    def charge(self, camera_id: str, cost_s: float) -> None:
        """What the look cost, in seconds of the engine."""
        if camera_id != self._looking:
            raise RuntimeError(f"camera {camera_id} does not look")
        share = self._shares[camera_id]
        share.finish += max(cost_s, _LEAST_COST_S) / share.weight
        self._looking = None


class Turns:
    """The same for coroutines of one loop: `async with turns.of(camera_id): ...` is that camera's turn."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds, for what a turn costs."""
        self.shares = FairShares()
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._busy = False

    @asynccontextmanager
    async def of(self, camera_id: str) -> AsyncIterator[None]:
        """Wait for this camera's turn; it is over at the end of the block."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.shares.ask(camera_id)
        self._waiting[camera_id] = turn
        self._go_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came and was given up in the same step
                self._over(camera_id, 0.0)
            else:
                self._waiting.pop(camera_id, None)
                self.shares.withdraw(camera_id)
            raise
        began = self._clock()
        try:
            yield
        finally:
            self._over(camera_id, self._clock() - began)

    def _over(self, camera_id: str, cost_s: float) -> None:
        self.shares.charge(camera_id, cost_s)
        self._busy = False
        self._go_on()

    def _go_on(self) -> None:
        if self._busy:
            return
        chosen = self.shares.next()
        if chosen is not None:
            self._busy = True
            self._waiting.pop(chosen).set_result(None)
