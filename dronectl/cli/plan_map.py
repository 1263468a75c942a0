# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan map`: a drawn area to flights that photograph it for a map, a 3-D model or a close look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    WindFromOption,
    WindOption,
    chosen_drones,
    one_height,
    say_findings,
    shown_budget,
)
from dronectl.cli.common import DemOption, JsonOption, SiteOption, open_site, out
from dronectl.cli.plan_results import Written, write_result
from dronectl.errors import EXIT_GOAL_MISSED
from dronectl.operations.mapping import MapWishes, Preset, SiteMap, map_document, plan_site_map, view_document
from dronectl.operations.planned import map_flights
from dronectl.operations.start_texts import start_text, starts_text
from dronectl.plain_text import minutes
from dronectl.report.plan_picture import site_map_svg, with_area
from dronectl.site import Site


def map_(
    area: AreaArgument,
    site: SiteOption = None,
    preset: Annotated[
        Preset,
        typer.Option(
            help="ortho: straight down, 75 % front and 70 % side overlap. model3d: 80 and 70 %, and obliques from four "
            "sides. carpet: 25 px on a curled-up person of 0.9 m (3.6 cm per pixel), 30 % overlap."
        ),
    ] = Preset.ORTHO,
    out_dir: OutOption = Path("map"),
    drones: DronesOption = None,
    camera: Annotated[
        str | None,
        typer.Option(
            help="Which of the drones' cameras. Default: the colour camera with the finest picture.", metavar="TYPE"
        ),
    ] = None,
    height: HeightOption = None,
    gsd: GsdOption = None,
    person_px: PersonOption = None,
    front: Annotated[
        float | None, typer.Option(help="Overlap along the flight, a share of the picture.", min=0, max=0.95)
    ] = None,
    side: Annotated[
        float | None, typer.Option(help="Overlap of neighbouring lines, a share of the picture.", min=0, max=0.95)
    ] = None,
    oblique: Annotated[
        bool | None,
        typer.Option("--oblique/--no-oblique", help="Also look ahead and down from four sides: under trees, at walls."),
    ] = None,
    pitch: Annotated[
        float, typer.Option(help="Camera angle of the obliques; -90 is straight down.", max=-30, min=-80)
    ] = -60,
    speed: Annotated[
        float | None,
        typer.Option(help="m/s. Default: the site's, or slower where camera or sharpness ask for it.", min=1, max=30),
    ] = None,
    exposure: Annotated[
        float, typer.Option(help="Exposure in milliseconds: at most one pixel of motion blur.", min=0.02, max=50)
    ] = 1.0,
    corridor: CorridorOption = None,
    avoid_holes: HolesOption = False,
    wind: WindOption = 0.0,
    wind_from: WindFromOption = None,
    dem: DemOption = None,
    seed: SeedOption = 1,
    iterations: IterationsOption = 60,
    as_json: JsonOption = False,
) -> None:
    """Photograph an area: lines of pictures with front and side overlap, triggered by distance, following the ground.

    Every flight is a .plan of its own (d1-1.plan, d1-2.plan, ...): after a battery swap it goes on where the one before
    left off, with camera angle and trigger set again. The summary says height, ground detail, pictures, seconds between
    them against the camera's own, blur, battery, and in how many pictures every place is (judged by raster, on the
    terrain).

    Example: dronectl plan map field.geojson --preset carpet --oblique --camera rgb

    Exit code 1 when part of the area is in too few pictures or a flight has findings that forbid it.
    """
    one_height(height, gsd, person_px)
    opened = open_site(site, dem)
    wishes = MapWishes(
        preset=preset,
        height_m=height,
        gsd_m=None if gsd is None else gsd / 100.0,
        person_px=person_px,
        front_overlap=front,
        side_overlap=side,
        oblique=oblique,
        pitch_deg=pitch,
        speed_m_s=speed,
        exposure_s=exposure / 1000.0,
        camera_id=camera,
        corridor_m=corridor,
        avoid_holes=avoid_holes,
        wind_m_s=wind,
        wind_from_deg=wind_from,
    )
    with shown_budget(iterations, seed, quiet=as_json) as budget:
        found = plan_site_map(opened, area, wishes, budget, drone_ids=chosen_drones(drones))
    written = _write(opened, found, out_dir)
    if as_json:
        written.print_json()
    else:
        _say(found)
        written.say()
    if not found.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _write(site: Site, found: SiteMap, folder: Path) -> Written:
    shown = with_area(site, found.area)
    sorties = found.plan.sorties
    pictures = {"plan.svg": site_map_svg(shown, [s.plan for s in sorties], energies=[s.energy for s in sorties])}
    return write_result(folder, map_flights(site, found, shown), map_document(found), pictures)


def _say(found: SiteMap) -> None:
    table = Table(title="Pictures", title_justify="left")
    for heading in ("flight", "starts", "time", "length", "pictures", "battery at landing", "waypoints"):
        table.add_column(heading, justify="left" if heading == "flight" else "right", no_wrap=True)
    for sortie, photos in zip(found.plan.sorties, found.photos, strict=True):
        table.add_row(
            f"{sortie.vehicle_id}-{sortie.number}",
            start_text(sortie.plan.start_after_s),
            minutes(sortie.energy.time_s),
            f"{sortie.energy.length_m / 1000:.2f} km",
            str(photos),
            f"{sortie.energy.landing_fraction:.0%}",
            str(len(sortie.plan.waypoints)),
        )
    out.print(table)
    if (starts := starts_text(found.plan.slack_s)) is not None:
        out.print(starts, markup=False)
    slowed = f" (because of {found.slowed})" if found.slowed else ""
    out.print(
        f"{found.height_m:.0f} m above ground at {found.speed_m_s:.1f} m/s{slowed}, {sum(found.photos)} pictures.",
        markup=False,
    )
    for view in found.views:
        said = view_document(found, view)
        name = "Straight down" if view.ahead_m == 0.0 else f"{-view.pitch_deg:.0f} degrees down, from four sides"
        out.print(
            f"{name}: {said['gsd_worst_m'] * 100:.1f} cm per pixel at worst, {said['person_px']:.0f} px on a curled-up person; lines "
            f"{view.spacing_m:.1f} m and pictures {view.trigger_m:.1f} m apart, one every {said['between_photos_s']:.1f} s "
            f"(the camera needs {said['camera_needs_s']:.1f} s), {said['blur_px']:.1f} px of blur.",
            markup=False,
        )
    grid, verdict = found.plan.grid, found.verdict
    out.print(
        f"{grid.line_count} lines, path {grid.length_m / 1000:.2f} km, {found.plan.ratio:.2f} times area over line "
        f"distance. Done after {minutes(found.plan.time_s)}.",
        markup=False,
    )
    out.print(
        f"{verdict.fraction:.2%} of {found.area.shape.area / 10_000:.2f} ha are in at least {found.needed} pictures from "
        f"above (median {verdict.nadir_median:.0f}, least {verdict.nadir_least}).",
        markup=False,
    )
    if len(found.views) > 1:
        out.print(f"{verdict.sides_fraction:.2%} are seen from all four sides.", markup=False)
    if verdict.first_short_m is not None and not found.clean:
        place = found.area.frame.to_geo(*verdict.first_short_m)
        out.print(
            f"Too few pictures near {place.latitude_deg:.5f}, {place.longitude_deg:.5f} and elsewhere: where fence or "
            "keep-outs are near the area, lines cannot reach beyond it; overlap more, fly higher or widen the fence.",
            markup=False,
        )
    say_findings(found.plan.sorties, found.findings)
