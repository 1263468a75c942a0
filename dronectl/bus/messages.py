# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every payload on MQTT: one of these models, in the envelope of `dronectl/bus/envelope.py`.

What we publish is strict; what others send to us may carry more than we know, as CloudEvents asks, and anything that
does not fit raises pydantic's ValidationError. The JSON Schemas beside this file are generated from these models.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

SCHEMA_VERSION: Final = 1

Text = Annotated[str, Field(min_length=1, max_length=200)]
LongText = Annotated[str, Field(max_length=4000)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sane(moment: datetime) -> datetime:
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time out of range") from None
    if not 1970 <= utc.year < 3000:
        raise ValueError("a time out of range")
    return utc


Utc = Annotated[AwareDatetime, AfterValidator(_sane), PlainSerializer(_iso, return_type=str, when_used="json")]


class Level(StrEnum):
    """Alert levels, from the lowest to the highest."""

    GREY = "grey"
    BLUE = "blue"
    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"

    @property
    def rank(self) -> int:
        return tuple(Level).index(self)

    def raised(self) -> Level:
        """The next higher level; red stays red."""
        return tuple(Level)[min(self.rank + 1, len(Level) - 1)]


class AlertPhase(StrEnum):
    """What a message is in the life of its alert."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


class AlertState(StrEnum):
    """How far the dispatch system is with an alert. The last three are final."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    ACCEPTED = "accepted"
    DISPATCHED = "dispatched"
    ARRIVED = "arrived"
    RESOLVED = "resolved"
    FALSE_ALARM = "false_alarm"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        return self in {AlertState.RESOLVED, AlertState.FALSE_ALARM, AlertState.EXPIRED}


class ActionKind(StrEnum):
    """What the dispatch system may do with an alert."""

    ACKNOWLEDGE = "acknowledge"
    ACCEPT = "accept"
    DECLINE = "decline"
    TRANSFER = "transfer"
    DISPATCH = "dispatch"
    ARRIVE = "arrive"
    RESOLVE = "resolve"
    FALSE_ALARM = "false_alarm"


class Ours(BaseModel):
    """What we publish: nothing undeclared, nothing that is not a number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )

    schema_version: Literal[1] = 1


class Theirs(BaseModel):
    """What others send: fields that we do not know are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class ServiceStatus(Ours):
    """Birth and last will of the service. `reason`: why it is offline, or what it cannot do while it is online."""

    status: Literal["online", "offline"]
    version: str
    session_id: str = Field(description="one run of the service; a new one means that it was restarted")
    site_status: Literal["actual", "exercise", "test"]
    reason: str | None = None


class DroneStatus(Ours):
    """Whether the service hears a drone. Holds only while service/status says online: MQTT has one will a client."""

    drone_id: str
    status: Literal["online", "offline"]
    reason: str | None = None


class DroneState(Ours):
    """What changes seldom; retained, published when it changes. None means unknown."""

    drone_id: str
    connected: bool
    mode: str
    armed: bool | None = None
    landed: str | None = None
    sortie: str | None = Field(default=None, description="step of the flight that the service conducts")
    mission_id: str | None = None
    mission_item: int | None = None
    mission_items: int | None = None
    health: list[str] = Field(default=[], description="what is wrong, in words; empty: nothing known to be")
    battery_percent: int | None = Field(default=None, ge=0, le=100)
    dock_id: str | None = None


class Telemetry(Ours):
    """Position, attitude and battery, once a second, QoS 0, never retained. None means unknown."""

    drone_id: str
    vehicle_time_s: float | None = None
    latitude_deg: Latitude | None = None
    longitude_deg: Longitude | None = None
    amsl_m: float | None = None
    height_above_home_m: float | None = None
    velocity_north_m_s: float | None = None
    velocity_east_m_s: float | None = None
    velocity_down_m_s: float | None = None
    roll_deg: float | None = None
    pitch_deg: float | None = None
    yaw_deg: float | None = Field(default=None, description="clockwise from north")
    battery_fraction: float | None = None


class Ellipse(_Part):
    """Where the thing is with 95 % probability."""

    semi_major_m: float = Field(ge=0)
    semi_minor_m: float = Field(ge=0)
    azimuth_deg: float = Field(ge=0, lt=180, description="of the major axis, clockwise from true north")


class Location(_Part):
    """A WGS 84 position and its doubt."""

    latitude_deg: Latitude
    longitude_deg: Longitude
    amsl_m: float
    ellipse_95: Ellipse


class EvidenceLink(_Part):
    """A picture. `path` is relative to the site's evidence; `sha256` is of the file; `href` is given with the site's token."""

    path: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    width_px: int
    height_px: int
    role: str
    href: str | None = None


class Why(_Part):
    """Why the alert was raised, as far as machines can say."""

    rule_id: str
    rule_set: str
    reason: str
    confidence: float = Field(ge=0, le=1)
    looks: int = Field(ge=0, description="frames in which it was detected")
    chances: int = Field(ge=0, description="frames in which it could have been")
    tracks: int = Field(ge=1, description="separate tracks that were united")
    confirmed_by: str = Field(description="the rule by which vision confirmed the track")
    detectors: list[str]
    model_sha256: list[str]
    modalities: list[str]
    cameras: list[str]
    vehicles: list[str]
    temperature_max_c: float | None = None
    size_m: float | None = None
    speed_m_s: float | None = None
    exposure_s: float | None = Field(
        default=None, description="newest look, in seconds on the clock of the vehicle that had it"
    )


class EventFact(_Part):
    """One figure of an event, and the bound of the rule that it was held against where there is one."""

    name: str
    value: float
    bound: float | None = None
    unit: str = ""


class AlertEvent(_Part):
    """What a rule over time says of the thing: it lies, it stays, it stands in the way."""

    rule: str
    area_id: str | None
    area: str | None
    level: Level
    since: Utc
    at: Utc = Field(description="newest word of the rule")
    ended: bool
    confidence: float = Field(ge=0, le=1)
    facts: list[EventFact]


class ResponderOffer(_Part):
    """Somebody near. Distance over ground as the crow flies, not travel time."""

    responder_id: str
    name: str
    distance_m: float


class LastAction(_Part):
    """The newest word of the dispatch system, so that its sender sees it taken or refused."""

    event_id: str
    action: ActionKind
    by: str
    at: Utc
    note: str | None = None
    refused: str | None = None


class Alert(Ours):
    """An alert as it stands. Each message is the whole of it: the highest sequence holds."""

    alert_id: str
    sequence: int = Field(ge=1)
    phase: AlertPhase
    state: AlertState
    level: Level
    kind: str
    site_id: str
    site_status: Literal["actual", "exercise", "test"]
    mission_id: str | None
    incident_id: str
    observed_at: Utc = Field(description="exposure of the frame that confirmed it")
    raised_at: Utc
    updated_at: Utc
    expires_at: Utc | None = Field(description="unless acknowledged by then, it ends as expired and is escalated")
    location: Location | None
    location_missing: str | None = Field(default=None, description="why there is no location")
    places: list[str] = Field(default=[], description="the site's named areas in which it lies")
    why: Why
    events: list[AlertEvent] = Field(default=[], description="what rules over time say of it, one per rule and area")
    evidence: list[EvidenceLink]
    responders: list[ResponderOffer] = Field(default=[], description="nearest first")
    responders_note: str = "A suggestion by distance. A person confirms any dispatch with consequences."
    owner: str | None = None
    responder_id: str | None = Field(default=None, description="who was sent")
    outcome: str | None = None
    end_reason: Literal["resolved", "false_alarm", "expired"] | None = None
    escalation: int = 0
    escalated_from: str | None = None
    last_action: LastAction | None = None


class TimelineEntry(_Part):
    """One line of an incident's story."""

    at: Utc
    what: str


class Incident(Ours):
    """One thing in the world: retained while open; when it has ended the retained message is removed."""

    incident_id: str
    status: Literal["open", "ended"]
    kind: str
    site_id: str
    site_status: Literal["actual", "exercise", "test"]
    mission_id: str | None
    opened_at: Utc
    updated_at: Utc
    location: Location | None
    alerts: list[str]
    tracks: int
    vehicles: list[str]
    responder_id: str | None = None
    timeline: list[TimelineEntry]


class Ack(Theirs):
    """The dispatch system has this message and everything before it."""

    alert_id: Text
    sequence: int = Field(ge=1, le=2**31 - 1)
    by: Text


class Action(Theirs):
    """A decision of the dispatch system. `by` is the person or post that takes it."""

    alert_id: Text
    sequence: int | None = Field(default=None, ge=1, le=2**31 - 1, description="the newest message that was seen")
    action: ActionKind
    by: Text
    note: LongText | None = None
    to: Text | None = Field(default=None, description="transfer: to whom")
    responder_id: Text | None = Field(default=None, description="dispatch: who is sent")
    outcome: LongText | None = Field(default=None, description="resolve: what came of it")

    @model_validator(mode="after")
    def _complete(self) -> Action:
        needed = {ActionKind.TRANSFER: "to", ActionKind.DISPATCH: "responder_id", ActionKind.RESOLVE: "outcome"}
        field = needed.get(self.action)
        if field is not None and not (getattr(self, field) or "").strip():
            raise ValueError(f"the action {self.action} needs {field}")
        return self
