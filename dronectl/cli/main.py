# SPDX-License-Identifier: AGPL-3.0-or-later
"""The `dronectl` command. One line for every mistake; exit codes 0 done, 1 goal missed, 2 bad input, 3 unavailable."""

from __future__ import annotations

import sys
from typing import ClassVar

import typer

from dronectl import __version__
from dronectl.cli.common import err
from dronectl.cli.lazy import LazyGroup
from dronectl.errors import EXIT_BAD_INPUT, EXIT_UNAVAILABLE, BadInputError, StoreError, UnavailableError

_HELP = """Fly patrols with PX4 drones, see people and fire from the air, alert over MQTT.

First time: `dronectl demo` flies a whole patrol on simulated drones and writes a report.

With vehicles of your own: write a site file (start from the one that `dronectl demo` leaves in its folder), then
`dronectl up`, `dronectl plan patrol`, `dronectl check plans/*.plan`, `dronectl fly plans/*.plan`.

Exit codes: 0 done, 1 ran but with findings or a missed goal, 2 bad input, 3 a needed outside service is unavailable.
"""


class _Commands(LazyGroup):
    lazy: ClassVar[dict[str, tuple[str, str]]] = {
        "demo": ("dronectl.cli.demo", "demo"),
        "up": ("dronectl.cli.up", "up"),
        "sim": ("dronectl.cli.sim", "sim"),
        "doctor": ("dronectl.cli.doctor", "doctor"),
        "check": ("dronectl.cli.plan", "check"),
        "fly": ("dronectl.cli.fly", "fly"),
        "vehicles": ("dronectl.cli.vehicles", "vehicles"),
        "hold": ("dronectl.cli.vehicles", "hold"),
        "return": ("dronectl.cli.vehicles", "return_"),
        "land": ("dronectl.cli.vehicles", "land"),
        "abandon": ("dronectl.cli.vehicles", "abandon"),
        "detect": ("dronectl.cli.detect", "detect"),
        "plan": ("dronectl.cli.plan", "plan_app"),
        "vision": ("dronectl.cli.vision", "vision_app"),
        "alerts": ("dronectl.cli.alerts", "alerts_app"),
        "evidence": ("dronectl.cli.evidence", "evidence_app"),
    }


app = typer.Typer(
    cls=_Commands,
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dronectl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Take the options that every command has."""


def main() -> None:
    """Run the command line and end with its exit code."""
    try:
        app()  # ends by SystemExit; usage errors are printed there, with code 2
    except (BadInputError, StoreError) as error:
        err.print(f"error: {error}", markup=False)
        sys.exit(EXIT_BAD_INPUT)
    except UnavailableError as error:
        err.print(f"unavailable: {error}", markup=False)
        sys.exit(EXIT_UNAVAILABLE)
    except BrokenPipeError:
        sys.exit(0)
