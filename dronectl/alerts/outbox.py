# SPDX-License-Identifier: AGPL-3.0-or-later
"""The outbox: every alert message, written in the transaction that changes the alert, until dispatch acknowledges it.

The publisher sends what is due, in order, and again with a growing wait, and everything again after a reconnect. The
broker's PUBACK only means that the broker has it. A row is closed by the dispatch system's ack, which names alert
and sequence and closes everything up to it. The same row is always the same bytes, so its CloudEvent id stays.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import CursorResult, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from dronectl.bus.client import Bus, BusDownError
from dronectl.clock import Clock
from dronectl.store import Store, StoreError
from dronectl.store.models import OutboxRow

log = logging.getLogger(__name__)

_BATCH: Final = 128
_WINDOW: Final = 32
_IDLE_S: Final = 1.0
_AFTER_FAILURE_S: Final = 0.2
_AFTER_STORE_ERROR_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before a message is sent again: first_s, doubling up to cap_s, each with +-25 % jitter."""

    first_s: float = 5.0
    cap_s: float = 30.0

    def wait_s(self, attempts: int, chance: float) -> float:
        """The wait after `attempts` (1 or more); `chance` in [0, 1)."""
        return float(min(self.cap_s, self.first_s * 2.0 ** min(attempts - 1, 30))) * (0.75 + 0.5 * chance)


def row(
    site_id: str, *, message_id: str, alert_id: str, sequence: int, topic: str, payload: bytes, now: datetime
) -> OutboxRow:
    """A message to be added in the transaction that changes its alert."""
    return OutboxRow(
        site_id=site_id,
        message_id=message_id,
        alert_id=alert_id,
        sequence=sequence,
        topic=topic,
        payload=payload.decode(),
        created_at=now,
        attempts=0,
        next_attempt_at=now,
    )


async def close(session: AsyncSession, site_id: str, alert_id: str, sequence: int, *, by: str, now: datetime) -> int:
    """Close everything of an alert up to a sequence; returns how many rows were open."""
    result = await session.execute(
        update(OutboxRow)
        .where(
            OutboxRow.site_id == site_id,
            OutboxRow.alert_id == alert_id,
            OutboxRow.sequence <= sequence,
            OutboxRow.closed_at.is_(None),
        )
        .values(closed_at=now, closed_by=by)
    )
    return cast("CursorResult[Any]", result).rowcount


async def count_open(session: AsyncSession, site_id: str) -> int:
    """How many messages dispatch has not acknowledged."""
    query = (
        select(func.count()).select_from(OutboxRow).where(OutboxRow.site_id == site_id, OutboxRow.closed_at.is_(None))
    )
    return (await session.execute(query)).scalar_one()


class OutboxPublisher:
    """Sends the outbox of a site. `run()` until cancelled; `wake()` after adding a row."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, backoff: Backoff | None = None) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._rng = random.Random()  # jitter only
        self._woken = asyncio.Event()
        self._heard_s: float | None = None
        self._listened = False
        self.sent = 0
        self.sent_again = 0

    def answered(self) -> None:
        """Dispatch has answered, so it listens: what was sent in vain before is due at once, not at its next turn."""
        now_s = self._clock.monotonic_s()
        if self._heard_s is None or now_s - self._heard_s >= self._backoff.first_s:
            self._heard_s = now_s
            self._listened = True
            self.wake()

    def wake(self) -> None:
        """There is something new to send."""
        self._woken.set()

    async def run(self) -> None:
        """Send what is due, for ever. The store's troubles are logged once and waited out."""
        connection = 0
        troubled = False
        while True:
            await self._bus.wait_connected()
            try:
                if self._bus.state.value.connections != connection:
                    await self._all_due(sent_at_least=0)
                    connection = self._bus.state.value.connections
                if self._listened:
                    self._listened = False
                    await self._all_due(sent_at_least=2)
                self._woken.clear()
                sent = await self._send_due()
            except BusDownError:
                await asyncio.sleep(_AFTER_FAILURE_S)
                continue
            except StoreError as error:
                if not troubled:
                    log.error("the outbox cannot be read or written, trying on: %s", error)  # noqa: TRY400
                troubled = True
                await asyncio.sleep(_AFTER_STORE_ERROR_S)
                continue
            if troubled:
                log.info("the outbox works again")
                troubled = False
            if sent == 0:
                try:
                    async with asyncio.timeout(_IDLE_S):
                        await self._woken.wait()
                except TimeoutError:
                    continue

    async def _all_due(self, sent_at_least: int) -> None:
        """After a reconnect nobody knows what the broker still has."""
        async with self._store.session() as session:
            await session.execute(
                update(OutboxRow)
                .where(
                    OutboxRow.site_id == self._store.site_id,
                    OutboxRow.closed_at.is_(None),
                    OutboxRow.attempts >= sent_at_least,
                )
                .values(next_attempt_at=self._clock.utc())
            )

    async def _send_due(self) -> int:
        now = self._clock.utc()
        too_far = now + timedelta(seconds=2.0 * self._backoff.cap_s)  # the clock was set back meanwhile
        async with self._store.reader() as session:
            due = (
                await session.execute(
                    select(OutboxRow.row_id, OutboxRow.topic, OutboxRow.payload, OutboxRow.attempts)
                    .where(
                        OutboxRow.site_id == self._store.site_id,
                        OutboxRow.closed_at.is_(None),
                        or_(OutboxRow.next_attempt_at <= now, OutboxRow.next_attempt_at > too_far),
                    )
                    .order_by(OutboxRow.row_id)
                    .limit(_BATCH)
                )
            ).all()
        if not due:
            return 0
        window = asyncio.Semaphore(_WINDOW)  # first come, first served: the order of the rows

        async def send(topic: str, payload: str) -> None:
            async with window:
                await self._bus.publish(topic, payload.encode())

        results = await asyncio.gather(*(send(topic, payload) for _, topic, payload, _ in due), return_exceptions=True)
        taken = [(r.row_id, r.attempts + 1) for r, result in zip(due, results, strict=True) if result is None]
        if taken:
            await self._note_sent(taken)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(taken)

    async def _note_sent(self, taken: list[tuple[int, int]]) -> None:
        now = self._clock.utc()
        self.sent += len(taken)
        self.sent_again += sum(attempts > 1 for _, attempts in taken)
        async with self._store.session() as session:
            await session.execute(
                update(OutboxRow),
                [
                    {
                        "row_id": row_id,
                        "attempts": attempts,
                        "next_attempt_at": now + timedelta(seconds=self._backoff.wait_s(attempts, self._rng.random())),
                        **({"first_attempt_at": now} if attempts == 1 else {}),
                    }
                    for row_id, attempts in taken
                ],
            )
