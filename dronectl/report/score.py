# SPDX-License-Identifier: AGPL-3.0-or-later
"""Holds alerts against the truth of a simulated scene. Pure.

What was found, missed or false, how far off it was placed, and whether the stated 95 % ellipses kept their word.

A person counts as detectable when one thermal camera had at least DETECTABLE_LOOKS looks with at least half of the
figure visible, DETECTABLE_PX along its longer side and DETECTABLE_CONTRAST_C against the ground. A fire counts with one
such look. Nothing else about the scene enters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dronectl.report.truth import TrueEntity
from missions.geo import GeoPoint, LocalFrame

DETECTABLE_LOOKS: Final = 3
DETECTABLE_PX: Final = 8.0
DETECTABLE_VISIBLE: Final = 0.5
DETECTABLE_CONTRAST_C: Final = 2.0
MATCH_M: Final = 15.0
REQUIRED_FOUND: Final = 0.8
REQUIRED_IN_ELLIPSE: Final = 0.8
MAX_FALSE: Final = 2
TARGET_KINDS: Final = ("person", "fire")
ALARM_KINDS: Final = ("person", "fire", "hot_spot")  # what sends somebody out


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What the score needs of one alert. The ellipse is 95 %; azimuth of its major axis clockwise from north."""

    alert_id: str
    kind: str
    level: str
    latitude_deg: float | None
    longitude_deg: float | None
    semi_major_m: float | None
    semi_minor_m: float | None
    azimuth_deg: float | None
    last_exposure_s: float | None
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Match:
    """An alert and the thing that it is about."""

    alert_id: str
    entity_id: str
    kind: str
    distance_m: float
    in_ellipse: bool | None  # None: the alert states no ellipse


@dataclass(frozen=True, slots=True)
class Score:
    """What came out."""

    detectable: tuple[str, ...]
    found: tuple[str, ...]
    missed: tuple[str, ...]
    out_of_view: tuple[str, ...]
    matches: tuple[Match, ...]
    false_alerts: tuple[str, ...]
    duplicate_alerts: tuple[str, ...]
    people_found_fraction: float | None
    fires_found: int
    fires_detectable: int
    in_ellipse_fraction: float | None
    unacknowledged: tuple[str, ...]

    def shortfalls(self) -> list[str]:
        """Why the goal was missed, a sentence each; empty when it was reached."""
        out = []
        if self.people_found_fraction is None:
            out.append("no seeded person was detectable, so nothing was shown")
        elif self.people_found_fraction < REQUIRED_FOUND:
            out.append(
                f"{self.people_found_fraction:.0%} of the detectable people were found, {REQUIRED_FOUND:.0%} wanted"
            )
        if self.fires_found < self.fires_detectable:
            out.append(f"{self.fires_found} of {self.fires_detectable} detectable fires were found")
        wrong = len(self.false_alerts) + len(self.duplicate_alerts)
        if wrong > MAX_FALSE:
            out.append(f"{wrong} alarms were false or double, at most {MAX_FALSE} are allowed")
        if self.in_ellipse_fraction is not None and self.in_ellipse_fraction < REQUIRED_IN_ELLIPSE:
            out.append(
                f"{self.in_ellipse_fraction:.0%} of true positions lie in their 95 % ellipse, {REQUIRED_IN_ELLIPSE:.0%} wanted"
            )
        if self.unacknowledged:
            out.append(f"{len(self.unacknowledged)} alerts were not acknowledged")
        return out


def is_detectable(entity: TrueEntity) -> bool:
    """Whether a thermal camera had a fair chance (see the module's definition)."""
    per_camera: Counter[str] = Counter()
    for look in entity.looks:
        if (
            "thermal" in look.camera_id
            and look.visible_fraction >= DETECTABLE_VISIBLE
            and max(look.width_px, look.height_px) >= DETECTABLE_PX
            and abs(look.contrast_c) >= DETECTABLE_CONTRAST_C
        ):
            per_camera[look.camera_id] += 1
    wanted = 1 if entity.kind == "fire" else DETECTABLE_LOOKS
    return max(per_camera.values(), default=0) >= wanted


