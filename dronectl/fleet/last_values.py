# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a vehicle's messages say, kept as last values: freshness, mission progress, poses. Pure, knows no MAVSDK.

The JSON of single MAVLink messages comes in from the link's callbacks; states and pose samples go out to the worker.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

import msgspec

from dronectl.fleet.link import FlightMode, LandedState, PoseSample, VehicleAddress, VehicleState

STALE_AFTER_S: Final = 3.0
_REBOOT_STEP_S: Final = 1.0
MAX_LATITUDE_DEG: Final = 90.0
MAX_LONGITUDE_DEG: Final = 180.0
_NO_AUTOPILOT: Final = 8  # MAV_AUTOPILOT_INVALID: a gimbal, a companion computer, another ground station
_NO_MISSION_TOTAL: Final = 65535  # MISSION_CURRENT.total: none, or not told
_M_PER_DEG_LATITUDE: Final = 111_320.0
_PAIR_WITHIN_S: Final = 0.5
_POSITIONS_KEPT: Final = 8
_ATTITUDES_KEPT: Final = 64


def known(value: float) -> float | None:
    """None for what is no number: the library's NaN, and an infinity from the air."""
    return value if math.isfinite(value) else None


def known_place(latitude_deg: float, longitude_deg: float) -> tuple[float, float] | tuple[None, None]:
    """A place on Earth, or neither: MAVLink's INT32_MAX for "not known" comes out of the library as 214.7 degrees."""
    on_earth = abs(latitude_deg) <= MAX_LATITUDE_DEG and abs(longitude_deg) <= MAX_LONGITUDE_DEG
    return (latitude_deg, longitude_deg) if on_earth else (None, None)


def known_fraction(percent: float) -> float | None:
    """A battery's fraction; None for what is no percentage: MAVLink's -1 for "not known", and NaN."""
    return percent / 100.0 if 0.0 <= percent <= 100.0 else None


def known_text(text: str) -> str:
    """A vehicle's text without control characters: it is printed, logged and sent on, and must steer no terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class Freshness:
    """When a vehicle was last heard, and its own clock.

    Polled values carry no time of arrival, so that a changed message time is the proof that something came in.
    """

    def __init__(self) -> None:
        self.heard_monotonic_s: float | None = None
        self.vehicle_time_s: float | None = None
        self._seen_us = 0

    def heard(self, now_s: float) -> None:
        """A message came in."""
        self.heard_monotonic_s = now_s

    def message_time(self, timestamp_us: int, now_s: float) -> bool:
        """Take the time that the newest message carries; True if the vehicle's clock jumped back: it was rebooted."""
        if timestamp_us in {0, self._seen_us}:
            return False
        rebooted = timestamp_us < self._seen_us - _REBOOT_STEP_S * 1e6
        self._seen_us = timestamp_us
        self.vehicle_time_s = timestamp_us / 1e6
        self.heard_monotonic_s = now_s
        return rebooted

    def fresh(self, now_s: float) -> bool:
        """Heard within STALE_AFTER_S."""
        return self.heard_monotonic_s is not None and now_s - self.heard_monotonic_s <= STALE_AFTER_S


class FastValues(NamedTuple):
    """What is read at every look; the fields of VehicleState, and the time of the newest ATTITUDE."""

    timestamp_us: int
    mode: FlightMode
    armed: bool
    landed: LandedState
    latitude_deg: float | None
    longitude_deg: float | None
    amsl_m: float | None
    height_above_home_m: float | None
    velocity_north_m_s: float | None
    velocity_east_m_s: float | None
    velocity_down_m_s: float | None
    roll_deg: float | None
    pitch_deg: float | None
    yaw_deg: float | None


class SlowValues(NamedTuple):
    """What comes once a second or less."""

    battery_fraction: float | None
    battery_v: float | None
    home_latitude_deg: float | None
    home_longitude_deg: float | None
    home_amsl_m: float | None
    position_ok: bool
    home_ok: bool
    armable: bool


class MissionCurrent(msgspec.Struct, frozen=True):
    """MISSION_CURRENT (42): the item being flown to."""

    seq: int
    total: int = _NO_MISSION_TOTAL


class MissionItemReached(msgspec.Struct, frozen=True):
    """MISSION_ITEM_REACHED (46)."""

    seq: int


class GlobalPosition(msgspec.Struct, frozen=True):
    """GLOBAL_POSITION_INT (33): degrees x 1e7, mm, cm/s."""

    time_boot_ms: int
    lat: int
    lon: int
    alt: int
    relative_alt: int
    vx: int
    vy: int
    vz: int


class Attitude(msgspec.Struct, frozen=True):
    """ATTITUDE (30): radians. The library writes what is no number as null."""

    time_boot_ms: int
    roll: float | None
    pitch: float | None
    yaw: float | None


class Heartbeat(msgspec.Struct, frozen=True):
    """HEARTBEAT (0), as far as it says who sent it."""

    autopilot: int


decode_mission_current = msgspec.json.Decoder(MissionCurrent).decode
decode_mission_reached = msgspec.json.Decoder(MissionItemReached).decode
decode_position = msgspec.json.Decoder(GlobalPosition).decode
decode_attitude = msgspec.json.Decoder(Attitude).decode
_decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode


def is_autopilots(heartbeat: bytes | str) -> bool:
    """Whether the autopilot itself sent it: other components of its system id may go on when it is silent."""
    return _decode_heartbeat(heartbeat).autopilot != _NO_AUTOPILOT


