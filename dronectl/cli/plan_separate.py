# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl plan separate`: several plans that are to be flown together are made to keep apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from dronectl.cli.common import JsonOption, SiteOption, open_site, out, print_json
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.plan_outputs import common_files, with_common_keys
from dronectl.operations.planned import separated_flights
from dronectl.operations.planning import read_plan_file
from dronectl.operations.separating import (
    Separated,
    change_text,
    separate_at_site,
    separation_document,
    volumes_document,
)
from dronectl.report.plan_picture import site_map_svg
from dronectl.report.separation_picture import timeline_svg
from dronectl.site import Site
from missions.deconflict.model import Rules
from missions.deconflict.segments import Minima
from missions.deconflict.volumes import VolumeRules
from missions.feasibility import blockers
from missions.model import FlightPlan, Severity

_Number = TypeVar("_Number", int, float)
_MOST = 1e6


def separate(
    plans: Annotated[
        list[str],
        typer.Argument(
            help="Plan files, ours or QGroundControl's; ID=FILE names the drone of a plan that was not made here.",
            metavar="[ID=]PLAN...",
        ),
    ],
    site: SiteOption = None,
    out_dir: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for the plans, summary.json, volumes.json, routes and pictures.", metavar="DIR"
        ),
    ] = Path("separated"),
    starts: Annotated[
        list[str] | None,
        typer.Option("--start", help="When a drone wants to start, in seconds: d1=120. Default 0.", metavar="ID=S"),
    ] = None,
    priorities: Annotated[
        list[str] | None,
        typer.Option("--priority", help="Higher is moved less: d1=5. Default 0.", metavar="ID=N"),
    ] = None,
    lateral: Annotated[float, typer.Option(help="Keep this far apart across the ground, m ...", min=1, max=500)] = 20.0,
    vertical: Annotated[float, typer.Option(help="... or this far in height, m.", min=1, max=100)] = 10.0,
    max_delay: Annotated[float, typer.Option(help="No start later than this, s.", min=0, max=7200)] = 600.0,
    max_shift: Annotated[
        float, typer.Option(help="How far a plan's heights may be moved, m; 0: never.", min=0, max=200)
    ] = 20.0,
    max_hold: Annotated[float, typer.Option(help="Longest added hold, s; 0: none.", min=0, max=600)] = 120.0,
    sidesteps: Annotated[bool, typer.Option(help="Whether legs may be led round a place.")] = True,
    slack: Annotated[
        float, typer.Option(help="How early or late a drone may run against another, s.", min=0, max=600)
    ] = 0.0,
    return_layers: Annotated[
        bool, typer.Option(help="Whether return heights are laid apart, for the day the site is lost.")
    ] = True,
    wind: Annotated[float, typer.Option(help="Wind in m/s, against every leg.", min=0, max=60)] = 0.0,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", help="Time of second 0 for volumes.json, ISO 8601 with zone. Default: now.", metavar="TIME"
        ),
    ] = None,
    geoid: Annotated[
        float | None,
        typer.Option(
            help="Height of the geoid above the WGS 84 ellipsoid here, m: volumes.json then has W84 heights.",
            min=-120,
            max=100,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make plans that are flown together keep 20 m across the ground or 10 m in height apart, launches and landings too.

    What is tried, cheapest first: a later start, another layer, a hold on the way, a step aside. Longer flights go
    before shorter ones, so that the last landing moves little; --priority comes before that. Every change is said with
    its reason. An independent judge flies the result again before anything is written.

    Start times are in the plans, in summary.json and on the screen; `dronectl check` and `dronectl fly` keep to them. No
    other ground station reads them out of a .plan.

    Example: `dronectl plan separate plans/*.plan --out separated`, then `dronectl fly separated/*.plan`

    Exit code 1: separated, but findings forbid a flight, or no layer is left for somebody's return when the site is
    lost. 2: cannot be separated; the line says who, when and where.
    """
    opened = open_site(site)
    rules = Rules(
        minima=Minima(lateral, vertical),
        max_delay_s=max_delay,
        max_shift_m=max_shift,
        max_hold_s=max_hold,
        sidesteps=sidesteps,
        return_layers=return_layers,
        slack_s=slack,
        wind_m_s=wind,
    )
    zero = _time(at)
    read, files = _read(opened, plans)
    found = separate_at_site(
        opened,
        read,
        rules,
        starts_s=_pairs(starts, "--start", float, "d1=120"),
        priorities=_pairs(priorities, "--priority", int, "d1=5"),
    )
    common = separated_flights(opened, found)
    document = with_common_keys(separation_document(found, rules), common)
    texts = common_files(common)
    texts["summary.json"] = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    volumes = volumes_document(found, zero, VolumeRules(geoid_m=geoid))
    texts["volumes.json"] = json.dumps(volumes, ensure_ascii=False, indent=1) + "\n"
    texts["timeline.svg"] = timeline_svg(found.resolution, tuple(f.start_s for f in found.was))
    texts["plan.svg"] = site_map_svg(opened, found.plans, energies=found.energies)
    written = _write(out_dir, texts, files)
    if as_json:
        print_json({**document, "files": [str(p) for p in written]})
    else:
        _say(found, written)
    if not found.clean:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _read(site: Site, named: Sequence[str]) -> tuple[list[FlightPlan], list[Path]]:
    plans, files = [], []
    known = {d.drone_id for d in site.drones}
    for name in named:
        vehicle_id, equals, rest = name.partition("=")
        if equals and vehicle_id in known:
            files.append(Path(rest))
            plans.append(read_plan_file(site, files[-1], vehicle_id))
        else:
            files.append(Path(name))
            plans.append(read_plan_file(site, files[-1]))
        if plans[-1].commands:
            raise BadInputError(
                f"{files[-1]}: holds commands of another ground station (surveys, loops, loiters), which cannot be moved "
                "apart from others; convert it to waypoints there"
            )
    return plans, files


def _pairs(
    given: Sequence[str] | None, option: str, number: Callable[[str], _Number], example: str
) -> dict[str, _Number]:
    values: dict[str, _Number] = {}
    for pair in given or ():
        vehicle_id, _, text = pair.partition("=")
        try:
            value = number(text)
        except ValueError:
            value = None
        if not vehicle_id or value is None or not -_MOST <= value <= _MOST:
            raise BadInputError(f"{option} {pair}: give a drone and a number, like {option} {example}")
        values[vehicle_id.strip()] = value
    return values


def _time(given: str | None) -> datetime:
    if given is None:
        return datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise BadInputError(f"--at {given}: is no time; write it like 2026-05-01T09:30:00+08:00") from None
    if at.tzinfo is None:
        raise BadInputError(
            f"--at {given}: lacks its time zone; write it like 2026-05-01T09:30:00+08:00, or with Z for UTC"
        )
    if not 2000 <= at.year < 3000:  # and the flights after it
        raise BadInputError(f"--at {given}: nobody flies then; check the year")
    return at


def _write(folder: Path, texts: dict[str, str], read: Sequence[Path]) -> list[Path]:
    taken = {file.resolve() for file in read}
    for name in texts:
        if (folder / name).resolve() in taken:
            raise BadInputError(f"{folder / name}: would overwrite a plan that was read; name another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be written: {error.strerror or error}; name another --out") from error
    return [folder / name for name in texts]


def _say(found: Separated, written: Sequence[Path]) -> None:
    resolution = found.resolution
    table = Table(title=f"{len(found.was)} flights together", title_justify="left")
    for heading in ("drone", "starts", "lands", "returns at", "battery at landing"):
        table.add_column(heading, justify="left" if heading == "drone" else "right", no_wrap=True)
    for flight, trajectory, energy in zip(resolution.flights, resolution.trajectories, found.energies, strict=True):
        table.add_row(
            flight.plan.vehicle_id,
            _clock(flight.start_s),
            _clock(flight.start_s + trajectory.duration_s),
            f"{flight.plan.return_height_m:.0f} m",
            f"{energy.landing_fraction:.0%}",
        )
    out.print(table)
    pairs = {(m.first, m.second) for m in resolution.meetings}
    out.print(
        f"Before: {len(resolution.meetings)} conflicts of {len(pairs)} pairs. After: none, as the independent judge finds. "
        f"Last landing {resolution.inflation:+.1%}.",
        markup=False,
    )
    for change in resolution.changes:
        out.print(f"  {change_text(change)}", markup=False)
    for finding in resolution.findings:
        out.print("[red]blocks[/red] ", end="")
        out.print(f"{finding.message} ({finding.code})", markup=False)
    if found.lost_site and not resolution.findings:
        pairs_said = ", ".join(f"{one} and {two}" for one, two in found.lost_site)
        out.print(f"[red]blocks[/red] if the site is lost, too near on the way home: {pairs_said}")
    for plan, findings in zip(found.plans, found.findings, strict=True):
        for finding in findings:
            mark = "[red]blocks[/red]" if finding.severity is Severity.BLOCKER else "[yellow]warns[/yellow]"
            out.print(f"{mark} ", end="")
            out.print(f"{plan.vehicle_id}: {finding.message} ({finding.code})", markup=False)
    if any(blockers(f) for f in found.findings):
        out.print("[red]Not all may be flown as they are.[/red]")
    out.print(f"Written: {', '.join(str(p) for p in written)}", markup=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60.0)
    return f"{int(minutes)}:{rest:04.1f}"
