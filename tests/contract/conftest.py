# SPDX-License-Identifier: AGPL-3.0-or-later
"""Vehicles for the contract suite: the embedded simulator's, or a real PX4 SITL each with `--px4 PATH`.

A relay stands between every vehicle and its link. The simulator hosts all vehicles of a run in one process, and one
pool links them; every test takes a fresh one. A PX4 starts per test, with a pool of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from contract.relay import Relay, free_udp_port
from contract.transcript import Transcript
from dronectl.fleet.link import FlightMode, LandedState, PoseSample, VehicleAddress, VehicleLink, VehicleState
from dronectl.fleet.messages import Rates
from dronectl.fleet.pool import LinkPool
from missions.geo import GeoPoint, destination
from missions.mavlink_items import MissionItem
from sim.px4 import Px4Instance, Px4Sitl, unused_numbers

SIM_VEHICLES = 26
OWN = 6  # of them for pools of their own
SIM_SPEED = 6.0
PX4_SPEED = 5.0
_PX4_SYSTEM_ID = 77
HOME = GeoPoint(29.70, 107.40)
# Faster than the messages come, so that no state that the vehicle tells of is missed.
RATES = Rates(tick_hz=40.0, pose_tick_hz=40.0, docked_hz=20.0, flying_hz=40.0, pose_stream_hz=40.0)


@dataclass
class Craft:
    """A vehicle in a test."""

    link: VehicleLink
    pool: LinkPool
    relay: Relay
    address: VehicleAddress
    home: GeoPoint
    speed: float
    history: list[VehicleState] = field(default_factory=list)
    poses: list[PoseSample] = field(default_factory=list)
    refused_or_lost: int | None = None  # at its door, once its worker has said so

    @property
    def state(self) -> VehicleState:
        return self.link.state()

    async def until(self, what: str, condition: Callable[[VehicleState], bool], vehicle_s: float = 90.0) -> None:
        """Wait for the state; vehicle_s of flight, and as much patience as a slow machine needs."""
        give_up = time.monotonic() + 30.0 + vehicle_s
        while not condition(self.state):
            if time.monotonic() > give_up:
                pytest.fail(f"{what} did not come: {self.state}")
            await asyncio.sleep(0.02)

    async def vehicle_time(self, seconds: float) -> None:
        """Let the vehicle's clock run on."""
        start_s = self.state.vehicle_time_s or 0.0
        await self.until(f"{seconds} s", lambda s: (s.vehicle_time_s or 0.0) >= start_s + seconds, seconds)

    async def ready(self) -> None:
        await self.link.wait_connected(30.0)
        await self.until("ready to arm", lambda s: s.armable and s.home_ok and s.position_ok)
        await self.link.set_param("RTL_RETURN_ALT", 12.0)  # low and soon down
        # Ten simulated seconds are one of ours: a busy machine may take longer from arming to the start.
        await self.link.set_param("COM_DISARM_PRFLT", 120.0)

    async def airborne(self, items: Sequence[MissionItem]) -> None:
        """Upload, arm, start, and wait until it flies its first leg."""
        await self.ready()
        await self.link.upload_mission(items)
        await self.link.arm()
        await self.until("armed", lambda s: s.armed is True)
        await self.link.start_mission()
        await self.until("in the air", lambda s: s.landed is LandedState.IN_AIR and s.mode is FlightMode.MISSION)
        await self.until("first leg", lambda s: s.mission_current is not None and s.mission_current >= 1)

    async def landed(self) -> None:
        await self.until("landed", lambda s: s.armed is False and s.landed is LandedState.ON_GROUND, 180.0)


