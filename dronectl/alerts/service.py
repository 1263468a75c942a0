# SPDX-License-Identifier: AGPL-3.0-or-later
"""From sightings to alerts that the dispatch system has acknowledged.

    vision's Sighting -> incident (merged) -> what happens with it (event rules) -> rules -> alert record + outbox row, one transaction -> publisher -> MQTT
    MQTT acks and actions -> inbox (bounded) -> outbox rows closed / state machine -> alert record + outbox row

What changes an alert goes through the register (`register.py`), under its lock. A store that fails makes nothing lost:
the incident stays marked and is settled again with the next sighting or second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Final

from dronectl.alerts import incidents as things
from dronectl.alerts import outbox, records
from dronectl.alerts.answers import Answers
from dronectl.alerts.changes import change, escalated, is_due
from dronectl.alerts.compose import alert_message, incident_message
from dronectl.alerts.counters import AlertCounters
from dronectl.alerts.even_time import Deadlines, EvenTime, Settled
from dronectl.alerts.event_rules import decide_events
from dronectl.alerts.geometry import zones_at
from dronectl.alerts.happenings import Happenings, scene_facts, with_happening
from dronectl.alerts.ids import uuid7
from dronectl.alerts.model import AlertRecord, AlertSite, Decision, Facts, Incident, Note
from dronectl.alerts.register import Register
from dronectl.alerts.rules import decide
from dronectl.bus import messages
from dronectl.bus.client import Bus
from dronectl.bus.messages import AlertPhase, AlertState
from dronectl.clock import Clock, SystemClock
from dronectl.store import Store, StoreError
from vision.events import Event, EventPhase
from vision.sighting import Sighting

log = logging.getLogger(__name__)

_TICK_S: Final = 1.0
_RECENT: Final = 200


class AlertService:
    """The alerts of a site. `run()` until cancelled; `handle` may be called from the start."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        site: AlertSite,
        clock: Clock | None = None,
        backoff: outbox.Backoff | None = None,
        inbox_depth: int = 4000,
    ) -> None:
        self.site = site
        self.counters = AlertCounters()
        self.publisher = outbox.OutboxPublisher(store, bus, clock or SystemClock(), backoff)
        self._store = store
        self._bus = bus
        self._clock = clock or SystemClock()
        self._even = EvenTime(self._clock)
        self._deadlines = Deadlines(self._clock, self._even)
        self._settled = Settled(self._clock, self._even)
        self._register = Register(store, bus, site, self._clock, self._deadlines, self._settled, self.publisher)
        self._book = self._register.book
        self._lock = self._register.lock
        self.changes = self._register.changes
        self._mergers = things.Mergers()
        self._happenings = None if site.events is None else Happenings(site.events, site.timezone, self._even.behind_s)
        self._composed: dict[str, tuple[AlertRecord, messages.Alert]] = {}
        self._loaded = False
        self._unsettled: set[str] = set()
        self._store_troubled = False
        self._answers = Answers(self._register, self.counters, store, self._clock, inbox_depth)
        bus.listen(self._answers.offer)

    async def run(self) -> None:
        """Load what is open, then publish, take answers and watch deadlines until cancelled."""
        await self.load()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publisher.run(), name="outbox")
            group.create_task(self._answers.run(), name="alert-answers")
            group.create_task(self._watch(), name="alert-deadlines")

    async def load(self) -> None:
        """Read open alerts and incidents from the store, once; raises StoreError."""
        async with self._lock:
            if self._loaded:
                return
            async with self._store.reader() as session:
                found = await records.recent_incidents(session, self.site.site_id, _RECENT)
                recent = await records.recent_alerts(session, self.site.site_id, _RECENT)
                still_open = await records.open_alerts(session, self.site.site_id)
            found.sort(key=lambda incident: incident.incident_id)
            for incident in found:
                self._book.keep_incident(incident)
                self._settled.note(incident.incident_id, incident.settled_at)
                if incident.settled_at is not None:  # a service that was killed may not have said so
                    self._bus.remove_retained(self._bus.topics.incident(incident.incident_id))
            self._mergers.restore(found, self._even.now())
            if self._happenings is not None:
                self._happenings.restore(found, self._even.now().timestamp())
            for alert in (*reversed(recent), *still_open):
                self._book.keep_alert(alert)
            for alert in still_open:
                self._register.note_deadline(alert)
                incident_now = self._book.incident(alert.incident_id)
                if incident_now is not None:
                    self._register.show(incident_now)
            self._loaded = True

    def alerts(self) -> list[messages.Alert]:
        """Open alerts and the newest ended ones, newest first."""
        known = sorted(self._book.alerts, key=lambda alert: alert.alert_id, reverse=True)
        before, self._composed = self._composed, {}
        for alert in known:
            kept = before.get(alert.alert_id)
            message = kept[1] if kept and kept[0] is alert else alert_message(alert, self.site)
            self._composed[alert.alert_id] = (alert, message)
        return [message for _, message in self._composed.values()]

    def incidents(self) -> list[messages.Incident]:
        """Open incidents and the newest settled ones, newest first."""
        known = sorted(self._book.incidents, key=lambda incident: incident.incident_id, reverse=True)
        return [incident_message(incident, self.site) for incident in known]

    async def unacknowledged(self) -> int:
        """How many messages the dispatch system has not acknowledged."""
        async with self._store.reader() as session:
            return await outbox.count_open(session, self.site.site_id)

    async def handle(self, sighting: Sighting, mission_id: str | None = None) -> None:
        """Take one sighting. Returns when what follows from it is committed; a failing store is retried later."""
        await self.load()
        sighting = things.sound(sighting)
        async with self._lock:
            self.counters.sightings += 1
            now = self._clock.utc()
            merged = self._mergers.add(sighting, mission_id, self._even.now(), self._book.incidents)
            incident = self._book.of_number(mission_id, merged.number)
            observed = self._observed(sighting, now)
            if incident is None or self._forgotten(incident):
                incident = things.opened(merged, uuid7(now), mission_id, sighting, now, observed)
            else:
                self.counters.merged += len(merged.members) > incident.tracks
                incident = things.extended(incident, merged, sighting, now, observed)
            self._book.keep_incident(incident)
            touched = {incident.incident_id: None}
            if self._happenings is not None:
                events = self._happenings.see(incident, sighting, merged.last_s)
                touched |= dict.fromkeys(self._apply(events, now))
            for incident_id in touched:
                await self._settle(incident_id)

    async def looked(self, ring: tuple[tuple[float, float], ...]) -> None:
        """Say that a camera has just looked at this ground: (east, north) in the frame of the site's event rules."""
        if self._happenings is None:
            return
        async with self._lock:
            now = self._clock.utc()
            for incident_id in self._apply(self._happenings.visit(ring, self._even.now().timestamp()), now):
                await self._settle(incident_id)

    async def act(self, action: messages.Action, *, event_id: str, source: str, said_at: datetime) -> str | None:
        """Take an action from a person at the console, as from dispatch. Returns why it is refused, or None.

        Raises LookupError for an unknown alert, StoreError when it could not be kept (then nothing has happened).
        """
        await self.load()
        return await self._answers.act(action, event_id=event_id, source=source, said_at=said_at)

    def _apply(self, events: Iterable[Event], now: datetime) -> list[str]:
        """Put events into their incidents; returns which incidents have changed."""
        touched = []
        happenings = self._happenings
        if happenings is None:
            return []
        for event in events:
            self.counters.events += event.phase is EventPhase.NEW
            incident_id = happenings.incident_id(event)
            incident = None if incident_id is None else self._book.incident(incident_id)
            place = None
            if incident_id is None:
                incident = happenings.own_incident(
                    event, tuple(self._book.incidents), lambda i: not self._forgotten(i), uuid7(now), now
                )
                happenings.belongs(event, incident.incident_id)
            if incident is None:
                continue  # so old that it is only in the store: its event was told long ago
            if incident.number < 0:
                place = happenings.place(event, incident.place.amsl_m if incident.place is not None else 0.0)
            self._book.keep_incident(with_happening(incident, happenings.happening(event, now), place))
            touched.append(incident.incident_id)
        self.counters.event_looks_late = happenings.late
        return touched

    def _observed(self, sighting: Sighting, now: datetime) -> datetime:
        """UTC of the confirming exposure: the clocks meet here, at the edge."""
        if sighting.confirmed_exposure_monotonic_s is None:
            return now
        age_s = max(0.0, self._clock.monotonic_s() - sighting.confirmed_exposure_monotonic_s)
        return now - timedelta(seconds=age_s)

    def _forgotten(self, incident: Incident) -> bool:
        """Whether an incident is settled for so long that what is seen there is a new thing."""
        settled_at = incident.settled_at
        if settled_at is None:
            return False
        return self._settled.ago(incident.incident_id, settled_at) > self.site.policy.quiet_after_settled

    async def _settle(self, incident_id: str) -> None:
        """Bring the incident's alert to what the rules want now; a failing store leaves it for later."""
        try:
            waits = await self._settle_once(incident_id)
        except StoreError as error:
            self._unsettled.add(incident_id)
            self.counters.store_failures += 1
            if not self._store_troubled:
                log.error("alerts cannot be stored, trying on: %s", error)  # noqa: TRY400  # one line
            self._store_troubled = True
            return
        if not waits:
            self._unsettled.discard(incident_id)
        elif incident_id not in self._unsettled:
            self._unsettled.add(incident_id)
            self.counters.held_back += 1
        if self._store_troubled:
            log.info("alerts can be stored again")
            self._store_troubled = False

    async def _settle_once(self, incident_id: str) -> bool:
        """Write what has changed; returns whether a change waits for its turn."""
        incident = self._book.incident(incident_id)
        if incident is None:
            return False
        now, policy = self._clock.utc(), self.site.policy
        facts = _facts(incident)
        here = zones_at(self.site.zones, facts.place)
        decision = decide(self.site.rules, facts, here, now.astimezone(self.site.timezone))
        if self.site.events is not None:
            names = tuple(zone.name for zone in here)
            decision = decide_events(decision, incident.happenings, self.site.events.rules.version, names)
        alert = self._book.open_alert_of(incident_id)
        if alert is None:
            if decision is None:
                return False
            if incident.settled_level is not None and decision.level.rank <= incident.settled_level.rank:
                self.counters.quiet += 1
                return False
            await self._raise(incident, decision, now)
            return False
        found = change(alert, facts, decision, policy)
        if found is None:
            return False
        if not is_due(found, alert, now, policy):
            return True
        if decision is None or decision.level.rank < alert.decision.level.rank:
            decision = alert.decision
        changed = replace(
            alert,
            sequence=alert.sequence + 1,
            phase=AlertPhase.UPDATE,
            decision=decision,
            facts=facts,
            updated_at=now,
        )
        noted = replace(incident, timeline=things.add_note(incident.timeline, Note(now, found.what)))
        await self._register.commit(changed, noted)
        self.counters.updates += 1
        return False

    async def _raise(self, incident: Incident, decision: Decision, now: datetime) -> None:
        alert = AlertRecord(
            alert_id=uuid7(now),
            incident_id=incident.incident_id,
            mission_id=incident.mission_id,
            sequence=1,
            phase=AlertPhase.NEW,
            state=AlertState.NEW,
            decision=decision,
            facts=_facts(incident),
            observed_at=incident.observed_at,
            raised_at=now,
            updated_at=now,
            expires_at=now + self.site.policy.deadlines[decision.level],
        )
        await self._register.commit(
            alert, self._with_alert(incident, alert, f"{decision.level} alert: {decision.reason}", now)
        )
        self.counters.alerts += 1

    @staticmethod
    def _with_alert(incident: Incident, alert: AlertRecord, what: str, now: datetime) -> Incident:
        return replace(
            incident,
            alert_ids=(*incident.alert_ids, alert.alert_id),
            updated_at=now,
            settled_at=None,
            settled_level=None,
            timeline=things.add_note(incident.timeline, Note(now, what)),
        )

    async def _watch(self) -> None:
        """Each second: what waited for its turn or for the store, and alerts past their deadline."""
        while True:
            await asyncio.sleep(_TICK_S)
            for incident_id in tuple(self._unsettled):
                async with self._lock:
                    await self._settle(incident_id)
                if self._store_troubled:
                    break  # each try may wait for a lock
            if self._happenings is not None:
                async with self._lock:
                    events = self._happenings.advance(self._even.now().timestamp())
                    for incident_id in self._apply(events, self._clock.utc()):
                        await self._settle(incident_id)
            for alert_id in self._deadlines.overdue():
                async with self._lock:
                    try:
                        await self._expire(alert_id)
                    except StoreError:
                        self.counters.store_failures += 1  # said already, or will be; the next second tries again

    async def _expire(self, alert_id: str) -> None:
        """End an alert that nobody acknowledged, and raise it again, one level higher."""
        alert = self._book.alert(alert_id)
        now = self._clock.utc()
        if alert is None or alert.state.final or alert.expires_at is None:
            self._deadlines.note(alert_id, None, timedelta())
            return
        ended, again = escalated(alert, now, self.site.policy)
        incident = self._book.incident(alert.incident_id)
        what = f"nobody acknowledged: raised again as {again.decision.level}"
        noted = None if incident is None else self._with_alert(incident, again, what, now)
        await self._register.commit(ended, noted, again)
        self.counters.expired += 1

    def unwanted(self) -> int:
        """Messages on the bus that are no answer to an alert of ours, or for which there was no room."""
        own, bus = self.counters, self._bus.counters
        return own.garbage + own.unknown_alert + own.inbox_full + bus.oversized + bus.unknown_topic

    def counted(self) -> Mapping[str, int]:
        """What went through, and what was thrown away and why: alerts, outbox and bus, for metrics."""
        own = {f"alerts_{field.name}": getattr(self.counters, field.name) for field in fields(self.counters)}
        bus = {f"bus_{field.name}": getattr(self._bus.counters, field.name) for field in fields(self._bus.counters)}
        outbox_ = {"outbox_sent": self.publisher.sent, "outbox_sent_again": self.publisher.sent_again}
        return own | bus | outbox_


def _facts(incident: Incident) -> Facts:
    return things.facts(incident) if incident.members else scene_facts(incident)
