# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan`: the group, and `dronectl plan patrol`. Plans are made here without any service or vehicle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar

import typer
from rich.table import Table

from dronectl.cli.check import say_findings
from dronectl.cli.common import JsonOption, SiteOption, day_of, open_site, out
from dronectl.cli.lazy import LazyGroup
from dronectl.cli.plan_results import write_result
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.closed_hours import GeoRing, closed_rings
from dronectl.operations.planned import patrol_flights
from dronectl.operations.planning import SitePlan, patrol_document, plan_site_patrol
from dronectl.operations.start_texts import start_text, starts_text
from dronectl.operations.timetable import read_timetable_file
from dronectl.plain_text import minutes
from dronectl.report.plan_picture import site_map_svg
from dronectl.site import Site
from missions.model import Budget

_HELP = """Make flight plans for a site's drones, and check what comes out against fence, ground and batteries.

`patrol`, `cover`, `map`, `search`, `circuits`, `timetable` and `separate` write into a folder: a .plan per flight, which
QGroundControl opens, all routes as a page (routes.html), GeoJSON and KML, and the numbers as JSON.

Example: `dronectl plan patrol --site site.yaml`, then `dronectl check plans/*.plan` and `dronectl fly plans/*.plan`, each
with the same --site.
"""


class _PlanGroup(LazyGroup):
    lazy: ClassVar[dict[str, tuple[str, str, str]]] = {
        "cover": (
            "dronectl.cli.plan_cover",
            "cover",
            "Cover an area: passes side by side, split into flights that land with their reserve.",
        ),
        "map": (
            "dronectl.cli.plan_map",
            "map_",
            "Photograph an area: lines of pictures with front and side overlap, triggered by distance, following the ground.",
        ),
        "search": (
            "dronectl.cli.plan_search",
            "search",
            "Search for a missing person: who flies where, so that what the batteries hold finds most.",
        ),
        "circuits": (
            "dronectl.cli.plan_circuits",
            "circuits",
            "Plan a patrol without end: which circuits the drones fly again and again, and how often they come by each place.",
        ),
        "timetable": (
            "dronectl.cli.plan_patrols",
            "timetable",
            "Plan a day of patrols: every must-patrol item within its interval, batteries swapped, watches never left alone.",
        ),
        "heat": (
            "dronectl.cli.plan_patrols",
            "heat",
            "Make a heat map of past cases: where patrols matter more, which hot spots are real, and how well it foretells.",
        ),
        "separate": (
            "dronectl.cli.plan_separate",
            "separate",
            "Make plans that are flown together keep 20 m across the ground or 10 m in height apart, launches and landings too.",
        ),
        "convert": (
            "dronectl.cli.plan_files",
            "convert",
            "Convert a flight file: QGroundControl .plan, GeoJSON, KML, KMZ, GPX, MAVLink waypoints, DJI WPML.",
        ),
    }


plan_app = typer.Typer(cls=_PlanGroup, help=_HELP, no_args_is_help=True)


@plan_app.callback()
def _plan() -> None:
    """Make flight plans."""


