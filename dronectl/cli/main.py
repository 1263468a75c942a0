# SPDX-License-Identifier: AGPL-3.0-or-later
"""The `dronectl` command. One line for every mistake; exit codes 0 done, 1 goal missed, 2 bad input, 3 unavailable."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import ClassVar

import typer

from dronectl import __version__
from dronectl.cli.common import err
from dronectl.cli.lazy import LazyGroup
from dronectl.errors import (
    EXIT_BAD_INPUT,
    EXIT_GOAL_MISSED,
    EXIT_UNAVAILABLE,
    BadInputError,
    StoreError,
    UnavailableError,
)
from dronectl.language import tr

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


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # what a file that takes no more says


def _print_whatever_comes() -> None:
    """What a terminal's character set lacks, or a file name that is no text, is printed escaped and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the command line and end with its exit code."""
    _print_whatever_comes()
    try:
        try:
            app()  # ends by SystemExit; usage errors are printed there, with code 2
        finally:
            sys.stdout.flush()
    except (BadInputError, StoreError) as error:
        err.print(tr("error: {error}", error=error), markup=False)
        sys.exit(EXIT_BAD_INPUT)
    except UnavailableError as error:
        err.print(tr("unavailable: {error}", error=error), markup=False)
        sys.exit(EXIT_UNAVAILABLE)
    except BrokenPipeError:  # whoever read has seen enough; not 0, which `check` says of plans that can be flown
        _forget_output()
        sys.exit(EXIT_GOAL_MISSED)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _forget_output()
        reason = f"{error.filename or 'standard output'}: {error.strerror}"
        err.print(tr("error: {error}", error=reason), markup=False)
        sys.exit(EXIT_BAD_INPUT)


def _forget_output() -> None:
    """What is left of standard output is not tried again at the interpreter's end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
