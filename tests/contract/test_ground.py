# SPDX-License-Identifier: AGPL-3.0-or-later
"""The contract of VehicleLink on the ground: connecting, identity, budget, parameters, uploads, arming."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace

import pytest

from contract import plans
from contract.conftest import Craft, Desk
from contract.relay import free_udp_port
from dronectl.fleet.intervals import MAX_MESSAGES_PER_S
from dronectl.fleet.link import FlightMode, LandedState, LinkError, LinkFailure
from missions.geo import destination
from missions.mavlink_items import differences

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(240)]

_ARM_DISARM = 400
_MISSION_ACK = 47
_MISSION_REQUEST_INT = 51


async def test_connects_and_says_who_it_is(craft: Craft) -> None:
    await craft.ready()
    state = craft.state
    assert state.connected
    assert state.system_id == craft.address.system_id
    assert state.hardware_uid == craft.address.hardware_uid
    assert state.armed is False
    assert state.landed is LandedState.ON_GROUND
    assert state.latitude_deg == pytest.approx(craft.home.latitude_deg, abs=1e-4)
    assert state.longitude_deg == pytest.approx(craft.home.longitude_deg, abs=1e-4)
    assert state.battery_fraction == pytest.approx(1.0, abs=0.1)
    before_s = state.vehicle_time_s
    heard_s = state.heard_monotonic_s
    assert before_s is not None
    assert heard_s is not None
    await craft.vehicle_time(2.0)
    assert (craft.state.heard_monotonic_s or 0.0) > heard_s


async def test_at_most_60_messages_per_second_remain(craft: Craft) -> None:
    await craft.ready()
    await _assert_budget(craft, least_positions_per_s=3.0)


async def test_pose_stream_is_paired_and_within_budget(own_craft: Craft) -> None:
    await own_craft.ready()
    own_craft.poses.clear()
    await _assert_budget(own_craft, least_positions_per_s=8.0)
    times = [sample.vehicle_time_s for sample in own_craft.poses]
    assert times == sorted(set(times))
    assert len(times) >= 0.8 * 10.0 * (times[-1] - times[0])


async def _assert_budget(craft: Craft, least_positions_per_s: float) -> None:
    tap = craft.relay.fresh_tap()
    await craft.vehicle_time(20.0)
    counts, times = dict(tap.from_vehicle), list(tap.attitude_s)
    seconds = times[-1] - times[0]
    assert sum(counts.values()) / seconds <= MAX_MESSAGES_PER_S, counts
    assert counts[33] / seconds >= least_positions_per_s, counts


async def test_wrong_system_id_is_named(own_craft: Craft, desk: Desk) -> None:
    """Another link's socket on the same vehicle would steal its messages: the pool is asked for a wrong id instead."""
    address = replace(own_craft.address, system_id=own_craft.address.system_id + 100)
    await _expect_refusal(own_craft, desk, address, "system id")


async def test_wrong_hardware_uid_is_named(own_craft: Craft, desk: Desk) -> None:
    address = replace(own_craft.address, hardware_uid="f" * 36)
    await _expect_refusal(own_craft, desk, address, "hardware uid")


async def _expect_refusal(craft: Craft, desk: Desk, address, words: str) -> None:
    await craft.ready()
    craft.relay.link_port = free_udp_port()
    wrong = replace(address, connection=f"udpin://127.0.0.1:{craft.relay.link_port}", vehicle_id="impostor")
    async with desk.pool([wrong]) as pool:
        link = pool.link("impostor")
        with pytest.raises(LinkError, match=words) as refused:
            await link.wait_connected(30.0)
        assert refused.value.failure is LinkFailure.WRONG_VEHICLE
        assert not link.state().connected
        with pytest.raises(LinkError):
            await link.arm()


async def test_a_port_in_use_and_a_silent_one_are_named(desk: Desk) -> None:
    from dronectl.fleet.link import VehicleAddress

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        addresses = [
            VehicleAddress("taken", f"udpin://127.0.0.1:{port}", 201),
            VehicleAddress("silent", f"udpin://127.0.0.1:{free_udp_port()}", 202),
        ]
        async with desk.pool(addresses) as pool:
            with pytest.raises(LinkError, match="in use") as taken:
                await pool.link("taken").wait_connected(4.0)
            with pytest.raises(LinkError, match="nothing was heard") as silent:
                await pool.link("silent").wait_connected(1.0)
    assert {taken.value.failure, silent.value.failure} == {LinkFailure.DISCONNECTED}


