# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the commands that plan over a drawn area have in common: their options, their progress, their findings."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from dronectl.cli.common import err, out
from dronectl.cli.limits import PlanClock
from dronectl.errors import BadInputError
from missions.coverage.sorties import Sortie
from missions.model import Budget, Finding, never_stop

AreaArgument = Annotated[
    Path, typer.Argument(help="GeoJSON with polygons, or lines with --corridor (WGS 84).", metavar="AREA")
]
OutOption = Annotated[
    Path, typer.Option("--out", help="Folder for the plans, summary.json, routes and pictures.", metavar="DIR")
]
DronesOption = Annotated[
    str | None,
    typer.Option("--drones", help="Plan for these drones only, for example d1,d3.", metavar="ID[,ID...]"),
]
HeightOption = Annotated[
    float | None, typer.Option(help="Metres above ground. Default: the site's patrol height.", min=5, max=500)
]
GsdOption = Annotated[
    float | None, typer.Option(help="Instead of a height: centimetres per pixel at most.", min=0.1, max=200)
]
PersonOption = Annotated[
    float | None,
    typer.Option("--person-px", help="Instead of a height: pixels on a curled-up person of 0.9 m.", min=1, max=500),
]
CorridorOption = Annotated[
    float | None,
    typer.Option("--corridor", help="Lines are corridors of this width, in metres.", min=1, max=5000, metavar="M"),
]
HolesOption = Annotated[
    bool, typer.Option("--avoid-holes", help="No leg over the area's holes: they become keep-outs.")
]
WindOption = Annotated[float, typer.Option(help="Wind in m/s; batteries are planned for it.", min=0, max=60)]
WindFromOption = Annotated[
    float | None,
    typer.Option("--wind-from", help="Degrees it blows from: lines then lie across it.", min=0, max=360),
]
SeedOption = Annotated[int, typer.Option(help="Same seed, same plans.", min=0)]
IterationsOption = Annotated[int, typer.Option(help="How long to search for a better order.", min=0)]

TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        help="Seconds until the best found so far is written, loading the program aside. One plan is always made to its "
        "end, however short the limit: some seconds on an area of hundreds of passes.",
        min=0.1,
        max=3600,
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option("--steps", help="Repeat a run that the time limit ended: its steps in summary.json.", min=0),
]
_AFTERWARDS = 1.5  # what flights, checks and files take, beside the way to the first path: measured
_FIRST_PLAN = 0.4  # progress beyond which there is a path


def one_height(height: float | None, gsd: float | None, person_px: float | None) -> None:
    """Raises BadInputError when the height is said in more than one way."""
    if sum(value is not None for value in (height, gsd, person_px)) > 1:
        raise BadInputError("give one of --height, --gsd and --person-px")


def chosen_drones(drones: str | None) -> list[str] | None:
    """The ids of --drones; None for all."""
    return None if drones is None else [d.strip() for d in drones.split(",") if d.strip()]


def area_clock(time_limit: float | None, steps: int | None) -> PlanClock:
    """The clock of a command that plans over an area; it begins now."""
    return PlanClock(time.monotonic(), time_limit, steps, afterwards=_AFTERWARDS)


@contextmanager
def shown_budget(iterations: int, seed: int, *, quiet: bool, clock: PlanClock | None = None) -> Iterator[Budget]:
    """A budget whose progress a bar shows, and which a clock may end."""
    with Progress(console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task("planning", total=1.0)
        planned = False

        def progress(done: float, said: str) -> None:
            nonlocal planned
            if clock is not None and done > _FIRST_PLAN and not planned:
                clock.first_plan()
                planned = True
            bar.update(task, completed=done, description=said)

        yield Budget(
            iterations=iterations,
            seed=seed,
            stop=never_stop if clock is None else clock.stop,
            progress=progress,
        )


def say_ended(clock: PlanClock) -> None:
    """Whether the time limit ended the search, and how to repeat it."""
    if clock.ended:
        out.print(
            f"Ended early: the best of {clock.steps} steps, repeated exactly by --steps {clock.steps}.", markup=False
        )


def say_findings(sorties: Sequence[Sortie], findings: Sequence[Sequence[Finding]]) -> None:
    """What the checks say of each flight."""
    for sortie, found in zip(sorties, findings, strict=True):
        for finding in found:
            out.print(
                f"{finding.severity.value}: {sortie.vehicle_id}-{sortie.number}: {finding.message} ({finding.code})",
                markup=False,
            )
