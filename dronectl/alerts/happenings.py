# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happens: incidents over time, judged by the site's event rules (vision.events), become part of incidents.

A rule about one thing adds to that thing's incident, so that one person who lies in a closed area is one alert. A rule
about several things (a crowd) or about a duty (a recheck) has an incident of its own. The rules know incidents by
their ids: tracks break, cameras change and vehicles meet, and nothing of that makes one thing two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Final

from dronectl.alerts.geometry import point_of
from dronectl.alerts.incidents import MAX_EVIDENCE
from dronectl.alerts.model import EventSite, Facts, Happening, Incident, Note
from missions.geo import GeoPoint, distance_m
from vision.events import Event, EventPhase, EventWatch, RuleName, Visit
from vision.events.sightings import state_of
from vision.merge import Member
from vision.sighting import Evidence, GroundEllipse, Kind, Phase, Sighting

_OWN_INCIDENT: Final = {RuleName.CROWD: Kind.CROWD, RuleName.RECHECK: Kind.HAZARD}
_SAME_SCENE_M: Final = 25.0
_KEPT_EVENTS: Final = 4000
_LONG_PAST_S: Final = 86400.0  # what should have been looked at again so long ago is not asked for now


class Happenings:
    """The event rules over one site's incidents. Not thread-safe; no clock of its own."""

    def __init__(self, site: EventSite, timezone: tzinfo, behind_s: Callable[[], float] = lambda: 0.0) -> None:
        """`behind_s` says by how much the time that is told here is behind UTC: rules with hours mean the wall clock."""
        self._site = site
        self._names = {area.area_id: area.name for area in site.areas}

        def hour_of(time_s: float) -> float:
            local = datetime.fromtimestamp(time_s + behind_s(), timezone)
            return local.hour + local.minute / 60.0 + local.second / 3600.0

        self._watch = EventWatch(site.rules, site.areas, hour_of)
        self._incident_of: dict[str, str] = {}
        self._newest_s = -math.inf  # a vehicle's clock may run ahead of ours

    @property
    def late(self) -> int:
        """Looks that came too late to be judged."""
        return self._watch.late

    def restore(self, incidents: Iterable[Incident], now_s: float) -> None:
        """Take up hazards of an earlier run whose rechecks are still to come, or have been told and not been answered."""
        rule = self._site.rules.recheck
        if rule is None:
            return
        known = list(incidents)
        told = [
            (incident.place, happening.since.timestamp())
            for incident in known
            for happening in incident.happenings
            if happening.rule is RuleName.RECHECK and (happening.ended or incident.settled_at is not None)
        ]
        states = []
        for incident in known:
            if not incident.members or incident.place is None or incident.kind not in rule.kinds:
                continue
            last_s = max(m.at_s for m in incident.members)
            done = any(since_s > last_s and _near(place, incident.place) for place, since_s in told)
            if done or now_s - last_s > rule.after_s + _LONG_PAST_S:
                continue
            hottest = max(
                (c for m in incident.members if (c := m.sighting.temperature_max_c) is not None), default=None
            )
            newest = replace(
                max(incident.members, key=lambda m: m.at_s).sighting,
                phase=Phase.UPDATE, kind=incident.kind, place=incident.place, temperature_max_c=hottest,
            )  # fmt: skip
            state = state_of(newest, incident.incident_id, last_s, self._site.frame)
            if state is not None:
                states.append(state)
        self._watch.restore(states)

    def see(self, incident: Incident, sighting: Sighting, at_s: float) -> list[Event]:
        """One look at the thing of an incident; `at_s` is the merger's time."""
        state = state_of(sighting, incident.incident_id, at_s, self._site.frame, sighting.depression_deg)
        if state is None:
            return []
        if state.kind is not incident.kind:  # one camera's word; all cameras together say something else
            state = replace(state, kind=incident.kind, confidence=min(1.0, max(0.0, incident.confidence)), long_m=None)
        self._newest_s = max(self._newest_s, at_s)
        return self._watch.add(state)

    def visit(self, ring: tuple[tuple[float, float], ...], at_s: float) -> list[Event]:
        """Ground (east, north in the site's frame) that a camera looked at."""
        return self._watch.add(Visit(max(at_s, self._newest_s), ring))

    def advance(self, now_s: float) -> list[Event]:
        """Time passes, by the merger's clock."""
        return self._watch.advance(now_s)

    def incident_id(self, event: Event) -> str | None:
        """The incident of an event about one thing; None while an event about more has none yet."""
        known = self._incident_of.get(event.event_id)
        if known is None and event.rule not in _OWN_INCIDENT:
            known = event.tracks[-1]
            self.belongs(event, known)
        return known

    def belongs(self, event: Event, incident_id: str) -> None:
        """From now on this event is about that incident."""
        self._incident_of[event.event_id] = incident_id
        while len(self._incident_of) > _KEPT_EVENTS:
            del self._incident_of[next(iter(self._incident_of))]

    def happening(self, event: Event, now: datetime) -> Happening:
        """The event as an incident carries it. Its times are told on the caller's clock."""
        return Happening(
            rule=event.rule,
            area_id=event.area_id,
            area=None if event.area_id is None else self._names.get(event.area_id) or event.area_id,
            level=self._site.levels[event.rule],
            since=now - timedelta(seconds=max(0.0, event.at_s - event.since_s)),
            at=now,
            confidence=event.confidence,
            facts=event.facts,
            ended=event.phase is EventPhase.END,
        )

    def place(self, event: Event, amsl_m: float) -> GroundEllipse:
        """Where an event is, as a circle of doubt."""
        point = self._site.frame.to_geo(event.east_m, event.north_m)
        cov = event.doubt_m**2
        return GroundEllipse(point.latitude_deg, point.longitude_deg, amsl_m, cov, 0.0, cov, cov, 0.0, cov)

    def own_incident(
        self,
        event: Event,
        incidents: Iterable[Incident],
        usable: Callable[[Incident], bool],
        new_id: str,
        now: datetime,
    ) -> Incident:
        """The incident of a crowd or a recheck: one that is open there already, also from an earlier run, or a new one."""
        kind = _OWN_INCIDENT[event.rule]
        known = list(incidents)
        about = self._about(event, known)
        place = self.place(event, next((i.place.amsl_m for i in about if i.place is not None), 0.0))
        for incident in known:
            same = any(h.key == (event.rule, event.area_id) for h in incident.happenings)
            of_rules = incident.number < 0 and incident.kind is kind and same
            if of_rules and usable(incident) and _near(incident.place, place):
                return incident
        evidence = {item.sha256: item for incident in about for item in _pictures(incident)}
        return Incident(
            incident_id=new_id,
            mission_id=about[0].mission_id if about else None,
            number=min(0, *(i.number for i in known)) - 1 if known else -1,
            kind=kind,
            confidence=event.confidence,
            place=place,
            members=(),
            tracks=1,
            opened_at=now,
            updated_at=now,
            observed_at=now,
            timeline=(Note(now, f"by the rule {event.rule.value}"),),
            evidence=tuple(evidence.values())[:MAX_EVIDENCE],
        )

    def _about(self, event: Event, incidents: Iterable[Incident]) -> list[Incident]:
        """The things that an event is about: the hazard itself; of a crowd the people within it."""
        named = set(event.tracks)
        reach = _SAME_SCENE_M if event.rule is RuleName.CROWD else 0.0
        found = []
        for incident in incidents:
            near = False
            if reach and incident.kind is Kind.PERSON and incident.place is not None:
                east, north = self._site.frame.to_enu(
                    GeoPoint(incident.place.latitude_deg, incident.place.longitude_deg)
                )
                near = math.hypot(east - event.east_m, north - event.north_m) <= reach
            if incident.incident_id in named or near:
                found.append(incident)
        return sorted(found, key=lambda i: i.updated_at, reverse=True)


