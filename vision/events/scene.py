# SPDX-License-Identifier: AGPL-3.0-or-later
"""The rules about more than one track: crowds, and hazards that must be looked at again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vision.events.history import contains, probability_inside
from vision.events.model import Area, Fact, Point, TrackState, Visit
from vision.events.settings import Crowd, Recheck
from vision.sighting import Kind


@dataclass(slots=True)
class Gathering:
    """People close together around one place, followed from tick to tick."""

    number: int
    place: Point
    since_s: float
    last_s: float
    people: int
    doubt_m: float
    confidence: float
    dense_since_s: float | None

    def facts(self, rule: Crowd) -> tuple[Fact, ...]:
        return (
            Fact("people", self.people, rule.at_least),
            Fact("density", self.people / _area(rule), rule.per_m2, "per m2"),
            Fact("for", self.last_s - (self.dense_since_s or self.last_s), rule.hold_s, "s"),
        )


def _area(rule: Crowd) -> float:
    return math.pi * rule.radius_m**2


class Crowds:
    """Finds gatherings: circles around people, the fullest first, without counting anybody in two."""

    def __init__(self, rule: Crowd) -> None:
        self.rule = rule
        self._gatherings: list[Gathering] = []
        self._next = 1

    def tick(self, time_s: float, people: Sequence[TrackState]) -> list[Gathering]:
        """Gatherings that are dense enough now, or were and still nearly are."""
        rule = self.rule
        least = rule.at_least * min(1.0, rule.leave_per_m2 / rule.per_m2)
        places = np.array([p.place for p in people]).reshape(-1, 2)
        near = np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1)) <= rule.radius_m
        free = np.ones(len(people), dtype=bool)
        kept: list[Gathering] = []
        while free.any():
            counts = (near & free[None, :]).sum(axis=1) * free
            best = int(np.argmax(counts))
            inside = near[best] & free
            count = int(counts[best])
            if count < least or count / _area(rule) < rule.leave_per_m2:
                break
            free &= ~inside
            kept.append(self._follow(time_s, [people[int(i)] for i in np.flatnonzero(inside)]))
        self._gatherings = kept
        return [g for g in kept if g.dense_since_s is not None and time_s - g.dense_since_s >= rule.hold_s]

    def _follow(self, time_s: float, members: list[TrackState]) -> Gathering:
        rule = self.rule
        place = (float(np.mean([m.east_m for m in members])), float(np.mean([m.north_m for m in members])))
        density = len(members) / _area(rule)
        reached = density >= rule.per_m2 and len(members) >= rule.at_least
        known = min(
            (g for g in self._gatherings if math.dist(g.place, place) <= 2 * rule.radius_m),
            key=lambda g: math.dist(g.place, place),
            default=None,
        )
        if known is None:
            number, since, dense = self._next, time_s, None
            self._next += 1
        else:
            number, since, dense = known.number, known.since_s, known.dense_since_s
            self._gatherings.remove(known)
        if dense is None and reached:
            dense = time_s
        doubt = max(m.doubt_m for m in members)
        confidence = float(np.mean([m.confidence for m in members]))
        return Gathering(number, place, since, time_s, len(members), doubt, confidence, dense)


@dataclass(slots=True)
class Full:
    """An area with a limit that holds as many people, and since when."""

    area: Area
    since_s: float
    people: int
    at_s: float
    place: Point
    doubt_m: float
    confidence: float

    def facts(self, rule: Crowd) -> tuple[Fact, ...]:
        return (
            Fact("people in the area", self.people, self.area.people),
            Fact("for", self.at_s - self.since_s, rule.hold_s, "s"),
        )


class AreaCrowds:
    """Counts people in the areas that have a limit: present lately, and inside more probably than not."""

    def __init__(self, rule: Crowd, areas: Sequence[Area]) -> None:
        self.rule = rule
        self._areas = [area for area in areas if area.people is not None]
        self._since_s: dict[str, float] = {}

    def tick(self, time_s: float, people: Sequence[TrackState]) -> list[Full]:
        """Areas that have been full for long enough. One fewer than the limit does not end it."""
        full = []
        for area in self._areas:
            inside = [p for p in people if probability_inside(area.ring, p) >= self.rule.enter]
            since = self._since_s.get(area.area_id)
            least = (area.people or 0) - (0 if since is None else 1)
            if len(inside) < least:
                self._since_s.pop(area.area_id, None)
                continue
            since = self._since_s.setdefault(area.area_id, time_s)
            if time_s - since < self.rule.hold_s:
                continue
            place = (float(np.mean([p.east_m for p in inside])), float(np.mean([p.north_m for p in inside])))
            doubt = max(p.doubt_m for p in inside)
            sure = float(np.mean([p.confidence for p in inside]))
            full.append(Full(area, since, len(inside), time_s, place, doubt, sure))
        return full


@dataclass(slots=True)
class Hazard:
    """Something dangerous that was seen, where and when last, and whether a recheck is due."""

    number: int
    track_id: str
    place: Point
    doubt_m: float
    looks: int
    last_s: float
    confidence: float
    hottest_c: float | None
    due: bool = False
    due_s: float = 0.0
    visits_without: int = 0


@dataclass(frozen=True, slots=True)
class Rechecked:
    """News of a hazard: a recheck is due, or what it found."""

    hazard: Hazard
    due: bool
    at_s: float
    facts: tuple[Fact, ...]


class Hazards:
    """Remembers hazards by place."""

    def __init__(self, rule: Recheck, same_m: float) -> None:
        self.rule = rule
        self._same_m = same_m
        self._hazards: list[Hazard] = []
        self._next = 1

    def restore(self, state: TrackState) -> None:
        """Take up a hazard of which an earlier run was sure, as it was last seen."""
        self.see(state)
        for hazard in self._hazards:
            if hazard.track_id == state.track_id:
                hazard.looks = max(2, hazard.looks)

    def see(self, state: TrackState) -> list[Rechecked]:
        """A look at something that may be a hazard."""
        rule = self.rule
        hot = state.temperature_max_c is not None and state.temperature_max_c >= rule.min_temperature_c
        if state.kind not in rule.kinds or not (hot or state.kind is Kind.FIRE):
            return []
        known = min(
            (
                h
                for h in self._hazards
                if h.track_id == state.track_id
                or math.dist(h.place, state.place) <= self._same_m + 2 * math.hypot(h.doubt_m, state.doubt_m)
            ),
            key=lambda h: math.dist(h.place, state.place),
            default=None,
        )
        if known is None:
            self._hazards.append(
                Hazard(
                    self._next,
                    state.track_id,
                    state.place,
                    state.doubt_m,
                    1,
                    state.time_s,
                    state.confidence,
                    state.temperature_max_c,
                )
            )
            self._next += 1
            return []
        news = []
        if known.due:
            known.due = False
            news.append(Rechecked(known, due=False, at_s=state.time_s, facts=(Fact("seen again, still there", 1.0),)))
        known.track_id, known.place, known.doubt_m = state.track_id, state.place, state.doubt_m
        known.looks, known.last_s, known.visits_without = known.looks + 1, state.time_s, 0
        known.confidence, known.hottest_c = state.confidence, state.temperature_max_c
        return news

    def visit(self, visit: Visit) -> list[Rechecked]:
        """Ground was looked at: what is due there and does not show is gone after enough visits."""
        news = []
        for hazard in list(self._hazards):
            if not hazard.due or not bool(contains(visit.ring, np.array([hazard.place]))[0]):
                continue
            hazard.visits_without += 1
            if hazard.visits_without >= self.rule.gone_looks:
                self._hazards.remove(hazard)
                facts = (Fact("looked at without finding it", hazard.visits_without, self.rule.gone_looks, "times"),)
                news.append(Rechecked(hazard, due=False, at_s=visit.time_s, facts=facts))
        return news

    def tick(self, time_s: float) -> list[Rechecked]:
        """Rechecks that have come due. One look alone is not yet a hazard."""
        news = []
        for hazard in self._hazards:
            if hazard.due or hazard.looks < 2 or time_s - hazard.last_s < self.rule.after_s:
                continue
            hazard.due, hazard.due_s, hazard.visits_without = True, hazard.last_s + self.rule.after_s, 0
            facts = [Fact("not looked at for", time_s - hazard.last_s, self.rule.after_s, "s")]
            if hazard.hottest_c is not None:
                facts.append(Fact("was hot", hazard.hottest_c, self.rule.min_temperature_c, "C"))
            news.append(Rechecked(hazard, due=True, at_s=time_s, facts=tuple(facts)))
        self._hazards = [h for h in self._hazards if h.looks > 1 or time_s - h.last_s < self.rule.after_s]
        return news
