# SPDX-License-Identifier: AGPL-3.0-or-later
"""Puts together what the report of a search says: plans, flights, what is left, alerts, and the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from dronectl.demo.gather import (
    Run,
    alert_record,
    alert_summaries,
    blind_times,
    flight_summaries,
    map_tracks,
    run_facts,
    thing_summaries,
)
from dronectl.demo.search_stage import DECOYS, Story
from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown
from dronectl.errors import UnavailableError
from dronectl.operations.search_progress import out_of_reach
from dronectl.operations.searching import SiteSearch
from dronectl.report.data import AlertSummary
from dronectl.report.footprints import ground_looked_at, probability_by_sector, probability_in
from dronectl.report.map_style import MarkerStyle
from dronectl.report.plan_picture import Marker
from dronectl.report.score import score
from dronectl.report.search_after import search_after_svg
from dronectl.report.search_data import FormSummary, Left, SearchReport, WaveSummary
from dronectl.report.search_picture import search_map_svg
from dronectl.report.search_score import SWAP_S, Result, Times, flight_times, result_of, search_goals
from dronectl.report.truth import TrueEntity, TruePosition, read_truth
from missions.geo import GeoPoint
from missions.search.flown import Swept

_PERSON: Final = "person"
_WARM: Final = ("parked_vehicles", "animals", "rocks")


@dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """One wave: its plan, its flights, what they did to the map (until the find), and the alert that was the find."""

    search: SiteSearch
    flown: Flown
    swept: Swept
    find: dict[str, Any] | None


def collect_search(
    stage: Stage, story: Story, waves: Sequence[Wave], alerts: Sequence[dict[str, Any]], run: Run
) -> SearchReport:
    """Everything in one SearchReport. Raises BadInputError if the truth file cannot be read, UnavailableError if nobody flew."""
    truth = read_truth(stage.truth_file)
    try:
        times = flight_times(truth.tracks, [w.flown.began_s for w in waves])
    except ValueError as error:
        raise UnavailableError(f"{error}: see the findings above and {stage.folder / 'service.log'}") from error
    person = next(e for e in truth.entities if e.kind == _PERSON)
    judged = score(truth.entities, [alert_record(a) for a in alerts])
    find = waves[-1].find
    result = result_of(person, found=find is not None)
    until_s = None if find is None else float(find["document"]["why"]["exposure_s"])
    minutes = None if until_s is None else times.minutes_until(until_s)
    ground = _seen(stage, waves[0].search, truth.tracks, until_s)
    left = _left(waves[-1], ground)
    all_landed = all(down_again(w.flown) for w in waves)
    goals = search_goals(judged, result, minutes, left_words(left), alerts=len(alerts), all_landed=all_landed)
    cards = alert_summaries(stage, alerts, judged, run)
    shortfalls = [goal.en for goal in goals if not goal.reached]
    site, first = stage.site, waves[0].search
    mission = first.plan.flown[0].plan.mission
    plans = [f.plan for w in waves for f in w.search.plan.flown]
    return SearchReport(
        **run_facts(stage, mission, truth, run, f"{stage.site.site_id}-{stage.folder.name}"),
        passed=not shortfalls,
        note="; ".join(shortfalls) if shortfalls else "every condition holds",
        result=result,
        minutes_to_find=minutes,
        form=_form(story, first),
        waves=tuple(_wave(number, wave, times) for number, wave in enumerate(waves, start=1)),
        goals=goals,
        honesty=_honesty(stage, run),
        before_svg=search_map_svg(site, first),
        after_svg=search_after_svg(
            site,
            waves[-1].swept.chart,
            story.form.at,
            ground,
            plans,
            [t for w in waves for t in map_tracks(w.flown)],
            _markers(cards, person, result),
        ),
        area_seen_m2=float(ground.area),
        probability_seen=probability_in(first.chart, ground),
        left=left,
        left_words=left_words(left),
        alerts=cards,
        things=thing_summaries(truth, judged),
        decoys=sum(DECOYS[kind] for kind in _WARM),
        score=judged,
        frames_seen=int(sum(c.get("looked_at", 0) for c in run.cameras.values())),
        frames_dropped=int(sum(c.get("dropped", 0) for c in run.cameras.values())),
        blind=blind_times(run, [w.flown for w in waves]),
    )


def down_again(flown: Flown) -> bool:
    """Whether all have landed; who was called back before it had taken off has nothing to land from."""
    stayed = set(flown.sorties) - set(flown.aloft) if flown.called_off else set()
    return all(s["state"] == "landed" for v, s in flown.sorties.items() if v not in stayed)


def _seen(
    stage: Stage, search: SiteSearch, tracks: Mapping[str, Sequence[TruePosition]], until_s: float | None
) -> BaseGeometry:
    """Ground under thermal cameras by true positions, until the find if there was one."""
    flown = {
        vehicle_id: [
            (p.latitude_deg, p.longitude_deg, p.amsl_m) for p in track if until_s is None or p.time_s <= until_s
        ]
        for vehicle_id, track in tracks.items()
    }
    return ground_looked_at(stage.site, search.plan.belief.frame, flown)


def _left(last: Wave, ground: BaseGeometry) -> Left:
    chart, belief = last.swept.chart, last.search.plan.belief
    rows, columns = belief.mass.shape
    east, north = belief.west_m + columns * belief.cell_m, belief.south_m + rows * belief.cell_m
    unseen = box(belief.west_m, belief.south_m, east, north).difference(ground)
    sectors = probability_by_sector(chart, unseen, belief.frame.to_enu(last.search.at))
    seen, outside = probability_in(chart, ground), out_of_reach(last.search, chart)
    return Left(seen, max(0.0, 1.0 - seen - outside), outside, tuple(sectors.items()))


def left_words(left: Left) -> str:
    """How much probability is left and where, in one line."""
    most = f", most of it {left.sectors[0][0]} of the place last seen" if left.sectors else ""
    return (
        f"{left.unseen:.0%} is left on ground that was not seen{most}, {left.seen:.0%} where cameras were over, "
        f"{left.outside:.0%} beyond reach"
    )


def _form(story: Story, search: SiteSearch) -> FormSummary:
    form = story.form
    return FormSummary(
        place=story.place,
        latitude_deg=form.at.latitude_deg,
        longitude_deg=form.at.longitude_deg,
        category=form.category,
        terrain=form.terrain,
        minutes_ago=60.0 * (form.hours_ago or 0.0),
        source=search.chart.source,
        doubts=search.doubts,
    )


def _wave(number: int, wave: Wave, times: Times) -> WaveSummary:
    plan = wave.search.plan
    launched, landed = times.waves[min(number, len(times.waves)) - 1]
    return WaveSummary(
        number=number,
        pattern=plan.pattern,
        pos=plan.pos,
        bound=plan.bound,
        swept=wave.swept.found,
        left_outside=out_of_reach(wave.search, wave.swept.chart),
        launched_min=times.minutes_until(launched),
        landed_min=times.minutes_until(landed),
        flights=flight_summaries([f.plan for f in plan.flown], [f.energy for f in plan.flown], wave.flown),
    )


def _markers(alerts: Sequence[AlertSummary], person: TrueEntity, result: Result) -> list[Marker]:
    """Alerts with the numbers of the report's cards; a person who was not found with an exclamation mark."""
    styles = {"true": MarkerStyle.TRUE, "false": MarkerStyle.FALSE, "duplicate": MarkerStyle.DUPLICATE}
    markers = []
    for number, alert in enumerate(alerts, start=1):
        if alert.latitude_deg is None or alert.longitude_deg is None:
            continue
        place = GeoPoint(alert.latitude_deg, alert.longitude_deg)
        markers.append(Marker(place, str(number), styles.get(alert.verdict, MarkerStyle.UNSCORED)))
    if result is not Result.FOUND:
        markers.append(Marker(GeoPoint(person.latitude_deg, person.longitude_deg), "!", MarkerStyle.MISSED))
    return markers


