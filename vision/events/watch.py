# SPDX-License-Identifier: AGPL-3.0-or-later
"""The stream of track states becomes events: put in order, judged, and told once per thing.

States wait until one a second newer has come, and are then taken in the order of their times: drones and cameras send
over different ways, and who was faster must not decide. What comes later than that is counted and left out.
No clock and no I/O: time passes only with what is added, or by `advance`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from vision.events.history import History
from vision.events.model import Area, Event, EventPhase, Fact, Point, RuleName, TrackState, Visit
from vision.events.rules import Finding, HourOf, Site, judge
from vision.events.scene import AreaCrowds, Crowds, Full, Gathering, Hazards, Rechecked
from vision.events.settings import Crowd, EventRules
from vision.sighting import Kind

ORDER_S: Final = 1.0
_PERSON_NEAR_S: Final = 10.0  # somebody seen so recently is still about
_FORGET_S: Final = 900.0
_MAX_TRACKS: Final = 4000
_DEFAULT_GAP_S: Final = 25.0
# how fast a thing may have gone on while no track held it, and for how long that is thought of
_SPEED_M_S: Final = {RuleName.CLOSED_AREA: 1.5, RuleName.LOITERING: 1.5, RuleName.ANIMAL_ON_ROAD: 3.0}
_GONE_ON_S: Final = 15.0


@dataclass(slots=True)
class _Record:
    """An event as it stands."""

    event_id: str
    rule: RuleName
    area_id: str | None
    since_s: float
    tracks: list[str]
    place: Point
    doubt_m: float
    confidence: float
    facts: tuple[Fact, ...]
    held_s: float
    seen_s: float
    told_s: float
    clear_s: float
    sequence: int = 0
    ended_s: float | None = None

    def tell(self, phase: EventPhase, at_s: float, facts: tuple[Fact, ...] | None = None) -> Event:
        self.sequence += 1
        self.told_s = at_s
        return Event(
            self.event_id, self.sequence, phase, self.rule, self.area_id, self.since_s, at_s, *self.place, self.doubt_m,
            self.confidence, self.facts if facts is None else facts, tuple(self.tracks),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a finding is about, now."""

    track_id: str
    first_s: float
    first_place: Point
    at_s: float
    place: Point
    doubt_m: float
    same_m: float
    clear_s: float


@dataclass(order=True, slots=True)
class _Waiting:
    key: tuple[float, int, str, tuple[float, ...]]
    item: TrackState | Visit = field(compare=False)


