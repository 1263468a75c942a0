# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan search`: from the last-seen form, or a probability map, to a flight plan per drone."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dronectl.cli.common import JsonOption, SiteOption, err, open_site, out
from dronectl.cli.limits import PlanClock
from dronectl.cli.plan_results import Written, write_result
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.flying_on import changes_text
from dronectl.operations.last_seen import LastSeen, map_of_form, read_last_seen
from dronectl.operations.line_features import LineFeature, read_line_features
from dronectl.operations.planned import search_flights
from dronectl.operations.probability_files import MapReading, read_probability_map, write_probability_map
from dronectl.operations.search_inputs import drones_now, read_flown, read_place, read_zones
from dronectl.operations.search_resume import Changes, after_flying, plan_rest, with_width
from dronectl.operations.searching import Sensing, SiteSearch, check_place, plan_site_search, search_document
from dronectl.operations.start_texts import start_text, starts_text
from dronectl.plain_text import minutes
from dronectl.report.search_picture import search_map_svg
from dronectl.site import Site
from dronectl.site_model import ReferenceSystem
from missions.geo import GeoPoint
from missions.model import Budget, Severity
from missions.search.ground import GroundModels
from missions.search.lost_person import CATEGORIES, TERRAINS
from missions.search.probability import ProbabilityMap

_MARK = {Severity.BLOCKER: "[red]blocks[/red]", Severity.WARNING: "[yellow]warns[/yellow]", Severity.INFO: "note"}
_AFTERWARDS = 0.4  # what checks and files take, beside the reading and the map: measured
_KEEPING_APART = 0.04  # the same for each drone in the air, of several


