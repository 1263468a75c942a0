# SPDX-License-Identifier: AGPL-3.0-or-later
"""Several vehicles: a link worker killed in flight, and an order to all."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from fleet_site import WORLDS, landed, phase, running_fleet, simulated, until, world
from sqlalchemy import select

from dronectl.fleet.commands import CommandKind
from dronectl.fleet.sortie_types import Phase
from dronectl.store import Store
from dronectl.store.models import AuditRow, CommandEventRow
from missions.model import OutcomeKind


@pytest.mark.parametrize("kind", WORLDS)
async def test_a_worker_killed_in_flight_comes_back_and_the_sorties_go_on(kind, tmp_path, pytestconfig):
    async with (
        world(kind, pytestconfig, tmp_path, vehicles=2) as site,
        running_fleet(site) as fleet,
    ):
        sortie_ids = [
            await fleet.fly(site.plan(name, laps=2), actor="pilot", reason="test") for name in site.vehicle_ids
        ]
        for sortie_id in sortie_ids:
            await phase(fleet, sortie_id, Phase.FLYING)
        before = dict(fleet.worker_pids)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        for sortie_id in sortie_ids:
            await phase(fleet, sortie_id, Phase.LOST_LINK)
        for sortie_id in sortie_ids:
            await phase(fleet, sortie_id, Phase.FLYING, Phase.RETURNING, Phase.LANDING, Phase.LANDED)
        assert set(fleet.worker_pids.values()).isdisjoint(before.values())
        for sortie in await asyncio.gather(*(landed(fleet, sortie_id) for sortie_id in sortie_ids)):
            assert sortie.outcome is not None
            assert sortie.outcome.kind is OutcomeKind.COMPLETED, sortie


async def test_hold_all_and_land_all_are_logged_and_confirmed(tmp_path):
    async with simulated(tmp_path, vehicles=3) as (site, _), running_fleet(site) as fleet:
        sortie_id = await fleet.fly(site.plan("d1", laps=4), actor="pilot", reason="test")
        await phase(fleet, sortie_id, Phase.FLYING)
        await until(lambda: all(s.connected for s in fleet.states.value.values()), "all are heard")
        held = await fleet.command_all(CommandKind.HOLD, actor="pilot", reason="stop", timeout_s=60.0)
        assert [r.vehicle_id for r in held] == list(site.vehicle_ids)
        assert all(r.ok and r.confirmed for r in held), held
        assert fleet.sorties.value[sortie_id].phase is Phase.PAUSED
        down = await fleet.command_all(CommandKind.LAND, actor="pilot", reason="down", timeout_s=60.0)
        assert all(r.confirmed for r in down), down
        await landed(fleet, sortie_id)
        async with Store.open(site.folder / "site.db", "test-site") as store, store.reader() as session:
            events = (await session.scalars(select(CommandEventRow).order_by(CommandEventRow.row_id))).all()
            audit = (await session.scalars(select(AuditRow).order_by(AuditRow.number))).all()
        for result in (*held, *down):
            told = [e.event for e in events if e.command_id == result.command_id]
            assert told == ["sent", "result", "confirmed"]
        assert [a.action for a in audit] == ["command.fly", "sortie.ordered", "command.hold", "command.land"]
