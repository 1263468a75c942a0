# SPDX-License-Identifier: AGPL-3.0-or-later
"""The flight journal on a real database: rows before steps, what was left open, outcomes of missions."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import replace

import pytest
from desk_vehicle import plan
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

import dronectl.fleet.journal as journal_module
from dronectl.clock import SystemClock
from dronectl.fleet.journal import SortieJournal, outcome_of_mission
from dronectl.fleet.link import FlightMode
from dronectl.fleet.preflight import Override
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.fleet.stored_sorties import items_hash, plan_document, plan_hash, plan_of
from dronectl.store import Store, StoreError
from dronectl.store.models import AuditRow, MissionRow, PlanRow, SortieJournalRow
from missions.mavlink_items import compile_plan
from missions.model import Outcome, OutcomeKind

SORTIE = Sortie("s1", "d1", (None, 0, 1, None))


@contextlib.asynccontextmanager
async def journal_on(path):
    async with Store.open(path / "site.db", "site") as store:
        journal = SortieJournal(store, SystemClock())
        task = asyncio.create_task(journal.run())
        try:
            yield store, journal
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def rows_of(store):
    async with store.reader() as session:
        return (await session.scalars(select(SortieJournalRow).order_by(SortieJournalRow.row_id))).all()


async def test_what_is_left_open_comes_back_with_plan_and_progress(tmp_path):
    override = Override(frozenset({"battery"}), "chief", "someone drowns")
    async with journal_on(tmp_path) as (store, journal):
        await journal.open(SORTIE, plan(), actor="pilot", reason="patrol", override=override)
        flying = replace(SORTIE, phase=Phase.FLYING, flown=True, reached_item=1, intent=FlightMode.MISSION)
        await journal.put(SORTIE, "read_back", mission_id="m1", readback_hash="abc", wait=True)
        journal.put(flying, "flying", mission_id="m1")  # not waited for: stopping writes it all the same
        async with store.reader() as session:
            audit = (await session.scalars(select(AuditRow))).one()
        assert audit.actor == "pilot"
        assert audit.detail["override"] == {"codes": ["battery"], "actor": "chief", "reason": "someone drowns"}
    async with journal_on(tmp_path) as (store, journal):
        (record,) = await journal.open_sorties()
        assert record.plan == plan()
        assert record.plan_hash == plan_hash(plan())
        assert record.readback_hash == "abc"
        assert (record.phase, record.flown, record.reached_item) == (Phase.FLYING, True, 1)
        assert record.intent is FlightMode.MISSION
        ended = replace(flying, phase=Phase.LANDED, outcome=Outcome(OutcomeKind.PARTIAL, "wind", 1, 2))
        await journal.put(ended, "ended", mission_id="m1", wait=True)
        assert await journal.open_sorties() == []
        assert [r.sequence for r in await rows_of(store)] == [1, 2, 3, 4]
        async with store.reader() as session:
            mission = await session.get(MissionRow, ("site", "m1"))
        assert (mission.outcome_kind, mission.outcome_note, mission.items_done) == ("partial", "wind", 1)
        assert mission.purpose == "a test"


async def test_a_mission_of_two_ends_with_the_last_of_them(tmp_path):
    async with journal_on(tmp_path) as (store, journal):
        second = replace(SORTIE, sortie_id="s2", vehicle_id="d2")
        for sortie, vehicle_id in ((SORTIE, "d1"), (second, "d2")):
            await journal.open(sortie, plan(vehicle_id), actor="p", reason="", override=None)
        done = Outcome(OutcomeKind.COMPLETED, "flown as planned", 2, 2)

        async def kind():
            async with store.reader() as session:
                return (await session.get(MissionRow, ("site", "m1"))).outcome_kind

        await journal.put(replace(SORTIE, phase=Phase.LANDED, outcome=done), "ended", mission_id="m1", wait=True)
        assert await kind() is None
        await journal.put(replace(second, phase=Phase.LANDED, outcome=done), "ended", mission_id="m1", wait=True)
        assert await kind() == "completed"


async def test_many_rows_at_once_are_all_written_in_order(tmp_path):
    async with journal_on(tmp_path) as (store, journal):
        await journal.open(SORTIE, plan(), actor="p", reason="", override=None)
        for number in range(100):
            journal.put(replace(SORTIE, reached_item=number), "flying", mission_id="m1")
        await journal.put(SORTIE, "last", mission_id="m1", wait=True)
        rows = await rows_of(store)
        assert [r.state["reached_item"] for r in rows[1:101]] == list(range(100))


def test_a_plan_survives_its_document():
    assert plan_of(plan_document(plan())) == plan()
    assert plan_hash(plan()) == plan_hash(plan())
    assert plan_hash(plan()) != plan_hash(plan(reach_m=101.0))
    with pytest.raises(ValueError, match="version 99"):
        plan_of({**plan_document(plan()), "schema_version": 99})


@given(st.integers(0, 4), st.sampled_from(["x", "y", "z", "param1", "command", "frame"]))
def test_the_hash_of_items_sees_every_change_but_rounding(index, name):
    items = compile_plan(plan()).items
    changed = list(items)
    changed[index] = replace(items[index], **{name: getattr(items[index], name) + 1})
    assert items_hash(changed) != items_hash(items)
    rounded = [replace(i, z=i.z + 1e-5, param1=i.param1 if math.isnan(i.param1) else i.param1 - 1e-5) for i in items]
    assert items_hash(rounded) == items_hash(items)


def test_outcomes_of_a_mission():
    def of(*kinds_and_done):
        return outcome_of_mission([Outcome(kind, kind.value, done, 3) for kind, done in kinds_and_done]).kind

    completed, partial, aborted, failed = OutcomeKind
    assert of((completed, 3), (completed, 3)) is completed
    assert of((completed, 3), (failed, 0)) is partial
    assert of((completed, 3), (aborted, 1)) is aborted
    assert of((failed, 0), (failed, 0)) is failed
    assert of((partial, 1)) is partial


async def test_a_sortie_of_another_release_does_not_keep_the_service_down(tmp_path, caplog):
    async with journal_on(tmp_path) as (store, journal):
        await journal.open(SORTIE, plan(), actor="p", reason="", override=None)
        async with store.session() as session:
            row = await session.get(PlanRow, ("site", "s1"))
            row.plan = {"schema_version": 99, "plan": {}}
        assert await journal.open_sorties() == []
    assert "version 99" in caplog.text


async def test_a_step_that_waits_for_a_row_that_had_to_go_is_told(tmp_path, monkeypatch):
    """A store that answers nobody for long: what waits in vain must not wait for ever."""
    monkeypatch.setattr(journal_module, "_MAX_WAITING", 3)
    async with Store.open(tmp_path / "site.db", "site") as store:
        journal = SortieJournal(store, SystemClock())
        sortie = Sortie("s1", "d1", ())
        written = journal.put(sortie, "arm", mission_id="m1", wait=True)
        for _ in range(3):
            journal.put(sortie, "flying", mission_id="m1")
        with pytest.raises(StoreError):
            async with asyncio.timeout(1.0):
                await written
