# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl check`: flights are judged here without any service, vehicle or planner."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from dronectl.cli.common import DemOption, JsonOption, SiteOption, open_site, out, print_json
from dronectl.cli.plan_files import HeightOption, HeightsOption
from dronectl.cli.spoken import code_words
from dronectl.errors import EXIT_GOAL_MISSED
from dronectl.operations.plan_check import check_files, checked_document
from dronectl.plain_text import minutes
from missions.model import Finding, Severity

_MARK = {Severity.BLOCKER: "[red]blocks[/red]", Severity.WARNING: "[yellow]warns[/yellow]", Severity.INFO: "note"}


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
                    f"{energy.length_m / 1000:.2f} km, {minutes(energy.time_s)}, lands with "
                    f"{max(0.0, energy.landing_fraction):.0%} of the battery",
                    markup=False,
                )
            places = flight.places if flight.counts == "item" else ()
            say_findings(flight.findings, f"{flight.file.name}: " if several else "", places)
        say_findings([b.finding for b in checked.breaches], "")
        it = "They" if several else "It"
        good, bad = (
            f"[green]{it} can be flown.[/green]",
            f"[red]{it} must not be flown as {'they are' if several else 'it is'}.[/red]",
        )
        out.print(good if checked.clean else bad)
    if not checked.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def say_findings(findings: Sequence[Finding], prefix: str, places: Sequence[str | None] = ()) -> None:
    """A line for each finding: how bad, which flight and place of its file, what, and the code."""
    for finding, place in zip_longest(findings, places):
        out.print(f"{_MARK[finding.severity]} ", end="")
        where = f"{place}: " if place else ""
        out.print(f"{prefix}{where}{finding.message} ({code_words(finding.code)})", markup=False)
