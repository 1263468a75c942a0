# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan heat` and `dronectl plan timetable`: where patrols matter, and when they fly."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.progress import Progress
from rich.table import Table

from dronectl.cli.common import JsonOption, SiteOption, day_of, err, open_site, out, print_json, write_files
from dronectl.cli.plan_results import write_result
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.heat import HeatOptions, SiteHeat, heat_at_site, heat_document, heat_geojson
from dronectl.operations.planned import day_flights
from dronectl.operations.timetable import (
    SiteDay,
    day_at_site,
    read_timetable_file,
    read_weights,
    timetable_csv,
    timetable_document,
)
from dronectl.operations.timetable_plans import flight_name
from dronectl.report.gantt import gantt_svg
from dronectl.report.heat_picture import heat_svg
from dronectl.site_model import ReferenceSystem
from missions.geo import GeoError, GeoPoint
from missions.heat.weights import sentence
from missions.model import Budget
from missions.revisit.reasons import clock

_REJECTS_SHOWN = 8
_OUTSIDE_SHARE = 0.2


def heat(
    cases: Annotated[
        Path,
        typer.Argument(
            help="Past cases: CSV (UTF-8 or GBK; columns date, longitude, latitude, and if there are id and type, in "
            "English or Chinese) or GeoJSON points.",
            metavar="CASES",
        ),
    ],
    reference: Annotated[
        ReferenceSystem,
        typer.Option(
            "--reference",
            help="What the coordinates are given in: wgs84, cgcs2000 or gcj02, that of web and police maps in China.",
            metavar="SYSTEM",
        ),
    ],
    site: SiteOption = None,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for heat.json, heat.geojson and heat.svg.", metavar="DIR")
    ] = Path("heat"),
    month: Annotated[
        str | None,
        typer.Option(
            help="Month to test for hot spots; the map is of its end. Default: the newest.", metavar="YYYY-MM"
        ),
    ] = None,
    cell: Annotated[float, typer.Option(help="Side of a map cell in metres.", min=5, max=5000)] = 50.0,
    half_life: Annotated[float, typer.Option(help="Days in which a case loses half of its weight.", min=1)] = 60.0,
    bandwidth: Annotated[
        float | None,
        typer.Option(help="Width of the kernel in metres. Default: what foretells the cases best.", min=1),
    ] = None,
    false_warnings: Annotated[
        float, typer.Option(help="Greatest share of even months that may raise a warning.", min=0.01, max=0.5)
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Same seed, same warnings.", min=0)] = 1,
    around_cases: Annotated[
        bool, typer.Option("--around-cases", help="Map the area around the cases, not the site's fence.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a heat map of past cases: where patrols matter more, which hot spots are real, and how well it foretells.

    Recent cases count more. Hot spots are warned of only when they stand a significance test over all places at once.
    heat.json explains the weight of every must-patrol item by its cases; `dronectl plan timetable --weights
    heat.json` takes them.

    Example: dronectl plan heat cases.csv --reference wgs84 --site site.yaml
    """
    opened = open_site(site)
    options = HeatOptions(
        system=reference,
        month=_month(month),
        cell_m=cell,
        half_life_days=half_life,
        bandwidth_m=bandwidth,
        alpha=false_warnings,
        seed=seed,
        around_cases=around_cases,
    )
    today = datetime.now(ZoneInfo(opened.model.timezone)).date()
    found = heat_at_site(opened, cases, options, until=today)
    document = heat_document(found)
    written = write_files(
        out_dir,
        {
            "heat.json": json.dumps(document, ensure_ascii=False, indent=2) + "\n",
            "heat.geojson": json.dumps(heat_geojson(found), ensure_ascii=False) + "\n",
            "heat.svg": heat_svg(opened, found),
        },
    )
    if as_json:
        print_json({**document, "files": [str(p) for p in written]})
        return
    _say_heat(found)
    out.print(f"Written: {', '.join(str(p) for p in written)}", markup=False)


def timetable(
    site: SiteOption = None,
    day: Annotated[str | None, typer.Option(help="The day. Default: today at the site.", metavar="YYYY-MM-DD")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Hours, intervals, calendars, watches and school hours as YAML. Default: timetable.yaml beside the "
            "site file, else every item once an hour from 07:00 to 22:00.",
            metavar="FILE",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="heat.json of `dronectl plan heat`: intervals are divided by its weights.", metavar="FILE"),
    ] = None,
    urgent: Annotated[
        list[str] | None,
        typer.Option(
            "--urgent",
            help="An urgent mission: local time, latitude, longitude (WGS 84), minutes to stay, for example "
            "14:30,29.7401,107.2699,10. The nearest drone goes, the patrol resumes. May be given several times.",
            metavar="HH:MM,LAT,LON,MIN",
        ),
    ] = None,
    drones: Annotated[
        str | None,
        typer.Option("--drones", help="Plan for these drones only, for example d1,d3.", metavar="ID[,ID...]"),
    ] = None,
    wind: Annotated[
        float, typer.Option(help="Wind of the day in m/s, reckoned against every leg.", min=0, max=60)
    ] = 0.0,
    out_dir: Annotated[
        Path,
        typer.Option("--out", help="Folder for the timetable, its flights' plans, routes and pictures.", metavar="DIR"),
    ] = Path("timetable"),
    seed: Annotated[int, typer.Option(help="Same seed, same timetable.", min=0)] = 1,
    iterations: Annotated[int, typer.Option(help="How many ways of planning the day are tried.", min=1)] = 24,
    as_json: JsonOption = False,
) -> None:
    """Plan a day of patrols: every must-patrol item within its interval, batteries swapped, watches never left alone.

    No leg goes above a school in its hours. Writes the day as JSON, CSV and a picture, and every flight as a .plan named
    by drone and take-off (d1-073000.plan), which `dronectl fly` takes at its time. Drones fly in layers and start up to
    two minutes later where that keeps them 20 m across or 10 m in height apart; where it does not, one is put off for
    longer or given up. What cannot be kept is listed with the
    reason; the exit code is then 1, and also when findings forbid a flight.
    """
    opened = open_site(site)
    model, _, _ = read_timetable_file(opened, file)
    chosen = None if drones is None else [d.strip() for d in drones.split(",") if d.strip()]
    if chosen == []:
        raise BadInputError("--drones names no drone; write it as d1,d3")
    with Progress(transient=True, console=err) as progress:
        bar = progress.add_task("planning the day", total=1.0)
        budget = Budget(iterations=iterations, seed=seed, progress=lambda f, _: progress.update(bar, completed=f))
        made = day_at_site(
            opened,
            model,
            day_of(day, opened.model.timezone),
            budget,
            weights=None if weights is None else read_weights(weights, opened),
            urgent=[_urgent(word) for word in urgent or ()],
            drone_ids=chosen,
            wind_m_s=wind,
        )
    flights = day_flights(made)
    texts = {"timetable.csv": timetable_csv(made), "timetable.svg": gantt_svg(made)}
    written = write_result(out_dir, flights, timetable_document(made), texts, summary_name="timetable.json")
    if as_json:
        written.print_json()
    else:
        _say_day(made)
        few = [str(p) for p in written.files if p.suffix != ".plan"]
        out.print(f"Written: {', '.join(few)} and {len(flights.flights)} plans beside them", markup=False)
    if made.found.misses or not made.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _urgent(word: str) -> tuple[float, GeoPoint, float]:
    parts = [p.strip() for p in word.split(",")]
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", parts[0])
    say = f"--urgent is {word!r}; write it as 14:30,29.7401,107.2699,10"
    if match is None or len(parts) != 4:
        raise BadInputError(say)
    try:
        latitude, longitude, minutes = (float(p) for p in parts[1:])
    except ValueError:
        raise BadInputError(say) from None
    if not 0.0 < minutes <= 600.0:
        raise BadInputError(f"--urgent {word!r}: minutes to stay must be above 0 and at most 600")
    try:
        return 3600.0 * int(match[1]) + 60.0 * int(match[2]), GeoPoint(latitude, longitude), 60.0 * minutes
    except GeoError as error:
        raise BadInputError(f"--urgent {word!r}: {error}") from error


def _say_day(made: SiteDay) -> None:
    found = made.found
    wanted = {v.item_id: v.interval_s for v in made.task.visits}
    table = Table(title=f"{made.day:%A} {made.day.isoformat()}", title_justify="left")
    table.add_column("item")
    for heading in ("wanted every", "visits", "longest without", "of interval"):
        table.add_column(heading, justify="right")
    for kept in found.kept:
        colour = "red" if kept.ratio > 1 else "green"
        table.add_row(
            kept.item_id,
            f"{wanted[kept.item_id] / 60:.0f} min",
            str(len(kept.arrivals_s)),
            f"{kept.worst_s / 60:.0f} min",
            f"[{colour}]{kept.ratio:.0%}[/{colour}]",
        )
    out.print(table)
    air = sum(f.landed_s - f.depart_s for f in found.flights)
    out.print(
        f"{len(found.flights)} flights of {len(made.task.craft)} drones, {air / 3600:.1f} h in the air. Longest time "
        f"without a visit over its interval: {found.worst_ratio:.2f}; no timetable can do better than {found.bound:.2f}.",
        markup=False,
    )
    for f in found.flights:
        for item in f.dropped:
            out.print(f"{f.vehicle_id} gave up {item} for {f.stops[-1].item_id}.", markup=False)
    for flight, findings in zip(found.flights, made.findings, strict=True):
        for finding in findings:
            out.print(f"[red]{finding.severity.value}[/red] ", end="")
            out.print(f"{flight_name(flight)}: {finding.message} ({finding.code})", markup=False)
    for miss in found.misses:
        out.print(f"[red]not kept[/red] {clock(miss.from_s)} to {clock(miss.to_s)} ", end="")
        what = miss.item_id if miss.wanted_s > 0.0 else f"{miss.item_id} (watch)"
        out.print(f"{what}: {miss.why}", markup=False)


def _month(word: str | None) -> tuple[int, int] | None:
    if word is None:
        return None
    match = re.fullmatch(r"(\d{4})-(\d{2})", word)
    if match is None or not 1 <= int(match[2]) <= 12 or int(match[1]) < 1:
        raise BadInputError(f"--month is {word!r}; write it as 2026-03")
    return int(match[1]), int(match[2])


def _say_heat(found: SiteHeat) -> None:
    warned, score, rejects = found.warnings, found.score, found.read.rejects
    out.print(
        f"{len(found.heat.cases)} cases up to {found.heat.as_of.isoformat()} ({found.read.encoding}), kernel "
        f"{found.heat.bandwidth_m:.0f} m",
        markup=False,
    )
    for reject in rejects[:_REJECTS_SHOWN]:
        out.print(f"[yellow]rejected[/yellow] line {reject.line}: ", end="")
        out.print(reject.reason, markup=False)
    if len(rejects) > _REJECTS_SHOWN:
        out.print(f"... {len(rejects)} rejected in all; heat.json lists them", markup=False)
    outside = sum("outside the area" in r.reason for r in rejects)
    if outside > _OUTSIDE_SHARE * (outside + len(found.heat.cases)):
        out.print(
            f"[yellow]{outside} cases lie outside the area: is the reference system right?[/yellow] "
            f"They were read as {found.options.system.value}."
        )
    if found.weights:
        table = Table(title="Weights", title_justify="left")
        table.add_column("item")
        table.add_column("weight", justify="right")
        table.add_column("why")
        for item in sorted(found.weights, key=lambda w: -w.weight):
            table.add_row(item.item_id, f"{item.weight:.2f}", sentence(item))
        out.print(table)
    month = f"{found.month[0]:04d}-{found.month[1]:02d}"
    for spot in warned.hot_spots:
        out.print(
            f"[red]hot spot[/red] ({spot.test}) in {month}: {spot.cases} cases within {spot.radius_m:.0f} m, "
            f"{spot.expected:.1f} expected, p = {spot.p:.3f}"
        )
    if not warned.hot_spots:
        out.print(f"No hot spot in {month} stands the test ({warned.month_cases} cases).", markup=False)
    if score.months:
        out.print(
            f"Foretelling {len(score.months)} months from those before: {score.ours.hit_rate:.0%} of {score.ours.cases} "
            f"cases lay in the hottest {score.ours.area_share:.0%} of the area (last month's cases alone: "
            f"{score.last_month.hit_rate:.0%}; an even map: {score.uniform.hit_rate:.0%}).",
            markup=False,
        )
    else:
        out.print("Cases of one month only: nothing to score the map on yet.", markup=False)
