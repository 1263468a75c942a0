# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keeping evidence and letting it go: what is due is deleted, what is held stays; that, and every look, is in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dronectl.store import Store, audit
from vision.evidence_index import EvidenceIndex, Indexed

_LISTED: Final = 500  # hashes in one audit entry


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has deleted, or would delete."""

    due: tuple[Indexed, ...]
    deleted: int


async def sweep(
    index: EvidenceIndex,
    store: Store,
    retention_days: Mapping[str, float],
    now: datetime,
    *,
    actor: str,
    dry: bool = False,
) -> Swept:
    """Delete pictures whose time is up. First the entry in the audit log, then the files: nothing goes unsaid.

    Raises StoreError (then nothing was deleted) and EvidenceError (a file that cannot be deleted; the next sweep tries
    again).
    """
    due = tuple(await asyncio.to_thread(index.expired, now.timestamp(), retention_days))
    if dry or not due:
        return Swept(due, 0)
    deleted = 0
    for start in range(0, len(due), _LISTED):
        part = due[start : start + _LISTED]
        detail = {
            "retention_days": dict(retention_days),
            "files": [{"path": i.path, "sha256": i.sha256, "tag": i.tag} for i in part],
        }
        async with store.session() as session:
            await audit.record(session, store.site_id, at=now, actor=actor, action="evidence.expired", detail=detail)
        deleted += await asyncio.to_thread(_remove, index, part)
    return Swept(due, deleted)


async def hold(index: EvidenceIndex, store: Store, path: str, reason: str | None, now: datetime, *, actor: str) -> bool:
    """Put a picture under legal hold, or release it (no reason); False, and no entry, when there is no such picture."""
    if not any(item.path == path for item in await asyncio.to_thread(index.find)):
        return False
    action = "evidence.released" if reason is None else "evidence.held"
    async with store.session() as session:
        await audit.record(
            session, store.site_id, at=now, actor=actor, action=action, subject=path, detail={"reason": reason}
        )
    return await asyncio.to_thread(index.hold, path, reason)


async def note_view(store: Store, name: str, now: datetime, *, actor: str) -> None:
    """Write down that somebody looks at a picture or clip. Raises StoreError."""
    async with store.session() as session:
        await audit.record(session, store.site_id, at=now, actor=actor, action="evidence.viewed", subject=name)


def _remove(index: EvidenceIndex, items: tuple[Indexed, ...]) -> int:
    return sum(index.remove(item) for item in items)
