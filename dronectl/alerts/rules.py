# SPDX-License-Identifier: AGPL-3.0-or-later
"""The site's rules: kind, confidence, place, time and repetition of an incident -> a level, or no alert. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from dronectl.alerts.model import Decision, Facts, Rule, RuleSet, Zone
from dronectl.bus.messages import Level
from vision.sighting import Kind

BLAZE_C: Final = 150.0  # what counts as fire where it cannot be the sun in a mirror
EMBER_C: Final = 80.0  # bare metal and dark roofs stay below this in the sun

_PERSON: Final = frozenset({Kind.PERSON})
_CLOSED: Final = frozenset({"keep_out", "closed"})

DEFAULT_RULES: Final = RuleSet(
    version="default-1",
    rules=(
        Rule("fire", Level.RED, frozenset({Kind.FIRE}), "a fire"),
        Rule("smoke", Level.ORANGE, frozenset({Kind.SMOKE}), "smoke"),
        Rule(
            "hot-spot-blaze",
            Level.ORANGE,
            frozenset({Kind.HOT_SPOT}),
            "a spot as hot as a fire, which may be a reflection",
            min_temperature_c=BLAZE_C,
        ),
        # A stone that the sun has warmed is a hot spot too: only what is hotter than the sun makes it calls somebody.
        Rule(
            "hot-spot-again",
            Level.ORANGE,
            frozenset({Kind.HOT_SPOT}),
            "a spot too hot for the sun, seen more than once",
            min_temperature_c=EMBER_C,
            min_tracks=2,
        ),
        Rule(
            "hot-spot",
            Level.YELLOW,
            frozenset({Kind.HOT_SPOT}),
            "a spot too hot for the sun",
            min_temperature_c=EMBER_C,
        ),
        Rule("person-closed", Level.ORANGE, _PERSON, "a person", min_confidence=0.4, any_tag=_CLOSED),
        Rule("person-night", Level.YELLOW, _PERSON, "a person at night", min_confidence=0.4, from_hour=20, to_hour=6),
        Rule("person-day", Level.BLUE, _PERSON, "a person", min_confidence=0.4),
        Rule("person-doubtful", Level.GREY, _PERSON, "perhaps a person"),
        Rule("vehicle-closed", Level.YELLOW, frozenset({Kind.VEHICLE}), "a vehicle in a closed area", any_tag=_CLOSED),
    ),
)


def is_within_hours(local_hour: int, from_hour: int, to_hour: int) -> bool:
    """Whether an hour lies in [from, to), which may go over midnight; equal ends mean the whole day."""
    if from_hour == to_hour:
        return True
    if from_hour < to_hour:
        return from_hour <= local_hour < to_hour
    return local_hour >= from_hour or local_hour < to_hour


def holds(rule: Rule, facts: Facts, tags: frozenset[str], local_hour: int) -> bool:
    """Whether all conditions of one rule hold."""
    return (
        facts.kind in rule.kinds
        and facts.confidence >= rule.min_confidence
        and facts.tracks >= rule.min_tracks
        and (rule.min_temperature_c is None or (facts.temperature_max_c or 0.0) >= rule.min_temperature_c)
        and (not rule.any_tag or bool(rule.any_tag & tags))
        and (
            rule.from_hour is None or rule.to_hour is None or is_within_hours(local_hour, rule.from_hour, rule.to_hour)
        )
    )


def decide(rules: RuleSet, facts: Facts, zones: Iterable[Zone], local: datetime) -> Decision | None:
    """The first rule that holds; None when none does. `zones` are those at the place, `local` is the site's time."""
    here = tuple(zones)
    tags = frozenset(tag for zone in here for tag in zone.tags)
    for rule in rules.rules:
        if holds(rule, facts, tags, local.hour):
            names = tuple(zone.name for zone in here)
            reason = f"{rule.reason} in {', '.join(names)}" if rule.any_tag else rule.reason
            return Decision(rule.level, rule.rule_id, rules.version, reason, names)
    return None
