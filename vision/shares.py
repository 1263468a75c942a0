# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who looks next: several cameras on one inference engine, each with its share of the engine's time. Pure, no clock.

Start-time fair queueing (Goyal, Vin and Cheng 1996). Every camera has a virtual time that grows by what its looks cost
divided by its weight; the waiting camera with the least begins next. Hence, for cameras that always have a frame waiting,
the time given to any two, each divided by its weight, differs by no more than one look of either; and a camera that asks
rarely waits for at most one look of every other camera of the same weight, however many frames the others send. Time
that a camera does not use is the others', and is not saved up: a camera that was away comes back at the present.

An engine that takes n frames at once gives n turns at once. A look is paid for when it ends, so "one look" is then "n".
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

_LEAST_COST_S = 1e-4  # a look that cost nothing that a clock could measure was a turn all the same


@dataclass(slots=True)
class _Share:
    weight: float
    finish: float = 0.0  # virtual time at which what it has had is paid for
    since: float | None = None  # virtual time at which it asked; None: it waits for no look
    number: int = 0  # order of asking, between equals


class FairShares:
    """The book of shares: `ask` for each camera with a frame, `next`, then `charge` what it cost."""

    def __init__(self, at_once: int = 1) -> None:
        """at_once: looks that may go on together."""
        if at_once < 1:
            raise ValueError(f"at least one look at once, not {at_once}")
        self._at_once = at_once
        self._shares: dict[str, _Share] = {}
        self._now = 0.0  # virtual: the start of the newest look
        self._asked = 0
        self._looking: Counter[str] = Counter()

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
        if share.since is not None:
            raise ValueError(f"camera {camera_id} waits already")
        self._asked += 1
        share.since, share.number = self._now, self._asked

    def withdraw(self, camera_id: str) -> None:
        """It no longer waits."""
        self._shares[camera_id].since = None

    def next(self) -> str | None:
        """The camera that looks now; None where none waits. Raises RuntimeError while as many look as may."""
        if self._looking.total() >= self._at_once:
            raise RuntimeError(f"camera {next(self._looking.elements())} still looks")
        waiting = [(max(s.since, s.finish), s.number, name) for name, s in self._shares.items() if s.since is not None]
        if not waiting:
            return None
        start, _, name = min(waiting)
        self._now = start
        self._shares[name].since = None
        self._shares[name].finish = start
        self._looking[name] += 1
        return name

    def charge(self, camera_id: str, cost_s: float) -> None:
        """What the look cost, in seconds of the engine."""
        if not self._looking[camera_id]:
            raise RuntimeError(f"camera {camera_id} does not look")
        share = self._shares[camera_id]
        share.finish += max(cost_s, _LEAST_COST_S) / share.weight
        self._looking[camera_id] -= 1


class Turns:
    """The same for coroutines of one loop: `async with turns.of(camera_id): ...` is that camera's turn.

    A camera may wait for several turns; they come in the order in which it asked.
    """

    def __init__(self, clock: Callable[[], float], at_once: int = 1) -> None:
        """clock: seconds, for what a turn costs. at_once: turns that may be taken together."""
        self.shares = FairShares(at_once)
        self._clock = clock
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._free = at_once

    @asynccontextmanager
    async def of(self, camera_id: str) -> AsyncIterator[None]:
        """Wait for this camera's turn; it is over at the end of the block."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(camera_id, deque())
        if not waiting:
            self.shares.ask(camera_id)
        waiting.append(turn)
        self._go_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came and was given up in the same step
                self._over(camera_id, 0.0)
            elif turn in waiting:
                waiting.remove(turn)
                if not waiting:
                    self.shares.withdraw(camera_id)
            raise
        began = self._clock()
        try:
            yield
        finally:
            self._over(camera_id, self._clock() - began)

    def _over(self, camera_id: str, cost_s: float) -> None:
        self.shares.charge(camera_id, cost_s)
        self._free += 1
        self._go_on()

    def _go_on(self) -> None:
        while self._free and (chosen := self.shares.next()) is not None:
            waiting = self._waiting[chosen]
            turn = waiting.popleft()
            if turn.cancelled():  # and its coroutine has not gone on yet
                self.shares.charge(chosen, 0.0)
            else:
                self._free -= 1
                turn.set_result(None)
            if waiting:
                self.shares.ask(chosen)
