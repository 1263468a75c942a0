# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan search`: from the last-seen form, or a probability map, to a flight plan per drone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dronectl.cli.common import JsonOption, SiteOption, err, open_site, out, print_json
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.plan_outputs import common_files, with_common_keys
from dronectl.operations.planned import search_flights
from dronectl.operations.probability_files import MapReading, read_probability_map
from dronectl.operations.searching import (
    LastSeen,
    Sensing,
    SiteSearch,
    map_of_form,
    plan_site_search,
    search_document,
)
from dronectl.report.search_picture import search_map_svg
from dronectl.site import Site
from missions.geo import GeoError, GeoPoint
from missions.model import Budget, Severity
from missions.search.lost_person import CATEGORIES, TERRAINS

_MARK = {Severity.BLOCKER: "[red]blocks[/red]", Severity.WARNING: "[yellow]warns[/yellow]", Severity.INFO: "note"}


def search(
    at: Annotated[
        str,
        typer.Option("--at", help="Where the person was last seen: latitude,longitude (WGS 84).", metavar="LAT,LON"),
    ],
    category: Annotated[
        str | None, typer.Option(help=f"Who is lost: {', '.join(CATEGORIES)}.", metavar="CATEGORY")
    ] = None,
    terrain: Annotated[str, typer.Option(help=f"{', '.join(TERRAINS)}.", metavar="TERRAIN")] = "temperate_flat",
    hours: Annotated[
        float | None,
        typer.Option(
            "--hours", help="Hours since then: nobody is looked for farther than a walker gets.", min=0.01, max=2000
        ),
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option("--map", help="A probability map (.npz or .npy) instead of a category.", metavar="FILE"),
    ] = None,
    cell_size: Annotated[
        float, typer.Option("--cell-size", help="Cell size in metres of a map that does not say it.", min=1, max=1000)
    ] = 30.0,
    north_first: Annotated[
        bool, typer.Option("--north-first", help="The map's first row is its northernmost (default: southernmost).")
    ] = False,
    site: SiteOption = None,
    drones: Annotated[
        str | None,
        typer.Option("--drones", help="Plan for these drones only, for example d1,d3.", metavar="ID[,ID...]"),
    ] = None,
    sweep_width: Annotated[
        float | None,
        typer.Option(
            help="Sweep width in metres at the search height, calibrated. Default: the camera's whole picture, and a "
            "warning.",
            min=2,
            max=2000,
        ),
    ] = None,
    certain: Annotated[
        bool, typer.Option("--certain", help="Take whatever comes within half the sweep width as found.")
    ] = False,
    height: Annotated[
        float | None, typer.Option(help="Metres above ground. Default: the site's patrol height.", min=5, max=500)
    ] = None,
    wind: Annotated[float, typer.Option(help="Wind in m/s to reckon with.", min=0, max=60)] = 0.0,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for the plans, summary.json and search.svg.", metavar="DIR")
    ] = Path("search"),
    seed: Annotated[int, typer.Option(help="Same seed and iterations, same plans.", min=0)] = 1,
    iterations: Annotated[int, typer.Option(help="How long to improve the tracks at most.", min=0)] = 1_000_000,
    time_limit: Annotated[
        float,
        typer.Option("--time-limit", help="Seconds after which the best so far is taken.", min=1, max=3600),
    ] = 40.0,
    as_json: JsonOption = False,
) -> None:
    """Search for a missing person: who flies where, so that what the batteries hold finds most.

    The map comes from the distances at which such people were found (ISRID), or from --map. All patterns that pilots
    know are tried (expanding square, sector, parallel, creeping line, contour, ring) beside a lattice tour made for
    this map; the one that finds most is kept, and compared with what no search could beat.

    Writes one .plan per drone, summary.json, and search.svg. Exit code 1 when findings forbid a flight.
    """
    opened = open_site(site)
    place = _place(at)
    if (category is None) == (map_file is None):
        raise BadInputError("give either --category (with --terrain) or --map")
    if map_file is not None:
        chart = read_probability_map(map_file, MapReading(place, cell_size, north_first))
    else:
        chart = map_of_form(LastSeen(place, category or "", terrain, hours))
    chosen = None if drones is None else [d.strip() for d in drones.split(",") if d.strip()]
    sensing = Sensing(sweep_width, height, certain)
    ends = time.monotonic() + time_limit
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err, transient=True
    ) as shown:
        task = shown.add_task("planning", total=1.0)
        budget = Budget(
            iterations=iterations,
            seed=seed,
            stop=lambda: time.monotonic() > ends,
            progress=lambda done, words: shown.update(task, completed=done, description=words),
        )
        found = plan_site_search(opened, chart, place, sensing, budget, drone_ids=chosen, wind_m_s=wind)
    written = _write(opened, found, out_dir)
    if as_json:
        document = with_common_keys(search_document(found), search_flights(opened, found))
        print_json({**document, "files": [str(p) for p in written]})
    else:
        _say(found, written)
    if not found.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _place(words: str) -> GeoPoint:
    parts = words.split(",")
    try:
        latitude, longitude = (float(p) for p in parts)
        return GeoPoint(latitude, longitude)
    except GeoError as error:
        raise BadInputError(f"--at {words}: {error}") from error
    except ValueError:
        raise BadInputError(f"--at {words}: give latitude,longitude in degrees, for example 29.741,107.271") from None


def _write(site: Site, found: SiteSearch, folder: Path) -> list[Path]:
    common = search_flights(site, found)
    files = common_files(common)
    document = with_common_keys(search_document(found), common)
    files["summary.json"] = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    files["search.svg"] = search_map_svg(site, found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be written: {error.strerror or error}; name another --out") from error
    return [folder / name for name in files]


def _say(found: SiteSearch, written: list[Path]) -> None:
    plan = found.plan
    table = Table(title="Search flights", title_justify="left")
    table.add_column("drone", no_wrap=True)
    for heading in ("time", "length", "battery at landing", "waypoints"):
        table.add_column(heading, justify="right", no_wrap=True)
    for flight in plan.flown:
        minutes, seconds = divmod(round(flight.energy.time_s), 60)
        table.add_row(
            flight.plan.vehicle_id,
            f"{minutes}:{seconds:02d} min",
            f"{flight.energy.length_m / 1000:.2f} km",
            f"{flight.energy.landing_fraction:.0%}",
            str(len(flight.plan.waypoints)),
        )
    out.print(table)
    out.print(
        f"Probability of success {plan.pos:.1%}; no search with these batteries could beat {plan.bound:.1%} "
        f"(ratio {plan.ratio:.2f}). Kept: {plan.pattern}.",
        markup=False,
    )
    out.print("Tried: " + ", ".join(f"{c.name} {c.pos:.1%}" for c in plan.candidates), markup=False)
    if plan.idle:
        out.print(f"Of no use here: {', '.join(plan.idle)}", markup=False)
    out.print(f"Source: {found.chart.source}", markup=False)
    for doubt in found.doubts:
        out.print("[yellow]doubtful[/yellow] ", end="")
        out.print(doubt, markup=False)
    for flight, findings in zip(plan.flown, found.findings, strict=True):
        for finding in findings:
            out.print(f"{_MARK[finding.severity]} ", end="")
            out.print(f"{flight.plan.vehicle_id}: {finding.message} ({finding.code})", markup=False)
    out.print(f"Written: {', '.join(str(p) for p in written)}", markup=False)
