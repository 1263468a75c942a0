# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plays the demonstration: simulator, service and dispatcher as processes of their own, then the report.

This program only does what a user could do from the outside: it starts the same commands, plans with the same planner
and orders over the same HTTP door. The truth is read after everything has ended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from dronectl.cli.client import ServiceClient
from dronectl.demo.collect import Run, collect
from dronectl.demo.processes import child, wait_for
from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown, Progress, follow
from dronectl.errors import BadInputError, UnavailableError
from dronectl.operations.planning import SitePlan, plan_site_patrol
from dronectl.paths import StateDir
from dronectl.report.data import ReportData
from dronectl.report.html import write_report
from missions.formats.qgc_plan import write_plan
from missions.model import Budget

_SIM_READY_S: Final = 60.0
_SERVICE_READY_S: Final = 60.0
_VEHICLES_READY_S: Final = 90.0
_SETTLE_S: Final = 30.0
_PLAN_ITERATIONS: Final = 5000


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    seed: int
    speed: float
    px4: Path | None
    flight_timeout_s: float


@dataclass(slots=True)
class Dispatcher:
    """What the dispatcher's child has printed."""

    progress: Progress
    received_at: dict[str, datetime] = field(default_factory=dict)

    def take(self, line: str) -> None:
        """One line of `alerts tail --json`."""
        try:
            said = json.loads(line)
            alert = said["data"]
            alert_id, level, kind = alert["alert_id"], alert["level"], alert["kind"]
            received_at = datetime.fromisoformat(said["received_at"])
        except (ValueError, KeyError, TypeError):
            return
        self.received_at.setdefault(alert_id, received_at)
        place = alert["location"]
        where = "no place" if place is None else f"{place['latitude_deg']:.5f}, {place['longitude_deg']:.5f}"
        self.progress.add_alert(f"{level:>7} {kind:<9} {alert['phase']:<7}{where}  {alert['why']['reason']}")


async def play(stage: Stage, options: Options, console: Console) -> ReportData:
    """Fly, watch, report. Raises UnavailableError when a part does not come up, BadInputError for a plan refused."""
    progress = Progress(console)
    dispatcher = Dispatcher(progress)
    started = datetime.now(UTC)
    site_options = ["--site", str(stage.site.file), "--state", str(stage.state)]
    logs = stage.folder
    async with AsyncExitStack() as stack:
        console.print(f"simulator: {len(stage.site.drones)} vehicles, seed {options.seed}, speed {options.speed:g}")
        sim_arguments = ["sim", "run", str(stage.sim_document), "--exit-with-parent"]
        if options.px4 is not None:
            sim_arguments += ["--px4", str(options.px4)]
        sim = await stack.enter_async_context(child("simulator", sim_arguments, logs / "sim.log"))
        await wait_for("the simulator", stage.ready_file.exists, [sim], _SIM_READY_S)
        up = ["dronectl", "up", *site_options, "--exit-with-parent"]
        service = await stack.enter_async_context(child("service", up, logs / "service.log"))
        state = StateDir(stage.state)
        await wait_for("the service", state.service_file.exists, [sim, service], _SERVICE_READY_S)
        client = ServiceClient(state)
        tail = ["dronectl", "alerts", "tail", "--ack", "--json", *site_options]
        tail += ["--exit-with-parent", "--memory", str(stage.folder / "dispatch.jsonl")]
        dispatch = await stack.enter_async_context(
            child("dispatcher", tail, logs / "dispatch.log", on_line=dispatcher.take)
        )
        children = [sim, service, dispatch]

        def check() -> None:
            for each in children:
                each.check()

        plan = await _plan(stage, console)
        await wait_for("every vehicle", lambda: _all_ready(client, stage), children, _VEHICLES_READY_S)
        flown = await _fly(client, plan, console, progress, check, options.flight_timeout_s)
        await _settle(client, check, console)
        alerts = await asyncio.to_thread(client.get, "/api/v1/alerts?limit=1000")
        cameras = await asyncio.to_thread(_cameras, client)
        broker = json.loads((stage.state / "broker" / "broker.json").read_text(encoding="utf-8")).get("kind", "MQTT")
    ended = datetime.now(UTC).astimezone()
    run = Run(
        seed=options.seed,
        speed=options.speed,
        px4=options.px4 is not None,
        broker=str(broker),
        started=started.astimezone(),
        ended=ended,
        received_at=dispatcher.received_at,
        cameras=cameras,
    )
    data = collect(stage, plan, flown, alerts, run)
    write_report(data, stage.folder)
    return data


