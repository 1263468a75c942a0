# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes over HTTP and WebSocket. Made from the service's own types here and nowhere else."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=400, pattern=r"\S")]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Out(BaseModel):
    """Answers: built from attributes of the service's own dataclasses."""

    model_config = ConfigDict(from_attributes=True)


class In(BaseModel):
    """Requests: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class NoticeOut(Out):
    """What is wrong with the progress of a flight: kind is off-way, off-height, no-progress or late.

    waypoint: towards which, from 1. metres: how far off. seconds: for how long, by the vehicle's clock; of one that is
    late planned_s is what its leg was to take. advice: what a person can do; nothing is done by itself.
    """

    kind: str
    text: str
    advice: str
    waypoint: int | None
    seconds: float
    metres: float | None
    planned_s: float | None


class ToldOut(NoticeOut):
    """A notice in the story of a flight. Once it has ended, metres is the most and seconds the whole of it."""

    began_at: datetime
    ended_at: datetime | None
    end_note: str


class VehicleOut(Out):
    """One vehicle's last known state. null means unknown."""

    vehicle_id: str
    connected: bool
    age_s: float | None
    mode: str
    armed: bool | None
    landed: str
    latitude_deg: float | None
    longitude_deg: float | None
    amsl_m: float | None
    height_above_home_m: float | None
    velocity_north_m_s: float | None
    velocity_east_m_s: float | None
    velocity_down_m_s: float | None
    yaw_deg: float | None
    battery_fraction: float | None
    position_ok: bool
    home_ok: bool
    armable: bool
    mission_current: int | None
    mission_total: int | None
    mission_reached: int | None
    system_id: int | None
    last_text: str | None
    refused_or_lost_datagrams: int | None
    sortie_id: str | None
    sortie_state: str | None
    notices: list[NoticeOut]


class ChildOut(Out):
    """A supervised part of the service."""

    name: str
    state: str
    restarts: int
    reason: str | None


class HealthOut(Out):
    """How the service is doing. `ok` means: every part runs.

    `refused_or_lost_datagrams` is the sum over the vehicles' doors where they are counted, null where none is;
    `noisy_doors` are those at which it goes on.
    """

    ok: bool
    site_id: str
    status: str
    version: str
    uptime_s: float
    refused_or_lost_datagrams: int | None
    doors_not_counted: list[str]
    noisy_doors: list[str]
    children: list[ChildOut]


class CoverageGapOut(Out):
    """A time in which one camera looked at nothing. `to` is null while it lasts."""

    camera_id: str
    from_: datetime = Field(alias="from")
    to: datetime | None
    reason: str


class CommandIn(In):
    """An order to one vehicle or to all."""

    kind: Literal["hold", "return", "land", "resume"]
    reason: Text = "ordered by the operator"
    expires_in_s: float = Field(default=10.0, gt=0, le=300)


class CommandOut(Out):
    """What became of an order. `confirmed` is by the vehicle's state, not by its answer; `connected`: it is heard."""

    command_id: str
    vehicle_id: str
    kind: str
    ok: bool
    confirmed: bool
    detail: str
    connected: bool


class OverrideIn(In):
    """Named findings that the caller takes upon themselves, and why."""

    codes: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(min_length=1, max_length=32)
    reason: Text


class FlyIn(In):
    """A plan (the `.plan` document) to fly with one vehicle."""

    vehicle_id: Identifier
    plan: dict[str, Any]
    reason: Text = "ordered by the operator"
    override: OverrideIn | None = None


class AbandonIn(In):
    """Why a sortie is given up whose vehicle is not heard of any more."""

    reason: Text


class FindingOut(Out):
    """The result of one named check that did not simply pass."""

    code: str
    severity: str
    message: str
    item: int | None


class MeetingOut(Out):
    """A flight under way that one which starts now would come too near to; later_s: what start would keep clear.

    stands: the other holds in the air. later_s is null where it has to move on first. stays_s: the other stays at a
    waypoint and goes on at an unknown moment within that time; null where it does not stay, or stands.
    """

    vehicle_id: str
    other_id: str
    stands: bool
    later_s: float | None
    lateral_m: float
    vertical_m: float
    stays_s: float | None


class FlyOut(Out):
    """A sortie that was accepted. warnings: the flights under way that it would meet, one line each; meetings: in figures."""

    sortie_id: str
    warnings: list[str]
    meetings: list[MeetingOut]


class SortieOut(Out):
    """One flight as it stands. autopilot_said: the words of the autopilot that `detail` quotes, if it does."""

    sortie_id: str
    vehicle_id: str
    mission_id: str | None
    purpose: str | None
    authority: str | None
    category: str | None
    state: str
    detail: str
    autopilot_said: str | None
    waypoints_reached: int
    waypoints_total: int
    findings: list[FindingOut]
    notices: list[ToldOut]
    outcome: str | None
    outcome_note: str | None


class PlaceOut(Out):
    """Where a vehicle was in the air, about once per second of its own clock (seconds since its boot)."""

    vehicle_time_s: float
    latitude_deg: float
    longitude_deg: float
    amsl_m: float


class MissionOut(Out):
    """One mission in the flight ledger: why, who, and how it ended."""

    mission_id: str
    purpose: str
    authority_who: str
    authority_ground: str
    category: str
    created_at: datetime
    ended_at: datetime | None
    outcome: str | None
    outcome_note: str | None


class AlertOut(Out):
    """One alert as the dispatch system sees it."""

    alert_id: str
    incident_id: str
    sequence: int
    phase: str
    level: str
    kind: str
    latitude_deg: float | None
    longitude_deg: float | None
    acknowledged: bool
    created_at: datetime
    updated_at: datetime
    document: dict[str, Any]


class ErrorOut(Out):
    """One line: what, where, how to mend it."""

    detail: str
