# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keeping evidence and letting it go: what is due is deleted, what is held stays; that, and every look, is in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dronectl.alerts.even_time import EvenTime
from dronectl.clock import Clock
from dronectl.store import Store, audit
from vision.errors import EvidenceError
from vision.evidence_index import EvidenceIndex, Indexed

_LISTED: Final = 500  # hashes in one audit entry
_SET_AHEAD_S: Final = 3600.0
_PROOF: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has deleted, or would delete."""

    due: tuple[Indexed, ...]
    deleted: int


class UnfinishedSweepError(EvidenceError):
    """Some files cannot be deleted; all others that were due are. One line with the first of them."""

    def __init__(self, words: str, swept: Swept) -> None:
        super().__init__(words)
        self.swept = swept


class SweepTime:
    """The time by which a running service deletes: a clock that is wrong for a moment must not cost evidence.

    One that is set ahead by more than an hour is believed when it has stood for a day. What it said when the service
    started is believed; nothing here could tell.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._even = EvenTime(clock)
        self._believed_s = 0.0  # by how much it has been set ahead since the start
        self._doubted: tuple[float, datetime] | None = None  # the same, and since when

    def now(self) -> datetime | None:
        """UTC; None while it is not believed."""
        ahead_s, now = self._even.behind_s(), self._even.now()
        if ahead_s - self._believed_s <= _SET_AHEAD_S:
            self._doubted = None
            return self._clock.utc()
        if self._doubted is None or abs(ahead_s - self._doubted[0]) > _SET_AHEAD_S:
            self._doubted = ahead_s, now
        if now - self._doubted[1] < _PROOF:
            return None
        self._believed_s, self._doubted = ahead_s, None
        return self._clock.utc()


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

    Raises StoreError (what that entry would have named is not deleted), EvidenceError (the index cannot be used) and
    UnfinishedSweepError (files that cannot be deleted keep no other; the next sweep tries them again).
    """
    due = tuple(await asyncio.to_thread(index.expired, now.timestamp(), retention_days))
    if dry or not due:
        return Swept(due, 0)
    deleted, failed = 0, list[EvidenceError]()
    for start in range(0, len(due), _LISTED):
        part = due[start : start + _LISTED]
        detail = {
            "retention_days": dict(retention_days),
            "files": [{"path": i.path, "sha256": i.sha256, "tag": i.tag} for i in part],
        }
        async with store.session() as session:
            await audit.record(session, store.site_id, at=now, actor=actor, action="evidence.expired", detail=detail)
        gone, refused = await asyncio.to_thread(_remove, index, part)
        deleted += gone
        failed += refused
    swept = Swept(due, deleted)
    if failed:
        others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise UnfinishedSweepError(f"{failed[0]}{others}", swept)
    return swept


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


def _remove(index: EvidenceIndex, items: tuple[Indexed, ...]) -> tuple[int, list[EvidenceError]]:
    """How many are gone, and what was said of the others."""
    gone, failed = 0, list[EvidenceError]()
    for item in items:
        try:
            gone += index.remove(item)
        except EvidenceError as error:
            failed.append(error)
    return gone, failed
