# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m sim` as others use it: over UDP with pymavlink and with MAVSDK, its ready file, its control lines."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sim_station import END_S, LAT, LON, Station, running

from dronectl.ports import free_ports


@pytest.fixture
def station() -> Iterator[Station]:
    station = Station()
    yield station
    station.socket.close()


@pytest.fixture
def document(station: Station, tmp_path: Path) -> dict:
    return {
        "schema_version": 1,
        "seed": 2,
        "speed": 12.0,
        "night": False,
        "origin": {"latitude_deg": LAT, "longitude_deg": LON},
        "terrain": {"flat_amsl_m": 250.0},
        "wind": {"speed_m_s": 2.0, "from_deg": 200.0, "gust_m_s": 0.5},
        "vehicles": [
            {
                "vehicle_id": "d1",
                "system_id": 31,
                "home": {"latitude_deg": LAT, "longitude_deg": LON},
                "target_host": "127.0.0.1",
                "target_port": station.port,
            }
        ],
        "ready_file": "ready.json",
    }


def write(document: dict, folder: Path) -> str:
    path = folder / "sim.json"
    path.write_text(json.dumps(document))
    return str(path)


MISSION = [(22, 3, 0, 0, 12.0), (178, 2, 0, 0, 0.0), (16, 3, 50, 0, 20.0), (16, 3, 50, 50, 20.0), (20, 2, 0, 0, 0.0)]


def test_flies_a_mission_over_a_bad_link(station: Station, document: dict, tmp_path: Path):
    document["faults"] = {"drop": 0.08, "duplicate": 0.05, "delay_s": 0.005, "seed": 4}
    with running(["run", write(document, tmp_path), "--exit-with-parent"], tmp_path) as sim:
        ready = sim.answer()["ready"]
        assert json.loads((tmp_path / "ready.json").read_text(encoding="utf-8")) == ready
        assert ready["pid"] == sim.process.pid
        station.until(
            "a vehicle that is ready", lambda: getattr(station.last.get("HEARTBEAT"), "system_status", 0) == 3
        )
        station.upload(MISSION)
        assert station.command(400, 1.0) == 0
        station.until("armed", lambda: station.armed)
        assert station.command(176, 1.0, 4.0, 4.0) == 0
        station.until("return", lambda: station.sub_mode == 5)
        station.until(
            "the last item", lambda: station.last["MISSION_ITEM_REACHED"].seq >= 3
        )  # said again, some are lost
        station.until("landed and disarmed", lambda: not station.armed)
        status = sim.order(status=True)["status"]["vehicles"]["d1"]
        assert status["dropped"] > 10
        assert not status["crashed"]
        assert station.peer == ("127.0.0.1", ready["vehicle_ports"]["d1"])
    assert sim.process.returncode == 0


def test_control_lines(station: Station, document: dict, tmp_path: Path):
    with running(["run", write(document, tmp_path)], tmp_path) as sim:
        sim.answer()
        station.until("heartbeat", lambda: "HEARTBEAT" in station.last)
        assert sim.order(cut="d1") == {"ok": True, "cut": "d1"}
        station.drain()  # what was under way
        before = station.count
        for _ in range(20):
            station.pump()
        assert station.count == before
        assert sim.order(restore="d1")["ok"]
        station.until("messages again", lambda: station.count > before + 5)
        assert sim.order(battery={"d1": 0.1})["ok"]
        station.until("a low battery", lambda: station.last["SYS_STATUS"].battery_remaining == 10)
        assert sim.order(faults={"drop": 0.5, "seed": 1})["ok"]
        assert sim.order(faults=None)["ok"]
        assert not sim.order(cut="nobody")["ok"]
        assert not sim.order(faults={"drop": 7})["ok"]
        assert not sim.order(dance=1)["ok"]
        sim.process.stdin.write("no json\n")
        sim.process.stdin.flush()
        assert not sim.answer()["ok"]
        assert sim.order(quit=True)["ok"]
        assert sim.process.wait(END_S) == 0


def test_garbage_at_the_door_is_counted(station: Station, document: dict, tmp_path: Path):
    import random

    rng = random.Random(6)
    with running(["run", write(document, tmp_path)], tmp_path) as sim:
        ready = sim.answer()["ready"]
        door = ("127.0.0.1", ready["vehicle_ports"]["d1"])
        station.until("heartbeat", lambda: "HEARTBEAT" in station.last)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(300):
                stranger.sendto(rng.randbytes(rng.randrange(1, 400)), door)
                head = bytes([0xFD, rng.randrange(256), 0, 0, 1, 2, 3]) + struct.pack("<I", rng.randrange(300))[:3]
                stranger.sendto(head + rng.randbytes(rng.randrange(40)), door)
        before = station.count
        station.until("messages go on, to us", lambda: station.count > before + 20)
        status = sim.order(status=True)["status"]
        assert status["garbage"] > 20  # a busy machine drops datagrams


