# SPDX-License-Identifier: AGPL-3.0-or-later
"""What officers see: cards, notices, findings and flights, in English as it was and in Chinese."""

from __future__ import annotations

import ast
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from catalogue_reader import ROOT
from rich.cells import cell_len

from dronectl.alerts.card import card
from dronectl.bus.messages import (
    Alert,
    AlertEvent,
    Ellipse,
    EventFact,
    EvidenceLink,
    LastAction,
    Location,
    ResponderOffer,
    Why,
)
from dronectl.cli.fly_set import Ordered, Result
from dronectl.cli.spoken import notice_line, outcome_line, progress_line, warnings_of
from dronectl.fleet.progress_watch import Notice, NoticeKind
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.fleet.watching import Told
from dronectl.language import Language, speak
from dronectl.operations.desk_views import sortie_view
from dronectl.operations.keeping_clear import Meeting
from missions.model import Finding, Outcome, OutcomeKind, Severity

NOON = datetime(2026, 3, 1, 4, 0, 5, tzinfo=UTC)
WHY = Why(
    rule_id="person-down", rule_set="default-1", reason="a person lies or does not move (Orchard): motionless for 92 s",
    confidence=0.87, looks=5, chances=7, tracks=1, confirmed_by="x", detectors=[], model_sha256=[], modalities=[],
    cameras=["c1"], vehicles=["d1", "d2"],
)  # fmt: skip
LIES = AlertEvent(
    rule="person-down", area_id="a", area="Orchard", level="orange", since=NOON, at=NOON, ended=False, confidence=0.9,
    facts=[EventFact(name="motionless for", value=92.3, bound=90, unit="s"), EventFact(name="looks", value=12)],
)  # fmt: skip
ALERT = Alert(
    alert_id="0195", sequence=3, phase="update", state="accepted", level="orange", kind="person", site_id="lidu",
    site_status="exercise", mission_id=None, incident_id="i", observed_at=NOON, raised_at=NOON, updated_at=NOON,
    expires_at=None, places=["Orchard"], why=WHY, events=[LIES], owner="desk",
    location=Location(latitude_deg=29.7, longitude_deg=107.3, amsl_m=300,
                      ellipse_95=Ellipse(semi_major_m=7.1, semi_minor_m=4.2, azimuth_deg=10)),
    evidence=[EvidenceLink(path="a.png", sha256="0" * 64, width_px=1, height_px=1, role="crop")],
    responders=[ResponderOffer(responder_id="p", name="北拱派出所", distance_m=312.4)],
    last_action=LastAction(event_id="e", action="dispatch", by="other", at=NOON,
                           refused="it is with desk, who can transfer it"),
)  # fmt: skip
ENGLISH = """\
 ORANGE  person  update (accepted), first seen at 04:00:05 UTC  [exercise]
  where   29.700000, 107.300000 in Orchard, 95 % within 7.1 x 4.2 m
  why     a person lies or does not move (Orchard): motionless for 92 s (rule person-down), confidence 0.87, seen in 5 of 7 \
frames by d1, d2
  event   person-down in Orchard: motionless for 92.3 s (rule: 90), looks 12
  look    a.png
  nearest 北拱派出所, 312 m as the crow flies (a person decides)
  last    dispatch by other, refused: it is with desk, who can transfer it
  id      0195 message 3
"""
CHINESE = """\
 橙色  疑似人员  更新（已受理），首次发现于 04:00:05 UTC  [演练]
  位置    29.700000, 107.300000（Orchard），95 % 误差椭圆半轴 7.1 × 4.2 米
  依据    有人倒地或久不移动（Orchard）（规则 person-down），置信度 0.87，7 帧中有 5 帧检出，来自 d1, d2
  事件    人员倒地（Orchard）：静止 92.3 秒（规则值 90），观察次数 12
  画面    a.png
  就近    北拱派出所，直线距离 312 米（是否派警由人决定）
  处理    派警（other），未被接受：已由 desk 受理，可由其移交
  编号    0195 第 3 条
"""


def test_a_card_in_english_is_what_it_always_was():
    assert card(ALERT).plain == ENGLISH


@pytest.mark.usefixtures("chinese")
def test_a_card_in_chinese():
    assert card(ALERT).plain == CHINESE


