# SPDX-License-Identifier: AGPL-3.0-or-later
"""A demonstration's running site: simulator, service and dispatcher as processes of their own.

Whoever plays on it only does what a user could do from the outside: plans with the same planners and orders over the
same HTTP door.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from dronectl.cli.client import ServiceClient, ServiceLostError
from dronectl.demo.launching import Launching, SimClock
from dronectl.demo.processes import Child, child, wait_for
from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown, Progress, follow
from dronectl.errors import UnavailableError, words_of
from dronectl.operations.start_texts import start_text
from dronectl.paths import StateDir
from missions.model import FlightPlan

_SIM_READY_S: Final = 180.0  # all three: far more than an idle machine needs, for busy ones
_SERVICE_READY_S: Final = 180.0
_ENDING_S: Final = 2.0  # a process whose connections have just closed
_VEHICLES_READY_S: Final = 180.0
_SETTLE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    seed: int
    speed: float
    px4: Path | None
    flight_timeout_s: float


@dataclass(slots=True)
class Dispatcher:
    """What the dispatcher's child has printed. `first_at`: alert id -> when and what, of the first message about it."""

    progress: Progress
    first_at: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)

    @property
    def received_at(self) -> dict[str, datetime]:
        return {alert_id: at for alert_id, (at, _) in self.first_at.items()}

    def take(self, line: str) -> None:
        """One line of `alerts tail --json`."""
        try:
            said = json.loads(line)
            alert = said["data"]
            alert_id, level, kind = alert["alert_id"], alert["level"], alert["kind"]
            received_at = datetime.fromisoformat(said["received_at"])
        except (ValueError, KeyError, TypeError):
            return
        self.first_at.setdefault(alert_id, (received_at, alert))
        place = alert["location"]
        where = "no place" if place is None else f"{place['latitude_deg']:.5f}, {place['longitude_deg']:.5f}"
        self.progress.add_alert(f"{level:>7} {kind:<9} {alert['phase']:<7}{where}  {alert['why']['reason']}")


