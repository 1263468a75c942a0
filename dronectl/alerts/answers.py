# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the dispatch system answers: acks close the outbox, actions move the alert. Each counts once.

MQTT hands payloads to `offer`, which never blocks: a bounded inbox, and what does not fit is counted and dropped,
because an ack that is lost is asked for again, and an action that is not confirmed by an update is sent again. Many
acks are closed in one transaction. Garbage and unknown alerts are counted, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dronectl.alerts import incidents as things
from dronectl.alerts import outbox, records
from dronectl.alerts.actions import Refusal, apply
from dronectl.alerts.counters import AlertCounters
from dronectl.alerts.model import AlertRecord, Incident, Note, Said
from dronectl.alerts.register import Register
from dronectl.bus.envelope import CloudEvent, decode
from dronectl.bus.messages import Ack, Action, AlertPhase
from dronectl.clock import Clock
from dronectl.store import Store, StoreError, audit
from dronectl.store.models import AlertActionRow, AlertRow

log = logging.getLogger(__name__)

_BATCH: Final = 200
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Answer:
    source: str
    event_id: str
    said_at: datetime
    data: Ack | Action


class Answers:
    """The inbox of one alert service."""

    def __init__(self, register: Register, counters: AlertCounters, store: Store, clock: Clock, depth: int) -> None:
        self._register = register
        self._counters = counters
        self._store = store
        self._clock = clock
        self._inbox: asyncio.Queue[_Answer] = asyncio.Queue(depth)

    def offer(self, alert_id: str, what: str, payload: bytes) -> None:
        """Take a payload from MQTT; what is not an answer to this alert is counted and dropped."""
        counters = self._counters
        if what not in {"ack", "action"}:
            counters.garbage += 1
            return
        try:
            event: CloudEvent[Ack | Action] = decode(what, payload)
        except ValueError:
            counters.garbage += 1
            return
        if event.data.alert_id != alert_id:
            counters.garbage += 1
            return
        try:
            self._inbox.put_nowait(_Answer(event.source, event.id, event.time, event.data))
        except asyncio.QueueFull:
            counters.inbox_full += 1

    async def run(self) -> None:
        """Work through the inbox in order, for ever; a failing store is waited out."""
        while True:
            batch = [await self._inbox.get()]
            while len(batch) < _BATCH and not self._inbox.empty():
                batch.append(self._inbox.get_nowait())
            troubled = False
            while True:
                try:
                    await self._take(batch)
                    break
                except StoreError as error:
                    self._counters.store_failures += 1
                    if not troubled:
                        log.warning("answers of the dispatch system cannot be stored, trying on: %s", error)
                    troubled = True
                    await asyncio.sleep(_RETRY_S)

    async def _take(self, batch: list[_Answer]) -> None:
        """Acks together, actions one by one; done ones leave the batch, so that a retry repeats nothing."""
        while batch:
            acks = 0
            while acks < len(batch) and isinstance(batch[acks].data, Ack):
                acks += 1
            if acks:
                await self._close(batch[:acks])
                del batch[:acks]
                continue
            answer = batch[0]
            if isinstance(answer.data, Action):
                try:
                    await self.act(answer.data, event_id=answer.event_id, source=answer.source, said_at=answer.said_at)
                except LookupError:
                    self._counters.unknown_alert += 1
            del batch[0]

    async def _close(self, answers: list[_Answer]) -> None:
        counters = self._counters
        acks = repeated = unknown = 0
        async with self._register.lock:
            heard: dict[str, AlertRecord] = {}
            async with self._store.session() as session:
                for answer in answers:
                    ack = answer.data
                    if ack.sequence is None:
                        continue
                    alert = heard.get(ack.alert_id) or await self._find(session, ack.alert_id)
                    newest = alert.sequence if alert is not None else await self._stored(session, ack.alert_id)
                    if newest is None or ack.sequence > newest:
                        unknown += 1
                        continue
                    closed = await self._close_one(session, ack.alert_id, ack.sequence, answer.event_id)
                    acks += closed > 0
                    repeated += closed == 0
                    if alert is not None and alert.expires_at is not None:
                        heard[alert.alert_id] = replace(alert, expires_at=None)
                for alert in heard.values():
                    await records.save(session, self._store.site_id, alert, None)
            for alert in heard.values():
                self._register.book.keep_alert(alert)
        if acks:
            self._register.publisher.answered()
        counters.acks += acks
        counters.acks_repeated += repeated
        counters.unknown_alert += unknown

    async def _stored(self, session: AsyncSession, alert_id: str) -> int | None:
        """The newest message of an alert that another release wrote: unreadable, but sent until it is answered."""
        row = await session.get(AlertRow, (self._store.site_id, alert_id))
        return None if row is None else row.sequence

    async def _close_one(self, session: AsyncSession, alert_id: str, sequence: int, by: str) -> int:
        return await outbox.close(session, self._store.site_id, alert_id, sequence, by=by, now=self._clock.utc())

    async def _find(self, session: AsyncSession, alert_id: str) -> AlertRecord | None:
        known = self._register.book.alert(alert_id)
        return known or await records.read_alert(session, self._store.site_id, alert_id)

    async def act(self, action: Action, *, event_id: str, source: str, said_at: datetime) -> str | None:
        """Take one action, once per (source, event id). Returns why it is refused, or None; LookupError: no alert."""
        counters = self._counters
        site_id = self._store.site_id
        async with self._register.lock:
            now = self._clock.utc()
            async with self._store.session() as session:
                before = await session.execute(
                    select(AlertActionRow.refused).where(
                        AlertActionRow.site_id == site_id,
                        AlertActionRow.source == source,
                        AlertActionRow.event_id == event_id,
                    )
                )
                row = before.one_or_none()
                if row is not None:
                    counters.actions_repeated += 1
                    refused: str | None = row.refused
                    return refused
                alert = await self._find(session, action.alert_id)
                if alert is None:
                    raise LookupError(f"there is no alert {action.alert_id}")
                if action.sequence is not None and action.sequence > alert.sequence:
                    raise LookupError(f"alert {action.alert_id} has no message {action.sequence} yet")
                result = apply(alert, action)
                refusal = result.reason if isinstance(result, Refusal) else None
                await self._record(session, action, event_id, source, said_at, now, refusal)
                if action.sequence is not None:
                    await self._close_one(session, alert.alert_id, action.sequence, event_id)
                changed: AlertRecord | None = None
                incident: Incident | None = None
                if not alert.state.final:
                    after = alert if isinstance(result, Refusal) else result
                    changed = _answered(after, action, event_id, refusal, now)
                    incident = await self._incident(session, changed, action, refusal, now)
                    await self._register.write(session, changed, incident)
            if changed is not None:
                self._register.published(incident, changed)
            counters.actions += refusal is None
            counters.actions_refused += refusal is not None
            return refusal

    async def _record(
        self,
        session: AsyncSession,
        action: Action,
        event_id: str,
        source: str,
        said_at: datetime,
        now: datetime,
        refusal: str | None,
    ) -> None:
        site_id = self._store.site_id
        payload = action.model_dump(mode="json")
        session.add(
            AlertActionRow(
                site_id=site_id,
                source=source,
                event_id=event_id,
                alert_id=action.alert_id,
                sequence=action.sequence,
                action=str(action.action),
                actor=action.by,
                said_at=said_at,
                received_at=now,
                refused=refusal,
                payload=payload,
            )
        )
        await audit.record(
            session,
            site_id,
            at=now,
            actor=action.by,
            action=f"alert.{action.action}",
            subject=action.alert_id,
            detail={"event_id": event_id, "source": source, "refused": refusal, "payload": payload},
        )

    async def _incident(
        self, session: AsyncSession, alert: AlertRecord, action: Action, refusal: str | None, now: datetime
    ) -> Incident | None:
        incident = self._register.book.incident(alert.incident_id)
        if incident is None:
            incident = await records.read_incident(session, self._store.site_id, alert.incident_id)
        if incident is None:
            return None
        what = f"{action.action.replace('_', ' ')} by {action.by}"
        for detail in (action.to, action.responder_id, action.outcome, action.note):
            what += f": {detail}" if detail else ""
        if refusal is not None:
            what += f" (refused: {refusal})"
        return replace(
            incident,
            updated_at=now,
            responder_id=alert.responder_id,
            settled_at=now if alert.state.final else None,
            settled_level=alert.decision.level if alert.state.final else None,
            timeline=things.add_note(incident.timeline, Note(now, what)),
        )


def _answered(alert: AlertRecord, action: Action, event_id: str, refusal: str | None, now: datetime) -> AlertRecord:
    """The alert's next message after an action: taken or refused, its sender reads it there."""
    return replace(
        alert,
        sequence=alert.sequence + 1,
        phase=AlertPhase.END if alert.state.final else AlertPhase.UPDATE,
        updated_at=now,
        expires_at=None,
        last_action=Said(event_id, action.action, action.by, now, action.note, refusal),
    )
