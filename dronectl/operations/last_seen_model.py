# SPDX-License-Identifier: AGPL-3.0-or-later
"""The form of a missing person as it is written: where, when, how old, in what condition. Never who.

Positions are [latitude, longitude] in the form's own reference system. Nothing that tells one person from another has
a field: a search looks for anybody who may need help.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, field_validator, model_validator

from dronectl.site_model import ReferenceSystem, Strict
from dronectl.site_parts import check_position, check_ring
from missions.search.lost_person import CATEGORIES, TERRAINS

Degrees = tuple[float, float]


def _nobody(value: object) -> object:
    if value is None:
        return None
    raise ValueError("is not asked and not used: people are found here, never identified; leave it out")


NotAsked = Annotated[Any, BeforeValidator(_nobody)]


def _time(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("needs its time zone, for example 2026-11-25 16:40:00+08:00")
    if isinstance(value, int | float):
        raise ValueError("is a date and a time with its zone, for example 2026-11-25 16:40:00+08:00")  # noqa: TRY004
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_time)]


class Condition(StrEnum):
    """What is known of the person's condition that changes how people walk."""

    DEMENTIA = "dementia"
    AUTISTIC = "autistic"
    DESPONDENT = "despondent"
    NONE = "none"


class SearchedModel(Strict):
    """A place that was looked at: a circle or a ring. `found`: a trace of the person was there, at `time`."""

    name: str = ""
    position: Degrees | None = None
    radius_m: float | None = Field(default=None, gt=0.0, le=20_000.0)
    ring: list[Degrees] | None = None
    found: bool = False
    time: Time | None = None
    pod: float = Field(default=0.7, gt=0.0, lt=1.0)

    _position = field_validator("position", mode="before")(check_position)
    _ring = field_validator("ring", mode="before")(check_ring)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.found and (self.position is None or self.time is None):
            raise ValueError("a place where a trace was found needs its position and the time of the trace")
        if not self.found and (self.ring is None) == (self.position is None or self.radius_m is None):
            raise ValueError("a searched place is either a position with radius_m, or a ring")
        return self


class GroundModel(Strict):
    """Which models of the ground count; all do unless switched off."""

    walking: bool = True
    watershed: bool = True
    lines: bool = True


class LastSeenModel(Strict):
    """The whole form."""

    schema_version: Literal[1]
    reference_system: ReferenceSystem
    place: Degrees
    place_name: str = ""
    last_seen: Time
    now: Time | None = None
    age: int = Field(ge=1, le=120)
    condition: Condition = Condition.NONE
    category: str | None = None
    terrain: str
    linear_features: Path | None = None
    searched: list[SearchedModel] = Field(default_factory=list)
    ground: GroundModel = Field(default_factory=GroundModel)
    name: NotAsked = None
    sex: NotAsked = None
    clothing: NotAsked = None
    photo: NotAsked = None
    face: NotAsked = None
    id_number: NotAsked = None

    _place = field_validator("place", mode="before")(check_position)

    @field_validator("terrain")
    @classmethod
    def _terrain(cls, value: str) -> str:
        if value not in TERRAINS:
            raise ValueError(f"is one of {', '.join(TERRAINS)}")
        return value

    @field_validator("category")
    @classmethod
    def _category(cls, value: str | None) -> str | None:
        if value is not None and value not in CATEGORIES:
            raise ValueError(f"is one of {', '.join(CATEGORIES)}, or left out to be chosen from age and condition")
        return value
