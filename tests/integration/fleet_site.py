# SPDX-License-Identifier: AGPL-3.0-or-later
"""A small site for the fleet's integration tests: simulated vehicles in their own process, plans, and a Fleet."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from background import background
from sqlalchemy import select

from dronectl.clock import SystemClock
from dronectl.fleet.failsafe import FailsafePolicy
from dronectl.fleet.fleet import Fleet
from dronectl.fleet.link import VehicleAddress
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.ports import free_ports
from dronectl.store import Store
from dronectl.store.models import SortieJournalRow
from missions.geo import Altitude, Datum, GeoPoint, destination
from missions.model import Authority, Category, FlightPlan, Geofence, Mission, VehicleLimits, Waypoint
from missions.terrain import FlatTerrain
from sim.px4 import Px4Instance, Px4Sitl, unused_numbers

GROUND_AMSL_M = 250.0
CENTRE = GeoPoint(29.7, 107.3)
PATIENCE_S = 100.0  # of real time; the tests wait for conditions and only give up after this
LONG_LINK_LOSS_S = 300  # vehicle seconds: a restart of a process, or a busy machine, takes a few of ours
FIRST_SYSTEM_ID = 61
WORLDS = ["sim", pytest.param("px4", marks=[pytest.mark.px4, pytest.mark.timeout(400)])]
PX4_SPEED = 5.0


@dataclass(frozen=True)
class SiteFiles:
    """What a test and its child processes share, as a JSON file."""

    folder: Path
    ports: tuple[int, ...]

    @property
    def vehicle_ids(self) -> tuple[str, ...]:
        return tuple(f"d{i + 1}" for i in range(len(self.ports)))

    def home(self, vehicle_id: str) -> GeoPoint:
        return destination(CENTRE, 90.0, 20.0 * self.vehicle_ids.index(vehicle_id))

    def addresses(self) -> list[VehicleAddress]:
        return [
            VehicleAddress(name, f"udpin://127.0.0.1:{port}", FIRST_SYSTEM_ID + i)
            for i, (name, port) in enumerate(zip(self.vehicle_ids, self.ports, strict=True))
        ]

    def plan(self, vehicle_id: str, *, mission_id: str = "m1", reach_m: float = 60.0, laps: int = 1) -> FlightPlan:
        """A square of `reach_m`, flown `laps` times, 18 m above home."""
        home = self.home(vehicle_id)
        corners = [destination(home, bearing, reach_m) for bearing in (0.0, 60.0, 120.0)] * laps
        ring = tuple(destination(CENTRE, bearing, 600.0) for bearing in (45.0, 135.0, 225.0, 315.0))
        return FlightPlan(
            vehicle_id=vehicle_id,
            mission=Mission(mission_id, "a test", Authority("the test", "it has to pass"), Category.TRAINING),
            home=home,
            home_amsl_m=GROUND_AMSL_M,
            takeoff_height_m=18.0,
            waypoints=tuple(Waypoint(corner, Altitude(18.0, Datum.HOME)) for corner in corners),
            fence=Geofence((ring,), max_altitude=Altitude(100.0, Datum.HOME)),
            return_height_m=18.0,
            cruise_speed_m_s=10.0,
        )

    def save(self) -> Path:
        path = self.folder / "site.json"
        path.write_text(json.dumps({"ports": self.ports}))
        return path

    @classmethod
    def load(cls, folder: Path) -> SiteFiles:
        return cls(folder, tuple(json.loads((folder / "site.json").read_text(encoding="utf-8"))["ports"]))


@dataclass
class Simulator:
    """The running simulator; `tell` changes the world and returns its answer."""

    process: asyncio.subprocess.Process

    async def tell(self, **line: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        await self.process.stdin.drain()
        async with asyncio.timeout(PATIENCE_S):
            answer: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return answer

    async def mode(self, vehicle_id: str) -> str:
        """The true one, whatever its link says."""
        mode: str = (await self.tell(status=True))["status"]["vehicles"][vehicle_id]["mode"]
        return mode


@asynccontextmanager
async def simulated(
    folder: Path, *, vehicles: int = 1, speed: float = 10.0
) -> AsyncIterator[tuple[SiteFiles, Simulator]]:
    """The simulator with so many vehicles, until the block ends."""
    site = SiteFiles(folder, tuple(free_ports(socket.SOCK_DGRAM, vehicles)))
    site.save()
    homes = [site.home(name) for name in site.vehicle_ids]
    config = {
        "schema_version": 1,
        "seed": 3,
        "speed": speed,
        "origin": {"latitude_deg": CENTRE.latitude_deg, "longitude_deg": CENTRE.longitude_deg},
        "terrain": {"flat_amsl_m": GROUND_AMSL_M},
        "vehicles": [
            {
                "vehicle_id": name,
                "system_id": FIRST_SYSTEM_ID + i,
                "home": {"latitude_deg": homes[i].latitude_deg, "longitude_deg": homes[i].longitude_deg},
                "target_host": "127.0.0.1",
                "target_port": site.ports[i],
            }
            for i, name in enumerate(site.vehicle_ids)
        ],
    }
    (folder / "sim.json").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sim",
        "run",
        str(folder / "sim.json"),
        "--exit-with-parent",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            ready = await process.stdout.readline()
        assert ready, f"the simulator ended with {await process.wait()}"
        yield site, Simulator(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def world(kind: str, config: pytest.Config, folder: Path, *, vehicles: int = 1) -> AsyncIterator[SiteFiles]:
    """Simulated vehicles, or with "px4" as many real PX4s (`--px4 PATH`); one of WORLDS."""
    if kind == "sim":
        async with simulated(folder, vehicles=vehicles) as (site, _):
            yield site
        return
    site = SiteFiles(folder, tuple(free_ports(socket.SOCK_DGRAM, vehicles)))
    site.save()
    instances = [
        Px4Instance(number, site.home(name), GROUND_AMSL_M, port, system_id=FIRST_SYSTEM_ID + i)
        for i, (number, name, port) in enumerate(
            zip(unused_numbers(vehicles), site.vehicle_ids, site.ports, strict=True)
        )
    ]
    async with Px4Sitl(config.getoption("--px4"), instances, speed=PX4_SPEED):
        yield site


@asynccontextmanager
async def running_fleet(
    site: SiteFiles, *, endurance_s: float = 1800.0, link_loss_s: int = LONG_LINK_LOSS_S, cameras: bool = False
) -> AsyncIterator[Fleet]:
    """A Fleet on the site's database; leaving the block is what stopping the service is.

    link_loss_s counts in the vehicle's seconds: ten pass while a heartbeat of ours waits for its next. cameras: vehicles
    stream their poses, as those do that carry some.
    """
    async with Store.open(site.folder / "site.db", "test-site") as store:
        fleet = Fleet(
            "test-site",
            [replace(address, pose_stream=cameras) for address in site.addresses()],
            VehicleLimits(endurance_s=endurance_s, min_height_above_ground_m=10.0),
            FailsafePolicy(link_loss_s=link_loss_s),
            FlatTerrain(GROUND_AMSL_M),
            store,
            SystemClock(),
            on_poses=lambda _samples: None,
        )
        async with background(fleet.run):
            async with asyncio.timeout(PATIENCE_S):
                await fleet.started.wait()
            yield fleet


async def until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition; the message says what did not happen."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {patience_s:.0f} s: {what}")
        await asyncio.sleep(0.05)


async def phase(fleet: Fleet, sortie_id: str, *wanted: Phase) -> Sortie:
    """Wait until the sortie is in one of these phases."""

    def there() -> bool:
        sortie = fleet.sorties.value[sortie_id]
        if sortie.ended and sortie.phase not in wanted:
            raise AssertionError(f"ended as {sortie.phase}: {sortie.note} {sortie.findings}")
        return sortie.phase in wanted

    await until(there, f"{wanted} (it is {fleet.sorties.value[sortie_id].phase})")
    return fleet.sorties.value[sortie_id]


async def landed(fleet: Fleet, sortie_id: str) -> Sortie:
    """Wait for the end of the sortie, which must be a landing."""
    async with asyncio.timeout(PATIENCE_S):
        sortie = await fleet.wait(sortie_id)
    assert sortie.phase is Phase.LANDED, (sortie.note, sortie.findings)
    state = fleet.states.value[sortie.vehicle_id]
    assert state.armed is False or not state.connected
    return sortie


async def steps(site: SiteFiles, sortie_id: str) -> list[str]:
    """What the journal holds of a sortie, in order; all of it once the fleet has stopped."""
    async with Store.open(site.folder / "site.db", "test-site") as store, store.reader() as session:
        rows = await session.scalars(
            select(SortieJournalRow).where(SortieJournalRow.sortie_id == sortie_id).order_by(SortieJournalRow.row_id)
        )
        return [row.step for row in rows]