def search(
    form: Annotated[
        Path | None,
        typer.Argument(help="The last-seen form (YAML) instead of --at; see config/last_seen.yaml.", metavar="FORM"),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Where the person was last seen: latitude,longitude (WGS 84).", metavar="LAT,LON"),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help=f"Who is lost: {', '.join(CATEGORIES)}. Overrides the form's choice.", metavar="CATEGORY"),
    ] = None,
    terrain: Annotated[
        str | None, typer.Option(help=f"{', '.join(TERRAINS)}. Default: temperate_flat.", metavar="TERRAIN")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            "--hours", help="Hours since then: nobody is looked for farther than a walker gets.", min=0.01, max=2000
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option("--features", help="Roads, tracks, streams: GeoJSON lines (WGS 84), with --at.", metavar="FILE"),
    ] = None,
    ignore: Annotated[
        str,
        typer.Option("--ignore", help="Models of the ground to leave out: walking,watershed,lines.", metavar="MODELS"),
    ] = "",
    map_file: Annotated[
        Path | None,
        typer.Option(
            "--map",
            help="A probability map (.npz or .npy) instead of a category; map.npz of a search is one.",
            metavar="FILE",
        ),
    ] = None,
    cell_size: Annotated[
        float, typer.Option("--cell-size", help="Cell size in metres of a map that does not say it.", min=1, max=1000)
    ] = 30.0,
    north_first: Annotated[
        bool, typer.Option("--north-first", help="The map's first row is its northernmost (default: southernmost).")
    ] = False,
    flown: Annotated[
        list[str] | None,
        typer.Option(
            "--flown",
            help="A plan or track that was flown and found nothing; @N: as far as the N-th place of its way.",
            metavar="FILE[@N]",
        ),
    ] = None,
    battery: Annotated[
        list[str] | None, typer.Option("--battery", help="What a drone's battery holds.", metavar="ID=PERCENT")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--from", help="Where a drone is in the air.", metavar="ID=LAT,LON")
    ] = None,
    no_fly: Annotated[
        list[Path] | None,
        typer.Option("--no-fly", help="New zones to keep out of: .plan, GeoJSON or KML.", metavar="FILE"),
    ] = None,
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
        Path,
        typer.Option(
            "--out", help="Folder for the plans, routes, map.npz, summary.json and search.svg.", metavar="DIR"
        ),
    ] = Path("search"),
    seed: Annotated[int, typer.Option(help="Same seed and iterations, same plans.", min=0)] = 1,
    iterations: Annotated[int, typer.Option(help="How long to improve the tracks at most.", min=0)] = 1_000_000,
    time_limit: Annotated[
        float,
        typer.Option(
            "--time-limit",
            help="Seconds until the best found so far is written, loading the program aside. Every pattern is tried "
            "once however short the limit: about six seconds on a large map.",
            min=1,
            max=3600,
        ),
    ] = 40.0,
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Repeat a run that the time limit ended: its steps in summary.json.", min=0),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search for a missing person: who flies where, so that what the batteries hold finds most.

    The map comes from the distances at which such people were found (ISRID), changed by walking time, watersheds and
    lines on the ground, or from --map. All patterns that pilots know are tried (expanding square, sector, parallel,
    creeping line, contour, ring) beside a lattice tour made for this map; the one that finds most is kept, and compared
    with what no search could beat. The form names no person and no clothing: nobody is identified.

    To go on after flights that found nothing, give the first search's map and what was flown:
    `plan search --map search/map.npz --flown search/d1.plan --flown search/d2.plan@12 --drones d1,d3 --battery d1=60`.
    The map is changed by Bayes' rule and saved again, and the rest is planned for the drones that are left.

    Drones start one after another where their flights would come too near to each other; each .plan says its start.
    Drones in the air (--from) hover at waypoints where they would meet, else fly a few metres higher or lower, search
    a little less, or are brought home: the least that helps is done, and said.

    Writes one .plan per drone, all routes, map.npz, summary.json, and search.svg. Exit code 1 when findings forbid a
    flight.

    Example: dronectl plan search last_seen.yaml --site site.yaml, or --at 29.7405,107.2690 --category hiker --hours 2
    """
    apart = _KEEPING_APART * len(where) if where and len(where) > 1 else 0.0
    clock = PlanClock(time.monotonic(), time_limit, steps, afterwards=_AFTERWARDS + apart)
    opened = open_site(site)
    chart, place, lines = _chart(
        opened, form, at, category, terrain, hours, features, ignore, map_file, cell_size, north_first
    )
    check_place(opened, place)
    chosen = None if drones is None else [d.strip() for d in drones.split(",") if d.strip()]
    sensing = Sensing(sweep_width, height, certain)
    goes_on = bool(flown or battery or where or no_fly)
    left = drones_now(opened, chosen, battery or [], where or []) if goes_on else []
    changes = Changes(wind, read_zones(no_fly or []))
    found_before = 0.0
    if flown:
        sensing = with_width(opened, sensing, chosen)
        swept = after_flying(chart, read_flown(flown), sensing)
        said = f"{', '.join(flown)} flown with nothing found: the map is what is left after a search with POS {swept.found:.1%}"
        chart, found_before = replace(swept.chart, doubts=(*swept.chart.doubts, said)), swept.found
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err, transient=True
    ) as shown:
        task = shown.add_task("planning", total=1.0)
        budget = Budget(
            iterations=iterations,
            seed=seed,
            stop=clock.stop,
            progress=lambda done, words: shown.update(task, completed=done, description=words),
        )
        if goes_on:
            found = plan_rest(opened, chart, place, sensing, left, budget, changes)
        else:
            found = plan_site_search(opened, chart, place, sensing, budget, drone_ids=chosen, wind_m_s=wind)
    own: dict[str, Any] = {"seed": seed, "iterations": iterations, "steps": clock.steps}
    if flown:
        own["found_if_flown_before"] = round(found_before, 5)
    written = _write(opened, found, out_dir, lines, own)
    if as_json:
        written.print_json()
    else:
        _say(found)
        written.say()
    if not found.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _chart(
    site: Site,
    form: Path | None,
    at: str | None,
    category: str | None,
    terrain: str | None,
    hours: float | None,
    features: Path | None,
    ignore: str,
    map_file: Path | None,
    cell_size: float,
    north_first: bool,
) -> tuple[ProbabilityMap, GeoPoint, tuple[LineFeature, ...]]:
    """The map to search, the place it is about, and the lines that shaped it."""
    left_out = {w.strip() for w in ignore.split(",") if w.strip()}
    if wrong := left_out - {"walking", "watershed", "lines"}:
        raise BadInputError(f"--ignore {ignore}: there is no model {min(wrong)!r}; there are walking, watershed, lines")
    if map_file is not None:
        if form is not None or category is not None:
            raise BadInputError("give either a form, or --category (with --terrain), or --map")
        if terrain is not None or hours is not None or features is not None or left_out:
            raise BadInputError(
                "the map says where people may be; leave out --terrain, --hours, --features and --ignore"
            )
        place = None if at is None else read_place(at, "--at")
        chart = read_probability_map(map_file, MapReading(place, cell_size, north_first))
        return chart, place or chart.frame.origin, ()
    if form is not None:
        if at is not None or hours is not None or features is not None:
            raise BadInputError("the form says the place, the time and the lines; leave out --at, --hours, --features")
        seen = read_last_seen(form, datetime.now(UTC))
        if category is not None:
            seen = replace(seen, category=category, notes=(*seen.notes, f"category {category}: from --category"))
        if terrain is not None:
            seen = replace(seen, terrain=terrain)
    elif at is None:
        raise BadInputError("where? Give a form (FORM.yaml), or --at with --category, or --map")
    elif category is None:
        raise BadInputError("give either a form, or --category (with --terrain), or --map")
    else:
        lines = () if features is None else read_line_features(features, ReferenceSystem.WGS84)
        seen = LastSeen(read_place(at, "--at"), category, terrain or "temperate_flat", hours, lines)
    on = seen.models
    seen = replace(
        seen,
        models=GroundModels(
            walking=on.walking and "walking" not in left_out,
            watershed=on.watershed and "watershed" not in left_out,
            lines=on.lines and "lines" not in left_out,
        ),
    )
    check_place(site, seen.at)
    return map_of_form(seen, site.terrain), seen.at, seen.lines


def _write(
    site: Site, found: SiteSearch, folder: Path, lines: tuple[LineFeature, ...], besides: dict[str, Any]
) -> Written:
    pictures = {"search.svg": search_map_svg(site, found, lines)}
    flights = search_flights(site, found)
    written = write_result(folder, flights, search_document(found), pictures, besides=besides)
    chart = folder / "map.npz"
    write_probability_map(chart, found.chart)
    return replace(written, files=(*written.files, chart))


def _say(found: SiteSearch) -> None:
    plan = found.plan
    table = Table(title="Search flights", title_justify="left")
    table.add_column("drone", no_wrap=True)
    for heading in ("starts", "time", "length", "battery at landing", "waypoints"):
        table.add_column(heading, justify="right", no_wrap=True)
    for flight in plan.flights:
        table.add_row(
            flight.plan.vehicle_id,
            start_text(flight.plan.start_after_s),
            minutes(flight.energy.time_s),
            f"{flight.energy.length_m / 1000:.2f} km",
            f"{flight.energy.landing_fraction:.0%}",
            str(len(flight.plan.waypoints)),
        )
    out.print(table)
    if (starts := starts_text(plan.slack_s)) is not None:
        out.print(starts, markup=False)
    if (changes := changes_text(plan.changes)) is not None:
        out.print(changes, markup=False)
    out.print(
        f"Probability of success {plan.pos:.1%}; no search with these batteries could beat {plan.bound:.1%} "
        f"(ratio {plan.ratio:.2f}). Kept: {plan.pattern}.",
        markup=False,
    )
    out.print("Tried: " + ", ".join(f"{c.name} {c.pos:.1%}" for c in plan.candidates), markup=False)
    home = [f.plan.vehicle_id for f in plan.homeward]
    if home:
        out.print(f"Brought home: {', '.join(home)}", markup=False)
    if idle := [d for d in plan.idle if d not in home]:
        out.print(f"Of no use here: {', '.join(idle)}", markup=False)
    out.print(f"Source: {found.chart.source}", markup=False)
    for doubt in found.doubts:
        out.print("[yellow]doubtful[/yellow] ", end="")
        out.print(doubt, markup=False)
    for flight, findings in zip(plan.flights, found.findings, strict=True):
        for finding in findings:
            out.print(f"{_MARK[finding.severity]} ", end="")
            out.print(f"{flight.plan.vehicle_id}: {finding.message} ({finding.code})", markup=False)
