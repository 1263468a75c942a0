# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio

import pytest

from dronectl.supervise import BudgetSpentError, ChildState, RestartBudget, keep_running

QUICK = RestartBudget(restarts=3, window_s=60, first_s=0.001, cap_s=0.002)


async def test_a_child_that_fails_is_started_again_until_its_budget_is_spent():
    starts, reports = 0, []

    async def run(ready):
        nonlocal starts
        starts += 1
        ready()
        raise RuntimeError("broken")

    task = asyncio.create_task(keep_running("x", run, budget=QUICK, on_report=reports.append))
    async with asyncio.timeout(10):
        while not reports or reports[-1].state is not ChildState.DEGRADED:
            await asyncio.sleep(0.005)
    assert starts == QUICK.restarts + 1
    assert "broken" in reports[-1].reason
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert reports[-1].state is ChildState.STOPPED


async def test_an_essential_child_ends_its_caller():
    async def run(_ready):
        raise RuntimeError("broken")

    with pytest.raises(BudgetSpentError, match="broken"):
        async with asyncio.timeout(10):
            await keep_running("x", run, budget=QUICK, essential=True)


async def test_an_error_without_words_is_told_by_its_name():
    async def run(_ready):
        raise TimeoutError

    with pytest.raises(BudgetSpentError, match=r"failed 4 times: TimeoutError$"):
        async with asyncio.timeout(10):
            await keep_running("x", run, budget=QUICK, essential=True)


async def test_old_failures_are_forgiven():
    class Far:
        now = 0.0

        def monotonic_s(self):
            self.now += 100.0
            return self.now

        def utc(self):
            raise AssertionError

    starts = 0
    enough = asyncio.Event()

    async def run(_ready):
        nonlocal starts
        starts += 1
        if starts > 3 * QUICK.restarts:
            enough.set()
            await asyncio.Event().wait()
        raise RuntimeError("again")

    task = asyncio.create_task(keep_running("x", run, budget=QUICK, essential=True, clock=Far()))
    async with asyncio.timeout(10):
        await enough.wait()
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_child_that_fails_while_it_is_ended_is_not_started_again():
    starts, up = 0, asyncio.Event()

    async def run(_ready):
        nonlocal starts
        starts += 1
        up.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("its folder is gone")

    task = asyncio.create_task(keep_running("x", run, budget=QUICK))
    await up.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=10)
    assert task.cancelled()
    assert starts == 1
