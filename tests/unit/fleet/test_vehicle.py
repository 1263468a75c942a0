# SPDX-License-Identifier: AGPL-3.0-or-later
"""The executor on a vehicle in memory: the journal comes first, urgent actions overtake, aborts drop the rest."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from desk_vehicle import DeskVehicle, plan
from sqlalchemy import select

from dronectl.clock import SystemClock
from dronectl.fleet.carry_out import carry_out
from dronectl.fleet.commands import CommandKind, new_command
from dronectl.fleet.failsafe import FailsafePolicy
from dronectl.fleet.journal import SortieJournal
from dronectl.fleet.link import FlightMode, LandedState, LinkFailure
from dronectl.fleet.preflight import Preflight
from dronectl.fleet.sortie_types import Order, Phase, Sortie
from dronectl.fleet.stored_sorties import OpenSortie, items_hash
from dronectl.fleet.vehicle import Vehicle, VehicleBusyError
from dronectl.store import Store, StoreError
from dronectl.store.models import SortieJournalRow
from missions.mavlink_items import compile_plan
from missions.model import OutcomeKind, VehicleLimits
from missions.terrain import FlatTerrain

CLOCK = SystemClock()
PREFLIGHT = Preflight(VehicleLimits(), FailsafePolicy(), FlatTerrain(250.0), CLOCK)


@contextlib.asynccontextmanager
async def executor(path, desk: DeskVehicle, preflight: Preflight = PREFLIGHT):
    """A Vehicle with its journal, and a pump that feeds it states and ticks."""
    async with Store.open(path / "site.db", "site") as store:
        journal = SortieJournal(store, CLOCK)
        async with asyncio.TaskGroup() as tasks:
            vehicle = Vehicle(
                desk,
                preflight,
                journal,
                CLOCK,
                lambda coroutine, name: tasks.create_task(coroutine, name=name),
                lambda _sortie: None,
            )

            async def pump():
                while True:
                    vehicle.observe(desk.state())
                    vehicle.tick()
                    await asyncio.sleep(0.01)

            background = [tasks.create_task(journal.run()), tasks.create_task(pump())]
            yield vehicle, store
            for task in background:
                task.cancel()


async def until(condition):
    async with asyncio.timeout(30.0):
        while not condition():
            await asyncio.sleep(0.005)


async def begin(vehicle: Vehicle):
    await vehicle.begin(Sortie("s1", "d1", ()), plan(), actor="p", reason="r", override=None)


def phase_is(vehicle: Vehicle, phase: Phase):
    return lambda: vehicle._sortie is not None and vehicle._sortie.phase is phase


async def fly(vehicle: Vehicle, desk: DeskVehicle, **state):
    """Until it is flying; more of the state that it then has."""
    await begin(vehicle)
    await until(phase_is(vehicle, Phase.TAKING_OFF))
    desk.become(landed=LandedState.IN_AIR, **state)
    await until(phase_is(vehicle, Phase.FLYING))


async def journal_steps(store) -> list[str]:
    async with store.reader() as session:
        return [r.step for r in await session.scalars(select(SortieJournalRow).order_by(SortieJournalRow.row_id))]


async def test_every_step_is_journalled_before_it_is_taken(tmp_path):
    desk = DeskVehicle()
    written_before_arming: list[str] = []
    async with executor(tmp_path, desk) as (vehicle, store):

        class Spy(DeskVehicle):
            async def arm(self):
                written_before_arming.extend(await journal_steps(store))
                await super().arm()

        desk.__class__ = Spy
        await begin(vehicle)
        await until(phase_is(vehicle, Phase.TAKING_OFF))
        desk.become(landed=LandedState.IN_AIR, mission_reached=6, mission_total=len(desk.mission))
        await until(phase_is(vehicle, Phase.FLYING))
        desk.become(mode=FlightMode.RETURN)
        await until(phase_is(vehicle, Phase.RETURNING))
        desk.become(landed=LandedState.ON_GROUND, armed=False)
        await until(phase_is(vehicle, Phase.LANDED))
        assert vehicle._sortie.outcome.kind is OutcomeKind.COMPLETED
        assert vehicle.sortie is None
    assert written_before_arming[:2] == ["planned", "preflight"]
    assert "read_back" in written_before_arming
    assert written_before_arming[-1] == "arm"
    assert [c for c in desk.calls if not c.startswith(("get", "set"))] == [
        "wait_connected",
        "upload_fence",
        "download_fence",
        "upload",
        "download",
        "arm",
        "start",
    ]


async def test_a_hold_overtakes_a_start_that_hangs(tmp_path):
    desk = DeskVehicle()
    async with executor(tmp_path, desk) as (vehicle, _):
        await fly(vehicle, desk, mission_current=2)
        vehicle.order(Order.HOLD)
        await until(phase_is(vehicle, Phase.PAUSED))
        desk.slow["start"] = asyncio.Event()
        vehicle.order(Order.RESUME)
        await until(lambda: desk.calls[-1] == "start")
        vehicle.order(Order.RETURN)
        await until(phase_is(vehicle, Phase.RETURNING))
        desk.slow["start"].set()
        await asyncio.sleep(0.05)
        assert desk.now.mode is FlightMode.RETURN  # the hanging start was dropped


async def test_an_abort_during_the_upload_cancels_it(tmp_path):
    desk = DeskVehicle()
    desk.slow["upload"] = asyncio.Event()
    async with executor(tmp_path, desk) as (vehicle, _):
        await begin(vehicle)
        await until(lambda: "upload" in desk.calls)
        vehicle.order(Order.ABORT)
        await until(lambda: "cancel_upload" in desk.calls)
        assert vehicle.sortie is None
        assert desk.mission == ()
    async with Store.open(tmp_path / "site.db", "site") as store:
        assert (await journal_steps(store))[-1] == "ended"


async def test_a_mission_that_reads_back_otherwise_is_not_flown(tmp_path):
    desk = DeskVehicle()
    desk.warp_m = -20.0
    async with executor(tmp_path, desk) as (vehicle, _):
        await begin(vehicle)
        await until(phase_is(vehicle, Phase.FAILED))
        assert "read-back differs" in vehicle._sortie.note
    assert desk.calls.count("upload") == 3
    assert "arm" not in desk.calls


async def test_a_vehicle_that_refuses_to_arm(tmp_path):
    desk = DeskVehicle()
    desk.broken["arm"] = LinkFailure.DENIED
    async with executor(tmp_path, desk) as (vehicle, _):
        await begin(vehicle)
        await until(phase_is(vehicle, Phase.FAILED))
        assert "denied" in vehicle._sortie.note
    assert desk.calls.count("arm") == 4


async def test_nothing_is_done_that_cannot_be_journalled(tmp_path, monkeypatch):
    desk = DeskVehicle()
    desk.slow["upload"] = asyncio.Event()
    async with executor(tmp_path, desk) as (vehicle, store):
        await begin(vehicle)
        await until(phase_is(vehicle, Phase.UPLOADING))

        @contextlib.asynccontextmanager
        async def refuse():
            raise StoreError("the disk is full")
            yield  # pragma: no cover

        monkeypatch.setattr(store, "session", refuse)
        desk.slow["upload"].set()
        await until(phase_is(vehicle, Phase.FAILED))
        assert "the disk is full" in vehicle._sortie.note
        monkeypatch.undo()
    assert "arm" not in desk.calls


async def test_one_sortie_at_a_time(tmp_path):
    desk = DeskVehicle()
    desk.slow["upload_fence"] = asyncio.Event()
    async with executor(tmp_path, desk) as (vehicle, _):
        await begin(vehicle)
        with pytest.raises(VehicleBusyError, match="s1"):
            await begin(vehicle)
        with pytest.raises(VehicleBusyError):
            await vehicle.check(plan())
        vehicle.order(Order.ABORT)


@pytest.mark.parametrize("same_mission", [True, False])
async def test_adoption_recognises_the_mission_aboard(tmp_path, same_mission):
    desk = DeskVehicle()
    items = compile_plan(plan()).items
    desk.mission = items if same_mission else items[:-1]
    desk.become(armed=True, landed=LandedState.IN_AIR, mode=FlightMode.MISSION, mission_total=len(desk.mission))
    record = OpenSortie(
        "s0", "d1", plan(), "h", items_hash(items), Phase.FLYING, True, False, FlightMode.MISSION, 2, sequence=7
    )
    async with executor(tmp_path, desk) as (vehicle, _):
        vehicle.adopt(record)
        await until(lambda: phase_is(vehicle, Phase.FLYING)() and "download" in desk.calls)
        await until(lambda: vehicle._sortie.known is same_mission)
        desk.become(mode=FlightMode.RETURN, mission_reached=len(items) - 2)
        desk.become(landed=LandedState.ON_GROUND, armed=False)
        await until(phase_is(vehicle, Phase.LANDED))
        outcome = vehicle._sortie.outcome
        assert outcome.kind is (OutcomeKind.COMPLETED if same_mission else OutcomeKind.PARTIAL)
    assert {"arm", "start", "upload"}.isdisjoint(desk.calls)


async def test_adoption_on_the_ground_closes_honestly(tmp_path):
    desk = DeskVehicle()
    for phase, flown in ((Phase.READY, False), (Phase.FLYING, True), (Phase.ARMING, False)):
        async with executor(tmp_path, desk) as (vehicle, _):
            record = OpenSortie(
                f"s-{phase}", "d1", plan(), "h", None, phase, flown, False, FlightMode.MISSION, 2 if flown else None, 7
            )
            vehicle.adopt(record)
            await until(lambda vehicle=vehicle: vehicle.sortie is None)
            ended = vehicle._sortie
        assert ended.phase is (Phase.LANDED if flown else Phase.FAILED)
        assert ended.outcome.kind is (OutcomeKind.PARTIAL if flown else OutcomeKind.FAILED)
    assert {"arm", "start", "upload", "hold", "return", "land"}.isdisjoint(desk.calls)


async def test_ending_the_service_commands_nothing(tmp_path):
    desk = DeskVehicle()
    async with executor(tmp_path, desk) as (vehicle, _):
        await fly(vehicle, desk, mission_current=2)
        before = list(desk.calls)
    assert desk.calls == before
    assert desk.now == replace(desk.now, armed=True, mode=FlightMode.MISSION)


class HoledTerrain(FlatTerrain):
    """A height model with a fault of the program in it."""

    def height_amsl_m(self, *_places):
        raise IndexError("beyond the last row")


async def test_a_fault_in_the_checks_fails_the_sortie_and_not_the_fleet(tmp_path, caplog):
    desk = DeskVehicle()
    preflight = replace(PREFLIGHT, terrain=HoledTerrain(250.0))
    async with executor(tmp_path, desk, preflight) as (vehicle, _):
        await begin(vehicle)
        await until(lambda: vehicle.sortie is None)
        assert vehicle._sortie.phase is Phase.FAILED
        assert "IndexError" in vehicle._sortie.note
        assert vehicle.faults == 1
    assert "Traceback" in caplog.text
    assert {"arm", "start", "upload", "hold", "return", "land"}.isdisjoint(desk.calls)


async def test_a_fault_in_an_urgent_call_leaves_the_flight_as_it_is(tmp_path):
    class Faulty(DeskVehicle):
        async def hold(self):
            self.calls.append("hold")
            raise KeyError("hold")

    desk = Faulty()
    async with executor(tmp_path, desk) as (vehicle, _):
        await fly(vehicle, desk, mission_current=2)
        vehicle.order(Order.HOLD)
        await until(lambda: vehicle.faults > 0)
        assert vehicle.sortie.phase is Phase.FLYING
        assert "KeyError" in (vehicle.sortie.request.failure or "KeyError")
        vehicle.order(Order.RETURN)
        await until(phase_is(vehicle, Phase.RETURNING))
        desk.become(landed=LandedState.ON_GROUND, armed=False)
        await until(phase_is(vehicle, Phase.LANDED))


def adopted_record(flight_plan, reached_item) -> OpenSortie:
    return OpenSortie(
        "s0", "d1", flight_plan, "h", None, Phase.FLYING, True, False, FlightMode.MISSION, reached_item, sequence=7
    )


@pytest.mark.parametrize(("waypoints", "reached"), [((None,), 2), (plan().waypoints, "2")])
async def test_a_sortie_that_cannot_be_taken_over_leaves_the_vehicle_without_one(tmp_path, waypoints, reached):
    desk = DeskVehicle()
    desk.become(armed=True, landed=LandedState.IN_AIR, mode=FlightMode.MISSION)
    async with executor(tmp_path, desk) as (vehicle, _):
        vehicle.adopt(adopted_record(replace(plan(), waypoints=waypoints), reached))
        assert vehicle.sortie is None
        assert vehicle.faults == 1
    assert desk.calls == []


async def test_a_fault_in_the_machine_ends_the_sortie_without_a_command(tmp_path, caplog):
    desk = DeskVehicle()
    async with executor(tmp_path, desk) as (vehicle, _):
        await fly(vehicle, desk, mission_current=2, mission_reached=1)
        before = list(desk.calls)
        desk.become(mission_reached="2")  # a number that is none
        await until(lambda: vehicle.sortie is None)
        assert vehicle._sortie.phase is Phase.FAILED
        assert vehicle.faults == 1
        desk.become(mission_reached=2)
        result = await carry_out(
            new_command(CommandKind.RETURN, "d1", actor="p", reason="r", clock=CLOCK, expires_in_s=30.0),
            vehicle,
            CLOCK,
            20.0,
        )
        assert result.confirmed  # a person's order still reaches it
    assert "TypeError" in caplog.text
    assert desk.calls == [*before, "return"]


@pytest.mark.parametrize("spoilt", [{"actions": "7"}, {"actions": "7", "reached_item": "2"}])
async def test_an_order_on_which_the_machine_fails_reaches_the_vehicle_all_the_same(tmp_path, spoilt):
    desk = DeskVehicle()
    async with executor(tmp_path, desk) as (vehicle, _store):
        await fly(vehicle, desk, mission_current=2, mission_reached=1)
        before = list(desk.calls)
        vehicle._sortie = replace(vehicle._sortie, **spoilt)  # actions can no longer be numbered
        hold = new_command(CommandKind.HOLD, "d1", actor="p", reason="r", clock=CLOCK, expires_in_s=30.0)
        result = await carry_out(hold, vehicle, CLOCK, 20.0)
        assert result.confirmed
        assert vehicle.sortie is None
        assert vehicle.faults == 1
        await until(lambda: not vehicle._journal._waiting)
    assert desk.calls == [*before, "hold"]
