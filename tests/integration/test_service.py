# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service as its users meet it: over HTTP, WebSocket and the command line, also when it dies in flight."""

import asyncio
import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiomqtt
import httpx
import pytest
import yaml
from site_service import SiteProcesses, busy_port, plan_document, running_site, stage_without_cameras, until
from websockets.asyncio.client import connect

from dronectl.bus.settings import access_from_file
from dronectl.bus.topics import Topics
from dronectl.ports import free_ports

pytestmark = pytest.mark.timeout(300)


def planned(running):
    done = running.cli("plan", "patrol", "--site", str(running.stage.site.file), "--out", str(running.stage.plans))
    assert done.returncode in (0, 1), done.stderr
    return running


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where nobody flies: time need not run."""
    with running_site(tmp_path_factory.mktemp("site"), speed=2.0) as running:
        yield planned(running)


@pytest.fixture
def flown_site(tmp_path):
    with running_site(tmp_path, speed=8.0) as running:
        yield planned(running)


def test_health_and_metrics(site):
    health = site.get("/health")
    assert health["site_id"] == "lidu"
    until("every part runs", lambda: site.get("/health")["ok"])
    page = httpx.get(f"{site.url}/metrics", headers=site.headers, timeout=30, trust_env=False).text
    assert 'dronectl_vehicle_connected{vehicle="d1"} 1.0' in page
    assert "dronectl_bus_connected 1.0" in page


def test_nothing_but_health_without_the_token(site):
    document = httpx.get(f"{site.url}/openapi.json", headers=site.headers, timeout=30, trust_env=False).json()
    for path, operations in document["paths"].items():
        for method in operations:
            answer = httpx.request(
                method, site.url + path.replace("{", "x").replace("}", ""), timeout=30, trust_env=False
            )
            assert answer.status_code == (200 if path == "/health" else 401), path


def test_a_picture_is_had_as_the_documentation_says_and_not_without_the_token(site, tmp_path):
    document = Path(__file__).parents[2] / "docs" / "mqtt.md"
    (line,) = [x for x in document.read_text(encoding="utf-8").splitlines() if "curl " in x]
    (site.stage.state / "evidence" / "t1-crop.jpg").write_bytes(b"a picture")
    href = f"{site.url}/api/v1/evidence/t1-crop.jpg"  # as alerts/site.py makes it
    names = {"STATE": str(site.stage.state), "NAME": str(tmp_path / "got.jpg"), "HREF": href}
    done = subprocess.run(["sh", "-c", line], env=os.environ | names | {"no_proxy": "*"}, check=False, timeout=60)
    assert done.returncode == 0
    assert (tmp_path / "got.jpg").read_bytes() == b"a picture"
    assert httpx.get(href, timeout=30, trust_env=False).status_code == 401


def test_openapi_document_holds_under_fire(site, tmp_path):
    """Schemathesis finds no 5xx in what the document promises."""
    document = tmp_path / "openapi.json"
    document.write_text(httpx.get(f"{site.url}/openapi.json", headers=site.headers, timeout=30, trust_env=False).text)
    done = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis", "run", str(document), "--url", site.url,
            "--header", f"Authorization:{site.headers['Authorization']}", "--checks", "not_a_server_error",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "7", "--no-shrink", "--warnings", "off",
            "--exclude-path", "/api/v1/commands", "--request-timeout", "30", "--suppress-health-check", "all",
        ],
        capture_output=True, encoding="utf-8", timeout=200, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


async def test_live_socket_tells_state_and_refuses_strangers(site):
    address = site.url.replace("http", "ws") + "/api/v1/live"
    async with asyncio.timeout(60), connect(address, additional_headers=site.headers, proxy=None) as live:
        first = json.loads(await live.recv())
        assert first["type"] == "snapshot"
        assert [v["vehicle_id"] for v in first["vehicles"]] == ["d1", "d2"]
        await live.send("garbage")
        assert json.loads(await live.recv())["type"] == "state"
    with pytest.raises(Exception, match=r"403|401|rejected"):
        async with connect(address, proxy=None):
            pass


def _metrics(site):
    page = httpx.get(f"{site.url}/metrics", headers=site.headers, timeout=30, trust_env=False).text
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_garbage_on_the_http_door_is_counted(site):
    before = _metrics(site)
    junk = (
        b"\x00" * 4096,
        b"EHLO there\r\n\r\n",
        b"POST /api/v1/commands HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /" + b"x" * 200_000,  # a line without an end
    )
    for data in junk:
        with contextlib.suppress(ConnectionError), socket.create_connection(site.http_address, timeout=30) as door:
            door.sendall(data)
            try:
                door.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:  # the service hung up first; Python has no ConnectionError for that
                    raise
            door.recv(4096)
    big = b"x" * 5_000_000
    asked = {"timeout": 30, "trust_env": False, "content": big}
    assert httpx.post(f"{site.url}/api/v1/commands", headers=site.headers, **asked).status_code == 413
    with contextlib.suppress(httpx.TransportError):  # without the token nobody waits for the end of it
        assert httpx.post(f"{site.url}/api/v1/commands", **asked).status_code == 401
    no_order = httpx.post(f"{site.url}/api/v1/commands", headers=site.headers, json={}, timeout=30, trust_env=False)
    assert no_order.status_code == 422
    handshake = (
        f"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {site.headers['Authorization']}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(site.http_address, timeout=30) as door:
        door.sendall(handshake.encode())
        assert b"101" in door.recv(4096)
        door.sendall(b"\xff" * 2000)  # no frame
        with contextlib.suppress(ConnectionError):
            while door.recv(65536):
                pass
    with contextlib.ExitStack() as stack:
        for _ in range(220):
            stack.enter_context(socket.create_connection(site.http_address, timeout=30))
        until("no place", lambda: httpx.get(f"{site.url}/health", timeout=30, trust_env=False).status_code == 503)
    until("free places", lambda: site.get("/health")["site_id"] == "lidu")
    now = _metrics(site)
    more = {kind: now[f'dronectl_counted{{what="http_{kind}"}}'] - before[f'dronectl_counted{{what="http_{kind}"}}']
            for kind in ("unreadable", "refused", "too_large", "invalid", "too_many")}  # fmt: skip
    assert more["unreadable"] == len(junk) + 1
    assert (more["refused"], more["too_large"], more["invalid"]) == (1, 1, 1)
    assert more["too_many"] > 20
    service_log = site.stage.folder / "service.log"
    until("the line in the log", lambda: "HTTP door: " in service_log.read_text(encoding="utf-8"))  # once a second
    log = service_log.read_text(encoding="utf-8")
    assert log.count("HTTP door: ") == 1
    assert "Traceback" not in log


def test_garbage_on_the_vehicles_doors_is_counted(site):
    assert site.get("/health")["refused_or_lost_datagrams"] == 0
    port = int(site.stage.site.drones[0].connection.rsplit(":", 1)[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for n in range(500):
            stranger.sendto(b"no MAVLink %d" % n, ("127.0.0.1", port))
    until("the count", lambda: (site.get("/health")["refused_or_lost_datagrams"] or 0) >= 500)
    health = site.get("/health")
    assert health["noisy_doors"] == ["d1"]
    assert health["doors_not_counted"] == []
    listed = json.loads(site.cli("vehicles", *site.options, "--json").stdout)
    assert [v["refused_or_lost_datagrams"] for v in listed] == [500, 0]
    assert "d1: 500 datagrams at its door" in site.cli("vehicles", *site.options).stdout
    assert _metrics(site)['dronectl_door_refused_or_lost_datagrams_total{vehicle="d1"}'] == 500
    assert (site.stage.folder / "service.log").read_text(encoding="utf-8").count("d1 on udpin://") == 1
    assert all(v["connected"] for v in listed)


async def test_garbage_on_the_mqtt_door_is_counted(site):
    before = _metrics(site)
    access = access_from_file(site.stage.state / "broker" / "broker.json", "dispatch")
    topics = Topics("lidu")
    async with aiomqtt.Client(access.host, access.port, username=access.username, password=access.password) as client:
        for topic in (topics.ack("no-such-alert"), topics.action("no-such-alert")):
            for payload in (b"", b"\x00\xff" * 500, b"{" * 60_000, b'{"specversion": "1.0"}'):
                await client.publish(topic, payload, qos=1)
    name = 'dronectl_counted{what="alerts_garbage"}'
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(_metrics, site))[name] - before[name] < 8:
            await asyncio.sleep(0.1)
    assert (await asyncio.to_thread(site.get, "/health"))["site_id"] == "lidu"
    async with asyncio.timeout(60):
        while "MQTT door: " not in (text := (site.stage.folder / "service.log").read_text(encoding="utf-8")):
            await asyncio.sleep(0.1)
    assert text.count("MQTT door: ") == 1
    assert "Traceback" not in text


def test_the_command_line_lists_and_refuses(site):
    listed = site.cli("vehicles", *site.options, "--json")
    assert listed.returncode == 0
    assert [v["vehicle_id"] for v in json.loads(listed.stdout)] == ["d1", "d2"]
    for arguments, words in (
        (["hold"], "say which vehicle"),
        (["hold", "d9"], "no drone 'd9'"),
        (["abandon", "d2", "--reason", "lost"], "d2 has no sortie under way"),
        (["hold", "d1", "--direct"], "the service is running"),
        (["fly", str(site.stage.plans / "none.plan"), "--vehicle", "d1"], "cannot be read"),
        (["fly", str(site.stage.plans / "d1.plan"), "--vehicle", "d2"], "the plan is for d1"),
        (["up"], "a service already runs"),
    ):
        refused = site.cli(*arguments, *site.options)
        assert refused.returncode == 2, arguments
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("what", ["root", "token"])
def test_a_state_folder_that_cannot_be_written_is_named(site, tmp_path, what):
    """A full disk and a read-only folder come in the same way: the system refuses to write a file."""
    template = stage_without_cameras(tmp_path, 1, 1.0).site.file
    state = tmp_path / "state"
    if what == "root":
        state.write_text("a file where the folder should be")
    else:
        (state / "token").mkdir(parents=True)
    refused = site.cli("up", "--site", str(template), "--state", str(state))
    assert refused.returncode == 2
    assert f"{state if what == 'root' else state / 'token'}: cannot be written" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_vehicle_that_never_appears_is_named(site, tmp_path):
    """Each command waits for it as long as it would for a real one; that without a service beside the others."""
    plan = str(site.stage.plans / "d1.plan")
    alone, served = tmp_path / "alone", tmp_path / "served"
    for folder in (alone, served):
        folder.mkdir()
    without_service = SiteProcesses(stage_without_cameras(alone, 1, 1.0), None)
    lonely = SiteProcesses(stage_without_cameras(served, 1, 1.0), None)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(without_service.cli, "hold", "d1", "--direct", *without_service.options)
        lonely.start_service()
        try:
            refused = [lonely.cli("land", "d1", *lonely.options)]
            refused.append(lonely.cli("fly", plan, "--vehicle", "d1", *lonely.options))
        finally:
            lonely.stop_service()
        refused.append(held.result())
    for answer in refused:
        assert answer.returncode == 3, answer.stdout + answer.stderr
        assert "d1" in answer.stderr
        assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("broken", ["keep-out", "far", "ground"])
def test_a_plan_that_must_not_be_flown_is_refused_before_arming(site, tmp_path, broken):
    plan = plan_document(site.stage.plans, "d1")
    items = plan["mission"]["items"]
    waypoint = next(i for i, item in enumerate(items) if item["command"] == 16)
    params, ours = items[waypoint]["params"], plan["dronectl"]
    del ours
    if broken == "keep-out":
        ring = site.stage.site.fence.exclusion[0]
        params[4] = sum(p.latitude_deg for p in ring) / len(ring)
        params[5] = sum(p.longitude_deg for p in ring) / len(ring)
    elif broken == "far":
        params[4] += 0.45
    else:
        params[6] = -60.0
    file = tmp_path / "bad.plan"
    file.write_text(json.dumps(plan))
    refused = site.cli("fly", str(file), "--vehicle", "d1", *site.options)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr
    assert site.get("/api/v1/vehicles/d1")["armed"] is False


def test_a_flight_survives_the_service_and_a_second_ground_station_can_end_it(flown_site):
    body = {"vehicle_id": "d1", "plan": plan_document(flown_site.stage.plans, "d1"), "reason": "test"}
    accepted = httpx.post(
        f"{flown_site.url}/api/v1/sorties", headers=flown_site.headers, json=body, timeout=30, trust_env=False
    )
    assert accepted.status_code == 202, accepted.text
    sortie_id = accepted.json()["sortie_id"]
    until("a waypoint", lambda: flown_site.get(f"/api/v1/sorties/{sortie_id}")["waypoints_reached"] >= 1)
    held = flown_site.cli("hold", "d1", *flown_site.options)
    assert held.returncode == 0, held.stderr
    kept = flown_site.cli("abandon", "d1", "--reason", "it is late", *flown_site.options)
    assert kept.returncode == 2
    assert "the vehicle is heard" in kept.stderr
    resumed = httpx.post(
        f"{flown_site.url}/api/v1/vehicles/d1/commands",
        headers=flown_site.headers,
        json={"kind": "resume"},
        timeout=60,
        trust_env=False,
    )
    assert resumed.json()["confirmed"], resumed.text

    flown_site.stop_service(kill=True)
    down = flown_site.cli("hold", "d1", *flown_site.options)
    assert down.returncode == 3
    direct = flown_site.cli("return", "d1", "--direct", *flown_site.options)
    assert direct.returncode == 0, direct.stdout + direct.stderr
    assert "second ground station" in direct.stderr

    flown_site.start_service()
    ended = until(
        "landed",
        lambda: (s := flown_site.get(f"/api/v1/sorties/{sortie_id}"))["state"] in ("landed", "failed") and s,
        200,
    )
    assert ended["state"] == "landed"
    assert ended["outcome"] in ("partial", "aborted")
    assert ended["waypoints_reached"] >= 1
    # The journal is written after the sortie has ended, on a busy machine some time after.
    mission = until("its outcome", lambda: (m := flown_site.get("/api/v1/missions")[0])["outcome"] and m)
    assert mission["purpose"]


def test_a_taken_port_is_one_line(site, tmp_path):
    holder, port = busy_port()
    with holder:
        document = yaml.safe_load(site.stage.site.file.read_text(encoding="utf-8"))
        document["http"]["port"] = port
        other = site.stage.folder / "taken.yaml"
        other.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        refused = site.cli("up", "--site", str(other), "--state", str(tmp_path / "state"))
    assert refused.returncode == 2
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_external_broker_that_is_away_is_named(site, tmp_path):
    document = yaml.safe_load(site.stage.site.file.read_text(encoding="utf-8"))
    port, document["http"]["port"] = free_ports(socket.SOCK_STREAM, 2)
    document["broker"] = {"mode": "external", "url": f"mqtt://127.0.0.1:{port}"}
    other = site.stage.folder / "away.yaml"
    other.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    refused = site.cli("up", "--site", str(other), "--state", str(tmp_path / "state"))
    assert refused.returncode == 3
    assert f"127.0.0.1:{port}" in refused.stderr
    assert "Traceback" not in refused.stderr
