# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables. Every row and every key carries the site id, because a hub keeps many sites in one database.

Append-only tables (triggers in the database see to it): commands, command_events, sortie_journal, alert_actions,
audit. Their order is `row_id`. The shape of the tables is made by the migrations; a test compares both.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

from sqlalchemy import Float, ForeignKeyConstraint, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dronectl.store.types import Document, UtcTime

APPEND_ONLY: Final = ("commands", "command_events", "sortie_journal", "alert_actions", "audit")


class Base(DeclarativeBase):
    """Naming of constraints, so that migrations can name them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UtcTime, dict[str, Any]: Document, str: String(255), float: Float}


class MissionRow(Base):
    """A mission: purpose, authority and category from the start, an outcome at its end."""

    __tablename__ = "missions"

    site_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(Text)
    authority_who: Mapped[str]
    authority_ground: Mapped[str] = mapped_column(Text)
    category: Mapped[str]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome_kind: Mapped[str | None]
    outcome_note: Mapped[str | None] = mapped_column(Text)
    items_done: Mapped[int | None]
    items_total: Mapped[int | None]


class CommandRow(Base):
    """A command to a vehicle, written before it is sent. Append-only."""

    __tablename__ = "commands"
    __table_args__ = (
        UniqueConstraint("site_id", "id"),
        Index(None, "site_id", "vehicle_id", "issued_at"),
    )

    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    site_id: Mapped[str]
    id: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str] = mapped_column(Text)
    vehicle_id: Mapped[str]
    kind: Mapped[str]
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    payload: Mapped[dict[str, Any]]


class CommandEventRow(Base):
    """What became of a command: sent, result, confirmed (by state), expired, failed. Append-only."""

    __tablename__ = "command_events"
    __table_args__ = (
        ForeignKeyConstraint(["site_id", "command_id"], ["commands.site_id", "commands.id"]),
        Index(None, "site_id", "command_id"),
    )

    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    site_id: Mapped[str]
    command_id: Mapped[str]
    at: Mapped[datetime]
    event: Mapped[str]
    detail: Mapped[str | None] = mapped_column(Text)
    state: Mapped[dict[str, Any] | None]


class SortieJournalRow(Base):
    """One step of one flight, written before the step is taken. Append-only."""

    __tablename__ = "sortie_journal"
    __table_args__ = (
        UniqueConstraint("site_id", "sortie_id", "sequence"),
        Index(None, "site_id", "vehicle_id", "at"),
    )

    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    site_id: Mapped[str]
    sortie_id: Mapped[str]
    vehicle_id: Mapped[str]
    mission_id: Mapped[str | None]
    sequence: Mapped[int]
    at: Mapped[datetime]
    step: Mapped[str]
    plan_hash: Mapped[str | None]
    readback_hash: Mapped[str | None]
    state: Mapped[dict[str, Any] | None]


class PlanRow(Base):
    """The plan that a sortie flies."""

    __tablename__ = "plans"

    site_id: Mapped[str] = mapped_column(primary_key=True)
    sortie_id: Mapped[str] = mapped_column(primary_key=True)
    vehicle_id: Mapped[str]
    mission_id: Mapped[str | None]
    created_at: Mapped[datetime]
    plan_hash: Mapped[str | None]
    plan: Mapped[dict[str, Any]]


class IncidentRow(Base):
    """One thing in the world, made of the sightings that vision united. `document` is the whole of it."""

    __tablename__ = "incidents"
    __table_args__ = (Index(None, "site_id", "ended_at"),)

    site_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    mission_id: Mapped[str | None]
    kind: Mapped[str]
    opened_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    document: Mapped[dict[str, Any]]


class AlertRow(Base):
    """An alert as it stands now. `document` is the whole of it; the columns are for finding it."""

    __tablename__ = "alerts"
    __table_args__ = (
        ForeignKeyConstraint(["site_id", "incident_id"], ["incidents.site_id", "incidents.id"]),
        Index(None, "site_id", "ended_at"),
        Index(None, "site_id", "incident_id"),
    )

    site_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    incident_id: Mapped[str]
    mission_id: Mapped[str | None]
    sequence: Mapped[int]
    level: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str]
    rule_id: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    document: Mapped[dict[str, Any]]


class OutboxRow(Base):
    """One message that the dispatch system must acknowledge. `payload` is published as it stands, every time."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("site_id", "message_id"),
        UniqueConstraint("site_id", "alert_id", "sequence"),
        ForeignKeyConstraint(["site_id", "alert_id"], ["alerts.site_id", "alerts.id"]),
        Index(None, "site_id", "closed_at", "next_attempt_at"),
    )

    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    site_id: Mapped[str]
    message_id: Mapped[str]
    alert_id: Mapped[str]
    sequence: Mapped[int]
    topic: Mapped[str]
    payload: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    first_attempt_at: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]


class AlertActionRow(Base):
    """A word of the dispatch system on an alert, once per CloudEvent (source, id). Append-only."""

    __tablename__ = "alert_actions"
    __table_args__ = (
        UniqueConstraint("site_id", "source", "event_id"),
        Index(None, "site_id", "alert_id"),
    )

    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    site_id: Mapped[str]
    source: Mapped[str]
    event_id: Mapped[str]
    alert_id: Mapped[str]
    sequence: Mapped[int | None]
    action: Mapped[str]
    actor: Mapped[str]
    said_at: Mapped[datetime]
    received_at: Mapped[datetime]
    refused: Mapped[str | None] = mapped_column(Text)
    payload: Mapped[dict[str, Any]]


class AuditRow(Base):
    """One entry of the hash-chained audit log of a site. Append-only."""

    __tablename__ = "audit"
    __table_args__ = (UniqueConstraint("site_id", "number"), UniqueConstraint("site_id", "prev_hash"))

    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    site_id: Mapped[str]
    number: Mapped[int]
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str | None]
    detail: Mapped[dict[str, Any]]
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
