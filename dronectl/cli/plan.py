# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan patrol` and `dronectl check`: plans are made and judged here without any service or vehicle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, ClassVar

import typer
from rich.table import Table

from dronectl.cli.common import DemOption, JsonOption, SiteOption, day_of, open_site, out, print_json
from dronectl.cli.lazy import LazyGroup
from dronectl.cli.plan_files import HeightOption, HeightsOption
from dronectl.cli.plan_results import write_result
from dronectl.cli.spoken import code_words
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.closed_hours import GeoRing, closed_rings
from dronectl.operations.plan_check import check_files, checked_document
from dronectl.operations.planned import patrol_flights, start_text, starts_text
from dronectl.operations.planning import SitePlan, patrol_document, plan_site_patrol
from dronectl.operations.timetable import read_timetable_file
from dronectl.report.plan_picture import site_map_svg
from dronectl.site import Site
from missions.model import Budget, Finding, Severity


class _PlanGroup(LazyGroup):
    lazy: ClassVar[dict[str, tuple[str, str]]] = {
        "cover": ("dronectl.cli.plan_cover", "cover"),
        "map": ("dronectl.cli.plan_map", "map_"),
        "search": ("dronectl.cli.plan_search", "search"),
        "circuits": ("dronectl.cli.plan_circuits", "circuits"),
        "timetable": ("dronectl.cli.plan_patrols", "timetable"),
        "heat": ("dronectl.cli.plan_patrols", "heat"),
        "separate": ("dronectl.cli.plan_separate", "separate"),
        "convert": ("dronectl.cli.plan_files", "convert"),
    }


plan_app = typer.Typer(cls=_PlanGroup, help="Make flight plans.", no_args_is_help=True)

_MARK = {Severity.BLOCKER: "[red]blocks[/red]", Severity.WARNING: "[yellow]warns[/yellow]", Severity.INFO: "note"}


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


def check(
    plans: Annotated[
        list[Path],
        typer.Argument(help=".plan, GeoJSON, KML, KMZ, GPX, WPML or MAVLink waypoint files.", metavar="FILE..."),
    ],
    site: SiteOption = None,
    vehicle: Annotated[
        list[str] | None,
        typer.Option(
            "--vehicle",
            help="The drone that is to fly it; needed for plans not made here. Once for all, or once for each route.",
            metavar="ID",
        ),
    ] = None,
    battery: Annotated[float, typer.Option(help="Battery at take-off, 0 to 1.", min=0, max=1)] = 1.0,
    wind: Annotated[float, typer.Option(help="Wind in m/s, taken to blow against every leg.", min=0, max=60)] = 0.0,
    dem: DemOption = None,
    height: HeightOption = None,
    heights: HeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check flights: every leg, loiter circle, loop and way home against fence, ground, limits and battery.

    Several flights are also held against each other: our plans start when they say, others all at once.

    Exit code 0: can be flown. 1: findings forbid it. 2: a file cannot be read.
    """
    opened = open_site(site, dem)
    checked = check_files(
        opened,
        plans,
        vehicle or (),
        battery_fraction=battery,
        wind_m_s=wind,
        heights=heights,
        height_m=height,
    )
    if as_json:
        print_json(checked_document(checked))
    else:
        several = len(checked.flights) > 1
        for flight in checked.flights:
            energy, flown = flight.energy, flight.plan
            if energy is not None:
                out.print(
                    f"{flight.file.name} for {flown.vehicle_id}: {len(flown.waypoints)} waypoints, "
                    f"{energy.length_m / 1000:.2f} km, {_minutes(energy.time_s)}, lands with "
                    f"{max(0.0, energy.landing_fraction):.0%} of the battery",
                    markup=False,
                )
            places = flight.places if flight.counts == "item" else ()
            _say_findings(flight.findings, f"{flight.file.name}: " if several else "", places)
        _say_findings([b.finding for b in checked.breaches], "")
        it = "They" if several else "It"
        good, bad = (
            f"[green]{it} can be flown.[/green]",
            f"[red]{it} must not be flown as {'they are' if several else 'it is'}.[/red]",
        )
        out.print(good if checked.clean else bad)
    if not checked.clean:
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
            _minutes(energy.time_s),
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
        f"{what} {_minutes(found.busiest_s)}; no plan can do it in less than {_minutes(found.bound_s)} "
        f"(ratio {found.ratio:.2f}). All are down after {_minutes(found.done_s)}.",
        markup=False,
    )
    apart = found.separation
    if apart is not None:
        out.print(
            f"Started so, {apart.first} and {apart.second} come nearest after {_minutes(apart.time_s)}: "
            f"{apart.horizontal_m:.0f} m across, {apart.vertical_m:.0f} m in height.",
            markup=False,
        )
    if found.idle:
        out.print(f"Not needed: {', '.join(found.idle)}", markup=False)
    for name, findings in zip(found.names, found.findings, strict=True):
        _say_findings(findings, f"{name}: ")


def _say_findings(findings: Sequence[Finding], prefix: str, places: Sequence[str | None] = ()) -> None:
    for finding, place in zip_longest(findings, places):
        out.print(f"{_MARK[finding.severity]} ", end="")
        out.print(
            f"{prefix}{f'{place}: ' if place else ''}{finding.message} ({code_words(finding.code)})", markup=False
        )


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"
