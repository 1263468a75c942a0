# SPDX-License-Identifier: AGPL-3.0-or-later
"""VehicleLink: exactly what the service needs from a connection to one vehicle.

Return codes are never proof: "OK" means that the autopilot took the command, a TIMEOUT does not mean that it did
not. Callers confirm by `state()`. There is no arm_force and nothing that can arm in the air.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from missions.mavlink_items import MissionItem


class FlightMode(StrEnum):
    """Flight modes as far as they matter here."""

    UNKNOWN = "unknown"
    READY = "ready"
    TAKEOFF = "takeoff"
    HOLD = "hold"
    MISSION = "mission"
    RETURN = "return"
    LAND = "land"
    OFFBOARD = "offboard"
    MANUAL = "manual"  # every mode in which a person holds the sticks


class LandedState(StrEnum):
    """What the autopilot's land detector says."""

    UNKNOWN = "unknown"
    ON_GROUND = "on_ground"
    TAKING_OFF = "taking_off"
    IN_AIR = "in_air"
    LANDING = "landing"


@dataclass(frozen=True, slots=True)
class VehicleState:
    """The last that is known of a vehicle. None means unknown, never zero.

    `heard_monotonic_s` is when its last message came in (CLOCK_MONOTONIC, comparable between processes of one
    machine); `vehicle_time_s` is the vehicle's own clock, seconds since its boot, from a message that carries it.
    Velocities are NED, yaw is clockwise from north.
    """

    vehicle_id: str
    connected: bool = False
    heard_monotonic_s: float | None = None
    vehicle_time_s: float | None = None
    mode: FlightMode = FlightMode.UNKNOWN
    armed: bool | None = None
    landed: LandedState = LandedState.UNKNOWN
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    amsl_m: float | None = None
    height_above_home_m: float | None = None
    velocity_north_m_s: float | None = None
    velocity_east_m_s: float | None = None
    velocity_down_m_s: float | None = None
    roll_deg: float | None = None
    pitch_deg: float | None = None
    yaw_deg: float | None = None
    battery_fraction: float | None = None
    battery_v: float | None = None
    home_latitude_deg: float | None = None
    home_longitude_deg: float | None = None
    home_amsl_m: float | None = None
    position_ok: bool = False  # global position estimate good enough for a mission
    home_ok: bool = False
    armable: bool = False
    mission_current: int | None = None  # item being flown to
    mission_total: int | None = None
    mission_reached: int | None = None  # highest item reported reached since the last upload or restart
    system_id: int | None = None
    hardware_uid: str | None = None
    last_text: str | None = None  # last STATUSTEXT

    @property
    def in_air(self) -> bool | None:
        """None when the land detector says nothing."""
        if self.landed is LandedState.UNKNOWN:
            return None
        return self.landed is not LandedState.ON_GROUND


@dataclass(frozen=True, slots=True)
class PoseSample:
    """Body position and attitude at one moment of the vehicle's clock, for the cameras' pose buffers."""

    vehicle_id: str
    vehicle_time_s: float
    latitude_deg: float
    longitude_deg: float
    amsl_m: float
    height_above_home_m: float
    velocity_north_m_s: float
    velocity_east_m_s: float
    velocity_down_m_s: float
    roll_deg: float
    pitch_deg: float
    yaw_deg: float


class LinkFailure(StrEnum):
    """Why a request failed."""

    TIMEOUT = "timeout"  # no answer; it may have been done all the same
    DENIED = "denied"
    BUSY = "busy"
    DISCONNECTED = "disconnected"
    CANCELLED = "cancelled"
    REFUSED_UNSAFE = "refused_unsafe"  # the link itself refused: it would be dangerous in this state
    WRONG_VEHICLE = "wrong_vehicle"  # system id or hardware uid is not the configured one
    ERROR = "error"


class LinkError(Exception):
    """A request that failed, and why."""

    def __init__(self, failure: LinkFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class VehicleAddress:
    """How to reach one vehicle and how to know that it is the right one."""

    vehicle_id: str
    connection: str  # a MAVSDK URL: udpin://127.0.0.1:24551
    system_id: int
    hardware_uid: str | None = None
    pose_stream: bool = False  # it carries cameras: gather PoseSamples
    whole_packets: bool = True  # every datagram begins with a packet: what does not may be refused at the door


class VehicleLink(Protocol):
    """One vehicle. Every method has a time-out of its own and raises LinkError.

    hold, return_to_launch and land go in an urgent lane: no other request, however many, delays them.
    """

    @property
    def vehicle_id(self) -> str: ...

    def state(self) -> VehicleState: ...

    async def wait_connected(self, timeout_s: float) -> None:
        """Until the vehicle is discovered, is the configured one and its message intervals are set."""

    async def hold(self) -> None: ...

    async def return_to_launch(self) -> None: ...

    async def land(self) -> None: ...

    async def arm(self) -> None:
        """Arm on the ground only: refused (REFUSED_UNSAFE) unless the state says on ground; leaves MISSION first."""

    async def disarm(self) -> None:
        """Disarm on the ground only: refused in the air."""

    async def start_mission(self) -> None: ...

    async def upload_mission(self, items: Sequence[MissionItem]) -> None: ...

    async def cancel_upload(self) -> None: ...

    async def download_mission(self) -> tuple[MissionItem, ...]: ...

    async def upload_fence(self, items: Sequence[MissionItem]) -> None: ...

    async def download_fence(self) -> tuple[MissionItem, ...]: ...

    async def get_param(self, name: str) -> float: ...

    async def set_param(self, name: str, value: float) -> None:
        """Set and read back; LinkError if the read-back differs. int for INT32 parameters, float for REAL32."""

    async def close(self) -> None: ...
