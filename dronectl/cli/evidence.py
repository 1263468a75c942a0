# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl evidence`: pictures and clips by place and time, legal hold, and deleting what is due."""

from __future__ import annotations

import asyncio
import getpass
import math
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from dronectl.cli.common import JsonOption, SiteOption, StateOption, err, open_site, out, print_json, site_state
from dronectl.errors import EXIT_DONE, EXIT_GOAL_MISSED, BadInputError
from dronectl.operations.evidence import UnfinishedSweepError
from dronectl.operations.evidence import hold as hold_one
from dronectl.operations.evidence import sweep as sweep_all
from dronectl.store import Store
from missions.geo import GeoError, GeoPoint
from vision.errors import EvidenceError
from vision.evidence_index import FILE, EvidenceIndex, Indexed
from vision.sighting import Kind

evidence_app = typer.Typer(
    help="Pictures and clips: find them by place and time, hold them, delete what is due.\n\n"
    "Example: dronectl evidence find --at 29.7383,107.2709 lists all pictures of a place; dronectl evidence hold PICTURE "
    "--reason WHY keeps one of them.",
    no_args_is_help=True,
)

PictureArgument = Annotated[str, typer.Argument(help="A picture or clip, as `find` lists it.", metavar="PICTURE")]


@evidence_app.command()
def find(
    at: Annotated[str | None, typer.Option("--at", help="LATITUDE,LONGITUDE in degrees (WGS 84).")] = None,
    within: Annotated[float, typer.Option("--within", min=0.0, max=100_000.0, help="Metres around it.")] = 50.0,
    since: Annotated[
        str | None,
        typer.Option("--since", help="From this time on: 2026-03-01T18:30, local to the site unless it has a zone."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Up to this time.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only of this: person, fire, smoke, ...")] = None,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all pictures of a place between two times, the oldest first.

    The place is that of the thing in the picture; one whose 95 % doubt reaches into the circle is listed too.

    Example: dronectl evidence find --at 29.7383,107.2709 --within 30 --since 2026-03-01T18:00 --json

    Codes: 0 there are some, 1 there are none, 2 the input is wrong.
    """
    the_site = open_site(site)
    zone = ZoneInfo(the_site.model.timezone)
    folder = site_state(the_site, state).evidence
    index = EvidenceIndex(folder)
    place = None if at is None else _point(at)
    begin, end = _time("--since", since, zone, -math.inf), _time("--until", until, zone, math.inf)
    if begin > end:
        raise BadInputError(f"--since {since}: is later than --until {until}")
    unknown = sorted(set(kind or ()) - {known.value for known in Kind})
    if unknown:
        raise BadInputError(f"--kind {unknown[0]}: is none of {', '.join(known.value for known in Kind)}")
    try:
        found = index.find(place, within, begin, end, kind or ()) if (folder / FILE).exists() else []
    except EvidenceError as error:
        raise BadInputError(str(error)) from error
    if as_json:
        print_json([_json(item) for item in found])
    else:
        for item in found:
            when = datetime.fromtimestamp(item.taken_at_s, zone).strftime("%Y-%m-%d %H:%M:%S")
            where = "no place" if item.latitude_deg is None else f"{item.latitude_deg:.6f}, {item.longitude_deg:.6f}"
            held = f"  held: {item.hold}" if item.hold else ""
            out.print(f"{when}  {item.tag:9} {where}  {item.role:11} {folder / item.path}{held}", markup=False)
        if not found:
            err.print("no picture of that place and time")
    raise typer.Exit(EXIT_DONE if found else EXIT_GOAL_MISSED)


@evidence_app.command()
def hold(
    path: PictureArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why it must be kept: a case, an order.")],
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """Put a picture under legal hold: no sweep deletes it until it is released. Written to the audit log."""
    if not reason.strip():
        raise BadInputError("--reason: say why it must be kept")
    _hold(path, reason.strip(), site, state)


@evidence_app.command()
def release(
    path: PictureArgument,
    site: SiteOption = None,
    state: StateOption = None,
) -> None:
    """End a legal hold; the picture goes when its time is up. Written to the audit log."""
    _hold(path, None, site, state)


@evidence_app.command()
def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete what the site file's `evidence: retention_days` no longer keeps; each file is named in the audit log.

    A running service does this by itself, once an hour.
    """
    the_site = open_site(site)
    folder = site_state(the_site, state)
    index = EvidenceIndex(folder.evidence)
    if not (folder.evidence / FILE).exists():
        raise BadInputError(f"{folder.evidence}: there is no evidence yet")
    days = {str(tag): value for tag, value in the_site.model.evidence.retention_days.items()}

    async def run() -> Any:
        async with Store.open(folder.database, the_site.site_id) as store:
            return await sweep_all(index, store, days, datetime.now(UTC), actor=_who(), dry=dry_run)

    left = ""
    try:
        swept = asyncio.run(run())
    except UnfinishedSweepError as error:
        swept, left = error.swept, str(error)
    except EvidenceError as error:
        raise BadInputError(str(error)) from error
    if as_json:
        print_json({"due": [_json(item) for item in swept.due], "deleted": swept.deleted})
    else:
        verb = "would be deleted" if dry_run else "deleted"
        out.print(f"{len(swept.due) if dry_run else swept.deleted} {verb}")
    if left:
        raise BadInputError(left)


def _hold(path: str, reason: str | None, site: Any, state: Any) -> None:
    the_site = open_site(site)
    folder = site_state(the_site, state)
    name = _name(Path(path), folder.evidence)

    async def run() -> bool:
        async with Store.open(folder.database, the_site.site_id) as store:
            index = EvidenceIndex(folder.evidence)
            return await hold_one(index, store, name, reason, datetime.now(UTC), actor=_who())

    try:
        known = (folder.evidence / FILE).exists() and asyncio.run(run())
    except EvidenceError as error:
        raise BadInputError(str(error)) from error
    if not known:
        raise BadInputError(f"{path}: is not in the evidence of {the_site.site_id}; `dronectl evidence find` lists it")
    out.print(f"{path}: {'released' if reason is None else 'held'}", markup=False)


def _name(given: Path, folder: Path) -> str:
    """The name in the index: `find` prints the file's path, its --json the name."""
    path, folder = given.absolute().resolve(), folder.absolute().resolve()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(given)


def _who() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def _point(text: str) -> GeoPoint:
    try:
        latitude, longitude = (float(part) for part in text.split(","))
        return GeoPoint(latitude, longitude)
    except (ValueError, GeoError):
        raise BadInputError(f"--at {text}: give LATITUDE,LONGITUDE in degrees, like 29.7383,107.2709") from None


def _time(option: str, text: str | None, zone: ZoneInfo, default: float) -> float:
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(f"{option} {text}: give a time like 2026-03-01T18:30 or 2026-03-01T10:30:00Z") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).timestamp()


def _json(item: Indexed) -> dict[str, Any]:
    taken = datetime.fromtimestamp(item.taken_at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**asdict(item), "taken_at": taken}
