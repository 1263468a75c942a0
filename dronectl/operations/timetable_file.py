# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a timetable is asked for, as YAML: hours, intervals, calendars, watches, and areas closed in their hours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dronectl.site_model import Strict
from dronectl.site_parts import Identifier

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"^([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)$")


def hours_s(word: str) -> tuple[float, float]:
    """Seconds of the day of hours like 07:30-08:15. Raises ValueError."""
    match = _HOURS.match(word)
    if match is None:
        raise ValueError(f"{word!r} are no hours; write them as 07:30-08:15")
    h1, m1, h2, m2 = (int(part) for part in match.groups())
    start, end = 3600.0 * h1 + 60.0 * m1, 3600.0 * h2 + 60.0 * m2
    if not start < end <= 86400.0:
        raise ValueError(f"{word!r} must end after it begins, at 24:00 at the latest; split hours at midnight")
    return start, end


def joined(hours: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Hours in order, joined where they touch or overlap."""
    out: list[tuple[float, float]] = []
    for start, end in sorted(hours):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return tuple(out)


def _checked(word: str) -> str:
    hours_s(word)
    return word


Hours = Annotated[str, AfterValidator(_checked)]


class DatesModel(Strict):
    """A stretch of days, both ends included."""

    first: date
    last: date

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"ends on {self.last} before it begins on {self.first}")
        return self


class CalendarModel(Strict):
    """Hours on some days: on weekdays, not in the stretches `never` (holidays), also on the days `also` (made up)."""

    weekdays: list[Weekday] = Field(default_factory=lambda: list(WEEKDAYS))
    hours: list[Hours] = Field(min_length=1)
    never: list[DatesModel] = Field(default_factory=list)
    also: list[date] = Field(default_factory=list)

    def windows(self, day: date) -> tuple[tuple[float, float], ...]:
        """Its hours on a day, joined where they touch."""
        on = day in self.also or (
            WEEKDAYS[day.weekday()] in self.weekdays and not any(n.first <= day <= n.last for n in self.never)
        )
        return joined(hours_s(h) for h in self.hours) if on else ()


class ItemModel(Strict):
    """A must-patrol point or line: how often in the hours of a calendar (without one: in the patrol's hours).

    Either an interval, or a priority: 2 is visited twice as often as the default interval, 0.5 half as often.
    """

    interval_min: float | None = Field(default=None, gt=0, le=1440)
    priority: float | None = Field(default=None, ge=0.1, le=10)
    calendar: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.interval_min is not None and self.priority is not None:
            raise ValueError("give interval_min or priority, not both")
        if self.interval_min is None and self.priority is None:
            raise ValueError("give interval_min (minutes) or priority (1 is ordinary)")
        return self


class WatchModel(Strict):
    """A must-patrol point where a drone stays all the time in the hours of a calendar."""

    point: Identifier
    calendar: str


class ClosedModel(Strict):
    """A school over which no leg goes in the hours of a calendar."""

    school: Identifier
    calendar: str
    margin_m: float | None = Field(default=None, ge=0, le=200, description="default: position error and braking way")


class TimetableModel(Strict):
    """The whole file. Items that are not named get the default interval in the patrol's hours."""

    schema_version: Literal[1]
    hours: Hours = "07:00-22:00"
    swap_min: float = Field(default=5.0, ge=0, le=240)
    overlap_s: float = Field(default=20.0, ge=0, le=600)
    default_interval_min: float | None = Field(default=60.0, gt=0, le=1440, description="null: only items named here")
    calendars: dict[Identifier, CalendarModel] = Field(default_factory=dict)
    items: dict[Identifier, ItemModel] = Field(default_factory=dict)
    watches: list[WatchModel] = Field(default_factory=list)
    closed: list[ClosedModel] = Field(default_factory=list)

    @model_validator(mode="after")
    def _priorities_have_a_measure(self) -> Self:
        for name, item in self.items.items():
            if item.priority is not None and self.default_interval_min is None:
                raise ValueError(f"items.{name}: a priority divides default_interval_min, which is null; give one")
        return self

    def interval_of(self, item_id: str) -> float | None:
        """Minutes between visits of an item; None where it is not asked for."""
        item = self.items.get(item_id)
        if item is None:
            return self.default_interval_min
        if item.interval_min is not None:
            return item.interval_min
        if item.priority is None or self.default_interval_min is None:
            return None
        return self.default_interval_min / item.priority
