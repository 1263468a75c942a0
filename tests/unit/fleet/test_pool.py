# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pool and its worker processes without any vehicle: start, death, restart, end, orphans, hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from contract.relay import free_udp_port

from dronectl.fleet.link import FlightMode, LinkError, LinkFailure, VehicleAddress
from dronectl.fleet.messages import FromWorker, Ready, Reply, Request, States, ToWorker
from dronectl.fleet.pool import LinkPool
from dronectl.ipc import Channel
from dronectl.supervise import ChildReport, ChildState

pytestmark = pytest.mark.timeout(180)
_PATIENCE_S = 60.0


def _addresses(count: int) -> list[VehicleAddress]:
    return [VehicleAddress(f"d{n}", f"udpin://127.0.0.1:{free_udp_port()}", n) for n in range(1, count + 1)]


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@asynccontextmanager
async def _running(count: int, shard_size: int = 32) -> AsyncIterator[tuple[LinkPool, list[ChildReport]]]:
    reports: list[ChildReport] = []
    pool = LinkPool(
        _addresses(count),
        shard_size=shard_size,
        on_states=lambda _states: None,
        on_poses=lambda _samples: None,
        on_report=reports.append,
    )
    task = asyncio.create_task(pool.run())
    try:
        await _until(lambda: sum(report.state is ChildState.RUNNING for report in reports) == -(-count // shard_size))
        yield pool, reports
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_state_of_a_reply_never_comes_after_newer_ones() -> None:
    """All that a worker has said lies ready when a busy process gets to read it, before the caller goes on."""
    seen: list[FlightMode] = []
    address = _addresses(1)[0]
    pool = LinkPool(
        [address],
        on_states=lambda states: seen.extend(s.mode for s in states),
        on_poses=lambda _samples: None,
        on_report=lambda _report: None,
    )
    ours, theirs = socket.socketpair()
    worker = await Channel.from_socket(theirs, ToWorker)
    taking = asyncio.create_task(
        pool._take_in("link worker 1", await Channel.from_socket(ours, FromWorker), lambda: None)
    )
    try:
        worker.post(Ready("4"))
        started = asyncio.create_task(pool.link("d1").start_mission())
        request = await worker.receive()
        assert isinstance(request, Request)
        holding = replace(pool.states()["d1"], mode=FlightMode.HOLD)
        worker.post(Reply(request.request_id, state=holding))
        worker.post(States((replace(holding, mode=FlightMode.MISSION),)))
        await started
        await _until(lambda: len(seen) == 2)
        assert seen == [FlightMode.HOLD, FlightMode.MISSION]
        assert pool.states()["d1"].mode is FlightMode.MISSION
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        worker.close()


async def test_shards_restart_and_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with _running(3, shard_size=2) as (pool, reports):
        pids = dict(pool.worker_pids)
        assert len(set(pids.values())) == 2
        assert set(pool.states()) == {"d1", "d2", "d3"}
        victim = "link worker 2"
        os.kill(pids[victim], signal.SIGKILL)
        await _until(lambda: pool.worker_pids.get(victim) not in {None, pids[victim]})
        await _until(lambda: [r.state for r in reports if r.name == victim][-1] is ChildState.RUNNING)
        assert pool.worker_pids["link worker 1"] == pids["link worker 1"]
        waiting = [r for r in reports if r.name == victim and r.state is ChildState.WAITING]
        assert "code -9" in (waiting[0].reason or "")
        last = list(pool.worker_pids.values())
    assert not any(_alive(pid) for pid in [*pids.values(), *last])
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # blocking either way, and short


async def test_requests_fail_while_the_worker_is_away() -> None:
    async with _running(1) as (pool, _):
        link = pool.link("d1")
        waiting = asyncio.create_task(link.wait_connected(40.0))
        with pytest.raises(LinkError) as unheard:
            await link.hold()
        assert unheard.value.failure is LinkFailure.DISCONNECTED
        (pid,) = pool.worker_pids.values()
        os.kill(pid, signal.SIGKILL)
        await _until(lambda: not pool.worker_pids)
        with pytest.raises(LinkError, match="not running") as away:
            await link.arm()
        assert away.value.failure is LinkFailure.DISCONNECTED
        await _until(lambda: pool.worker_pids)
        assert not waiting.done()  # it goes on with the next worker
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("twice", ["vehicle_id", "system_id", "connection"])
def test_nothing_is_there_twice(twice: str) -> None:
    first = VehicleAddress("d1", "udpin://127.0.0.1:24551", 1)
    other = {"vehicle_id": "d2", "connection": "udpin://127.0.0.1:24552", "system_id": 2}
    other[twice] = getattr(first, twice)
    with pytest.raises(ValueError, match=twice):
        LinkPool(
            [first, VehicleAddress(**other)],  # type: ignore[arg-type]
            on_states=lambda _states: None,
            on_poses=lambda _samples: None,
            on_report=lambda _report: None,
        )


def test_the_service_side_never_imports_the_library() -> None:
    code = "import sys, dronectl.fleet.pool; sys.exit('mavsdk' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=_PATIENCE_S).returncode == 0


_SERVICE = """
import asyncio, sys
from dronectl.fleet.link import VehicleAddress
from dronectl.fleet.messages import FromWorker, Ready, Reply, Request, States, ToWorker
from dronectl.fleet.pool import LinkPool
from dronectl.ipc import Channel

async def main():
    pool = LinkPool(
        [VehicleAddress("d1", "udpin://127.0.0.1:" + sys.argv[1], 1)],
        on_states=lambda s: None, on_poses=lambda p: None,
        on_report=lambda r: print(*pool.worker_pids.values(), flush=True) if r.state == "running" else None,
    )
    await pool.run()

asyncio.run(main())
"""


async def test_a_worker_does_not_outlive_a_killed_service(tmp_path: Path) -> None:
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SERVICE,
        str(free_udp_port()),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert service.stdout is not None
        pid = int(await service.stdout.readline())
        assert _alive(pid)
    finally:
        service.kill()
        await service.wait()
    await _until(lambda: not _alive(pid))
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # as above


_HANGS = """
import asyncio, re
from dronectl.fleet import watchdog

async def main():
    asyncio.create_task(watchdog.watch(4.0))
    await asyncio.sleep(4.5)  # fed: nothing happens, also where the machine leaves it lying for a while
    print("alive", flush=True)
    re.match(r"(a+)+$", "a" * 60 + "b")  # holds the interpreter for ever

asyncio.run(main())
"""


async def test_the_watchdog_ends_a_process_that_holds_the_interpreter() -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _HANGS],
        capture_output=True,
        encoding="utf-8",
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.stdout == "alive\n"
    assert done.returncode == 1
    assert "Timeout" in done.stderr


_ENDS = """
import asyncio, os, socket
from dronectl.fleet.link import VehicleAddress
from dronectl.fleet.messages import Configure, Rates, ToWorker
from dronectl.fleet.worker import Worker
from dronectl.ipc import Channel

async def main(ours):
    addresses = (VehicleAddress("d1", "udpin://127.0.0.1:1", 1),)
    return Worker(await Channel.from_socket(ours, ToWorker), Configure(addresses, Rates()))

ours, theirs = socket.socketpair()
worker = asyncio.run(main(ours))
worker._shard.links["d1"]._wake()  # a thread of the library, which knows nothing of the end
print("no harm done", flush=True)
os._exit(0)
"""


def test_a_message_that_comes_while_a_worker_ends_is_no_error() -> None:
    line = [sys.executable, "-c", _ENDS]
    done = subprocess.run(line, capture_output=True, encoding="utf-8", timeout=_PATIENCE_S, check=False)
    assert done.stdout == "no harm done\n", done.stderr
