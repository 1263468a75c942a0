# SPDX-License-Identifier: AGPL-3.0-or-later
"""What every demonstration's report tells in the same way: flights, alerts with their pictures, and what was placed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from dronectl.demo.stage import Stage
from dronectl.demo.watch import Flown
from dronectl.report.data import AlertSummary, BlindTime, FlightNotice, FlightSummary, RunFacts, ThingSummary
from dronectl.report.nearest import nearest_of
from dronectl.report.plan_picture import Track
from dronectl.report.score import AlertRecord, Score
from dronectl.report.truth import Truth
from missions.energy import PlanEnergy
from missions.geo import GeoPoint, distance_m
from missions.model import FlightPlan, Mission
from vision.gaps import TOLERANCE_S

_NEVER_STARTED: Final[Mapping[str, Any]] = {
    "sortie_id": "",
    "waypoints_reached": 0,
    "waypoints_total": 0,
    "outcome": "not flown",
    "outcome_note": "called off before its start",
    "notices": (),
}
_NOTICES_ZH: Final[Mapping[str, str]] = {
    "off-way": "偏离航线",
    "off-height": "偏离高度",
    "no-progress": "没有进展",
    "late": "航段超时",
}


@dataclass(frozen=True, slots=True)
class Run:
    """What came out of a run, besides the files."""

    seed: int
    speed: float
    px4: bool
    broker: str
    started: datetime
    ended: datetime
    received_at: Mapping[str, datetime]  # alert id -> first receipt by dispatch
    cameras: Mapping[str, Mapping[str, float]]  # camera id -> what became of its frames
    gaps: Sequence[Mapping[str, Any]] = ()  # as the service shows them


def run_facts(stage: Stage, mission: Mission, truth: Truth, run: Run, mission_id: str) -> dict[str, Any]:
    """Where, when and on whose authority, and how near drones came: what every report begins with, by field.

    The purpose is the site's. Instances of PX4 boot one after another, so that their clocks cannot be compared.
    """
    model = stage.site.model
    pads = {drone.drone_id: drone.pad for drone in stage.site.drones}
    facts = RunFacts(
        site_name_zh=model.name.get("zh", stage.site.site_id),
        site_name_en=model.name.get("en", stage.site.site_id),
        status=str(model.status),
        started=run.started,
        ended=run.ended,
        simulated_s=max((t[-1].time_s for t in truth.tracks.values() if t), default=0.0),
        seed=run.seed,
        speed=run.speed,
        mission_id=mission_id,
        purpose=model.mission.purpose,
        authority=f"{mission.authority.who} ({mission.authority.ground})",
        category=str(mission.category),
        nearest=None if run.px4 else nearest_of(truth.tracks, pads),
    )
    return {field.name: getattr(facts, field.name) for field in fields(facts)}


def blind_times(run: Run, flights: Sequence[Flown]) -> tuple[BlindTime, ...]:
    """The parts of the cameras' gaps in which their drones were in the air, oldest first.

    Those shorter than what the service calls a gap are left out: the first and last metres of a flight are none.
    """
    found = []
    for gap in run.gaps:
        gap_from = datetime.fromisoformat(gap["from"])
        gap_to = run.ended if gap["to"] is None else datetime.fromisoformat(gap["to"])
        for flown in flights:
            for drone_id, (up, down) in flown.aloft.items():
                began, ended = max(gap_from, up), min(gap_to, down)
                seconds = (ended - began).total_seconds()
                if gap["camera_id"].startswith(f"{drone_id}-") and seconds >= TOLERANCE_S:
                    found.append(BlindTime(gap["camera_id"], began, seconds, gap["reason"]))
    return tuple(sorted(found, key=lambda b: (b.began, b.camera_id)))


def alert_record(alert: dict[str, Any]) -> AlertRecord:
    """What the score needs of an alert as the service shows it."""
    location = alert["document"]["location"]
    ellipse = None if location is None else location["ellipse_95"]
    return AlertRecord(
        alert_id=alert["alert_id"],
        kind=alert["kind"],
        level=alert["level"],
        latitude_deg=alert["latitude_deg"],
        longitude_deg=alert["longitude_deg"],
        semi_major_m=None if ellipse is None else ellipse["semi_major_m"],
        semi_minor_m=None if ellipse is None else ellipse["semi_minor_m"],
        azimuth_deg=None if ellipse is None else ellipse["azimuth_deg"],
        last_exposure_s=alert["document"]["why"]["exposure_s"],
        acknowledged=alert["acknowledged"],
    )


def flight_summaries(
    plans: Sequence[FlightPlan], energies: Sequence[PlanEnergy], flown: Flown
) -> tuple[FlightSummary, ...]:
    """Every flight as planned and as flown, in the order of the plans."""
    out = []
    for flight, energy in zip(plans, energies, strict=True):
        sortie = flown.sorties.get(flight.vehicle_id, _NEVER_STARTED)
        reached = int(sortie["waypoints_reached"])
        served = dict.fromkeys(item for w in flight.waypoints[:reached] for item in w.serves)
        places = [flight.home, *(w.position for w in flight.waypoints), flight.home]
        track = [GeoPoint(lat, lon) for lat, lon, _, _ in flown.tracks.get(flight.vehicle_id, [])]
        out.append(
            FlightSummary(
                vehicle_id=flight.vehicle_id,
                sortie_id=sortie["sortie_id"],
                planned_length_m=sum(distance_m(a, b) for a, b in itertools.pairwise(places)),
                planned_time_s=energy.time_s,
                flown_length_m=sum(distance_m(a, b) for a, b in itertools.pairwise(track)),
                waypoints_reached=reached,
                waypoints_total=int(sortie["waypoints_total"] or len(flight.waypoints)),
                items_served=tuple(served),
                outcome=sortie["outcome"] or sortie["state"],
                note=sortie["outcome_note"] or sortie["detail"] or "",
                battery_at_landing=flown.battery.get(flight.vehicle_id),
                notices=tuple(_flight_notice(n) for n in sortie["notices"]),
            )
        )
    return tuple(out)


def _flight_notice(notice: Mapping[str, Any]) -> FlightNotice:
    """A notice of the service in the report's two languages."""
    to = "" if notice["waypoint"] is None else f"，飞往航点 {notice['waypoint']}"
    off = "" if notice["metres"] is None else f"，{notice['metres']:.0f} 米"
    ended = notice["end_note"] or "it was not over when this was written"
    zh = f"{_NOTICES_ZH[notice['kind']]}{to}{off}，{notice['seconds']:.0f} 秒"
    return FlightNotice(datetime.fromisoformat(notice["began_at"]), zh, f"{notice['text']} ({ended})")


