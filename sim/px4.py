# SPDX-License-Identifier: AGPL-3.0-or-later
"""Real PX4 SITL instances as a context manager: a build or install in, running autopilots on ports of our choice out.

PX4 flies its own built-in quadrotor simulation (SIH), so nothing else is needed. Its start script for MAVLink is
replaced in a copy of its `etc` folder: the standard ports are never opened. Each instance has a work folder of its
own, and ends with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from missions.geo import GeoPoint
from sim import mavlink_messages as m
from sim.mavlink import DecodeCounts, MessageSpec, decode

_AIRFRAME = "10040"
_MODEL = "sihsim_quadx"
_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1
_MOST_INSTANCES = 200
# Below the range that kernels take outgoing ports from (Linux 32768), and above MAVLink's usual ports.
_OWN_PORTS = range(20_000, 32_000)
_MAVLINK_SCRIPT = """#!/bin/sh
# MAVLink links on ports that the environment gives; all on this machine.
mavlink start -x -u $SITL_PROBE_LOCAL -r 10000 -m minimal -o $SITL_PROBE_PORT
mavlink start -x -u $SITL_API_LOCAL -r 4000000 -f -m onboard -o $SITL_API_PORT
if [ -n "$SITL_GCS_PORT" ]; then
	mavlink start -x -u $SITL_GCS_LOCAL -r 4000000 -f -o $SITL_GCS_PORT
fi
if [ -n "$SITL_TRUTH_PORT" ]; then
	mavlink start -x -u $SITL_TRUTH_LOCAL -r 400000 -m custom -o $SITL_TRUTH_PORT
	mavlink stream -r 25 -s HIL_STATE_QUATERNION -u $SITL_TRUTH_LOCAL
	mavlink stream -r 25 -s ATTITUDE -u $SITL_TRUTH_LOCAL
