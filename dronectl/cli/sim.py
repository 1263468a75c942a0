# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl sim`: simulated vehicles in a process of their own, alone for any ground station, or those of a site."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dronectl.errors import BadInputError


def sim(
    context: typer.Context,
    site: Annotated[
        Path | None,
        typer.Option(
            help="Play the drones of this site file, with their system ids, ports, pads and cameras, and people and a fire "
            "on the ground, for `dronectl up` with the same file.",
            metavar="FILE",
        ),
    ] = None,
    vehicles: Annotated[int, typer.Option("--vehicles", min=1, max=128, help="How many.")] = 1,
    target: Annotated[
        str, typer.Option(help="Where they send their MAVLink: the ground station's address.", metavar="HOST:PORT")
    ] = "127.0.0.1:24550",
    one_port: Annotated[
        bool, typer.Option("--one-port", help="All to one port; without it they send to PORT, PORT+1, ...")
    ] = False,
    first_system_id: Annotated[int, typer.Option(min=1, max=250, help="The others follow.", metavar="ID")] = 1,
    latitude: Annotated[float, typer.Option(min=-85, max=85, help="Home, degrees.")] = 29.74,
    longitude: Annotated[float, typer.Option(min=-180, max=180, help="Home, degrees.")] = 107.27,
    speed: Annotated[float, typer.Option(min=0.1, max=20, help="Simulated seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of sensors, wind, and with --site of the scene.")] = 1,
) -> None:
    """Start simulated PX4 vehicles until Ctrl-C. They behave like PX4 towards a ground station, and fly nothing real.

    A whole site to try: `dronectl up --site site.yaml` in one terminal, `dronectl sim --site site.yaml` in another.
    """
    if site is not None:
        alone = ("vehicles", "target", "one_port", "first_system_id", "latitude", "longitude")
        given = [name for name in alone if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]
        if given:
            raise BadInputError(f"--{given[0].replace('_', '-')} does not go with --site: the site file says it")
        _run(["run", _document(site, seed, speed)])
    arguments = ["vehicles", "--vehicles", str(vehicles), "--target", target, "--latitude", str(latitude)]
    arguments += ["--longitude", str(longitude), "--speed", str(speed), "--seed", str(seed)]
    arguments += ["--first-system-id", str(first_system_id)]
    if one_port:
        arguments.append("--one-port")
    _run(arguments)


def _document(site_file: Path, seed: int, speed: float) -> str:
    """The site as the simulator reads it."""
    from dronectl.demo.simulated import patrol_scene, sim_document
    from dronectl.site import load_site
    from dronectl.terrain_io import save_terrain

    site = load_site(site_file)
    ground = _memory("terrain")
    with open(ground, "wb", closefd=False) as file:
        save_terrain(file, site.terrain)  # whatever the site's own was read from
    simulated = sim_document(site, seed, speed, patrol_scene(site))
    simulated["terrain"]["npz"] = _path(ground)
    document = _memory("site")
    with open(document, "wb", closefd=False) as file:
        file.write(json.dumps(simulated).encode())
    return _path(document)


def _memory(name: str) -> int:
    """A file in memory that the program inherits which takes our place.

    A temporary file would have to be removed by a program that may be killed before it comes to that; this one is gone
    with the last process that has it, however that ends. It needs Linux, as the rest does.
    """
    return os.memfd_create(name, 0)  # 0: stays open over exec


def _path(descriptor: int) -> str:
    return f"/proc/{os.getpid()}/fd/{descriptor}"  # the number stays ours over exec; the cameras' process reads it too


def _run(arguments: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "sim", *arguments])  # noqa: S606  # no shell is the point
