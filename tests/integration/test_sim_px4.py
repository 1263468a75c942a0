# SPDX-License-Identifier: AGPL-3.0-or-later
"""Real PX4 SITL through `sim.px4` (with --px4 PATH): starts on our ports, flies, tells its ground truth, ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from dronectl.ports import free_ports
from missions.geo import GeoPoint, distance_m
from sim.pose import TruePose
from sim.px4 import Px4Error, Px4Install, Px4Instance, Px4Sitl, unused_numbers
from sim.px4_truth import TruthListener

HOME = GeoPoint(29.7, 107.3)


@pytest.mark.px4
async def test_px4_flies_on_our_ports_and_tells_its_truth(request: pytest.FixtureRequest, tmp_path: Path):
    path = request.config.getoption("--px4")
    api, truth = free_ports(socket.SOCK_DGRAM, 2)
    poses: list[TruePose] = []
    listener = await TruthListener.open("d1", truth, 4.0, poses.append)
    (number,) = unused_numbers(1)
    instance = Px4Instance(number, HOME, 250.0, api, system_id=44, truth_port=truth, params={"RTL_RETURN_ALT": 40.0})
    try:
        async with Px4Sitl(path, [instance], speed=4.0, folder=tmp_path / "px4") as fleet:
            assert number not in unused_numbers(5)
            pid = fleet.pids[number]
            pilot = Path(__file__).with_name("sim_mavsdk_pilot.py")
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(pilot), str(api), stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            assert fleet.running()
        facts = json.loads(output)
        assert facts.get("landed"), facts
        assert facts["system_id"] == 44
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        listener.close()
    assert max(pose.height_above_home_m for pose in poses) == pytest.approx(20.0, abs=4.0)
    assert distance_m(HOME, GeoPoint(poses[0].latitude_deg, poses[0].longitude_deg)) < 3.0
    times = [pose.time_s for pose in poses]
    assert times[-1] - times[0] > 20.0


def test_no_px4_where_there_is_none(tmp_path: Path):
    with pytest.raises(Px4Error, match="no px4 program"):
        Px4Install.find(tmp_path)


async def _words_of(tmp_path: Path, program_text: str) -> str:
    """What a stand-in for PX4 says before it ends at once, as the error repeats it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc" / "init.d-posix").mkdir(parents=True)
    for name in ("rcS", "px4-rc.mavlink"):
        (tmp_path / "etc" / "init.d-posix" / name).write_text("#!/bin/sh\n")
    program = tmp_path / "bin" / "px4"
    program.write_text(program_text)
    program.chmod(0o755)
    (port,) = free_ports(socket.SOCK_DGRAM, 1)
    with pytest.raises(Px4Error, match="code 7") as error:
        async with Px4Sitl(tmp_path, [Px4Instance(0, HOME, 250.0, port)], timeout_s=30.0):
            pass
    return str(error.value)


async def test_a_program_that_ends_at_once_is_named_with_its_words(tmp_path: Path):
    assert "the build is broken" in await _words_of(tmp_path, "#!/bin/sh\necho the build is broken\nexit 7\n")


async def test_px4_is_told_ports_that_no_outgoing_connection_gets(tmp_path: Path):
    """Between our look and its start PX4's four own ports lie open: the kernel must not give one to somebody else."""
    names = ("PROBE", "API", "TRUTH", "GCS")
    tells = "echo ports " + " ".join(f"$SITL_{name}_LOCAL" for name in names)
    said = (await _words_of(tmp_path, f"#!/bin/sh\n{tells}\nexit 7\n")).split("ports ")[1]
    ports = [int(word) for word in said.split()]
    assert len(set(ports)) == len(names)
    assert all(14_600 < port < 32_768 for port in ports)
