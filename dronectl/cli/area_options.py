# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the commands that plan over a drawn area have in common: their options, their progress, their findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from dronectl.cli.common import err, out
from dronectl.errors import BadInputError
from missions.coverage.sorties import Sortie
from missions.model import Budget, Finding

AreaArgument = Annotated[
    Path, typer.Argument(help="GeoJSON with polygons, or lines with --corridor (WGS 84).", metavar="AREA")
]
OutOption = Annotated[
    Path, typer.Option("--out", help="Folder for the plans, summary.json and plan.svg.", metavar="DIR")
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


def one_height(height: float | None, gsd: float | None, person_px: float | None) -> None:
    """Raises BadInputError when the height is said in more than one way."""
    if sum(value is not None for value in (height, gsd, person_px)) > 1:
        raise BadInputError("give one of --height, --gsd and --person-px")


def chosen_drones(drones: str | None) -> list[str] | None:
    """The ids of --drones; None for all."""
    return None if drones is None else [d.strip() for d in drones.split(",") if d.strip()]


@contextmanager
def shown_budget(iterations: int, seed: int, *, quiet: bool) -> Iterator[Budget]:
    """A budget whose progress a bar shows."""
    with Progress(console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task("planning", total=1.0)
        yield Budget(
            iterations=iterations,
            seed=seed,
            progress=lambda done, said: bar.update(task, completed=done, description=said),
        )


def say_findings(sorties: Sequence[Sortie], findings: Sequence[Sequence[Finding]], written: Sequence[Path]) -> None:
    """What the checks say of each flight, and the files."""
    for sortie, found in zip(sorties, findings, strict=True):
        for finding in found:
            out.print(
                f"{finding.severity.value}: {sortie.vehicle_id}-{sortie.number}: {finding.message} ({finding.code})",
                markup=False,
            )
    out.print(f"Written: {', '.join(str(p) for p in written)}", markup=False)


def minutes(seconds: float) -> str:
    """Seconds as people say them."""
    whole, rest = divmod(round(seconds), 60)
    return f"{whole}:{rest:02d} min"
