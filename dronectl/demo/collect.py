# SPDX-License-Identifier: AGPL-3.0-or-later
"""Puts together what a demonstration's report says: plans, tracks, alerts, the dispatcher's log, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from shapely.geometry import Polygon

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
from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown
from dronectl.operations.planning import SitePlan
from dronectl.report.data import AlertSummary, Coverage, Goal, ReportData
from dronectl.report.footprints import ground_looked_at
from dronectl.report.map_style import MarkerStyle
from dronectl.report.plan_picture import Marker, site_map_svg
from dronectl.report.score import MAX_FALSE, REQUIRED_FOUND, REQUIRED_IN_ELLIPSE, Score, score
from dronectl.report.truth import Truth, read_truth
from missions.geo import GeoPoint, LocalFrame

_COMPLETED: Final = "completed"


def collect(stage: Stage, plan: SitePlan, flown: Flown, alerts: Sequence[dict[str, Any]], run: Run) -> ReportData:
    """Everything in one ReportData. Raises BadInputError if the truth file cannot be read."""
    truth = read_truth(stage.truth_file)
    judged = score(truth.entities, [alert_record(a) for a in alerts])
    site, mission = stage.site, plan.plans[0].mission
    flights = flight_summaries(plan.plans, plan.energies, flown)
    cards = alert_summaries(stage, alerts, judged, run)
    all_landed = all(s["state"] == "landed" for s in flown.sorties.values())
    all_flown = all_landed and all(f.outcome == _COMPLETED for f in flights)
    goals = _goals(judged, len(alerts), all_landed=all_landed, all_flown=all_flown)
    shortfalls = [goal.en for goal in goals if not goal.reached]
    outcomes = sorted({f.outcome for f in flights})
    served = {item for f in flights for item in f.items_served}
    wanted = {item for p in plan.plans for w in p.waypoints for item in w.serves}
    return ReportData(
        **run_facts(stage, mission, truth, run, mission.mission_id),
        outcome=", ".join(outcomes),
        outcome_note="; ".join(shortfalls) if shortfalls else "every condition holds",
        passed=not shortfalls,
        goals=goals,
        honesty=_honesty(stage, run),
        map_svg=site_map_svg(site, plan.plans, tracks=map_tracks(flown), markers=_markers(cards, truth, judged)),
        flights=flights,
        alerts=cards,
        things=thing_summaries(truth, judged),
        coverage=Coverage(
            items_total=len(wanted),
            items_served=len(served),
            area_looked_at_m2=_area_looked_at(stage, flown),
            fence_area_m2=_fence_area(stage),
            frames_seen=int(sum(c.get("looked_at", 0) for c in run.cameras.values())),
            frames_dropped=int(sum(c.get("dropped", 0) for c in run.cameras.values())),
            blind=blind_times(run, [flown]),
        ),
        score=judged,
        plan_cost_s=plan.longest_s,
        plan_bound_s=plan.bound_s,
    )


def _goals(judged: Score, alerts: int, *, all_landed: bool, all_flown: bool) -> tuple[Goal, ...]:
    people, inside = judged.people_found_fraction, judged.in_ellipse_fraction
    wrong = len(judged.false_alerts) + len(judged.duplicate_alerts)
    unacknowledged = len(judged.unacknowledged)
    return (
        Goal("巡逻全部飞完", "the patrol was flown to its end", all_flown, "yes" if all_flown else "no"),
        Goal("全部降落", "everyone landed", all_landed, "yes" if all_landed else "no"),
        Goal(
            "告警全部被确认",
            "every alert was acknowledged",
            unacknowledged == 0,
            f"{alerts - unacknowledged} / {alerts}",
        ),
        Goal(
            f"可探测人员至少发现 {REQUIRED_FOUND:.0%}",
            f"at least {REQUIRED_FOUND:.0%} of the detectable people were found",
            people is not None and people >= REQUIRED_FOUND,
            "none was detectable" if people is None else f"{people:.0%}",
        ),
        Goal(
            "火点已发现",
            "the fire was found",
            judged.fires_detectable > 0 and judged.fires_found == judged.fires_detectable,
            f"{judged.fires_found} / {judged.fires_detectable}",
        ),
        Goal(
            f"误报与重复不超过 {MAX_FALSE} 条",
            f"at most {MAX_FALSE} alarms were false or double",
            wrong <= MAX_FALSE,
            str(wrong),
        ),
        Goal(
            f"至少 {REQUIRED_IN_ELLIPSE:.0%} 的真实位置落在 95 % 椭圆内",
            f"at least {REQUIRED_IN_ELLIPSE:.0%} of true positions lie inside their 95 % ellipse",
            inside is not None and inside >= REQUIRED_IN_ELLIPSE,
            "no match" if inside is None else f"{inside:.0%}",
        ),
    )


def _markers(alerts: Sequence[AlertSummary], truth: Truth, judged: Score) -> tuple[Marker, ...]:
    """Numbered as in the report's list of alerts; what was missed carries an exclamation mark."""
    styles = {
        "true": MarkerStyle.TRUE,
        "false": MarkerStyle.FALSE,
        "duplicate": MarkerStyle.DUPLICATE,
        "not scored": MarkerStyle.UNSCORED,
    }
    markers = []
    for number, alert in enumerate(alerts, start=1):
        if alert.latitude_deg is None or alert.longitude_deg is None:
            continue
        ellipse = None
        if alert.semi_major_m is not None and alert.semi_minor_m is not None and alert.azimuth_deg is not None:
            ellipse = (alert.semi_major_m, alert.semi_minor_m, alert.azimuth_deg)
        place = GeoPoint(alert.latitude_deg, alert.longitude_deg)
        markers.append(Marker(place, str(number), styles[alert.verdict], ellipse))
    by_id = {e.entity_id: e for e in truth.entities}
    for entity_id in judged.missed:
        entity = by_id[entity_id]
        place = GeoPoint(entity.latitude_deg, entity.longitude_deg)
        markers.append(Marker(place, "!", MarkerStyle.MISSED))
    return tuple(markers)