def with_happening(incident: Incident, happening: Happening, place: GroundEllipse | None = None) -> Incident:
    """The incident with news of an event: what the same rule said of it before is replaced."""
    others = tuple(h for h in incident.happenings if h.key != happening.key)
    before = next((h for h in incident.happenings if h.key == happening.key), None)
    if happening.ended and before is not None:  # why it was raised stays; that it is over is added
        happening = replace(before, at=happening.at, ended=True)
    changed = replace(incident, happenings=(*others, happening), updated_at=happening.at)
    if incident.number >= 0:
        return changed
    return replace(changed, confidence=happening.confidence, place=place or incident.place)


def scene_facts(incident: Incident) -> Facts:
    """What an alert tells of an incident that is no single thing."""
    seen = [h for h in incident.happenings if not h.ended] or list(incident.happenings)
    return Facts(
        kind=incident.kind,
        place=incident.place,
        evidence=incident.evidence,
        confidence=min(1.0, max(0.0, incident.confidence)),
        looks=0,
        chances=0,
        tracks=max(1, incident.tracks),
        confirmed_by="; ".join(h.rule.value for h in seen) or "an event rule",
        detectors=(),
        modalities=(),
        cameras=(),
        vehicles=(),
        temperature_max_c=None,
        size_m=None,
        speed_m_s=None,
        happenings=incident.happenings,
    )


def _near(a: GroundEllipse | None, b: GroundEllipse) -> bool:
    return a is not None and distance_m(point_of(a), point_of(b)) <= _SAME_SCENE_M


def _pictures(incident: Incident) -> Iterable[Evidence]:
    members: tuple[Member, ...] = incident.members
    return (item for member in reversed(members) for item in member.sighting.evidence)
