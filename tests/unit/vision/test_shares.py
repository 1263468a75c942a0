# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fair shares, in virtual time: one engine, looks that cost what they cost, and nobody starves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.shares import FairShares, Turns


@dataclass
class Camera:
    """Frames at a steady rate; two wait, the oldest goes. A look costs cost_s, times 0.5 to 1.5 by its number."""

    name: str
    period_s: float
    cost_s: float
    weight: float = 1.0

    def cost(self, number: int) -> float:
        return self.cost_s * (0.5 + (number * 7 % 11) / 10)

    @property
    def most_s(self) -> float:
        return 1.5 * self.cost_s


@dataclass
class Told:
    used_s: dict[str, float]
    waits_s: dict[str, list[float]]
    dropped: dict[str, int]
    spans: dict[str, list[tuple[float, float]]]  # begin and end of every look


def run(cameras: list[Camera], until_s: float) -> Told:
    """One engine in virtual time."""
    shares = FairShares()
    by_name = {c.name: c for c in cameras}
    queue: dict[str, list[float]] = {c.name: [] for c in cameras}
    came = dict.fromkeys(queue, 0)
    asked = dict.fromkeys(queue, False)
    told = Told(dict.fromkeys(queue, 0.0), {n: [] for n in queue}, dict.fromkeys(queue, 0), {n: [] for n in queue})
    for c in cameras:
        shares.add(c.name, c.weight)
    now, looks = 0.0, 0
    while now < until_s:
        for c in cameras:
            while came[c.name] * c.period_s <= now:
                if len(queue[c.name]) == 2:
                    queue[c.name].pop(0)
                    told.dropped[c.name] += 1
                queue[c.name].append(came[c.name] * c.period_s)
                came[c.name] += 1
            if queue[c.name] and not asked[c.name]:
                shares.ask(c.name)
                asked[c.name] = True
        chosen = shares.next()
        if chosen is None:
            now = min(came[c.name] * c.period_s for c in cameras)
            continue
        asked[chosen] = False
        told.waits_s[chosen].append(now - queue[chosen].pop(0))
        looks += 1
        cost = by_name[chosen].cost(looks)
        told.used_s[chosen] += cost
        told.spans[chosen].append((now, now + cost))
        shares.charge(chosen, cost)
        now += cost
    return told


def run_together(cameras: list[Camera], at_once: int, until_s: float) -> dict[str, float]:
    """An engine that takes several at once, all cameras always waiting: the time that each has had at the end."""
    shares = FairShares(at_once)
    used = dict.fromkeys((c.name for c in cameras), 0.0)
    for c in cameras:
        shares.add(c.name, c.weight)
        shares.ask(c.name)
    by_name = {c.name: c for c in cameras}
    going: list[tuple[float, str, float]] = []  # end, camera, cost
    now, looks = 0.0, 0
    while now < until_s:
        while len(going) < at_once:
            chosen = shares.next()
            assert chosen is not None
            shares.ask(chosen)  # it has a next frame, and another place in the engine may be free for it
            looks += 1
            cost = by_name[chosen].cost(looks)
            going.append((now + cost, chosen, cost))
        now, name, cost = min(going)
        going.remove((now, name, cost))
        shares.charge(name, cost)
        used[name] += cost
    return used


costs = st.floats(0.005, 0.3)
weights = st.sampled_from([0.5, 1.0, 2.0, 3.0])


@given(st.lists(st.tuples(costs, weights), min_size=2, max_size=6))
@settings(max_examples=60)
def test_cameras_that_always_wait_get_time_by_their_weights(drawn: list[tuple[float, float]]) -> None:
    cameras = [Camera(f"c{i}", 0.001, cost, weight) for i, (cost, weight) in enumerate(drawn)]
    told = run(cameras, 30.0)
    for a in cameras:
        for b in cameras:
            apart = abs(told.used_s[a.name] / a.weight - told.used_s[b.name] / b.weight)
            assert apart <= a.most_s / a.weight + b.most_s / b.weight + 1e-9


@given(st.lists(st.tuples(costs, weights), min_size=2, max_size=6), st.integers(1, 3))
@settings(max_examples=60)
def test_looks_that_go_on_together_are_shared_as_fairly(drawn: list[tuple[float, float]], at_once: int) -> None:
    cameras = [Camera(f"c{i}", 0.0, cost, weight) for i, (cost, weight) in enumerate(drawn)]
    used = run_together(cameras, at_once, 30.0)
    for a in cameras:
        for b in cameras:
            apart = abs(used[a.name] / a.weight - used[b.name] / b.weight)
            # a turn is paid for when it ends: until then the same camera may be given the other places too
            assert apart <= 2 * at_once * (a.most_s / a.weight + b.most_s / b.weight) + 1e-9


@given(st.lists(st.tuples(costs, st.floats(0.001, 0.2)), min_size=1, max_size=8), st.floats(0.005, 0.1))
@settings(max_examples=60)
def test_a_slow_camera_waits_for_one_look_of_each_other_and_loses_no_frame(
    others: list[tuple[float, float]], cost_s: float
) -> None:
    crowd = [Camera(f"c{i}", period, cost) for i, (cost, period) in enumerate(others)]
    # it asks for less than an equal share: between two of its frames all others together get more turns than it uses
    longest = sum(c.most_s for c in crowd) + 1.5 * cost_s
    slow = Camera("slow", 4.0 * longest + 1.5 * cost_s * (len(crowd) + 1), cost_s)
    told = run([*crowd, slow], 12 * slow.period_s)
    assert told.dropped["slow"] == 0
    assert len(told.waits_s["slow"]) >= 11
    # the look that was going on, then at most one look of each other
    assert max(told.waits_s["slow"]) <= longest + max(c.most_s for c in crowd) + 1e-9


