# SPDX-License-Identifier: AGPL-3.0-or-later
"""A link worker: `python -m dronectl.fleet.worker --channel-fd N` holds a shard of the fleet in one MAVSDK instance.

Requests come from the service over the channel and go to the vehicles' links; states, poses and replies go back. The
worker ends at once when the channel does, without touching the library again, so that an autopilot notices a lost
service. A watchdog outside Python's reach ends it when its loop hangs, because the library's own threads would go on
sending heartbeats and hide that nobody is there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import logging
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from dronectl.errors import words_of
from dronectl.fleet import watchdog
from dronectl.fleet.link import LinkError, LinkFailure, VehicleState
from dronectl.fleet.messages import (
    TIMEOUT_S,
    Cancel,
    Configure,
    DoorCounts,
    Poses,
    Rates,
    Ready,
    Reply,
    Request,
    States,
    ToWorker,
    Verb,
)
from dronectl.fleet.shard import Shard
from dronectl.fleet.worker_link import WorkerLink
from dronectl.ipc import Channel, ChannelClosedError, parent_channel

log = logging.getLogger(__name__)

WATCHDOG_S: Final = 8.0  # well below COM_DL_LOSS_T, well above any pause of a healthy loop
_SETTLE_S: Final = 0.03  # a callback may come before the library's own last value; also gathers what comes together
_DOORS_EVERY_S: Final = 1.0
_MAX_UNSENT_BYTES: Final = 1024 * 1024  # telemetry waits while the service is this far behind


class Worker:
    """One channel, one shard."""

    def __init__(self, channel: Channel[ToWorker], configure: Configure) -> None:
        self._channel = channel
        self._rates: Rates = configure.rates
        self._woken: set[str] = set()
        self._someone_woken = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._shard = Shard(configure.addresses, self._rates, self._wake)

    async def run(self) -> None:
        """Until the channel closes, or something fails that a fresh process may mend."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._shard.run(self._say_ready), name="shard")
            tasks.create_task(self._report(), name="report")
            tasks.create_task(self._report_doors(), name="doors")
            tasks.create_task(watchdog.watch(WATCHDOG_S), name="watchdog")
            while True:
                match await self._channel.receive():
                    case Request() as request:
                        task = tasks.create_task(self._serve(request), name=f"{request.verb} {request.vehicle_id}")
                        self._tasks[request.request_id] = task
                        task.add_done_callback(lambda _task, number=request.request_id: self._tasks.pop(number, None))  # type: ignore[misc]  # mypy cannot type a bound default
                    case Cancel(request_id=number):
                        if number in self._tasks:
                            self._tasks[number].cancel()
                    case Configure():
                        raise RuntimeError("a worker is configured once")

    def _say_ready(self) -> None:
        self._channel.post(Ready(self._shard.version))

    # ------------------------------------------------------------------ telemetry

    def _wake(self, vehicle_id: str) -> None:
        """From any thread, also while the process ends and its loop has closed before the library's threads have."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note_woken, vehicle_id)

    def _note_woken(self, vehicle_id: str) -> None:
        self._woken.add(vehicle_id)
        self._someone_woken.set()

    async def _report(self) -> None:
        """One batch per tick: the vehicles that are due; those whose mode, progress or text just changed need no tick."""
        links = list(self._shard.links.values())
        start_s = time.monotonic()
        # Spread over the first half second: where ticks are quicker, docked vehicles do not all come in one.
        due_s = {link.vehicle_id: start_s + 0.5 * index / len(links) for index, link in enumerate(links)}
        streams = any(link.address.pose_stream for link in links)
        tick_s = 1.0 / (self._rates.pose_tick_hz if streams else self._rates.tick_hz)
        while True:
            now_s = time.monotonic()
            woken, self._woken = self._woken, set()
            states: list[VehicleState] = []
            for link in links:
                if now_s >= due_s[link.vehicle_id] or link.vehicle_id in woken:
                    state = link.state()
                    states.append(state)
                    due_s[link.vehicle_id] = now_s + self._period_s(link, state) - tick_s / 2
            samples = [sample for link in links if link.address.pose_stream for sample in link.take_poses()]
            if self._channel.unsent_bytes < _MAX_UNSENT_BYTES:  # else the next batch says it better
                if states:
                    self._channel.post(States(tuple(states)))
                if samples:
                    self._channel.post(Poses(tuple(samples)))
            await self._next_look(now_s + tick_s)

    async def _next_look(self, tick_due_s: float) -> None:
        """At the tick, or as soon as a vehicle has been woken and its last values have had time to follow."""
        try:
            async with asyncio.timeout(max(0.0, tick_due_s - time.monotonic())):
                await self._someone_woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_SETTLE_S)
        self._someone_woken.clear()

    def _period_s(self, link: WorkerLink, state: VehicleState) -> float:
        if not state.armed:
            return 1.0 / self._rates.docked_hz
        return 1.0 / (self._rates.pose_stream_hz if link.address.pose_stream else self._rates.flying_hz)

    async def _report_doors(self) -> None:
        """Which doors have refused or lost more than was said last."""
        said: dict[str, int | None] = {}
        while True:
            counts = self._shard.door_counts()
            news = {name: count for name, count in counts.items() if name not in said or said[name] != count}
            if news:
                self._channel.post(DoorCounts(news))
                said |= news
            await asyncio.sleep(_DOORS_EVERY_S)

    # ------------------------------------------------------------------ requests

    async def _serve(self, request: Request) -> None:
        link = self._shard.links.get(request.vehicle_id)
        if link is None:
            text = f"{request.vehicle_id} is not in this worker"
            self._channel.post(Reply(request.request_id, LinkFailure.ERROR, text))
            return
        limit_s = TIMEOUT_S.get(request.verb)
        try:
            async with asyncio.timeout(limit_s):
                reply = await self._execute(link, request)
        except TimeoutError:
            text = f"{request.vehicle_id}: {request.verb} was not done within {limit_s:.0f} s"
            reply = Reply(request.request_id, LinkFailure.TIMEOUT, text, state=link.state())
        except LinkError as error:
            reply = Reply(request.request_id, error.failure, str(error), state=link.state())
        except Exception as error:  # a fault in one vehicle's request must not cost the whole shard its links
            log.exception("%s: %s fails", request.vehicle_id, request.verb)
            text = f"{request.vehicle_id}: {request.verb} failed in the link worker ({words_of(error)})"
            reply = Reply(request.request_id, LinkFailure.ERROR, text, state=link.state())
        self._channel.post(reply)

    async def _execute(self, link: WorkerLink, request: Request) -> Reply:
        value: float | None = None
        items = None
        match request:
            case Request(verb=Verb.WAIT_CONNECTED, timeout_s=float(seconds)):
                await link.wait_connected(seconds)
            case Request(verb=Verb.HOLD):
                await link.hold()
            case Request(verb=Verb.RETURN):
                await link.return_to_launch()
            case Request(verb=Verb.LAND):
                await link.land()
            case Request(verb=Verb.ARM):
                await link.arm()
            case Request(verb=Verb.DISARM):
                await link.disarm()
            case Request(verb=Verb.START_MISSION):
                await link.start_mission()
            case Request(verb=Verb.UPLOAD_MISSION, items=tuple(sent)):
                await link.upload_mission(sent)
            case Request(verb=Verb.CANCEL_UPLOAD):
                await link.cancel_upload()
            case Request(verb=Verb.DOWNLOAD_MISSION):
                items = await link.download_mission()
            case Request(verb=Verb.UPLOAD_FENCE, items=tuple(sent)):
                await link.upload_fence(sent)
            case Request(verb=Verb.DOWNLOAD_FENCE):
                items = await link.download_fence()
            case Request(verb=Verb.GET_PARAM, name=str(name)):
                value = await link.get_param(name)
            case Request(verb=Verb.SET_PARAM, name=str(name), value=float() | int() as wanted):
                await link.set_param(name, wanted)
            case _:
                raise LinkError(LinkFailure.ERROR, f"{request.vehicle_id}: {request.verb} lacks an argument")
        return Reply(request.request_id, value=value, items=items, state=link.state())


async def _main(channel_fd: int) -> None:
    channel = await parent_channel(channel_fd, ToWorker)
    first = await channel.receive()
    if not isinstance(first, Configure):
        raise TypeError(f"the first message must configure the worker, not {type(first).__name__}")
    await Worker(channel, first).run()


def main() -> NoReturn:
    """Run until the channel closes; never returns into the interpreter's own shutdown, which would destroy MAVSDK."""
    parser = argparse.ArgumentParser(description="holds a shard of the fleet for the dronectl service")
    parser.add_argument("--channel-fd", type=int, required=True, help="the inherited socket to the service")
    parser.add_argument("--scratch", type=Path, help="our own temporary folder, removed at the end")
    arguments = parser.parse_args()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever the library prints is no output of ours
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s link worker: %(name)s: %(message)s")
    faulthandler.enable()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of every write to a channel that has just ended
    watchdog.arm(4 * WATCHDOG_S)  # until the loop takes over
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then closes the channel
    code = 0
    try:
        asyncio.run(_main(arguments.channel_fd))
    except* ChannelClosedError:
        log.debug("the service is gone")
    except* BaseException:
        log.exception("the link worker fails")
        code = 1
    finally:
        if arguments.scratch is not None:  # the service does it too, unless it was killed
            shutil.rmtree(arguments.scratch, ignore_errors=True)
        logging.shutdown()
        os._exit(code)


if __name__ == "__main__":
    main()
