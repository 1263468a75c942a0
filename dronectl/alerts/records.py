# SPDX-License-Identifier: AGPL-3.0-or-later
"""Incidents and alerts to and from the store: rows whose `document` is the whole record, by msgspec."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final, TypeVar, cast

import msgspec
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncSession

from dronectl.alerts.model import AlertRecord, Incident
from dronectl.store.models import AlertRow, IncidentRow
from dronectl.store.upsert import upsert

log = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
T = TypeVar("T")
_ALERTS: Final = cast("Table", AlertRow.__table__)
_INCIDENTS: Final = cast("Table", IncidentRow.__table__)


async def save(session: AsyncSession, site_id: str, alert: AlertRecord, incident: Incident | None) -> None:
    """Insert or replace both within the caller's transaction."""
    if incident is not None:
        await upsert(session, _INCIDENTS, _incident_values(site_id, incident))
    await upsert(session, _ALERTS, _alert_values(site_id, alert))


def _alert_values(site_id: str, alert: AlertRecord) -> dict[str, Any]:
    return {
        "site_id": site_id,
        "id": alert.alert_id,
        "incident_id": alert.incident_id,
        "mission_id": alert.mission_id,
        "sequence": alert.sequence,
        "level": str(alert.decision.level),
        "kind": str(alert.facts.kind),
        "state": str(alert.state),
        "rule_id": alert.decision.rule_id,
        "created_at": alert.raised_at,
        "updated_at": alert.updated_at,
        "expires_at": alert.expires_at,
        "ended_at": alert.updated_at if alert.state.final else None,
        "document": _document(alert),
    }


def _incident_values(site_id: str, incident: Incident) -> dict[str, Any]:
    return {
        "site_id": site_id,
        "id": incident.incident_id,
        "mission_id": incident.mission_id,
        "kind": str(incident.kind),
        "opened_at": incident.opened_at,
        "updated_at": incident.updated_at,
        "ended_at": incident.settled_at,
        "document": _document(incident),
    }


async def read_alert(session: AsyncSession, site_id: str, alert_id: str) -> AlertRecord | None:
    """One alert, open or ended."""
    row = await session.get(AlertRow, (site_id, alert_id))
    return None if row is None else _record(row.document, AlertRecord, alert_id)


async def read_incident(session: AsyncSession, site_id: str, incident_id: str) -> Incident | None:
    """One incident, open or ended."""
    row = await session.get(IncidentRow, (site_id, incident_id))
    return None if row is None else _record(row.document, Incident, incident_id)


async def open_alerts(session: AsyncSession, site_id: str) -> list[AlertRecord]:
    """All alerts that have not ended, oldest first."""
    query = (
        select(AlertRow.id, AlertRow.document)
        .where(AlertRow.site_id == site_id, AlertRow.ended_at.is_(None))
        .order_by(AlertRow.id)
    )
    return _records(await session.execute(query), AlertRecord)


async def recent_alerts(session: AsyncSession, site_id: str, limit: int) -> list[AlertRecord]:
    """The newest alerts, open or ended, newest first."""
    query = (
        select(AlertRow.id, AlertRow.document)
        .where(AlertRow.site_id == site_id)
        .order_by(AlertRow.created_at.desc(), AlertRow.id.desc())
        .limit(limit)
    )
    return _records(await session.execute(query), AlertRecord)


async def recent_incidents(session: AsyncSession, site_id: str, limit: int) -> list[Incident]:
    """All open incidents, and of the settled ones the newest up to `limit`."""
    mine = select(IncidentRow.id, IncidentRow.document).where(IncidentRow.site_id == site_id)
    still_open = await session.execute(mine.where(IncidentRow.ended_at.is_(None)).order_by(IncidentRow.id))
    settled = await session.execute(
        mine.where(IncidentRow.ended_at.is_not(None)).order_by(IncidentRow.ended_at.desc()).limit(limit)
    )
    return _records((*still_open, *settled), Incident)


def _document(record: AlertRecord | Incident) -> dict[str, Any]:
    document = msgspec.to_builtins(record)
    return {"schema_version": SCHEMA_VERSION, **document}


def _records(rows: Iterable[Any], kind: type[T]) -> list[T]:
    """The readable ones of rows with an id and a document."""
    found = (_record(row.document, kind, row.id) for row in rows)
    return [record for record in found if record is not None]


def _record(document: dict[str, Any], kind: type[T], key: str) -> T | None:
    """None, and one line in the log, for what another release wrote: the service must come up without it."""
    why = f"it has schema version {document.get('schema_version')}"
    if document.get("schema_version") == SCHEMA_VERSION:
        try:
            return msgspec.convert(document, kind)
        except msgspec.MsgspecError as error:
            why = str(error)
    log.error("%s %s cannot be read: %s", kind.__name__, key, why)
    return None
