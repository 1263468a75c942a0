# SPDX-License-Identifier: AGPL-3.0-or-later
"""The rules about one track. Each looks at a track's history and says what holds, with the evidence for it.

A finding that is `begins` opens an event; one that is not only keeps an open one going. Confidence is the track's own
(of being a person, a vehicle, ...) times the probability of the place, times 1 - 2^(-t / bound) where the rule waits for a
time t to pass its bound: a half when it has just passed, more later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from vision.events.history import History, Stay
from vision.events.model import Area, Fact, Hours, RuleName
from vision.events.settings import EventRules
from vision.sighting import Kind

HourOf = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of a track at its newest look."""

    rule: RuleName
    area_id: str | None
    begins: bool
    since_s: float
    confidence: float
    facts: tuple[Fact, ...]


def is_within(hours: Hours | None, hour: float) -> bool:
    """Whether a local hour lies in [from, to), which may go over midnight; no hours and equal ends mean always."""
    if hours is None or hours[0] == hours[1]:
        return True
    start, end = hours
    return start <= hour < end if start < end else hour >= start or hour < end


def _waited(seconds: float, bound: float) -> float:
    return 1.0 - 2.0 ** (-seconds / bound) if bound > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Site:
    """The areas, and the local hour of a time; without the latter, rules with hours do not hold."""

    areas: tuple[Area, ...]
    hour_of: HourOf | None = None

    def open_at(self, area: Area, hours: Hours | None, time_s: float) -> bool:
        """Whether a rule with these hours holds in an area now; the area's own hours go before the rule's."""
        wanted = area.hours or (() if hours is None else (hours,))
        if not wanted:
            return True
        return self.hour_of is not None and any(is_within(h, self.hour_of(time_s)) for h in wanted)


def judge(history: History, rules: EventRules, site: Site) -> list[Finding]:
    """Everything that holds for a track now."""
    found: list[Finding] = []
    for rule in _RULES:
        found += rule(history, rules, site)
    return found


def _stays(history: History, site: Site, tags: frozenset[str]) -> Iterator[tuple[Area, Stay]]:
    for area in site.areas:
        if area.tags & tags and (stay := history.stays.get(area.area_id)) is not None and stay.inside:
            yield area, stay


def _person_down(history: History, rules: EventRules, _site: Site) -> Iterator[Finding]:
    rule = rules.person_down
    if rule is None or history.last.kind is not Kind.PERSON or history.confidence() < rule.min_confidence:
        return
    history.stand(rule.moved_m)
    still = history.still_s(rule.moved_m)
    if still <= 0.0 or history.still_looks < rule.least_looks or history.anchor is None:
        return
    long_m = history.lying_m(rule.steep_deg, rule.least_looks)
    lies = long_m is not None and long_m >= rule.lying_m
    bound = rule.lying_s if lies else rule.motionless_s
    facts = [
        Fact("motionless for", still, bound, "s"),
        Fact("moved at most", history.farthest_m, history.reach_m(rule.moved_m), "m"),
        Fact("looks", history.still_looks, rule.least_looks),
    ]
    if long_m is not None:
        facts.append(Fact("seen from above, long", long_m, rule.lying_m, "m"))
    yield Finding(
        RuleName.PERSON_DOWN, None, still >= bound, history.anchor.time_s,
        history.confidence() * _waited(still, bound), tuple(facts),
    )  # fmt: skip


def _closed_area(history: History, rules: EventRules, site: Site) -> Iterator[Finding]:
    rule = rules.closed_area
    if rule is None or history.last.kind is not Kind.PERSON or history.confidence() < rule.min_confidence:
        return
    for area, stay in _stays(history, site, rule.tags):
        if not site.open_at(area, rule.hours, history.last.time_s):
            continue
        facts = (Fact("inside with probability", stay.probability, rules.enter), Fact("looks", stay.looks, rule.looks))
        yield Finding(
            RuleName.CLOSED_AREA, area.area_id, stay.looks >= rule.looks, stay.since_s,
            history.confidence() * stay.probability, facts,
        )  # fmt: skip


