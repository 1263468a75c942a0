# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may call the native library when: one ordinary request at a time per vehicle, and a way past for the urgent.

Requests come from the worker's loop; the blocking calls run on two pools of threads. Ordinary requests can never
take a thread of the urgent pool, so hold, return and land find one free however many uploads are under way.

A native call cannot be cancelled. When its caller is, the lane stays taken until the call has ended, and what can be
told to stop (a mission transfer) is told. An urgent request ends every ordinary one that was asked for before it:
those that wait fail, a transfer is cancelled, and if a command is still on its way, which the library may send again
for two seconds, the urgent one is sent once more behind it, so that it has the last word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from dronectl.fleet.link import LinkError, LinkFailure

log = logging.getLogger(__name__)

T = TypeVar("T")
SPARE_THREADS: Final = 8
TRANSFERS_AT_ONCE: Final = 4
SET_UPS_AT_ONCE: Final = 8


class CallThreads:
    """The two pools of a process that serves up to `vehicles` vehicles. Threads start when first needed.

    Mission transfers and the setting up of a vehicle go a few at a time: all at once they starve each other, and each
    message that comes late counts as lost.
    """

    def __init__(self, vehicles: int) -> None:
        self.transfers = asyncio.Semaphore(TRANSFERS_AT_ONCE)
        self.set_ups = asyncio.Semaphore(SET_UPS_AT_ONCE)
        self.ordinary = ThreadPoolExecutor(2 * vehicles + SPARE_THREADS, "link-ordinary")
        self.urgent = ThreadPoolExecutor(vehicles + SPARE_THREADS, "link-urgent")


def _swallow(future: asyncio.Future[object]) -> None:
    """The result of a call that nobody waits for any more."""
    if not future.cancelled() and (error := future.exception()) is not None:
        log.debug("a call that was given up ended with %s", error)


class Lane:
    """The requests of one vehicle."""

    def __init__(self, vehicle_id: str, threads: CallThreads) -> None:
        self.vehicle_id = vehicle_id
        self._threads = threads
        self._turn = asyncio.Lock()
        self._epoch = 0  # raised by every urgent request
        self._commands = 0  # calls so far that may move the vehicle
        self._running: asyncio.Future[object] | None = None  # the ordinary native call under way
        self._running_commands = False  # it may move the vehicle
        self._abort: Callable[[], object] | None = None
        self._aborted = False
        self._afterwards: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """An ordinary native call is under way."""
        return self._running is not None and not self._running.done()

    @property
    def commands(self) -> int:
        """How many calls that may move the vehicle have been made; a retry looks whether one came meanwhile."""
        return self._commands

    async def ordinary(self, work: Callable[[Turn], Awaitable[T]]) -> T:
        """Run `work` when its turn comes; LinkError(CANCELLED) if an urgent request came after this one."""
        turn = Turn(self, self._epoch)
        async with self._turn:
            if self._afterwards:  # an urgent request that still insists comes before what was asked for later
                await asyncio.wait(self._afterwards)
            turn.check()
            return await work(turn)

    async def urgent(self, call: Callable[[], T], at_once: Callable[[], object] | None = None) -> T:
        """Run `call` on a thread kept free for it, past everything else.

        `at_once` is run first if an ordinary command is under way: a way of sending that does not queue behind it.
        """
        self._epoch += 1
        self._commands += 1
        epoch = self._epoch
        loop = asyncio.get_running_loop()
        in_the_way = self._running if self.busy and self._running_commands else None
        self.abort_transfer()
        if in_the_way is not None and at_once is not None:
            try:
                await loop.run_in_executor(self._threads.urgent, at_once)
            except LinkError as error:  # the proper way follows in any case
                log.warning("%s: %s", self.vehicle_id, error)
        if in_the_way is not None:
            self._have_the_last_word(in_the_way, epoch, call)
        return await loop.run_in_executor(self._threads.urgent, call)

    def abort_transfer(self) -> bool:
        """Tell the transfer under way, if any, to stop; it then ends by itself. True if there was one."""
        if self._abort is None or not self.busy:
            return False
        self._aborted = True
        future = asyncio.get_running_loop().run_in_executor(self._threads.urgent, self._abort)
        future.add_done_callback(_swallow)
        return True

    def _have_the_last_word(self, first: asyncio.Future[object], epoch: int, call: Callable[[], object]) -> None:
        async def again() -> None:
            await asyncio.wait([first])
            if epoch != self._epoch:
                return
            with contextlib.suppress(Exception):  # its first sending has been answered for; this one only insists
                await asyncio.get_running_loop().run_in_executor(self._threads.urgent, call)

        task = asyncio.create_task(again(), name=f"last word {self.vehicle_id}")
        self._afterwards.add(task)
        task.add_done_callback(self._afterwards.discard)


class Turn:
    """An ordinary request's time in its lane."""

    def __init__(self, lane: Lane, epoch: int) -> None:
        self._lane = lane
        self._epoch = epoch

    @property
    def aborted(self) -> bool:
        """The last call of this turn was told to stop, by us."""
        return self._lane._aborted  # noqa: SLF001

    def check(self) -> None:
        """LinkError(CANCELLED) if an urgent request has come since this one was asked for."""
        if self._epoch != self._lane._epoch:  # noqa: SLF001  # one mechanism in two classes
            raise LinkError(
                LinkFailure.CANCELLED, f"{self._lane.vehicle_id}: given up because hold, return or land came"
            )

    async def call(
        self, call: Callable[[], T], *, commands: bool = False, abort: Callable[[], object] | None = None
    ) -> T:
        """Run a blocking native call; `commands`: it may move the vehicle; `abort`: how to make it stop early."""
        lane = self._lane
        while lane.busy and lane._running is not None:  # noqa: SLF001  # left behind by a cancelled caller
            await asyncio.wait([lane._running])  # noqa: SLF001
        self.check()
        lane._commands += commands  # noqa: SLF001
        future: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(lane._threads.ordinary, call)  # noqa: SLF001
        lane._running, lane._running_commands, lane._abort = future, commands, abort  # type: ignore[assignment]  # noqa: SLF001
        lane._aborted = False  # noqa: SLF001
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_swallow)  # type: ignore[arg-type]  # any result will do
            lane.abort_transfer()
            raise
