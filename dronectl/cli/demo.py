# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl demo`: a whole site on this machine, flown, watched, scored."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dronectl.cli.common import JsonOption, err, out, print_json
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.paths import default_site_file

_FLIGHT_TIMEOUT_SIM_S = 600.0  # of vehicle time; the flights are planned for less than 8 minutes
_SLOWDOWN = 4.0  # the simulator waits for vision; a slow machine may need several times as long


def demo(
    seed: Annotated[int, typer.Option(help="Another seed, another scene and other noise.", min=0)] = 1,
    speed: Annotated[
        float | None, typer.Option(help="Simulated seconds per second. Default: 4, with --px4 1.", min=0.5, max=10)
    ] = None,
    px4: Annotated[
        Path | None,
        typer.Option(
            "--px4", help="Fly on real PX4 SITL: a build (px4_sitl_default) or install folder.", metavar="PATH"
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option("--site", help="Site file to demonstrate. Default: the one that ships.", metavar="FILE"),
    ] = None,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Where run folders go; `latest` in it points at the newest.", metavar="DIR")
    ] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Fly the demonstration patrol: site, vehicles, cameras, alerts, dispatcher, report.

    Exit code 0 only if the patrol was flown, everyone landed, every alert was acknowledged, at least 80 % of the
    detectable people and the fire were found, at most 2 alarms were false, and at least 80 % of the true positions
    lie inside their 95 % ellipse. Everything runs on this machine; only loopback is used.
    """
    from dronectl.demo.run import Options, play, summary
    from dronectl.demo.stage import make_run_folder, set_stage

    if px4 is not None and not px4.exists():
        raise BadInputError(f"--px4 {px4}: there is no such folder")
    pace = speed if speed is not None else 1.0 if px4 else 4.0
    folder = make_run_folder(out_dir, seed, datetime.now().astimezone())
    stage = set_stage(folder, site or default_site_file(), seed, pace, px4)
    console: Console = err if as_json else out
    console.print(f"run folder: {folder}", markup=False)
    timeout_s = _FLIGHT_TIMEOUT_SIM_S / pace * (1.5 if px4 else _SLOWDOWN)
    data = asyncio.run(play(stage, Options(seed, pace, px4, timeout_s), console))
    if as_json:
        print_json({**summary(data), "report": str(folder / "report.html")})
    else:
        for goal in data.goals:
            mark = "[green]yes[/green]" if goal.reached else "[red]NO [/red]"
            out.print(f"  {mark} {goal.en}: {goal.figure}")
        out.print(f"report: {folder / 'report.html'}", markup=False)
    if not data.passed:
        raise typer.Exit(EXIT_GOAL_MISSED)
