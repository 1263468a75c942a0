# SPDX-License-Identifier: AGPL-3.0-or-later
"""A vehicle on a desk: a VehicleLink in memory that keeps parameters, fence and mission, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from dronectl.fleet.link import FlightMode, LandedState, LinkError, LinkFailure, VehicleState
from missions.geo import Altitude, Datum, GeoPoint, destination
from missions.mavlink_items import MissionItem
from missions.model import Authority, Category, FlightPlan, Geofence, Mission, Waypoint

HOME = GeoPoint(29.7, 107.3)
GROUND_AMSL_M = 250.0


def healthy(vehicle_id: str = "d1") -> VehicleState:
    """On the ground, disarmed, heard just now, ready to fly."""
    return VehicleState(
        vehicle_id,
        connected=True,
        heard_monotonic_s=time.monotonic(),
        vehicle_time_s=100.0,
        mode=FlightMode.HOLD,
        armed=False,
        landed=LandedState.ON_GROUND,
        latitude_deg=HOME.latitude_deg,
        longitude_deg=HOME.longitude_deg,
        amsl_m=GROUND_AMSL_M,
        height_above_home_m=0.0,
        battery_fraction=0.95,
        home_latitude_deg=HOME.latitude_deg,
        home_longitude_deg=HOME.longitude_deg,
        home_amsl_m=GROUND_AMSL_M,
        position_ok=True,
        home_ok=True,
        armable=True,
    )


def plan(vehicle_id: str = "d1", *, mission_id: str = "m1", reach_m: float = 100.0) -> FlightPlan:
    """A triangle 40 m above home inside a square fence of 600 m."""
    ring = tuple(destination(HOME, bearing, 600.0) for bearing in (45.0, 135.0, 225.0, 315.0))
    return FlightPlan(
        vehicle_id=vehicle_id,
        mission=Mission(mission_id, "a test", Authority("the test", "it has to pass"), Category.TRAINING),
        home=HOME,
        home_amsl_m=GROUND_AMSL_M,
        takeoff_height_m=40.0,
        waypoints=tuple(
            Waypoint(destination(HOME, bearing, reach_m), Altitude(40.0, Datum.HOME)) for bearing in (0.0, 120.0, 240.0)
        ),
        fence=Geofence((ring,), max_altitude=Altitude(100.0, Datum.HOME)),
        return_height_m=50.0,
        cruise_speed_m_s=8.0,
    )


class DeskVehicle:
    """Obeys at once. `broken` names calls that raise, `forgetful` parameters that keep their old value."""

    def __init__(self, vehicle_id: str = "d1") -> None:
        self._id = vehicle_id
        self.now = healthy(vehicle_id)
        self.params: dict[str, float] = {
            "NAV_DLL_ACT": 0,
            "COM_DL_LOSS_T": 10,
            "GF_ACTION": 2,
            "RTL_RETURN_ALT": 30.0,
            "COM_LOW_BAT_ACT": 0,
            "BAT_LOW_THR": 0.15,
            "BAT_CRIT_THR": 0.07,
            "BAT_EMERGEN_THR": 0.05,
            "GF_MAX_VER_DIST": 0.0,
        }
        self.fence: tuple[MissionItem, ...] = ()
        self.mission: tuple[MissionItem, ...] = ()
        self.calls: list[str] = []
        self.broken: dict[str, LinkFailure] = {}
        self.forgetful: set[str] = set()
        self.warp_m = 0.0  # added to every altitude that is read back
        self.slow: dict[str, asyncio.Event] = {}  # calls that wait for the test

    @property
    def vehicle_id(self) -> str:
        return self._id

    def state(self) -> VehicleState:
        if self.now.connected:
            self.now = replace(self.now, heard_monotonic_s=time.monotonic())
        return self.now

    def become(self, **changes: object) -> VehicleState:
        self.now = replace(self.now, **changes)  # type: ignore[arg-type]
        return self.state()

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if name in self.slow:
            await self.slow[name].wait()
        if name in self.broken:
            raise LinkError(self.broken[name], f"{name} was refused")

    async def wait_connected(self, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            await self._call("wait_connected")

    async def hold(self) -> None:
        await self._call("hold")
        self.become(mode=FlightMode.HOLD)

    async def return_to_launch(self) -> None:
        await self._call("return")
        self.become(mode=FlightMode.RETURN)

    async def land(self) -> None:
        await self._call("land")
        self.become(mode=FlightMode.LAND)

    async def arm(self) -> None:
        await self._call("arm")
        if self.now.landed is not LandedState.ON_GROUND:
            raise LinkError(LinkFailure.REFUSED_UNSAFE, "not on the ground")
        self.become(armed=True)

    async def disarm(self) -> None:
        await self._call("disarm")
        self.become(armed=False)

    async def start_mission(self) -> None:
        await self._call("start")
        self.become(mode=FlightMode.MISSION)

    async def upload_mission(self, items: Sequence[MissionItem]) -> None:
        await self._call("upload")
        self.mission = tuple(items)
        self.become(mission_total=len(items), mission_current=0, mission_reached=None)

    async def cancel_upload(self) -> None:
        await self._call("cancel_upload")

    async def download_mission(self) -> tuple[MissionItem, ...]:
        await self._call("download")
        return tuple(replace(item, z=item.z + self.warp_m) for item in self.mission)

    async def upload_fence(self, items: Sequence[MissionItem]) -> None:
        await self._call("upload_fence")
        self.fence = tuple(items)

    async def download_fence(self) -> tuple[MissionItem, ...]:
        await self._call("download_fence")
        return self.fence

    async def get_param(self, name: str) -> float:
        await self._call(f"get {name}")
        return self.params[name]

    async def set_param(self, name: str, value: float) -> None:
        await self._call(f"set {name}")
        if name not in self.forgetful:
            self.params[name] = value

    async def close(self) -> None:
        await asyncio.sleep(0)