def test_ends_with_its_parent_and_on_signals(document: dict, tmp_path: Path):
    path = write(document, tmp_path)
    with running(["run", path, "--exit-with-parent"], tmp_path) as sim:
        sim.answer()
        sim.process.stdin.close()
        assert sim.process.wait(END_S) == 0
    for number in (signal.SIGTERM, signal.SIGINT):
        with running(["run", path], tmp_path) as sim:
            sim.answer()
            os.kill(sim.process.pid, number)
            assert sim.process.wait(END_S) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "unknown field `colour`"),
        ({"origin": {"latitude_deg": 107.3, "longitude_deg": 29.7}}, "look swapped"),
        ({"terrain": {"npz": "nothing.npz"}}, "no such terrain file"),
        ({"terrain": {}}, "either npz or flat_amsl_m"),
        ({"speed": 0}, "speed"),
        ({"vehicles": []}, "vehicles"),
    ],
)
def test_a_bad_document_is_one_clear_line(change: dict, words: str, document: dict, tmp_path: Path):
    path = write({**document, **change}, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "sim", "run", path],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_the_same_system_id_twice(document: dict, tmp_path: Path):
    document["vehicles"].append({**document["vehicles"][0], "vehicle_id": "d2"})
    done = subprocess.run(
        [sys.executable, "-m", "sim", "run", write(document, tmp_path)],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 2
    assert "system_id 31 is given twice" in done.stderr


def test_vehicles_alone_each_on_its_own_port(tmp_path: Path):
    stations = [Station() for _ in range(2)]
    try:
        first, second = sorted(stations, key=lambda s: s.port)
        step = second.port - first.port
        arguments = ["vehicles", "--vehicles", "2", "--target", f"127.0.0.1:{first.port}", "--port-step", str(step)]
        with running([*arguments, "--first-system-id", "40"], tmp_path) as sim:
            sim.answer()
            for station, system_id in ((first, 40), (second, 41)):
                station.until("heartbeat", lambda s=station: "HEARTBEAT" in s.last)
                assert station.last["HEARTBEAT"].get_srcSystem() == system_id
    finally:
        for station in stations:
            station.socket.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "127.0.0.1"], "HOST:PORT"),
        (["--target", "127.0.0.1:0"], "HOST:PORT"),
        (["--target", ":5"], "HOST:PORT"),
        (["--target", "host:port"], "HOST:PORT"),
        (["--target", "127.0.0.1:\N{SUPERSCRIPT TWO}"], "HOST:PORT"),
        (["--target", f"{'x' * 80}.invalid:24550"], "target_host"),
        (["--target", "::1:24550"], "target_host ::1"),
        (["--target", "127.0.0.1:9", "--amsl", "nan"], "flat_amsl_m"),
    ],
)
def test_a_bad_target_or_ground(options: list[str], words: str):
    done = subprocess.run(
        [sys.executable, "-m", "sim", "vehicles", *options],
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_mavsdk_flies_one(document: dict, tmp_path: Path):
    """MAVSDK itself discovers, arms, uploads, flies and lands it; in a process of its own, which ends by os._exit."""
    (port,) = free_ports(socket.SOCK_DGRAM, 1)
    document["vehicles"][0]["target_port"] = port
    document["speed"] = 6.0
    with running(["run", write(document, tmp_path), "--exit-with-parent"], tmp_path) as sim:
        sim.answer()
        pilot = Path(__file__).with_name("sim_mavsdk_pilot.py")
        done = subprocess.run(
            [sys.executable, str(pilot), str(port)], check=False, capture_output=True, encoding="utf-8", timeout=200
        )
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    assert "error" not in facts, facts
    assert facts["system_id"] == 31
    assert facts["same"]
    assert facts["rtl_return_alt"] == 25.0
    assert facts["progress"] == sorted(facts["progress"])
    assert 18.0 < facts["highest_m"] < 24.0
    assert facts["landed"]


def test_a_visitor_is_answered_and_then_forgotten(station: Station, document: dict, tmp_path: Path):
    """A second ground station may speak from another port; when it has gone, the configured one hears again."""
    with running(["run", write(document, tmp_path)], tmp_path) as sim:
        ready = sim.answer()["ready"]
        visitor = Station()
        try:
            visitor.peer = ("127.0.0.1", ready["vehicle_ports"]["d1"])
            visitor.until("an answer", lambda: "HEARTBEAT" in visitor.last)
        finally:
            visitor.socket.close()
        station._beat = float("inf")  # it says nothing itself
        station.drain()  # what came before the visitor
        before = station.count
        station.until("messages again", lambda: station.count > before + 20)
