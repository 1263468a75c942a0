# SPDX-License-Identifier: AGPL-3.0-or-later
"""The `dronectl` command. One line for every mistake; exit codes 0 done, 1 goal missed, 2 bad input, 3 unavailable."""

from __future__ import annotations

import errno
import gc
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

With vehicles of your own: write a site file (start from site.yaml and terrain.npz that `dronectl demo` leaves), then
`dronectl up`, `dronectl plan patrol`, `dronectl check plans/*.plan`, `dronectl fly plans/*.plan`.

Exit codes: 0 done, 1 ran but with findings or a missed goal, 2 bad input, 3 a needed outside service is unavailable.
"""


class _Commands(LazyGroup):
    lazy: ClassVar[dict[str, tuple[str, str, str]]] = {
        "demo": (
            "dronectl.cli.demo",
            "demo",
            "Play a whole site on this machine: vehicles, cameras, service, alerts, dispatcher, report.",
        ),
        "up": (
            "dronectl.cli.up",
            "up",
            "Run the service of a site until Ctrl-C. Ending it commands no aircraft; the next start adopts those in flight.",
        ),
        "sim": (
            "dronectl.cli.sim",
            "sim",
            "Start simulated PX4 vehicles until Ctrl-C. They behave like PX4 towards a ground station, and fly nothing real.",
        ),
        "doctor": (
            "dronectl.cli.doctor",
            "doctor",
            "Say what this machine has, what is missing, and the command that mends it. Exit code 3 if a needed part is missing.",
        ),
        "check": (
            "dronectl.cli.check",
            "check",
            "Check flights: every leg, loiter circle, loop and way home against fence, ground, limits and battery.",
        ),
        "fly": (
            "dronectl.cli.fly",
            "fly",
            "Check plans, upload them, fly them and follow them until all have landed.",
        ),
        "vehicles": (
            "dronectl.cli.vehicles",
            "vehicles",
            "List the vehicles and what is known of each.",
        ),
        "hold": (
            "dronectl.cli.vehicles",
            "hold",
            "Stop where it is and hold there. Done when the vehicle's own state shows it.",
        ),
        "return": (
            "dronectl.cli.vehicles",
            "return_",
            "Fly home at the return height and land. Done when the vehicle's own state shows that it is returning.",
        ),
        "land": (
            "dronectl.cli.vehicles",
            "land",
            "Land where it is. Done when the vehicle's own state shows that it is landing.",
        ),
        "abandon": (
            "dronectl.cli.vehicles",
            "abandon",
            "Close the sortie of a vehicle that is not heard of any more: crashed, stolen, sunk.",
        ),
        "detect": (
            "dronectl.cli.detect",
            "detect",
            "Find people, vehicles, hot spots and fires in thermal pictures, people in colour ones, and smoke in colour videos.",
        ),
        "plan": (
            "dronectl.cli.plan",
            "plan_app",
            "Make flight plans for a site's drones, and check what comes out against fence, ground and batteries.",
        ),
        "vision": (
            "dronectl.cli.vision",
            "vision_app",
            "Measure models and engines, train on your own pictures, and ask which camera will see people today.",
        ),
        "alerts": (
            "dronectl.cli.alerts",
            "alerts_app",
            "Alerts, as the dispatch system gets them over MQTT.",
        ),
        "evidence": (
            "dronectl.cli.evidence",
            "evidence_app",
            "Pictures and clips: find them by place and time, hold them, delete what is due.",
        ),
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


_GARBAGE_AFTER = 20_000  # new objects; Python's 700 are looked through again and again while a command is imported


def _print_whatever_comes() -> None:
    """What a terminal's character set lacks, or a file name that is no text, is printed escaped and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the command line and end with its exit code."""
    _print_whatever_comes()
    gc.set_threshold(_GARBAGE_AFTER)
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
