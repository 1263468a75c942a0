# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plays a coverage: a drawn area, flights of two drones, fresh batteries and the next ones, until all of it is flown."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from dronectl.demo.cover_collect import collect_cover
from dronectl.demo.cover_stage import WISHES, draw_area
from dronectl.demo.gather import Run
from dronectl.demo.site_run import Options, SiteRun, running_site
from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown
from dronectl.errors import BadInputError
from dronectl.operations.covering import SiteCover, cover_document, plan_site_cover
from dronectl.report.cover_data import CoverReport
from dronectl.report.html import write_page
from missions.deconflict.starts import started_apart
from missions.formats.qgc_plan import write_plan
from missions.model import Budget

_ITERATIONS: Final = 200


async def play_cover(stage: Stage, options: Options, console: Console) -> CoverReport:
    """Plan, fly round by round, report. Raises UnavailableError when a part does not come up, BadInputError for a plan refused."""
    started = datetime.now(UTC)
    area = draw_area(stage, options.seed)
    async with running_site(stage, options, console) as run:
        found = await asyncio.to_thread(_plan, stage, area, options.seed)
        _write(found, stage.plans)
        console.print(
            f"plan: {len(found.plan.sorties)} flights over {found.area.shape.area / 10_000:.1f} ha, "
            f"{found.verdict.fraction:.2%} of it seen as planned"
        )
        rounds = await _fly_rounds(run, found)
        cameras = await run.cameras()
        broker = run.broker()
    ended = datetime.now(UTC).astimezone()
    outcome = Run(options.seed, options.speed, False, broker, started.astimezone(), ended, {}, cameras)
    report = collect_cover(stage, found, rounds, outcome)
    write_page("cover.html.j2", report, {"map": report.map_svg}, report.document(), stage.folder)
    return report


def _plan(stage: Stage, area: Path, seed: int) -> SiteCover:
    found = plan_site_cover(stage.site, area, WISHES, Budget(iterations=_ITERATIONS, seed=seed))
    if not found.clean:
        lines = [f"  {f.code}: {f.message}" for findings in found.findings for f in findings]
        raise BadInputError("\n".join([f"{stage.site.file}: the area cannot be flown as planned:", *lines]))
    return found


def _write(found: SiteCover, folder: Path) -> None:
    for sortie in found.plan.sorties:
        name = f"{sortie.vehicle_id}-{sortie.number}.plan"
        (folder / name).write_text(write_plan(sortie.plan), encoding="utf-8")
    document = json.dumps(cover_document(found), ensure_ascii=False, indent=2) + "\n"
    (folder / "summary.json").write_text(document, encoding="utf-8")


async def _fly_rounds(run: SiteRun, found: SiteCover) -> list[Flown]:
    """Every drone's first flights, fresh batteries, their second ones, and so on. A drone that is lost flies no more."""
    rounds: list[Flown] = []
    lost: set[str] = set()
    for number in range(1, max(s.number for s in found.plan.sorties) + 1):
        due = [s for s in found.plan.sorties if s.number == number and s.vehicle_id not in lost]
        if not due:
            break
        vehicles = {s.vehicle_id for s in due}
        if number > 1:
            run.console.print(f"fresh batteries for {', '.join(sorted(vehicles))}; on where the path was left")
            await run.swap_batteries(vehicles)
        await run.all_ready(vehicles)
        # A round waits for the last of the one before, which the plan's own starts do not reckon with.
        started = await asyncio.to_thread(
            started_apart, [s.plan for s in due], run.stage.site.limits, wind_m_s=WISHES.wind_m_s
        )
        flown = await run.fly(started.plans, f"coverage, flights {number}")
        rounds.append(flown)
        lost |= {v for v in vehicles if flown.sorties[v]["state"] != "landed"}
    return rounds


def cover_summary(report: CoverReport) -> dict[str, Any]:
    """What the command prints for machines."""
    return {
        "passed": report.passed,
        "goals": [{"goal": g.en, "reached": g.reached, "figure": g.figure} for g in report.goals],
        "seen_planned": report.seen_planned,
        "seen_flown": report.seen_flown,
        "flights": len(report.flights),
    }
