# SPDX-License-Identifier: AGPL-3.0-or-later
"""Our own broker, both kinds, and the bus on it: who gets in, what is retained, what a kill leaves behind."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import aiomqtt
import pytest

from dronectl.bus.broker import BrokerChild, find_mosquitto
from dronectl.bus.client import Bus
from dronectl.bus.envelope import decode
from dronectl.bus.messages import DroneState, Incident, Telemetry
from dronectl.bus.settings import BusSettings, access_from_file, check_broker
from dronectl.errors import BadInputError, UnavailableError
from dronectl.supervise import RestartBudget, keep_running

KINDS = [
    pytest.param("mosquitto", marks=pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")),
    "amqtt",
]
PATIENCE_S = 60.0


@contextlib.asynccontextmanager
async def running(work):
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        if not task.cancel():
            await task  # ended by itself: a test that waited for it in vain shows why
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def own_broker(folder, kind, port=0):
    child = BrokerChild(folder, "s", port=port, kind=kind)
    broker = child.prepare()
    ready = asyncio.Event()
    budget = RestartBudget(restarts=100, first_s=0.05, cap_s=0.2)

    def on_report(report):
        if report.state == "running":
            ready.set()

    async with running(keep_running("broker", child.run, on_report=on_report, budget=budget)):
        async with asyncio.timeout(PATIENCE_S):
            await ready.wait()
        yield child, broker


def client(access, **more):
    return aiomqtt.Client(access.host, access.port, username=access.username, password=access.password, **more)


def settings(access, **more):
    return BusSettings("s", "test", access, session_id="one", **more)


class Ear:
    """A dispatch client that notes all it hears."""

    def __init__(self, access, topic="dronectl/v1/s/#"):
        self.heard = []
        self._access = access
        self._topic = topic

    async def run(self):
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(self._access) as c:
                    await c.subscribe(self._topic, qos=1)
                    async for m in c.messages:
                        self.heard.append((m.topic.value.removeprefix("dronectl/v1/s/"), m.payload, m.retain))
            await asyncio.sleep(0.05)

    def of(self, topic):
        return [payload for t, payload, _ in self.heard if t == topic]


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", KINDS)
async def test_only_our_users_get_in_and_dispatch_may_only_answer(tmp_path, kind):
    async with own_broker(tmp_path / "b", kind) as (_child, broker):
        assert stat.S_IMODE((tmp_path / "b" / "broker.json").stat().st_mode) == 0o600
        assert (broker.warning is None) == (kind == "mosquitto")
        for wrong in (
            replace(broker.service, username=None, password=None),
            replace(broker.service, password="guess"),
            replace(broker.service, username="nobody"),
        ):
            with pytest.raises(UnavailableError, match=f"127.0.0.1:{broker.service.port}.*refuses"):
                await check_broker(wrong)
        await check_broker(broker.dispatch)
        heard = []
        bus = Bus(settings(broker.service))
        bus.listen(lambda *what: heard.append(what))
        ear = Ear(broker.dispatch)
        async with running(bus.run()), running(ear.run()), client(broker.dispatch) as dispatch:
            await until(lambda: bus.connected and ear.of("service/status"))
            for topic in ("alerts/x", "alerts/x/ack", "service/status", "cmd/d1/arm", "alerts/x/action"):
                with contextlib.suppress(aiomqtt.MqttError):
                    await dispatch.publish(f"dronectl/v1/s/{topic}", b"mine", qos=0)
            await until(lambda: ("x", "action", b"mine") in heard)
            assert heard == [("x", "ack", b"mine"), ("x", "action", b"mine")]
            assert b"mine" not in ear.of("alerts/x") + ear.of("service/status") + ear.of("cmd/d1/arm")


@pytest.mark.parametrize("kind", KINDS)
async def test_birth_state_telemetry_and_a_broker_that_is_killed(tmp_path, kind):
    async with own_broker(tmp_path / "b", kind) as (child, broker):
        bus = Bus(settings(broker.service))
        ear = Ear(broker.dispatch)
        incident = Incident.model_validate(
            {
                "incident_id": "i1",
                "status": "open",
                "kind": "fire",
                "site_id": "s",
                "site_status": "test",
                "mission_id": None,
                "opened_at": "2026-03-01T12:00:00Z",
                "updated_at": "2026-03-01T12:00:00Z",
                "location": None,
                "alerts": [],
                "tracks": 1,
                "vehicles": [],
                "timeline": [],
            }
        )
        topic = bus.topics.incident("i1")
        async with running(bus.run()), running(ear.run()):
            await until(lambda: ear.of("service/status"))
            birth = decode("service_status", ear.of("service/status")[-1])
            assert (birth.data.status, birth.data.session_id, birth.data.site_status) == ("online", "one", "test")
            state = DroneState(drone_id="d1", connected=True, mode="hold", battery_percent=80)
            for _ in range(5):
                bus.publish_state(state)
                bus.publish_telemetry(Telemetry(drone_id="d1", latitude_deg=29.7))
            bus.publish_status("d1", online=True)
            bus.publish_retained(topic, "incident", "i1", incident)
            await until(lambda: ear.of("drones/d1/telemetry") and ear.of("drones/d1/state") and ear.of("incidents/i1"))
            assert len(ear.of("drones/d1/telemetry")) == 1, "the latest of each second"
            assert len(ear.of("drones/d1/state")) == 1, "on change only"
            assert decode("drone_state", ear.of("drones/d1/state")[0]).data == state

            os.kill(child.pid, signal.SIGKILL)
            await until(lambda: not bus.connected)
            assert f"127.0.0.1:{broker.service.port}" in bus.state.value.reason
            bus.publish_state(state.model_copy(update={"mode": "mission"}))
            await until(lambda: bus.state.value.connections == 2)
            late = Ear(broker.dispatch)
            async with running(late.run()):  # what is retained is there again, whatever the broker has kept
                await until(lambda: late.of("drones/d1/state") and late.of("drones/d1/status"))
                await until(lambda: late.of("incidents/i1") and late.of("service/status"))
                assert decode("drone_state", late.of("drones/d1/state")[-1]).data.mode == "mission"
                bus.publish_retained(
                    topic, "incident", "i1", incident.model_copy(update={"status": "ended"}), last=True
                )
                await until(lambda: late.of("incidents/i1")[-1] == b"")
                assert decode("incident", late.of("incidents/i1")[-2]).data.status == "ended"
                left = bus.topics.incident("i2")
                await bus.publish(left, late.of("incidents/i1")[-2], retain=True)  # as a killed service leaves it
                await until(lambda: late.of("incidents/i2"))
                bus.remove_retained(left)
                await until(lambda: late.of("incidents/i2")[-1] == b"")
                await until(lambda: left not in bus._retained)
            later = Ear(broker.dispatch)
            async with running(later.run()):
                await until(lambda: later.of("service/status"))
                assert not later.of("incidents/i1")
                assert not later.of("incidents/i2")


@pytest.mark.parametrize("kind", KINDS)
async def test_last_will_and_farewell(tmp_path, kind):
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from dronectl.bus.client import Bus; from dronectl.bus.settings import BusSettings, access_from_file\n"
        "async def main():\n"
        "    access = access_from_file(Path(sys.argv[1]), 'service')\n"
        "    await Bus(BusSettings('s', 'test', access, session_id='two')).run()\n"
        "asyncio.run(main())"
    )
    async with own_broker(tmp_path / "b", kind) as (_child, broker):
        ear = Ear(broker.dispatch, "dronectl/v1/s/service/status")
        async with running(ear.run()):
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(broker.access_file))
            await until(lambda: ear.heard)
            process.kill()
            await process.wait()
            await until(lambda: decode("service_status", ear.of("service/status")[-1]).data.status == "offline")
            assert decode("service_status", ear.of("service/status")[-1]).data.reason == "connection lost"
            bus = Bus(settings(broker.service))
            async with running(bus.run()):
                await until(lambda: decode("service_status", ear.of("service/status")[-1]).data.status == "online")
            await until(lambda: decode("service_status", ear.of("service/status")[-1]).data.reason == "stopped")


@pytest.mark.parametrize("kind", KINDS)
async def test_garbage_on_our_topics_is_counted(tmp_path, kind):
    async with own_broker(tmp_path / "b", kind) as (_child, broker):
        bus = Bus(settings(broker.service))
        heard = []
        bus.listen(lambda *what: heard.append(what))
        async with running(bus.run()):
            await until(lambda: bus.connected)
            async with client(broker.dispatch) as dispatch:
                for number in range(200):
                    payload = bytes([number]) * (number * 50)
                    await dispatch.publish("dronectl/v1/s/alerts/x/ack", payload, qos=0)
                with contextlib.suppress(aiomqtt.MqttError):
                    await dispatch.publish("dronectl/v1/s/alerts/x/ack", b"x" * 200_000, qos=0)
            last = ("x", "action", b"last")
            while last not in heard:  # whatever the broker thinks of the big one, the next message comes through
                with contextlib.suppress(aiomqtt.MqttError):
                    async with client(broker.dispatch) as dispatch:
                        await dispatch.publish("dronectl/v1/s/alerts/x/action", b"last", qos=1)
                await asyncio.sleep(0.1)
            assert bus.state.value.connections == 1
        assert all(len(payload) <= 65536 for *_, payload in heard)


async def test_users_and_port_stay_over_a_restart(tmp_path):
    first = BrokerChild(tmp_path, "s").prepare()
    second = BrokerChild(tmp_path, "s").prepare()
    assert (first.service, first.dispatch) == (second.service, second.dispatch)
    assert access_from_file(tmp_path / "broker.json", "dispatch") == first.dispatch


@pytest.mark.parametrize("kind", KINDS)
async def test_files_that_are_deleted_come_back_as_they_were_and_the_broker_starts_with_them(tmp_path, kind):
    folder = tmp_path / "run" / "b"
    async with own_broker(folder, kind) as (child, broker):
        assert not child.write_again()
        said = (folder / "broker.json").read_bytes()
        for gone in ("broker.json", "mosquitto.passwd" if kind == "mosquitto" else "amqtt.json"):
            (folder / gone).unlink()
            assert child.write_again()
            assert not child.write_again()
        shutil.rmtree(tmp_path / "run")
        assert child.write_again()
        assert (folder / "broker.json").read_bytes() == said
        assert stat.S_IMODE((folder / "broker.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        await check_broker(access_from_file(folder / "broker.json", "dispatch"))
        before = child.pid
        os.kill(before, signal.SIGKILL)
        await until(lambda: child.pid not in (None, before))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(UnavailableError):
                    await check_broker(broker.dispatch)
                    break


async def test_a_port_in_use_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BadInputError, match=rf"port {port} on 127.0.0.1 is in use") as error:
            BrokerChild(tmp_path, "s", port=port).prepare()
        assert "\n" not in str(error.value)


async def test_a_foreign_broker_json_is_one_line(tmp_path):
    (tmp_path / "broker.json").write_text("[1]")
    with pytest.raises(BadInputError, match=r"broker\.json"):
        BrokerChild(tmp_path, "s").prepare()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broker_ends_with_its_parent(tmp_path, kind):
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from dronectl.bus.broker import BrokerChild\n"
        "async def main():\n"
        "    child = BrokerChild(Path(sys.argv[1]), 's', kind=sys.argv[2])\n"
        "    child.prepare()\n"
        "    await child.run(lambda: print(child.pid, flush=True))\n"
        "asyncio.run(main())"
    )
    parent = subprocess.Popen(  # noqa: ASYNC220  # it is killed below
        [sys.executable, "-c", code, str(tmp_path), kind], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        assert Path(f"/proc/{pid}").exists()  # noqa: ASYNC240  # no disk is behind it
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()

    port = access_from_file(tmp_path / "broker.json", "service").port
    again = BrokerChild(tmp_path, "s", port=port, kind=kind).prepare()  # at once: it waits for the old one to end
    assert again.service.port == port

    def gone():
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    await until(gone)


async def test_an_unreachable_and_a_silent_broker_are_named(tmp_path):
    broker = BrokerChild(tmp_path, "s").prepare()
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{broker.service.port}: .*refused"):
        await check_broker(broker.service)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        access = replace(broker.service, port=silent.getsockname()[1])
        with pytest.raises(UnavailableError, match="does not answer"):
            await check_broker(access, 0.5)


async def test_tail_waits_and_gives_up_with_code_3(tmp_path):
    command = "from dronectl.cli.main import main; main()"
    broker = BrokerChild(tmp_path / "b", "s").prepare()
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, "alerts", "tail", "--broker", str(broker.access_file), "--timeout", "1",
        "--memory", str(tmp_path / "m.jsonl"), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 3, said.decode()
    assert f"127.0.0.1:{broker.service.port}" in said.decode()
    assert "Traceback" not in said.decode()
    assert time.monotonic() - started > 1.0


def test_the_access_file_names_host_port_and_users(tmp_path):
    BrokerChild(tmp_path, "s").prepare()
    document = json.loads((tmp_path / "broker.json").read_text(encoding="utf-8"))
    assert document["schema_version"] == 1
    assert document["host"] == "127.0.0.1"
    assert set(document["users"]) == {"service", "dispatch"}


async def test_a_broker_that_starts_with_us_is_waited_for_in_silence_one_that_is_away_is_told_once(tmp_path, caplog):
    child = BrokerChild(tmp_path / "b", "s", kind="amqtt")
    access = child.prepare().service
    bus = Bus(settings(access, first_retry_s=0.05, cap_retry_s=0.05))

    def told():
        return [r.getMessage() for r in caplog.records if r.name == "dronectl.bus.client"]

    async with running(bus.run()):
        await until(lambda: bus.state.value.reason != "not started")
        assert told() == []
        await until(told)
        await asyncio.sleep(0.5)
        assert len(told()) == 1
        assert access.name in told()[0]
        async with running(child.run(lambda: None)):
            await until(lambda: bus.connected)
            assert told()[1:] == [f"broker {access.name}: connected again"]