async def test_parameters_keep_their_types(craft: Craft) -> None:
    await craft.ready()
    await craft.link.set_param("RTL_RETURN_ALT", 27.5)
    await craft.link.set_param("NAV_DLL_ACT", 2)
    height = await craft.link.get_param("RTL_RETURN_ALT")
    action = await craft.link.get_param("NAV_DLL_ACT")
    assert (height, action) == (27.5, 2)
    assert isinstance(height, float)
    assert isinstance(action, int)
    with pytest.raises(LinkError, match="whole numbers"):
        await craft.link.set_param("NAV_DLL_ACT", 1.5)
    with pytest.raises(LinkError):
        await craft.link.get_param("NO_SUCH_PARAM")


async def test_mission_and_fence_read_back_equal(craft: Craft) -> None:
    await craft.ready()
    assert await craft.link.download_mission() == ()
    places = [destination(craft.home, 360.0 * n / 200, 50.0 + n) for n in range(200)]
    items = plans.mission(craft.home, places)
    await craft.link.upload_mission(items)
    assert differences(items, await craft.link.download_mission()) == []
    ring = plans.fence(craft.home, 500.0)
    await craft.link.upload_fence(ring)
    assert differences(ring, await craft.link.download_fence()) == []
    await craft.until("total", lambda s: s.mission_total == len(items))


async def test_a_cancelled_upload_leaves_the_link_usable(craft: Craft) -> None:
    await craft.ready()
    items = plans.mission(craft.home, [destination(craft.home, 0.0, 20.0 + n) for n in range(400)])
    tap = craft.relay.fresh_tap()
    craft.relay.delay_s = 0.02  # so that it lasts
    upload = asyncio.create_task(craft.link.upload_mission(items))
    await craft.until("under way", lambda _s: tap.from_vehicle[_MISSION_REQUEST_INT] > 2)
    await craft.link.cancel_upload()
    with pytest.raises(LinkError) as cancelled:
        await upload
    assert cancelled.value.failure is LinkFailure.CANCELLED
    craft.relay.delay_s = 0.0
    short = plans.short(craft.home)
    await craft.link.upload_mission(short)
    assert differences(short, await craft.link.download_mission()) == []


async def test_an_upload_after_a_download_whose_end_the_vehicle_has_missed(craft: Craft) -> None:
    """PX4 goes on waiting for the lost MISSION_ACK for some seconds, and refuses uploads meanwhile."""
    await craft.ready()
    long, short = plans.long(craft.home), plans.short(craft.home)
    await craft.link.upload_mission(long)
    craft.relay.lost_to_vehicle = frozenset({_MISSION_ACK})
    assert differences(long, await craft.link.download_mission()) == []
    craft.relay.lost_to_vehicle = frozenset()
    await craft.link.upload_mission(short)
    assert differences(short, await craft.link.download_mission()) == []


async def test_hold_passes_an_upload(craft: Craft) -> None:
    await craft.ready()
    items = plans.mission(craft.home, [destination(craft.home, 0.0, 20.0 + n) for n in range(400)])
    tap = craft.relay.fresh_tap()
    craft.relay.delay_s = 0.02
    upload = asyncio.create_task(craft.link.upload_mission(items))
    waiting = asyncio.create_task(craft.link.start_mission())
    await craft.until("under way", lambda _s: tap.from_vehicle[_MISSION_REQUEST_INT] > 2)
    await craft.link.hold()
    for task in (upload, waiting):
        with pytest.raises(LinkError) as ended:
            await task
        assert ended.value.failure is LinkFailure.CANCELLED


async def test_arming_leaves_mission_mode_first(craft: Craft) -> None:
    """Started while disarmed, PX4 says OK, stands in MISSION mode, and armed there it would take off at once."""
    await craft.ready()
    await craft.link.upload_mission(plans.short(craft.home))
    with contextlib.suppress(LinkError):
        await craft.link.start_mission()
    await craft.until("mission mode", lambda s: s.mode is FlightMode.MISSION)
    tap = craft.relay.fresh_tap()
    await craft.link.arm()
    await craft.until("armed", lambda s: s.armed is True)
    assert craft.state.mode is FlightMode.HOLD
    assert [command for command, _ in tap.commands if command in {176, _ARM_DISARM}] == [176, _ARM_DISARM]
    await craft.link.disarm()
    await craft.until("disarmed", lambda s: s.armed is False)
