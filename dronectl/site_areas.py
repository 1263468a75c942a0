# SPDX-License-Identifier: AGPL-3.0-or-later
"""The site file's areas, the rules over what happens in them, and how long evidence is kept."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dronectl.site_parts import Identifier, Position, check_path, check_ring

_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]|24):([0-5]\d)")
Use = Literal["closed", "keep_clear", "watched", "road", "crowd"]
LevelName = Literal["grey", "blue", "yellow", "orange", "red"]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Share = Annotated[float, Field(ge=0, le=1)]


def hours_of(window: str) -> tuple[float, float]:
    """Local hours of the day of a window such as "07:20-08:10"; it may go over midnight. Raises ValueError."""
    found = _WINDOW.fullmatch(window.strip())
    if found is None:
        raise ValueError('hours are written "HH:MM-HH:MM", as in "07:20-08:10"')
    start_h, start_m, end_h, end_m = map(int, found.groups())
    start, end = start_h + start_m / 60.0, end_h + end_m / 60.0
    if end > 24.0:
        raise ValueError("the day ends at 24:00")
    return start, end


class Strict(BaseModel):
    """No unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AreaModel(Strict):
    """An area and what it is for: a ring, or for roads and lanes a path with its width.

    closed: nobody may be there. keep_clear: no vehicle and no stall may stand there (a lane, a school gate). watched:
    nobody may stay for long. road: no animal may be there. crowd: at most so many people.
    """

    id: Identifier
    name: str = ""
    use: Use
    ring: list[Position] | None = None
    path: list[Position] | None = None
    width_m: float | None = Field(default=None, gt=0, le=100, description="of a path, from edge to edge")
    hours: list[str] = Field(default=[], description='local times at which it holds, "HH:MM-HH:MM"; empty: always')
    wait_s: Seconds | None = Field(default=None, description="watched, keep_clear: how long is too long")
    people: int | None = Field(default=None, ge=2, le=100_000, description="crowd: from so many people on")

    _ring = field_validator("ring", mode="before")(lambda value: None if value is None else check_ring(value))
    _path = field_validator("path", mode="before")(lambda value: None if value is None else check_path(value))

    @field_validator("hours")
    @classmethod
    def _hours(cls, value: list[str]) -> list[str]:
        for window in value:
            hours_of(window)
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.ring is None) == (self.path is None):
            raise ValueError("an area needs either a ring, or a path with width_m")
        if (self.path is None) != (self.width_m is None):
            raise ValueError("width_m belongs to a path: give both or a ring")
        if (self.use == "crowd") != (self.people is not None):
            raise ValueError("people belongs to use: crowd, which needs it")
        if self.wait_s is not None and self.use not in {"watched", "keep_clear"}:
            raise ValueError("wait_s belongs to use: watched or keep_clear")
        return self


class RuleModel(Strict):
    """What every rule has: whether it is on, and the level of its alerts."""

    enabled: bool = True
    level: LevelName | None = Field(default=None, description="instead of the rule's own")


class PersonDownModel(RuleModel):
    """Somebody lies or does not move."""

    motionless_s: Seconds = 90.0
    lying_s: Seconds = 15.0
    min_confidence: Share = 0.4


class ClosedAreaModel(RuleModel):
    """Somebody is in an area with use: closed, or in a keep-out of the geofence."""

    min_confidence: Share = 0.4


class LoiteringModel(RuleModel):
    """Somebody stays in an area with use: watched."""

    stay_s: Seconds = 180.0
    min_confidence: Share = 0.4


class CrowdModel(RuleModel):
    """People close together anywhere, or more than an area with use: crowd allows."""

    per_m2: float = Field(default=2.0, gt=0, le=10)
    at_least: int = Field(default=12, ge=3, le=10_000)
    hold_s: Seconds = 10.0


class KeepClearModel(RuleModel):
    """A vehicle or a stall stands in an area with use: keep_clear."""

    stand_s: Seconds = 60.0
    min_confidence: Share = 0.4


class AnimalOnRoadModel(RuleModel):
    """An animal is in an area with use: road."""

    min_confidence: Share = 0.4


class UnattendedHeatModel(RuleModel):
    """Something hot with nobody near it."""

    min_temperature_c: float = Field(default=80.0, ge=50, le=1000)
    alone_s: Seconds = 60.0
    near_m: float = Field(default=15.0, gt=0, le=200)


class FireGrowingModel(RuleModel):
    """A fire is longer than it was."""

    times: float = Field(default=1.5, gt=1, le=10)


class RecheckModel(RuleModel):
    """A fire or hot spot that was seen must be looked at again."""

    after_s: Annotated[float, Field(ge=60, le=604800)] = 3600.0


class EventsModel(Strict):
    """The rules over what happens. All are on unless switched off; those about areas need the areas."""

    version: str = Field(default="default-1", min_length=1, max_length=60, description="recorded in every alert")
    person_down: PersonDownModel = PersonDownModel()
    closed_area: ClosedAreaModel = ClosedAreaModel()
    loitering: LoiteringModel = LoiteringModel()
    crowd: CrowdModel = CrowdModel()
    keep_clear: KeepClearModel = KeepClearModel()
    animal_on_road: AnimalOnRoadModel = AnimalOnRoadModel()
    unattended_heat: UnattendedHeatModel = UnattendedHeatModel()
    fire_growing: FireGrowingModel = FireGrowingModel()
    recheck: RecheckModel = RecheckModel()


class EvidenceModel(Strict):
    """How many days pictures are kept, by what they show; what is under legal hold stays."""

    retention_days: dict[
        Literal["person", "vehicle", "animal", "stall", "fire", "hot_spot", "smoke", "default"], float
    ] = {
        "person": 30.0,
        "default": 90.0,
    }

    @field_validator("retention_days")
    @classmethod
    def _days(cls, value: dict[str, float]) -> dict[str, float]:
        if "default" not in value:
            raise ValueError("retention_days needs default: the days for everything that is not named")
        if any(not 0.0 < days <= 36500.0 for days in value.values()):
            raise ValueError("days are above 0 and at most 36500")
        return value
