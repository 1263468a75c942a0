# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes into the event rules and what comes out. Immutable; nothing here says who somebody is.

Places are metres east and north in one local frame of the site; times are seconds on one clock for all tracks (the
merger's, which brings the vehicles' clocks together), never the wall clock of whoever runs the rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vision.sighting import Kind

Point = tuple[float, float]
Hours = tuple[
    float, float
]  # local hours of the day, the second exclusive; 20 and 6 mean the night, equal ones the whole day


UNSEEN_S: Final = 60.0  # whoever was out of sight for longer may have been anywhere
_LATE: Final = 1.2  # more would count those who come and those who have gone together
_MISSED_ONCE: Final = 2.5


class RuleName(StrEnum):
    """The rules there are."""

    PERSON_DOWN = "person-down"
    CLOSED_AREA = "closed-area"
    LOITERING = "loitering"
    CROWD = "crowd"
    KEEP_CLEAR = "keep-clear"
    ANIMAL_ON_ROAD = "animal-on-road"
    UNATTENDED_HEAT = "unattended-heat"
    FIRE_GROWING = "fire-growing"
    RECHECK = "recheck"


class EventPhase(StrEnum):
    """An event is opened once, may be updated, and ends once."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class TrackState:
    """Where one track stood at one look, and with how much doubt.

    sigma_m: one-sigma doubt of the place per axis as it is drawn anew at each look; common_sigma_m: the part that all
    looks of one flight share, which moves with the camera's own errors. long_m: the longest side on the ground;
    depression_deg: how steeply the camera looked down (90 is straight), None where unknown. confidence: 0 to 1, of
    being what `kind` says. again_s: how often its camera tells of it while it stays in view.
    """

    track_id: str
    kind: Kind
    time_s: float
    east_m: float
    north_m: float
    sigma_m: float
    confidence: float
    common_sigma_m: float = 0.0
    long_m: float | None = None
    depression_deg: float | None = None
    temperature_max_c: float | None = None
    again_s: float = 0.0

    def __post_init__(self) -> None:
        figures = (
            self.time_s,
            self.east_m,
            self.north_m,
            self.sigma_m,
            self.common_sigma_m,
            self.confidence,
            self.again_s,
        )
        if not all(map(math.isfinite, figures)):
            raise ValueError(f"track {self.track_id}: a time, place, doubt or confidence that is no number")
        if min(self.sigma_m, self.common_sigma_m, self.again_s) < 0 or not 0 <= self.confidence <= 1:
            raise ValueError(f"track {self.track_id}: doubt or time below 0, or confidence outside 0..1")

    @property
    def place(self) -> Point:
        return self.east_m, self.north_m

    @property
    def doubt_m(self) -> float:
        """One sigma per axis, both parts together."""
        return math.hypot(self.sigma_m, self.common_sigma_m)

    def present_s(self, least_s: float) -> float:
        """For how long after this look it counts as there: until its camera should have told of it again."""
        return max(least_s, min(UNSEEN_S, _LATE * self.again_s))

    def silent_s(self, least_s: float) -> float:
        """For how long nothing need be heard of it before it counts as lost: its camera may miss it once."""
        return max(least_s, min(UNSEEN_S, _MISSED_ONCE * self.again_s))


@dataclass(frozen=True, slots=True)
class Visit:
    """Ground that was looked at: without it nothing can be called gone, or rechecked. `ring` is open, east and north."""

    time_s: float
    ring: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """A named area of the site. `tags` are what rules ask for: closed, keep_clear, road, watched, ...

    hours: when the rules hold here; empty: when the rule itself says. wait_s: how long somebody may stay or a vehicle
    may stand, in place of the rule's own time. people: from so many on they are a crowd here.
    """

    area_id: str
    name: str
    ring: tuple[Point, ...]
    tags: frozenset[str]
    hours: tuple[Hours, ...] = ()
    wait_s: float | None = None
    people: int | None = None

    def __post_init__(self) -> None:
        if len(self.ring) < 3:
            raise ValueError(f"area {self.area_id}: a ring needs at least 3 points")
        if self.wait_s is not None and not 0.0 <= self.wait_s < math.inf:
            raise ValueError(f"area {self.area_id}: wait_s is a time, not {self.wait_s}")
        if self.people is not None and self.people < 2:
            raise ValueError(f"area {self.area_id}: a crowd is 2 people or more, not {self.people}")


@dataclass(frozen=True, slots=True)
class Fact:
    """One piece of evidence: a figure, the bound it was held against where there is one, and the unit."""

    name: str
    value: float
    bound: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        bound = "" if self.bound is None else f" (rule: {self.bound:g})"
        return f"{self.name} {self.value:.3g}{' ' + self.unit if self.unit else ''}{bound}"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `sequence` rises by one per message of an event; `tracks` are all that took part."""

    event_id: str
    sequence: int
    phase: EventPhase
    rule: RuleName
    area_id: str | None
    since_s: float
    at_s: float
    east_m: float
    north_m: float
    doubt_m: float
    confidence: float
    facts: tuple[Fact, ...]
    tracks: tuple[str, ...]

    @property
    def why(self) -> str:
        """The evidence in one line."""
        return f"{self.rule.value}: " + ", ".join(map(str, self.facts))
