# SPDX-License-Identifier: AGPL-3.0-or-later
"""The simulator's clock as it is read from its lines, and flights that are called off before they were handed in."""

import asyncio
import sys

import pytest

from dronectl.cli.client import ServiceClient
from dronectl.demo.launching import Launching, SimClock
from dronectl.demo.processes import Child, child
from dronectl.errors import UnavailableError
from dronectl.operations.planning import plan_site_patrol
from dronectl.paths import StateDir, default_site_file
from dronectl.site import load_site
from missions.model import Budget


async def test_the_simulator_says_what_time_it_is_and_one_that_has_ended_does_not(tmp_path):
    clock = SimClock()
    for line in ("", "no JSON", "[]", '{"ready": {}}', '{"ok": true, "battery": {}}'):
        clock.take(line)
    arguments = ["sim", "vehicles", "--vehicles", "1", "--target", "127.0.0.1:9", "--speed", "5", "--exit-with-parent"]
    async with asyncio.timeout(90), child("simulator", arguments, tmp_path / "sim.log", on_line=clock.take) as sim:
        first_s = await clock.now_s(sim)
        while (then_s := await clock.now_s(sim)) < first_s + 2.0:
            await asyncio.sleep(0.1)
        assert then_s < first_s + 60.0
    with pytest.raises(UnavailableError, match="simulator takes no orders"):
        await clock.now_s(sim)


async def test_a_child_without_an_open_input_takes_no_orders(tmp_path):
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    with pytest.raises(UnavailableError, match="it takes no orders"):
        await Child("it", process, tmp_path / "log").order({"status": True})


async def test_flights_that_are_called_off_are_not_handed_in(tmp_path):
    state = StateDir(tmp_path)
    state.service_file.parent.mkdir(parents=True, exist_ok=True)
    state.service_file.write_text('{"url": "http://127.0.0.1:9"}', encoding="utf-8")
    state.token.write_text("t", encoding="ascii")
    plans = plan_site_patrol(load_site(default_site_file()), Budget(iterations=0)).plans

    async def now_s() -> float:
        return 100.0

    launching = Launching(ServiceClient(state), plans, "a test", now_s)
    assert len(launching.waiting) == len(plans)
    launching.called_off = True
    assert launching.waiting == []
    await launching.step({})  # nobody answers at that address
    assert launching.sorties == {}
    launching.called_off = False
    with pytest.raises(UnavailableError, match="does not answer"):
        await launching.step({})
