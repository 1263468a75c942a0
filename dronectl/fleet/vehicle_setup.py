# SPDX-License-Identifier: AGPL-3.0-or-later
"""Brings a vehicle's messages down to what the link lives on, when it appears, comes back or was rebooted.

The intervals come from `intervals.py`; the commands go through the vehicle's lane, one at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from dronectl.fleet import intervals
from dronectl.fleet.lanes import CallThreads, Lane
from dronectl.fleet.link import LinkError, LinkFailure
from dronectl.fleet.native import Native

log = logging.getLogger(__name__)

_SET_MESSAGE_INTERVAL: Final = 511


class SetUp:
    """The message intervals of one vehicle. `vehicle_time_s` tells the vehicle's clock now, as far as it is known."""

    def __init__(
        self, lane: Lane, threads: CallThreads, position_hz: float, vehicle_time_s: Callable[[], float | None]
    ) -> None:
        self._lane = lane
        self._threads = threads
        self._position_hz = position_hz
        self._vehicle_time_s = vehicle_time_s

    async def run(self, native: Native) -> None:
        """Until the budget is kept. Raises LinkError when the vehicle does not answer."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads.ordinary, self._quieten, native)
        async with self._threads.set_ups:
            await self._set_intervals(native)

    def _quieten(self, native: Native) -> None:
        for message_id, rate_hz in intervals.first_aid(self._position_hz):
            native.command_at_once(_SET_MESSAGE_INTERVAL, float(message_id), intervals.interval_us(rate_hz))

    async def _set_intervals(self, native: Native) -> None:
        for message in intervals.wanted(self._position_hz):
            await self._interval(native, message.message_id, message.rate_hz)
        done: set[str] = set()
        while True:
            counts, seconds = await self._listen(native)
            found = intervals.excess(counts, seconds)
            new = [(name, number) for name, number in found.switch_off if name not in done]
            if not new:
                break
            for name, number in new:
                done.add(name)
                await self._interval(native, number, intervals.SWITCH_OFF)
            if found.messages_per_s <= intervals.MAX_MESSAGES_PER_S:
                break
        if found.messages_per_s > intervals.MAX_MESSAGES_PER_S:
            unknown = ", ".join(found.unknown) or "none"
            log.warning(
                "%s still sends %.0f messages/s; unknown here: %s", self._lane.vehicle_id, found.messages_per_s, unknown
            )

    async def _interval(self, native: Native, message_id: int, rate_hz: float) -> None:
        def send() -> None:
            try:
                native.command(_SET_MESSAGE_INTERVAL, float(message_id), intervals.interval_us(rate_hz))
            except LinkError as error:
                if error.failure not in {LinkFailure.DENIED, LinkFailure.ERROR}:  # it may not have this message
                    raise

        await self._lane.ordinary(lambda turn: turn.call(send))

    async def _listen(self, native: Native) -> tuple[dict[str, int], float]:
        """Count every message for a while; the seconds are the vehicle's own if its clock runs faster than ours."""
        counts: dict[str, int] = {}

        def count(name: str) -> None:
            counts[name] = counts.get(name, 0) + 1

        loop = asyncio.get_running_loop()
        before_s = self._vehicle_time_s()
        handle = await loop.run_in_executor(self._threads.ordinary, native.listen, count)
        try:
            await asyncio.sleep(intervals.LISTEN_S)
        finally:
            await asyncio.shield(loop.run_in_executor(self._threads.ordinary, native.unlisten, handle))
        after_s = self._vehicle_time_s()
        if after_s is None or not counts:
            raise LinkError(LinkFailure.DISCONNECTED, f"{self._lane.vehicle_id} is silent")
        return counts, max(intervals.LISTEN_S, after_s - before_s if before_s is not None else 0.0)
