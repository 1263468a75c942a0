# SPDX-License-Identifier: AGPL-3.0-or-later
"""The command log on a real database: written first, then what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from desk_vehicle import healthy
from sqlalchemy import select

from dronectl.fleet.commands import CommandKind, CommandLog, CommandResult, new_command, shows
from dronectl.fleet.link import FlightMode, LandedState
from dronectl.store import Store
from dronectl.store.models import AuditRow, CommandEventRow, CommandRow


@dataclass
class Clock:
    now: datetime = field(default=datetime(2026, 1, 2, tzinfo=UTC))

    def utc(self) -> datetime:
        return self.now

    def monotonic_s(self) -> float:
        return self.now.timestamp()


async def test_written_before_and_closed_after(tmp_path):
    clock = Clock()
    async with Store.open(tmp_path / "site.db", "site") as store:
        log = CommandLog(store, clock)
        commands = [
            new_command(CommandKind.HOLD, name, actor="pilot", reason="stop", clock=clock, expires_in_s=30.0)
            for name in ("d1", "d2")
        ]
        assert await log.issue(commands, {"why": "test"}) == commands
        async with store.reader() as session:
            rows = (await session.scalars(select(CommandRow).order_by(CommandRow.row_id))).all()
            assert [(r.vehicle_id, r.kind, r.actor) for r in rows] == [("d1", "hold", "pilot"), ("d2", "hold", "pilot")]
            assert [r.id for r in rows] == [c.command_id for c in commands]
            events = (await session.scalars(select(CommandEventRow))).all()
            assert [e.event for e in events] == ["sent", "sent"]
            audit = (await session.scalars(select(AuditRow))).one()
            assert (audit.action, audit.detail["vehicles"]) == ("command.hold", ["d1", "d2"])
        state = replace(healthy(), mode=FlightMode.HOLD)
        good = CommandResult(commands[0].command_id, "d1", CommandKind.HOLD, True, True, "", state)
        bad = CommandResult(commands[1].command_id, "d2", CommandKind.HOLD, False, False, "timeout: gone", None)
        await log.close([(commands[0], good), (commands[1], bad)])
        async with store.reader() as session:
            events = (await session.scalars(select(CommandEventRow).order_by(CommandEventRow.row_id))).all()
        assert [(e.command_id, e.event) for e in events[2:]] == [
            (good.command_id, "result"),
            (good.command_id, "confirmed"),
            (bad.command_id, "failed"),
        ]
        assert events[3].state["state"]["mode"] == "hold"
        assert events[4].detail == "timeout: gone"


async def test_an_expired_command_is_logged_and_not_given_back(tmp_path):
    clock = Clock()
    async with Store.open(tmp_path / "site.db", "site") as store:
        log = CommandLog(store, clock)
        command = new_command(CommandKind.RESUME, "d1", actor="p", reason="", clock=clock, expires_in_s=5.0)
        clock.now += timedelta(seconds=6)
        assert await log.issue([command]) == []
        async with store.reader() as session:
            assert [e.event for e in (await session.scalars(select(CommandEventRow))).all()] == ["expired"]


def test_a_command_needs_an_actor():
    with pytest.raises(ValueError, match="actor"):
        new_command(CommandKind.HOLD, "d1", actor=" ", reason="", clock=Clock(), expires_in_s=1.0)


@pytest.mark.parametrize(
    ("kind", "mode", "armed", "landed", "expected"),
    [
        (CommandKind.HOLD, FlightMode.HOLD, True, LandedState.IN_AIR, True),
        (CommandKind.HOLD, FlightMode.MISSION, True, LandedState.IN_AIR, False),
        (CommandKind.RETURN, FlightMode.RETURN, True, LandedState.IN_AIR, True),
        (CommandKind.RETURN, FlightMode.MISSION, True, LandedState.IN_AIR, False),
        (CommandKind.RETURN, FlightMode.MISSION, False, LandedState.ON_GROUND, True),
        (CommandKind.LAND, FlightMode.RETURN, True, LandedState.IN_AIR, False),
        (CommandKind.LAND, FlightMode.LAND, True, LandedState.LANDING, True),
        (CommandKind.RESUME, FlightMode.MISSION, True, LandedState.IN_AIR, True),
        (CommandKind.RESUME, FlightMode.MISSION, False, LandedState.ON_GROUND, False),
        (CommandKind.DISARM, FlightMode.HOLD, False, LandedState.ON_GROUND, True),
    ],
)
def test_what_a_state_shows(kind, mode, armed, landed, expected):
    assert shows(kind, replace(healthy(), mode=mode, armed=armed, landed=landed)) is expected
