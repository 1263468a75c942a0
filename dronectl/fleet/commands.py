# SPDX-License-Identifier: AGPL-3.0-or-later
"""Commands to vehicles, and their log: written before anything is sent, result and confirming state appended.

Commands come from the API and the CLI; rows go to the store's append-only `commands` and `command_events`, with one
audit entry per order. An expired command is refused and logged as such: a late "return" helps, a late "resume" kills.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import insert

from dronectl.clock import Clock
from dronectl.fleet.link import FlightMode, VehicleState
from dronectl.fleet.state import on_ground_disarmed
from dronectl.store import Store
from dronectl.store.audit import record as record_audit
from dronectl.store.models import CommandEventRow, CommandRow

SCHEMA_VERSION: Final = 1
# With its NULLs written out, rows with and without a state go in one statement instead of one each.
_INSERT_EVENTS: Final = insert(CommandEventRow).execution_options(render_nulls=True)


class CommandKind(StrEnum):
    """What can be ordered of a vehicle."""

    HOLD = "hold"
    RETURN = "return"
    LAND = "land"
    RESUME = "resume"
    ABORT = "abort"
    FLY = "fly"
    DISARM = "disarm"


@dataclass(frozen=True, slots=True)
class Command:
    """One order to one vehicle. Times are aware UTC, for the log; until when it may be sent is measured evenly.

    valid_until_s: of the clock's monotonic seconds.
    """

    command_id: str
    actor: str
    reason: str
    vehicle_id: str
    kind: CommandKind
    issued_at: datetime
    expires_at: datetime
    valid_until_s: float


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of it. `ok`: the vehicle took it; `confirmed`: its state shows it."""

    command_id: str
    vehicle_id: str
    kind: CommandKind
    ok: bool
    confirmed: bool
    detail: str
    state: VehicleState | None


def new_command(
    kind: CommandKind, vehicle_id: str, *, actor: str, reason: str, clock: Clock, expires_in_s: float
) -> Command:
    """Make a command that is valid from now on. Raises ValueError without an actor."""
    if not actor.strip():
        raise ValueError("a command needs an actor")
    now, until_s = clock.utc(), clock.monotonic_s() + expires_in_s
    expires_at = now + timedelta(seconds=expires_in_s)
    return Command(str(uuid.uuid4()), actor, reason, vehicle_id, kind, now, expires_at, until_s)


def shows(kind: CommandKind, state: VehicleState) -> bool:
    """Whether a vehicle's state is what the command is for."""
    if kind is CommandKind.HOLD:
        return state.mode is FlightMode.HOLD
    if kind in (CommandKind.RETURN, CommandKind.ABORT):
        return state.mode in (FlightMode.RETURN, FlightMode.LAND) or on_ground_disarmed(state)
    if kind is CommandKind.LAND:
        return state.mode is FlightMode.LAND or on_ground_disarmed(state)
    if kind is CommandKind.DISARM:
        return state.armed is False
    return state.mode in (FlightMode.MISSION, FlightMode.TAKEOFF) and state.armed is True


@dataclass(frozen=True, slots=True)
class Entries:
    """Commands as they go into the log, dated when they were sent (UTC), with those that had not expired then."""

    commands: tuple[Command, ...]
    valid: tuple[Command, ...]
    at: datetime
    rows: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]


class CommandLog:
    """The log of one site."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def issue(self, commands: Sequence[Command], payload: dict[str, Any] | None = None) -> list[Command]:
        """Write the commands, one transaction and one audit entry for all; returns those that have not expired.

        Raises StoreError: what cannot be logged must not be sent.
        """
        entries = self.entries(commands, payload)
        await self.write(entries)
        return list(entries.valid)

    async def close(self, results: Sequence[tuple[Command, CommandResult]]) -> None:
        """Append what came of the commands. Raises StoreError."""
        await self.append(self.outcome(results))

    def entries(self, commands: Sequence[Command], payload: dict[str, Any] | None = None) -> Entries:
        """What `write` writes of commands that are sent now, whenever that will be."""
        now, now_s = self._clock.utc(), self._clock.monotonic_s()
        rows = [
            {
                "site_id": self._store.site_id,
                "id": command.command_id,
                "actor": command.actor,
                "reason": command.reason,
                "vehicle_id": command.vehicle_id,
                "kind": str(command.kind),
                "issued_at": command.issued_at,
                "expires_at": command.expires_at,
                "payload": {"schema_version": SCHEMA_VERSION, **(payload or {})},
            }
            for command in commands
        ]
        valid = tuple(c for c in commands if c.valid_until_s > now_s)
        events = tuple(self._event(c, "sent" if c in valid else "expired", None, None) for c in commands)
        return Entries(tuple(commands), valid, now, tuple(rows), events)

    async def write(self, entries: Entries) -> None:
        """Write commands, one transaction and one audit entry for all. Raises StoreError; nothing is written then."""
        if not entries.commands:
            return
        first = entries.commands[0]
        async with self._store.session() as session:
            await session.execute(insert(CommandRow), entries.rows)
            await session.execute(_INSERT_EVENTS, entries.events)
            vehicles = [c.vehicle_id for c in entries.commands]
            await record_audit(
                session,
                self._store.site_id,
                at=entries.at,
                actor=first.actor,
                action=f"command.{first.kind}",
                subject=first.vehicle_id if len(vehicles) == 1 else None,
                detail={"vehicles": vehicles, "reason": first.reason},
            )

    def outcome(self, results: Sequence[tuple[Command, CommandResult]]) -> list[dict[str, Any]]:
        """What `append` writes of results that are known now."""
        events = []
        for command, result in results:
            events.append(self._event(command, "result" if result.ok else "failed", result.detail, None))
            if result.confirmed:
                events.append(self._event(command, "confirmed", None, result.state))
        return events

    async def append(self, events: Sequence[dict[str, Any]]) -> None:
        """Append what became of commands. Raises StoreError; nothing is written then."""
        if not events:
            return
        async with self._store.session() as session:
            await session.execute(_INSERT_EVENTS, events)

    def _event(self, command: Command, event: str, detail: str | None, state: VehicleState | None) -> dict[str, Any]:
        document = None
        if state is not None:
            document = {"schema_version": SCHEMA_VERSION, "state": msgspec.to_builtins(state)}
        return {
            "site_id": self._store.site_id,
            "command_id": command.command_id,
            "at": self._clock.utc(),
            "event": event,
            "detail": detail or None,
            "state": document,
        }
