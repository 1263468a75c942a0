# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the commands share: their common options, and how they speak to people and to machines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dronectl.paths import StateDir, default_site_file
from dronectl.site import Site, load_site

SiteOption = Annotated[
    Path | None,
    typer.Option(
        "--site", help="Site file. Default: $DRONECTL_SITE, else the demonstration site that ships.", metavar="FILE"
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

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def open_site(file: Path | None) -> Site:
    """Load the named site, or the default one."""
    return load_site(file or default_site_file())


def site_state(site: Site, override: Path | None) -> StateDir:
    """Return the state folder of a site."""
    return StateDir.for_site(site.site_id, override)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")
