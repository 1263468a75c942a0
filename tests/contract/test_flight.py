# SPDX-License-Identifier: AGPL-3.0-or-later
"""The contract of VehicleLink in flight: progress, pause, return, land, fence, lost link, loss, a killed worker."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal

import pytest

from contract import plans
from contract.conftest import Craft
from contract.transcript import Transcript
from dronectl.fleet.link import FlightMode, LandedState, LinkError, LinkFailure
from missions.geo import GeoPoint, distance_m
from missions.mavlink_items import differences

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]

_ARM_DISARM = 400
_DO_SET_MODE = 176
_MISSION_COUNT = 44
_COMMAND_ACK = 77
_COMMANDS = frozenset({75, 76})  # COMMAND_INT, COMMAND_LONG
_LIBRARY_GIVES_UP_S = 3.0  # four tries within 2 s


def _place(craft: Craft) -> GeoPoint:
    state = craft.state
    assert state.latitude_deg is not None
    assert state.longitude_deg is not None
    return GeoPoint(state.latitude_deg, state.longitude_deg)


async def test_flies_a_mission_in_order(craft: Craft, transcript: Transcript) -> None:
    items = plans.short(craft.home)
    await craft.ready()
    craft.history.clear()
    await craft.airborne(items)
    await craft.landed()
    await craft.vehicle_time(3.0)
    reached = [s.mission_reached for s in craft.history if s.mission_reached is not None]
    assert reached == sorted(reached)
    assert reached[-1] == len(items) - 1
    current = [s.mission_current for s in craft.history if s.armed and s.mission_current is not None]
    assert current == sorted(current)
    assert distance_m(_place(craft), craft.home) < 8.0
    transcript.check("mission", craft.history, craft.relay.version)


async def test_flies_what_another_ground_station_drew(craft: Craft) -> None:
    """Survey with camera triggers, loiter by time, a loop: held as sent, flown to the end, the loop once more."""
    items = plans.drawn(craft.home)
    await craft.ready()
    craft.history.clear()
    await craft.airborne(items)
    held = await craft.link.download_mission()
    assert differences(items, held) == []
    await craft.landed()
    await craft.vehicle_time(3.0)
    reached = [s.mission_reached for s in craft.history if s.mission_reached is not None]
    assert reached[-1] == len(items) - 1
    current = [s.mission_current for s in craft.history if s.armed and s.mission_current is not None]
    assert any(later < earlier for earlier, later in itertools.pairwise(current))  # the loop
    assert distance_m(_place(craft), craft.home) < 8.0


# Fifteen armed seconds on the ground and more: PX4 may take noise for a take-off meanwhile, and disarms after it.
@pytest.mark.px4_speed(1.0)
@pytest.mark.parametrize("lost", ["the command", "its answer"])
async def test_a_start_that_times_out_is_looked_at_and_tried_once_more(craft: Craft, lost: str) -> None:
    """The command lost: it is sent again and the vehicle flies. Only the answer lost: nothing is sent again."""
    await craft.ready()
    await craft.link.upload_mission(plans.short(craft.home))
    await craft.link.arm()
    await craft.until("armed", lambda s: s.armed is True)
    tap = craft.relay.fresh_tap()
    if lost == "the command":
        craft.relay.lost_to_vehicle = _COMMANDS
    else:
        craft.relay.lost_to_link = frozenset({_COMMAND_ACK})
    start = asyncio.create_task(craft.link.start_mission())
    if lost == "the command":
        await asyncio.sleep(_LIBRARY_GIVES_UP_S)  # the second try waits _CONFIRM_S longer
        assert craft.state.mode is not FlightMode.MISSION
        craft.relay.lost_to_vehicle = frozenset()
    await start
    craft.relay.lost_to_link = frozenset()
    await craft.until("in the air", lambda s: s.landed is LandedState.IN_AIR and s.mode is FlightMode.MISSION)
    modes = [command for command, _ in tap.commands if command == _DO_SET_MODE]
    assert len(modes) > 4 if lost == "the command" else len(modes) <= 4
    await craft.link.return_to_launch()
    await craft.landed()


async def test_a_start_is_not_tried_again_once_the_vehicle_has_disarmed(craft: Craft) -> None:
    """PX4 would say OK to it, and stand in MISSION mode on the ground."""
    await craft.ready()
    await craft.link.upload_mission(plans.short(craft.home))
    await craft.link.set_param("COM_DISARM_PRFLT", 2.0 * craft.speed)  # it waits less long than the link
    await craft.link.arm()
    await craft.until("armed", lambda s: s.armed is True)
    tap = craft.relay.fresh_tap()
    craft.relay.lost_to_vehicle = _COMMANDS
    start = asyncio.create_task(craft.link.start_mission())
    await asyncio.sleep(_LIBRARY_GIVES_UP_S)
    craft.relay.lost_to_vehicle = frozenset()
    with pytest.raises(LinkError) as ended:
        await start
    assert ended.value.failure is LinkFailure.TIMEOUT
    await craft.vehicle_time(3.0)
    assert craft.state.armed is False
    assert craft.state.mode is not FlightMode.MISSION
    assert 1 <= len([command for command, _ in tap.commands if command == _DO_SET_MODE]) <= 4


async def test_pauses_and_resumes(craft: Craft, transcript: Transcript) -> None:
    await craft.ready()
    craft.history.clear()
    await craft.airborne(plans.long(craft.home))
    await craft.until("second leg", lambda s: s.mission_current == 2)
    await craft.link.hold()
    await craft.until("hold", lambda s: s.mode is FlightMode.HOLD)
    await craft.vehicle_time(8.0)
    before = _place(craft)
    await craft.vehicle_time(5.0)
    assert distance_m(before, _place(craft)) < 5.0
    assert craft.state.mission_current == 2
    await craft.link.start_mission()
    await craft.until("mission again", lambda s: s.mode is FlightMode.MISSION)
    await craft.vehicle_time(5.0)
    assert craft.state.mission_current == 2
    assert distance_m(before, _place(craft)) > 8.0
    await craft.link.return_to_launch()
    await craft.until("return", lambda s: s.mode is FlightMode.RETURN)
    await craft.landed()
    await craft.vehicle_time(3.0)
    assert distance_m(_place(craft), craft.home) < 8.0
    transcript.check("pause_resume_return", craft.history, craft.relay.version)


async def test_lands_where_it_is(craft: Craft, transcript: Transcript) -> None:
    await craft.ready()
    craft.history.clear()
    await craft.airborne(plans.long(craft.home))
    await craft.until("second leg", lambda s: s.mission_current == 2)
    await craft.link.land()
    await craft.until("land", lambda s: s.mode is FlightMode.LAND)
    at = _place(craft)
    await craft.landed()
    await craft.vehicle_time(3.0)
    assert distance_m(at, _place(craft)) < 30.0
    assert distance_m(_place(craft), craft.home) > 20.0
    transcript.check("land", craft.history, craft.relay.version)


async def test_neither_arms_nor_disarms_in_the_air(craft: Craft) -> None:
    await craft.airborne(plans.short(craft.home))
    tap = craft.relay.fresh_tap()
    for request in (craft.link.arm, craft.link.disarm):
        with pytest.raises(LinkError) as refused:
            await request()
        assert refused.value.failure is LinkFailure.REFUSED_UNSAFE
    assert tap.commands == []
    assert craft.state.armed


async def test_a_mission_outside_the_fence_is_not_flown(craft: Craft, transcript: Transcript) -> None:
    await craft.ready()
    craft.history.clear()
    await craft.link.upload_fence(plans.fence(craft.home, 150.0))
    await craft.link.upload_mission(plans.long(craft.home))  # taken: the vehicle judges it afterwards
    await craft.until("violation told", lambda s: "Geofence violation" in (s.last_text or ""), 20.0)
    await craft.link.arm()
    await craft.until("armed", lambda s: s.armed is True)
    # 1.16 denies the mode; 1.17 says OK and stays where it is. Only the state tells.
    try:
        await craft.link.start_mission()
    except LinkError as error:
        assert error.failure is LinkFailure.DENIED  # noqa: PT017  # either way is right
    await craft.vehicle_time(3.0)
    assert craft.state.mode is FlightMode.HOLD
    assert craft.state.landed is LandedState.ON_GROUND
    await craft.landed()  # disarms itself
    transcript.check("fence_refusal", craft.history, craft.relay.version)


async def test_a_lost_link_shows_and_comes_back(craft: Craft) -> None:
    await craft.ready()
    await craft.link.set_param("NAV_DLL_ACT", 0)
    await craft.airborne(plans.long(craft.home))
    craft.relay.cut = True
    await craft.until("lost", lambda s: not s.connected)
    with pytest.raises(LinkError):
        await craft.link.start_mission()
    craft.relay.cut = False
    await craft.until("back", lambda s: s.connected)
    await craft.link.wait_connected(30.0)
    await craft.link.return_to_launch()
    await craft.until("return", lambda s: s.mode is FlightMode.RETURN or s.armed is False)


async def test_works_with_5_percent_loss(craft: Craft) -> None:
    craft.relay.drop = 0.05
    items = plans.short(craft.home)
    await craft.ready()
    await craft.link.upload_mission(items)
    assert differences(items, await craft.link.download_mission()) == []
    await craft.link.set_param("RTL_RETURN_ALT", 20.0)
    await craft.airborne(items)
    await craft.link.hold()
    await craft.until("hold", lambda s: s.mode is FlightMode.HOLD)
    await craft.link.return_to_launch()
    await craft.landed()
    craft.relay.drop = 0.0


async def test_a_killed_worker_adopts_the_flight(own_craft: Craft, monkeypatch: pytest.MonkeyPatch) -> None:
    craft = own_craft
    # As on a busy machine, which takes its time to say that a process has ended.
    monkeypatch.setattr("dronectl.fleet.pool._EXIT_CODE_WAIT_S", 0.0)
    await craft.airborne(plans.long(craft.home))
    (pid,) = craft.pool.worker_pids.values()
    craft.relay.lost_to_link = frozenset({_MISSION_COUNT})  # the answer: so that the download lasts
    before = craft.relay.fresh_tap()
    asking = asyncio.create_task(craft.link.download_mission())
    await craft.until("asked for its mission", lambda _s: before.from_vehicle[_MISSION_COUNT] > 0)
    tap = craft.relay.fresh_tap()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LinkError) as gone:
        await asking
    assert gone.value.failure is LinkFailure.DISCONNECTED
    assert not craft.state.connected
    with pytest.raises(LinkError) as away:
        await craft.link.hold()
    assert away.value.failure is LinkFailure.DISCONNECTED
    craft.relay.lost_to_link = frozenset()
    await craft.link.wait_connected(30.0)
    assert list(craft.pool.worker_pids.values()) != [pid]
    assert craft.state.armed
    assert craft.state.mode in {FlightMode.MISSION, FlightMode.RETURN}
    await craft.until("progress known again", lambda s: s.mission_total == 4 and s.mission_current is not None)
    await craft.landed()
    assert _ARM_DISARM not in {command for command, _ in tap.commands}
