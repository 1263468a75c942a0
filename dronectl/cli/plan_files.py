# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan convert`: flight files from one format to another, with what is lost listed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dronectl.cli.common import JsonOption, out, print_json
from dronectl.errors import EXIT_GOAL_MISSED
from dronectl.operations.plan_files import choose_route, kind_of, read_file, write_file
from missions.formats.files import FileFormat
from missions.geo import Datum

HeightOption = Annotated[
    float | None,
    typer.Option("--height", help="Metres above home for places without a height.", min=-500, max=9000, metavar="M"),
]
HeightsOption = Annotated[
    Datum | None,
    typer.Option(
        "--heights",
        help="What bare heights in GeoJSON and GPX are measured from. GeoJSON says ellipsoid, GPX sea level (amsl).",
    ),
]


def convert(
    file: Annotated[Path, typer.Argument(help="Any of the formats; its content says which.", metavar="IN")],
    to: Annotated[FileFormat, typer.Option("--to", help="The format to write.")],
    out_file: Annotated[Path, typer.Option("--out", help="The file to write.", metavar="FILE")],
    route: Annotated[
        str | None, typer.Option(help="Take only the route of this name, for formats that hold one.", metavar="NAME")
    ] = None,
    height: HeightOption = None,
    heights: HeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Convert a flight file: QGroundControl .plan, GeoJSON, KML, KMZ, GPX, MAVLink waypoints, DJI WPML.

    Nothing is dropped silently. Exit code 0: everything is in the new file. 1: written, and what it cannot say is
    listed. 2: the file cannot be read, or the new format cannot hold it at all; nothing is written.

    WPML names a DJI model, and the M30 is written: choose yours when its ground station imports the file.

    Example: dronectl plan convert survey.plan --to geojson --out survey.geojson
    """
    content = read_file(file, heights=heights, height_m=height)
    if route is not None:
        content = choose_route(content, route)
    losses = (*content.losses, *write_file(content, to, out_file))
    if as_json:
        print_json(
            {
                "schema_version": 1,
                "from": kind_of(file).value,
                "to": to.value,
                "file": str(out_file),
                "complete": not losses,
                "routes": [{"name": r.name, "steps": len(r.steps)} for r in content.routes],
                "rings": len(content.rings),
                "circles": len(content.circles),
                "rally_points": len(content.rally),
                "places": len(content.places),
                "losses": [{"place": loss.place, "message": loss.message} for loss in losses],
            }
        )
    else:
        for loss in losses:
            out.print("[yellow]lost[/yellow] ", end="")
            out.print(str(loss), markup=False)
        held = [(len(content.routes), "route"), (len(content.rings) + len(content.circles), "fence area")]
        held += [(len(content.rally), "rally point"), (len(content.places), "place")]
        words = ", ".join(f"{count} {what}{'s' if count > 1 else ''}" for count, what in held if count) or "nothing"
        out.print(f"{file.name} holds {words}; written: {out_file}", markup=False)
    if losses:
        raise typer.Exit(EXIT_GOAL_MISSED)