@plan_app.command()
def patrol(
    site: SiteOption = None,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for the plans, summary.json, routes and pictures.", metavar="DIR")
    ] = Path("plans"),
    drones: Annotated[
        str | None,
        typer.Option("--drones", help="Plan for these drones only, for example d1,d3.", metavar="ID[,ID...]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same plans.", min=0)] = 1,
    iterations: Annotated[int, typer.Option(help="How long to search for a better split.", min=0)] = 5000,
    wind: Annotated[
        float,
        typer.Option(help="Wind in m/s against every leg: times, batteries and checks are those in it.", min=0, max=60),
    ] = 0.0,
    at: Annotated[
        str | None,
        typer.Option(
            help="Local time of take-off: no leg then goes above a school in its hours (the timetable's `closed`).",
            metavar="HH:MM",
        ),
    ] = None,
    day: Annotated[str | None, typer.Option(help="The day of --at. Default: today at the site.", metavar="DAY")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="Timetable file for --at. Default: timetable.yaml beside the site file.", metavar="FILE"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Split the site's must-patrol points and lines among its drones, so that the busiest one is done soonest.

    Where a battery does not last for a drone's part, or not in the --wind, it flies several times (d1-1.plan, d1-2.plan)
    with a swap between; what no battery lasts for is refused by name. How often drones should come by when they patrol
    all day is what `dronectl plan circuits` says.

    Writes one .plan per flight (QGroundControl opens it), all routes as routes.html (a page with a map), routes.geojson
    and routes.kml, summary.json, and plan.svg. Exit code 1 when a plan has findings that forbid its flight.
    """
    opened = open_site(site)
    chosen = None if drones is None else [d.strip() for d in drones.split(",") if d.strip()]
    closed = _closed(opened, at, day, file)
    found = plan_site_patrol(
        opened,
        Budget(iterations=iterations, seed=seed),
        drone_ids=chosen,
        wind_m_s=wind,
        closed=tuple(closed.values()),
    )
    pictures = {"plan.svg": site_map_svg(opened, found.plans, energies=found.energies)}
    besides = {"closed": sorted(closed)}
    written = write_result(out_dir, patrol_flights(opened, found), patrol_document(found), pictures, besides=besides)
    if as_json:
        written.print_json()
    else:
        _say_patrol(opened, found)
        written.say()
        if closed:
            out.print(f"Kept clear of: {', '.join(sorted(closed))}", markup=False)
    if not found.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _closed(site: Site, at: str | None, day: str | None, file: Path | None) -> dict[str, GeoRing]:
    """Schools that no leg may cross while a battery lasts from a time on."""
    if at is None:
        if day is not None or file is not None:
            raise BadInputError(
                "--day and --file say when schools are closed to a flight; give its time with --at 08:15"
            )
        return {}
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at)
    if match is None:
        raise BadInputError(f"--at is {at!r}; write it as 08:15")
    start = 3600.0 * int(match[1]) + 60.0 * int(match[2])
    model, _, _ = read_timetable_file(site, file)
    return closed_rings(site, model, day_of(day, site.model.timezone), start, start + site.limits.endurance_s)


def _say_patrol(site: Site, found: SitePlan) -> None:
    table = Table(title=f"Patrol of {site.model.name.get('en', site.site_id)}", title_justify="left")
    for heading, justify in (
        ("flight", "left"),
        ("starts", "right"),
        ("time", "right"),
        ("length", "right"),
        ("battery\nat landing", "right"),
    ):
        table.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("waypoints", justify="right")
    table.add_column("patrols")
    for name, plan, energy in zip(found.names, found.plans, found.energies, strict=True):
        table.add_row(
            name,
            start_text(plan.start_after_s),
            minutes(energy.time_s),
            f"{energy.length_m / 1000:.2f} km",
            f"{energy.landing_fraction:.0%}",
            str(len(plan.waypoints)),
            ", ".join(item for w in plan.waypoints for item in w.serves),
        )
    out.print(table)
    if (starts := starts_text(found.slack_s)) is not None:
        out.print(starts, markup=False)
    several = len({p.vehicle_id for p in found.plans}) < len(found.plans)
    what = "Busiest drone, battery swaps included" if several else "Longest flight"
    out.print(
        f"{what} {minutes(found.busiest_s)}; no plan can do it in less than {minutes(found.bound_s)} "
        f"(ratio {found.ratio:.2f}). All are down after {minutes(found.done_s)}.",
        markup=False,
    )
    apart = found.separation
    if apart is not None:
        out.print(
            f"Started so, {apart.first} and {apart.second} come nearest after {minutes(apart.time_s)}: "
            f"{apart.horizontal_m:.0f} m across, {apart.vertical_m:.0f} m in height.",
            markup=False,
        )
    if found.idle:
        out.print(f"Not needed: {', '.join(found.idle)}", markup=False)
    for name, findings in zip(found.names, found.findings, strict=True):
        say_findings(findings, f"{name}: ")