def _honesty(stage: Stage, run: Run) -> tuple[tuple[str, str], ...]:
    return (
        ("飞行器：按 PX4 行为编写的仿真，没有真机。", "Vehicles: our simulation of PX4's behaviour; no aircraft."),
        (
            "走失者由种子按概率图所用的距离规律布设（限于围栏之内）；真实概率图不会这么准。",
            "The person was placed by the seed from the map's own law of distances, inside the fence: real maps are worse.",
        ),
        (
            "画面：由仿真场景渲染，并非实拍；动物、车辆、暖石是诱饵。",
            "Pictures: rendered from a simulated scene, not taken; animals, vehicles and warm rocks are decoys.",
        ),
        (
            "复核人由本程序扮演：每条人员告警只回答“是不是本人”，与评分同一标准；其余真值只进入本报告。",
            "This program played the reviewer, who says of an alert whether it is the one; no other truth left this report.",
        ),
        (
            f"换电在仿真中不耗时，按每次至少 {SWAP_S / 60:.0f} 分钟计入。",
            f"Batteries change at once in the simulator; each change is counted as {SWAP_S / 60:.0f} minutes at least.",
        ),
        (f"地形：{stage.site.terrain.source}。", f"Terrain: {stage.site.terrain.source}."),
        (
            f"消息代理：{run.broker}；调度方由本程序扮演。",
            f"Broker: {run.broker}; this program played the dispatch system.",
        ),
        (
            f"时间：{run.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC，速度为实时的 {run.speed:g} 倍；延迟按真实时钟计。",
            f"Time ran at {run.speed:g} times real time; latencies are by the real clock.",
        ),
    )
