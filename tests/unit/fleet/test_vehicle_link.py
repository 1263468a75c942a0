# SPDX-License-Identifier: AGPL-3.0-or-later
"""A vehicle's link over a library that says odd things; what the real library does is tested by the contract suite."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from dronectl.fleet.lanes import CallThreads
from dronectl.fleet.last_values import FastValues, SlowValues
from dronectl.fleet.link import FlightMode, LandedState, LinkError, LinkFailure, VehicleAddress
from dronectl.fleet.native import WrongTypeError
from dronectl.fleet.vehicle_link import MavsdkLink

AUTOPILOT = '{"autopilot":12,"base_mode":81,"custom_mode":50593792,"system_status":3,"type":2}'
COMPANION = '{"autopilot":8,"base_mode":0,"custom_mode":0,"system_status":4,"type":18}'


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
        return name

    def unsubscribe(self, handle):
        del self.callbacks[handle]

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
async def linked():
    """A link whose vehicle has been discovered and is who it should be."""
    library = Library()
    link = MavsdkLink(VehicleAddress("d1", "udpin://127.0.0.1:1", 11), 4.0, CallThreads(1), lambda: None)
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
