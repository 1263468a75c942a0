# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the simulator costs: CPU of one process with 100 flying vehicles, 10 Hz steps, 38 messages/s each.

Starts `python -m sim vehicles` beside itself, takes off with all, sets the message intervals, drains the packets,
and reads the process's CPU time from /proc. Prints load average and a calibration loop, because absolute figures
mean little on a busy machine. Target: at most 10 % of one core.
"""

import argparse
import json
import math
import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path

from sim import mavlink_messages as m
from sim.mavlink import Encoder

# 38 messages/s: position and attitude at 10 Hz, the rest so that the sum is right.
_INTERVALS_HZ = {
    m.HEARTBEAT: 1.0,
    m.GLOBAL_POSITION_INT: 10.0,
    m.ATTITUDE: 10.0,
    m.ATTITUDE_QUATERNION: 10.0,
    m.VFR_HUD: 3.0,
    m.SYS_STATUS: 1.0,
    m.EXTENDED_SYS_STATE: 1.0,
    m.GPS_RAW_INT: 1.0,
    m.BATTERY_STATUS: 0.5,
    m.HOME_POSITION: 0.5,
    m.MISSION_CURRENT: 0.0,
    m.SYSTEM_TIME: 0.0,
    m.LOCAL_POSITION_NED: 0.0,
    m.ALTITUDE: 0.0,
}


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def calibration_s():
    """CPU time of a fixed loop of plain Python; about 0.045 s on a free core, more when the core is shared."""
    start = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vehicles", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    count = options.vehicles
    inbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    inbox.bind(("127.0.0.1", 0))
    inbox.setblocking(False)
    target = f"127.0.0.1:{inbox.getsockname()[1]}"
    command = [sys.executable, "-m", "sim", "vehicles", "--vehicles", str(count), "--target", target, "--one-port"]
    child = subprocess.Popen([*command, "--exit-with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        ready = json.loads(child.stdout.readline())["ready"]
        ports = list(ready["vehicle_ports"].values())
        gcs = Encoder(255, 190)
        selector = selectors.DefaultSelector()
        selector.register(inbox, selectors.EVENT_READ)
        packets = 0

        def drain(seconds):
            nonlocal packets
            end = time.monotonic() + seconds
            next_beat = 0.0
            while (now := time.monotonic()) < end:
                if now >= next_beat:
                    next_beat = now + 1.0
                    beat = gcs.frame(m.HEARTBEAT, 0, 6, 8, 0, 4, 3)
                    for port in ports:
                        inbox.sendto(beat, ("127.0.0.1", port))
                selector.select(0.05)
                try:
                    while True:
                        data = inbox.recv(2048)
                        at = 0
                        while at < len(data):
                            at += 12 + data[at + 1]
                            packets += 1
                except BlockingIOError:
                    pass

        def command_all(number, *params):
            filled = [*params, *[math.nan] * (7 - len(params))]
            for index, port in enumerate(ports):
                inbox.sendto(gcs.frame(m.COMMAND_LONG, *filled, number, index + 1, 1, 0), ("127.0.0.1", port))

        drain(6.0)
        for spec, hz in _INTERVALS_HZ.items():
            command_all(511, float(spec.message_id), 1e6 / hz if hz else -1.0)
        command_all(176, 1.0, 4.0, 2.0)  # take-off mode, then arm: all of them fly
        command_all(400, 1.0)
        drain(6.0)
        packets = 0
        before, start = cpu_s(child.pid), time.monotonic()
        drain(options.seconds)
        wall = time.monotonic() - start
        share = (cpu_s(child.pid) - before) / wall
        child.stdin.write(b'{"status": true}\n')
        child.stdin.flush()
        status = json.loads(child.stdout.readline())["status"]
        flying = sum(not vehicle["landed"] for vehicle in status["vehicles"].values())
    finally:
        child.stdin.close()
        child.wait(10)
    print(
        json.dumps(
            {
                "vehicles": count,
                "flying": flying,
                "messages_per_s_per_vehicle": round(packets / wall / count, 1),
                "cpu_percent_of_one_core": round(100.0 * share, 1),
                "target_percent": 10.0,
                "lost_s": status["lost_s"],
                "load_average": os.getloadavg(),
                "calibration_cpu_s": round(calibration_s(), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