@pytest.mark.usefixtures("chinese")
def test_the_words_of_a_card_begin_in_one_column():
    columns = {cell_len(line[: 4 + len(line[4:]) - len(line[4:].lstrip())]) for line in CHINESE.splitlines()[1:]}
    assert columns == {10}


def shown(**changes) -> str:
    return card(ALERT.model_copy(update=changes)).plain


@pytest.mark.usefixtures("chinese")
def test_how_an_alert_ended_is_said_and_a_persons_outcome_is_left_as_written():
    ended = {"phase": "end", "state": "resolved", "end_reason": "resolved", "outcome": "送医 taken home"}
    assert "已结束：已处置，送医 taken home" in shown(**ended)
    assert "已结束：逾期未确认\n" in shown(phase="end", state="expired", end_reason="expired").replace("  [演练]", "")
    assert "已结束：误报" in shown(phase="end", state="false_alarm", end_reason="false_alarm")


@pytest.mark.usefixtures("chinese")
def test_reasons_of_the_shipped_rules_are_chinese_and_others_stay_whole():
    def why(reason: str, rule: str, places: list[str]) -> str:
        words = shown(why=WHY.model_copy(update={"reason": reason, "rule_id": rule}), places=places)
        return next(line for line in words.splitlines() if "置信度" in line)

    assert "夜间发现疑似人员（规则 person-night）" in why("a person at night", "person-night", [])
    assert "发现疑似人员（School, Pond）（规则" in why("a person in School, Pond", "person-closed", ["School", "Pond"])
    assert "a person in School（规则" in why("a person in School", "person-closed", ["Pond"])
    assert "somebody on the dam（规则" in why("somebody on the dam", "dam", [])


@pytest.mark.usefixtures("chinese")
def test_what_comes_over_the_network_steers_no_terminal_in_chinese_either():
    assert "\x1b" not in shown(kind="\x1b[2J", places=["\x1b[2J"], phase="end", outcome="\x1b[2J")


FOLLOWED = Sortie("s1", "d1", (None, 0, 1, 2), Phase.FLYING, reached_item=1)
LATE = Notice(NoticeKind.LATE, 2, 170.2, planned_s=61.7)
OFF = Notice(NoticeKind.OFF_WAY, 2, 15.0, metres=41.3)


def told(notice: Notice, end_note: str = "") -> dict:
    """As the service shows it."""
    one = Told(notice, NOON, NOON if end_note else None, end_note)
    return sortie_view(FOLLOWED, None, [one])["notices"][0]


def test_notices_with_what_to_do_and_how_they_ended():
    cases = [
        (told(LATE), "d1：航段超时，飞往航点 2，已 170 秒，计划 62 秒；`dronectl hold d1` 令其悬停，`dronectl return d1` 令其返航"),
        (told(OFF), "d1：偏离航线，飞往航点 2，偏差 41 米，已 15 秒；`dronectl hold d1` 令其悬停，`dronectl return d1` 令其返航"),
        (told(OFF, "it is taking off now"), "d1：偏离航线，飞往航点 2，偏差 41 米，已 15 秒；已解除（现为起飞状态）"),
        (told(Notice(NoticeKind.NO_PROGRESS, None, 45.0), "by itself"), "d1：没有进展，已 45 秒；已解除（自行恢复）"),
    ]  # fmt: skip
    for notice, chinese in cases:
        over = notice["ended_at"] is not None
        rest = f"over ({notice['end_note']})" if over else notice["advice"]
        speak(Language.EN)
        assert notice_line("d1", notice) == f"d1: {notice['text']}; {rest}"
        speak(Language.ZH)
        assert notice_line("d1", notice) == chinese


@pytest.mark.usefixtures("chinese")
def test_a_notice_of_a_service_that_says_less_stays_english_and_whole():
    older = {key: value for key, value in told(LATE).items() if key != "planned_s"}
    assert "late on its way towards waypoint 2 for 170 s, planned were 62 s" in notice_line("d1", older)
    assert "航" not in notice_line("d1", older).split("；")[0]


