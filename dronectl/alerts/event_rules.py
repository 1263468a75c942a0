# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the event rules say, in words and as a decision. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dronectl.alerts.model import Decision, Happening
from vision.events import RuleName

_WORDS: Final = {
    RuleName.PERSON_DOWN: "a person lies or does not move",
    RuleName.CLOSED_AREA: "a person in a closed area",
    RuleName.LOITERING: "a person stays in a watched area",
    RuleName.CROWD: "too many people close together",
    RuleName.KEEP_CLEAR: "a vehicle or a stall stands where the way must be clear",
    RuleName.ANIMAL_ON_ROAD: "an animal on a road",
    RuleName.UNATTENDED_HEAT: "something hot with nobody near it",
    RuleName.FIRE_GROWING: "a fire that grows",
    RuleName.RECHECK: "a hazard must be looked at again",
}


def describe(happening: Happening) -> str:
    """The rule's finding with its place and its numbers, each beside the bound that it was held against."""
    where = "" if happening.area is None else f" ({happening.area})"
    return f"{_WORDS[happening.rule]}{where}: " + ", ".join(map(str, happening.facts))


def decide_events(
    base: Decision | None, happenings: Iterable[Happening], rule_set: str, places: tuple[str, ...]
) -> Decision | None:
    """The decision of the highest level: that of the rules about what a thing is, or that of what happens with it.

    At equal levels what happens is told, because it says more. What has ended still counts: it happened.
    """
    best = base
    for happening in happenings:
        if best is None or happening.level.rank > best.level.rank or (best is base and happening.level is best.level):
            best = Decision(happening.level, happening.rule.value, rule_set, describe(happening), places)
    return best