class Desk:
    """Takes what pools report and keeps it per vehicle."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.crafts: dict[str, Craft] = {}
        self._stack = stack
        self._shared: LinkPool | None = None

    async def shared(self, fleet: SimFleet) -> LinkPool:
        """One pool for all but the last simulated vehicles, started when first asked for."""
        if self._shared is None:
            addresses = [fleet.fresh_address(index) for index in range(SIM_VEHICLES - OWN)]
            self._shared = await self._stack.enter_async_context(self.pool(addresses))
        return self._shared

    def on_states(self, states: Sequence[VehicleState]) -> None:
        for state in states:
            if (craft := self.crafts.get(state.vehicle_id)) is not None:
                craft.history.append(state)

    def on_poses(self, samples: Sequence[PoseSample]) -> None:
        for sample in samples:
            if (craft := self.crafts.get(sample.vehicle_id)) is not None:
                craft.poses.append(sample)

    def on_doors(self, more: Mapping[str, int | None]) -> None:
        for vehicle_id, count in more.items():
            if (craft := self.crafts.get(vehicle_id)) is not None and count is not None:
                craft.refused_or_lost = (craft.refused_or_lost or 0) + count

    def keep(self, craft: Craft) -> Craft:
        self.crafts[craft.address.vehicle_id] = craft
        return craft

    @asynccontextmanager
    async def pool(self, addresses: Sequence[VehicleAddress]) -> AsyncIterator[LinkPool]:
        pool = LinkPool(
            addresses,
            on_states=self.on_states,
            on_poses=self.on_poses,
            on_report=lambda _report: None,
            on_doors=self.on_doors,
            rates=RATES,
        )
        task = asyncio.create_task(pool.run())
        try:
            yield pool
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@dataclass
class SimFleet:
    """The simulator process and the vehicles that no test has taken yet: shared ones in front, OWN at the back."""

    process: subprocess.Popen[str]
    relays: list[Relay]
    homes: list[GeoPoint]
    taken: int = 0
    own_taken: int = 0

    def take(self) -> int:
        """The index of a fresh vehicle of the shared pool."""
        self.taken += 1
        assert self.taken <= SIM_VEHICLES - OWN, "more tests than simulated vehicles: raise SIM_VEHICLES"
        return self.taken - 1

    def take_own(self) -> int:
        """The index of a fresh vehicle that no pool links yet."""
        self.own_taken += 1
        assert self.own_taken <= OWN, "more tests than simulated vehicles: raise OWN"
        return SIM_VEHICLES - self.own_taken

    def fresh_address(self, index: int, *, pose_stream: bool = False) -> VehicleAddress:
        """With a port that is looked for now: until its link opens, another process may find the same."""
        self.relays[index].link_port = free_udp_port()
        return self.address(index, pose_stream=pose_stream)

    def address(self, index: int, *, pose_stream: bool = False) -> VehicleAddress:
        connection = f"udpin://127.0.0.1:{self.relays[index].link_port}"
        return VehicleAddress(f"d{index + 1}", connection, index + 1, f"{index + 1:036x}", pose_stream)

    def craft(self, index: int, pool: LinkPool, desk: Desk, *, pose_stream: bool = False) -> Craft:
        address = self.address(index, pose_stream=pose_stream)
        link = pool.link(address.vehicle_id)
        return desk.keep(Craft(link, pool, self.relays[index], address, self.homes[index], SIM_SPEED))


@pytest.fixture(scope="package")
def sim_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimFleet]:
    folder = tmp_path_factory.mktemp("sim")
    homes = [destination(HOME, 90.0, 400.0 * index) for index in range(SIM_VEHICLES)]
    with ExitStack() as stack:
        relays = [stack.enter_context(Relay(seed=index)) for index in range(SIM_VEHICLES)]
        document = {
            "schema_version": 1,
            "seed": 5,
            "speed": SIM_SPEED,
            "night": False,
            "origin": {"latitude_deg": HOME.latitude_deg, "longitude_deg": HOME.longitude_deg},
            "terrain": {"flat_amsl_m": 250.0},
            "wind": {"speed_m_s": 2.0, "from_deg": 220.0, "gust_m_s": 0.5},
            "vehicles": [
                {
                    "vehicle_id": f"d{index + 1}",
                    "system_id": index + 1,
                    "hardware_uid": f"{index + 1:036x}",
                    "home": {"latitude_deg": home.latitude_deg, "longitude_deg": home.longitude_deg},
                    "target_host": "127.0.0.1",
                    "target_port": relay.target_port,
                    "battery_fraction": 1.0,
                    "endurance_s": 3600.0,
                    "cameras": [],
                }
                for index, (home, relay) in enumerate(zip(homes, relays, strict=True))
            ],
            "scene": None,
            "px4": None,
            "faults": None,
            "ready_file": None,
            "truth_file": None,
        }
        path = folder / "sim.json"
        path.write_text(json.dumps(document))
        process = subprocess.Popen(
            [sys.executable, "-m", "sim", "run", str(path), "--exit-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        stack.enter_context(process)
        try:
            assert process.stdout is not None
            assert "ready" in process.stdout.readline()
            yield SimFleet(process, relays, homes)
        finally:
            process.terminate()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def desk() -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        yield Desk(stack)


@pytest_asyncio.fixture(loop_scope="package")
async def craft(request: pytest.FixtureRequest, desk: Desk) -> AsyncIterator[Craft]:
    """A fresh vehicle on a shared pool (simulator), or a PX4 with its own."""
    if request.config.getoption("--px4") is not None:
        async with px4_craft(request, desk, pose_stream=False) as one:
            yield one
        return
    fleet: SimFleet = request.getfixturevalue("sim_fleet")
    yield fleet.craft(fleet.take(), await desk.shared(fleet), desk)


@pytest_asyncio.fixture(loop_scope="package")
async def own_craft(request: pytest.FixtureRequest, desk: Desk) -> AsyncIterator[Craft]:
    """A fresh vehicle with a pose stream, on a pool of its own whose worker a test may kill."""
    if request.config.getoption("--px4") is not None:
        async with px4_craft(request, desk, pose_stream=True) as one:
            yield one
        return
    fleet: SimFleet = request.getfixturevalue("sim_fleet")
    index = fleet.take_own()
    async with desk.pool([fleet.fresh_address(index, pose_stream=True)]) as pool:
        yield fleet.craft(index, pool, desk, pose_stream=True)


@asynccontextmanager
async def px4_craft(request: pytest.FixtureRequest, desk: Desk, *, pose_stream: bool) -> AsyncIterator[Craft]:
    """A PX4 SITL of its own."""
    marker = request.node.get_closest_marker("px4_speed")
    speed = PX4_SPEED if marker is None else marker.args[0]
    (number,) = unused_numbers(1)
    with Relay() as relay:
        instance = Px4Instance(number, HOME, 250.0, relay.target_port, system_id=_PX4_SYSTEM_ID)
        async with Px4Sitl(request.config.getoption("--px4"), [instance], speed=speed):
            uid = f"{_PX4_SYSTEM_ID - 1:02x}".ljust(36, "0")  # SITL makes it from the system id
            address = VehicleAddress("d77", f"udpin://127.0.0.1:{relay.link_port}", _PX4_SYSTEM_ID, uid, pose_stream)
            async with desk.pool([address]) as pool:
                yield desk.keep(Craft(pool.link("d77"), pool, relay, address, HOME, speed))


@pytest.fixture
def transcript(request: pytest.FixtureRequest) -> Transcript:
    return Transcript(real=request.config.getoption("--px4") is not None, record=request.config.getoption("--record"))
