# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl vision advise`: whether a person will show in thermal pictures, hour by hour."""

from __future__ import annotations

import itertools
from datetime import date as Date  # noqa: N812  # a type here, and `date` is the option
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.table import Table

from dronectl.cli.common import JsonOption, SiteOption, open_site, out, print_json
from dronectl.errors import EXIT_DONE, EXIT_GOAL_MISSED, BadInputError

_BAR_C = 2.0  # degrees per mark


def advise(
    air: Annotated[str, typer.Option("--air", help="Lowest and highest air temperature of the day, C, as LOW..HIGH.")],
    wind: Annotated[float, typer.Option("--wind", help="Wind near the ground, m/s.")] = 2.0,
    cloud: Annotated[float, typer.Option("--cloud", help="Share of the sky under cloud, 0 to 1.")] = 0.3,
    humidity: Annotated[float, typer.Option("--humidity", help="Relative humidity, percent.")] = 60.0,
    ground: Annotated[
        str,
        typer.Option("--ground", help="grass, dry-grass, crops, soil-dry, soil-wet, sand, rock, asphalt or concrete."),
    ] = "grass",
    day: Annotated[str | None, typer.Option("--date", help="Day as YYYY-MM-DD. Default: today there.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="LATITUDE,LONGITUDE in degrees (WGS 84). Default: the site's first dock.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="Time zone of the hours. Default: the site's.")] = None,
    height_m: Annotated[float, typer.Option("--height-m", min=1.0, max=500.0, help="Camera above ground.")] = 80.0,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict how much warmer than the ground a person looks, and advise thermal, a photo sweep, or waiting.

    Heat balances of ground and person for an open, level place; the range is what the inputs' doubt makes of it (80 %).
    Detectors look for what is warmer than its ground: on sun-heated ground people are colder, and photos find more. Use it
    to choose hours, not to expect degrees: it was not fitted to measurements, and shade, rain and dew are not in it.

    Example: dronectl vision advise --air 25..37 --ground dry-grass --cloud 0.1 --date 2026-07-20

    Codes: 0 done, 1 no hour of the day is good for either camera, 2 the input is wrong.
    """
    from vision.contrast import GROUNDS, Advice, Weather, predict

    if ground not in GROUNDS:
        raise BadInputError(f"--ground {ground}: there are {', '.join(GROUNDS)}")
    start, latitude, longitude = _when_and_where(day, at, zone, site)
    try:
        low, high = (float(part) for part in air.split(".."))
    except ValueError:
        raise BadInputError(f"--air {air}: give LOW..HIGH in degrees Celsius, like 25..37") from None
    try:
        weather = Weather(low, high, wind, cloud, humidity)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    hours = predict(start, latitude, longitude, weather, GROUNDS[ground], range_m=height_m)
    windows = [
        {"advice": advice.value, "from": group[0].at.isoformat(), "hours": len(group)}
        for advice, group in ((key, list(run)) for key, run in itertools.groupby(hours, key=lambda h: h.advice))
    ]
    if as_json:
        rows = [_row(hour) for hour in hours]
        print_json(
            {"latitude_deg": latitude, "longitude_deg": longitude, "ground": ground, "windows": windows, "hours": rows}
        )
    else:
        _show(hours, windows)
    useful = any(hour.advice in (Advice.THERMAL, Advice.BOTH, Advice.PHOTO) for hour in hours)
    raise typer.Exit(EXIT_DONE if useful else EXIT_GOAL_MISSED)


def _when_and_where(
    day: str | None, at: str | None, zone: str | None, site_file: Path | None
) -> tuple[datetime, float, float]:
    site = open_site(site_file) if at is None or zone is None else None
    try:
        tz: Any = ZoneInfo(zone) if zone is not None else ZoneInfo(site.model.timezone) if site is not None else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInputError(f"--zone {zone}: no such time zone; give a name like Asia/Shanghai") from None
    try:
        on = datetime.now(tz).date() if day is None else Date.fromisoformat(day)
        start = datetime(on.year, on.month, on.day, tzinfo=tz)
    except ValueError:
        raise BadInputError(f"--date {day}: give a day as YYYY-MM-DD") from None
    if at is None and site is not None:
        place = site.docks[0].position
        return start, place.latitude_deg, place.longitude_deg
    try:
        latitude, longitude = (float(part) for part in str(at).split(","))
    except ValueError:
        raise BadInputError(f"--at {at}: give LATITUDE,LONGITUDE in degrees, like 30.61,104.08") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise BadInputError(f"--at {at}: latitude is -90 to 90, longitude -180 to 180")
    return start, latitude, longitude


def _row(hour: Any) -> dict[str, Any]:
    return {
        name: value.isoformat()
        if isinstance(value, datetime)
        else round(value, 2)
        if isinstance(value, float)
        else value
        for name, value in ((name, getattr(hour, name)) for name in hour.__slots__)
    }


def _show(hours: list[Any], windows: list[dict[str, Any]]) -> None:
    first = hours[0].at
    out.print(f"{first.date()} {first.tzname()}: apparent degrees that a person is warmer than the ground")
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for column in ("hour", "sun", "air", "ground", "person", "contrast", "80 %"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("   - | +", "advice"):
        table.add_column(column, no_wrap=True)
    for h in hours:
        table.add_row(
            f"{h.at:%H}", f"{h.sun_deg:.0f}", f"{h.air_c:.0f}", f"{h.ground_c:.0f}", f"{h.person_c:.0f}",
            f"{h.contrast_c:+.1f}", f"{round(h.contrast_low_c)}..{round(h.contrast_high_c)}", _bar(h.contrast_c), h.advice.value,
        )  # fmt: skip
    out.print(table)
    spans = [f"{w['from'][11:16]} {w['advice']} ({w['hours']} h)" for w in windows]
    out.print("; ".join(spans))


def _bar(contrast_c: float, half: int = 5) -> str:
    marks = min(half, round(abs(contrast_c) / _BAR_C))
    return (
        ("-" * marks).rjust(half) + "|" + " " * half if contrast_c < 0 else " " * half + "|" + ("+" * marks).ljust(half)
    )
