# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plays the demonstration patrol: planned, flown, watched, then held against the truth, which nothing else has read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console

from dronectl.demo.collect import collect
from dronectl.demo.gather import Run
from dronectl.demo.site_run import Options, running_site
from dronectl.demo.stage import Stage
from dronectl.errors import BadInputError
from dronectl.operations.planning import SitePlan, plan_site_patrol
from dronectl.report.data import ReportData
from dronectl.report.html import write_report
from missions.formats.qgc_plan import write_plan
from missions.model import Budget

_PLAN_ITERATIONS: Final = 5000


async def play(stage: Stage, options: Options, console: Console) -> ReportData:
    """Fly, watch, report. Raises UnavailableError when a part does not come up, BadInputError for a plan refused."""
    started = datetime.now(UTC)
    async with running_site(stage, options, console) as site_run:
        plan = await _plan(stage, console)
        await site_run.all_ready()
        flown = await site_run.fly(plan.plans, "demonstration patrol")
        await site_run.settle()
        alerts = await site_run.alerts()
        cameras, gaps = await site_run.cameras(), await site_run.gaps()
        broker = site_run.broker()
    run = Run(
        seed=options.seed,
        speed=options.speed,
        px4=options.px4 is not None,
        broker=broker,
        started=started.astimezone(),
        ended=datetime.now(UTC).astimezone(),
        received_at=site_run.dispatcher.received_at,
        cameras=cameras,
        gaps=gaps,
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


def summary(data: ReportData) -> dict[str, Any]:
    """What the command prints for machines."""
    return {
        "passed": data.passed,
        "goals": [{"goal": g.en, "reached": g.reached, "figure": g.figure} for g in data.goals],
        "alerts": len(data.alerts),
        "outcome": data.outcome,
        "note": data.outcome_note,
    }
