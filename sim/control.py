# SPDX-License-Identifier: AGPL-3.0-or-later
"""A door for tests and demonstrations: JSON lines on standard input change the world, answers go to standard output.

`{"cut": "d1"}`, `{"restore": "d1"}`, `{"faults": {"drop": 0.05}}` (null: none), `{"battery": {"d1": 0.1}}`,
`{"astray": {"d1": 1.6}}` (in mission mode it flies straight on at so many m/s and misses its waypoints; null: no more),
`{"status": true}`, `{"quit": true}`. Each gets one line back: `{"ok": true, ...}` or `{"ok": false, "error": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from sim.config import FaultConfig
from sim.runner import Runner

_MOST_LINE_BYTES = 65_536


def say(message: dict[str, Any]) -> None:
    """One JSON line on standard output."""
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def status(runner: Runner) -> dict[str, Any]:
    """Time, pace and counters; true modes of the vehicles."""
    return {
        "simulated_s": round(runner.simulated_s, 3),
        "waited_s": round(runner.waited_s, 3),
        "lost_s": round(runner.lost_s, 3),
        "packets_out": runner.counts.packets_out,
        "datagrams_in": runner.counts.datagrams_in,
        "garbage": runner.counts.garbage,
        "vehicles": {
            vehicle_id: {
                "mode": vehicle.autopilot.core.mode.name.lower(),
                "armed": vehicle.autopilot.core.armed,
                "landed": vehicle.autopilot.core.landed,
                "height_above_home_m": round(vehicle.autopilot.vehicle.height_above_home_m, 2),
                "battery_fraction": round(vehicle.autopilot.vehicle.battery.fraction, 4),
                "crashed": vehicle.autopilot.vehicle.crashed,
                "cut": vehicle.radio.cut,
                "dropped": vehicle.radio.dropped,
                "bad_checksums": vehicle.autopilot.counts.bad_checksum,
            }
            for vehicle_id, vehicle in runner.vehicles.items()
        },
    }


def obey(line: bytes, runner: Runner, stop: Callable[[], None]) -> dict[str, Any]:
    """Do what one line says; the answer is ready to be written."""
    try:
        order = json.loads(line)
    except (ValueError, RecursionError):
        return {"ok": False, "error": "not a JSON line"}
    if not isinstance(order, dict) or len(order) != 1:
        return {
            "ok": False,
            "error": "give one object with one key: cut, restore, faults, battery, astray, status or quit",
        }
    ((what, value),) = order.items()
    try:
        if what in {"cut", "restore"}:
            runner.cut(value, cut=what == "cut")
        elif what == "faults":
            runner.set_faults(None if value is None else msgspec.convert(value, FaultConfig))
        elif what == "battery":
            for vehicle_id, fraction in value.items():
                runner.set_battery(vehicle_id, fraction)
        elif what == "astray":
            for vehicle_id, speed_m_s in value.items():
                runner.set_astray(vehicle_id, speed_m_s)
        elif what == "status":
            return {"ok": True, "status": status(runner)}
        elif what == "quit":
            stop()
        else:
            return {"ok": False, "error": f"{what!r} is none of cut, restore, faults, battery, astray, status, quit"}
    except KeyError as error:
        return {"ok": False, "error": f"there is no vehicle {error.args[0]!r}"}
    except (msgspec.ValidationError, AttributeError, TypeError, ValueError) as error:
        return {"ok": False, "error": f"{what}: {error}"}
    return {"ok": True, what: value}


def listen(runner: Runner, stop: Callable[[], None], *, exit_with_parent: bool) -> None:
    """Read standard input on a daemon thread (it may be a pipe, a file or a terminal) and obey on the loop."""
    loop = asyncio.get_running_loop()

    def on_line(line: bytes) -> None:
        say(obey(line, runner, stop))

    def read() -> None:
        rest = b""
        while True:
            try:
                data = os.read(0, 4096)
            except OSError:
                data = b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > _MOST_LINE_BYTES:
                rest = b""
            for line in lines:
                if line.strip() and not _call(loop, on_line, line):
                    return
        if exit_with_parent:
            _call(loop, stop)

    threading.Thread(target=read, name="control", daemon=True).start()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: bytes) -> bool:
    """False when the loop is closed already."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True
