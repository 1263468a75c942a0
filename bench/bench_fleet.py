# SPDX-License-Identifier: AGPL-3.0-or-later
"""What linking a fleet costs, against simulated vehicles in processes of their own.

    cpu    100 flying vehicles at 38 messages/s each: CPU of the pool's process and its workers per vehicle, beside a
           bare MAVSDK connection to vehicles that send the same. Target: at most 2.5 times the bare one.
    scale  250 vehicles: discovery after the last worker is ready (5 s), uploads to all, hold to all (2 s).
    hold   hold to one vehicle while 100 upload: time to its acknowledgement. Target: p99 under 300 ms.

Prints the load average and a calibration loop, because absolute figures mean little on a busy machine.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from dronectl.fleet.link import FlightMode, LandedState, LinkError, LinkFailure, VehicleAddress
from dronectl.fleet.messages import Rates
from dronectl.fleet.pool import LinkPool
from dronectl.ports import free_ports
from missions.geo import GeoPoint, destination
from missions.mavlink_items import FRAME_GLOBAL_RELATIVE_ALT, NAV_TAKEOFF, NAV_WAYPOINT, MissionItem

HOME = GeoPoint(29.7, 107.4)
MESSAGES_PER_S = 38.0
_OTHERS_PER_S = 6.5  # heartbeat, progress, status, battery, landed state, home
_MOST_PER_SIMULATOR = 125

_BARE = """
import json, os, sys, time
from mavsdk import ComponentType, Configuration, Mavsdk
from mavsdk.logging import log_subscribe
log_subscribe(lambda *_: True)
mavsdk = Mavsdk(Configuration.create_with_component_type(ComponentType.GROUND_STATION))
for port in json.loads(sys.argv[1]):
    mavsdk.add_any_connection(f"udpin://127.0.0.1:{port}")
while mavsdk.system_count() < len(json.loads(sys.argv[1])):
    time.sleep(0.1)
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def calibration_s():
    """A fixed loop of plain Python; about 0.05 s on a free core of 2024."""
    start = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.perf_counter() - start


