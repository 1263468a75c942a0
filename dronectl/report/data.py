# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a report says, before it is turned into HTML or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dronectl.report.nearest import Nearest
from dronectl.report.score import Score


@dataclass(frozen=True, slots=True)
class Goal:
    """One condition of success."""

    zh: str
    en: str
    reached: bool
    figure: str


@dataclass(frozen=True, slots=True)
class FlightNotice:
    """What the watch on progress said during a flight."""

    began: datetime
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class FlightSummary:
    """One vehicle's flight: what was planned and what was flown."""

    vehicle_id: str
    sortie_id: str
    planned_length_m: float
    planned_time_s: float
    flown_length_m: float
    waypoints_reached: int
    waypoints_total: int
    items_served: tuple[str, ...]
    outcome: str
    note: str
    battery_at_landing: float | None
    notices: tuple[FlightNotice, ...]


@dataclass(frozen=True, slots=True)
class AlertSummary:
    """One alert with what truth says of it."""

    alert_id: str
    level: str
    kind: str
    reason: str
    confidence: float
    looks: int
    chances: int
    detectors: tuple[str, ...]
    vehicles: tuple[str, ...]
    latitude_deg: float | None
    longitude_deg: float | None
    semi_major_m: float | None
    semi_minor_m: float | None
    azimuth_deg: float | None
    temperature_max_c: float | None
    responder: str | None
    acknowledged: bool
    latency_s: float | None
    verdict: str  # "true", "false", "duplicate", or "not scored"
    entity_id: str | None
    distance_m: float | None
    in_ellipse: bool | None
    pictures: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ThingSummary:
    """A seeded person or fire and what became of it."""

    entity_id: str
    kind: str
    posture: str
    cover_fraction: float
    looks: int
    result: str  # found, missed, or never properly in view


@dataclass(frozen=True, slots=True)
class BlindTime:
    """A time in which a camera in the air looked at nothing."""

    camera_id: str
    began: datetime
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was looked at."""

    items_total: int
    items_served: int
    area_looked_at_m2: float
    fence_area_m2: float
    frames_seen: int
    frames_dropped: int
    blind: tuple[BlindTime, ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What every report says of its run: where, when, how fast, and on whose authority."""

    site_name_zh: str
    site_name_en: str
    status: str
    started: datetime
    ended: datetime
    simulated_s: float
    seed: int
    speed: float
    mission_id: str
    purpose: str
    authority: str
    category: str
    nearest: Nearest | None  # None without two in the air away from their pads, and where clocks are not one


@dataclass(frozen=True, slots=True)
class ReportData(RunFacts):
    """Everything in one report."""

    outcome: str
    outcome_note: str
    passed: bool
    goals: tuple[Goal, ...]
    honesty: tuple[tuple[str, str], ...]  # (Chinese, English)
    map_svg: str
    flights: tuple[FlightSummary, ...]
    alerts: tuple[AlertSummary, ...]
    things: tuple[ThingSummary, ...]
    coverage: Coverage
    score: Score
    plan_cost_s: float
    plan_bound_s: float

    def document(self) -> dict[str, Any]:
        """The same for machines, without the map."""
        document = asdict(self)
        del document["map_svg"]
        return {"schema_version": 1, **document}


def latency_percentile(alerts: Sequence[AlertSummary], fraction: float) -> float | None:
    """The latency that `fraction` of the alerts do not exceed; None without any."""
    values = sorted(a.latency_s for a in alerts if a.latency_s is not None)
    if not values:
        return None
    return values[min(len(values) - 1, int(fraction * len(values)))]
