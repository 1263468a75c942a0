# SPDX-License-Identifier: AGPL-3.0-or-later
"""How vehicles, sorties, alerts and findings look to those who ask at the desk: plain values for JSON.

Pure: whoever makes a view hands in everything that is in it. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final

from dronectl.bus.messages import Alert
from dronectl.fleet.doors import DoorCount
from dronectl.fleet.link import VehicleState
from dronectl.fleet.progress_watch import Notice, advice
from dronectl.fleet.sortie_types import Sortie
from dronectl.fleet.watching import Told
from missions.model import Finding, Mission

_SHOWN: Final = (
    "vehicle_id",
    "connected",
    "armed",
    "latitude_deg",
    "longitude_deg",
    "amsl_m",
    "height_above_home_m",
    "velocity_north_m_s",
    "velocity_east_m_s",
    "velocity_down_m_s",
    "yaw_deg",
    "battery_fraction",
    "position_ok",
    "home_ok",
    "armable",
    "mission_current",
    "mission_total",
    "mission_reached",
    "system_id",
    "last_text",
)
_shown_of: Final = attrgetter(*_SHOWN)


def vehicle_view(
    state: VehicleState, sortie: Sortie | None, door: DoorCount, notices: Iterable[Notice], now_s: float
) -> dict[str, Any]:
    """A vehicle, the sortie it flies, what its door lost and what is told of its flight; `now_s` is monotonic."""
    heard = state.heard_monotonic_s
    view: dict[str, Any] = dict(zip(_SHOWN, _shown_of(state), strict=True))
    view["mode"], view["landed"] = str(state.mode), str(state.landed)
    view["refused_or_lost_datagrams"] = door.refused_or_lost
    view["age_s"] = None if heard is None else max(0.0, now_s - heard)
    view["sortie_id"] = None if sortie is None else sortie.sortie_id
    view["sortie_state"] = None if sortie is None else str(sortie.phase)
    view["notices"] = [_notice(notice, state.vehicle_id) for notice in notices]
    return view


def sortie_view(sortie: Sortie, mission: Mission | None, notices: Iterable[Told]) -> dict[str, Any]:
    """A sortie, what it is flown for and what was told of it on its way."""
    outcome = sortie.outcome
    return {
        "sortie_id": sortie.sortie_id,
        "vehicle_id": sortie.vehicle_id,
        "mission_id": None if mission is None else mission.mission_id,
        "purpose": None if mission is None else mission.purpose,
        "authority": None if mission is None else f"{mission.authority.who} ({mission.authority.ground})",
        "category": None if mission is None else str(mission.category),
        "state": str(sortie.phase),
        "detail": sortie.failsafe or sortie.note,
        "autopilot_said": sortie.autopilot_said if sortie.failsafe else None,
        "waypoints_reached": sortie.waypoints_reached,
        "waypoints_total": sortie.waypoints_total,
        "findings": [finding_view(f) for f in sortie.findings],
        "notices": [
            {
                **_notice(told.notice, sortie.vehicle_id),
                "began_at": told.began.isoformat(timespec="milliseconds"),
                "ended_at": None if told.ended is None else told.ended.isoformat(timespec="milliseconds"),
                "end_note": told.end_note,
            }
            for told in notices
        ],
        "outcome": None if outcome is None else str(outcome.kind),
        "outcome_note": None if outcome is None else outcome.note,
    }


def alert_view(alert: Alert, acknowledged: bool) -> dict[str, Any]:
    """An alert; `acknowledged`: the dispatch system has acknowledged all that it was sent of it."""
    place = alert.location
    return {
        "alert_id": alert.alert_id,
        "incident_id": alert.incident_id,
        "sequence": alert.sequence,
        "phase": str(alert.phase),
        "level": str(alert.level),
        "kind": alert.kind,
        "latitude_deg": None if place is None else place.latitude_deg,
        "longitude_deg": None if place is None else place.longitude_deg,
        "acknowledged": acknowledged,
        "created_at": alert.raised_at.isoformat(),
        "updated_at": alert.updated_at.isoformat(),
        "document": alert.model_dump(mode="json"),
    }


def finding_view(finding: Finding) -> dict[str, Any]:
    """What a check found."""
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "message": finding.message,
        "item": finding.item,
    }


def _notice(notice: Notice, vehicle_id: str) -> dict[str, Any]:
    return {
        "kind": str(notice.kind),
        "text": notice.text,
        "advice": advice(vehicle_id),
        "waypoint": notice.waypoint,
        "seconds": notice.seconds,
        "metres": notice.metres,
        "planned_s": notice.planned_s,
    }
