# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl up`: the service of one site, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dronectl.cli.common import SiteOption, StateOption, end_with_input, err, open_site, site_state
from dronectl.errors import BadInputError, StoreError, UnavailableError
from dronectl.supervise import BudgetSpentError

if TYPE_CHECKING:
    from dronectl.service import Service


def up(
    site: SiteOption = None,
    state: StateOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more.")] = False,
    exit_with_parent: Annotated[
        bool,
        typer.Option("--exit-with-parent", help="End when standard input closes, for programs that start this one."),
    ] = False,
) -> None:
    """Run the service of a site until Ctrl-C. Ending it commands no aircraft; the next start adopts those in flight.

    It links to the drones, looks at their cameras and sends alerts over MQTT (docs/mqtt.md); the other commands reach it
    over HTTP on this machine, with the token in the state folder.

    Example: dronectl up --site site.yaml in one terminal; in another dronectl vehicles, dronectl fly and dronectl alerts
    tail, each with the same --site. Without drones: dronectl sim --site site.yaml in a third.

    Exit codes: 2 a mistake in the site file, named by its line, 3 a part that is needed cannot run.
    """
    from dronectl.service import Service  # the other commands must not wait for all of it

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    there = open_site(site)
    folder = site_state(there, state)
    try:
        asyncio.run(_run(Service(there, folder), exit_with_parent))
    except BaseExceptionGroup as group:
        reason = _reason(group)
        if isinstance(reason, BudgetSpentError):
            raise UnavailableError(str(reason)) from None
        if isinstance(reason, BadInputError | UnavailableError | StoreError):
            raise reason from None
        raise


def _reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of groups: the one that ended all the others."""
    error = group.exceptions[0]
    return _reason(error) if isinstance(error, BaseExceptionGroup) else error


async def _run(service: Service, exit_with_parent: bool) -> None:
    task = asyncio.create_task(service.run(lambda url: err.print(f"serving {url}", markup=False)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    if exit_with_parent:
        await end_with_input(task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        err.print("stopped; the vehicles were left as they are", markup=False)
