# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the whole service costs and how fast it answers, as a user runs it: `dronectl up` beside simulated vehicles.

    cpu      100 vehicles fly sorties at 38 messages/s each; broker child, 1 Hz MQTT telemetry, one WebSocket client:
             CPU of the service and its link workers per vehicle, beside a bare MAVSDK connection to the same vehicles,
             which goes on taking what they send. Target: at most 2.5 times the bare one.
    start    from starting `dronectl up` (3 drones, no cameras) until /health answers (3 s), and the memory of the
             service and its link worker (250 MB).
    latency  3 drones with a thermal camera each at 5 Hz fly the demonstration patrol at speed 1: from the exposure of
             the confirming frame to the dispatcher's receipt. Target: p95 under 1 s.

Everything is a process of its own, on free ports of loopback, and is ended by its pid. Load average and a calibration
loop are printed beside the figures, because absolute ones mean little on a busy machine.
"""

import argparse
import contextlib
import http.client
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
from bench_fleet import _BARE, MESSAGES_PER_S, calibration_s, cpu_s
from children import child, end_by_signals
from prometheus_client.parser import text_string_to_metric_families
from service_site import (
    flat_ground,
    fly,
    healthy,
    in_states,
    link_workers,
    memory_mb,
    module,
    service,
    sim_status,
    simulator,
    stage_of,
    until,
    up_and_down,
    vehicles,
    with_fleet,
    without_cameras,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dronectl.cli.client import ServiceClient
from dronectl.operations.planning import plan_site_patrol
from dronectl.paths import StateDir
from missions.model import Budget
from sim import mavlink_messages as m
from sim.mavlink import Encoder

# Position and attitude at 10 Hz as the simulator steps; with the others that the link asks for, 38 messages/s.
_RATES_HZ = {m.GLOBAL_POSITION_INT: 10.0, m.ATTITUDE: 10.0, m.ATTITUDE_QUATERNION: 10.0, m.VFR_HUD: 0.5}
_SET_MESSAGE_INTERVAL = 511
_SHARD = 32  # vehicles per link worker, at most


# ---------------------------------------------------------------------------------------------------------- cpu


def set_rates(vehicle_ports):
    """Ask the vehicles for more, as another ground station would. They answer the service again at its next heartbeat."""
    station = Encoder(255, 190)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for n, port in enumerate(vehicle_ports.values(), 1):
            for spec, hz in _RATES_HZ.items():
                params = (float(spec.message_id), 1e6 / hz, *[math.nan] * 5)
                one.sendto(station.frame(m.COMMAND_LONG, *params, _SET_MESSAGE_INTERVAL, n, 1, 0), ("127.0.0.1", port))


@contextlib.contextmanager
def live_client(client):
    """One WebSocket client that reads everything; gives what it has counted."""
    url = client.url.replace("http", "ws", 1) + "/api/v1/live"
    headers = {"Authorization": f"Bearer {client.token}"}
    seen = Counter()
    with connect(url, additional_headers=headers, max_size=None, proxy=None) as websocket:

        def read():
            with contextlib.suppress(ConnectionClosed):
                for text in websocket:
                    seen["messages"] += 1
                    seen["vehicles"] += len(json.loads(text).get("vehicles", ()))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield seen
    reader.join(10)


class Measured:
    """CPU of groups of processes and the simulator's packets over the length of the with block."""

    def __init__(self, sim, **groups):
        self._sim, self._groups = sim, groups

    def _now(self):
        return {name: sum(cpu_s(pid) for pid in pids) for name, pids in self._groups.items()}

    def __enter__(self):
        self._packets = sim_status(self._sim)["packets_out"]
        self._before, self._start = self._now(), time.monotonic()
        return self

    def __exit__(self, *_):
        now, self.wall_s = self._now(), time.monotonic() - self._start
        self.cores = {name: (now[name] - self._before[name]) / self.wall_s for name in now}
        self.packets_per_s = (sim_status(self._sim)["packets_out"] - self._packets) / self.wall_s


