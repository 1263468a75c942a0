# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lanes: one ordinary call at a time, urgent ones past everything, and the urgent one has the last word."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from dronectl.fleet.lanes import SPARE_THREADS, CallThreads, Lane
from dronectl.fleet.link import LinkError, LinkFailure
from dronectl.fleet.transfers import Transfers

_PATIENCE_S = 30.0


class Gate:
    """A blocking native call that tells when it has begun and ends when let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        if not self.let.wait(_PATIENCE_S):
            raise RuntimeError("never let through")
        return "done"


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def threads():
    pools = CallThreads(2)
    yield pools
    for pool in (pools.ordinary, pools.urgent):
        pool.shutdown()


async def test_ordinary_calls_of_a_vehicle_take_turns(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    inside, most = 0, 0
    guard = threading.Lock()

    def call() -> None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.002)
        with guard:
            inside -= 1

    await asyncio.gather(*(lane.ordinary(lambda turn: turn.call(call)) for _ in range(20)))
    assert most == 1


async def test_urgent_finds_a_thread_when_every_ordinary_one_is_taken(threads: CallThreads) -> None:
    gates = [Gate() for _ in range(2 * 2 + SPARE_THREADS + 5)]
    tasks = [
        asyncio.create_task(Lane(f"x{n}", threads).ordinary(lambda turn, g=g: turn.call(g)))
        for n, g in enumerate(gates)
    ]
    await _until(lambda: sum(gate.begun.is_set() for gate in gates) == 2 * 2 + SPARE_THREADS)
    lane = Lane("d1", threads)
    assert await lane.urgent(lambda: "held") == "held"
    for gate in gates:
        gate.let.set()
    await asyncio.gather(*tasks)


async def test_urgent_ends_what_waits_and_aborts_a_transfer(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    transfer = Gate()
    aborted = threading.Event()

    def abort() -> None:
        aborted.set()
        transfer.let.set()

    upload = asyncio.create_task(lane.ordinary(lambda turn: turn.call(transfer, abort=abort)))
    await _until(transfer.begun.is_set)
    ran = threading.Event()
    waiting = asyncio.create_task(lane.ordinary(lambda turn: turn.call(ran.set)))
    await asyncio.sleep(0.01)
    await lane.urgent(lambda: None)
    await upload
    assert aborted.is_set()
    with pytest.raises(LinkError) as ended:
        await waiting
    assert ended.value.failure is LinkFailure.CANCELLED
    assert not ran.is_set()
    await lane.ordinary(lambda turn: turn.call(ran.set))  # asked for afterwards: served
    assert ran.is_set()


async def test_a_request_of_several_steps_stops_between_them(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    first, second = Gate(), threading.Event()

    async def steps(turn):
        await turn.call(first)
        await turn.call(second.set)

    task = asyncio.create_task(lane.ordinary(steps))
    await _until(first.begun.is_set)
    await lane.urgent(lambda: None)
    first.let.set()
    with pytest.raises(LinkError):
        await task
    assert not second.is_set()


async def test_a_cancelled_caller_leaves_the_lane_taken_until_its_call_ends(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    gate = Gate()
    task = asyncio.create_task(lane.ordinary(lambda turn: turn.call(gate)))
    await _until(gate.begun.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ran = threading.Event()
    following = asyncio.create_task(lane.ordinary(lambda turn: turn.call(ran.set)))
    await asyncio.sleep(0.05)
    assert not ran.is_set()
    gate.let.set()
    await following
    assert ran.is_set()


async def test_urgent_has_the_last_word_over_a_command_on_its_way(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    said: list[str] = []
    start = Gate()
    task = asyncio.create_task(lane.ordinary(lambda turn: turn.call(start, commands=True)))
    await _until(start.begun.is_set)
    await lane.urgent(lambda: said.append("hold"), lambda: said.append("hold at once"))
    assert said == ["hold at once", "hold"]
    start.let.set()
    await task
    await _until(lambda: said == ["hold at once", "hold", "hold"])


async def test_only_the_newest_urgent_insists(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    said: list[str] = []
    start = Gate()
    task = asyncio.create_task(lane.ordinary(lambda turn: turn.call(start, commands=True)))
    await _until(start.begun.is_set)
    await lane.urgent(lambda: said.append("hold"))
    await lane.urgent(lambda: said.append("return"))
    start.let.set()
    await task
    await _until(lambda: said == ["hold", "return", "return"])
    await asyncio.sleep(0.05)
    assert said == ["hold", "return", "return"]


async def test_what_is_asked_later_waits_for_the_last_word(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    said: list[str] = []
    start = Gate()
    task = asyncio.create_task(lane.ordinary(lambda turn: turn.call(start, commands=True)))
    await _until(start.begun.is_set)
    await lane.urgent(lambda: said.append("hold"))
    resume = asyncio.create_task(lane.ordinary(lambda turn: turn.call(lambda: said.append("resume"), commands=True)))
    await asyncio.sleep(0.02)
    start.let.set()
    await task
    await resume
    assert said == ["hold", "hold", "resume"]


async def test_a_failing_shortcut_does_not_keep_the_urgent_call_back(threads: CallThreads) -> None:
    lane = Lane("d1", threads)
    start = Gate()
    task = asyncio.create_task(lane.ordinary(lambda turn: turn.call(start, commands=True)))
    await _until(start.begun.is_set)

    def broken() -> None:
        raise LinkError(LinkFailure.ERROR, "no such message")

    assert await lane.urgent(lambda: "held", broken) == "held"
    start.let.set()
    await task


class Answers:
    """A native connection whose uploads fail in the given ways, one after the other, and then succeed."""

    def __init__(self, *failures: LinkFailure) -> None:
        self.failures = list(failures)
        self.uploads = 0

    def upload(self, _items: object, _mission_type: int) -> None:
        self.uploads += 1
        if self.failures:
            failure = self.failures.pop(0)
            raise LinkError(failure, f"upload: {failure}")

    def cancel_upload(self) -> None:
        pass


async def test_a_vehicle_busy_with_an_upload_that_timed_out_is_asked_again(threads: CallThreads) -> None:
    """PX4 refuses for some seconds after a lost acknowledgement; one that is busy with another's upload is not pressed."""
    lost = Answers(LinkFailure.TIMEOUT, LinkFailure.BUSY, LinkFailure.BUSY)
    await Transfers(Lane("d1", threads), threads).upload(lost, [], 0)
    assert lost.uploads == 4
    others = Answers(LinkFailure.BUSY)
    with pytest.raises(LinkError, match="busy"):
        await Transfers(Lane("d1", threads), threads).upload(others, [], 0)
    assert others.uploads == 1
