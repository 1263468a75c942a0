# SPDX-License-Identifier: AGPL-3.0-or-later
"""How the rules are set, in the site file's terms. A rule that is None is off; areas are asked for by tag."""

from __future__ import annotations

from dataclasses import dataclass, field

from vision.events.model import Hours
from vision.sighting import Kind


@dataclass(frozen=True, slots=True)
class PersonDown:
    """Somebody lies or does not move. Lying shows only from steeply above, where a standing person is short."""

    motionless_s: float = 90.0
    lying_s: float = 15.0
    lying_m: float = 1.3
    steep_deg: float = 65.0
    least_looks: int = 4
    moved_m: float = 1.2  # beyond the places' own doubt: further than somebody shifts who cannot get up
    min_confidence: float = 0.4


@dataclass(frozen=True, slots=True)
class ClosedArea:
    """Somebody is where nobody may be."""

    tags: frozenset[str] = frozenset({"closed", "keep_out"})
    looks: int = 2
    hours: Hours | None = None
    min_confidence: float = 0.4


@dataclass(frozen=True, slots=True)
class Loitering:
    """Somebody stays in a watched area."""

    tags: frozenset[str] = frozenset({"watched", "school"})
    stay_s: float = 180.0
    gap_s: float = 25.0  # a longer time unseen begins the stay anew
    hours: Hours | None = None
    min_confidence: float = 0.4


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many people close together: counted within a circle around each."""

    per_m2: float = 2.0
    leave_per_m2: float = 1.5
    radius_m: float = 3.0
    at_least: int = 12
    hold_s: float = 10.0
    present_s: float = 4.0  # somebody not seen for longer is not counted
    enter: float = 0.5  # probability of being in an area from which somebody is counted there


@dataclass(frozen=True, slots=True)
class KeepClear:
    """A vehicle or a stall stands where the way must be clear: a lane, a school gate."""

    tags: frozenset[str] = frozenset({"keep_clear"})
    kinds: frozenset[Kind] = frozenset({Kind.VEHICLE, Kind.STALL})
    stand_s: float = 60.0
    moved_m: float = 1.5
    hours: Hours | None = None
    min_confidence: float = 0.4


@dataclass(frozen=True, slots=True)
class AnimalOnRoad:
    """An animal on a road."""

    tags: frozenset[str] = frozenset({"road"})
    looks: int = 2
    min_confidence: float = 0.4


@dataclass(frozen=True, slots=True)
class UnattendedHeat:
    """Something hot with nobody near it. What the sun warms stays below the temperature."""

    min_temperature_c: float = 80.0
    alone_s: float = 60.0
    near_m: float = 15.0
    kinds: frozenset[Kind] = frozenset({Kind.HOT_SPOT, Kind.FIRE})


@dataclass(frozen=True, slots=True)
class FireGrowing:
    """A fire is longer than when it was first seen. By the medians of its first and its newest looks."""

    times: float = 1.5
    least_m: float = 0.7  # by so much at least: a pixel more of a small fire is no growth
    after_s: float = 10.0
    looks: int = 3


@dataclass(frozen=True, slots=True)
class Recheck:
    """A hazard that was there must be looked at again after a time, whatever became of it."""

    after_s: float = 3600.0
    kinds: frozenset[Kind] = frozenset({Kind.FIRE, Kind.HOT_SPOT})
    min_temperature_c: float = 80.0
    gone_looks: int = 2  # so many visits in a row without it, and it is gone


@dataclass(frozen=True, slots=True)
class EventRules:
    """A site's rules under a version, and what they share.

    Inside an area means with probability `enter` by the place's own doubt; it stays so until that falls below `leave`.
    An event ends when its condition has not held for clear_s; the same thing within quiet_s after continues it. The
    same thing: another track that begins within `same_m` (and the doubts) of where the last one was left.
    """

    version: str = "default-1"
    person_down: PersonDown | None = field(default_factory=PersonDown)
    closed_area: ClosedArea | None = field(default_factory=ClosedArea)
    loitering: Loitering | None = field(default_factory=Loitering)
    crowd: Crowd | None = field(default_factory=Crowd)
    keep_clear: KeepClear | None = field(default_factory=KeepClear)
    animal_on_road: AnimalOnRoad | None = field(default_factory=AnimalOnRoad)
    unattended_heat: UnattendedHeat | None = field(default_factory=UnattendedHeat)
    fire_growing: FireGrowing | None = field(default_factory=FireGrowing)
    recheck: Recheck | None = field(default_factory=Recheck)
    enter: float = 0.9
    leave: float = 0.4
    clear_s: float = 20.0
    quiet_s: float = 300.0
    same_m: float = 3.0
    update_s: float = 15.0

    def __post_init__(self) -> None:
        if not 0.0 < self.leave <= self.enter < 1.0:
            raise ValueError(f"0 < leave <= enter < 1 is wanted, not leave {self.leave} and enter {self.enter}")
        if min(self.clear_s, self.quiet_s, self.same_m, self.update_s) < 0:
            raise ValueError("times and distances of the rules are not negative")
