# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio

import pytest

from dronectl.streams import Hub, Latest, SlowReaderError


async def test_latest_skips_what_a_slow_reader_missed():
    latest = Latest(0)
    seen = []

    async def read():
        async for value in latest.changes():
            seen.append(value)
            if value == 9:
                return
            await asyncio.sleep(0.01)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(read())
        await asyncio.sleep(0)
        for value in range(1, 10):
            latest.set(value)
    assert seen == [0, 9]


async def test_every_reader_of_a_hub_gets_every_item():
    hub = Hub[int]()
    with hub.subscribe() as a, hub.subscribe() as b:
        for n in range(5):
            hub.publish(n)
        assert [await anext(a) for _ in range(5)] == [await anext(b) for _ in range(5)] == list(range(5))


async def test_a_slow_reader_of_a_hub_is_told_and_the_others_go_on():
    hub = Hub[int]()
    with hub.subscribe(depth=2) as slow, hub.subscribe(depth=10) as quick:
        for n in range(4):
            hub.publish(n)
        with pytest.raises(SlowReaderError):
            await anext(slow)
        assert [await anext(quick) for _ in range(4)] == [0, 1, 2, 3]


async def test_left_subscriptions_are_forgotten():
    hub = Hub[int]()
    with hub.subscribe():
        pass
    hub.publish(1)
    assert not hub._subscriptions