fi
"""


class Px4Error(RuntimeError):
    """PX4 is not there or does not start; the message says where we looked or what it said last."""


@dataclass(frozen=True, slots=True)
class Px4Instance:
    """One PX4. number: unique on this machine (PX4 locks it); the client listens on api_port (udpin).

    truth_port: where ground truth goes (HIL_STATE_QUATERNION, and ATTITUDE for its time), see `sim.px4_truth`.
    gcs_port: a second link, as for a ground station. params: set before start.
    """

    number: int
    home: GeoPoint
    home_amsl_m: float
    api_port: int
    system_id: int | None = None
    truth_port: int | None = None
    gcs_port: int | None = None
    params: dict[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Px4Install:
    """Where the program and its start scripts lie."""

    binary: Path
    etc: Path

    @classmethod
    def find(cls, path: Path | None) -> Px4Install:
        """In a source tree, a build folder, an install root, the program itself, or (None) on the PATH.

        Raises Px4Error.
        """
        if path is None:
            found = shutil.which("px4")
            if found is None:
                raise Px4Error("there is no px4 on the PATH; name a build folder or an install root")
            path = Path(found)
        path = path.expanduser().absolute()
        roots = [path, path / "build" / "px4_sitl_default"]
        binaries = [path, *(root / part for root in roots for part in ("bin/px4", "px4"))]
        binary = next((one for one in binaries if one.is_file() and os.access(one, os.X_OK)), None)
        if binary is None:
            raise Px4Error(f"{path}: no px4 program in it (looked for bin/px4 and build/px4_sitl_default/bin/px4)")
        home = binary.resolve().parent
        places = [home.parent / "etc", home / "etc", home.parent / "share" / "px4" / "etc", *(r / "etc" for r in roots)]
        etc = next((one for one in places if (one / "init.d-posix" / "rcS").is_file()), None)
        if etc is None:
            raise Px4Error(f"{path}: no start scripts beside it (etc/init.d-posix/rcS)")
        return cls(binary.resolve(), etc.resolve())


def unused_numbers(count: int) -> list[int]:
    """Instance numbers that no PX4 on this machine holds."""
    numbers = [number for number in range(_MOST_INSTANCES) if not _locked(number)][:count]
    if len(numbers) < count:
        raise Px4Error(f"no {count} PX4 instance numbers are free on this machine")
    return numbers


def _locked(number: int) -> bool:
    try:
        with open(f"/tmp/px4_lock-{number}", "r+b") as file:  # noqa: PTH123, S108 (the path is PX4's choice)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    except FileNotFoundError:
        return False
    except OSError:
        return True  # another user's
    return False


class Px4Sitl:
    """`async with Px4Sitl(path, instances) as fleet`: all of them running and heard from.

    Raises Px4Error when PX4 is not found, ends early, or is silent for `timeout_s`.
    """

    def __init__(
        self,
        path: Path | None,
        instances: Sequence[Px4Instance],
        *,
        speed: float = 1.0,
        folder: Path | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        """folder: for work folders and logs, kept; None: a temporary one that is removed."""
        self.instances = tuple(instances)
        self.install = Px4Install.find(path)
        self._speed = speed
        self._kept = folder
        self._timeout_s = timeout_s
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stack = contextlib.AsyncExitStack()

    @property
    def pids(self) -> dict[int, int]:
        """Process id by instance number."""
        return {number: process.pid for number, process in self._processes.items()}

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self._kept is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="px4-sitl-")))
            else:
                folder = self._kept.absolute()
                folder.mkdir(parents=True, exist_ok=True)
            etc = folder / "etc"
            await asyncio.to_thread(shutil.copytree, self.install.etc, etc, dirs_exist_ok=True)
            script = etc / "init.d-posix" / "px4-rc.mavlink"
            script.chmod(0o755)
            script.write_text(_MAVLINK_SCRIPT)
            stack.push_async_callback(self._end)
            for instance in self.instances:
                probe = stack.enter_context(_udp_socket())
                await self._start(instance, folder, etc, probe)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def running(self) -> bool:
        """Whether all are still alive."""
        return all(process.returncode is None for process in self._processes.values())

    async def _start(self, instance: Px4Instance, folder: Path, etc: Path, probe: socket.socket) -> None:
        work = folder / f"instance-{instance.number}"
        work.mkdir(exist_ok=True)
        locals_needed = _free_ports(4)
        environment = {
            **os.environ,
            "PX4_SYS_AUTOSTART": _AIRFRAME,
            "PX4_SIM_MODEL": _MODEL,
            "PX4_HOME_LAT": repr(instance.home.latitude_deg),
            "PX4_HOME_LON": repr(instance.home.longitude_deg),
            "PX4_HOME_ALT": repr(instance.home_amsl_m),
            "PX4_PARAM_MAV_SYS_ID": str(instance.system_id or instance.number + 1),
            "PX4_PARAM_SDLOG_BACKEND": "0",  # no flight logs: megabytes per flight
            "SITL_PROBE_PORT": str(probe.getsockname()[1]),
            "SITL_API_PORT": str(instance.api_port),
            "SITL_PROBE_LOCAL": str(locals_needed[0]),
            "SITL_API_LOCAL": str(locals_needed[1]),
            "SITL_TRUTH_LOCAL": str(locals_needed[2]),
            "SITL_GCS_LOCAL": str(locals_needed[3]),
            "SITL_TRUTH_PORT": "" if instance.truth_port is None else str(instance.truth_port),
            "SITL_GCS_PORT": "" if instance.gcs_port is None else str(instance.gcs_port),
        }
        if self._speed != 1.0:
            environment["PX4_SIM_SPEED_FACTOR"] = f"{self._speed:g}"
        for name, value in instance.params.items():
            environment[f"PX4_PARAM_{name}"] = f"{value:g}" if isinstance(value, float) else str(value)
        log = work / "px4.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                str(self.install.binary),
                "-d",
                "-i",
                str(instance.number),
                "-w",
                str(work),
                str(etc),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                cwd=work,
                env=environment,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._processes[instance.number] = process
        await self._first_heartbeat(instance, process, probe, log)

    async def _first_heartbeat(
        self, instance: Px4Instance, process: asyncio.subprocess.Process, probe: socket.socket, log: Path
    ) -> None:
        loop = asyncio.get_running_loop()
        heartbeat = {m.HEARTBEAT.message_id: m.HEARTBEAT}
        hear = asyncio.create_task(_heard(loop, probe, heartbeat))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({hear, ended}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if hear.done():
                hear.result()
                return
            what = f"ended with code {process.returncode}" if ended.done() else "sent no heartbeat"
            raise Px4Error(f"PX4 instance {instance.number} {what}; it said last: {_last_words(log)}")
        finally:
            for task in (hear, ended):
                task.cancel()
            await asyncio.gather(hear, ended, return_exceptions=True)

    async def _end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            alive = [process for process in self._processes.values() if process.returncode is None]
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE_S):
                    await asyncio.gather(*(process.wait() for process in alive))


async def _heard(loop: asyncio.AbstractEventLoop, probe: socket.socket, wanted: dict[int, MessageSpec]) -> None:
    counts = DecodeCounts()
    while not decode(await loop.sock_recv(probe, 2048), wanted, counts):
        pass


def _last_words(log: Path) -> str:
    return " / ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:])


def _udp_socket() -> socket.socket:
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.bind(("127.0.0.1", 0))
    probe.setblocking(False)
    return probe


def _free_ports(count: int) -> list[int]:
    """Different UDP ports for PX4 to take in a moment; none that the kernel gives to others meanwhile."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        for port in random.SystemRandom().sample(_OWN_PORTS, len(_OWN_PORTS)):
            if len(found) == count:
                return found
            probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    raise Px4Error(f"no {count} UDP ports between {_OWN_PORTS[0]} and {_OWN_PORTS[-1]} are free")


def _die_with_parent() -> None:
    """Runs in the child before PX4: Linux sends it SIGKILL when the parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
