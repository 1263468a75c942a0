# SPDX-License-Identifier: AGPL-3.0-or-later
"""A site for measuring the whole service: simulated vehicles, `dronectl up`, and flights, each a process of its own.

Ports are free ones of loopback; what is started is ended by its pid.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from children import child

from dronectl.demo.stage import set_stage
from dronectl.errors import UnavailableError
from dronectl.paths import config_dir
from dronectl.ports import free_ports
from dronectl.site import load_site
from dronectl.terrain_io import save_terrain
from missions.formats.qgc_plan import write_plan
from missions.geo import Altitude, Datum, GeoPoint, LocalFrame, destination
from missions.model import FlightPlan, Waypoint
from missions.terrain import GridTerrain, height_at

_LEAST_PATIENCE_S = 120.0
_GROUND_AMSL_M = 250.0
_PADS_APART_M = 12.0
_LEGS, _LEG_M, _HEIGHT_M = 8, 500.0, 60.0
_UNDER_WAY = ("arming", "taking_off", "flying", "failed")


# ---------------------------------------------------------------------------------------------------- processes


@contextlib.contextmanager
def module(log, *arguments, piped=False):
    """`python -m ARGUMENTS` with its log. When the measurement fails, the log's end is shown."""
    with (
        log.open("ab") as file,
        child(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if piped else file,
            stderr=file,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        try:
            yield process
        except BaseException:
            print(
                f"the log of {' '.join(arguments[:2])} ends:",
                *log.read_text(encoding="utf-8").splitlines()[-8:],
                sep="\n  ",
                flush=True,
            )
            raise


def simulator(stage):
    return module(stage.folder / "sim.log", "sim", "run", str(stage.sim_document), "--exit-with-parent", piped=True)


def service(stage, state=None):
    where = ("--site", str(stage.site.file), "--state", str(state or stage.state))
    return module(stage.folder / "service.log", "dronectl", "up", *where, "--exit-with-parent")


def sim_status(sim):
    sim.stdin.write(b'{"status": true}\n')
    sim.stdin.flush()
    return json.loads(sim.stdout.readline())["status"]


def until(what, condition, limit_s=_LEAST_PATIENCE_S, every_s=0.1):
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        with contextlib.suppress(UnavailableError, OSError):
            if got := condition():
                return got
        time.sleep(every_s)
    raise SystemExit(f"{what}: not within {limit_s:.0f} s")


def healthy(port):
    """Ask /health with nothing but a socket, so that asking costs nothing beside what is measured."""
    door = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        door.request("GET", "/health")
        answer = door.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    finally:
        door.close()


def link_workers(service_pid):
    """The pids of the service's link workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
            if parent == service_pid and b"dronectl.fleet.worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def memory_mb(pid, field="Pss"):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1000.0
    raise SystemExit(f"no {field} of {pid}")


# -------------------------------------------------------------------------------------------------------- sites


def stage_of(folder, change, terrain=None):
    """The demonstration site, changed, on free ports; the vehicles' are below those that the system hands out."""
    source = config_dir() / "lidu"
    document = yaml.safe_load((source / "site.yaml").read_text(encoding="utf-8"))
    change(document)
    (folder / "in").mkdir()
    (folder / "run").mkdir()
    if terrain is None:
        shutil.copy(source / "terrain.npz", folder / "in")
    else:
        save_terrain(folder / "in" / "terrain.npz", terrain)
    template = folder / "in" / "site.yaml"
    template.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    stage = set_stage(folder / "run", template, seed=1, speed=1.0, px4=None)
    site_file = stage.site.file
    own = yaml.safe_load(site_file.read_text(encoding="utf-8"))
    sim = json.loads(stage.sim_document.read_text(encoding="utf-8"))
    for drone, vehicle, port in zip(
        own["drones"], sim["vehicles"], free_ports(socket.SOCK_DGRAM, len(own["drones"])), strict=True
    ):
        drone["connection"], vehicle["target_port"] = f"udpin://127.0.0.1:{port}", port
    site_file.write_text(yaml.safe_dump(own, allow_unicode=True, sort_keys=False), encoding="utf-8")
    stage.sim_document.write_text(json.dumps(sim))
    return replace(stage, site=load_site(site_file))


def without_cameras(document):
    for drone in document["drones"]:
        drone["cameras"] = []


def with_fleet(count):
    def change(document):
        dock = GeoPoint(*document["docks"][0]["position"])
        document["drones"] = []
        for n in range(count):
            row = destination(dock, 0.0, _PADS_APART_M * (n // 10 - 4.5))
            pad = destination(row, 90.0, _PADS_APART_M * (n % 10 - 4.5))
            document["drones"].append(
                {
                    "id": f"d{n + 1}",
                    "dock": document["docks"][0]["id"],
                    "pad": [pad.latitude_deg, pad.longitude_deg],
                    "system_id": n + 1,
                    "connection": f"udpin://127.0.0.1:{20_000 + n}",  # replaced
                }
            )
        document["failsafe"]["return_height_step_m"] = 0.0  # a hundred layers would go through the ceiling

    return change


def flat_ground():
    heights = np.full((81, 81), _GROUND_AMSL_M, dtype=np.float32)
    return GridTerrain(LocalFrame(GeoPoint(29.74, 107.27)), -2000.0, -2000.0, 50.0, heights, "flat", 1.0)


def up_and_down(site, drone):
    """A flight that goes north and south of its pad for as long as a measurement lasts."""
    ends = [destination(drone.pad, bearing, _LEG_M) for bearing in (0.0, 180.0)]
    return FlightPlan(
        vehicle_id=drone.drone_id,
        mission=site.new_mission(f"bench-{drone.drone_id}"),
        home=drone.pad,
        home_amsl_m=height_at(site.terrain, drone.pad),
        takeoff_height_m=_HEIGHT_M,
        waypoints=tuple(Waypoint(ends[n % 2], Altitude(_HEIGHT_M, Datum.HOME)) for n in range(_LEGS)),
        fence=site.fence,
        return_height_m=drone.return_height_m,
        cruise_speed_m_s=site.limits.cruise_speed_m_s,
    )


def fly(client, plans):
    """Order the flights and wait until all are under way. At most 16 prepare at a time: a preflight asks many things."""
    until("every vehicle", lambda: all(v["connected"] and v["armable"] and v["home_ok"] for v in vehicles(client)))
    for number, plan in enumerate(plans):
        until("preflights", lambda ordered=number: ordered - in_states(client, *_UNDER_WAY) < 16)
        body = {"vehicle_id": plan.vehicle_id, "plan": json.loads(write_plan(plan)), "reason": "benchmark"}
        client.post("/api/v1/sorties", body)
    until("every flight", lambda: in_states(client, "flying", "failed") == len(plans), 300.0)
    failed = [s for s in client.get("/api/v1/sorties") if s["state"] == "failed"]
    if failed:
        raise SystemExit(f"{len(failed)} flights failed, the first: {failed[0]['detail']}; {failed[0]['findings'][:3]}")


def vehicles(client):
    return client.get("/api/v1/vehicles")


def in_states(client, *states):
    return sum(s["state"] in states for s in client.get("/api/v1/sorties"))