def _area_looked_at(stage: Stage, flown: Flown) -> float:
    """Ground under the thermal cameras by telemetry."""
    tracks = {drone: [(lat, lon, amsl) for lat, lon, amsl, _ in track] for drone, track in flown.tracks.items()}
    return float(ground_looked_at(stage.site, LocalFrame(stage.site.frame.origin), tracks).area)


def _fence_area(stage: Stage) -> float:
    frame = stage.site.frame
    fence = stage.site.fence
    area = sum(Polygon([frame.to_enu(p) for p in ring]).area for ring in fence.inclusion)
    return float(area - sum(Polygon([frame.to_enu(p) for p in ring]).area for ring in fence.exclusion))


def _honesty(stage: Stage, run: Run) -> tuple[tuple[str, str], ...]:
    vehicles = (
        (
            "飞行器：真实 PX4 飞控程序，内置仿真器，没有真机。",
            "Vehicles: the real PX4 autopilot on its built-in simulator; no aircraft.",
        )
        if run.px4
        else ("飞行器：按 PX4 行为编写的仿真，没有真机。", "Vehicles: our simulation of PX4's behaviour; no aircraft.")
    )
    return (
        vehicles,
        (
            "画面：由仿真场景渲染，并非实拍；人、火、动物、车辆都是布设的。",
            "Pictures: rendered from a simulated scene, not taken; people, fire, animals and vehicles are placed.",
        ),
        (
            "视觉只得到带噪声的遥测和画面；真值只进入本报告。",
            "Vision got noisy telemetry and frames only; the truth reached nothing but this report.",
        ),
        (f"地形：{stage.site.terrain.source}。", f"Terrain: {stage.site.terrain.source}."),
        (
            "检测只用热像；可见光画面只作证据。",
            "Detection used thermal pictures only; RGB pictures serve as evidence.",
        ),
        (
            f"消息代理：{run.broker}；调度方由本程序扮演。",
            f"Broker: {run.broker}; this program played the dispatch system.",
        ),
        (
            f"时间：{run.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC，速度为实时的 {run.speed:g} 倍；延迟按真实时钟计。",
            f"Time ran at {run.speed:g} times real time; latencies are by the real clock.",
        ),
    )
