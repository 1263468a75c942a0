# SPDX-License-Identifier: AGPL-3.0-or-later
"""A task on a broker's connection ends when it is cancelled, at whatever moment: the broker answers in our own loop."""

import asyncio
import contextlib
import logging
import socket

import aiomqtt
import pytest
from amqtt.broker import Broker

from dronectl.bus.connection import Connection
from dronectl.bus.settings import BrokerAccess, explain, quiet
from dronectl.ports import free_ports

TRIES = 250


@contextlib.asynccontextmanager
async def broker():
    (port,) = free_ports(socket.SOCK_STREAM, 1)
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    server = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await server.start()
    try:
        yield port
    finally:
        await server.shutdown()


def connection(port):
    return Connection("127.0.0.1", port, logger=quiet)


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def ends_when_cancelled(task):
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    assert done, "the cancellation was lost"
    assert task.cancelled()


async def publishing(client):
    while True:
        await client.publish("a", b"x", qos=1)


async def subscribing(client):
    while True:
        await client.subscribe("a", qos=1)


@pytest.mark.parametrize("work", [publishing, subscribing])
async def test_what_is_cancelled_as_the_answer_comes_ends(work):
    async with broker() as port, connection(port) as client:
        for count in range(TRIES):
            task = asyncio.create_task(work(client))
            await turns(10 + count % 60)
            await ends_when_cancelled(task)


async def test_connecting_and_leaving_may_be_cancelled_at_any_moment(caplog):
    async def coming_and_going(port):
        while True:
            async with connection(port):
                pass

    async with broker() as port:
        with caplog.at_level(logging.ERROR, logger="asyncio"):
            for count in range(TRIES // 2):
                task = asyncio.create_task(coming_and_going(port))
                await turns(count)
                await ends_when_cancelled(task)
            async with connection(port) as client:
                await client.publish("a", b"x", qos=1)
        assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []


async def test_a_server_that_never_answers_does_not_hold_up_a_cancelled_task():
    async def silent(_reader, writer):
        with contextlib.closing(writer):
            await asyncio.sleep(60)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        task = asyncio.create_task(connection(server.sockets[0].getsockname()[1]).__aenter__())
        await asyncio.sleep(0.2)
        await ends_when_cancelled(task)
    assert await refusal(free_ports(socket.SOCK_STREAM, 1)[0])


async def refusal(port):
    try:
        async with connection(port):
            return ""
    except aiomqtt.MqttError as error:
        return str(error)


def test_a_time_out_without_words_is_told_in_words():
    access = BrokerAccess("127.0.0.1", 1, None, None)
    assert explain(access, TimeoutError()).endswith(": it does not answer")
