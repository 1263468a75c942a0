# SPDX-License-Identifier: AGPL-3.0-or-later
"""A whole site in processes of their own, as a user runs it: simulated vehicles without cameras, and `dronectl up`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from dronectl.demo.stage import Stage, set_stage
from dronectl.paths import config_dir

PATIENCE_S = 90.0
# A client for each look would load all certificates first, ten times a second. No connection
# is kept: the service that it led to may have died.
_HTTP = httpx.Client(timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def stage_without_cameras(folder: Path, drones: int, speed: float) -> Stage:
    """The demonstration site on free ports, with fewer drones and no cameras."""
    source = config_dir() / "lidu"
    document = yaml.safe_load((source / "site.yaml").read_text(encoding="utf-8"))
    document["drones"] = document["drones"][:drones]
    for drone in document["drones"]:
        drone["cameras"] = []
    (folder / "in").mkdir()
    (folder / "run").mkdir()
    shutil.copy(source / "terrain.npz", folder / "in")
    template = folder / "in" / "site.yaml"
    template.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return set_stage(folder / "run", template, seed=1, speed=speed, px4=None)


def until(what: str, condition: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """Poll until the condition gives something true; returns it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError, FileNotFoundError, ConnectionError):
            if got := condition():
                return got
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {timeout_s} s")


@dataclass
class SiteProcesses:
    """The running site."""

    stage: Stage
    sim: subprocess.Popen[bytes] | None
    service: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> list[str]:
        return ["--site", str(self.stage.site.file), "--state", str(self.stage.state)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stage.site.model.http.port}"

    @property
    def http_address(self) -> tuple[str, int]:
        return "127.0.0.1", self.stage.site.model.http.port

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.stage.state / 'token').read_text(encoding='utf-8').strip()}"}

    def get(self, path: str) -> Any:
        return _HTTP.get(self.url + path, headers=self.headers).raise_for_status().json()

    def cli(self, *arguments: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run `dronectl` as a user does."""
        return subprocess.run(
            [sys.executable, "-m", "dronectl", *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    def alive(self) -> bool:
        """AssertionError with the last words of whichever has ended: nobody need wait for it any longer."""
        for name, process in (("sim", self.sim), ("service", self.service)):
            if process is not None and (code := process.poll()) is not None:
                words = (self.stage.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-3000:]
                raise AssertionError(f"the {name} ended with {code}:\n{words}")
        return True

    def start_service(self) -> None:
        log = (self.stage.folder / "service.log").open("ab")
        with log:
            self.service = subprocess.Popen(
                [sys.executable, "-m", "dronectl", "up", *self.options, "--exit-with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        until(
            "the service's door",
            lambda: self.alive() and _HTTP.get(f"{self.url}/health", timeout=5).is_success,
        )

    def stop_service(self, *, kill: bool = False) -> None:
        if self.service is None:
            return
        if kill:
            self.service.kill()
        else:
            self.service.terminate()
        self.service.wait(timeout=PATIENCE_S)
        if self.service.stdin is not None:
            self.service.stdin.close()
        self.service = None

    def vehicles_ready(self) -> bool:
        return all(v["connected"] and v["armable"] and v["home_ok"] for v in self.get("/api/v1/vehicles"))


@contextmanager
def running_site(folder: Path, drones: int = 2, speed: float = 8.0) -> Iterator[SiteProcesses]:
    """Vehicles and service, up and ready; everything ended afterwards."""
    stage = stage_without_cameras(folder, drones, speed)
    with (stage.folder / "sim.log").open("wb") as log:
        sim = subprocess.Popen(
            [sys.executable, "-m", "sim", "run", str(stage.sim_document), "--exit-with-parent"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    site = SiteProcesses(stage, sim)
    try:
        until("the simulator", lambda: site.alive() and stage.ready_file.exists())
        site.start_service()
        until("every vehicle", lambda: site.alive() and site.vehicles_ready())
        yield site
    finally:
        site.stop_service()
        sim.terminate()
        sim.wait(timeout=PATIENCE_S)
        if sim.stdin is not None:
            sim.stdin.close()


def plan_document(folder: Path, drone: str) -> dict[str, Any]:
    return json.loads((folder / f"{drone}.plan").read_text(encoding="utf-8"))


def busy_port() -> tuple[socket.socket, int]:
    """A port that somebody listens on."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    return holder, holder.getsockname()[1]
