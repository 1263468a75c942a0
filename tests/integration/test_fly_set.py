# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl fly PLAN...` on three simulated drones: starts are kept, the refused shift nobody, Ctrl-C grounds the rest,
and a service that dies leaves what flies to fly.

The simulator runs at six times real time, and the starts are seconds of the real clock, as `fly` counts them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from site_service import PATIENCE_S, SiteProcesses, running_site, until

from dronectl.operations.launches import ON_GROUND
from dronectl.site import Site
from missions.deconflict.starts import SLACK_S
from missions.formats.qgc_plan import write_plan
from missions.geo import Altitude, Datum, GeoPoint, destination
from missions.model import FlightPlan, Waypoint
from missions.separation import check_separation
from missions.terrain import height_at

pytestmark = pytest.mark.timeout(300)
STARTS_S = {"d1": 0.0, "d2": 12.0, "d3": 24.0}  # over the pads the next one climbs well below the one before
HEIGHT = Altitude(45.0, Datum.HOME)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), drones=3, speed=6.0) as running:
        yield running


def flights(site: Site) -> dict[str, FlightPlan]:
    """Out and back in three directions, the later ones farther, so that they also come down one after another."""
    plans = {}
    for drone, bearing_deg, far_m in zip(site.drones, (0.0, 120.0, 240.0), (60.0, 180.0, 250.0), strict=True):
        plans[drone.drone_id] = FlightPlan(
            vehicle_id=drone.drone_id,
            mission=site.new_mission(f"set-{drone.drone_id}"),
            home=drone.pad,
            home_amsl_m=height_at(site.terrain, drone.pad),
            takeoff_height_m=HEIGHT.value_m,
            waypoints=(Waypoint(destination(drone.pad, bearing_deg, far_m), HEIGHT),),
            fence=site.fence,
            return_height_m=drone.return_height_m,
            cruise_speed_m_s=8.0,
            start_after_s=STARTS_S[drone.drone_id],
        )
    assert check_separation(list(plans.values()), site.limits) == []
    return plans


def into_the_keep_out(site: Site, plan: FlightPlan) -> FlightPlan:
    ring = site.fence.exclusion[0]
    middle = GeoPoint(sum(p.latitude_deg for p in ring) / len(ring), sum(p.longitude_deg for p in ring) / len(ring))
    return replace(plan, waypoints=(replace(plan.waypoints[0], position=middle),))


def written(folder: Path, *plans: FlightPlan) -> list[str]:
    files = [folder / f"{plan.vehicle_id}.plan" for plan in plans]
    for file, plan in zip(files, plans, strict=True):
        file.write_text(write_plan(plan), encoding="utf-8")
    return [str(file) for file in files]


def started(site: SiteProcesses, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dronectl", "fly", *arguments, *site.options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "200"},
    )


def in_the_air(site: SiteProcesses) -> set[str]:
    return {v["vehicle_id"] for v in site.get("/api/v1/vehicles") if v["landed"] not in ("on_ground", "unknown")}


def sorties_of(site: SiteProcesses) -> dict[str, dict[str, Any]]:
    return {s["sortie_id"]: s for s in site.get("/api/v1/sorties")}


def all_down(site: SiteProcesses) -> bool:
    """Nothing is left of the test before: a vehicle that is still on its way back is refused another flight."""
    ended = {s["state"] for s in sorties_of(site).values()} <= {"landed", "failed"}
    return ended and not in_the_air(site)


def took_off(now: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]]) -> set[str]:
    """Whose new sortie has left the ground, at whatever time since; none may have failed."""
    new = [sortie for sortie_id, sortie in now.items() if sortie_id not in before]
    assert "failed" not in [s["state"] for s in new], new
    return {s["vehicle_id"] for s in new if s["state"] not in ON_GROUND}


