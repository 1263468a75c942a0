# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl demo [NAME]`: a whole site on this machine, flown, watched, scored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from dronectl.cli.common import JsonOption, err, out, print_json
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.paths import default_site_file

if TYPE_CHECKING:
    from dronectl.demo.site_run import Options
    from dronectl.report.data import Goal

_FLIGHT_TIMEOUT_SIM_S = 600.0  # of vehicle time; the flights are planned for less than 8 minutes
# The simulator waits for vision; a busy machine may need many times as long.
_SLOWDOWN = {"patrol": 4.0, "search": 12.0, "cover": 12.0}


class Name(StrEnum):
    """What can be played."""

    PATROL = "patrol"
    SEARCH = "search"
    COVER = "cover"


def demo(
    name: Annotated[Name, typer.Argument(help="What is played.", metavar="NAME")] = Name.PATROL,
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
    """Play a whole site on this machine: vehicles, cameras, service, alerts, dispatcher, report.

    **patrol**: exit code 0 only if the patrol was flown, everyone landed, every alert was acknowledged, at least 80 % of
    the detectable people and the fire were found, at most 2 alarms were false or double, and at least 80 % of the true
    positions lie inside their 95 % ellipse.

    **search**: an elder is missing on a cold night. Form, probability map, plans, flights, at most one change of
    batteries. Exit code 0 only if the person was found within 30 minutes, or was never properly in view (then the
    report says how much probability is left, and where), everyone landed, every alert was acknowledged, and at most 2
    alarms were false or double.

    **cover**: two drones photograph a drawn area with a pond in it, with fresh batteries on the way. Exit code 0 only if at
    least 99 % of what was planned to be seen was really seen, every flight was flown to its end, and everyone landed.

    Only loopback is used. docs/demos.md says more.
    """
    if px4 is not None and not px4.exists():
        raise BadInputError(f"--px4 {px4}: there is no such folder")
    if name is not Name.PATROL and px4 is not None:
        raise BadInputError(
            f"demo {name.value}: --px4 cannot be used, since SITL batteries cannot be changed on the way"
        )
    pace = speed if speed is not None else 1.0 if px4 else 4.0
    told: Console = err if as_json else out
    timeout_s = _FLIGHT_TIMEOUT_SIM_S / pace * (1.5 if px4 else _SLOWDOWN[name.value])
    settings = _Settings(site or default_site_file(), out_dir, seed, pace, px4, timeout_s, told)
    played = {Name.PATROL: _patrol, Name.SEARCH: _search, Name.COVER: _cover}[name](settings)
    if as_json:
        print_json({**played.document, "report": str(played.folder / "report.html")})
    else:
        for goal in played.goals:
            mark = "[green]yes[/green]" if goal.reached else "[red]NO [/red]"
            out.print(f"  {mark} {goal.en}: {goal.figure}")
        out.print(f"report: {played.folder / 'report.html'}", markup=False)
    if not all(goal.reached for goal in played.goals):
        raise typer.Exit(EXIT_GOAL_MISSED)


@dataclass(frozen=True, slots=True)
class _Settings:
    site_file: Path
    out_dir: Path
    seed: int
    speed: float
    px4: Path | None
    timeout_s: float
    console: Console

    def folder(self, name: Name) -> Path:
        from dronectl.demo.stage import make_run_folder

        made = make_run_folder(self.out_dir, self.seed, datetime.now().astimezone(), name.value)
        self.console.print(f"run folder: {made}", markup=False)
        return made

    def options(self) -> Options:
        from dronectl.demo.site_run import Options

        return Options(self.seed, self.speed, self.px4, self.timeout_s)


@dataclass(frozen=True, slots=True)
class _Played:
    folder: Path
    goals: tuple[Goal, ...]
    document: dict[str, Any]


def _patrol(settings: _Settings) -> _Played:
    from dronectl.demo.run import play, summary
    from dronectl.demo.stage import set_stage

    folder = settings.folder(Name.PATROL)
    stage = set_stage(folder, settings.site_file, settings.seed, settings.speed, settings.px4)
    data = asyncio.run(play(stage, settings.options(), settings.console))
    return _Played(folder, data.goals, summary(data))


def _search(settings: _Settings) -> _Played:
    from dronectl.demo.search import play_search, search_summary
    from dronectl.demo.search_stage import search_play, story_of
    from dronectl.demo.stage import set_stage
    from dronectl.site import load_site

    story = story_of(load_site(settings.site_file), settings.seed)
    folder = settings.folder(Name.SEARCH)
    stage = set_stage(folder, settings.site_file, settings.seed, settings.speed, None, search_play(story))
    report = asyncio.run(play_search(stage, story, settings.options(), settings.console))
    return _Played(folder, report.goals, search_summary(report))


def _cover(settings: _Settings) -> _Played:
    from dronectl.demo.cover import cover_summary, play_cover
    from dronectl.demo.cover_stage import cover_play
    from dronectl.demo.stage import set_stage

    folder = settings.folder(Name.COVER)
    stage = set_stage(folder, settings.site_file, settings.seed, settings.speed, None, cover_play())
    report = asyncio.run(play_cover(stage, settings.options(), settings.console))
    return _Played(folder, report.goals, cover_summary(report))
