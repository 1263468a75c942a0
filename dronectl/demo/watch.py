# SPDX-License-Identifier: AGPL-3.0-or-later
"""Follows the flights of a demonstration: draws live progress, keeps the flown tracks for the report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dronectl.cli.client import ServiceClient
from dronectl.demo.launching import Launching
from dronectl.errors import UnavailableError
from dronectl.operations.launches import ENDED

_POLL_S: Final = 0.5
_PLAIN_PERIOD_S: Final = 5.0  # least time between two lines without a terminal
_ALERTS_SHOWN: Final = 8


@dataclass(slots=True)
class Flown:
    """What was seen of the flights. Tracks are (latitude_deg, longitude_deg, amsl_m, vehicle_time_s), as the service kept them."""

    tracks: dict[str, list[tuple[float, float, float, float]]] = field(default_factory=dict)
    battery: dict[str, float] = field(default_factory=dict)
    sorties: dict[str, dict[str, Any]] = field(default_factory=dict)  # by vehicle
    aloft: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)  # first and last seen in the air
    began_s: float = 0.0  # before the first take-off, on the vehicles' clock
    called_off: bool = False  # set by a watcher: nobody who still waits for its start is handed in any more


class Progress:
    """The picture in the terminal: one row per drone, the newest alerts below."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.alerts: list[str] = []

    def add_alert(self, line: str) -> None:
        """Take a line of the dispatcher's."""
        self.alerts.append(line)

    def render(
        self, vehicles: Sequence[dict[str, Any]], sorties: dict[str, dict[str, Any]], waiting: Collection[str]
    ) -> RenderableType:
        """Return the picture for rich. waiting: vehicles whose start is still to come."""
        table = Table(box=None, pad_edge=False)
        for column in ("drone", "sortie", "mode", "height", "battery", "waypoints", ""):
            table.add_column(column)
        for vehicle in vehicles:
            sortie = sorties.get(vehicle["vehicle_id"])
            height, battery = vehicle["height_above_home_m"], vehicle["battery_fraction"]
            reached = (sortie["waypoints_reached"], sortie["waypoints_total"]) if sortie else (0, 0)
            table.add_row(
                vehicle["vehicle_id"],
                sortie["state"] if sortie else "waits" if vehicle["vehicle_id"] in waiting else "-",
                vehicle["mode"] if vehicle["connected"] else "[red]no link[/red]",
                "?" if height is None else f"{height:4.0f} m",
                "?" if battery is None else f"{100 * battery:3.0f} %",
                f"{reached[0]:2d}/{reached[1]}",
                ProgressBar(total=max(1, reached[1]), completed=reached[0], width=24),
            )
        wrong = [Text(line, style="yellow") for line in _notices(vehicles)]
        lines = [Text(line) for line in self.alerts[-_ALERTS_SHOWN:]]
        return Group(table, *wrong, Text(f"{len(self.alerts)} alert messages received by dispatch"), *lines)


class PlainLines:
    """Progress without a terminal: a line when it says something new, and not more often than every few seconds."""

    def __init__(self) -> None:
        self._said = ""
        self._said_s = -_PLAIN_PERIOD_S

    def due(self, line: str, now_s: float) -> bool:
        """Whether to print it now; now_s: of a steady clock."""
        if line == self._said or now_s - self._said_s < _PLAIN_PERIOD_S:
            return False
        self._said, self._said_s = line, now_s
        return True


async def follow(
    client: ServiceClient,
    launching: Launching,
    console: Console,
    progress: Progress,
    check: Callable[[], None],
    timeout_s: float,
    each_poll: Callable[[Flown], Awaitable[None]] | None = None,
) -> Flown:
    """Hand the flights in at their starts and look on until all have ended; `each_poll` is told what was seen so far.

    Raises UnavailableError when a child has died, or timeout_s after the last was handed in.
    """
    flown = Flown()
    live = Live(console=console, refresh_per_second=4, transient=False) if console.is_terminal else None
    plain = PlainLines()
    loop = asyncio.get_running_loop()
    handed_in, deadline_s = 0, loop.time() + timeout_s
    with live or _Nothing():
        while True:
            check()
            vehicles = await asyncio.to_thread(client.get, "/api/v1/vehicles")
            sorties = await asyncio.to_thread(client.get, "/api/v1/sorties")
            ours = set(launching.sorties.values())
            flown.sorties = {s["vehicle_id"]: s for s in sorties if s["sortie_id"] in ours}
            _keep(flown, vehicles)
            await asyncio.to_thread(_take_tracks, client, flown)
            launching.called_off = flown.called_off
            await launching.step(flown.sorties)
            flown.began_s = launching.began_s
            if each_poll is not None:
                await each_poll(flown)
            if len(launching.sorties) > handed_in:
                handed_in, deadline_s = len(launching.sorties), loop.time() + timeout_s
            if live is not None:
                live.update(progress.render(vehicles, flown.sorties, launching.waiting))
            elif plain.due(line := _plain(vehicles, flown.sorties, len(progress.alerts)), loop.time()):
                console.print(line)
            if not launching.waiting and len(flown.sorties) == handed_in and _all_ended(flown):
                return flown
            if loop.time() > deadline_s:
                states = ", ".join(f"{k} {s['state']}" for k, s in flown.sorties.items())
                raise UnavailableError(f"the flights did not end within {timeout_s:.0f} s ({states})")
            await asyncio.sleep(_POLL_S)


def _all_ended(flown: Flown) -> bool:
    return all(s["state"] in ENDED for s in flown.sorties.values())


def _keep(flown: Flown, vehicles: Sequence[dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    for v in vehicles:
        if v["landed"] in ("in_air", "taking_off", "landing"):
            flown.aloft[v["vehicle_id"]] = (flown.aloft.get(v["vehicle_id"], (now, now))[0], now)
        if v["battery_fraction"] is not None:
            flown.battery[v["vehicle_id"]] = v["battery_fraction"]


def _take_tracks(client: ServiceClient, flown: Flown) -> None:
    """What the service has added to the tracks since the last look.

    Our own looks are too far apart: half a second of ours is five at ten times the speed, and turns would be cut off.
    """
    for vehicle_id, sortie in flown.sorties.items():
        track = flown.tracks.setdefault(vehicle_id, [])
        after_s = track[-1][3] if track else 0.0
        places = client.get(f"/api/v1/sorties/{sortie['sortie_id']}/track?after_s={after_s!r}")
        track += [(p["latitude_deg"], p["longitude_deg"], p["amsl_m"], p["vehicle_time_s"]) for p in places]


def _plain(vehicles: Sequence[dict[str, Any]], sorties: dict[str, dict[str, Any]], alerts: int) -> str:
    parts = []
    for v in vehicles:
        sortie = sorties.get(v["vehicle_id"])
        if sortie:
            parts.append(
                f"{v['vehicle_id']} {sortie['state']} {sortie['waypoints_reached']}/{sortie['waypoints_total']}"
            )
    return "\n".join([f"  {' | '.join(parts)} | {alerts} alert messages", *_notices(vehicles)])


def _notices(vehicles: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with the progress of flights now, a line each."""
    return [f"{v['vehicle_id']}: {notice['text']}" for v in vehicles for notice in v["notices"]]


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
