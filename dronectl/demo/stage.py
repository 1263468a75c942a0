# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sets the stage: a run folder with a site file of its own on free ports, and the simulator's document.

The site file that is left there is a complete example to start a site of one's own from.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from dronectl.demo.simulated import patrol_scene, sim_document
from dronectl.errors import BadInputError
from dronectl.ports import free_ports
from dronectl.site import Site, load_site
from dronectl.site_model import LINK_LOSS_MOST_S
from dronectl.terrain_io import save_terrain


@dataclass(frozen=True, slots=True)
class Play:
    """What is played: its name, what it changes in the site file, and what lies on the ground there.

    scene: from the run's own site to the simulator's scene, beside its ring.
    """

    name: str
    edit: Callable[[dict[str, Any]], None]
    scene: Callable[[Site], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A run folder and what lies in it."""

    folder: Path
    site: Site
    sim_document: Path
    ready_file: Path
    truth_file: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def plans(self) -> Path:
        return self.folder / "plans"


def make_run_folder(base: Path, seed: int, now: datetime, name: str) -> Path:
    """Make `base/DATE-TIME-NAME-seedN` and point `base/latest` at it."""
    folder = base / f"{now:%Y%m%d-%H%M%S}-{name}-seed{seed}"
    try:
        folder.mkdir(parents=True)
        link = base / "latest"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
    except OSError as error:
        raise BadInputError(
            f"{error.filename}: cannot be made: {error.strerror}; name another folder with --out"
        ) from error
    return folder.resolve()


PATROL: Final = Play("patrol", lambda _document: None, patrol_scene)


def set_stage(folder: Path, site_file: Path, seed: int, speed: float, px4: Path | None, play: Play = PATROL) -> Stage:
    """Write the run's site file and the simulator's document."""
    template = load_site(site_file)
    document: dict[str, Any] = yaml.safe_load(site_file.read_text(encoding="utf-8"))
    drones = document["drones"]
    links = free_ports(socket.SOCK_DGRAM, 2 * len(drones))
    streaming = [camera for drone in drones for camera in drone.get("cameras", []) if "port" in camera]
    doors = free_ports(socket.SOCK_STREAM, len(streaming) + 2)
    for drone, port in zip(drones, links, strict=False):
        drone["connection"] = f"udpin://127.0.0.1:{port}"
    for camera in streaming:
        camera["host"], camera["port"] = "127.0.0.1", doors.pop()
    document["broker"] = {"mode": "child", "port": doors.pop()}
    document["http"] = {"host": "127.0.0.1", "port": doors.pop()}
    document["terrain"] = "terrain.npz"
    link_loss_s = template.model.failsafe.link_loss_s
    document.setdefault("failsafe", {})["link_loss_s"] = _stretched(link_loss_s, speed)
    play.edit(document)
    save_terrain(folder / "terrain.npz", template.terrain)
    own = folder / "site.yaml"
    own.write_text(
        f"# Made by `dronectl demo {play.name}` from {site_file.name}, on ports that were free.\n"
        f"# failsafe.link_loss_s is {link_loss_s} in {site_file.name}; here the vehicles' clocks run {speed:g} times as fast.\n"
        "# To start a site of your own from this file take terrain.npz along, and set failsafe.link_loss_s back.\n"
        + yaml.safe_dump(document, allow_unicode=True, sort_keys=False),
        encoding="utf-8",
    )
    site = load_site(own)
    stage = Stage(folder, site, folder / "sim.json", folder / "sim-ready.json", folder / "truth.jsonl")
    stage.plans.mkdir()
    simulated = sim_document(site, seed, speed, play.scene(site)) | {
        "px4": None
        if px4 is None
        else {
            drone.drone_id: {"truth_port": port} for drone, port in zip(site.drones, links[len(drones) :], strict=True)
        },
        "ready_file": str(stage.ready_file),
        "truth_file": str(stage.truth_file),
    }
    stage.sim_document.write_text(json.dumps(simulated, indent=1), encoding="utf-8")
    return stage


def _stretched(link_loss_s: int, speed: float) -> int:
    """The same time of ours, in seconds of clocks that run `speed` times as fast.

    A ground station says once a second of ours that it is there: at ten times the speed 15 s are over when it is half a
    second late, and on a busy machine that would send a flight home.
    """
    return min(LINK_LOSS_MOST_S, max(link_loss_s, round(link_loss_s * speed)))
