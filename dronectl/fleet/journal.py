# SPDX-License-Identifier: AGPL-3.0-or-later
"""The flight journal: each step of each sortie is written before it is taken, so that a restarted service knows.

Rows come from the vehicles' executors and go to the store's append-only `sortie_journal`; plan and mission rows are
written with the first of them. Rows of many vehicles share a transaction (group commit). After a restart
`open_sorties()` gives back what had not ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from dronectl.clock import Clock
from dronectl.fleet.preflight import Override
from dronectl.fleet.sortie_types import Sortie
from dronectl.fleet.stored_sorties import OpenSortie, open_sortie, plan_document, plan_hash, snapshot
from dronectl.store import Store, StoreError
from dronectl.store.audit import record as record_audit
from dronectl.store.models import MissionRow, PlanRow, SortieJournalRow
from missions.model import FlightPlan, Outcome, OutcomeKind

log = logging.getLogger(__name__)

ENDED_STEP: Final = "ended"
_MAX_WAITING = 4096  # rows that nobody waits for, kept while the store refuses; the oldest are dropped
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    row: SortieJournalRow
    outcome: Outcome | None
    written: asyncio.Future[None] | None


class SortieJournal:
    """Writes and reads the journal of one site."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._sequence: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()

    async def open(
        self, sortie: Sortie, plan: FlightPlan, *, actor: str, reason: str, override: Override | None
    ) -> None:
        """Write mission, plan and the first row in one transaction, with who ordered the flight.

        Raises StoreError, also when a restarted service would not find them: it could not adopt the flight.
        """
        self._store.must_last()
        now = self._clock.utc()
        hashed = plan_hash(plan)
        mission = plan.mission
        detail: dict[str, Any] = {"vehicle_id": sortie.vehicle_id, "reason": reason, "plan_hash": hashed}
        if override is not None:
            detail["override"] = {
                "codes": sorted(override.codes),
                "actor": override.actor,
                "reason": override.reason,
            }
        async with self._store.session() as session:
            site_id = self._store.site_id
            if await session.get(MissionRow, (site_id, mission.mission_id)) is None:
                session.add(
                    MissionRow(
                        site_id=site_id,
                        id=mission.mission_id,
                        purpose=mission.purpose,
                        authority_who=mission.authority.who,
                        authority_ground=mission.authority.ground,
                        category=str(mission.category),
                        created_at=now,
                    )
                )
            session.add(
                PlanRow(
                    site_id=site_id,
                    sortie_id=sortie.sortie_id,
                    vehicle_id=sortie.vehicle_id,
                    mission_id=mission.mission_id,
                    created_at=now,
                    plan_hash=hashed,
                    plan=plan_document(plan),
                )
            )
            session.add(self._row(sortie, "planned", mission.mission_id, hashed, None, detail))
            await record_audit(
                session, site_id, at=now, actor=actor, action="sortie.ordered", subject=sortie.sortie_id, detail=detail
            )

    async def abandoned(self, sortie_id: str, vehicle_id: str, *, actor: str, reason: str) -> None:
        """Note in the audit log who gives up a sortie, and why. Raises StoreError."""
        detail = {"vehicle_id": vehicle_id, "reason": reason}
        async with self._store.session() as session:
            await record_audit(
                session,
                self._store.site_id,
                at=self._clock.utc(),
                actor=actor,
                action="sortie.abandoned",
                subject=sortie_id,
                detail=detail,
            )

    def put(
        self,
        sortie: Sortie,
        step: str,
        *,
        mission_id: str,
        readback_hash: str | None = None,
        detail: dict[str, Any] | None = None,
        wait: bool = False,
    ) -> asyncio.Future[None] | None:
        """Queue a row. With `wait`, the future is done when it is on disk, and raises StoreError if it could not be."""
        written = asyncio.get_running_loop().create_future() if wait else None
        row = self._row(sortie, step, mission_id, None, readback_hash, detail)
        if len(self._waiting) >= _MAX_WAITING:
            first = self._waiting.popleft()
            gone = first.written
            if gone is None:
                row_ = first.row
                log.error("lost to the flight journal: %s of %s, sortie %s", row_.step, row_.vehicle_id, row_.sortie_id)
            elif not gone.done():
                gone.set_exception(StoreError("the flight journal is far behind: the store does not answer"))
        self._waiting.append(_Waiting(row, sortie.outcome if step == ENDED_STEP else None, written))
        self._wake.set()
        return written

    async def run(self) -> None:
        """Write what is queued, until cancelled; then write the rest."""
        failing = False
        writing: asyncio.Future[None] | None = None
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                # Shielded: a transaction that is cancelled half-way may have been committed or not.
                writing = asyncio.ensure_future(self._flush())
                try:
                    await asyncio.shield(writing)
                    if failing:
                        log.info("the flight journal is written again")
                    failing = False
                except StoreError as error:
                    if not failing:
                        log.error("the flight journal cannot be written: %s", error)  # noqa: TRY400  # one clear line
                    failing = True
                    await asyncio.sleep(_RETRY_S)
                    self._wake.set()
        finally:
            try:
                if writing is not None and not writing.done():
                    await writing
                await self._flush()
            except StoreError as error:
                lost = ", ".join(f"{w.row.step} of {w.row.vehicle_id}" for w in self._waiting)
                log.error("the end of the flight journal is lost (%s): %s", lost, error)  # noqa: TRY400  # one line

    async def _flush(self) -> None:
        batch = list(self._waiting)
        if not batch:
            return
        self._waiting.clear()
        try:
            async with self._store.session() as session:
                session.add_all([waiting.row for waiting in batch])
                await session.flush()
                for waiting in batch:
                    if waiting.outcome is not None and waiting.row.mission_id is not None:
                        await self._close_mission(session, waiting.row.mission_id)
        except StoreError as error:
            for waiting in batch:
                if waiting.written is not None and not waiting.written.done():
                    waiting.written.set_exception(error)
            kept = [replace(w, row=_copy(w.row)) for w in batch if w.written is None]
            self._waiting.extendleft(reversed(kept))
            raise
        for waiting in batch:
            if waiting.written is not None and not waiting.written.done():
                waiting.written.set_result(None)

    async def _close_mission(self, session: AsyncSession, mission_id: str) -> None:
        """When the last sortie of a mission has ended, the mission gets the sum of their outcomes."""
        rows = await self._last_rows(session, mission_id)
        outcomes = []
        for row in rows:
            document = (row.state or {}).get("outcome")
            if row.step != ENDED_STEP or document is None:
                return
            outcomes.append(msgspec.convert(document, Outcome))
        mission = await session.get(MissionRow, (self._store.site_id, mission_id))
        if mission is None or not outcomes:
            return
        outcome = outcome_of_mission(outcomes)
        mission.ended_at = self._clock.utc()
        mission.outcome_kind = str(outcome.kind)
        mission.outcome_note = outcome.note
        mission.items_done = outcome.items_done
        mission.items_total = outcome.items_total

    async def _last_rows(self, session: AsyncSession, mission_id: str | None) -> Sequence[SortieJournalRow]:
        table = SortieJournalRow
        newest = select(func.max(table.row_id)).where(table.site_id == self._store.site_id).group_by(table.sortie_id)
        if mission_id is not None:
            newest = newest.where(table.mission_id == mission_id)
        return (await session.scalars(select(table).where(table.row_id.in_(newest)).order_by(table.row_id))).all()

    async def open_sorties(self) -> list[OpenSortie]:
        """What a service that died has left behind, oldest first. Raises StoreError."""
        found = []
        async with self._store.reader() as session:
            for row in await self._last_rows(session, None):
                if row.step == ENDED_STEP or row.state is None:
                    continue
                plan = await session.get(PlanRow, (self._store.site_id, row.sortie_id))
                if plan is None:
                    continue
                table = SortieJournalRow
                readback = await session.scalar(
                    select(table.readback_hash)
                    .where(
                        table.site_id == self._store.site_id,
                        table.sortie_id == row.sortie_id,
                        table.readback_hash.is_not(None),
                    )
                    .order_by(table.row_id.desc())
                    .limit(1)
                )
                try:
                    found.append(open_sortie(row, plan, readback))
                except (ValueError, KeyError, msgspec.MsgspecError) as error:
                    # Another release wrote it. The vehicle is still seen and obeys, but without this sortie.
                    log.error("sortie %s cannot be adopted: %s", row.sortie_id, error)  # noqa: TRY400  # one clear line
                    continue
                self._sequence[row.sortie_id] = row.sequence
        return found

    def _row(
        self,
        sortie: Sortie,
        step: str,
        mission_id: str,
        hashed: str | None,
        readback_hash: str | None,
        detail: dict[str, Any] | None,
    ) -> SortieJournalRow:
        sequence = self._sequence.get(sortie.sortie_id, 0) + 1
        self._sequence[sortie.sortie_id] = sequence
        if step == ENDED_STEP:
            del self._sequence[sortie.sortie_id]
        return SortieJournalRow(
            site_id=self._store.site_id,
            sortie_id=sortie.sortie_id,
            vehicle_id=sortie.vehicle_id,
            mission_id=mission_id,
            sequence=sequence,
            at=self._clock.utc(),
            step=step,
            plan_hash=hashed,
            readback_hash=readback_hash,
            state=snapshot(sortie, detail),
        )


def _copy(row: SortieJournalRow) -> SortieJournalRow:
    """A row object that no failed session knows."""
    columns = SortieJournalRow.__table__.columns.keys()
    return SortieJournalRow(**{name: getattr(row, name) for name in columns if name != "row_id"})


def outcome_of_mission(outcomes: Sequence[Outcome]) -> Outcome:
    """A mission is completed when all of its sorties are, and partial when at least something was reached."""
    done, total = sum(o.items_done for o in outcomes), sum(o.items_total for o in outcomes)
    kinds = {o.kind for o in outcomes}
    if kinds == {OutcomeKind.COMPLETED}:
        kind = OutcomeKind.COMPLETED
    elif OutcomeKind.ABORTED in kinds and done < total:
        kind = OutcomeKind.ABORTED
    else:
        kind = OutcomeKind.PARTIAL if done else OutcomeKind.FAILED
    notes = dict.fromkeys(o.note for o in outcomes if o.kind is not OutcomeKind.COMPLETED)
    return Outcome(kind, "; ".join(notes) or "flown as planned", done, total)
