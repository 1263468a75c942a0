# SPDX-License-Identifier: AGPL-3.0-or-later
"""When an open alert is worth another message: reviews, not floods. Pure.

A higher level, another kind or a new event goes out at once; a moved or much better place, the first place, new
evidence, the end of an event or a second witness go out at most once in the policy's interval. Everything else waits
for one of these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from dronectl.alerts.event_rules import describe
from dronectl.alerts.geometry import ellipse_95, inside_95, point_of
from dronectl.alerts.ids import uuid7
from dronectl.alerts.model import AlertRecord, Decision, Facts, Policy
from dronectl.bus.messages import AlertPhase, AlertState
from missions.geo import distance_m

_MUCH_BETTER: Final = 0.5  # of the semi-major axis
_ESCALATED: Final = "; nobody acknowledged the alert before"


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
    known = {h.key: h for h in old.happenings}
    begun = [h for h in facts.happenings if h.key not in known]
    if begun:
        return Change("; ".join(describe(h) for h in begun), urgent=True)
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
    over = [h for h in facts.happenings if h.ended and not known[h.key].ended]
    if over:
        return Change("no longer so: " + "; ".join(describe(h) for h in over), urgent=False)
    if {item.sha256 for item in facts.evidence} - {item.sha256 for item in old.evidence}:
        return Change("new evidence", urgent=False)
    if set(facts.vehicles) - set(old.vehicles):
        return Change("seen by another vehicle", urgent=False)
    return None


def is_due(found: Change, alert: AlertRecord, now: datetime, policy: Policy) -> bool:
    """Whether a change goes out now or waits; a clock that was set back does not hold it up."""
    since = now - alert.updated_at
    return found.urgent or since >= policy.min_update_interval or since.total_seconds() < 0


def escalated(alert: AlertRecord, now: datetime, policy: Policy) -> tuple[AlertRecord, AlertRecord]:
    """An alert that nobody acknowledged in time: as it ends, and as it is raised again, one level higher."""
    ended = replace(
        alert,
        sequence=alert.sequence + 1,
        phase=AlertPhase.END,
        state=AlertState.EXPIRED,
        updated_at=now,
        expires_at=None,
    )
    decision = replace(
        alert.decision,
        level=alert.decision.level.raised(),
        reason=f"{alert.decision.reason.removesuffix(_ESCALATED)}{_ESCALATED}",
    )
    last = alert.escalation + 1 >= policy.max_escalations
    again = replace(
        alert,
        alert_id=uuid7(now),
        sequence=1,
        phase=AlertPhase.NEW,
        state=AlertState.NEW,
        decision=decision,
        raised_at=now,
        updated_at=now,
        expires_at=None if last else now + policy.deadlines[decision.level],
        escalation=alert.escalation + 1,
        escalated_from=alert.alert_id,
        last_action=None,
    )
    return ended, again
