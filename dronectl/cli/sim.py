# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl sim`: simulated vehicles alone, for any ground station. They run in a process of their own."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def sim(
    vehicles: Annotated[int, typer.Option("--vehicles", min=1, max=128, help="How many.")] = 1,
    target: Annotated[
        str, typer.Option(help="Where they send their MAVLink: the ground station's address.", metavar="HOST:PORT")
    ] = "127.0.0.1:24550",
    one_port: Annotated[
        bool, typer.Option("--one-port", help="All to one port; without it vehicle N sends to PORT+N.")
    ] = False,
    latitude: Annotated[float, typer.Option(min=-85, max=85, help="Home, degrees.")] = 29.74,
    longitude: Annotated[float, typer.Option(min=-180, max=180, help="Home, degrees.")] = 107.27,
    speed: Annotated[float, typer.Option(min=0.1, max=20, help="Simulated seconds per second.")] = 1.0,
) -> None:
    """Start simulated PX4 vehicles until Ctrl-C. They behave like PX4 towards a ground station, and fly nothing real."""
    arguments = ["vehicles", "--vehicles", str(vehicles), "--target", target, "--latitude", str(latitude)]
    arguments += ["--longitude", str(longitude), "--speed", str(speed)]
    if one_port:
        arguments.append("--one-port")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "sim", *arguments])  # noqa: S606  # no shell is the point