def bench_cpu(options):
    count = options.vehicles
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stage = stage_of(Path(folder), with_fleet(count), flat_ground())
        sim = stack.enter_context(simulator(stage))
        vehicle_ports = json.loads(sim.stdout.readline())["ready"]["vehicle_ports"]
        with service(stage) as up:
            port = stage.site.model.http.port
            until("the service", lambda: healthy(port))
            client = ServiceClient(StateDir(stage.state))
            fly(client, [up_and_down(stage.site, drone) for drone in stage.site.drones])
            until("every part of the service", lambda: healthy(port)["ok"])
            set_rates(vehicle_ports)
            with live_client(client) as seen:
                time.sleep(5.0)
                seen.clear()
                workers = link_workers(up.pid)
                with Measured(sim, service=[up.pid], workers=workers, simulator=[sim.pid]) as ours:
                    time.sleep(options.seconds)
            flying, connected = in_states(client, "flying"), sum(v["connected"] for v in vehicles(client))
            memory = memory_mb(up.pid), sum(map(memory_mb, workers)) / len(workers)
        # The same vehicles go on sending the same; now connections without any subscription take them, in as many
        # instances as there were workers: each vehicle answers the pings that its instance sends to all the others.
        links = [int(drone.connection.rsplit(":", 1)[1]) for drone in stage.site.drones]
        bare = []
        for n in range(len(workers)):
            share = json.dumps(links[n * _SHARD : (n + 1) * _SHARD])
            connection = [sys.executable, "-c", _BARE, share]
            bare.append(stack.enter_context(child(connection, stdin=subprocess.PIPE, stdout=subprocess.PIPE)))
        for process in bare:
            process.stdout.readline()
        time.sleep(5.0)
        with Measured(sim, bare=[process.pid for process in bare]) as floor:
            time.sleep(options.seconds)
    together = (ours.cores["service"] + ours.cores["workers"]) / count
    per_vehicle = floor.cores["bare"] / count
    print(f"{count} vehicles ({flying} flying, {connected} connected); share of a core per vehicle:")
    print(f"  at {ours.packets_per_s / count:.1f} messages/s each (wanted {MESSAGES_PER_S:.0f}): service "
          f"{ours.cores['service'] / count:.4%}, {len(workers)} workers {ours.cores['workers'] / count:.4%}, "
          f"together {together:.4%}; simulator {ours.cores['simulator'] / count:.4%}")  # fmt: skip
    print(f"  bare MAVSDK connection {per_vehicle:.4%} at {floor.packets_per_s / count:.1f} messages/s each; "
          f"ratio {together / per_vehicle:.2f} (target 2.5)")  # fmt: skip
    print(f"  the WebSocket client read {seen['messages'] / ours.wall_s:.1f} messages/s with "
          f"{seen['vehicles'] / ours.wall_s:.0f} vehicles/s; PSS: service {memory[0]:.0f} MB, a worker of "
          f"{math.ceil(count / len(workers))} vehicles {memory[1]:.0f} MB")  # fmt: skip


# -------------------------------------------------------------------------------------------------------- start


def bench_start(options):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stage = stage_of(Path(folder), without_cameras)
        stack.enter_context(simulator(stage)).stdout.readline()
        port = stage.site.model.http.port
        times = {"with a new state folder": [], "again with the same": []}
        for number in range(options.starts):
            for taken in times.values():
                start = time.monotonic()
                with service(stage, stage.folder / f"state-{number}"):
                    until("the service", lambda: healthy(port), every_s=0.02)
                    taken.append(time.monotonic() - start)
        with service(stage) as up:
            until("the service", lambda: healthy(port))
            client = ServiceClient(StateDir(stage.state))
            until("every vehicle", lambda: all(v["armable"] for v in vehicles(client)))
            time.sleep(5.0)
            processes = {"service": up.pid, "link worker": link_workers(up.pid)[0]}
            memory = {name: (memory_mb(pid), memory_mb(pid, "Rss")) for name, pid in processes.items()}
    for how, taken in times.items():
        print(f"/health answers after {statistics.median(taken):.2f} s (median), {max(taken):.2f} s at most, {how}, "
              f"{len(taken)} starts (target 3 s)")  # fmt: skip
    parts = ", ".join(f"{name} {pss:.0f} ({rss:.0f})" for name, (pss, rss) in memory.items())
    print(f"memory in MB, PSS (RSS): {parts}; together {sum(pss for pss, _ in memory.values()):.0f} "
          f"({sum(rss for _, rss in memory.values()):.0f}) (target 250)")  # fmt: skip


# ------------------------------------------------------------------------------------------------------ latency


def with_thermal(rate_hz):
    def change(document):
        document["cameras"]["thermal"]["rate_hz"] = rate_hz
        for drone in document["drones"]:
            drone["cameras"] = [camera for camera in drone["cameras"] if camera["type"] == "thermal"]

    return change


