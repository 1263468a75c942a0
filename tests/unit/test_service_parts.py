# SPDX-License-Identifier: AGPL-3.0-or-later
"""Parts of the service that must outlive odd input: whatever one of them dies of ends the whole service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
from datetime import timedelta

import pytest

from dronectl import service as service_module
from dronectl import state_watch
from dronectl.alerts.service import AlertService
from dronectl.alerts.site import alert_site
from dronectl.bus.client import Bus
from dronectl.bus.settings import BrokerAccess, BusSettings
from dronectl.clock import SystemClock
from dronectl.fleet.failsafe import FailsafePolicy
from dronectl.fleet.fleet import Fleet
from dronectl.fleet.link import PoseSample, VehicleState
from dronectl.operations.addresses import addresses
from dronectl.paths import StateDir, config_dir
from dronectl.perception.client import PerceptionClient, PerceptionSettings
from dronectl.service import Service
from dronectl.site import Site, load_site
from dronectl.store import Store
from vision.evidence_index import EvidenceIndex, Indexed
from vision.pipeline_types import CameraReport

MAST = "{id: cam-square, name: Market square mast, position: [29.738441, 107.270744]}"
LOOK = (
    "look: {type: rgb, address: 'http://127.0.0.1:9/frame.jpg', every_s: 2, height_m: 8, yaw_deg: 45, pitch_deg: -30}}"
)


def site_with_a_mast(folder) -> Site:
    source = config_dir() / "lidu"
    text = (source / "site.yaml").read_text(encoding="utf-8")
    assert MAST in text
    (folder / "site.yaml").write_text(text.replace(MAST, f"{MAST[:-1]}, {LOOK}"), encoding="utf-8")
    shutil.copy(source / "terrain.npz", folder)
    return load_site(folder / "site.yaml")


def looked_at(camera_id: str, frames: int, *, in_degrees: bool = True) -> CameraReport:
    """What the vision worker reports of a camera that works."""
    return CameraReport(
        camera_id, True, None, frames, frames, 0, 0, {}, 0, 0, 0, 0, 0, None, None, {}, in_degrees=in_degrees
    )  # fmt: skip


def pose_above_home(site: Site, vehicle_id: str, **changes: float) -> PoseSample:
    home = site.drones[0].pad
    values = {
        "vehicle_time_s": 1.0, "latitude_deg": home.latitude_deg, "longitude_deg": home.longitude_deg,
        "amsl_m": 400.0, "height_above_home_m": 60.0, "velocity_north_m_s": 0.0, "velocity_east_m_s": 0.0,
        "velocity_down_m_s": 0.0, "roll_deg": 0.0, "pitch_deg": 0.0, "yaw_deg": 0.0,
    }  # fmt: skip
    return PoseSample(vehicle_id, **{**values, **changes})


@contextlib.asynccontextmanager
async def visits(folder, monkeypatch):
    """The service's watch over what cameras have looked at, running; yields (site, service, its vision client)."""
    monkeypatch.setattr(service_module, "_VISIT_PERIOD_S", 0.01)
    site = site_with_a_mast(folder)
    service = Service(site, StateDir(folder / "state"))
    vision = PerceptionClient((), PerceptionSettings(folder), lambda _sighting: None)
    service._perception = vision
    async with Store.open(folder / "site.db", site.site_id) as store:
        bus = Bus(BusSettings(site.site_id, "exercise", BrokerAccess("127.0.0.1", 9), "x"))
        alerts = AlertService(store, bus, alert_site(site), SystemClock())
        task = asyncio.create_task(service._visits(alerts))
        try:
            yield site, service, vision, task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_fixed_camera_that_looks_does_not_end_the_service(tmp_path, monkeypatch):
    async with visits(tmp_path, monkeypatch) as (site, _service, vision, task):
        mast = site.masts[0].camera.camera_id
        for frames in range(1, 6):
            vision.cameras = (looked_at(mast, frames),)
            await asyncio.sleep(0.03)
            assert not task.done(), task.exception()


@pytest.mark.parametrize("latitude_deg", [214.7, 89.0])
async def test_a_pose_that_is_nowhere_does_not_end_the_service(tmp_path, monkeypatch, latitude_deg):
    async with visits(tmp_path, monkeypatch) as (site, service, vision, task):
        camera, drone_id = next((c.camera_id, d.drone_id) for d in site.drones for c, _, _ in d.cameras)
        service._take_poses([pose_above_home(site, drone_id, latitude_deg=latitude_deg)])
        for frames in range(1, 6):
            vision.cameras = (looked_at(camera, frames),)
            await asyncio.sleep(0.03)
            assert not task.done(), task.exception()


