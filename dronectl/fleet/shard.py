# SPDX-License-Identifier: AGPL-3.0-or-later
"""The shard of a link worker: opens its vehicles' connections, discovers the vehicles, and keeps their links.

Knows the library only through `mavsdk_link.py`. A connection whose port is taken is tried again; a system id that
nobody has configured is told to the links that still wait for theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from dronectl.fleet.door import Door, DoorError, port_taken
from dronectl.fleet.lanes import CallThreads
from dronectl.fleet.link import VehicleAddress
from dronectl.fleet.mavsdk_link import Library, NativeVehicle
from dronectl.fleet.messages import Rates
from dronectl.fleet.worker_link import WorkerLink

log = logging.getLogger(__name__)

_DISCOVER_EVERY_S: Final = 0.25
_PORT_RETRY_S: Final = 2.0


class Shard:
    """The links of a worker's vehicles, on the process's one instance of the library."""

    def __init__(self, addresses: Sequence[VehicleAddress], rates: Rates, wake: Callable[[str], None]) -> None:
        """`wake` is called from any thread with a vehicle id whose state should be looked at soon."""
        self._library = Library()
        self._threads = CallThreads(len(addresses))
        self.links: dict[str, WorkerLink] = {}
        self._doors: dict[str, Door | None] = {}
        for address in addresses:
            position_hz = rates.pose_stream_position_hz if address.pose_stream else rates.position_hz
            wake_one = partial(wake, address.vehicle_id)
            self.links[address.vehicle_id] = WorkerLink(address, position_hz, self._threads, wake_one)

    @property
    def version(self) -> str:
        return self._library.version

    async def run(self, ready: Callable[[], None]) -> None:
        """Open the connections, then discover and keep the vehicles, until cancelled."""
        await asyncio.gather(*(self._open(link) for link in self.links.values()))
        ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._discover(), name="discover")
            tasks.create_task(self._open_later(), name="open later")
            for link in self.links.values():
                tasks.create_task(link.keep(), name=f"keep {link.vehicle_id}")

    async def _open(self, link: WorkerLink) -> bool:
        connection = link.address.connection
        error = port_taken(connection)
        if error is None:
            loop = asyncio.get_running_loop()
            error = await loop.run_in_executor(self._threads.ordinary, self._library.open, connection)
        if error is None:
            self._doors[link.vehicle_id] = self._guard(link.address)
        link.opened(error)
        return error is None

    @staticmethod
    def _guard(address: VehicleAddress) -> Door | None:
        if not address.whole_packets:
            return None
        try:
            return Door.guard(address.connection)
        except DoorError as error:
            log.info("%s: garbage on %s is not counted: %s", address.vehicle_id, address.connection, error)
            return None

    def door_counts(self) -> dict[str, int | None]:
        """Datagrams refused or lost at each open door so far; None where that is not counted."""
        return {name: None if door is None else door.refused_or_lost() for name, door in self._doors.items()}

    async def _open_later(self) -> None:
        """Try again what could not be opened: a worker that died may hold its ports a moment longer."""
        waiting = [link for link in self.links.values() if link.closed_for_now]
        while waiting:
            await asyncio.sleep(_PORT_RETRY_S)
            waiting = [link for link in waiting if not await self._open(link)]

    async def _discover(self) -> None:
        missing = {link.address.system_id: link for link in self.links.values()}
        configured = frozenset(missing)
        while missing:
            await asyncio.sleep(_DISCOVER_EVERY_S)
            strangers = set()
            for system_id, system in self._library.autopilots():
                if (link := missing.pop(system_id, None)) is not None:
                    link.discovered(NativeVehicle(link.vehicle_id, system))
                elif system_id not in configured:
                    strangers.add(system_id)
            for link in missing.values():
                link.strangers(frozenset(strangers))
