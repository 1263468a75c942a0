# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan cover`: a drawn area to flights that see all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dronectl.cli.area_options import (
    AreaArgument,
    CorridorOption,
    DronesOption,
    GsdOption,
    HeightOption,
    HolesOption,
    IterationsOption,
    OutOption,
    PersonOption,
    SeedOption,
    StepsOption,
    TimeLimitOption,
    WindFromOption,
    WindOption,
    area_clock,
    chosen_drones,
    one_height,
    say_ended,
    say_findings,
    shown_budget,
)
from dronectl.cli.common import DemOption, JsonOption, SiteOption, open_site, out
from dronectl.cli.plan_results import Written, write_result
from dronectl.errors import EXIT_GOAL_MISSED
from dronectl.operations.covering import CoverWishes, SiteCover, cover_document, plan_site_cover
from dronectl.operations.planned import cover_flights
from dronectl.operations.start_texts import start_text, starts_text
from dronectl.plain_text import minutes
from dronectl.report.plan_picture import site_map_svg, with_area
from dronectl.site import Site


def cover(
    area: AreaArgument,
    site: SiteOption = None,
    out_dir: OutOption = Path("cover"),
    drones: DronesOption = None,
    camera: Annotated[
        str | None, typer.Option(help="Which of the drones' cameras. Default: the first drone's first.", metavar="ID")
    ] = None,
    height: HeightOption = None,
    gsd: GsdOption = None,
    person_px: PersonOption = None,
    overlap: Annotated[float, typer.Option(help="Side overlap of passes, a share.", min=0, max=0.95)] = 0.2,
    corridor: CorridorOption = None,
    avoid_holes: HolesOption = False,
    wind: WindOption = 0.0,
    wind_from: WindFromOption = None,
    dem: DemOption = None,
    seed: SeedOption = 1,
    iterations: IterationsOption = 60,
    time_limit: TimeLimitOption = None,
    steps: StepsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cover an area: passes side by side, split into flights that land with their reserve.

    Every flight is a .plan of its own (d1-1.plan, d1-2.plan, ...): after a battery swap it takes up the path where the
    one before left it and sets the camera again. Heights follow the ground. The summary says path length over the bound
    A / w, the share of the area that is seen (judged by raster), time and battery of every flight.

    Example: dronectl plan cover field.geojson --site site.yaml

    Exit code 1 when part of the area is not seen or a flight has findings that forbid it.
    """
    clock = area_clock(time_limit, steps)
    one_height(height, gsd, person_px)
    opened = open_site(site, dem)
    wishes = CoverWishes(
        height_m=height,
        gsd_m=None if gsd is None else gsd / 100.0,
        person_px=person_px,
        side_overlap=overlap,
        camera_id=camera,
        corridor_m=corridor,
        avoid_holes=avoid_holes,
        wind_m_s=wind,
        wind_from_deg=wind_from,
    )
    with shown_budget(iterations, seed, quiet=as_json, clock=clock) as budget:
        found = plan_site_cover(opened, area, wishes, budget, drone_ids=chosen_drones(drones))
    written = _write(opened, found, out_dir, {"seed": seed, "iterations": iterations, "steps": clock.steps})
    if as_json:
        written.print_json()
    else:
        _say(found)
        written.say()
        say_ended(clock)
    if not found.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _write(site: Site, found: SiteCover, folder: Path, besides: dict[str, Any]) -> Written:
    shown = with_area(site, found.area)
    sorties = found.plan.sorties
    pictures = {"plan.svg": site_map_svg(shown, [s.plan for s in sorties], energies=[s.energy for s in sorties])}
    return write_result(folder, cover_flights(site, found, shown), cover_document(found), pictures, besides=besides)


def _say(found: SiteCover) -> None:
    table = Table(title="Coverage", title_justify="left")
    for heading in ("flight", "starts", "time", "length", "battery at landing", "waypoints"):
        table.add_column(heading, justify="left" if heading == "flight" else "right", no_wrap=True)
    for sortie in found.plan.sorties:
        table.add_row(
            f"{sortie.vehicle_id}-{sortie.number}",
            start_text(sortie.plan.start_after_s),
            minutes(sortie.energy.time_s),
            f"{sortie.energy.length_m / 1000:.2f} km",
            f"{sortie.energy.landing_fraction:.0%}",
            str(len(sortie.plan.waypoints)),
        )
    out.print(table)
    if (starts := starts_text(found.plan.slack_s)) is not None:
        out.print(starts, markup=False)
    sweep = found.plan.sweep
    out.print(
        f"Path {sweep.length_m / 1000:.2f} km, {sweep.ratio:.2f} times area over swath; passes {found.grid.spacing_m:.0f} m "
        f"apart, {found.gsd_worst_m * 100:.1f} cm per pixel at worst. Done after {minutes(found.plan.time_s)}; no split "
        f"can do it in less than {minutes(found.plan.bound_s)}.",
        markup=False,
    )
    out.print(f"Seen: {found.verdict.fraction:.2%} of {found.area.shape.area / 10_000:.2f} ha.", markup=False)
    say_findings(found.plan.sorties, found.findings)
