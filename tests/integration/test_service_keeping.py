# SPDX-License-Identifier: AGPL-3.0-or-later
"""A service that cannot keep what happens: a disk that takes no more, a state folder that is deleted, in flight."""

import json
import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest
from site_service import running_site, until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a file size limit on another process: Linux"),
]

FULL_B = 32 * 1024  # less than the database's log holds already, more than anything else that is written here


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), drones=2, speed=8.0) as running:
        done = running.cli("plan", "patrol", "--site", str(running.stage.site.file), "--out", str(running.stage.plans))
        assert done.returncode == 0, done.stderr
        yield running


@contextmanager
def followed(site, *arguments):
    """A program of ours that runs beside the test; yields what it has said so far."""
    log = site.stage.folder / f"{arguments[0]}.log"
    with log.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "dronectl", *arguments, *site.options],
            stdout=file,
            stderr=file,
            env={**os.environ, "COLUMNS": "400"},
        )
    try:
        yield lambda: log.read_text(encoding="utf-8")
    finally:
        child.terminate()
        child.wait(60)


def disk_full(site, full: bool) -> None:
    most = (FULL_B, resource.RLIM_INFINITY) if full else (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(site.service.pid, resource.RLIMIT_FSIZE, most)


def store_of(site):
    health = httpx.get(f"{site.url}/health", timeout=30, trust_env=False).json()
    (part,) = [part for part in health["children"] if part["name"] == "store"]
    assert health["ok"] == all(p["state"] == "running" for p in health["children"])
    return part


def service_log(site) -> str:
    return (site.stage.folder / "service.log").read_text(encoding="utf-8")


def flying(site):
    return until("a waypoint", lambda: next((s for s in site.get("/api/v1/sorties") if s["waypoints_reached"]), None))


def test_a_disk_that_takes_no_more_holds_nobody_up_and_is_told_everywhere(site):
    plans = [str(site.stage.plans / f"d{n}.plan") for n in (1, 2)]
    with followed(site, "alerts", "tail") as tail, followed(site, "fly", plans[0]) as fly:
        sortie_id = flying(site)["sortie_id"]
        assert store_of(site)["state"] == "running"
        disk_full(site, full=True)
        held = site.cli("hold", "d1", *site.options)
        assert held.returncode == 0, held.stderr
        assert "hold done not logged yet: " in held.stdout
        assert "dronectl.db: " in held.stdout
        reason = until("health", lambda: (p := store_of(site))["state"] == "waiting" and p["reason"])
        assert "dronectl.db: " in reason
        until("the tail", lambda: f"the service says: alerts and flights cannot be kept: {reason}" in tail())
        until("fly", lambda: f"flights go on, but what happens cannot be kept: {reason}" in fly())
        refused = site.cli("fly", plans[1], "--no-wait", *site.options)
        assert refused.returncode == 3
        assert reason in refused.stderr.replace("\n", " ")
        home = site.cli("return", "d1", *site.options)
        assert home.returncode == 0, home.stderr
        disk_full(site, full=False)
        until("health again", lambda: store_of(site)["state"] == "running")
        until("the tail again", lambda: "the service works again" in tail())
        until("fly again", lambda: "the service keeps what happens again" in fly())
        until("landed", lambda: site.get(f"/api/v1/sorties/{sortie_id}")["outcome"])
    assert tail().count("the service says") == 1
    assert fly().count("cannot be kept") == 1
    mission = until("the ledger", lambda: next((m for m in site.get("/api/v1/missions") if m["outcome"]), None))
    assert mission["outcome"] in ("partial", "aborted")
    log = service_log(site)
    assert "Traceback" not in log
    assert "lost" not in log
    for order in ("hold of d1", "return of d1"):
        assert log.count(f"{order}: logged now") >= 1, log


def test_a_state_folder_that_is_deleted_in_flight_keeps_nobody_from_being_held(site):
    with followed(site, "fly", str(site.stage.plans / "d2.plan")) as fly:
        until(
            "d2 flies",
            lambda: any(s["vehicle_id"] == "d2" and s["waypoints_reached"] for s in site.get("/api/v1/sorties")),
        )
        token = (site.stage.state / "token").read_text(encoding="utf-8")
        shutil.rmtree(site.stage.state)
        until("the token", (site.stage.state / "service.json").exists)
        assert (site.stage.state / "token").read_text(encoding="utf-8") == token
        assert (site.stage.state / "token").stat().st_mode & 0o777 == 0o600
        held = site.cli("hold", "d2", *site.options)
        assert held.returncode == 0, held.stdout + held.stderr
        until("the broker's address", (site.stage.state / "broker" / "broker.json").exists)
        with followed(site, "alerts", "tail") as tail:
            until("a new tail", lambda: "connected to" in tail())
        reason = until("health", lambda: (p := store_of(site))["state"] == "waiting" and p["reason"])
        assert "it is not there any more (deleted or moved)" in reason
        until("fly", lambda: reason in fly())
        refused = site.cli("fly", str(site.stage.plans / "d1.plan"), "--no-wait", *site.options)
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "not there any more" in refused.stderr
        assert site.cli("land", "d2", *site.options).returncode == 0
        known = json.loads(site.cli("vehicles", "--json", *site.options).stdout)
        assert all(v["connected"] for v in known)
    assert not (site.stage.state / "dronectl.db").exists()
    log = service_log(site)
    assert "Traceback" not in log
    assert log.count("token and address, files of the broker were gone and are written again") == 1
    site.stop_service()
    assert not (site.stage.state / "service.json").exists()