def home_of(index):
    return destination(destination(HOME, 90.0, 100.0 * (index % 16)), 0.0, 100.0 * (index // 16))


def start_simulators(stack, ports):
    """Vehicles 1..n, each sending to its port; at most 125 per process. Returns the processes."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    processes = []
    for first in range(0, len(ports), _MOST_PER_SIMULATOR):
        vehicles = [
            {
                "vehicle_id": f"d{first + n + 1}",
                # MAVLink has 255 system ids; 245 and 190 are common for ground stations, 250 vehicles need nearly all.
                "system_id": first + n + 1,
                "home": {
                    "latitude_deg": home_of(first + n).latitude_deg,
                    "longitude_deg": home_of(first + n).longitude_deg,
                },
                "target_host": "127.0.0.1",
                "target_port": port,
                "endurance_s": 7200.0,
            }
            for n, port in enumerate(ports[first : first + _MOST_PER_SIMULATOR])
        ]
        path = folder / f"sim-{first}.json"
        origin = {"latitude_deg": HOME.latitude_deg, "longitude_deg": HOME.longitude_deg}
        terrain = {"flat_amsl_m": 250.0}
        path.write_text(json.dumps({"schema_version": 1, "origin": origin, "terrain": terrain, "vehicles": vehicles}))
        process = subprocess.Popen(
            [sys.executable, "-m", "sim", "run", str(path), "--exit-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        processes.append(process)
    for process in processes:
        process.stdout.readline()
    return processes


def mission(index, count):
    """A take-off and `count` waypoints far out: it is on its way as long as a measurement lasts."""
    home = home_of(index)

    def item(seq, command, place, z):
        x, y = round(place.latitude_deg * 1e7), round(place.longitude_deg * 1e7)
        frame = FRAME_GLOBAL_RELATIVE_ALT
        return MissionItem(seq, frame, command, 0.0, 2.0, 0.0, math.nan, x, y, z, current=int(seq == 0))

    places = [destination(home, 0.0, 500.0 + 10.0 * n) for n in range(count)]
    return (item(0, NAV_TAKEOFF, home, 30.0), *(item(n, NAV_WAYPOINT, p, 30.0) for n, p in enumerate(places, 1)))


@asynccontextmanager
async def pool_of(ports, rates=None):
    addresses = [VehicleAddress(f"d{n}", f"udpin://127.0.0.1:{port}", n) for n, port in enumerate(ports, 1)]
    ready = {}

    def on_report(report):
        if report.state == "running":
            ready[report.name] = time.monotonic()

    pool = LinkPool(
        addresses, on_states=lambda _states: None, on_poses=lambda _samples: None, on_report=on_report, rates=rates
    )
    task = asyncio.create_task(pool.run())
    links = [pool.link(address.vehicle_id) for address in addresses]
    try:
        yield pool, links, ready
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition, limit_s):
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > limit_s:
            raise TimeoutError
        await asyncio.sleep(0.02)
    return time.monotonic() - start


async def fly(links, items):
    await asyncio.gather(*(link.wait_connected(60.0) for link in links))
    await until(lambda: all(link.state().armable and link.state().home_ok for link in links), 60.0)
    await asyncio.gather(*(link.upload_mission(mission(n, items)) for n, link in enumerate(links)))
    await asyncio.gather(*(link.arm() for link in links))
    await until(lambda: all(link.state().armed for link in links), 30.0)
    await asyncio.gather(*(link.start_mission() for link in links))
    await until(lambda: all(link.state().landed is LandedState.IN_AIR for link in links), 60.0)


async def bench_cpu(options):
    count = options.vehicles or 100
    rates = Rates(position_hz=(MESSAGES_PER_S - _OTHERS_PER_S) / 2.0)
    ports = free_ports(socket.SOCK_DGRAM, count)
    with ExitStack() as stack:
        simulators = start_simulators(stack, ports)
        async with pool_of(ports, rates) as (pool, links, _):
            await fly(links, 5)
            pids = [os.getpid(), *pool.worker_pids.values()]
            before = {pid: cpu_s(pid) for pid in pids}
            sims = sum(cpu_s(process.pid) for process in simulators)
            start = time.monotonic()
            await asyncio.sleep(options.seconds)
            wall = time.monotonic() - start
            used = {pid: (cpu_s(pid) - before[pid]) / wall / count for pid in pids}
            sims = (sum(cpu_s(process.pid) for process in simulators) - sims) / wall / count
        # The same vehicles go on sending the same; now a connection without any subscription takes them.
        bare = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs meanwhile
            [sys.executable, "-c", _BARE, json.dumps(ports)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stack.callback(bare.wait)
        stack.callback(bare.terminate)
        await asyncio.to_thread(bare.stdout.readline)
        await asyncio.sleep(3.0)
        start, bare_s = time.monotonic(), cpu_s(bare.pid)
        await asyncio.sleep(options.seconds)
        floor = (cpu_s(bare.pid) - bare_s) / (time.monotonic() - start) / count
    ours = sum(used.values())
    print(f"{count} vehicles at {MESSAGES_PER_S:.0f} messages/s, in the air; share of a core per vehicle:")
    print(f"  service side {used[os.getpid()]:.4%}, workers {ours - used[os.getpid()]:.4%}, together {ours:.4%}")
    print(f"  bare MAVSDK connection {floor:.4%}; ratio {ours / floor:.2f} (target 2.5); simulator {sims:.4%}")


async def bench_scale(options):
    count = options.vehicles or 250
    ports = free_ports(socket.SOCK_DGRAM, count)
    with ExitStack() as stack:
        start_simulators(stack, ports)
        async with pool_of(ports) as (_, links, ready):
            workers = -(-count // 32)
            await until(lambda: len(ready) == workers, 120.0)
            await until(lambda: all(link.state().connected for link in links), 120.0)
            print(f"{count} vehicles, {workers} workers: all heard {time.monotonic() - max(ready.values()):.2f} s "
                  "after the last worker was ready")  # fmt: skip
            start = time.monotonic()
            await asyncio.gather(*(link.wait_connected(60.0) for link in links))
            print(f"  message intervals set on all after another {time.monotonic() - start:.2f} s")
            start = time.monotonic()
            results = await asyncio.gather(
                *(link.upload_mission(mission(n, 50)) for n, link in enumerate(links)), return_exceptions=True
            )
            failed = [result for result in results if isinstance(result, BaseException)]
            timeouts = sum(isinstance(e, LinkError) and e.failure is LinkFailure.TIMEOUT for e in failed)
            print(f"  51 items to all in {time.monotonic() - start:.2f} s; {timeouts} time-outs, {len(failed)} failed")
            await fly(links, 5)
            start = time.monotonic()
            answers = await asyncio.gather(*(link.hold() for link in links), return_exceptions=True)
            answered = time.monotonic() - start
            failed = [answer for answer in answers if isinstance(answer, BaseException)]
            await until(lambda: all(link.state().mode is FlightMode.HOLD for link in links), 60.0)
            confirmed = time.monotonic() - start
            print(f"  hold to all: answered in {answered:.2f} s ({len(failed)} failed), by state in {confirmed:.2f} s")


async def bench_hold(options):
    count = options.vehicles or 100
    ports = free_ports(socket.SOCK_DGRAM, count + 1)
    with ExitStack() as stack:
        start_simulators(stack, ports)
        async with pool_of(ports) as (_, links, _):
            await asyncio.gather(*(link.wait_connected(60.0) for link in links))
            uploads = 0

            async def upload(index):
                nonlocal uploads
                while True:
                    await links[index].upload_mission(mission(index, 200))
                    uploads += 1

            tasks = [asyncio.create_task(upload(index)) for index in range(count)]
            await asyncio.sleep(1.0)
            times = []
            for _ in range(options.samples):
                start = time.monotonic()
                await links[count].hold()
                times.append(time.monotonic() - start)
                await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            failures = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
            for text in sorted({str(error).partition(": ")[2] for error in failures}):
                print(f"  failed: {text}")
            failed = len(failures)
    times.sort()
    print(f"hold while {count} upload ({uploads} uploads of 201 items, {failed} failed), {len(times)} times: "
          f"median {times[len(times) // 2] * 1e3:.0f} ms, p99 {times[int(len(times) * 0.99)] * 1e3:.0f} ms, "
          f"most {times[-1] * 1e3:.0f} ms (target: p99 300 ms)")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cpu", "scale", "hold"], nargs="*", default=["cpu", "scale", "hold"])
    parser.add_argument("--vehicles", type=int)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args()
    for what in options.what:
        print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, calibration {calibration_s():.3f} s")
        asyncio.run({"cpu": bench_cpu, "scale": bench_scale, "hold": bench_hold}[what](options))


if __name__ == "__main__":
    main()
