# SPDX-License-Identifier: AGPL-3.0-or-later
"""What was changed in flights that go on from the air so that they keep apart, in words and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from missions.deconflict.model import Change, ChangeKind
from missions.model import Finding, FlightPlan, Severity
from missions.search.flights import Flown
from missions.search.planner import SearchPlan


def aloft_change_text(change: Change) -> str:
    """One change in words."""
    amount = abs(change.amount)
    where = "where it is now" if not change.item else f"at waypoint {change.item + 1}"
    return {
        ChangeKind.HOLD: f"{change.vehicle_id} hovers {amount:.1f} s {where}",
        ChangeKind.LAYER: (
            f"{change.vehicle_id} flies {amount:.0f} m "
            + ("higher: people are smaller in its pictures" if change.amount > 0 else "lower: it sees less wide")
        ),
        ChangeKind.SHORTER: f"{change.vehicle_id} searches {amount:.0f} s less and is home that much sooner",
        ChangeKind.HOME: f"{change.vehicle_id} is brought home now: no other way was found for it",
    }[change.kind]


def changes_text(changes: Sequence[Change]) -> str | None:
    """All changes in one line; None without any."""
    if not changes:
        return None
    return f"So that those in the air keep apart: {'; '.join(aloft_change_text(c) for c in changes)}."


def change_document(change: Change) -> dict[str, Any]:
    """A change for machines: seconds of a hold or a shorter flight, metres of another height; `waypoint` counts from 1."""
    return {
        "vehicle_id": change.vehicle_id,
        "kind": change.kind.value,
        "amount": round(change.amount, 1),
        "waypoint": None if change.item is None else change.item + 1,
    }


def holds_document(plan: FlightPlan) -> list[dict[str, Any]]:
    """Where a plan holds, and how long; `waypoint` counts from 1."""
    return [{"waypoint": i + 1, "hold_s": w.hold_s} for i, w in enumerate(plan.waypoints) if w.hold_s > 0.0]


def homeward_finding(finding: Finding, flown: Flown, reserve_fraction: float) -> Finding:
    """A finding on a way home: that it takes from the reserve is to be known, but forbids nothing."""
    if finding.code != "battery":
        return finding
    message = (
        f"comes home with {max(0.0, flown.energy.landing_fraction):.1%} of its battery, the reserve is "
        f"{reserve_fraction:.0%}: bring it home at once"
    )
    return replace(finding, severity=Severity.WARNING, message=message)


def aloft_doubts(found: SearchPlan, airborne: Sequence[str]) -> list[str]:
    """On what a plan counts that begins in the air."""
    said = []
    home = [f.plan.vehicle_id for f in found.homeward]
    if airborne and len(found.flights) > 1:
        said.append(
            f"in the air: {', '.join(airborne)}. Taken to be at the place and height of the first waypoint and to fly on at "
            "once, as planned"
        )
        if found.slack_aloft_s is not None:
            words = (
                "not early or late against each other at all"
                if found.slack_aloft_s <= 0.0
                else (
                    f"at most {found.slack_aloft_s:.0f} s early or late against each other (one that is late waits where it is)"
                )
            )
            said[-1] += f"; they keep apart while they are {words}"
    said += [aloft_change_text(c) for c in found.changes if c.kind is ChangeKind.LAYER]
    if home:
        said.append(f"{', '.join(home)} in the air: bring home as their .plan says, which the others keep clear of")
    return said