class MissionProgress:
    """Where the autopilot says it is in its mission."""

    def __init__(self) -> None:
        self.current: int | None = None
        self.total: int | None = None
        self.reached: int | None = None

    def on_current(self, message: MissionCurrent) -> None:
        self.current = message.seq
        self.total = None if message.total == _NO_MISSION_TOTAL else message.total

    def on_reached(self, message: MissionItemReached) -> None:
        self.reached = message.seq if self.reached is None else max(self.reached, message.seq)

    def restart(self) -> None:
        """A new upload, or a jump to another item: what was reached before says nothing any more."""
        self.reached = None


def vehicle_state(
    address: VehicleAddress,
    connected: bool,
    freshness: Freshness,
    fast: FastValues,
    slow: SlowValues,
    progress: MissionProgress,
    hardware_uid: str | None,
    last_text: str | None,
) -> VehicleState:
    """Put a state together."""
    return VehicleState(
        vehicle_id=address.vehicle_id,
        connected=connected,
        heard_monotonic_s=freshness.heard_monotonic_s,
        vehicle_time_s=freshness.vehicle_time_s,
        mode=fast.mode,
        armed=fast.armed,
        landed=fast.landed,
        latitude_deg=fast.latitude_deg,
        longitude_deg=fast.longitude_deg,
        amsl_m=fast.amsl_m,
        height_above_home_m=fast.height_above_home_m,
        velocity_north_m_s=fast.velocity_north_m_s,
        velocity_east_m_s=fast.velocity_east_m_s,
        velocity_down_m_s=fast.velocity_down_m_s,
        roll_deg=fast.roll_deg,
        pitch_deg=fast.pitch_deg,
        yaw_deg=fast.yaw_deg,
        battery_fraction=slow.battery_fraction,
        battery_v=slow.battery_v,
        home_latitude_deg=slow.home_latitude_deg,
        home_longitude_deg=slow.home_longitude_deg,
        home_amsl_m=slow.home_amsl_m,
        position_ok=slow.position_ok,
        home_ok=slow.home_ok,
        armable=slow.armable,
        mission_current=progress.current,
        mission_total=progress.total,
        mission_reached=progress.reached,
        system_id=address.system_id,
        hardware_uid=hardware_uid,
        last_text=last_text,
    )


class _Angles(NamedTuple):
    """An attitude that is one: radians."""

    time_boot_ms: int
    roll: float
    pitch: float
    yaw: float


class PosePairer:
    """Positions and attitudes of one vehicle, paired by the vehicle's clock into PoseSamples.

    A sample is given for each attitude. The position nearest in time is carried to the attitude's moment with its own
    velocity: over the 50 ms that a 10 Hz stream leaves, an acceleration of 3 m/s2 costs 4 mm. Both messages stamped
    alike are taken as they are. Attitudes without a position within 0.5 s are dropped, and so is what is no number or
    not on Earth.
    """

    def __init__(self, vehicle_id: str) -> None:
        self._vehicle_id = vehicle_id
        self._positions: deque[GlobalPosition] = deque(maxlen=_POSITIONS_KEPT)
        self._attitudes: deque[_Angles] = deque(maxlen=_ATTITUDES_KEPT)

    def position(self, message: GlobalPosition) -> None:
        if known_place(message.lat / 1e7, message.lon / 1e7) == (None, None):
            return
        if self._positions and message.time_boot_ms < self._positions[-1].time_boot_ms - _REBOOT_STEP_S * 1e3:
            self._positions.clear()
            self._attitudes.clear()
        self._positions.append(message)

    def attitude(self, message: Attitude) -> None:
        roll, pitch, yaw = message.roll, message.pitch, message.yaw
        if roll is None or pitch is None or yaw is None or not math.isfinite(roll + pitch + yaw):
            return
        self._attitudes.append(_Angles(message.time_boot_ms, roll, pitch, yaw))

    def take(self) -> list[PoseSample]:
        """The samples that have become possible, oldest first; attitudes newer than every position wait for one."""
        samples: list[PoseSample] = []
        while self._attitudes and self._positions:
            attitude = self._attitudes[0]
            newest_ms = self._positions[-1].time_boot_ms
            if attitude.time_boot_ms > newest_ms + 1e3 * _PAIR_WITHIN_S / 2:
                break  # the next batch may hold a position nearer in time
            self._attitudes.popleft()
            nearest = min(self._positions, key=lambda p: abs(p.time_boot_ms - attitude.time_boot_ms))
            ahead_s = (attitude.time_boot_ms - nearest.time_boot_ms) / 1e3
            if abs(ahead_s) <= _PAIR_WITHIN_S:
                samples.append(self._sample(attitude, nearest, ahead_s))
        return samples

    def _sample(self, attitude: _Angles, position: GlobalPosition, ahead_s: float) -> PoseSample:
        north_m_s, east_m_s, down_m_s = position.vx / 100.0, position.vy / 100.0, position.vz / 100.0
        latitude_deg = position.lat / 1e7
        m_per_deg_longitude = _M_PER_DEG_LATITUDE * math.cos(math.radians(latitude_deg))
        return PoseSample(
            vehicle_id=self._vehicle_id,
            vehicle_time_s=attitude.time_boot_ms / 1e3,
            latitude_deg=latitude_deg + north_m_s * ahead_s / _M_PER_DEG_LATITUDE,
            longitude_deg=position.lon / 1e7 + east_m_s * ahead_s / m_per_deg_longitude,
            amsl_m=position.alt / 1e3 - down_m_s * ahead_s,
            height_above_home_m=position.relative_alt / 1e3 - down_m_s * ahead_s,
            velocity_north_m_s=north_m_s,
            velocity_east_m_s=east_m_s,
            velocity_down_m_s=down_m_s,
            roll_deg=math.degrees(attitude.roll),
            pitch_deg=math.degrees(attitude.pitch),
            yaw_deg=math.degrees(attitude.yaw),
        )
