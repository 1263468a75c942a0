# SPDX-License-Identifier: AGPL-3.0-or-later
"""A vehicle's link over a library that says odd things; what the real library does is tested by the contract suite."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from dronectl.fleet.lanes import CallThreads
from dronectl.fleet.last_values import FastValues, SlowValues
from dronectl.fleet.link import FlightMode, LandedState, LinkError, LinkFailure, VehicleAddress
from dronectl.fleet.native import WrongTypeError
from dronectl.fleet.worker_link import WorkerLink

AUTOPILOT = b'{"autopilot":12,"base_mode":81,"custom_mode":50593792,"system_status":3,"type":2}'
COMPANION = b'{"autopilot":8,"base_mode":0,"custom_mode":0,"system_status":4,"type":18}'


class Library:
    """The library's side of one vehicle: connected as soon as anything of its system id is heard."""

    def __init__(self):
        self.callbacks = {}
        self.params = {}

    def say(self, name, fields):
        self.callbacks[name](name, fields)

    def is_connected(self):
        return True

    def hardware_uid(self):
        return "uid"

    def subscribe(self, name, callback):
        self.callbacks[name] = callback

    def listen(self, callback):
        return callback

    def unlisten(self, handle):
        pass

    def subscribe_texts(self, callback):
        self.callbacks["texts"] = callback

    def command(self, *_arguments):
        raise LinkError(LinkFailure.TIMEOUT, "no answer")

    command_at_once = command

    def fast_values(self):
        return FastValues(0, FlightMode.HOLD, False, LandedState.ON_GROUND, *(None,) * 10)

    def slow_values(self):
        return SlowValues(None, None, None, None, None, False, False, False)

    def _param(self, name, kind):
        value = self.params[name]
        if type(value) is not kind:
            raise WrongTypeError(f"{name}: wrong type")
        return value

    def get_int(self, name):
        return self._param(name, int)

    def get_real(self, name):
        return self._param(name, float)


@contextlib.asynccontextmanager
async def linked(library=None, hardware_uid=None):
    """A link whose vehicle has been discovered and is who it should be."""
    library = library or Library()
    address = VehicleAddress("d1", "udpin://127.0.0.1:1", 11, hardware_uid)
    link = WorkerLink(address, 4.0, CallThreads(1), lambda: None)
    link.opened(None)
    link.discovered(library)
    keeping = asyncio.create_task(link.keep())
    async with asyncio.timeout(20.0):
        while "texts" not in library.callbacks or link._native is None:
            await asyncio.sleep(0.01)
    try:
        yield link, library
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_companion_computer_does_not_hide_a_dead_autopilot():
    async with linked() as (link, library):
        library.say("HEARTBEAT", COMPANION)
        state = link.state()
        assert (state.heard_monotonic_s, state.connected) == (None, False)
        library.say("HEARTBEAT", AUTOPILOT)
        heard_s = link.state().heard_monotonic_s
        assert heard_s is not None
        assert link.state().connected
        library.say("HEARTBEAT", COMPANION)
        assert link.state().heard_monotonic_s == heard_s


async def test_the_same_progress_counts_again_after_a_reboot():
    """What comes unchanged is not read again, but a rebooted vehicle is known to be nowhere in its mission."""
    library = Hangar()
    async with linked(library) as (link, _):
        library.say("MISSION_CURRENT", b'{"seq":3,"total":9}')
        library.say("MISSION_CURRENT", b'{"seq":3,"total":9}')
        assert (link.state().mission_current, link.state().mission_total) == (3, 9)
        library.on = False  # its clock says 1 us
        assert link.state().mission_current is None
        library.say("MISSION_CURRENT", b'{"seq":3,"total":9}')
        assert (link.state().mission_current, link.state().mission_total) == (3, 9)


async def test_a_parameter_of_neither_type_is_an_error_and_not_the_end_of_the_worker():
    async with linked() as (link, library):
        library.params["ODD"] = "text"
        with pytest.raises(LinkError, match="ODD"):
            await link.get_param("ODD")


async def test_a_parameter_whose_type_another_firmware_changed_is_read_again():
    async with linked() as (link, library):
        library.params["NAV_DLL_ACT"] = 2.0
        assert await link.get_param("NAV_DLL_ACT") == 2.0
        library.params["NAV_DLL_ACT"] = 3
        assert await link.get_param("NAV_DLL_ACT") == 3


