# SPDX-License-Identifier: AGPL-3.0-or-later
"""What went through the alerts of a site, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class AlertCounters:
    """What came in and what became of it."""

    sightings: int = 0
    merged: int = 0
    alerts: int = 0
    updates: int = 0
    held_back: int = 0
    quiet: int = 0
    expired: int = 0
    store_failures: int = 0
    acks: int = 0
    acks_repeated: int = 0
    actions: int = 0
    actions_refused: int = 0
    actions_repeated: int = 0
    unknown_alert: int = 0
    garbage: int = 0
    inbox_full: int = 0
    events: int = 0
    event_looks_late: int = 0
