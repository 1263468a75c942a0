# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan cover`: a drawn area to flights that see all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from dronectl.cli.common import DemOption, JsonOption, SiteOption, err, open_site, out, print_json
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.covering import CoverWishes, SiteCover, cover_document, plan_site_cover
from dronectl.operations.plan_outputs import common_files, with_common_keys
from dronectl.operations.planned import cover_flights
from dronectl.report.plan_picture import site_map_svg
from dronectl.site import NamedLine, Site
from missions.coverage.area import CoverArea
from missions.model import Budget


def cover(
    area: Annotated[
        Path, typer.Argument(help="GeoJSON with polygons, or lines with --corridor (WGS 84).", metavar="AREA")
    ],
    site: SiteOption = None,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for the plans, summary.json and plan.svg.", metavar="DIR")
    ] = Path("plans"),
    drones: Annotated[
        str | None,
        typer.Option("--drones", help="Plan for these drones only, for example d1,d3.", metavar="ID[,ID...]"),
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="Which of the drones' cameras. Default: the first drone's first.", metavar="ID")
    ] = None,
    height: Annotated[
        float | None, typer.Option(help="Metres above ground. Default: the site's patrol height.", min=5, max=500)
    ] = None,
    gsd: Annotated[
        float | None, typer.Option(help="Instead of a height: centimetres per pixel at most.", min=0.1, max=200)
    ] = None,
    person_px: Annotated[
        float | None,
        typer.Option("--person-px", help="Instead of a height: pixels on a curled-up person of 0.9 m.", min=1, max=500),
    ] = None,
    overlap: Annotated[float, typer.Option(help="Side overlap of passes, a share.", min=0, max=0.95)] = 0.2,
    corridor: Annotated[
        float | None,
        typer.Option("--corridor", help="Lines are corridors of this width, in metres.", min=1, max=5000, metavar="M"),
    ] = None,
    avoid_holes: Annotated[
        bool, typer.Option("--avoid-holes", help="No leg over the area's holes: they become keep-outs.")
    ] = False,
    wind: Annotated[float, typer.Option(help="Wind in m/s; batteries are planned for it.", min=0, max=60)] = 0.0,
    wind_from: Annotated[
        float | None,
        typer.Option("--wind-from", help="Degrees it blows from: passes then lie across it.", min=0, max=360),
    ] = None,
    dem: DemOption = None,
    seed: Annotated[int, typer.Option(help="Same seed, same plans.", min=0)] = 1,
    iterations: Annotated[int, typer.Option(help="How long to search for a better order.", min=0)] = 60,
    as_json: JsonOption = False,
) -> None:
    """Cover an area: passes side by side, split into flights that land with their reserve.

    Every flight is a .plan of its own (d1-1.plan, d1-2.plan, ...): after a battery swap it takes up the path where the
    one before left it and sets the camera again. Heights follow the ground. The summary says path length over the bound
    A / w, the share of the area that is seen (judged by raster), time and battery of every flight.

    Exit code 1 when part of the area is not seen or a flight has findings that forbid it.
    """
    if sum(value is not None for value in (height, gsd, person_px)) > 1:
        raise BadInputError("give one of --height, --gsd and --person-px")
    opened = open_site(site, dem)
    chosen = None if drones is None else [d.strip() for d in drones.split(",") if d.strip()]
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
    with Progress(console=err, transient=True, disable=as_json) as bar:
        task = bar.add_task("planning", total=1.0)
        budget = Budget(
            iterations=iterations,
            seed=seed,
            progress=lambda done, said: bar.update(task, completed=done, description=said),
        )
        found = plan_site_cover(opened, area, wishes, budget, drone_ids=chosen)
    written = _write(opened, found, out_dir)
    if as_json:
        document = with_common_keys(cover_document(found), cover_flights(opened, found, opened))
        print_json({**document, "files": [str(p) for p in written]})
    else:
        _say(found, written)
    if not found.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _write(site: Site, found: SiteCover, folder: Path) -> list[Path]:
    shown = drawn_site(site, found.area)
    common = cover_flights(site, found, shown)
    files = common_files(common)
    document = with_common_keys(cover_document(found), common)
    files["summary.json"] = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    files["plan.svg"] = site_map_svg(shown, [s.plan for s in found.plan.sorties])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be written: {error.strerror or error}; name another --out") from error
    return [folder / name for name in files]


def drawn_site(site: Site, area: CoverArea) -> Site:
    """The site as the picture shows it: the area's rings instead of the patrol's points and lines."""
    frame = area.frame
    rings = [ring for part in getattr(area.shape, "geoms", [area.shape]) for ring in (part.exterior, *part.interiors)]
    lines = tuple(NamedLine("area", " ", tuple(frame.to_geo(*p[:2]) for p in ring.coords)) for ring in rings)
    return replace(site, points=(), lines=lines)


def _say(found: SiteCover, written: list[Path]) -> None:
    table = Table(title="Coverage", title_justify="left")
    for heading in ("flight", "time", "length", "battery at landing", "waypoints"):
        table.add_column(heading, justify="left" if heading == "flight" else "right", no_wrap=True)
    for sortie in found.plan.sorties:
        table.add_row(
            f"{sortie.vehicle_id}-{sortie.number}",
            minutes(sortie.energy.time_s),
            f"{sortie.energy.length_m / 1000:.2f} km",
            f"{sortie.energy.landing_fraction:.0%}",
            str(len(sortie.plan.waypoints)),
        )
    out.print(table)
    sweep = found.plan.sweep
    out.print(
        f"Path {sweep.length_m / 1000:.2f} km, {sweep.ratio:.2f} times area over swath; passes {found.grid.spacing_m:.0f} m "
        f"apart, {found.gsd_worst_m * 100:.1f} cm per pixel at worst. Done after {minutes(found.plan.time_s)}; no split "
        f"can do it in less than {minutes(found.plan.bound_s)}.",
        markup=False,
    )
    out.print(f"Seen: {found.verdict.fraction:.2%} of {found.area.shape.area / 10_000:.2f} ha.", markup=False)
    for sortie, findings in zip(found.plan.sorties, found.findings, strict=True):
        for finding in findings:
            out.print(
                f"{finding.severity.value}: {sortie.vehicle_id}-{sortie.number}: {finding.message} ({finding.code})",
                markup=False,
            )
    out.print(f"Written: {', '.join(str(p) for p in written)}", markup=False)


def minutes(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"