async def _plan(stage: Stage, console: Console) -> SitePlan:
    plan = await asyncio.to_thread(
        plan_site_patrol,
        stage.site,
        Budget(iterations=_PLAN_ITERATIONS),
        mission_id=f"{stage.site.site_id}-{stage.folder.name}",
    )
    if not plan.clean:
        lines = [f"  {f.code}: {f.message}" for found in plan.findings for f in found]
        raise BadInputError("\n".join([f"{stage.site.file}: the patrol cannot be flown as planned:", *lines]))
    for flight in plan.plans:
        (stage.plans / f"{flight.vehicle_id}.plan").write_text(write_plan(flight), encoding="utf-8")
    console.print(
        f"plan: {len(plan.plans)} flights, the longest {plan.longest_s:.0f} s, {plan.ratio:.2f} x its lower bound"
    )
    return plan


def _all_ready(client: ServiceClient, stage: Stage) -> bool:
    vehicles = client.get("/api/v1/vehicles")
    ready = [v for v in vehicles if v["connected"] and v["armable"] and v["position_ok"] and v["home_ok"]]
    return len(ready) == len(stage.site.drones)


async def _fly(
    client: ServiceClient,
    plan: SitePlan,
    console: Console,
    progress: Progress,
    check: Callable[[], None],
    timeout_s: float,
) -> Flown:
    sorties: dict[str, str] = {}
    for flight in plan.plans:
        body = {
            "vehicle_id": flight.vehicle_id,
            "plan": json.loads(write_plan(flight)),
            "reason": "demonstration patrol",
        }
        accepted = await asyncio.to_thread(client.post, "/api/v1/sorties", body)
        sorties[flight.vehicle_id] = accepted["sortie_id"]
    console.print("preflight, upload, read-back, then take-off; Ctrl-C ends the demonstration")
    flown = await follow(client, sorties, console, progress, check, timeout_s)
    for vehicle_id, sortie in flown.sorties.items():
        for finding in sortie["findings"]:
            console.print(f"  {vehicle_id} {finding['severity']}: {finding['code']}: {finding['message']}")
    return flown


async def _settle(client: ServiceClient, check: Callable[[], None], console: Console) -> None:
    """Wait until dispatch has acknowledged everything; what is missing then is in the report."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _SETTLE_S
    quiet = 0
    while loop.time() < deadline_s:
        check()
        alerts = await asyncio.to_thread(client.get, "/api/v1/alerts?limit=1000")
        quiet = quiet + 1 if all(alert["acknowledged"] for alert in alerts) else 0
        if quiet >= 3:
            return
        await asyncio.sleep(1.0)
    console.print("[red]some alerts are still not acknowledged[/red]")


def _cameras(client: ServiceClient) -> dict[str, dict[str, float]]:
    """What became of the frames, from the metrics page."""
    try:
        answer = httpx.get(
            f"{client.url}/metrics", headers={"Authorization": f"Bearer {client.token}"}, timeout=10, trust_env=False
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError(f"the service's metrics cannot be read: {error}") from error
    cameras: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        if family.name == "dronectl_frames":
            for sample in family.samples:
                cameras.setdefault(sample.labels["camera"], {})[sample.labels["what"]] = sample.value
    return cameras


def summary(data: ReportData) -> dict[str, Any]:
    """What the command prints for machines."""
    return {
        "passed": data.passed,
        "goals": [{"goal": g.en, "reached": g.reached, "figure": g.figure} for g in data.goals],
        "alerts": len(data.alerts),
        "outcome": data.outcome,
        "note": data.outcome_note,
    }