@contextlib.asynccontextmanager
async def publishing(folder, monkeypatch):
    """A service's telling of vehicles and its taking of sightings, running; yields (service, fleet, bus, tasks)."""
    monkeypatch.setattr(service_module, "_PUBLISH_PERIOD_S", 0.01)
    site = site_with_a_mast(folder)
    service = Service(site, StateDir(folder / "state"))
    async with Store.open(folder / "site.db", site.site_id) as store:
        bus = Bus(BusSettings(site.site_id, "exercise", BrokerAccess("127.0.0.1", 9), "x"))
        alerts = AlertService(store, bus, alert_site(site), SystemClock())
        fleet = Fleet(
            site.site_id, addresses(site.drones), site.limits, FailsafePolicy(), site.terrain, store, SystemClock(),
            on_poses=lambda _samples: None,
        )  # fmt: skip
        tasks = [
            asyncio.create_task(service._publish(bus, fleet)),
            asyncio.create_task(service._hand_sightings(alerts, fleet)),
        ]
        try:
            yield service, fleet, bus, tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(20.0):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_vehicle_or_a_sighting_that_cannot_be_told_costs_nothing_else(tmp_path, monkeypatch, caplog):
    async with publishing(tmp_path, monkeypatch) as (service, fleet, bus, tasks):
        d1, d2 = list(fleet.states.value)[:2]
        odd = VehicleState(d1, connected=True, latitude_deg=500.0)  # no latitude on any bus
        fleet.states.set({d1: odd, d2: VehicleState(d2, connected=True)})
        service._take_sighting(None)  # no sighting at all
        await until(lambda: service.faults.total() >= 4 and service._sightings.empty())
        await until(lambda: bus.topics.drone(d2, "state") in bus._retained)
        assert not any(task.done() for task in tasks)
        assert {key.split(" (")[0] for key in service.faults} == {f"publishing {d1}", "taking a sighting"}
    assert caplog.text.count("an error in") == 2, "the log is not flooded"
    assert "Traceback" in caplog.text


class Listener:
    """Hears which ground was looked at."""

    def __init__(self) -> None:
        self.rings: list[tuple[tuple[float, float], ...]] = []

    async def looked(self, ring: tuple[tuple[float, float], ...]) -> None:
        self.rings.append(ring)


@pytest.mark.parametrize("in_degrees", [True, False])
async def test_only_looks_in_degrees_can_find_that_a_hazard_is_gone(tmp_path, monkeypatch, in_degrees):
    """Eight bits of a thermal camera show that something is warmer, not that nothing smoulders any more."""
    async with visits(tmp_path, monkeypatch) as (site, service, vision, _):
        camera, drone_id = next((c.camera_id, d.drone_id) for d in site.drones for c, _, _ in d.cameras)
        mast = site.masts[0].camera.camera_id
        service._take_poses([pose_above_home(site, drone_id)])
        listener = Listener()
        task = asyncio.create_task(service._visits(listener))
        for frames in range(1, 1000 if in_degrees else 8):
            vision.cameras = tuple(looked_at(c, frames, in_degrees=in_degrees) for c in (camera, mast))
            await asyncio.sleep(0.03)
            if listener.rings:
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert bool(listener.rings) is in_degrees


async def test_a_clock_that_jumps_ahead_deletes_no_evidence(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(service_module, "_SWEEP_PERIOD_S", 0.05)
    site, clock = load_site(config_dir() / "lidu" / "site.yaml"), SetClock()
    service = Service(site, StateDir(tmp_path).create(), clock)
    index, now_s = EvidenceIndex(tmp_path / "evidence"), clock.utc().timestamp()
    for name, days in (("old.jpg", 4000.0), ("new.jpg", 0.1)):
        (tmp_path / "evidence" / name).write_bytes(b"jpeg")
        at_s = now_s - 86400.0 * days
        index.add(Indexed(name, "c" * 64, "crop", "person", at_s, "cam", "d1", "t", 29.7, 107.2, 3.0, {}, "onnx"))
    async with Store.open(tmp_path / "site.db", site.site_id) as store:
        task = asyncio.create_task(service._sweep(store))
        async with asyncio.timeout(20.0):
            while (tmp_path / "evidence" / "old.jpg").exists():
                await asyncio.sleep(0.02)
        clock.set_by = timedelta(days=20 * 365)
        async with asyncio.timeout(20.0):
            while "the clock was set far ahead" not in caplog.text:
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (tmp_path / "evidence" / "new.jpg").exists()


class SetClock:
    """A clock whose UTC somebody sets."""

    set_by = timedelta(0)
    monotonic_s = SystemClock().monotonic_s

    def utc(self):
        return SystemClock().utc() + self.set_by


async def test_a_store_that_fails_in_an_unheard_of_way_is_told_and_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.01)
    async with Store.open(tmp_path / "site.db", "s") as store:
        told = []
        task = asyncio.create_task(state_watch.watch_store(store, lambda _report: None, told.append))
        await asyncio.sleep(0.1)
        assert told == []
        store._standing = None  # nothing that it could ask
        async with asyncio.timeout(20.0):
            while not told:
                await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "AttributeError" in told[0]


async def test_an_address_that_was_taken_back_stays_so(tmp_path, monkeypatch):
    """A service that ends just when it writes its address again must not leave it behind."""
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.0)
    state = StateDir(tmp_path / "state").create()
    slow = state.service_file.with_suffix(".new")
    os.mkfifo(slow)  # whoever writes waits for a reader
    task = asyncio.create_task(state_watch.stay_findable(state, "t" * 40, "http://127.0.0.1:9", lambda: False))
    while not state.token.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    read = threading.Timer(0.3, slow.read_text)
    read.start()
    await asyncio.wait([task])
    state.service_file.unlink(missing_ok=True)
    await asyncio.to_thread(read.join)
    await asyncio.sleep(0.1)
    assert not state.service_file.exists()
