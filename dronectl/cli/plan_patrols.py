# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan heat`: where patrols matter."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from dronectl.cli.common import JsonOption, SiteOption, open_site, out, print_json
from dronectl.errors import BadInputError
from dronectl.operations.heat import HeatOptions, SiteHeat, heat_at_site, heat_document, heat_geojson
from dronectl.report.heat_picture import heat_svg
from dronectl.site_model import ReferenceSystem
from missions.heat.weights import sentence

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
            help="What the coordinates are given in. Web and police maps in China: gcj02.",
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


def write_files(folder: Path, files: dict[str, str]) -> list[Path]:
    """Write all files of a result, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be written: {error.strerror or error}; name another --out") from error
    return [folder / name for name in files]
