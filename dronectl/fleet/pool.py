# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service's link workers: one process per shard of the fleet, supervised, restarted, and never imported.

A shard's worker gets its addresses over its channel and sends states and poses back, which go to the callbacks. When
it dies, its vehicles show as not connected, its requests fail, and a new one takes the vehicles over as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dronectl.fleet.last_values import STALE_AFTER_S
from dronectl.fleet.link import PoseSample, VehicleAddress, VehicleLink, VehicleState
from dronectl.fleet.messages import Configure, DoorCounts, FromWorker, Poses, Rates, Ready, Reply, States
from dronectl.fleet.remote import RemoteLink, WorkerCalls
from dronectl.ipc import Channel, ChannelClosedError, worker_process
from dronectl.supervise import ChildReport, RestartBudget, keep_running

log = logging.getLogger(__name__)

SILENT_WORKER_S: Final = 15.0  # above the worker's own watchdog
_SCRATCH: Final = "dronectl-link-"  # the service's pid follows
_SWEEP_EVERY_S: Final = 0.5
_EXIT_CODE_WAIT_S: Final = 1.0
# A shard without its worker is a shard without hold and return: the first restarts come quickly.
_BUDGET: Final = RestartBudget(restarts=5, window_s=60.0, first_s=0.1, cap_s=3.0)


def _remove_orphaned() -> None:
    """Remove the scratch folders of services that were killed together with their workers."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        owner = folder.name.removeprefix(_SCRATCH).split("-", maxsplit=1)[0]
        try:
            if owner.isdigit() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (OSError, OverflowError):
            continue  # gone meanwhile, or somebody else's process: not ours to judge


class LinkWorkerError(Exception):
    """A link worker ended or fell silent."""


class LinkPool:
    """Every vehicle's link. Start `run` as a task; links can be had at once and work when their worker is up."""

    def __init__(
        self,
        addresses: Sequence[VehicleAddress],
        *,
        shard_size: int = 32,
        on_states: Callable[[Sequence[VehicleState]], None],
        on_poses: Callable[[Sequence[PoseSample]], None],
        on_report: Callable[[ChildReport], None],
        on_doors: Callable[[Mapping[str, int | None]], None] = lambda _more: None,
        rates: Rates | None = None,
    ) -> None:
        """ValueError if a vehicle id, a system id or a connection is there twice.

        `on_doors` takes how many datagrams more were refused or lost at each door; None where nobody counts.
        """
        for what in ("vehicle_id", "system_id", "connection"):
            seen: set[object] = set()
            for address in addresses:
                if (value := getattr(address, what)) in seen:
                    raise ValueError(f"two vehicles have the {what} {value}; give each its own")
                seen.add(value)
        self._on_states = on_states
        self._on_poses = on_poses
        self._on_report = on_report
        self._on_doors = on_doors
        self._rates = rates or Rates()
        self._latest = {address.vehicle_id: VehicleState(address.vehicle_id) for address in addresses}
        self._shards = {
            f"link worker {index // shard_size + 1}": tuple(addresses[index : index + shard_size])
            for index in range(0, len(addresses), shard_size)
        }
        self._calls = {name: WorkerCalls(name) for name in self._shards}
        self._pids: dict[str, int] = {}
        self._links: dict[str, RemoteLink] = {}
        for name, shard in self._shards.items():
            for address in shard:
                vehicle_id = address.vehicle_id
                self._links[vehicle_id] = RemoteLink(
                    vehicle_id,
                    self._calls[name],
                    lambda vehicle_id=vehicle_id: self._latest[vehicle_id],  # type: ignore[misc]  # mypy cannot type a bound default
                )

    async def run(self) -> None:
        """Keep the workers running until cancelled; BudgetSpentError when one fails too often."""
        await asyncio.to_thread(_remove_orphaned)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep(), name="stale links")
            for name in self._shards:
                tasks.create_task(
                    keep_running(
                        name,
                        lambda ready, name=name: self._run_worker(name, ready),  # type: ignore[misc]  # as above
                        budget=_BUDGET,
                        on_report=self._on_report,
                        essential=True,
                    ),
                    name=name,
                )

    def link(self, vehicle_id: str) -> VehicleLink:
        """The link of a vehicle; KeyError for one that is not in the pool."""
        return self._links[vehicle_id]

    def states(self) -> Mapping[str, VehicleState]:
        """The latest state of every vehicle; not connected when unheard for 3 s or its worker is away."""
        return dict(self._latest)

    @property
    def worker_pids(self) -> Mapping[str, int]:
        """The process of each worker that is up, by its name in the reports."""
        return dict(self._pids)

    async def _run_worker(self, name: str, ready: Callable[[], None]) -> None:
        shard = self._shards[name]
        # The library leaves folders in the temporary directory when its process is killed.
        scratch = await asyncio.to_thread(tempfile.mkdtemp, prefix=f"{_SCRATCH}{os.getpid()}-")
        try:
            async with worker_process(
                "dronectl.fleet.worker", ["--scratch", scratch], FromWorker, environment={"TMPDIR": scratch}
            ) as (
                process,
                channel,
            ):
                self._pids[name] = process.pid
                channel.post(Configure(shard, self._rates))
                try:
                    await self._take_in(name, channel, ready)
                except TimeoutError:
                    raise LinkWorkerError(f"silent for {SILENT_WORKER_S:.0f} s") from None
                except ChannelClosedError:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_EXIT_CODE_WAIT_S):
                            await process.wait()
                    raise LinkWorkerError(f"it ended with code {process.returncode}") from None
                finally:
                    # First the states: whoever is told that the worker is gone may look at them, and its end may take long.
                    self._disconnect([address.vehicle_id for address in shard])
                    self._calls[name].detach()
        finally:
            self._pids.pop(name, None)
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _take_in(self, name: str, channel: Channel[FromWorker], ready: Callable[[], None]) -> None:
        """What a worker says, until its channel ends; TimeoutError when it falls silent."""
        calls = self._calls[name]
        doors: dict[str, int] = {}  # as this worker counts, from naught
        while True:
            async with asyncio.timeout(SILENT_WORKER_S):
                message = await channel.receive()
            match message:
                case States(states):
                    self._take(states)
                case Poses(samples):
                    self._on_poses(samples)
                case DoorCounts(counts):
                    self._take_doors(counts, doors)
                case Reply():
                    # Here, and not by whoever waits for it: on a busy machine newer states are in by the time it goes on.
                    if message.state is not None:
                        self._take((message.state,))
                    calls.resolve(message)
                case Ready(version):
                    log.debug("%s is up with MAVSDK %s", name, version)
                    calls.attach(channel)
                    ready()

    def _take(self, states: Sequence[VehicleState]) -> None:
        for state in states:
            self._latest[state.vehicle_id] = state
        self._on_states(states)

    def _take_doors(self, counts: Mapping[str, int | None], before: dict[str, int]) -> None:
        self._on_doors({
            name: None if count is None else count - before.get(name, 0) for name, count in counts.items()
        })  # fmt: skip
        before.update({name: count for name, count in counts.items() if count is not None})

    def _disconnect(self, vehicle_ids: Sequence[str]) -> None:
        lost = [replace(self._latest[name], connected=False) for name in vehicle_ids if self._latest[name].connected]
        if lost:
            self._take(lost)

    async def _sweep(self) -> None:
        """A worker that hangs goes on saying nothing: let its vehicles go stale."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            before_s = time.monotonic() - STALE_AFTER_S
            self._disconnect([
                name
                for name, state in self._latest.items()
                if state.heard_monotonic_s is not None and state.heard_monotonic_s < before_s
            ])  # fmt: skip
