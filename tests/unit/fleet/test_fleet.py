# SPDX-License-Identifier: AGPL-3.0-or-later
"""Commands without a sortie on a vehicle in memory, and what the fleet refuses; whole flights are integration tests."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import timedelta

import pytest
from desk_vehicle import DeskVehicle, plan
from sqlalchemy import func, select

from dronectl.clock import SystemClock
from dronectl.fleet.carry_out import carry_out
from dronectl.fleet.commands import CommandKind, new_command
from dronectl.fleet.failsafe import FailsafePolicy
from dronectl.fleet.fleet import Fleet, FlightRefusedError, UnknownVehicleError
from dronectl.fleet.journal import SortieJournal
from dronectl.fleet.link import FlightMode, LandedState, LinkFailure, VehicleAddress
from dronectl.fleet.preflight import Preflight
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.fleet.vehicle import Vehicle
from dronectl.store import Store, StoreError
from dronectl.store.models import AuditRow, CommandEventRow, CommandRow, MissionRow
from missions.model import VehicleLimits
from missions.terrain import FlatTerrain

CLOCK = SystemClock()


@contextlib.asynccontextmanager
async def lone_vehicle(path, desk: DeskVehicle):
    """A vehicle without a sortie that hears its states."""
    async with Store.open(path / "site.db", "site") as store, asyncio.TaskGroup() as tasks:
        vehicle = Vehicle(
            desk,
            Preflight(VehicleLimits(), FailsafePolicy(), FlatTerrain(250.0), CLOCK),
            SortieJournal(store, CLOCK),
            CLOCK,
            lambda coroutine, name: tasks.create_task(coroutine, name=name),
            lambda _sortie: None,
        )

        async def pump():
            while True:
                vehicle.observe(desk.state())
                await asyncio.sleep(0.01)

        pumping = tasks.create_task(pump())
        yield vehicle
        pumping.cancel()


def command(kind: CommandKind, expires_in_s: float = 30.0):
    return new_command(kind, "d1", actor="pilot", reason="test", clock=CLOCK, expires_in_s=expires_in_s)


def in_the_air() -> DeskVehicle:
    desk = DeskVehicle()
    desk.become(armed=True, landed=LandedState.IN_AIR, mode=FlightMode.MISSION)
    return desk


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (CommandKind.HOLD, FlightMode.HOLD),
        (CommandKind.RETURN, FlightMode.RETURN),
        (CommandKind.ABORT, FlightMode.RETURN),
        (CommandKind.LAND, FlightMode.LAND),
    ],
)
async def test_a_vehicle_without_a_sortie_obeys(tmp_path, kind, mode):
    desk = in_the_air()
    async with lone_vehicle(tmp_path, desk) as vehicle:
        result = await carry_out(command(kind), vehicle, CLOCK, 20.0)
    assert (result.ok, result.confirmed) == (True, True)
    assert result.state is not None
    assert result.state.mode is mode


async def test_a_time_out_whose_state_shows_it_done_is_confirmed_and_not_sent_again(tmp_path):
    class Answerless(DeskVehicle):
        async def hold(self):
            self.become(mode=FlightMode.HOLD)
            await self._call("hold")

    desk = Answerless()
    desk.become(armed=True, landed=LandedState.IN_AIR, mode=FlightMode.MISSION)
    desk.broken["hold"] = LinkFailure.TIMEOUT
    async with lone_vehicle(tmp_path, desk) as vehicle:
        result = await carry_out(command(CommandKind.HOLD), vehicle, CLOCK, 20.0)
    assert result.confirmed
    assert desk.calls == ["hold"]


class StandingClock:
    """Time does not pass: no deadline comes while the machine does something else."""

    def __init__(self):
        self._now_s, self._now = CLOCK.monotonic_s(), CLOCK.utc()

    def monotonic_s(self):
        return self._now_s

    def utc(self):
        return self._now


async def test_what_is_refused_is_tried_again_and_then_told(tmp_path):
    desk = in_the_air()
    desk.broken["land"] = LinkFailure.DENIED
    async with lone_vehicle(tmp_path, desk) as vehicle:
        result = await carry_out(command(CommandKind.LAND), vehicle, StandingClock(), 0.2)
    assert (result.ok, result.confirmed) == (False, False)
    assert "denied" in result.detail
    assert desk.calls.count("land") == 3


async def test_what_is_not_sent(tmp_path):
    desk = DeskVehicle()
    async with lone_vehicle(tmp_path, desk) as vehicle:
        late = await carry_out(command(CommandKind.HOLD, expires_in_s=-1.0), vehicle, CLOCK, 5.0)
        assert not late.ok
        assert "expired" in late.detail
        grounded = await carry_out(command(CommandKind.RETURN), vehicle, CLOCK, 5.0)
        assert grounded.confirmed
        assert "ground" in grounded.detail
        resume = await carry_out(command(CommandKind.RESUME), vehicle, CLOCK, 5.0)
        assert not resume.ok
    assert desk.calls == []


def fleet_of(store: Store) -> Fleet:
    return Fleet(
        "site",
        [VehicleAddress("d1", "udpin://127.0.0.1:24999", 11)],
        VehicleLimits(),
        FailsafePolicy(),
        FlatTerrain(250.0),
        store,
        CLOCK,
        on_poses=lambda _samples: None,
    )


async def test_what_the_fleet_refuses(tmp_path):
    async with Store.open(tmp_path / "site.db", "site") as store:
        fleet = fleet_of(store)
        with pytest.raises(UnknownVehicleError, match="d1"):
            await fleet.command(CommandKind.HOLD, "d9", actor="p", reason="")
        with pytest.raises(ValueError, match="fly"):
            await fleet.command(CommandKind.FLY, "d1", actor="p", reason="")
        with pytest.raises(FlightRefusedError, match="not running"):
            await fleet.fly(plan(), actor="p", reason="")
        with pytest.raises(UnknownVehicleError):
            await fleet.fly(plan("d9"), actor="p", reason="")


async def test_a_full_disk_stops_a_resume_and_never_a_hold(tmp_path, monkeypatch):
    @contextlib.asynccontextmanager
    async def refuse():
        raise StoreError("the disk is full")
        yield  # pragma: no cover

    async with Store.open(tmp_path / "site.db", "site") as store:
        fleet = fleet_of(store)
        monkeypatch.setattr(store, "session", refuse)
        for kind in (CommandKind.HOLD, CommandKind.RETURN, CommandKind.LAND, CommandKind.ABORT):
            result = await fleet.command(kind, "d1", actor="p", reason="", timeout_s=0.2)
            assert "not running" in result.detail  # it got as far as the link, whose worker is not up
        for kind in (CommandKind.RESUME, CommandKind.DISARM):
            with pytest.raises(StoreError, match="full"):
                await fleet.command(kind, "d1", actor="p", reason="", timeout_s=0.2)


@contextlib.asynccontextmanager
async def stuck(store: Store):
    """A store whose disk does not answer: a transaction that does not end holds up every other."""
    blocked, done = asyncio.Event(), asyncio.Event()

    async def hang():
        async with store.session():
            blocked.set()
            await done.wait()

    hanging = asyncio.create_task(hang())
    await blocked.wait()
    try:
        yield
    finally:
        done.set()
        await hanging


async def logged(store: Store) -> list[tuple[str, str]]:
    async with store.reader() as session:
        rows = await session.execute(
            select(CommandRow.kind, CommandEventRow.event)
            .join(CommandEventRow, CommandEventRow.command_id == CommandRow.id)
            .order_by(CommandEventRow.row_id)
        )
        return [tuple(row) for row in rows]


async def test_a_disk_that_does_not_answer_delays_no_hold_and_the_log_follows(tmp_path):
    kinds = [CommandKind.HOLD, CommandKind.RETURN, CommandKind.LAND, CommandKind.ABORT]
    async with Store.open(tmp_path / "site.db", "site") as store:
        fleet = fleet_of(store)
        async with stuck(store):
            async with asyncio.timeout(20.0):
                results = await asyncio.gather(
                    *(fleet.command(k, "d1", actor="p", reason="", timeout_s=0.2, expires_in_s=10.0) for k in kinds)
                )
            assert all("not running" in r.detail for r in results)  # as far as the link, whose worker is not up
            assert await logged(store) == []
        async with asyncio.timeout(20.0):
            while len(await logged(store)) < 8:
                await asyncio.sleep(0.02)
        for kind in kinds:
            assert [event for k, event in await logged(store) if k == kind] == ["sent", "failed"]


async def test_what_a_store_refused_is_said_with_the_order_and_logged_with_its_own_time_when_it_can_be(
    tmp_path, caplog
):
    path = tmp_path / "site.db"
    async with Store.open(path, "site", busy_timeout_s=0.02) as store:
        fleet = fleet_of(store)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # another program holds it
            result = await fleet.command(CommandKind.HOLD, "d1", actor="p", reason="", timeout_s=0.2)
            given = CLOCK.utc()
            assert "not running" in result.detail  # as far as the link, whose worker is not up
            assert "not logged yet: " in result.detail
            assert "another program holds it locked" in result.detail
            await asyncio.sleep(1.2)
            other.execute("ROLLBACK")
        async with asyncio.timeout(20.0):
            while len(await logged(store)) < 2:
                await asyncio.sleep(0.02)
        assert await logged(store) == [("hold", "sent"), ("hold", "failed")]
        async with store.reader() as session:
            assert all(at <= given for at in await session.scalars(select(CommandEventRow.at)))
            assert all(at <= given for at in await session.scalars(select(AuditRow.at)))
    said = [r.getMessage().partition(": ")[0] for r in caplog.records if "logged" in r.getMessage()]
    assert said == ["hold of d1", "hold of d1"]  # once that it is not, once that it is


async def test_what_stays_out_of_the_log_is_named_at_the_end(tmp_path, caplog):
    path = tmp_path / "site.db"
    async with Store.open(path, "site", busy_timeout_s=0.02) as store:
        fleet = fleet_of(store)
        running = asyncio.create_task(fleet.run())
        async with asyncio.timeout(20.0):
            await fleet.started.wait()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await fleet.command(CommandKind.LAND, "d1", actor="p", reason="", timeout_s=0.2)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    lost = [r.getMessage() for r in caplog.records if "lost to the log" in r.getMessage()]
    assert [line.partition(": ")[0] for line in lost] == ["land of d1", "what came of land of d1"]
    assert "holds it locked" in lost[0]


class SetClock:
    """A clock whose UTC somebody sets."""

    set_by = timedelta(0)
    monotonic_s = CLOCK.monotonic_s

    def utc(self):
        return CLOCK.utc() + self.set_by


@pytest.mark.parametrize("set_by", [timedelta(days=3), -timedelta(days=3)])
async def test_a_clock_that_is_set_lets_no_order_expire_and_no_old_one_through(tmp_path, set_by):
    desk, clock = in_the_air(), SetClock()
    async with lone_vehicle(tmp_path, desk) as vehicle:
        orders = [
            new_command(CommandKind.HOLD, "d1", actor="p", reason="", clock=clock, expires_in_s=s) for s in (30.0, 0.05)
        ]
        await asyncio.sleep(0.1)
        clock.set_by = set_by
        held, late = [await carry_out(order, vehicle, clock, 5.0) for order in orders]
    assert held.confirmed
    assert (late.ok, "expired" in late.detail) == (False, True)
    assert desk.calls == ["hold"]


async def test_a_disk_that_does_not_answer_holds_up_a_resume(tmp_path):
    async with Store.open(tmp_path / "site.db", "site") as store:
        fleet = fleet_of(store)
        async with stuck(store):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await fleet.command(CommandKind.RESUME, "d1", actor="p", reason="", timeout_s=0.2)
        assert await logged(store) == []  # neither sent nor said to be


async def test_a_log_that_fails_in_an_unheard_of_way_stops_no_hold(tmp_path, monkeypatch):
    @contextlib.asynccontextmanager
    async def refuse():
        raise RuntimeError("something new")
        yield  # pragma: no cover

    async with Store.open(tmp_path / "site.db", "site") as store:
        fleet = fleet_of(store)
        monkeypatch.setattr(store, "session", refuse)
        result = await fleet.command(CommandKind.HOLD, "d1", actor="p", reason="", timeout_s=0.2)
        assert "not running" in result.detail


async def test_a_flight_counts_as_under_way_as_soon_as_it_is_ordered(tmp_path):
    """Two orders at once must see each other's plans: their return heights are compared before either is journalled."""
    async with Store.open(tmp_path / "site.db", "site") as store:
        fleet = fleet_of(store)
        running = asyncio.create_task(fleet.run())
        try:
            async with asyncio.timeout(20.0):
                await fleet.started.wait()
            async with stuck(store):
                flying = asyncio.create_task(fleet.fly(plan(), actor="p", reason=""))
                await asyncio.sleep(0.05)
                assert fleet.plan_under_way("d1") == plan()
                with pytest.raises(FlightRefusedError, match="being ordered"):
                    await fleet.fly(plan(), actor="q", reason="")
                flying.cancel()
                await asyncio.gather(flying, return_exceptions=True)
                assert fleet.plan_under_way("d1") is None
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_sortie_whose_vehicle_is_gone_can_be_given_up(tmp_path):
    """The journal of a service that died holds a flight; nothing is heard of the vehicle."""
    sortie = Sortie("s1", "d1", (None, None, 0, 1, 2, None), phase=Phase.FLYING, flown=True)
    async with Store.open(tmp_path / "site.db", "site") as store:
        await SortieJournal(store, CLOCK).open(sortie, plan(), actor="p", reason="", override=None)
        fleet = fleet_of(store)
        running = asyncio.create_task(fleet.run())
        try:
            async with asyncio.timeout(20.0):
                await fleet.started.wait()
            assert fleet.sortie_of("d1").phase is Phase.LOST_LINK
            with pytest.raises(KeyError):
                await fleet.abandon("s9", actor="p", reason="lost")
            closed = await fleet.abandon("s1", actor="p", reason="burnt out on the ridge")
            assert closed.phase is Phase.FAILED
            assert "burnt out" in closed.outcome.note
            assert fleet.sortie_of("d1") is None
            with pytest.raises(FlightRefusedError, match="ended"):
                await fleet.abandon("s1", actor="p", reason="again")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert await SortieJournal(store, CLOCK).open_sorties() == []
        async with store.reader() as session:
            said = [(r.actor, r.action, r.detail["reason"]) for r in await session.scalars(select(AuditRow))]
            assert said[-1] == ("p", "sortie.abandoned", "burnt out on the ridge")
            assert await session.scalar(select(func.count()).select_from(CommandRow)) == 0
            assert (await session.get(MissionRow, ("site", "m1"))).outcome_kind is not None
