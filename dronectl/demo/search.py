# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plays a search: form, map, plans, flights until somebody is found, once more with fresh batteries, then the report.

The one thing that this program knows from the simulator while it flies is what a person would know who looks at the
place of an alert: whether the missing person is there (`Reviewer`). Everything else of the truth is for the report.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from dronectl.demo.gather import Run, alert_record
from dronectl.demo.search_collect import Wave, collect_search
from dronectl.demo.search_stage import Story
from dronectl.demo.simulated import WIND
from dronectl.demo.site_run import Options, SiteRun, running_site
from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown
from dronectl.errors import BadInputError
from dronectl.operations.last_seen import map_of_form
from dronectl.operations.search_progress import Fix, after_flights, next_flights
from dronectl.operations.searching import SiteSearch, plan_site_search, search_document
from dronectl.report.score import score
from dronectl.report.search_data import SearchReport
from dronectl.report.search_html import write_search_report
from dronectl.report.search_picture import search_map_svg
from dronectl.report.truth import read_truth
from missions.formats.qgc_plan import write_plan
from missions.model import Budget

WAVES: Final = 2
_ITERATIONS: Final = 40_000
_AGAIN_S: Final = 15.0  # real; an order to return that has not shown by then is given again


async def play_search(stage: Stage, story: Story, options: Options, console: Console) -> SearchReport:
    """Plan, fly, find, report. Raises UnavailableError when a part does not come up, BadInputError for a plan refused."""
    started = datetime.now(UTC)
    waves: list[Wave] = []
    async with running_site(stage, options, console) as run:
        found = await asyncio.to_thread(_first_plan, stage, story, options.seed)
        await run.all_ready()
        while True:
            wave = await _fly_wave(run, found, len(waves) + 1)
            waves.append(wave)
            landed = [v for v, s in wave.flown.sorties.items() if s["state"] == "landed"]
            if wave.find is not None or len(waves) == WAVES or not landed:
                break
            console.print(f"nobody found; fresh batteries for {', '.join(landed)}, and plans on what is left")
            await run.swap_batteries(landed)
            found = await asyncio.to_thread(
                next_flights,
                stage.site, found, wave.swept.chart, landed, _budget(options.seed), wind_m_s=WIND["speed_m_s"],
            )  # fmt: skip
            await run.all_ready({f.plan.vehicle_id for f in found.plan.flown})
        await run.settle()
        alerts = await run.alerts()
        cameras, gaps = await run.cameras(), await run.gaps()
        broker = run.broker()
    outcome = Run(
        seed=options.seed,
        speed=options.speed,
        px4=False,
        broker=broker,
        started=started.astimezone(),
        ended=datetime.now(UTC).astimezone(),
        received_at=run.dispatcher.received_at,
        cameras=cameras,
        gaps=gaps,
    )
    report = collect_search(stage, story, waves, alerts, outcome)
    write_search_report(report, stage.folder)
    return report


def _budget(seed: int) -> Budget:
    return Budget(iterations=_ITERATIONS, seed=seed)


def _first_plan(stage: Stage, story: Story, seed: int) -> SiteSearch:
    chart = map_of_form(story.form)
    return plan_site_search(stage.site, chart, story.form.at, story.sensing, _budget(seed), wind_m_s=WIND["speed_m_s"])


async def _fly_wave(run: SiteRun, found: SiteSearch, number: int) -> Wave:
    folder = run.stage.plans / f"wave-{number}"
    _write(run.stage, found, folder)
    plan = found.plan
    if not found.clean:
        lines = [f"  {f.code}: {f.message}" for each in found.findings for f in each]
        raise BadInputError("\n".join([f"{run.stage.site.file}: the search cannot be flown as planned:", *lines]))
    run.console.print(
        f"wave {number}: {len(plan.flown)} flights ({plan.pattern}), probability of success {plan.pos:.1%}; "
        f"no flights with these batteries beat {plan.bound:.1%}"
    )
    watch = _Watch(run, number, Reviewer(run.stage))
    flown = await run.fly(tuple(f.plan for f in plan.flown), "search for a missing person", watch.poll)
    await watch.poll(flown)  # what came in with the last frames
    tracks = watch.tracks_at_find or {v: list(t) for v, t in flown.tracks.items()}
    fixes = [[Fix(lat, lon, amsl) for lat, lon, amsl, _ in track] for track in tracks.values()]
    swept = await asyncio.to_thread(after_flights, run.stage.site, found, fixes)
    return Wave(found, flown, swept, watch.find)


def _write(stage: Stage, found: SiteSearch, folder: Path) -> None:
    """The same files as `dronectl plan search` writes."""
    folder.mkdir()
    for flight in found.plan.flown:
        (folder / f"{flight.plan.vehicle_id}.plan").write_text(write_plan(flight.plan), encoding="utf-8")
    document = json.dumps(search_document(found), ensure_ascii=False, indent=2) + "\n"
    (folder / "summary.json").write_text(document, encoding="utf-8")
    (folder / "search.svg").write_text(search_map_svg(stage.site, found), encoding="utf-8")


class Reviewer:
    """A person at the screen, and the party that is sent to an alert: they say whether it is whom we look for."""

    def __init__(self, stage: Stage) -> None:
        self._truth_file = stage.truth_file

    def confirms(self, alert: dict[str, Any]) -> bool:
        """Whether the missing person is where the alert says, by the same measure as the score. Raises BadInputError."""
        return bool(score(read_truth(self._truth_file).entities, [alert_record(alert)]).found)


@dataclass(slots=True)
class _Watch:
    """Looks at every alert of a person while a wave is in the air; a confirmed one calls everyone home."""

    run: SiteRun
    wave: int
    reviewer: Reviewer
    find: dict[str, Any] | None = None
    tracks_at_find: dict[str, list[tuple[float, float, float, float]]] | None = None
    looked_at: set[tuple[str, int]] = field(default_factory=set)
    ordered_s: float = 0.0

    async def poll(self, flown: Flown) -> None:
        """One look at the alerts."""
        now_s = asyncio.get_running_loop().time()
        if self.find is not None:
            if now_s - self.ordered_s > _AGAIN_S and any(s["state"] == "flying" for s in flown.sorties.values()):
                await self._call_home()
            return
        for alert in await self.run.alerts():
            key = alert["alert_id"], alert["sequence"]
            if alert["kind"] != "person" or not alert["acknowledged"] or key in self.looked_at:
                continue
            self.looked_at.add(key)
            if await asyncio.to_thread(self.reviewer.confirms, alert):
                self.find = alert
                flown.called_off = True
                self.tracks_at_find = {v: list(t) for v, t in flown.tracks.items()}
                self.run.console.print(f"person found ({alert['alert_id']}): confirmed, everyone returns")
                await self._call_home()
                return

    async def _call_home(self) -> None:
        self.ordered_s = asyncio.get_running_loop().time()
        await self.run.come_home("the missing person was found")


def search_summary(report: SearchReport) -> dict[str, Any]:
    """What the command prints for machines."""
    return {
        "passed": report.passed,
        "result": str(report.result),
        "minutes_to_find": report.minutes_to_find,
        "goals": [{"goal": g.en, "reached": g.reached, "figure": g.figure} for g in report.goals],
        "waves": [{"pos": w.pos, "bound": w.bound, "swept": w.swept} for w in report.waves],
        "left": report.left_words,
        "alerts": len(report.alerts),
    }