@dataclass(frozen=True, slots=True)
class SiteRun:
    """What a play works with while its site runs."""

    stage: Stage
    options: Options
    console: Console
    client: ServiceClient
    progress: Progress
    dispatcher: Dispatcher
    sim: Child
    sim_clock: SimClock
    children: tuple[Child, ...]

    def check(self) -> None:
        """Raise UnavailableError when a child has died."""
        for each in self.children:
            each.check()

    async def all_ready(self, vehicle_ids: Collection[str] | None = None) -> None:
        """Wait until every vehicle, or those named, could be armed. Raises UnavailableError."""
        wanted = set(vehicle_ids or (d.drone_id for d in self.stage.site.drones))

        def are_ready() -> bool:
            vehicles = [v for v in self.client.get("/api/v1/vehicles") if v["vehicle_id"] in wanted]
            return all(v["connected"] and v["armable"] and v["position_ok"] and v["home_ok"] for v in vehicles)

        await wait_for("every vehicle", are_ready, self.children, _VEHICLES_READY_S)

    async def fly(
        self, plans: tuple[FlightPlan, ...], reason: str, each_poll: Callable[[Flown], Awaitable[None]] | None = None
    ) -> Flown:
        """Hand in each plan at its start, counted from the smallest, and follow until all have ended. Raises as `follow`.

        Starts are kept in simulated time. Whoever's start is still to come when a watcher calls off stays down.
        """
        launching = Launching(self.client, plans, reason, self._now_s)
        starts = sorted((p.start_after_s, p.vehicle_id) for p in plans)
        said = ", ".join(f"{v} {start_text(start - starts[0][0])}" for start, v in starts)
        self.console.print(f"starts: {said}", markup=False)
        self.console.print("preflight, upload, read-back, then take-off; Ctrl-C ends the demonstration")
        flown = await follow(
            self.client, launching, self.console, self.progress, self.check, self.options.flight_timeout_s, each_poll
        )
        for vehicle_id, sortie in flown.sorties.items():
            for finding in sortie["findings"]:
                self.console.print(f"  {vehicle_id} {finding['severity']}: {finding['code']}: {finding['message']}")
        return flown

    async def _now_s(self) -> float:
        """Simulated time; PX4 goes by our clock, which the demonstration does not make faster for it."""
        if self.options.px4 is not None:
            return asyncio.get_running_loop().time() * self.options.speed
        return await self.sim_clock.now_s(self.sim)

    async def settle(self) -> None:
        """Wait until dispatch has acknowledged everything; what is missing then is in the report."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _SETTLE_S
        quiet = 0
        while loop.time() < deadline_s:
            self.check()
            quiet = quiet + 1 if all(alert["acknowledged"] for alert in await self.alerts()) else 0
            if quiet >= 3:
                return
            await asyncio.sleep(1.0)
        self.console.print("[red]some alerts are still not acknowledged[/red]")

    async def alerts(self) -> list[dict[str, Any]]:
        """All alerts so far."""
        found: list[dict[str, Any]] = await asyncio.to_thread(self.client.get, "/api/v1/alerts?limit=1000")
        return found

    async def cameras(self) -> dict[str, dict[str, float]]:
        """What became of the frames, by camera, from the metrics page."""
        return await asyncio.to_thread(_cameras, self.client)

    async def gaps(self) -> list[dict[str, Any]]:
        """From when to when which camera did not look, as the service shows it."""
        found: list[dict[str, Any]] = await asyncio.to_thread(self.client.get, "/api/v1/coverage_gaps")
        return found

    async def swap_batteries(self, vehicle_ids: Collection[str]) -> None:
        """Full batteries for those on the ground, as hands or a dock would put them in."""
        await self.sim.order({"battery": dict.fromkeys(vehicle_ids, 1.0)})

    async def come_home(self, reason: str) -> list[dict[str, Any]]:
        """Order everyone back; one answer per vehicle. Ordered again by the caller when not confirmed."""
        body = {"kind": "return", "reason": reason, "expires_in_s": 60.0}
        answers: list[dict[str, Any]] = await asyncio.to_thread(self.client.post, "/api/v1/commands", body)
        return answers

    def broker(self) -> str:
        """Which broker the site runs."""
        document = json.loads((self.stage.state / "broker" / "broker.json").read_text(encoding="utf-8"))
        return str(document.get("kind", "MQTT"))


@asynccontextmanager
async def running_site(stage: Stage, options: Options, console: Console) -> AsyncIterator[SiteRun]:
    """Start everything; end it on leaving. Raises UnavailableError when a part does not come up."""
    progress = Progress(console)
    dispatcher = Dispatcher(progress)
    site_options = ["--site", str(stage.site.file), "--state", str(stage.state)]
    logs = stage.folder
    async with AsyncExitStack() as stack:
        console.print(f"simulator: {len(stage.site.drones)} vehicles, seed {options.seed}, speed {options.speed:g}")
        sim_arguments = ["sim", "run", str(stage.sim_document), "--exit-with-parent"]
        if options.px4 is not None:
            sim_arguments += ["--px4", str(options.px4)]
        clock = SimClock()
        sim = await stack.enter_async_context(child("simulator", sim_arguments, logs / "sim.log", on_line=clock.take))
        await wait_for("the simulator", stage.ready_file.exists, [sim], _SIM_READY_S)
        up = ["dronectl", "up", *site_options, "--exit-with-parent"]
        service = await stack.enter_async_context(child("service", up, logs / "service.log"))
        state = StateDir(stage.state)
        await wait_for("the service", state.service_file.exists, [sim, service], _SERVICE_READY_S)
        tail = ["dronectl", "alerts", "tail", "--ack", "--json", *site_options]
        tail += ["--exit-with-parent", "--memory", str(stage.folder / "dispatch.jsonl")]
        dispatch = await stack.enter_async_context(
            child("dispatcher", tail, logs / "dispatch.log", on_line=dispatcher.take)
        )
        client = ServiceClient(state)
        try:
            yield SiteRun(stage, options, console, client, progress, dispatcher, sim, clock, (sim, service, dispatch))
        except ServiceLostError as error:
            raise await lost(error, service) from error


async def lost(error: ServiceLostError, service: Child) -> UnavailableError:
    """What to say of a service that went away: if it has ended, how, with the end of its log; else where that log is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDING_S):
            await service.process.wait()
    try:
        service.check()
    except UnavailableError as ended:
        return ended
    return UnavailableError(f"{error.what}; its log is {service.log}")


def _cameras(client: ServiceClient) -> dict[str, dict[str, float]]:
    try:
        answer = httpx.get(
            f"{client.url}/metrics", headers={"Authorization": f"Bearer {client.token}"}, timeout=10, trust_env=False
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError(f"the service's metrics cannot be read ({words_of(error)})") from error
    cameras: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        if family.name == "dronectl_frames":
            for sample in family.samples:
                cameras.setdefault(sample.labels["camera"], {})[sample.labels["what"]] = sample.value
    return cameras
