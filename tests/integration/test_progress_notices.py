# SPDX-License-Identifier: AGPL-3.0-or-later
"""A drone that goes astray is spoken of where people look, also by a service that took its flight over; others are not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from typing import Any

import aiomqtt
import httpx
import pytest
from fleet_site import landed, phase, running_fleet, simulated
from fleet_site import until as until_true
from site_service import PATIENCE_S, SiteProcesses, running_site, until
from test_service_killed import service_killed_at
from websockets.asyncio.client import connect

from dronectl.bus.settings import access_from_file
from dronectl.bus.topics import Topics
from dronectl.fleet.commands import CommandKind
from dronectl.fleet.progress_watch import OFF_S, OFF_WAY_M, NoticeKind
from dronectl.fleet.sortie_types import Phase
from missions.formats.qgc_plan import write_plan
from missions.geo import Altitude, Datum, destination
from missions.model import FlightPlan, Waypoint
from missions.terrain import height_at

pytestmark = pytest.mark.timeout(400)
SPEED = 4.0


@pytest.fixture
def site(tmp_path):
    with running_site(tmp_path, drones=2, speed=SPEED) as running:
        yield running


def written(site: SiteProcesses, drone_id: str, bearing_deg: float, laps: int = 1) -> str:
    """Out and back, so often, at a height of its own."""
    drone = site.stage.site.drone(drone_id)
    height = Altitude(45.0 if drone_id == "d1" else 65.0, Datum.HOME)
    ends = (destination(drone.pad, bearing_deg, 230.0), destination(drone.pad, bearing_deg, 60.0))
    plan = FlightPlan(
        vehicle_id=drone_id,
        mission=site.stage.site.new_mission(f"watch-{drone_id}"),
        home=drone.pad,
        home_amsl_m=height_at(site.stage.site.terrain, drone.pad),
        takeoff_height_m=height.value_m,
        waypoints=tuple(Waypoint(end, height) for end in ends * laps),
        fence=site.stage.site.fence,
        return_height_m=drone.return_height_m,
        cruise_speed_m_s=8.0,
    )
    file = site.stage.plans / f"{drone_id}.plan"
    file.parent.mkdir(exist_ok=True)
    file.write_text(write_plan(plan), encoding="utf-8")
    return str(file)


def vehicle(site: SiteProcesses, drone_id: str) -> dict[str, Any]:
    return next(v for v in site.get("/api/v1/vehicles") if v["vehicle_id"] == drone_id)


def tell_sim(site: SiteProcesses, **line: object) -> None:
    assert site.sim is not None
    assert site.sim.stdin is not None
    site.sim.stdin.write(json.dumps(line).encode() + b"\n")
    site.sim.stdin.flush()


def vehicle_s(site: SiteProcesses) -> float:
    """The simulator's time, from an origin of its own: on a busy machine it is slower than SPEED says."""

    def answers() -> list[str]:
        log = (site.stage.folder / "sim.log").read_text(encoding="utf-8")
        return [line for line in log.splitlines(keepends=True) if "simulated_s" in line and line.endswith("\n")]

    before = len(answers())
    tell_sim(site, status=True)
    line = until("the simulator's time", lambda: answers()[before:])[0]
    return json.loads(line)["status"]["simulated_s"]


def fly_out(site: SiteProcesses, drone_id: str, file: str) -> str:
    """Start a flight and wait until it is well on its first leg; its sortie."""
    done = site.cli("fly", file, "--no-wait", *site.options)
    assert done.returncode == 0, done.stderr
    until("on its way", lambda: vehicle(site, drone_id)["sortie_state"] == "flying")
    return vehicle(site, drone_id)["sortie_id"]


def journal(site: SiteProcesses, sortie_id: str) -> list[tuple[str, dict[str, Any]]]:
    with sqlite3.connect(f"file:{site.stage.state / 'dronectl.db'}?mode=ro", uri=True) as database:
        rows = database.execute(
            "select step, state from sortie_journal where sortie_id = ? order by row_id", (sortie_id,)
        ).fetchall()
    return [(step, json.loads(state)["detail"]) for step, state in rows]


async def heard_over_websocket(site: SiteProcesses, drone_id: str) -> dict[str, Any]:
    """The first live message in which the vehicle has a notice."""
    url = site.url.replace("http", "ws") + "/api/v1/live"
    async with asyncio.timeout(PATIENCE_S), connect(url, additional_headers=site.headers, proxy=None) as socket:
        while True:
            message = json.loads(await socket.recv())
            for view in message.get("vehicles", ()):
                if view["vehicle_id"] == drone_id and view["notices"]:
                    return view


async def health_over_mqtt(site: SiteProcesses, drone_id: str) -> list[str]:
    """The health of the drone's retained state."""
    access = access_from_file(site.stage.state / "broker" / "broker.json", "dispatch")
    topic = Topics(site.stage.site.site_id).drone(drone_id, "state")
    async with (
        asyncio.timeout(PATIENCE_S),
        aiomqtt.Client(access.host, access.port, username=access.username, password=access.password) as client,
    ):
        await client.subscribe(topic)
        async for message in client.messages:
            if health := json.loads(message.payload)["data"]["health"]:
                return health
    raise AssertionError("the broker left")


