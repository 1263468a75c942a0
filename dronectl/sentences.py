# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sentences that the service says in its documents, as far as they are a closed set, and how they are shown.

Documents stay English. A sentence is shown in another language only if it is, letter by letter, one of those below
with figures and names that the same document states; nothing is guessed out of it. Every other sentence is shown as it is.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Mapping
from functools import cache
from typing import Final

from dronectl.language import Language, name, spoken

# Fields whose words are closed sets; tests hold them against the enumerations that they are.
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "mode": ("unknown", "ready", "takeoff", "hold", "mission", "return", "land", "offboard", "manual"),
    "action": ("preflight", "upload", "cancel", "arm", "start", "hold", "return", "land", "disarm"),
    "order": ("prepare", "start", "hold", "resume", "return", "land", "abort", "abandon"),
    "phase": (
        "planned", "preflight", "uploading", "ready", "arming", "taking_off", "flying", "paused", "returning", "landing",
        "landed", "failed", "lost_link",
    ),
}  # fmt: skip

FLIGHT: Final = (  # why a flight is as it is: `detail` and `outcome_note` of sorties
    "flown as planned",
    "landed",
    "flown without a link",
    "the vehicle went to {mode} without an order",
    "the vehicle went to {mode} without an order ({autopilot_said})",
    "the vehicle went to {mode} instead of {action}",
    "{action} was not confirmed by the vehicle's state",
    "aborted by order",
    "aborted before take-off",
    "ended early by order: {mode}",
    "{order} ordered before take-off",
    "on the ground before its last waypoint, and nothing says why",
    "it was in the air for a moment only: its start was not confirmed",
    "it did not leave the ground",
    "the service was restarted during the flight",
    "the service ended before take-off",
    "adopted after a restart",
    "observed only: the mission aboard was not recognised as this sortie's",
    "the mission aboard is not the one that this sortie uploaded: observed only",
    "a person holds the sticks: observed only",
    "given up, the vehicle was not heard of again",
    "given up, the vehicle was not heard of again: {reason}",
    "the vehicle is armed, but not by this sortie",
    "the vehicle disarmed before take-off",
    "the vehicle did not become armable",
    "the link was lost before take-off",
    "the link was lost during take-off; nothing says that it flew",
    "disarmed, but the land detector never said on ground",
    "the preflight found what forbids this flight",
)
NOTICES: Final = (  # what to do about a notice, and how it ended
    "`dronectl hold {vehicle}` stops it, `dronectl return {vehicle}` brings it home",
    "by itself",
    "the flight has ended",
    "it is {phase} now",
)
ORDERS: Final = (  # what becomes of an order: `detail` of its result
    "called off before take-off",
    "it stands on the ground, disarmed: nothing to do",
    "it stands on the ground, disarmed",
    "its mode is {mode}",
    "not confirmed by the vehicle's state in time",
    "the command had expired before it could be sent",
    "there is no link to the vehicle",
    "there is no sortie to resume",
    "there is nothing to resume",
    "every waypoint has been reached",
    "a person holds the sticks",
    "a sortie is under way: abort it instead",
    "only a sortie whose link is lost can be abandoned",
    "the mission aboard is not known to be this sortie's",
    "the sortie has ended",
    "the sortie is already being prepared",
    "the sortie is already under way",
    "the sortie was aborted",
    "the vehicle is heard: hold, return or land it instead",
    "the vehicle is not known to be in the air",
    "this sortie was adopted and never arms",
)
ALERTS: Final = (  # why there is no place, why an action was refused
    "no pose of the camera at exposure: where it is, is not known",
    "it is with {owner}",
    "it is with {owner}, who can transfer it",
    "it must be accepted first",
    "it cannot be closed without an outcome",
    "a transfer needs somebody to transfer to",
    "a dispatch needs a responder",
    "nobody was dispatched",
)
PREFLIGHT: Final = (
    "{vehicle} was never heard; check its power and its link",
    "{vehicle} has no global position yet; wait for its position estimate",
    "{vehicle} has no home position yet",
    "{vehicle} does not pass its own checks for arming",
    "{vehicle} does not report its battery",
)
SENTENCES: Final = FLIGHT + NOTICES + ORDERS + ALERTS + PREFLIGHT


def sentence(text: str, /, **facts: str | None) -> str:
    """A sentence of the service as it is shown; facts: what the same document says, by the names of the fields.

    Several that are joined by semicolons are shown in another language only if each of them can be.
    """
    if spoken() is Language.EN or not text:
        return text
    said = _one(text, facts)
    if said is None:
        parts = [_one(part, facts) for part in text.split("; ")]
        said = None if None in parts else name("mark", "; ").join(part for part in parts if part)
    return text if said is None else said


def _one(text: str, facts: Mapping[str, str | None]) -> str | None:
    if (found := _closed().get(text)) is not None:
        return _shown(*found)
    for template in _open():
        fields = fields_of(template)
        free = {field: value for field in fields - WORDS.keys() if (value := facts.get(field))}
        if len(free) < len(fields - WORDS.keys()):
            continue
        for words in _choices(fields & WORDS.keys()):
            if template.format(**words, **free) == text:
                return _shown(template, {**words, **free})
    return None


def _shown(template: str, values: Mapping[str, str]) -> str | None:
    shown = name("sentence", template)
    if shown == template:
        return None
    return shown.format(**{field: name(field, value.replace(" ", "_")) if field in WORDS else value
                           for field, value in values.items()})  # fmt: skip


def fields_of(template: str) -> set[str]:
    """The {fields} of a message."""
    return {field for _, field, _, _ in string.Formatter().parse(template) if field}


@cache
def _closed() -> dict[str, tuple[str, dict[str, str]]]:
    """Every sentence without free text, written out, with its template and words."""
    return {
        template.format(**words): (template, words)
        for template in SENTENCES
        if fields_of(template) <= WORDS.keys()
        for words in _choices(fields_of(template))
    }


@cache
def _open() -> tuple[str, ...]:
    return tuple(template for template in SENTENCES if fields_of(template) - WORDS.keys())


def _choices(fields: set[str]) -> list[dict[str, str]]:
    """All words for these fields, as sentences have them: with spaces for underscores."""
    names = sorted(fields)
    all_words = ([word.replace("_", " ") for word in WORDS[field]] for field in names)
    return [dict(zip(names, words, strict=True)) for words in itertools.product(*all_words)]