def _loitering(history: History, rules: EventRules, site: Site) -> Iterator[Finding]:
    rule = rules.loitering
    if rule is None or history.last.kind is not Kind.PERSON or history.confidence() < rule.min_confidence:
        return
    for area, stay in _stays(history, site, rule.tags):
        if not site.open_at(area, rule.hours, history.last.time_s):
            continue
        bound = rule.stay_s if area.wait_s is None else area.wait_s
        stayed = stay.last_s - stay.since_s
        facts = (
            Fact("stayed for", stayed, bound, "s"),
            Fact("inside with probability", stay.probability, rules.enter),
        )
        yield Finding(
            RuleName.LOITERING, area.area_id, stayed >= bound, stay.since_s,
            history.confidence() * stay.probability * _waited(stayed, bound), facts,
        )  # fmt: skip


def _keep_clear(history: History, rules: EventRules, site: Site) -> Iterator[Finding]:
    rule = rules.keep_clear
    if rule is None or history.last.kind not in rule.kinds or history.confidence() < rule.min_confidence:
        return
    history.stand(rule.moved_m)
    if history.anchor is None:
        return
    for area, stay in _stays(history, site, rule.tags):
        if not site.open_at(area, rule.hours, history.last.time_s):
            continue
        bound = rule.stand_s if area.wait_s is None else area.wait_s
        since = max(history.anchor.time_s, stay.since_s)
        stood = history.last.time_s - since if history.still_s(rule.moved_m) > 0.0 else 0.0
        if stood <= 0.0:
            continue
        facts = (
            Fact("stood for", stood, bound, "s"),
            Fact("moved at most", history.farthest_m, history.reach_m(rule.moved_m), "m"),
            Fact("inside with probability", stay.probability, rules.enter),
        )
        yield Finding(
            RuleName.KEEP_CLEAR, area.area_id, stood >= bound, since,
            history.confidence() * stay.probability * _waited(stood, bound), facts,
        )  # fmt: skip


def _animal_on_road(history: History, rules: EventRules, site: Site) -> Iterator[Finding]:
    rule = rules.animal_on_road
    if rule is None or history.last.kind is not Kind.ANIMAL or history.confidence() < rule.min_confidence:
        return
    for area, stay in _stays(history, site, rule.tags):
        facts = (Fact("inside with probability", stay.probability, rules.enter), Fact("looks", stay.looks, rule.looks))
        yield Finding(
            RuleName.ANIMAL_ON_ROAD, area.area_id, stay.looks >= rule.looks, stay.since_s,
            history.confidence() * stay.probability, facts,
        )  # fmt: skip


def _unattended_heat(history: History, rules: EventRules, _site: Site) -> Iterator[Finding]:
    rule = rules.unattended_heat
    hottest = history.last.temperature_max_c
    if rule is None or history.last.kind not in rule.kinds or hottest is None or hottest < rule.min_temperature_c:
        return
    if history.alone_since_s is None:
        return
    alone = history.last.time_s - history.alone_since_s
    facts = (
        Fact("hot", hottest, rule.min_temperature_c, "C"),
        Fact("nobody near it for", alone, rule.alone_s, "s"),
        Fact("near means within", rule.near_m, None, "m"),
    )
    yield Finding(
        RuleName.UNATTENDED_HEAT, None, alone >= rule.alone_s, history.alone_since_s,
        history.confidence() * _waited(alone, rule.alone_s), facts,
    )  # fmt: skip


def _fire_growing(history: History, rules: EventRules, _site: Site) -> Iterator[Finding]:
    rule = rules.fire_growing
    if rule is None or history.last.kind is not Kind.FIRE:
        return
    growth = history.growth(Kind.FIRE, rule.looks)
    if growth is None:
        return
    was_m, is_m, passed_s = growth
    begins = is_m >= rule.times * was_m and is_m - was_m >= rule.least_m and passed_s >= rule.after_s
    facts = [
        Fact("long", is_m, rule.times * was_m, "m"),
        Fact("was", was_m, None, "m"),
        Fact("within", passed_s, rule.after_s, "s"),
    ]
    if history.last.temperature_max_c is not None:
        facts.append(Fact("hottest", history.last.temperature_max_c, None, "C"))
    yield Finding(RuleName.FIRE_GROWING, None, begins, history.first_s, history.confidence(), tuple(facts))


_RULES: Final = (
    _person_down,
    _closed_area,
    _loitering,
    _keep_clear,
    _animal_on_road,
    _unattended_heat,
    _fire_growing,
)
