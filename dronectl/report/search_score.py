# SPDX-License-Identifier: AGPL-3.0-or-later
"""Holds a search against the truth of a simulated scene. Pure.

A search owes a find only where the lost person was properly in view (the definition of `score.is_detectable`). Where
nobody flew, or leaves hid the person, it owes the probability that was left, and where.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from dronectl.report.data import Goal
from dronectl.report.score import Score, is_detectable
from dronectl.report.truth import TrueEntity, TruePosition

WITHIN_MIN: Final = 30.0
MAX_FALSE: Final = 2
SWAP_S: Final = 180.0  # hands, or a dock, take that long for a battery; the simulator takes no time at all
_OFF_GROUND_M: Final = 1.0


class Result(StrEnum):
    """What came of a search."""

    FOUND = "found"
    MISSED = "missed"  # properly in view, and not reported
    HIDDEN = "hidden"  # in view, but never properly: leaves, too few looks, too little warmth
    NOT_THERE = "not flown over"


@dataclass(frozen=True, slots=True)
class Find:
    """The alert that found the person. exposure_s: of the frame that confirmed it, on the vehicles' clock."""

    alert_id: str
    vehicles: tuple[str, ...]
    wave: int
    exposure_s: float


@dataclass(frozen=True, slots=True)
class Times:
    """When a search flew, vehicles' clock: first take-off and last landing of each wave."""

    waves: tuple[tuple[float, float], ...]

    def minutes_until(self, moment_s: float) -> float:
        """Minutes from the first launch to a moment; every change of batteries counts SWAP_S at least."""
        counted = moment_s - self.waves[0][0]
        for (_, landed_s), (launched_s, _) in pairwise(self.waves):
            if moment_s >= launched_s:
                counted += max(0.0, SWAP_S - (launched_s - landed_s))
        return counted / 60.0

    @property
    def flown_min(self) -> float:
        """Minutes from take-off to the last landing, summed over the waves."""
        return sum(landed - launched for launched, landed in self.waves) / 60.0


def flight_times(tracks: Mapping[str, Sequence[TruePosition]], began_s: Sequence[float]) -> Times:
    """Waves by what really happened: from the first off the ground until all are down again.

    began_s: when each wave began, before its first take-off, on the vehicles' clock. Flights of one wave need not
    overlap, since their starts keep them apart. A wave in which nobody flew is left out.
    Raises ValueError when nobody left the ground.
    """
    waves: dict[int, tuple[float, float]] = {}
    for start, end in (span for track in tracks.values() for span in _airborne(track)):
        number = max(0, bisect_right(began_s, start) - 1)
        launched, landed = waves.get(number, (start, end))
        waves[number] = min(launched, start), max(landed, end)
    if not waves:
        raise ValueError("nobody left the ground")
    return Times(tuple(waves[number] for number in sorted(waves)))


def _airborne(track: Sequence[TruePosition]) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    since: float | None = None
    for position in track:
        up = position.amsl_m - track[0].amsl_m > _OFF_GROUND_M
        if up and since is None:
            since = position.time_s
        elif not up and since is not None:
            spans.append((since, position.time_s))
            since = None
    if since is not None:
        spans.append((since, track[-1].time_s))
    return spans


def result_of(person: TrueEntity, *, found: bool) -> Result:
    """What became of the lost person."""
    if found:
        return Result.FOUND
    if is_detectable(person):
        return Result.MISSED
    return Result.HIDDEN if any("thermal" in look.camera_id for look in person.looks) else Result.NOT_THERE


def search_goals(
    judged: Score, result: Result, minutes: float | None, left: str, *, alerts: int, all_landed: bool
) -> tuple[Goal, ...]:
    """The conditions of success. left: how much probability is left and where, in words, for a search without a find."""
    wrong = len(judged.false_alerts) + len(judged.duplicate_alerts)
    unacknowledged = len(judged.unacknowledged)
    said = {
        Result.FOUND: "found",
        Result.MISSED: "properly in view, and not reported",
        Result.HIDDEN: f"in view, but never properly; {left}",
        Result.NOT_THERE: f"not where was flown; {left}",
    }[result]
    goals = [
        Goal(
            "走失者若在热像中清晰可见，则已发现",
            "the lost person was found, if properly in view of a thermal camera",
            result is not Result.MISSED,
            said,
        )
    ]
    if minutes is not None:
        goals.append(
            Goal(
                f"起飞后 {WITHIN_MIN:.0f} 分钟内发现",
                f"found within {WITHIN_MIN:.0f} minutes of the first launch",
                minutes <= WITHIN_MIN,
                f"{minutes:.1f} min",
            )
        )
    return (
        *goals,
        Goal("全部降落", "everyone landed", all_landed, "yes" if all_landed else "no"),
        Goal(
            "告警全部被确认",
            "every alert was acknowledged",
            unacknowledged == 0,
            f"{alerts - unacknowledged} / {alerts}",
        ),
        Goal(
            f"误报与重复不超过 {MAX_FALSE} 条",
            f"at most {MAX_FALSE} alarms were false or double",
            wrong <= MAX_FALSE,
            str(wrong),
        ),
    )