def alert_summaries(
    stage: Stage, alerts: Sequence[dict[str, Any]], judged: Score, run: Run
) -> tuple[AlertSummary, ...]:
    """Every alert with what the truth says of it, in the order in which they were raised."""
    matches = {m.alert_id: m for m in judged.matches}
    out = []
    for alert in sorted(alerts, key=lambda a: a["alert_id"]):
        document, alert_id = alert["document"], alert["alert_id"]
        why, record, match = document["why"], alert_record(alert), matches.get(alert["alert_id"])
        received = run.received_at.get(alert_id)
        observed = datetime.fromisoformat(document["observed_at"])
        responders = document["responders"]
        verdict = "true" if match else "not scored"
        if alert_id in judged.false_alerts:
            verdict = "false"
        elif alert_id in judged.duplicate_alerts:
            verdict = "duplicate"
        out.append(
            AlertSummary(
                alert_id=alert_id,
                level=alert["level"],
                kind=alert["kind"],
                reason=f"{why['reason']}; {why['confirmed_by']}",
                confidence=why["confidence"],
                looks=why["looks"],
                chances=why["chances"],
                detectors=tuple(why["detectors"]),
                vehicles=tuple(why["vehicles"]),
                latitude_deg=record.latitude_deg,
                longitude_deg=record.longitude_deg,
                semi_major_m=record.semi_major_m,
                semi_minor_m=record.semi_minor_m,
                azimuth_deg=record.azimuth_deg,
                temperature_max_c=why["temperature_max_c"],
                responder=f"{responders[0]['name']}, {responders[0]['distance_m']:.0f} m" if responders else None,
                acknowledged=alert["acknowledged"],
                latency_s=None if received is None else (received - observed).total_seconds(),
                verdict=verdict,
                entity_id=match.entity_id if match else None,
                distance_m=match.distance_m if match else None,
                in_ellipse=match.in_ellipse if match else None,
                pictures=_pictures(stage.state / "evidence", document["evidence"]),
            )
        )
    return tuple(out)


def _pictures(folder: Path, evidence: Sequence[dict[str, Any]]) -> tuple[Path, ...]:
    """The newest crop first, then where it lies in the thermal picture and in the colour one."""
    newest = {e["role"]: folder / e["path"] for e in evidence}
    return tuple(newest[role] for role in ("crop", "context", "context-rgb") if role in newest)


def thing_summaries(truth: Truth, judged: Score) -> tuple[ThingSummary, ...]:
    """Every placed person and fire and what became of it."""
    out = []
    for entity in truth.entities:
        if entity.kind not in ("person", "fire"):
            continue
        if entity.entity_id in judged.found:
            result = "found"
        elif entity.entity_id in judged.missed:
            result = "missed"
        else:
            result = "never properly in view"
        looks = sum("thermal" in look.camera_id for look in entity.looks)
        out.append(ThingSummary(entity.entity_id, entity.kind, entity.posture, entity.cover_fraction, looks, result))
    return tuple(out)


def map_tracks(flown: Flown) -> tuple[Track, ...]:
    """The flown tracks for the map."""
    return tuple(
        Track(vehicle_id, tuple(GeoPoint(lat, lon) for lat, lon, _, _ in points))
        for vehicle_id, points in flown.tracks.items()
        if points
    )
