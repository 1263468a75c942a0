# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the service holds in memory of incidents and alerts: what is open, and of the rest only the newest.

The store has everything; this is what association, the console and the throttle need at once. Bounded: what never
became an alert goes first, what is settled goes next, what is open never goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dronectl.alerts.model import AlertRecord, Incident

MAX_UNRAISED: Final = 2000
MAX_SETTLED: Final = 500
MAX_ENDED: Final = 500


class Book:
    """Newest incidents and alerts by id."""

    def __init__(self) -> None:
        self._incidents: dict[str, Incident] = {}
        self._alerts: dict[str, AlertRecord] = {}
        self._open_by_incident: dict[str, str] = {}
        self._by_number: dict[tuple[str | None, int], str] = {}

    @property
    def incidents(self) -> Iterable[Incident]:
        return self._incidents.values()

    @property
    def alerts(self) -> Iterable[AlertRecord]:
        return self._alerts.values()

    def incident(self, incident_id: str) -> Incident | None:
        return self._incidents.get(incident_id)

    def alert(self, alert_id: str) -> AlertRecord | None:
        return self._alerts.get(alert_id)

    def of_number(self, mission_id: str | None, number: int) -> Incident | None:
        """The incident that the mission's merger knows by a number."""
        return self._incidents.get(self._by_number.get((mission_id, number), ""))

    def open_alert_of(self, incident_id: str) -> AlertRecord | None:
        """The alert of an incident that has not ended."""
        alert_id = self._open_by_incident.get(incident_id)
        return None if alert_id is None else self._alerts[alert_id]

    def open_alerts(self) -> Iterator[AlertRecord]:
        """All alerts that have not ended."""
        return (self._alerts[alert_id] for alert_id in self._open_by_incident.values())

    def keep_incident(self, incident: Incident) -> None:
        """Add or replace; the newest is last."""
        self._incidents.pop(incident.incident_id, None)
        self._incidents[incident.incident_id] = incident
        self._by_number[incident.mission_id, incident.number] = incident.incident_id
        if len(self._incidents) > MAX_UNRAISED + MAX_SETTLED + len(self._open_by_incident):
            self._trim_incidents()

    def keep_alert(self, alert: AlertRecord) -> None:
        """Add or replace; the newest is last."""
        self._alerts.pop(alert.alert_id, None)
        self._alerts[alert.alert_id] = alert
        if not alert.state.final:
            self._open_by_incident[alert.incident_id] = alert.alert_id
        elif self._open_by_incident.get(alert.incident_id) == alert.alert_id:
            del self._open_by_incident[alert.incident_id]
        surplus = len(self._alerts) - len(self._open_by_incident) - MAX_ENDED
        if surplus > 0:
            ended = [alert_id for alert_id, kept in self._alerts.items() if kept.state.final]
            for alert_id in ended[:surplus]:
                del self._alerts[alert_id]

    def _trim_incidents(self) -> None:
        unraised = [i.incident_id for i in self.incidents if not i.alert_ids]
        settled = [i.incident_id for i in self.incidents if i.alert_ids and i.incident_id not in self._open_by_incident]
        for incident_id in (
            *unraised[: max(0, len(unraised) - MAX_UNRAISED // 2)],
            *settled[: max(0, len(settled) - MAX_SETTLED)],
        ):
            gone = self._incidents.pop(incident_id)
            if self._by_number.get((gone.mission_id, gone.number)) == incident_id:
                del self._by_number[gone.mission_id, gone.number]
