# SPDX-License-Identifier: AGPL-3.0-or-later
"""Camera over TCP, poses over the channel, the worker in a process of its own: sightings come back."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from background import background

from dronectl.ipc import worker_process
from dronectl.perception.client import PerceptionClient, PerceptionSettings, WorkerRefusedError, perception
from dronectl.perception.messages import CameraFeed, Configure, FromWorker, Ready
from dronectl.supervise import RestartBudget
from tests import fragile_model
from tests.vision_scene import CAMERA, GROUND_AMSL_M, CameraServer, Flight, Thing, distance_m
from vision.ellipse import ellipse95
from vision.sighting import Kind, Phase, Sighting

PERSON = Thing(-5.0, 0.0, "person")
FIRE = Thing(9.0, 22.0, "fire")
PATIENCE_S = 100.0


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # what it waits for lies in another process
        await asyncio.sleep(0.02)


class Telemetry:
    """Poses at 10 Hz of vehicle time, always a little ahead of what the camera shows, as a vehicle sends them."""

    def __init__(self, flight: Flight, server: CameraServer, client: PerceptionClient) -> None:
        self._flight, self._server, self._client = flight, server, client
        self._sent = 0

    async def run(self) -> None:
        while True:
            until = int((self._server.exposed_s + 0.4) * 10)
            samples = [_Sample(self._flight, n / 10) for n in range(self._sent, until)]
            self._client.poses(samples)
            if self._client.state == "running":
                self._sent = max(self._sent, until)
            await asyncio.sleep(0.02)


class _Sample:
    def __init__(self, flight: Flight, time_s: float) -> None:
        self._pose = flight.telemetry(time_s)
        self.vehicle_id = flight.vehicle_id

    def __getattr__(self, name: str) -> float:
        return getattr(self._pose, name)


def settings(tmp_path: Path, **more: object) -> PerceptionSettings:
    return PerceptionSettings(tmp_path / "evidence", flat_amsl_m=GROUND_AMSL_M, **more)  # type: ignore[arg-type]


async def fly(flight: Flight, tmp_path: Path, count: int = 16) -> tuple[list[Sighting], PerceptionClient]:
    seen: list[Sighting] = []
    async with CameraServer(flight, count=count) as server:
        feed = CameraFeed(CAMERA, "d1", "127.0.0.1", server.port)
        async with perception([feed], settings(tmp_path), seen.append) as client:
            await client.wait_ready(PATIENCE_S)
            async with asyncio.timeout(PATIENCE_S), background(Telemetry(flight, server, client).run):
                await server.finished.wait()
                await until(lambda: bool(client.cameras) and client.cameras[0].looked_at == count)
            assert server.done == list(range(count))
            return seen, client


async def test_a_flight_over_a_person_and_a_fire_gives_located_sightings_with_evidence(tmp_path: Path) -> None:
    flight = Flight([PERSON, FIRE], clock_offset_s=0.12, position_bias_m=(1.0, -0.6), yaw_bias_deg=1.2)
    seen, client = await fly(flight, tmp_path)
    newest = {s.track_id: s for s in seen}
    fires = [s for s in newest.values() if s.kind is Kind.FIRE]
    warm = [s for s in newest.values() if s.kind in (Kind.PERSON, Kind.HOT_SPOT)]
    assert len(fires) == 1
    assert len(warm) == 1
    for sighting, thing in ((fires[0], FIRE), (warm[0], PERSON)):
        assert sighting.place is not None
        assert distance_m(sighting.place.latitude_deg, sighting.place.longitude_deg, thing) < 4.0
        ellipse = ellipse95(sighting.place)
        assert 2.0 < ellipse.semi_minor_m <= ellipse.semi_major_m < 12.0
        assert sighting.vehicle_id == "d1"
        assert sighting.looks >= 2
        assert {e.role for e in sighting.evidence} == {"crop", "context"}
        for evidence in sighting.evidence:
            data = (tmp_path / "evidence" / evidence.path).read_bytes()
            assert hashlib.sha256(data).hexdigest() == evidence.sha256
    assert fires[0].temperature_max_c is not None
    assert fires[0].temperature_max_c > 300
    first = [s for s in seen if s.track_id == fires[0].track_id]
    assert [s.sequence for s in first] == list(range(1, len(first) + 1))
    assert first[0].phase is Phase.NEW
    assert all(s.phase is not Phase.NEW for s in first[1:])
    report = client.cameras[0]
    assert report.dropped == 0
    assert report.no_pose == 0
    assert report.latency_p95_s is not None
    assert not list((tmp_path / "evidence").glob("*.tmp"))


async def test_a_killed_worker_comes_back_and_the_gap_is_marked(tmp_path: Path) -> None:
    flight = Flight([FIRE])
    seen: list[Sighting] = []
    # a quick machine would have looked at everything before the report comes that the kill waits for
    async with CameraServer(flight, count=18, hold_after=4) as server:
        feed = CameraFeed(CAMERA, "d1", "127.0.0.1", server.port, stall_s=60.0)
        config = settings(tmp_path, budget=RestartBudget(first_s=0.05))
        async with perception([feed], config, seen.append) as client:
            await client.wait_ready(PATIENCE_S)
            async with asyncio.timeout(PATIENCE_S), background(Telemetry(flight, server, client).run):
                await until(lambda: len(server.done) >= 3)
                victim = client.process_id
                assert victim is not None
                await until(lambda: not client.coverage.blind())  # the report of the first looks has come
                killed_s = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                await until(lambda: client.restarts > 0 and client.state == "running")
                server.go.set()
                await server.finished.wait()
                await until(lambda: bool(seen))
            assert client.process_id != victim
            starting, *away = client.coverage.gaps("d1-thermal")
            assert starting.to_monotonic_s is not None  # from the order to the first look
            assert away
            assert away[0].reason == "the vision worker is away"
            assert away[0].from_monotonic_s <= killed_s
            async with asyncio.timeout(PATIENCE_S):
                await until(lambda: not client.coverage.blind())
            ended_s = client.coverage.gaps()[-1].to_monotonic_s
            assert ended_s is not None
            assert ended_s > killed_s
            assert client.coverage.looked("d1-thermal", killed_s, ended_s) == []
    assert any(s.kind is Kind.FIRE for s in seen)


async def test_a_worker_that_hangs_is_no_looking_camera_meanwhile(tmp_path: Path) -> None:
    async with CameraServer(Flight([FIRE]), count=12, hold_after=4) as server:
        feed = CameraFeed(CAMERA, "d1", "127.0.0.1", server.port, stall_s=60.0)
        async with perception([feed], settings(tmp_path), lambda _s: None) as client:
            await client.wait_ready(PATIENCE_S)
            async with asyncio.timeout(PATIENCE_S), background(Telemetry(Flight([FIRE]), server, client).run):
                await until(lambda: not client.coverage.blind())
                hangs = client.process_id
                assert hangs is not None
                os.kill(hangs, signal.SIGSTOP)
                try:
                    await until(lambda: bool(client.coverage.blind()))
                    assert client.process_id == hangs, "it is told before the worker is given up"
                    assert client.coverage.blind()[0].reason == "the vision worker says nothing"
                finally:
                    os.kill(hangs, signal.SIGCONT)


async def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"PK\x03\x04" + bytes(200))
    config = settings(tmp_path, model_path=rubbish)
    async with perception([], config, lambda _s: None) as client:
        with pytest.raises(WorkerRefusedError, match=r"rubbish\.onnx: this is not an ONNX model") as caught:
            await client.wait_ready(PATIENCE_S)
        assert "\n" not in str(caught.value)
        assert client.restarts == 0


async def test_no_worker_is_left_when_the_client_is_gone(tmp_path: Path) -> None:
    async with perception([], settings(tmp_path), lambda _s: None) as client:
        await client.wait_ready(PATIENCE_S)
        process_id = client.process_id
    assert process_id is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


async def test_the_worker_ends_by_itself_when_its_channel_closes(tmp_path: Path) -> None:
    async with worker_process("dronectl.perception.worker", (), FromWorker) as (process, channel):
        await channel.send(Configure((), str(tmp_path)))
        async with asyncio.timeout(PATIENCE_S):
            assert isinstance(await channel.receive(), Ready)
            channel.close()
            assert await process.wait() == 0


async def test_an_engine_that_fails_is_restarted_within_its_budget_and_the_gap_stays_open(tmp_path: Path) -> None:
    flight = Flight([PERSON])
    budget = RestartBudget(restarts=1, first_s=0.05)
    model = fragile_model.write(tmp_path / "fragile.onnx")
    async with CameraServer(flight, count=8) as server:
        feed = CameraFeed(CAMERA, None, "127.0.0.1", server.port)
        config = settings(tmp_path, budget=budget, model_path=model, engine="onnxruntime")
        async with perception([feed], config, lambda _s: None) as client:
            await client.wait_ready(PATIENCE_S)  # a black picture goes well
            async with asyncio.timeout(PATIENCE_S):
                await until(lambda: client.state == "degraded")
            assert client.restarts == 1
            assert client.process_id is None
            (gap,) = client.coverage.blind()
            assert gap.camera_id == "d1-thermal"
            assert client.coverage.looked("d1-thermal", gap.from_monotonic_s, time.monotonic()) == []
