# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the commands share: their common options, and how they speak to people and to machines."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from dronectl.errors import BadInputError
from dronectl.paths import StateDir, default_site_file
from dronectl.plain_text import clean

if TYPE_CHECKING:
    from dronectl.site import Site

SiteOption = Annotated[
    Path | None,
    typer.Option(
        "--site", help="Site file. Default: $DRONECTL_SITE, else the demonstration site that ships.", metavar="FILE"
    ),
]
DemOption = Annotated[
    Path | None,
    typer.Option(
        "--dem",
        help="Height model instead of the site's: GeoTIFF or ASCII grid, heights above mean sea level.",
        metavar="FILE",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="The site's state folder (database, token, evidence). Default: $DRONECTL_STATE, else ~/.local/state/dronectl/SITE.",
        metavar="DIR",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text for people.")]

# no emoji: `site.yaml:100:` is a place in a file
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
_OTHERS_SHOWN = 5


def open_site(file: Path | None, dem: Path | None = None) -> Site:
    """Load the named site, or the default one; with another height model if one is named."""
    from dronectl.site import load_site, with_height_model  # half of a start, for who opens one

    site = load_site(file or default_site_file())
    return site if dem is None else with_height_model(site, dem)


def site_state(site: Site, override: Path | None) -> StateDir:
    """Return the state folder of a site."""
    return StateDir.for_site(site.site_id, override)


def say(text: str) -> None:
    """Print what may quote a vehicle: its brackets are no markup, and it steers no terminal."""
    out.print(clean(text), markup=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output, in ASCII where the output's character set lacks something of it."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:  # also a file name that is no text
        text = json.dumps(value, indent=2, default=str)
    sys.stdout.write(text + "\n")


def day_of(word: str | None, zone: str) -> date:
    """A day as it was given, or today in a time zone. Raises BadInputError."""
    if word is None:
        return datetime.now(ZoneInfo(zone)).date()
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise BadInputError(f"--day is {word!r}; write it as 2026-11-23") from None


def write_files(folder: Path, files: dict[str, str]) -> list[Path]:
    """Write all files of a result, or say why not. Says which other plans the folder holds: nobody should fly those too."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be written: {error.strerror or error}; name another --out") from error
    if any(name.endswith(".plan") for name in files):
        others = sorted(p.name for p in folder.glob("*.plan") if p.name not in files)
        if others:
            few = ", ".join(others[:_OTHERS_SHOWN]) + (" and more" if len(others) > _OTHERS_SHOWN else "")
            said = f"{folder} also holds plans that were not made now ({few}): remove them, or name another --out"
            err.print(said, style="yellow", markup=False)
    return [folder / name for name in files]


class _UntilClosed(asyncio.Protocol):
    """Reads and forgets; calls back when the other end is gone."""

    def __init__(self, on_closed: Callable[[], object]) -> None:
        self._on_closed = on_closed

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # how it ended does not matter
        self._on_closed()


async def end_with_input(on_closed: Callable[[], object]) -> None:
    """Call back when standard input closes: a child whose parent has died, however it died."""
    await asyncio.get_running_loop().connect_read_pipe(lambda: _UntilClosed(on_closed), sys.stdin)