def told_within_s(speed_m_s: float) -> float:
    """The longest, in vehicle seconds: past the end of a leg of 170 m by the limit, OFF_S, and what looks take."""
    return 170.0 / speed_m_s + (OFF_WAY_M + 3.0) / speed_m_s + OFF_S + 4.0 * SPEED


def test_who_goes_astray_is_spoken_of_everywhere_and_nobody_else(site):
    d2_sortie = fly_out(site, "d2", written(site, "d2", 180.0))
    out = written(site, "d1", 0.0, laps=8)
    follower = subprocess.Popen(
        [sys.executable, "-m", "dronectl", "fly", out, *site.options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    try:
        until("the first leg is flown", lambda: (vehicle(site, "d1")["mission_current"] or 0) >= 3)
        sortie_id = vehicle(site, "d1")["sortie_id"]
        tell_sim(site, astray={"d1": 4.0})
        began_s = vehicle_s(site)
        view = asyncio.run(heard_over_websocket(site, "d1"))
        took_s = vehicle_s(site) - began_s
        assert took_s <= told_within_s(4.0)
        assert view["mode"] == "mission"
        notice = view["notices"][0]
        assert notice["kind"] in ("off-way", "no-progress")
        assert " towards waypoint " in notice["text"]
        assert "dronectl return d1" in notice["advice"]
        assert any(" towards waypoint " in words for words in asyncio.run(health_over_mqtt(site, "d1")))
        listed = site.cli("vehicles", *site.options)
        assert f"d1: {notice['text'].split(' by ')[0].split(' for ')[0]}" in listed.stdout
        assert "`dronectl hold d1` stops it" in listed.stdout
        assert "d2:" not in listed.stdout
        page = httpx.get(f"{site.url}/metrics", headers=site.headers, timeout=30, trust_env=False).text
        assert f'dronectl_vehicle_notice{{kind="{notice["kind"]}",vehicle="d1"}} 1.0' in page
        assert vehicle(site, "d1")["sortie_state"] == "flying"  # it was ordered nothing
        assert not {"hold", "return", "land"} & {step for step, _ in journal(site, sortie_id)}
        back = site.cli("return", "d1", *site.options)
        assert back.returncode == 0, back.stdout + back.stderr
        until("the notice is over", lambda: not vehicle(site, "d1")["notices"])
        said, errors = follower.communicate(timeout=PATIENCE_S)
    finally:
        if follower.poll() is None:
            follower.send_signal(signal.SIGINT)
            follower.communicate(timeout=30)
    assert " towards waypoint " in errors, said + errors
    assert "over (it is returning now)" in errors
    until("d2 is down", lambda: vehicle(site, "d2")["sortie_state"] == "landed")
    assert site.get(f"/api/v1/sorties/{d2_sortie}")["notices"] == []
    story = site.get(f"/api/v1/sorties/{sortie_id}")["notices"]
    assert {n["kind"] for n in story} <= {"off-way", "no-progress"}
    assert all(n["ended_at"] is not None and n["end_note"] == "it is returning now" for n in story)
    steps = [step for step, _ in journal(site, sortie_id)]
    assert steps.count("notice") == steps.count("notice_over") == len(story)
    assert steps[-1] == "ended"


async def test_the_watch_goes_on_with_a_flight_that_a_restarted_service_took_over(tmp_path):
    async with (
        simulated(tmp_path, speed=SPEED) as (site, simulator),
        service_killed_at(tmp_path, "flying", reached=1, laps=8) as sortie_id,
        running_fleet(site) as fleet,
    ):
        await phase(fleet, sortie_id, Phase.FLYING)
        await until_true(lambda: fleet.sorties.value[sortie_id].known, "the mission aboard is recognised")
        on_item = fleet.states.value["d1"].mission_current or 0
        await until_true(lambda: (fleet.states.value["d1"].mission_current or 0) > on_item + 2, "a lap goes by")
        assert fleet.watching.told(sortie_id) == ()
        await simulator.tell(astray={"d1": 0.0})
        await until_true(lambda: "d1" in fleet.watching.notices.value, "it is spoken of", patience_s=60.0)
        assert fleet.watching.notices.value["d1"][0].kind is NoticeKind.NO_PROGRESS
        await simulator.tell(astray={"d1": None})
        await until_true(lambda: "d1" not in fleet.watching.notices.value, "it goes on by itself")
        assert [told.end_note for told in fleet.watching.told(sortie_id)] == ["by itself"]
        assert (await fleet.command(CommandKind.RETURN, "d1", actor="pilot", reason="test", timeout_s=60.0)).confirmed
        await landed(fleet, sortie_id)