class Hangar(Library):
    """A vehicle that does what it is told, can be switched off, and exchanged for another with the same system id."""

    def __init__(self):
        super().__init__()
        self.uid, self.on, self.mode, self.held = "uid", True, FlightMode.HOLD, 0

    def is_connected(self):
        return self.on

    def hardware_uid(self):
        return self.uid

    def command(self, *_arguments):
        pass

    command_at_once = command

    def listen(self, callback):
        callback("HEARTBEAT")
        return super().listen(callback)

    def fast_values(self):
        now_us = time.monotonic_ns() // 1000 if self.on else 1
        return FastValues(now_us, self.mode, False, LandedState.ON_GROUND, *(None,) * 10)

    def hold(self):
        self.held += 1


async def until(condition):
    async with asyncio.timeout(20.0):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("configured", ["uid", None])
async def test_another_aircraft_with_the_same_system_id_is_noticed_when_it_comes_back(configured, caplog):
    library = Hangar()
    async with linked(library, configured) as (link, _):
        await link.wait_connected(20.0)
        await link.hold()
        library.on = False
        assert not link.state().connected
        library.uid, library.mode = "other", FlightMode.MISSION
        library.on = True
        assert link.state().connected  # nobody knows yet
        if configured is None:
            await until(lambda: link.state().hardware_uid == "other")
            assert "before it was uid" in caplog.text
            return
        await until(lambda: not link.state().connected)
        for request in (link.hold, link.arm, lambda: link.wait_connected(1.0)):
            with pytest.raises(LinkError, match="other") as caught:
                await request()
            assert caught.value.failure is LinkFailure.WRONG_VEHICLE
        assert library.held == 1
        library.uid = "uid"  # the right one again
        await until(lambda: link.state().connected)
        await link.wait_connected(20.0)
        await link.hold()
        assert library.held == 2


class Deaf(Hangar):
    """Hold is never answered; `then` is the mode that the vehicle has taken when the library gives up."""

    def __init__(self, before, then):
        super().__init__()
        self.mode, self.then = before, then

    def hold(self):
        super().hold()
        self.mode = self.then
        raise LinkError(LinkFailure.TIMEOUT, "no answer")


@pytest.mark.parametrize(
    ("before", "then", "tries"),
    [
        (FlightMode.MISSION, FlightMode.MISSION, 2),
        (FlightMode.TAKEOFF, FlightMode.MISSION, 2),
        (FlightMode.RETURN, FlightMode.RETURN, 2),  # a person stops it
        (FlightMode.MISSION, FlightMode.RETURN, 1),  # a failsafe came first
        (FlightMode.RETURN, FlightMode.LAND, 1),
        (FlightMode.MISSION, FlightMode.MANUAL, 1),  # a pilot has taken it
    ],
)
async def test_a_hold_without_answer_is_tried_again_unless_a_failsafe_or_a_pilot_came_first(before, then, tries):
    library = Deaf(before, then)
    async with linked(library) as (link, _):
        await link.wait_connected(20.0)
        with pytest.raises(LinkError) as caught:
            await link.hold()
        assert caught.value.failure is LinkFailure.TIMEOUT
        assert library.held == tries


async def test_a_vehicles_text_steers_no_terminal():
    async with linked() as (link, library):
        library.callbacks["texts"]("Low battery\x1b[2J\r\n[/red] 电量低")
        assert link.state().last_text == "Low battery\N{REPLACEMENT CHARACTER}[2J" + "\N{REPLACEMENT CHARACTER}" * 2 + (
            "[/red] 电量低"
        )


async def test_a_drone_under_another_system_id_is_told_of_once(caplog):
    link = WorkerLink(VehicleAddress("d1", "udpin://127.0.0.1:1", 21), 4.0, CallThreads(1), lambda: None)
    for heard in (set(), {1}, {1}, set()):
        link.strangers(frozenset(heard))
    assert [record.getMessage() for record in caplog.records] == [
        "d1: system id 21 was not heard on udpin://127.0.0.1:1; heard was 1, which no drone of the site file has as system_id"
    ]
