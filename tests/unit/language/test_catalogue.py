# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Chinese catalogue is whole: every message that is asked for is in it, and nothing that nobody asks for."""

from __future__ import annotations

import ast
from enum import StrEnum

from babel.messages.pofile import read_po
from catalogue_reader import FOLDER, ROOT, Key, calls, fields, read_mo

from dronectl.alerts.event_rules import _WORDS as EVENT_WORDS
from dronectl.alerts.rules import DEFAULT_RULES
from dronectl.bus import messages
from dronectl.fleet.commands import CommandKind
from dronectl.fleet.link import FlightMode
from dronectl.fleet.progress_watch import NoticeKind
from dronectl.fleet.sortie_types import ActionKind, Order, Phase
from dronectl.sentences import SENTENCES, WORDS
from missions.model import OutcomeKind
from vision.events import RuleName
from vision.sighting import Kind

CATALOGUE = read_mo(FOLDER / "dronectl.mo")
# The words of each context that come out of the service, by the enumeration that they are.
CLOSED: dict[str, type[StrEnum]] = {
    "level": messages.Level,
    "kind": Kind,
    "state": messages.AlertState,
    "alert action": messages.ActionKind,
    "rule": RuleName,
    "happening": RuleName,
    "mode": FlightMode,
    "phase": Phase,
    "notice": NoticeKind,
    "order": Order,
    "action": ActionKind,
    "outcome": OutcomeKind,
}
# Contexts whose words stand in the very call, as strings or as a choice of strings.
WRITTEN = {"card", "mark", "meeting", "take-off"}
# Contexts whose words are strings a few lines above the call.
TABLES = {
    "column": {"vehicle", "link", "mode", "armed", "height", "battery", "sortie"},
    "link": {"up", "lost", "never heard"},
    "armed": {"armed", "disarmed"},
    "order result": {"done", "not confirmed"},
    "site status": {"actual", "exercise", "test"},
}


def words_in(file_glob: str, *callees: str) -> set[str]:
    """The first arguments of calls with one of these names, where they are plain strings."""
    found = set()
    for file in ROOT.glob(file_glob):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                callee = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if callee in callees and isinstance(node.args[0].value, str):
                    found.add(node.args[0].value)
    return found


def facts_and_units() -> tuple[set[str], set[str]]:
    """What the event rules call their figures; `why` is one of two names that stand above it."""
    names, units = {"not seen for", "does not hold for"}, set()
    for file in (ROOT / "vision" / "events").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fact":
                first = node.args[0]
                assert isinstance(first, ast.Constant) or ast.unparse(first) == "why", ast.unparse(node)
                names |= {str(first.value)} if isinstance(first, ast.Constant) else set()
                units |= {str(a.value) for a in node.args[3:4] if isinstance(a, ast.Constant)}
    return names, units


def finding_codes() -> set[str]:
    found = words_in("missions/**/*.py", "Finding", "_say") | words_in("dronectl/**/*.py", "Finding", "block")
    return {code for code in found if " " not in code} | {"failsafe-parameter"}


def asked() -> set[Key]:
    """All that is asked of the catalogue."""
    keys: set[Key] = set()
    for file, call in calls("tr", "tr_many"):
        messages_ = call.args[: 1 if call.func.id == "tr" else 2]
        for argument in messages_:
            assert isinstance(argument, ast.Constant), f"{file}:{call.lineno}: write the message where it is said"
        keys.add((None, messages_[0].value))  # a plural is kept under its singular
    for file, call in calls("name", "known"):
        context, word = call.args
        if isinstance(context, ast.Name):
            continue  # sentences.py: the contexts of its fields, which are CLOSED
        assert isinstance(context, ast.Constant), f"{file}:{call.lineno}"
        known = (CLOSED, TABLES, WRITTEN, {"reason", "fact", "unit", "finding", "sentence"})
        assert any(context.value in contexts for contexts in known), f"{file}:{call.lineno}: {context.value}"
        if context.value in WRITTEN:
            words = {n.value for n in ast.walk(word) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
            keys |= {(context.value, w) for w in words - {"stands"}}
    keys |= {(context, str(word)) for context, words in CLOSED.items() for word in words}
    keys |= {(context, word) for context, words in TABLES.items() for word in words}
    keys |= {("reason", rule.reason) for rule in DEFAULT_RULES.rules}
    names, units = facts_and_units()
    keys |= {("fact", fact) for fact in names} | {("unit", unit) for unit in units}
    keys |= {("finding", code) for code in finding_codes()}
    return keys | {("sentence", text) for text in SENTENCES}


def test_nothing_that_is_said_is_left_out():
    assert asked() - CATALOGUE.keys() == set()


def test_nothing_is_in_it_that_nobody_says():
    assert CATALOGUE.keys() - asked() == set()


def test_every_message_is_in_chinese_with_the_same_figures_in_it():
    for (context, english), chinese in CATALOGUE.items():
        assert fields(chinese) == fields(english), english
        words = (
            chinese.replace("°C", "度").replace("，", "一").replace("；", "一").replace("：", "一").replace("（", "一")
        )
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words), (context, english)


def test_every_character_can_be_written_on_a_terminal_of_gbk():
    "".join(CATALOGUE.values()).encode("gbk")


def test_the_words_of_sentences_are_those_of_the_service():
    assert {field: set(words) for field, words in WORDS.items()} == {
        "mode": set(FlightMode),
        "action": set(ActionKind),
        "order": set(Order),
        "phase": set(Phase),
    }
    assert {"hold", "return", "land"} <= set(CommandKind) & set(Order)


def test_a_rule_over_time_is_never_called_as_one_about_a_thing():
    """The card tells by its name which of the two a reason is of."""
    assert {rule.rule_id for rule in DEFAULT_RULES.rules} & set(RuleName) == set()
    assert set(EVENT_WORDS) == set(RuleName)


def test_the_compiled_catalogue_is_made_of_the_one_that_people_edit():
    with (FOLDER / "dronectl.po").open("rb") as file:
        edited = read_po(file, locale="zh_CN", abort_invalid=True)
    assert list(edited.check()) == []
    assert {
        (m.context, m.id[0] if m.pluralizable else m.id): m.string[0] if m.pluralizable else m.string
        for m in edited
        if m.id
    } == CATALOGUE
