# SPDX-License-Identifier: AGPL-3.0-or-later
"""What alerts are made of: the site as alerts see it, incidents (one thing in the world) and alerts about them.

All immutable and free of I/O. Records are stored as JSON by msgspec and go out as `dronectl.bus.messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Literal

from dronectl.bus.messages import ActionKind, AlertPhase, AlertState, Level
from missions.geo import GeoPoint, LocalFrame
from vision.events import Area, EventRules, Fact, RuleName
from vision.merge import Member
from vision.sighting import Evidence, GroundEllipse, Kind

SiteStatus = Literal["actual", "exercise", "test"]


@dataclass(frozen=True, slots=True)
class Responder:
    """A post or role that can be sent; never a person's name."""

    responder_id: str
    name: str
    latitude_deg: float
    longitude_deg: float


@dataclass(frozen=True, slots=True)
class Zone:
    """A named area of the site. `tags` are what rules ask for: keep_out, closed, school, ..."""

    zone_id: str
    name: str
    ring: tuple[GeoPoint, ...]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a rule set: all conditions that are given must hold. The first rule that holds decides.

    `from_hour`, `to_hour` are local hours, the second exclusive; 20 and 6 mean the night. `min_tracks` is
    repetition: in how many separate tracks the thing was seen.
    """

    rule_id: str
    level: Level
    kinds: frozenset[Kind]
    reason: str
    min_confidence: float = 0.0
    min_temperature_c: float | None = None
    any_tag: frozenset[str] = frozenset()
    from_hour: int | None = None
    to_hour: int | None = None
    min_tracks: int = 1


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A site's rules, in order, under a version that every alert records."""

    version: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """How alerts live: deadlines by level, escalation, how often they may change, how long what is settled is quiet."""

    deadlines: Mapping[Level, timedelta] = field(
        default_factory=lambda: {
            Level.RED: timedelta(minutes=5),
            Level.ORANGE: timedelta(minutes=10),
            Level.YELLOW: timedelta(minutes=30),
            Level.BLUE: timedelta(hours=2),
            Level.GREY: timedelta(hours=24),
        }
    )
    max_escalations: int = 3
    min_update_interval: timedelta = timedelta(seconds=10)
    moved_min_m: float = 10.0
    quiet_after_settled: timedelta = timedelta(minutes=30)


EVENT_LEVELS: Mapping[RuleName, Level] = MappingProxyType(
    {
        RuleName.PERSON_DOWN: Level.ORANGE,
        RuleName.CLOSED_AREA: Level.ORANGE,
        RuleName.LOITERING: Level.YELLOW,
        RuleName.CROWD: Level.YELLOW,
        RuleName.KEEP_CLEAR: Level.YELLOW,
        RuleName.ANIMAL_ON_ROAD: Level.YELLOW,
        RuleName.UNATTENDED_HEAT: Level.ORANGE,
        RuleName.FIRE_GROWING: Level.RED,
        RuleName.RECHECK: Level.BLUE,
    }
)


@dataclass(frozen=True, slots=True)
class EventSite:
    """Rules over what happens: their settings, the areas (metres in `frame`), and the level that each rule gives."""

    rules: EventRules
    frame: LocalFrame
    areas: tuple[Area, ...] = ()
    levels: Mapping[RuleName, Level] = field(default_factory=lambda: EVENT_LEVELS)


@dataclass(frozen=True, slots=True)
class AlertSite:
    """The site as alerts see it."""

    site_id: str
    status: SiteStatus
    rules: RuleSet
    zones: tuple[Zone, ...] = ()
    responders: tuple[Responder, ...] = ()
    timezone: tzinfo = UTC
    evidence_base_url: str | None = None
    policy: Policy = field(default_factory=Policy)
    events: EventSite | None = None  # None: no rules over what happens


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules said."""

    level: Level
    rule_id: str
    rule_set: str
    reason: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A line of an incident's story."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Happening:
    """What a rule says of an incident: once per rule and area, updated in place."""

    rule: RuleName
    area_id: str | None
    area: str | None
    level: Level
    since: datetime
    at: datetime
    confidence: float
    facts: tuple[Fact, ...]
    ended: bool = False

    @property
    def key(self) -> tuple[RuleName, str | None]:
        return self.rule, self.area_id


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing in the world: the newest word of the tracks that show it, and what was done about it.

    `number` is the merger's, within the mission; `tracks` counts all of them, `members` keeps the newest. An incident
    about several things at once (a crowd) or about a duty (a recheck) has a number below 0 and no members.
    """

    incident_id: str
    mission_id: str | None
    number: int
    kind: Kind
    confidence: float
    place: GroundEllipse | None
    members: tuple[Member, ...]
    tracks: int
    opened_at: datetime
    updated_at: datetime
    observed_at: datetime
    alert_ids: tuple[str, ...] = ()
    settled_at: datetime | None = None
    settled_level: Level | None = None
    responder_id: str | None = None
    timeline: tuple[Note, ...] = ()
    happenings: tuple[Happening, ...] = ()
    evidence: tuple[Evidence, ...] = ()  # of an incident without members: pictures of what it is about


@dataclass(frozen=True, slots=True)
class Facts:
    """What an alert says about the thing, as it was when the alert last changed."""

    kind: Kind
    place: GroundEllipse | None
    evidence: tuple[Evidence, ...]
    confidence: float
    looks: int
    chances: int
    tracks: int
    confirmed_by: str
    detectors: tuple[str, ...]
    modalities: tuple[str, ...]
    cameras: tuple[str, ...]
    vehicles: tuple[str, ...]
    temperature_max_c: float | None
    size_m: float | None
    speed_m_s: float | None
    exposure_s: float | None = None  # newest look, on the clock of the vehicle that had it
    happenings: tuple[Happening, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """The newest action of the dispatch system on an alert."""

    event_id: str
    action: ActionKind
    by: str
    at: datetime
    note: str | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert as it stands. `sequence` is the number of its newest message."""

    alert_id: str
    incident_id: str
    mission_id: str | None
    sequence: int
    phase: AlertPhase
    state: AlertState
    decision: Decision
    facts: Facts
    observed_at: datetime
    raised_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    owner: str | None = None
    declined_by: tuple[str, ...] = ()
    responder_id: str | None = None
    outcome: str | None = None
    escalation: int = 0
    escalated_from: str | None = None
    last_action: Said | None = None
