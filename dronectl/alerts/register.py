# SPDX-License-Identifier: AGPL-3.0-or-later
"""The register of a site's alerts and incidents: what changes is written, remembered and told here, in this order.

An alert's record and its outbox row are written in one transaction (ADR 3). Everything that changes an alert runs under
one lock and is remembered in memory only after it is committed.
"""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from dronectl.alerts import outbox, records
from dronectl.alerts.book import Book
from dronectl.alerts.compose import alert_message, incident_message
from dronectl.alerts.even_time import Deadlines, Settled
from dronectl.alerts.ids import uuid7
from dronectl.alerts.model import AlertRecord, AlertSite, Incident
from dronectl.bus import messages
from dronectl.bus.client import Bus
from dronectl.bus.envelope import encode
from dronectl.clock import Clock
from dronectl.store import Store
from dronectl.streams import Hub


class Register:
    """What is known of alerts and incidents, in memory and in the store. Its `lock` is held by whoever changes one."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        site: AlertSite,
        clock: Clock,
        deadlines: Deadlines,
        settled: Settled,
        publisher: outbox.OutboxPublisher,
    ) -> None:
        self.book = Book()
        self.lock = asyncio.Lock()
        self.changes: Hub[messages.Alert] = Hub()
        self.publisher = publisher
        self._store = store
        self._bus = bus
        self._site = site
        self._clock = clock
        self._deadlines = deadlines
        self._settled = settled

    async def commit(self, alert: AlertRecord, incident: Incident | None, *more: AlertRecord) -> None:
        """Write alerts, their incident and their messages in a transaction of their own, then make them known."""
        async with self._store.session() as session:
            await self.write(session, alert, incident, *more)
        self.published(incident, alert, *more)

    async def write(
        self, session: AsyncSession, alert: AlertRecord, incident: Incident | None, *more: AlertRecord
    ) -> None:
        """Write alerts, their incident and one outbox row each within the caller's transaction."""
        for record in (alert, *more):
            await records.save(session, self._site.site_id, record, incident)
            message_id = uuid7(record.updated_at)
            payload = encode(
                "alert",
                alert_message(record, self._site),
                event_id=message_id,
                source=self._bus.source,
                time=record.updated_at,
                subject=record.alert_id,
                sequence=record.sequence,
            )
            session.add(
                outbox.row(
                    self._site.site_id,
                    message_id=message_id,
                    alert_id=record.alert_id,
                    sequence=record.sequence,
                    topic=self._bus.topics.alert(record.alert_id),
                    payload=payload,
                    now=self._clock.utc(),
                )
            )

    def published(self, incident: Incident | None, *alerts: AlertRecord) -> None:
        """After the commit: remember, tell the WebSocket and MQTT, wake the publisher."""
        if incident is not None:
            self.book.keep_incident(incident)
            self._settled.note(incident.incident_id, incident.settled_at)
        for alert in alerts:
            self.book.keep_alert(alert)
            self.note_deadline(alert)
            self.changes.publish(alert_message(alert, self._site))
        if incident is not None:
            self.show(incident)
        self.publisher.wake()

    def note_deadline(self, alert: AlertRecord) -> None:
        """Watch when an alert expires, unless somebody answers."""
        self._deadlines.note(alert.alert_id, alert.expires_at, self._site.policy.deadlines[alert.decision.level])

    def show(self, incident: Incident) -> None:
        """Retain an incident on the bus; one that is settled is shown a last time."""
        topic = self._bus.topics.incident(incident.incident_id)
        message = incident_message(incident, self._site)
        last = incident.settled_at is not None
        self._bus.publish_retained(topic, "incident", incident.incident_id, message, last=last)