def test_where_a_sortie_stands_and_how_it_ended():
    ended = Sortie(
        "s1", "d1", (None, 0, 1, 2), Phase.LANDED, reached_item=1, failsafe="the vehicle went to land without an order",
        outcome=Outcome(OutcomeKind.PARTIAL, "ended early by order: return", 1, 3),
    )  # fmt: skip
    speak(Language.EN)
    assert progress_line(sortie_view(FOLLOWED, None, [])) == "flying 1/3"
    assert outcome_line(sortie_view(ended, None, [])) == "partial: ended early by order: return"
    speak(Language.ZH)
    assert progress_line(sortie_view(FOLLOWED, None, [])) == "执行航线 1/3"
    assert progress_line(sortie_view(ended, None, [])) == "已降落 1/3 无人机未经指令转入降落"
    assert outcome_line(sortie_view(ended, None, [])) == "部分完成：按指令提前结束：返航"


def test_preflight_findings_have_names_and_keep_their_codes():
    def refusal(*findings: Finding) -> str:
        failed = Sortie("s1", "d1", (), Phase.FAILED, findings=findings)
        return Result(Ordered(Path("d1.plan"), {}, "d1", 0.0), sortie=sortie_view(failed, None, [])).refusal

    low = Finding("battery", Severity.BLOCKER, "lands with 3 % of the battery")
    lost = Finding("no-home", Severity.BLOCKER, "d1 has no home position yet")
    new = Finding("never-seen", Severity.BLOCKER, "something else")
    silent = Finding("link-stale", Severity.BLOCKER, "d1 was last heard 9 s ago; check its power and its link")
    speak(Language.EN)
    assert refusal(low, new).splitlines() == [
        "d1.plan: refused by preflight for d1:",
        "  battery: lands with 3 % of the battery",
        "  never-seen: something else",
    ]
    assert refusal(silent) == silent.message
    speak(Language.ZH)
    assert refusal(low, lost, new).splitlines() == [
        "d1.plan：d1 飞前检查不通过：",
        "  电量不足（battery）：lands with 3 % of the battery",
        "  没有返航点（no-home）：d1 尚无返航点",
        "  never-seen: something else",
    ]
    assert refusal(silent) == f"链路无信号（link-stale）：{silent.message}"


def test_who_would_meet_whom():
    meetings = [Meeting("d1", "d2", stands=False, later_s=42.4), Meeting("d1", "d3", stands=True, later_s=None)]
    meetings.append(Meeting("d1", "d4", stands=False, later_s=3579.0, stays_s=3600.0))
    accepted = {"warnings": [m.text for m in meetings], "meetings": [asdict(m) for m in meetings]}
    assert warnings_of(accepted) == accepted["warnings"]
    speak(Language.ZH)
    assert warnings_of(accepted) == [
        "d1 与 d2（飞行中）的间隔将小于水平 20 米、高差 10 米：推迟 42 秒开始即可保持间隔",
        "d1 与 d3（悬停空中）的间隔将小于水平 20 米、高差 10 米：请待其离开后再飞",
        "d1 与 d4（在航点停留，3600 秒内随时可能继续飞行）的间隔将小于水平 20 米、高差 10 米：推迟 3579 秒开始即可保持间隔",
    ]
    older = [{k: v for k, v in m.items() if k != "stays_s"} for m in accepted["meetings"][:1]]
    assert warnings_of({"warnings": [], "meetings": older}) == warnings_of(accepted)[:1]
    assert warnings_of({"warnings": ["of an older service"]}) == ["of an older service"]


SURFACES = ["alerts/card.py", "cli/alerts.py", "cli/vehicles.py", "cli/fly_set.py", "cli/spoken.py", "cli/client.py"]
# Errors about what was typed, and the wait for a broker's own words, are English; ADR 11 says so.
TYPED = ["--reason says nothing; it is logged, and stays with the outcome of the flight"]


@pytest.mark.parametrize("file", SURFACES)
def test_nothing_is_shown_past_the_catalogue(file):
    """No call that prints, or that raises what is printed, is given English words of its own."""
    shows = {"say", "print", "append", "_tell", "_line", "BadInputError", "UnavailableError", "ServiceLostError"}
    bare = []
    for call in ast.walk(ast.parse((ROOT / "dronectl" / file).read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        callee = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if callee not in shows:
            continue
        for argument in call.args:
            parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            words = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
            bare += [w for w in words if any(letter.isalpha() for letter in w) and w not in TYPED]
    assert bare == []
