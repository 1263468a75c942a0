# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl sim --site`: what flies there is what the site file says, at the ports at which `dronectl up` listens."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dronectl.demo.simulated import patrol_scene, sim_document
from dronectl.demo.stage import set_stage
from dronectl.errors import BadInputError
from dronectl.paths import default_site_file
from dronectl.site import load_site

SYSTEM_ID_BYTE = 5  # of a MAVLink 2 packet
V2 = 0xFD


def test_the_vehicles_of_a_site_send_to_its_ports_under_its_system_ids(tmp_path):
    site = set_stage(tmp_path, default_site_file(), 1, 1.0, None).site
    doors = {}
    for drone in site.drones:
        door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        door.bind(("127.0.0.1", int(drone.connection.rsplit(":", 1)[1])))
        door.settimeout(60)
        doors[drone.system_id] = door
    command = [sys.executable, "-m", "dronectl", "sim", "--site", str(site.file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        try:
            said = process.stdout.readline() or process.stderr.read()
            ready = json.loads(said)["ready"]
            for system_id, door in doors.items():
                packet = door.recv(2048)
                assert (packet[0], packet[SYSTEM_ID_BYTE]) == (V2, system_id)
        finally:
            process.terminate()
            for door in doors.values():
                door.close()
        assert process.wait(30) == 0
    assert set(ready["camera_ports"].items()) == {
        (camera.camera_id, port) for drone in site.drones for camera, _host, port in drone.cameras
    }


def test_a_simulated_site_that_is_killed_leaves_no_file_behind(tmp_path):
    run, temporary = tmp_path / "run", tmp_path / "tmp"
    run.mkdir()
    temporary.mkdir()
    site = set_stage(run, default_site_file(), 1, 1.0, None).site
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    command = [sys.executable, "-m", "dronectl", "sim", "--site", str(site.file)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=temporary, env=environment, **pipes) as process:
        assert b"ready" in process.stdout.readline()
        process.kill()
        process.stderr.read()  # the cameras' process has it too, and has ended then
    assert list(temporary.iterdir()) == []
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    "connection", ["serial:///dev/ttyUSB0:57600", "udpin://192.0.2.7:24552", "tcpin://127.0.0.1:24552"]
)
def test_a_drone_that_is_not_reached_by_udp_here_is_named(tmp_path, connection):
    (tmp_path / "terrain.npz").write_bytes((default_site_file().parent / "terrain.npz").read_bytes())
    file = tmp_path / "site.yaml"
    text = default_site_file().read_text(encoding="utf-8")
    file.write_text(text.replace("udpin://127.0.0.1:24552", connection), encoding="utf-8")
    site = load_site(file)
    with pytest.raises(BadInputError, match=r"d2: .*simulated vehicles send to udpin"):
        sim_document(site, 1, 1.0, patrol_scene(site))


def test_a_black_hot_camera_is_simulated_in_degrees_as_any_other(tmp_path):
    (tmp_path / "terrain.npz").write_bytes((default_site_file().parent / "terrain.npz").read_bytes())
    file = tmp_path / "site.yaml"
    text = default_site_file().read_text(encoding="utf-8")
    file.write_text(text.replace("modality: thermal\n", "modality: thermal\n    polarity: black\n"), encoding="utf-8")
    documents = [sim_document(site, 1, 1.0, patrol_scene(site)) for site in map(load_site, (file, default_site_file()))]
    for document in documents:
        document["terrain"] = None
    assert documents[0] == documents[1]


def test_what_the_site_file_says_cannot_be_said_again(tmp_path):
    command = [sys.executable, "-m", "dronectl", "sim", "--site", str(default_site_file()), "--vehicles", "2"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: --vehicles does not go with --site: the site file says it\n"
    assert list(Path(tmp_path).iterdir()) == []
