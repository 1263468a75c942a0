# SPDX-License-Identifier: AGPL-3.0-or-later
"""When an open alert is worth another message: reviews, not floods. Pure.

A higher level or another kind goes out at once; a moved or much better place, the first place, new evidence or a
second witness go out at most once in the policy's interval. Everything else waits for one of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dronectl.alerts.geometry import ellipse_95, inside_95, point_of
from dronectl.alerts.model import AlertRecord, Decision, Facts, Policy
from missions.geo import distance_m

_MUCH_BETTER = 0.5  # of the semi-major axis


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed, in words, and whether it cannot wait."""

    what: str
    urgent: bool


def change(alert: AlertRecord, facts: Facts, decision: Decision | None, policy: Policy) -> Change | None:
    """What is new against the alert's newest message; None when nothing is worth a message.

    A level only rises here. Falling is a person's decision.
    """
    old = alert.facts
    if decision is not None and decision.level.rank > alert.decision.level.rank:
        return Change(f"level raised to {decision.level}: {decision.reason}", urgent=True)
    if facts.kind is not old.kind:
        return Change(f"now taken for a {facts.kind}", urgent=True)
    if facts.place is not None and old.place is None:
        return Change("place found", urgent=False)
    if facts.place is not None and old.place is not None:
        moved_m = distance_m(point_of(old.place), point_of(facts.place))
        if moved_m > policy.moved_min_m and not inside_95(old.place, point_of(facts.place)):
            return Change(f"moved by {moved_m:.0f} m", urgent=False)
        if ellipse_95(facts.place).semi_major_m < _MUCH_BETTER * ellipse_95(old.place).semi_major_m:
            return Change("located better", urgent=False)
    if {item.sha256 for item in facts.evidence} - {item.sha256 for item in old.evidence}:
        return Change("new evidence", urgent=False)
    if set(facts.vehicles) - set(old.vehicles):
        return Change("seen by another vehicle", urgent=False)
    return None


def is_due(found: Change, alert: AlertRecord, now: datetime, policy: Policy) -> bool:
    """Whether a change goes out now or waits; a clock that was set back does not hold it up."""
    since = now - alert.updated_at
    return found.urgent or since >= policy.min_update_interval or since.total_seconds() < 0
