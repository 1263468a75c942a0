# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl alerts tail` against a running site: prints once, acknowledges when told to, remembers."""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

import pytest
from background import background

from dronectl.bus.broker import BrokerChild
from dronectl.supervise import keep_running

FEEDER = Path(__file__).parents[2] / "bench" / "alert_feeder.py"
MAIN = "from dronectl.cli.main import main; main()"
PATIENCE_S = 90.0


async def tail(broker, memory, *more, stdout=asyncio.subprocess.PIPE):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, "alerts", "tail", "--broker", str(broker.access_file), "--memory", str(memory), *more,
        stdout=stdout, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def site(folder, alerts):
    child = BrokerChild(folder / "broker", "lidu")
    broker = child.prepare()
    async with background(lambda: keep_running("broker", child.run)):
        feeder = await asyncio.create_subprocess_exec(
            sys.executable, str(FEEDER), str(folder / "site.db"), str(broker.access_file), str(alerts),
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield broker, feeder
        finally:
            if feeder.returncode is None:
                feeder.kill()
                await feeder.wait()


async def test_tail_prints_once_acknowledges_and_remembers(tmp_path):
    memory = tmp_path / "dispatch.jsonl"
    async with asyncio.timeout(PATIENCE_S), site(tmp_path, 3) as (broker, feeder):
        looking = await tail(broker, memory, "--json", "--count", "3")
        printed, said = await looking.communicate()
        assert looking.returncode == 0, said.decode()
        events = [json.loads(line) for line in printed.splitlines()]
        assert len({e["id"] for e in events}) == len(events) == 3
        assert all(e["specversion"] == "1.0" and e["data"]["phase"] == "new" for e in events)
        assert feeder.returncode is None, "without --ack nothing is acknowledged, so the site goes on sending"
        acted = memory.read_bytes()
        assert len(acted.splitlines()) == 3

        acknowledging = await tail(broker, memory, "--ack")
        assert await feeder.wait() == 0, "the repetitions were acknowledged, so the outbox is empty"
        acknowledging.send_signal(signal.SIGTERM)
        printed, said = await acknowledging.communicate()
        assert acknowledging.returncode == 0
        assert printed == b"", "what was printed and acted on once is not again"
        assert b"3 alerts (3 messages) are known" in said
        assert memory.read_bytes() == acted


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_what_could_not_be_printed_is_not_acknowledged_and_comes_again(tmp_path):
    memory = tmp_path / "dispatch.jsonl"
    async with asyncio.timeout(PATIENCE_S), site(tmp_path, 2) as (broker, feeder):
        with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230  # a device
            deaf = await tail(broker, memory, "--ack", stdout=full)
            _, said = await deaf.communicate()
        assert deaf.returncode == 2
        assert b"error: standard output: No space left on device" in said
        assert b"Traceback" not in said
        assert memory.read_bytes() == b""

        hearing = await tail(broker, memory, "--ack", "--json", "--count", "2")
        printed, _ = await hearing.communicate()
        assert len({json.loads(line)["id"] for line in printed.splitlines()}) == 2
        assert await feeder.wait() == 0


async def test_tail_shows_a_card_and_waits_for_a_broker(tmp_path):
    async with asyncio.timeout(PATIENCE_S):
        folder = tmp_path / "broker"
        child = BrokerChild(folder, "lidu")
        broker = child.prepare()
        waiting = await tail(broker, tmp_path / "m.jsonl", "--ack", "--count", "1")
        assert b"waiting: broker 127.0.0.1:" in await waiting.stderr.readline()
        async with site(tmp_path, 1) as (_broker, feeder):
            printed, _ = await waiting.communicate()
            assert await feeder.wait() == 0
        text = printed.decode()
        for word in ("person", "29.700000, 107.300000", "95 % within", "rule person-", "crops/0.png", "nearest Post"):
            assert word in text


async def test_a_card_in_chinese_and_what_machines_read_in_neither_language(tmp_path):
    memory = tmp_path / "m.jsonl"
    async with asyncio.timeout(PATIENCE_S), site(tmp_path, 1) as (broker, _feeder):
        looking = await tail(broker, memory, "--count", "1", "--lang", "zh")
        printed, said = await looking.communicate()
        assert looking.returncode == 0, said.decode()
        for words in ("疑似人员", "新告警，发现于", "位置    29.700000, 107.300000", "95 % 误差椭圆", "就近    Post"):
            assert words in printed.decode(), printed.decode()
        assert "已连接：broker 127.0.0.1:" in said.decode()
        assert memory.read_bytes().isascii()
        machine = await tail(broker, tmp_path / "n.jsonl", "--count", "1", "--lang", "zh", "--json")
        printed, _ = await machine.communicate()
        assert json.loads(printed)["data"]["kind"] == "person"


async def test_tail_says_that_no_alerts_come_while_the_service_is_away(tmp_path):
    async with asyncio.timeout(PATIENCE_S), site(tmp_path, 1) as (broker, feeder):
        looking = await tail(broker, tmp_path / "dispatch.jsonl")
        assert (await looking.stdout.readline()).strip()  # its card: the service is there
        feeder.kill()
        said = []
        while not said or "offline" not in said[-1]:
            said.append((await looking.stderr.readline()).decode())
            assert said[-1], said
        assert said[-1] == "the service is offline (connection lost): no alerts come until it runs again\n"
        assert [line for line in said[:-1] if "service" in line] == []
        looking.terminate()
        await looking.communicate()


async def test_two_tails_on_one_memory_are_refused(tmp_path):
    broker = BrokerChild(tmp_path / "broker", "lidu").prepare()
    async with asyncio.timeout(PATIENCE_S):
        first = await tail(broker, tmp_path / "m.jsonl")
        await first.stderr.readline()
        second = await tail(broker, tmp_path / "m.jsonl")
        _, said = await second.communicate()
        assert second.returncode == 2
        assert b"another `alerts tail`" in said
        assert b"Traceback" not in said
        first.send_signal(signal.SIGINT)
        await first.communicate()
        assert first.returncode == 0