def _true_place(entity: TrueEntity, exposure_s: float | None) -> GeoPoint:
    """Where the thing was at that exposure (things walk); its first place when it was never looked at."""
    if not entity.looks:
        return GeoPoint(entity.latitude_deg, entity.longitude_deg)
    at = entity.looks[-1].exposure_s if exposure_s is None else exposure_s
    nearest = min(entity.looks, key=lambda look: abs(look.exposure_s - at))
    return GeoPoint(nearest.latitude_deg, nearest.longitude_deg)


def ellipse_holds(alert: AlertRecord, east_m: float, north_m: float) -> bool | None:
    """Whether a point at (east, north) of the alert's place lies in its ellipse."""
    if alert.semi_major_m is None or alert.semi_minor_m is None or alert.azimuth_deg is None:
        return None
    azimuth = math.radians(alert.azimuth_deg)
    along = east_m * math.sin(azimuth) + north_m * math.cos(azimuth)
    across = east_m * math.cos(azimuth) - north_m * math.sin(azimuth)
    return (along / alert.semi_major_m) ** 2 + (across / alert.semi_minor_m) ** 2 <= 1.0


def score(entities: Sequence[TrueEntity], alerts: Sequence[AlertRecord]) -> Score:
    """Match alerts to targets one to one with the least total distance, at most MATCH_M apart, kinds equal.

    An alarm of any kind with no target near it is false; one more about a target that was found is a duplicate. A hot
    spot alarm finds nobody, but it is not false where a target lies that nothing else found.
    """
    targets = [e for e in entities if e.kind in TARGET_KINDS]
    alarms = [a for a in alerts if a.kind in ALARM_KINDS]
    offsets = {(i, j): _offset(a, t) for i, a in enumerate(alarms) for j, t in enumerate(targets)}
    far = 1e6
    cost = np.full((len(alarms), len(targets)), far)
    near: dict[int, set[str]] = {}
    for (i, j), (east, north) in offsets.items():
        distance = math.hypot(east, north)
        if distance <= MATCH_M:
            near.setdefault(i, set()).add(targets[j].entity_id)
            if alarms[i].kind == targets[j].kind:
                cost[i, j] = distance
    matches: list[Match] = []
    if cost.size:
        from scipy.optimize import linear_sum_assignment  # slow to import

        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if cost[i, j] < far:
                east, north = offsets[int(i), int(j)]
                holds = ellipse_holds(alarms[i], east, north)
                alarm, target = alarms[i], targets[j]
                matches.append(Match(alarm.alert_id, target.entity_id, target.kind, float(cost[i, j]), holds))
    matched_alerts = {m.alert_id for m in matches}
    spare = [(i, a) for i, a in enumerate(alarms) if a.alert_id not in matched_alerts]
    found = {m.entity_id for m in matches}
    duplicates = tuple(
        a.alert_id for i, a in spare if near.get(i, set()) & found and (a.kind != "hot_spot" or near[i] <= found)
    )
    false = tuple(a.alert_id for i, a in spare if not near.get(i))
    detectable = [t for t in targets if is_detectable(t)]
    people = [t for t in detectable if t.kind == "person"]
    fires = [t for t in detectable if t.kind == "fire"]
    held = [m.in_ellipse for m in matches if m.in_ellipse is not None]
    return Score(
        detectable=tuple(t.entity_id for t in detectable),
        found=tuple(t.entity_id for t in targets if t.entity_id in found),
        missed=tuple(t.entity_id for t in detectable if t.entity_id not in found),
        out_of_view=tuple(t.entity_id for t in targets if t not in detectable and t.entity_id not in found),
        matches=tuple(matches),
        false_alerts=false,
        duplicate_alerts=duplicates,
        people_found_fraction=sum(p.entity_id in found for p in people) / len(people) if people else None,
        fires_found=sum(f.entity_id in found for f in fires),
        fires_detectable=len(fires),
        in_ellipse_fraction=sum(held) / len(held) if held else None,
        unacknowledged=tuple(a.alert_id for a in alerts if not a.acknowledged),
    )


def _offset(alert: AlertRecord, entity: TrueEntity) -> tuple[float, float]:
    if alert.latitude_deg is None or alert.longitude_deg is None:
        return math.inf, math.inf
    frame = LocalFrame(GeoPoint(alert.latitude_deg, alert.longitude_deg))
    return frame.to_enu(_true_place(entity, alert.last_exposure_s))