class EventWatch:
    """The rules over one site's stream. Not thread-safe.

    hour_of gives the site's local hour (0 to 24, with its fraction) of a time on the stream's clock; rules with hours need it.
    """

    def __init__(self, rules: EventRules, areas: Iterable[Area] = (), hour_of: HourOf | None = None) -> None:
        self.rules = rules
        self.late = 0  # came more than a second after what was newer
        self.dropped_tracks = 0
        self._site = Site(tuple(sorted(areas, key=lambda a: a.area_id)), hour_of)
        self._gap_s = _DEFAULT_GAP_S if rules.loitering is None else rules.loitering.gap_s
        self._waiting: list[_Waiting] = []
        self._done_s = -math.inf
        self._ticked_s = -math.inf
        self._histories: dict[str, History] = {}
        self._records: list[_Record] = []
        self._next = 1
        self._crowds = None if rules.crowd is None else Crowds(rules.crowd)
        self._full = None if rules.crowd is None else AreaCrowds(rules.crowd, self._site.areas)
        self._hazards = None if rules.recheck is None else Hazards(rules.recheck, rules.same_m)

    def add(self, item: TrackState | Visit) -> list[Event]:
        """Take a state or a visit; what has happened up to a second before the newest comes out."""
        if item.time_s < self._done_s:
            self.late += 1
            return []
        if isinstance(item, TrackState):
            rest: tuple[float, ...] = (item.east_m, item.north_m, item.sigma_m, item.common_sigma_m, item.confidence)
            key = (item.time_s, 0, f"{item.track_id}\0{item.kind.value}", rest)
        else:
            rest = tuple(v for point in item.ring for v in point)
            key = (item.time_s, 1, "", rest)
        heapq.heappush(self._waiting, _Waiting(key, item))
        return self._until(item.time_s - ORDER_S)

    def restore(self, states: Iterable[TrackState]) -> None:
        """Take up what an earlier run saw, by its newest look: hazards must be looked at again all the same."""
        for state in sorted(states, key=lambda s: (s.time_s, s.track_id)):
            if self._hazards is not None:
                self._hazards.restore(state)

    def advance(self, now_s: float) -> list[Event]:
        """Let time pass without anything new: what is overdue ends."""
        events = self._until(now_s - ORDER_S)
        return events + self._tick(math.floor(now_s - ORDER_S))

    def finish(self) -> list[Event]:
        """Take what still waits, and end all events."""
        events = self._until(math.inf)
        for record in self._records:
            if record.ended_s is None:
                record.ended_s = record.held_s
                events.append(record.tell(EventPhase.END, record.held_s, (Fact("the watch ended", 1.0),)))
        return events

    def _until(self, horizon_s: float) -> list[Event]:
        events: list[Event] = []
        while self._waiting and self._waiting[0].item.time_s < horizon_s:
            item = heapq.heappop(self._waiting).item
            events += self._tick(math.floor(item.time_s))
            events += self._state(item) if isinstance(item, TrackState) else self._visit(item)
        self._done_s = max(self._done_s, horizon_s)
        return events

    def _state(self, state: TrackState) -> list[Event]:
        history = self._histories.get(state.track_id)
        if history is None:
            history = self._histories[state.track_id] = History(state.time_s)
        elif state.time_s <= history.last.time_s:
            return []  # the same look told twice
        rules = self.rules
        history.see(state, self._site.areas, rules.enter, rules.leave, self._gap_s)
        self._alone(history, state)
        first = history.states[0]
        subject = _Subject(
            state.track_id,
            history.first_s,
            first.place,
            state.time_s,
            state.place,
            state.doubt_m,
            rules.same_m,
            state.silent_s(rules.clear_s),
        )
        events: list[Event] = []
        for record in self._records:
            if record.tracks[-1] == state.track_id:
                record.seen_s = state.time_s
        for finding in judge(history, rules, self._site):
            events += self._found(finding, subject)
        if self._hazards is not None:
            events += [e for news in self._hazards.see(state) for e in self._recheck(news)]
        return events

    def _alone(self, history: History, state: TrackState) -> None:
        rule = self.rules.unattended_heat
        if rule is None or state.kind not in rule.kinds:
            return
        for other in self._histories.values():
            person = other.last
            if person.kind is not Kind.PERSON or state.time_s - person.time_s > person.present_s(_PERSON_NEAR_S):
                continue
            reach = rule.near_m + 2.0 * math.hypot(person.doubt_m, state.doubt_m)
            if math.dist(person.place, state.place) <= reach:
                history.alone_since_s = None
                return
        if history.alone_since_s is None:
            history.alone_since_s = state.time_s

    def _found(self, finding: Finding, subject: _Subject) -> list[Event]:
        record = self._record(finding, subject)
        if record is None:
            if not finding.begins:
                return []
            record = _Record(
                f"{finding.rule.value}-{self._next}", finding.rule, finding.area_id, finding.since_s, [subject.track_id],
                subject.place, subject.doubt_m, finding.confidence, finding.facts, subject.at_s, subject.at_s,
                subject.at_s, subject.clear_s,
            )  # fmt: skip
            self._next += 1
            self._records.append(record)
            return [record.tell(EventPhase.NEW, subject.at_s)]
        again = record.ended_s is not None
        if again and not finding.begins:
            return []
        record.ended_s = None
        if record.tracks[-1] != subject.track_id:
            record.tracks = [t for t in record.tracks if t != subject.track_id] + [subject.track_id]
        record.place, record.doubt_m = subject.place, subject.doubt_m
        record.confidence, record.facts = finding.confidence, finding.facts
        record.held_s = record.seen_s = subject.at_s
        record.clear_s = subject.clear_s
        if again or subject.at_s - record.told_s >= self.rules.update_s:
            return [record.tell(EventPhase.UPDATE, subject.at_s)]
        return []

    def _record(self, finding: Finding, subject: _Subject) -> _Record | None:
        """The event that a finding belongs to: of the same track, else of one that ended where this one began."""
        fits = [
            r
            for r in self._records
            if (r.rule, r.area_id) == (finding.rule, finding.area_id)
            and (r.ended_s is None or subject.at_s - r.ended_s <= self.rules.quiet_s)
        ]
        own = [r for r in fits if subject.track_id in r.tracks]
        if own:
            return own[-1]
        near = []
        for record in fits:
            gap = subject.first_s - record.seen_s
            if gap <= 0.0:
                continue  # both were seen at one time: two things
            gone_on = _SPEED_M_S.get(finding.rule, 0.0) * min(gap, _GONE_ON_S)
            reach = subject.same_m + 2.0 * math.hypot(record.doubt_m, subject.doubt_m) + gone_on
            distance = math.dist(record.place, subject.first_place)
            if distance <= reach:
                near.append((distance, record.event_id, record))
        return min(near, key=lambda item: item[:2])[2] if near else None

    def _visit(self, visit: Visit) -> list[Event]:
        if self._hazards is None:
            return []
        return [e for news in self._hazards.visit(visit) for e in self._recheck(news)]

    def _recheck(self, news: Rechecked) -> list[Event]:
        hazard = news.hazard
        name = f"hazard {hazard.number}"
        known = next((r for r in self._records if r.tracks[0] == name and r.ended_s is None), None)
        if news.due:
            record = _Record(
                f"{RuleName.RECHECK.value}-{self._next}", RuleName.RECHECK, None, hazard.due_s, [name, hazard.track_id],
                hazard.place, hazard.doubt_m, hazard.confidence, news.facts, news.at_s, news.at_s, news.at_s,
                self.rules.clear_s,
            )  # fmt: skip
            self._next += 1
            self._records.append(record)
            return [record.tell(EventPhase.NEW, news.at_s)]
        if known is None:
            return []
        known.ended_s = news.at_s
        return [known.tell(EventPhase.END, news.at_s, news.facts)]

    def _tick(self, time_s: float) -> list[Event]:
        """Once a second of the stream: crowds, rechecks that come due, and events whose condition has gone."""
        if time_s <= self._ticked_s:
            return []
        self._ticked_s = time_s
        events: list[Event] = []
        if self._crowds is not None:
            rule = self._crowds.rule
            people = [h.last for _, h in sorted(self._histories.items()) if h.last.kind is Kind.PERSON]
            present = [p for p in people if time_s - p.time_s <= p.present_s(rule.present_s)]
            for gathering in self._crowds.tick(time_s, present):
                events += self._crowd(gathering, time_s)
            if self._full is not None:
                for full in self._full.tick(time_s, present):
                    events += self._crowded_area(full, rule)
        if self._hazards is not None:
            events += [e for news in self._hazards.tick(time_s) for e in self._recheck(news)]
        for record in self._records:
            waiting = record.ended_s is None and record.rule is not RuleName.RECHECK
            if waiting and time_s - record.held_s > record.clear_s:
                record.ended_s = record.held_s + record.clear_s
                why = "not seen for" if record.seen_s <= record.held_s else "does not hold for"
                facts = (Fact(why, time_s - record.held_s, record.clear_s, "s"),)
                events.append(record.tell(EventPhase.END, time_s, facts))
        self._forget(time_s)
        return events

    def _crowd(self, gathering: Gathering, time_s: float) -> list[Event]:
        assert self._crowds is not None  # noqa: S101  # it made the gathering
        rule = self._crowds.rule
        finding = Finding(
            RuleName.CROWD, None, True, gathering.dense_since_s or time_s, gathering.confidence, gathering.facts(rule)
        )
        subject = _Subject(
            f"gathering {gathering.number}", gathering.since_s, gathering.place, time_s, gathering.place,
            gathering.doubt_m, 2.0 * rule.radius_m, self.rules.clear_s,
        )  # fmt: skip
        return self._found(finding, subject)

    def _crowded_area(self, full: Full, rule: Crowd) -> list[Event]:
        if not self._site.open_at(full.area, None, full.at_s):
            return []
        name = f"area {full.area.area_id}"
        finding = Finding(RuleName.CROWD, full.area.area_id, True, full.since_s, full.confidence, full.facts(rule))
        subject = _Subject(
            name, full.since_s, full.place, full.at_s, full.place, full.doubt_m, 0.0,
            self.rules.clear_s,
        )  # fmt: skip
        return self._found(finding, subject)

    def _forget(self, time_s: float) -> None:
        self._records = [r for r in self._records if r.ended_s is None or time_s - r.ended_s <= self.rules.quiet_s]
        old = [name for name, h in self._histories.items() if time_s - h.last.time_s > _FORGET_S]
        if len(self._histories) - len(old) > _MAX_TRACKS:
            by_age = sorted(self._histories, key=lambda name: (self._histories[name].last.time_s, name))
            old = by_age[: len(self._histories) - _MAX_TRACKS]
            self.dropped_tracks += len(old)
        for name in old:
            del self._histories[name]
