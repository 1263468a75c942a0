# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sentences of the service: those that are known are those that it says, and nothing is guessed out of the others."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

import pytest
from catalogue_reader import ROOT

from dronectl.fleet.link import FlightMode, VehicleState
from dronectl.fleet.sortie_rules import landing_note, outcome_of, with_failsafe
from dronectl.fleet.sortie_types import Sortie
from dronectl.language import Language, speak
from dronectl.sentences import ALERTS, FLIGHT, NOTICES, ORDERS, SENTENCES, sentence

SAYING = [
    "fleet/sortie.py", "fleet/sortie_rules.py", "fleet/sortie_launch.py", "fleet/carry_out.py", "operations/direct.py",
    "alerts/actions.py",
]  # fmt: skip
# What quotes a link, a file or a difference that no other part of the document states, and what is never shown.
ENGLISH = {
    "the mission aboard is not the plan: {}",
    "the mission could not be uploaded: {}",
    "the read-back differs: {}",
    "the preflight could not be done: {}",
    "{}: {}",
    "{}; `dronectl doctor` says what is missing",
    "the alert has ended: {}",  # an alert that has ended has no further message
}


def written(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)


def said_in(file: str) -> set[str]:
    """Every string with a space in it that is no docstring; values as {}. A tail in brackets, or a joint, is cut off."""
    tree = ast.parse((ROOT / "dronectl" / file).read_text(encoding="utf-8"))
    inside = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    inside |= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    found = {
        written(n)
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant | ast.JoinedStr) and id(n) not in inside and " " in written(n)
    }
    found -= {" ({})", ": {}", "; "}
    return {re.sub(r"(?<=[a-z])\{\}$", "", text).removesuffix("; ") for text in found}


def plain(template: str) -> str:
    return re.sub(r"\{\w+\}", "{}", template)


def test_every_sentence_that_the_service_says_is_known_or_said_to_be_english():
    said = set().union(*(said_in(file) for file in SAYING))
    assert said - {plain(t) for t in SENTENCES} - ENGLISH == set()
    assert said >= ENGLISH


def test_every_sentence_that_is_known_is_said_somewhere():
    sources = [p for p in (ROOT / "dronectl").rglob("*.py") if p.name != "sentences.py"]
    text = "\n".join(p.read_text(encoding="utf-8") for p in sources)
    said = set().union(*(said_in(str(p.relative_to(ROOT / "dronectl"))) for p in sources))
    tails = {"the vehicle went to {} without an order ({})", "given up, the vehicle was not heard of again: {}"}
    tails |= {"by itself", "landed"}
    for template in (*FLIGHT, *NOTICES, *ORDERS, *ALERTS):
        assert plain(template) in said | tails, template
    assert '"by itself"' in text


def test_in_english_nothing_is_changed():
    for template in SENTENCES:
        assert sentence(template) == template


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize(
    ("text", "facts", "shown"),
    [
        ("flown as planned", {}, "按计划飞完"),
        ("ended early by order: return", {}, "按指令提前结束：返航"),
        ("it is lost link now", {}, "现为链路丢失状态"),
        ("the vehicle went to hold instead of return", {}, "无人机转入悬停，而不是返航"),
        ("it is with desk, who can transfer it", {"owner": "desk"}, "已由 desk 受理，可由其移交"),
        (
            "d1 was never heard; check its power and its link",
            {"vehicle": "d1"},
            "从未收到 d1 的信号；请检查其电源和链路",
        ),
        ("the link was lost during take-off; nothing says that it flew", {}, "起飞过程中链路丢失，无法确认是否飞行"),
        ("flown without a link; aborted by order", {}, "在无链路情况下飞行；按指令中止"),
        ("", {}, ""),
    ],
)
def test_what_is_known_is_shown_in_chinese(text, facts, shown):
    assert sentence(text, **facts) == shown


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("it is with desk, who can transfer it", {}),  # nothing else says who it is with
        ("it is with desk, who can transfer it", {"owner": "another"}),
        ("the vehicle went to hold without an order (Battery low)", {"autopilot_said": None}),
        ("the vehicle went to nowhere without an order", {}),
        ("return was not confirmed by the vehicle's state (timeout: d1)", {}),
        ("aborted by order; and something new", {}),  # one half of it would be English
        ("Flown as planned", {}),
        ("{mode}", {}),
    ],
)
def test_what_is_not_known_stays_english_and_whole(text, facts):
    assert sentence(text, **facts) == text


def test_a_failsafe_with_the_words_of_the_autopilot_is_shown_with_them():
    """From the machine that says it to what is shown."""
    flying = Sortie("s1", "d1", (None, 0, 1), flown=True, reached_item=1, intent=FlightMode.MISSION)
    state = VehicleState("d1", mode=FlightMode.RETURN, last_text="Failsafe activated")
    failed = with_failsafe(flying, state)
    note = outcome_of(failed, landing_note(failed)).note
    assert note == "the vehicle went to return without an order (Failsafe activated)"
    adopted = replace(failed, may_arm=False)
    speak(Language.ZH)
    assert (
        sentence(note, autopilot_said=failed.autopilot_said) == "无人机未经指令转入返航（飞控原文：Failsafe activated）"
    )
    both = outcome_of(adopted, landing_note(adopted)).note
    assert sentence(both, autopilot_said=failed.autopilot_said).endswith("；飞行途中服务重启过")


def test_a_failsafe_of_which_the_autopilot_says_nothing_has_no_words():
    flying = Sortie("s1", "d1", (None, 0, 1), flown=True, intent=FlightMode.MISSION)
    failed = with_failsafe(flying, VehicleState("d1", mode=FlightMode.LAND))
    assert (failed.failsafe, failed.autopilot_said) == ("the vehicle went to land without an order", None)
    speak(Language.ZH)
    assert sentence(failed.failsafe) == "无人机未经指令转入降落"