def frame_counts(client):
    with contextlib.closing(http.client.HTTPConnection(*client.url.removeprefix("http://").split(":"))) as door:
        door.request("GET", "/metrics", headers={"Authorization": f"Bearer {client.token}"})
        text = door.getresponse().read().decode()
    samples = {family.name: family.samples for family in text_string_to_metric_families(text)}
    frames = Counter()
    for sample in samples.get("dronectl_frames", ()):
        frames[sample.labels["what"]] += int(sample.value)
    return frames


def receipts(log):
    """Of each alert's first message: kind, and seconds from exposure to the alert's being raised, and to its receipt."""
    first = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            said = json.loads(line)
            alert = said["data"]
            seen, raised, received = (
                datetime.fromisoformat(when) for when in (alert["observed_at"], alert["raised_at"], said["received_at"])
            )
            first.setdefault(
                alert["alert_id"], (alert["kind"], (raised - seen).total_seconds(), (received - seen).total_seconds())
            )
    return list(first.values())


def bench_latency(options):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stage = stage_of(Path(folder), with_thermal(options.rate))
        document = json.loads(stage.sim_document.read_text(encoding="utf-8"))
        document["scene"]["people"] = options.people
        stage.sim_document.write_text(json.dumps(document))
        sim = stack.enter_context(simulator(stage))
        sim.stdout.readline()
        stack.enter_context(service(stage))
        port = stage.site.model.http.port
        until("every part of the service", lambda: (said := healthy(port)) and said["ok"])
        log = stage.folder / "tail.log"
        where = ("--site", str(stage.site.file), "--state", str(stage.state))
        stack.enter_context(module(log, "dronectl", "alerts", "tail", "--ack", "--json", *where))
        client = ServiceClient(StateDir(stage.state))
        fly(client, plan_site_patrol(stage.site, Budget(iterations=5000)).plans)
        looked = frame_counts(client)
        before, start = sim_status(sim), time.monotonic()
        until(
            "the flight",
            lambda: sim_status(sim)["simulated_s"] >= before["simulated_s"] + options.seconds,
            60.0 + 10.0 * options.seconds,
            every_s=0.5,
        )
        wall_s, after = time.monotonic() - start, sim_status(sim)
        time.sleep(3.0)
        frames = {what: count - looked[what] for what, count in frame_counts(client).items()}
        taken = receipts(log)
    seconds = [received_s for _, _, received_s in taken]
    passed_s = after["simulated_s"] - before["simulated_s"]
    print(f"3 drones, {options.rate:g} thermal frames/s each, {options.people} people near the way: {passed_s:.0f} s "
          f"of vehicle time in {wall_s:.0f} s (pace {passed_s / wall_s:.2f}, the simulator waited "
          f"{after['waited_s'] - before['waited_s']:.1f} s for vision)")  # fmt: skip
    print(f"  frames: {', '.join(f'{count} {what}' for what, count in frames.items())}")
    if not seconds:
        print("  no alert came: nothing to say about latency")
        return
    kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(kind for kind, _, _ in taken).items())
    print(f"  exposure of the confirming frame to receipt, {len(seconds)} alerts ({kinds}): p50 "
          f"{np.percentile(seconds, 50):.2f} s, p95 {np.percentile(seconds, 95):.2f} s, most {max(seconds):.2f} s "
          f"(target: p95 1 s); of it until the alert is raised p50 {np.median([r for _, r, _ in taken]):.2f} s")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whats = parser.add_subparsers(dest="what", required=True, metavar="cpu|start|latency")
    cpu = whats.add_parser("cpu", help="CPU per vehicle against a bare MAVSDK connection")
    cpu.add_argument("--vehicles", type=int, default=100)
    cpu.add_argument("--seconds", type=float, default=20.0)
    cpu.set_defaults(bench=bench_cpu)
    start = whats.add_parser("start", help="time to /health, and memory")
    start.add_argument("--starts", type=int, default=5)
    start.set_defaults(bench=bench_start)
    latency = whats.add_parser("latency", help="exposure to the dispatcher's receipt")
    latency.add_argument("--seconds", type=float, default=90.0, help="of vehicle time, once all fly their missions")
    latency.add_argument("--rate", type=float, default=5.0, help="thermal frames per second and drone")
    latency.add_argument("--people", type=int, default=30, help="more than in the demonstration: percentiles need many")
    latency.set_defaults(bench=bench_latency)
    options = parser.parse_args()
    end_by_signals()
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, calibration {calibration_s():.3f} s")
    options.bench(options)


if __name__ == "__main__":
    main()
