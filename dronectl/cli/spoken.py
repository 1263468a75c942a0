# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the service's answers say, as those who fly read it: notices, findings, what a sortie does, who would meet whom.

Each function takes a part of an answer as it came. In English it is the service's own words; in another language it
is made of closed words and figures of the answer, and where that cannot be done it stays English, whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dronectl.language import VARIABLE, Language, known, name, tr
from dronectl.sentences import sentence

LanguageOption = Annotated[
    Language | None,
    typer.Option(
        "--lang",
        envvar=VARIABLE,
        help="Language of what is shown. Default: the locale's ($LC_ALL, $LC_MESSAGES, $LANG); --json never changes.",
    ),
]


def notice_words(notice: Mapping[str, Any]) -> str:
    """What is wrong with the progress of a flight."""
    kind, late = notice["kind"], notice.get("planned_s")
    if not known("notice", kind) or (kind == "late" and late is None):
        return str(notice["text"])
    parts = [name("notice", kind)]
    if notice["waypoint"] is not None:
        parts.append(tr("towards waypoint {number}", number=notice["waypoint"]))
    if notice["metres"] is not None:
        parts.append(tr("by {metres:.0f} m", metres=notice["metres"]))
    parts.append(tr("for {seconds:.0f} s", seconds=notice["seconds"]))
    if late is not None:
        parts.append(tr("planned were {seconds:.0f} s", seconds=late))
    return name("mark", ", ").join(parts)


def notice_line(vehicle_id: str, notice: Mapping[str, Any]) -> str:
    """A notice with what can be done about it, or, once it has ended, why it has."""
    if notice.get("ended_at") is None:
        rest = sentence(notice["advice"], vehicle=vehicle_id)
    else:
        rest = tr("over ({why})", why=sentence(notice["end_note"]))
    return tr("{vehicle}: {notice}; {rest}", vehicle=vehicle_id, notice=notice_words(notice), rest=rest)


def finding_line(finding: Mapping[str, Any], vehicle_id: str, *, coded: bool = True) -> str:
    """What a check found: its name, its code, by which it can be overridden, and what it says.

    In English the code is the name; without `coded` there is neither.
    """
    code, message = finding["code"], sentence(finding["message"], vehicle=vehicle_id)
    if not known("finding", code):
        return f"{code}: {message}" if coded else message
    return tr("{name} ({code}): {message}", name=name("finding", code), code=code, message=message)


def code_words(code: str) -> str:
    """The code of a finding, and its name where the language has one of its own."""
    return f"{code} {name('finding', code)}" if known("finding", code) else code


def progress_line(sortie: Mapping[str, Any]) -> str:
    """Where a sortie stands: its state, waypoints reached, and what is special about it."""
    progress = f"{sortie['waypoints_reached']}/{sortie['waypoints_total']}"
    detail = sentence(sortie["detail"], autopilot_said=sortie.get("autopilot_said"))
    return f"{name('phase', sortie['state'])} {progress} {detail}".strip()


def outcome_line(sortie: Mapping[str, Any], reason: str | None = None) -> str:
    """How a sortie ended. reason: given by the person who gave it up."""
    note = sentence(sortie["outcome_note"] or "", autopilot_said=sortie.get("autopilot_said"), reason=reason)
    return tr("{outcome}: {note}", outcome=name("outcome", sortie["outcome"]), note=note)


def warnings_of(accepted: Mapping[str, Any]) -> list[str]:
    """Whom a flight that was handed in would come too near to."""
    meetings = accepted.get("meetings")
    if meetings is None or not known("meeting", "stands in the air"):
        return list(accepted["warnings"])
    return [_meeting(m) for m in meetings]


def _meeting(meeting: Mapping[str, Any]) -> str:
    how = name("meeting", "stands in the air" if meeting["stands"] else "is under way")
    if (stays_s := meeting.get("stays_s")) is not None:
        how = tr("stays at a waypoint and may go on at any moment of the next {seconds:.0f} s", seconds=stays_s)
    if meeting["later_s"] is None:
        mend = name("meeting", "wait until it has moved on")
    else:
        mend = tr("started {seconds:.0f} s later it would keep clear", seconds=meeting["later_s"])
    return tr(
        "{vehicle} would come within {lateral:.0f} m across and {vertical:.0f} m in height of {other}, which {how}: {mend}",
        vehicle=meeting["vehicle_id"],
        lateral=meeting["lateral_m"],
        vertical=meeting["vertical_m"],
        other=meeting["other_id"],
        how=how,
        mend=mend,
    )
