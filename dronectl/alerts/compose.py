# SPDX-License-Identifier: AGPL-3.0-or-later
"""Records become messages: what dispatch, the console and the report read of alerts and incidents. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from dronectl.alerts.geometry import ellipse_95, nearest
from dronectl.alerts.model import AlertRecord, AlertSite, Facts, Happening, Incident
from dronectl.bus import messages
from dronectl.bus.messages import AlertState
from vision.sighting import GroundEllipse

_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_END_REASONS: dict[AlertState, Literal["resolved", "false_alarm", "expired"]] = {
    AlertState.RESOLVED: "resolved",
    AlertState.FALSE_ALARM: "false_alarm",
    AlertState.EXPIRED: "expired",
}


def alert_message(alert: AlertRecord, site: AlertSite) -> messages.Alert:
    """The whole alert as it goes out."""
    facts, decision, said = alert.facts, alert.decision, alert.last_action
    return messages.Alert(
        alert_id=alert.alert_id,
        sequence=alert.sequence,
        phase=alert.phase,
        state=alert.state,
        level=decision.level,
        kind=str(facts.kind),
        site_id=site.site_id,
        site_status=site.status,
        mission_id=alert.mission_id,
        incident_id=alert.incident_id,
        observed_at=alert.observed_at,
        raised_at=alert.raised_at,
        updated_at=alert.updated_at,
        expires_at=alert.expires_at,
        location=location(facts.place),
        location_missing=None if facts.place else "no pose of the camera at exposure: where it is, is not known",
        places=list(decision.places),
        why=_why(alert),
        events=[_event(happening) for happening in facts.happenings],
        evidence=_evidence(facts, site.evidence_base_url),
        responders=[] if alert.state.final else nearest(site.responders, facts.place, alert.declined_by),
        owner=alert.owner,
        responder_id=alert.responder_id,
        outcome=alert.outcome,
        end_reason=_END_REASONS.get(alert.state),
        escalation=alert.escalation,
        escalated_from=alert.escalated_from,
        last_action=None
        if said is None
        else messages.LastAction(
            event_id=said.event_id,
            action=said.action,
            by=said.by,
            at=said.at,
            note=said.note,
            refused=said.refused,
        ),
    )


def incident_message(incident: Incident, site: AlertSite) -> messages.Incident:
    """The whole incident as it goes out."""
    return messages.Incident(
        incident_id=incident.incident_id,
        status="open" if incident.settled_at is None else "ended",
        kind=str(incident.kind),
        site_id=site.site_id,
        site_status=site.status,
        mission_id=incident.mission_id,
        opened_at=incident.opened_at,
        updated_at=incident.updated_at,
        location=location(incident.place),
        alerts=list(incident.alert_ids),
        tracks=incident.tracks,
        vehicles=sorted({s.vehicle_id for s in (m.sighting for m in incident.members) if s.vehicle_id is not None}),
        responder_id=incident.responder_id,
        timeline=[messages.TimelineEntry(at=note.at, what=note.what) for note in incident.timeline],
    )


def location(place: GroundEllipse | None) -> messages.Location | None:
    """A place with its 95 % ellipse; None when it is not known."""
    if place is None:
        return None
    return messages.Location(
        latitude_deg=place.latitude_deg,
        longitude_deg=place.longitude_deg,
        amsl_m=place.amsl_m,
        ellipse_95=ellipse_95(place),
    )


def _why(alert: AlertRecord) -> messages.Why:
    facts, decision = alert.facts, alert.decision
    return messages.Why(
        rule_id=decision.rule_id,
        rule_set=decision.rule_set,
        reason=decision.reason,
        confidence=facts.confidence,
        looks=facts.looks,
        chances=facts.chances,
        tracks=facts.tracks,
        confirmed_by=facts.confirmed_by,
        detectors=list(facts.detectors),
        model_sha256=_hashes(facts.detectors),
        modalities=list(facts.modalities),
        cameras=list(facts.cameras),
        vehicles=list(facts.vehicles),
        temperature_max_c=facts.temperature_max_c,
        size_m=facts.size_m,
        speed_m_s=facts.speed_m_s,
        exposure_s=facts.exposure_s,
    )


def _event(happening: Happening) -> messages.AlertEvent:
    return messages.AlertEvent(
        rule=happening.rule.value,
        area_id=happening.area_id,
        area=happening.area,
        level=happening.level,
        since=happening.since,
        at=happening.at,
        ended=happening.ended,
        confidence=min(1.0, max(0.0, happening.confidence)),
        facts=[messages.EventFact(name=f.name, value=f.value, bound=f.bound, unit=f.unit) for f in happening.facts],
    )


def _hashes(detectors: Iterable[str]) -> list[str]:
    return sorted({found for detector in detectors for found in _SHA256.findall(detector)})


def _evidence(facts: Facts, base_url: str | None) -> list[messages.EvidenceLink]:
    return [
        messages.EvidenceLink(
            path=item.path,
            sha256=item.sha256,
            width_px=item.width_px,
            height_px=item.height_px,
            role=item.role,
            href=None if base_url is None else f"{base_url.rstrip('/')}/{item.path}",
        )
        for item in facts.evidence
    ]