def test_thirty_frames_a_second_do_not_starve_one_a_second() -> None:
    told = run([Camera("fast", 1 / 30, 0.06), Camera("slow", 1.0, 0.06)], 120.0)
    assert told.dropped["slow"] == 0
    assert len(told.waits_s["slow"]) >= 119
    assert max(told.waits_s["slow"]) <= 0.09
    assert told.used_s["fast"] > 100  # and what the slow one leaves is not lost


def test_time_is_not_saved_up_while_away() -> None:
    shares = FairShares()
    for name in ("a", "b"):
        shares.add(name)
    for _ in range(50):  # a is alone
        shares.ask("a")
        assert shares.next() == "a"
        shares.charge("a", 1.0)
    order = []
    for name in ("a", "b"):
        shares.ask(name)
    for _ in range(20):
        chosen = shares.next()
        assert chosen is not None
        order.append(chosen)
        shares.charge(chosen, 1.0)
        shares.ask(chosen)
    assert order.count("b") <= 11


def test_misuse_is_refused() -> None:
    shares = FairShares()
    shares.add("a")
    with pytest.raises(ValueError, match="there already"):
        shares.add("a")
    with pytest.raises(ValueError, match="above 0"):
        shares.add("b", 0.0)
    assert shares.next() is None
    shares.ask("a")
    with pytest.raises(ValueError, match="waits already"):
        shares.ask("a")
    assert shares.next() == "a"
    with pytest.raises(RuntimeError, match="still looks"):
        shares.next()
    shares.charge("a", 1.0)
    with pytest.raises(RuntimeError, match="does not look"):
        shares.charge("a", 1.0)


async def test_turns_come_one_at_a_time_and_a_cancelled_one_is_passed_on() -> None:
    turns = Turns(asyncio.get_running_loop().time)
    for name in "abc":
        turns.shares.add(name)
    order: list[str] = []
    at_once = 0
    hold = asyncio.Event()

    async def look(name: str) -> None:
        nonlocal at_once
        async with turns.of(name):
            at_once += 1
            assert at_once == 1
            order.append(name)
            await hold.wait()
            at_once -= 1

    first = asyncio.create_task(look("a"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(look("b"))
    last = asyncio.create_task(look("c"))
    await asyncio.sleep(0)
    waiting.cancel()
    hold.set()
    await asyncio.gather(first, last)
    assert order == ["a", "c"]
    assert waiting.cancelled()
    async with asyncio.timeout(10):
        await look("b")
    # cancelled in the very step in which its turn came
    hold.clear()
    first = asyncio.create_task(look("a"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(look("b"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    at_once = 0
    waiting.cancel()
    await asyncio.gather(first, waiting, return_exceptions=True)
    hold.set()
    async with asyncio.timeout(10):
        await look("c")


async def test_two_turns_at_once_and_never_three_also_for_one_camera() -> None:
    turns = Turns(asyncio.get_running_loop().time, at_once=2)
    for name in "ab":
        turns.shares.add(name)
    inside: list[str] = []
    seen: list[list[str]] = []

    async def look(name: str) -> None:
        async with turns.of(name[0]):
            inside.append(name)
            seen.append(sorted(inside))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            inside.remove(name)

    names = ["a1", "a2", "a3", "b1", "b2"]
    async with asyncio.timeout(10):
        await asyncio.gather(*(look(name) for name in names))
    assert ["a1", "a2"] in seen
    assert max(len(some) for some in seen) == 2
    first = [next(n for n in some if n not in before) for before, some in zip([[], *seen], seen, strict=False)]
    assert [n for n in first if n[0] == "a"] == ["a1", "a2", "a3"]
    assert first.index("b1") < first.index("a3")  # and neither camera waits for all of the other's


async def test_a_turn_that_comes_in_the_step_of_its_cancelling_is_passed_on() -> None:
    turns = Turns(asyncio.get_running_loop().time)
    for name in "abc":
        turns.shares.add(name)
    done = asyncio.Event()

    async def look(name: str) -> str:
        async with turns.of(name):
            await done.wait()
        return name

    first = asyncio.create_task(look("a"))
    await asyncio.sleep(0)
    given_up, last = asyncio.create_task(look("b")), asyncio.create_task(look("c"))
    await asyncio.sleep(0)
    done.set()  # "a" goes on in the next step, and gives its turn back before "b" learns that it was cancelled
    given_up.cancel()
    await asyncio.wait({first, given_up, last}, timeout=10)
    assert given_up.cancelled()
    assert (first.result(), last.result()) == ("a", "c")


async def test_a_look_that_fails_gives_the_turn_back() -> None:
    turns = Turns(asyncio.get_running_loop().time)
    turns.shares.add("a")
    with pytest.raises(OSError, match="broken"):
        async with turns.of("a"):
            raise OSError("broken")
    async with asyncio.timeout(10), turns.of("a"):
        pass
