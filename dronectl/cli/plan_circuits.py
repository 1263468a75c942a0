# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan circuits`: a standing patrol, and how often a drone comes by each place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dronectl.cli.area_options import DronesOption, chosen_drones, shown_budget
from dronectl.cli.common import JsonOption, SiteOption, day_of, open_site, out
from dronectl.cli.plan_results import write_result
from dronectl.errors import EXIT_GOAL_MISSED
from dronectl.operations.circuits import STRATEGIES, SiteCircuits, circuits_at_site, circuits_document, why
from dronectl.operations.closed_hours import closed_rings
from dronectl.operations.planned import circuit_flights
from dronectl.operations.start_texts import start_text
from dronectl.operations.timetable import read_timetable_file, read_weights
from dronectl.plain_text import minutes
from dronectl.report.plan_picture import site_map_svg
from dronectl.report.round_picture import round_svg

_DAY_S = 86_400.0


def circuits(
    site: SiteOption = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Intervals, priorities and swap time as YAML. Default: timetable.yaml beside the site file, else every "
            "item once an hour. Calendars and watches are left aside: a round is for hours in which all is wanted.",
            metavar="FILE",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="heat.json of `dronectl plan heat`: intervals are divided by its weights.", metavar="FILE"),
    ] = None,
    drones: DronesOption = None,
    wind: Annotated[
        float,
        typer.Option(help="Wind in m/s against every leg: laps, batteries and checks are those in it.", min=0, max=60),
    ] = 0.0,
    day: Annotated[
        str | None,
        typer.Option(
            help="No leg goes above a school that is closed to flights at any hour of this day.", metavar="DAY"
        ),
    ] = None,
    out_dir: Annotated[
        Path,
        typer.Option("--out", help="Folder for the round's plans, summary.json, routes and pictures.", metavar="DIR"),
    ] = Path("circuits"),
    seed: Annotated[int, typer.Option(help="Same seed, same round.", min=0)] = 1,
    iterations: Annotated[int, typer.Option(help="How long to search for better circuits.", min=1)] = 2000,
    as_json: JsonOption = False,
) -> None:
    """Plan a patrol without end: which circuits the drones fly again and again, and how often they come by each place.

    Four ways are planned and flown through on paper: all drones on one tour, equally spaced; a circuit of its own for
    every drone (partition); several circuits, some with several drones; and what is wanted more often several times in
    a lap (weighted frequency). Kept is the one whose longest time without a visit, over the interval that is wanted, is
    least; the summary has them all, with what no patrol can beat.

    The plans are one round: flights land with their reserve at their own pads, batteries are swapped between them, and
    all keep apart, also from those of the rounds before and after. Fly them again every period (`period_s`): where every
    drone has one flight, `dronectl fly circuits/*.plan` flies a round; a drone's second one (d1-2.plan) is flown when the
    first has landed and its battery is swapped. To plan the hours of a day, with calendars and watches: `dronectl plan timetable`.

    Exit code 1 when an interval is not kept or a flight has findings that forbid it.
    """
    opened = open_site(site)
    model, _, _ = read_timetable_file(opened, file)
    closed = {} if day is None else closed_rings(opened, model, day_of(day, opened.model.timezone), 0.0, _DAY_S)
    with shown_budget(iterations, seed, quiet=as_json) as budget:
        made = circuits_at_site(
            opened,
            model,
            budget,
            weights=None if weights is None else read_weights(weights, opened),
            drone_ids=chosen_drones(drones),
            wind_m_s=wind,
            closed=closed,
        )
    pictures = {
        "plan.svg": site_map_svg(opened, made.found.best.plans, energies=made.energies),
        "round.svg": round_svg(made),
    }
    written = write_result(out_dir, circuit_flights(made), circuits_document(made), pictures)
    if as_json:
        written.print_json()
    else:
        _say(made)
        written.say()
    if not (made.clean and made.kept):
        raise typer.Exit(EXIT_GOAL_MISSED)


def _say(made: SiteCircuits) -> None:
    found, best = made.found, made.found.best
    table = Table(title="Ways to patrol", title_justify="left")
    table.add_column("way")
    for heading in ("worst of\ninterval", "longest without\na visit", "again every", "flights"):
        table.add_column(heading, justify="right", no_wrap=True)
    for r in sorted(found.rounds, key=lambda r: r.worst_ratio):
        mark = "[bold]" if r is best else ""
        table.add_row(
            f"{mark}{STRATEGIES[r.strategy][1]}",
            f"{mark}{r.worst_ratio:.2f}",
            f"{mark}{minutes(r.worst_s)}",
            f"{mark}{minutes(r.period_s)}",
            f"{mark}{len(r.plans)}",
        )
    out.print(table)
    for name, said in found.failed:
        out.print(f"Not flown: {name}: {said}", markup=False)
    table = Table(title="Chosen", title_justify="left")
    table.add_column("flight")
    for heading in ("starts", "time", "length", "battery\nat landing"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("patrols")
    for name, plan, energy in zip(made.names, best.plans, made.energies, strict=True):
        table.add_row(
            name,
            start_text(plan.start_after_s),
            minutes(energy.time_s),
            f"{energy.length_m / 1000:.2f} km",
            f"{energy.landing_fraction:.0%}",
            ", ".join(item for w in plan.waypoints for item in w.serves),
        )
    out.print(table)
    table = Table(title="How often", title_justify="left")
    table.add_column("item")
    for heading in ("wanted every", "visits in a round", "longest without"):
        table.add_column(heading, justify="right")
    for item, wanted_s, idle_s, visits in zip(
        found.items, found.intervals_s, best.idleness_s, best.visits_s, strict=True
    ):
        colour = "red" if idle_s > wanted_s else "green"
        table.add_row(item, minutes(wanted_s), str(len(visits)), f"[{colour}]{minutes(idle_s)}[/{colour}]")
    out.print(table)
    out.print(f"Chosen: {why(made)}.", markup=False)
    out.print(
        f"Worst time without a visit over its interval: {best.worst_ratio:.2f}; no patrol can do better than "
        f"{found.bound:.2f}. No item is without a visit for more than {minutes(best.worst_s)}; no patrol can do better than "
        f"{minutes(found.bound_s)}.",
        markup=False,
    )
    apart = (
        ""
        if best.slack_s is None
        else f" They keep apart while none runs more than {best.slack_s:.0f} s early or late."
    )
    out.print(f"Fly the round again every {minutes(best.period_s)}.{apart}", markup=False)
    for name, findings in zip(made.names, made.findings, strict=True):
        for finding in findings:
            out.print(f"{finding.severity.value}: {name}: {finding.message} ({finding.code})", markup=False)
