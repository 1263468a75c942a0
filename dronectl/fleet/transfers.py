# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mission and fence transfers of one vehicle: through its lane, a few at a time per worker, repeated when lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from dronectl.fleet.lanes import CallThreads, Lane, Turn
from dronectl.fleet.link import LinkError, LinkFailure
from dronectl.fleet.native import Native
from missions.mavlink_items import MissionItem

T = TypeVar("T")
_TRIES: Final = 3
_REFUSES_FOR_S: Final = 12.0
_BUSY_RETRY_S: Final = 0.5
_REPEATED: Final = frozenset({LinkFailure.TIMEOUT, LinkFailure.CANCELLED})


class Transfers:
    """Uploads and downloads of one vehicle."""

    def __init__(self, lane: Lane, threads: CallThreads) -> None:
        self._lane = lane
        self._threads = threads
        self._ended_s = -_REFUSES_FOR_S

    async def upload(self, native: Native, items: Sequence[MissionItem], mission_type: int) -> None:
        """Replace what is stored. Raises LinkError; CANCELLED if hold, return, land or abort_transfer came."""

        async def work(turn: Turn) -> None:
            await self._insist(
                turn, lambda: turn.call(lambda: native.upload(items, mission_type), abort=native.cancel_upload)
            )

        await self._lane.ordinary(work)

    async def download(self, native: Native, mission_type: int) -> tuple[MissionItem, ...]:
        """What is stored; none if there is none."""

        async def work(turn: Turn) -> tuple[MissionItem, ...]:
            return await self._insist(
                turn, lambda: turn.call(lambda: native.download(mission_type), abort=native.cancel_download)
            )

        return await self._lane.ordinary(work)

    async def _insist(self, turn: Turn, transfer: Callable[[], Awaitable[T]]) -> T:
        """Repeat a transfer that timed out: one lost acknowledgement fails it, and done twice it is the same.

        A vehicle that lost patience first cancels, which is the same to us. And what has ended for us, well or not,
        may last some seconds more for PX4, which then refuses to begin another: it goes on asking for the items of an
        upload that was cancelled or timed out, and waits for our last acknowledgement of a download if that was lost.
        """
        tries = 0
        while True:
            try:
                async with self._threads.transfers:
                    result = await transfer()
            except LinkError as error:
                turn.check()
                if error.failure is LinkFailure.BUSY and not turn.aborted:
                    if time.monotonic() - self._ended_s >= _REFUSES_FOR_S:
                        raise  # another ground station's transfer
                    await asyncio.sleep(_BUSY_RETRY_S)
                    continue
                self._ended_s = time.monotonic()
                tries += 1
                if turn.aborted or tries >= _TRIES or error.failure not in _REPEATED:
                    raise
            else:
                self._ended_s = time.monotonic()
                return result
