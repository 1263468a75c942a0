# SPDX-License-Identifier: AGPL-3.0-or-later
"""The audit log of a site: who did what, each entry carrying the hash of the one before.

A changed, removed or inserted entry breaks the chain from there on; only cutting off the end leaves no mark, which
is why reports should quote the newest hash. Entries are written inside the caller's transaction, so that an act and
its entry stand or fall together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from dronectl.store.models import AuditRow
from dronectl.store.types import canonical_json, iso_utc

GENESIS: Final = "0" * 64
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking a chain gave: how many entries, the newest hash, and the first broken number (None: sound)."""

    entries: int
    head: str
    broken_at: int | None


def entry_hash(row: AuditRow) -> str:
    """SHA-256 over the canonical JSON of everything in the entry but its own hash."""
    text = canonical_json(
        {
            "site_id": row.site_id,
            "number": row.number,
            "at": iso_utc(row.at),
            "actor": row.actor,
            "action": row.action,
            "subject": row.subject,
            "detail": row.detail,
            "prev_hash": row.prev_hash,
        }
    )
    return hashlib.sha256(text.encode()).hexdigest()


async def record(
    session: AsyncSession,
    site_id: str,
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> AuditRow:
    """Append one entry inside the caller's write transaction (which has the only writer's lock)."""
    newest = (
        await session.execute(
            select(AuditRow).where(AuditRow.site_id == site_id).order_by(AuditRow.number.desc()).limit(1)
        )
    ).scalar_one_or_none()
    row = AuditRow(
        site_id=site_id,
        number=newest.number + 1 if newest else 1,
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        detail={"schema_version": SCHEMA_VERSION, **(detail or {})},
        prev_hash=newest.hash if newest else GENESIS,
    )
    row.hash = entry_hash(row)
    session.add(row)
    await session.flush()
    return row


async def verify(session: AsyncSession, site_id: str) -> Verdict:
    """Walk the whole chain of a site."""
    previous, number = GENESIS, 0
    rows = await session.stream_scalars(
        select(AuditRow).where(AuditRow.site_id == site_id).order_by(AuditRow.number).execution_options(yield_per=500)
    )
    async for row in rows:
        if row.number != number + 1 or row.prev_hash != previous or row.hash != entry_hash(row):
            return Verdict(number, previous, number + 1)
        previous, number = row.hash, row.number
    return Verdict(number, previous, None)
