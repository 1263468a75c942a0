# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which states of a flight are watched, and what the fleet's watch does with a flight that ends or a fault of ours."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from desk_vehicle import healthy, plan

from dronectl.clock import SystemClock
from dronectl.fleet import watching
from dronectl.fleet.journal import SortieJournal
from dronectl.fleet.link import FlightMode, LandedState, VehicleState
from dronectl.fleet.progress_watch import NoticeKind
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.fleet.watching import Watching, seen_of
from dronectl.operations.bus_state import drone_state
from dronectl.store import Store
from missions.mavlink_items import compile_plan

COMPILED = compile_plan(plan())
FLYING = Sortie("s1", "d1", COMPILED.waypoint_of_item, phase=Phase.FLYING, flown=True, since_s=5.0)


def in_the_air(time_s: float) -> VehicleState:
    """It stands 20 m north of home, at its height, flying to the first waypoint (item 2)."""
    return replace(
        healthy(),
        armed=True,
        landed=LandedState.IN_AIR,
        mode=FlightMode.MISSION,
        latitude_deg=29.7 + 20.0 / 110_850.0,
        amsl_m=290.0,
        height_above_home_m=40.0,
        mission_current=2,
        mission_total=len(COMPILED.items),
        vehicle_time_s=time_s,
    )


class Craft:
    """A `Watched` whose sortie the test moves on."""

    def __init__(self) -> None:
        self.vehicle_id, self.sortie, self.plan, self.items = "d1", FLYING, plan(), COMPILED.items
        self.faults: list[tuple[str, Exception]] = []

    def fault(self, doing: str, error: Exception) -> None:
        self.faults.append((doing, error))


@pytest.fixture
async def journalled(tmp_path):
    async with Store.open(tmp_path / "site.db", "s") as store:
        yield SortieJournal(store, SystemClock())


@pytest.fixture
async def looked(journalled, monkeypatch):
    """(watching, craft, look): each look() is one second later on the vehicle's clock."""
    monkeypatch.setattr(watching, "LOOK_S", 0.0)
    watch, craft, time_s = Watching(journalled, SystemClock()), Craft(), [100.0]

    def state_of(_vehicle_id: str) -> VehicleState:
        time_s[0] += 1.0
        return in_the_air(time_s[0])

    async def look(times: int) -> None:
        task = asyncio.create_task(watch.run({"d1": craft}, state_of))
        until_s = time_s[0] + times
        while time_s[0] < until_s:
            await asyncio.sleep(0)
        task.cancel()

    return watch, craft, look


async def test_standing_still_is_published_journalled_and_over_when_it_pauses(looked):
    watch, craft, look = looked
    await look(29)
    assert watch.notices.value == {}
    await look(10)
    (notice,) = watch.notices.value["d1"]
    assert notice.kind is NoticeKind.NO_PROGRESS
    assert drone_state(in_the_air(1.0), FLYING, "m", "dock", (notice,)).health == ["no progress towards waypoint 1"]
    craft.sortie = replace(FLYING, phase=Phase.PAUSED)
    await look(1)
    assert watch.notices.value == {}
    (told,) = watch.told("s1")
    assert told.ended is not None
    assert told.end_note == "it is paused now"
    assert told.notice.seconds >= notice.seconds
    craft.sortie = replace(FLYING, since_s=90.0)  # resumed: the clocks begin anew
    await look(29)
    assert watch.notices.value == {}
    await look(10)
    assert len(watch.told("s1")) == 2
    craft.sortie = None  # landed
    await look(1)
    assert watch.told("s1")[1].end_note == "the flight has ended"
    assert watch.counted[NoticeKind.NO_PROGRESS] == 2
    watch.forget("s1")
    assert watch.told("s1") == ()


async def test_a_fault_of_ours_costs_the_flight_its_watch_and_is_told_once(looked, monkeypatch):
    watch, craft, look = looked

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(watching, "look", broken)
    await look(20)
    assert [type(error) for _, error in craft.faults] == [ZeroDivisionError]
    assert watch.notices.value == {}


@pytest.mark.parametrize(
    ("sortie", "state"),
    [
        *(({"phase": phase}, {}) for phase in Phase if phase is not Phase.FLYING),
        ({"hands_off": True}, {}),
        ({"known": False}, {}),
        ({}, {"mode": FlightMode.HOLD}),
        ({}, {"mission_current": None}),
        ({}, {"mission_total": 3}),
        ({}, {"latitude_deg": None}),
        ({}, {"vehicle_time_s": None}),
    ],
)
def test_what_is_meant_or_not_known_is_not_watched(sortie, state):
    assert seen_of(replace(FLYING, **sortie), replace(in_the_air(1.0), **state)) is None


def test_a_flight_on_its_mission_is_watched_with_home_as_the_vehicle_has_it():
    seen = seen_of(FLYING, in_the_air(7.0))
    assert seen is not None
    assert (seen.time_s, seen.item, seen.amsl_m, seen.home_amsl_m) == (7.0, 2, 290.0, 250.0)