def test_a_set_takes_off_at_its_starts_and_who_is_refused_shifts_nobody(site, tmp_path):
    plans = flights(site.stage.site)
    files = written(tmp_path, plans["d3"], plans["d1"], into_the_keep_out(site.stage.site, plans["d2"]))
    flying = started(site, *files, "--json")
    took_off_s: dict[str, float] = {}
    deadline_s = time.monotonic() + 2 * PATIENCE_S
    while flying.poll() is None and time.monotonic() < deadline_s:
        for drone in in_the_air(site):
            took_off_s.setdefault(drone, time.monotonic())
        time.sleep(0.1)
    said, errors = flying.communicate(timeout=PATIENCE_S)
    assert flying.returncode == 2, said + errors
    assert f"{files[2]}: refused by preflight for d2:" in errors
    assert "keep-out" in errors
    assert sorted(took_off_s) == ["d1", "d3"]
    # What it needed on the ground is allowed for by at most the slack, whatever the machine does.
    apart_s = took_off_s["d3"] - took_off_s["d1"]
    assert STARTS_S["d3"] - SLACK_S - 1.0 <= apart_s <= STARTS_S["d3"] + PATIENCE_S
    sorties = json.loads(said)
    assert [(s["vehicle_id"], s["outcome"]) for s in sorties] == [
        ("d3", "completed"),
        ("d1", "completed"),
        ("d2", "failed"),
    ]


def test_one_alone_starts_now_and_an_interrupt_leaves_on_the_ground_what_was_not_handed_in(site, tmp_path):
    until("every vehicle", site.vehicles_ready)
    until("all are down", lambda: all_down(site))
    before = sorties_of(site)
    plans = flights(site.stage.site)
    alone, *files = written(tmp_path, plans["d3"], plans["d1"], replace(plans["d2"], start_after_s=100.0))
    handed_in = site.cli("fly", alone, "--no-wait", *site.options)
    assert handed_in.returncode == 0, handed_in.stderr
    assert "d3 was planned to start 0:24.0 after its set; flown alone it starts now" in handed_in.stdout
    flying = started(site, *files)
    assert flying.stdout is not None
    heard = []
    while not (heard and heard[-1].startswith("d1: ")):
        heard.append(flying.stdout.readline())
        assert heard[-1], flying.communicate(timeout=PATIENCE_S)
    flying.send_signal(signal.SIGINT)
    rest, errors = flying.communicate(timeout=PATIENCE_S)
    said = "".join(heard) + rest
    assert flying.returncode == 1, said + errors
    assert "d1 starts now, then d2 +1:40.0 after its take-off" in said
    assert "not handed in, on the ground: d2" in errors
    assert "d1 goes on" in errors
    assert "Traceback" not in errors
    # On a busy machine the one that flew alone is down again before the other has taken off.
    until("both took off", lambda: took_off(sorties_of(site), before) == {"d1", "d3"})
    assert {s["vehicle_id"] for i, s in sorties_of(site).items() if i not in before} == {"d1", "d3"}  # and d2 had none


def test_a_service_that_dies_is_told_with_what_flies_on_and_the_next_one_adopts_it(site, tmp_path):
    until("every vehicle", site.vehicles_ready)
    until("all are down", lambda: all_down(site))
    before = sorties_of(site)
    plans = flights(site.stage.site)
    flying = started(site, *written(tmp_path, plans["d1"], replace(plans["d2"], start_after_s=100.0)))
    until("d1 took off", lambda: took_off(sorties_of(site), before) == {"d1"})
    site.stop_service(kill=True)
    said, errors = flying.communicate(timeout=PATIENCE_S)
    assert flying.returncode == 3, said + errors
    lines = errors.strip().splitlines()
    assert len(" ".join(lines)) < 500
    assert "d1 flies on without it" in " ".join(errors.split())
    assert "on the ground: d2" in errors
    assert "`dronectl up` again" in errors
    assert "--direct" in errors
    assert "Traceback" not in errors
    site.start_service()
    until("d1 came home", lambda: [s["state"] for i, s in sorties_of(site).items() if i not in before] == ["landed"])
