# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service's side of a link worker: requests with numbers out, replies matched, and a VehicleLink on top.

While the worker is away every request fails at once with LinkError(DISCONNECTED); those in flight when it dies fail
the same way. Nothing is ever sent again: what became of it shows in the vehicle's state.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from dronectl.fleet.link import LinkError, LinkFailure, VehicleState
from dronectl.fleet.messages import TIMEOUT_S, Cancel, Reply, Request, Verb
from dronectl.ipc import Channel
from missions.mavlink_items import MissionItem

_WORKER_GRACE_S: Final = 3.0  # a worker answers its own time-outs; after this it hangs


class WorkerCalls:
    """Requests to one worker, over whichever channel it has now."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count(1)
        self._channel: Channel[Any] | None = None
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._attached = asyncio.Event()

    @property
    def attached(self) -> bool:
        return self._channel is not None

    def attach(self, channel: Channel[Any]) -> None:
        """The worker is up."""
        self._channel = channel
        self._attached.set()

    def detach(self) -> None:
        """The worker is gone: fail what is in flight."""
        self._channel = None
        self._attached.clear()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(LinkError(LinkFailure.DISCONNECTED, f"{self._name} ended before it answered"))
        self._pending.clear()

    async def wait_attached(self, timeout_s: float) -> None:
        """Until the worker is up; LinkError(DISCONNECTED) if it does not come."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._attached.wait()
        except TimeoutError:
            raise LinkError(LinkFailure.DISCONNECTED, f"{self._name} is not running") from None

    def resolve(self, reply: Reply) -> None:
        """Hand a reply to whoever waits for it."""
        future = self._pending.get(reply.request_id)
        if future is not None and not future.done():
            future.set_result(reply)

    async def call(self, vehicle_id: str, verb: Verb, limit_s: float, **arguments: Any) -> Reply:
        """Send a request and wait for its reply, at most `limit_s` and a grace."""
        channel = self._channel
        if channel is None:
            raise LinkError(LinkFailure.DISCONNECTED, f"{vehicle_id}: {self._name} is not running")
        number = next(self._numbers)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            channel.post(Request(number, vehicle_id, verb, **arguments))
            async with asyncio.timeout(limit_s + _WORKER_GRACE_S):
                return await future
        except TimeoutError:
            self._cancel(number)
            raise LinkError(LinkFailure.TIMEOUT, f"{vehicle_id}: {self._name} did not answer {verb}") from None
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            self._pending.pop(number, None)

    def _cancel(self, number: int) -> None:
        if self._channel is not None:
            self._channel.post(Cancel(number))


class RemoteLink:
    """A VehicleLink whose vehicle is in a worker process."""

    def __init__(
        self,
        vehicle_id: str,
        calls: WorkerCalls,
        state: Callable[[], VehicleState],
    ) -> None:
        """`state` gives the latest."""
        self._vehicle_id = vehicle_id
        self._calls = calls
        self._state = state

    @property
    def vehicle_id(self) -> str:
        return self._vehicle_id

    def state(self) -> VehicleState:
        return self._state()

    async def _call(self, verb: Verb, limit_s: float | None = None, **arguments: Any) -> Reply:
        reply = await self._calls.call(
            self._vehicle_id, verb, TIMEOUT_S[verb] if limit_s is None else limit_s, **arguments
        )
        if reply.failure is not None:
            raise LinkError(reply.failure, reply.message)
        return reply

    async def wait_connected(self, timeout_s: float) -> None:
        """Also waits for the worker itself, and goes on with the next one if it dies meanwhile."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            await self._calls.wait_attached(max(0.0, deadline_s - time.monotonic()))
            left_s = max(0.0, deadline_s - time.monotonic())
            try:
                await self._call(Verb.WAIT_CONNECTED, left_s, timeout_s=left_s)
            except LinkError as error:
                if error.failure is not LinkFailure.DISCONNECTED or self._calls.attached:
                    raise
            else:
                return

    async def hold(self) -> None:
        await self._call(Verb.HOLD)

    async def return_to_launch(self) -> None:
        await self._call(Verb.RETURN)

    async def land(self) -> None:
        await self._call(Verb.LAND)

    async def arm(self) -> None:
        await self._call(Verb.ARM)

    async def disarm(self) -> None:
        await self._call(Verb.DISARM)

    async def start_mission(self) -> None:
        await self._call(Verb.START_MISSION)

    async def upload_mission(self, items: Sequence[MissionItem]) -> None:
        await self._call(Verb.UPLOAD_MISSION, items=tuple(items))

    async def cancel_upload(self) -> None:
        await self._call(Verb.CANCEL_UPLOAD)

    async def download_mission(self) -> tuple[MissionItem, ...]:
        return (await self._call(Verb.DOWNLOAD_MISSION)).items or ()

    async def upload_fence(self, items: Sequence[MissionItem]) -> None:
        await self._call(Verb.UPLOAD_FENCE, items=tuple(items))

    async def download_fence(self) -> tuple[MissionItem, ...]:
        return (await self._call(Verb.DOWNLOAD_FENCE)).items or ()

    async def get_param(self, name: str) -> float:
        value = (await self._call(Verb.GET_PARAM, name=name)).value
        if value is None:
            raise LinkError(LinkFailure.ERROR, f"{self._vehicle_id}: {name} came back without a value")
        return value

    async def set_param(self, name: str, value: float) -> None:
        await self._call(Verb.SET_PARAM, name=name, value=value)

    async def close(self) -> None:
        """The connection belongs to the worker, which ends with the pool."""
