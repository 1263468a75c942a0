# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ground truth of a PX4 with its built-in simulation: HIL_STATE_QUATERNION in over UDP, TruePose out.

PX4 sends that message without a time, so ATTITUDE comes on the same link and its time_boot_ms dates the next pose.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from sim import mavlink_messages as m
from sim.config import ConfigError
from sim.mavlink import DecodeCounts, MessageSpec, decode
from sim.pose import TruePose

HIL_STATE_QUATERNION = MessageSpec("HIL_STATE_QUATERNION", 115, 4, "<Q4ffffiiihhhHHhhh")
_WANTED = {HIL_STATE_QUATERNION.message_id: HIL_STATE_QUATERNION, m.ATTITUDE.message_id: m.ATTITUDE}


def euler_rad(w: float, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Roll, pitch, yaw of a body-to-NED quaternion (Diebel 2006, eq. 290)."""
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return roll, pitch, yaw


class TruthListener(asyncio.DatagramProtocol):
    """Hears one vehicle and hands on each pose. `open` binds the port."""

    def __init__(self, vehicle_id: str, speed: float, on_pose: Callable[[TruePose], None]) -> None:
        self._vehicle_id = vehicle_id
        self._speed = speed
        self._on_pose = on_pose
        self._home_amsl_m: float | None = None
        self._dated: tuple[float, float] | None = None  # vehicle time and when it came
        self._last_s = -1.0
        self.counts = DecodeCounts()

    @classmethod
    async def open(
        cls, vehicle_id: str, port: int, speed: float, on_pose: Callable[[TruePose], None]
    ) -> asyncio.BaseTransport:
        """Listen on loopback. Raises ConfigError when the port is taken."""
        loop = asyncio.get_running_loop()
        listener = cls(vehicle_id, speed, on_pose)
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: listener, local_addr=("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"px4: truth_port {port} of {vehicle_id} cannot be opened ({error.strerror})") from error
        return transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 (asyncio's signature)
        for packet in decode(data, _WANTED, self.counts):
            values = _WANTED[packet.message_id].struct.unpack(packet.payload)
            if packet.message_id == m.ATTITUDE.message_id:
                self._dated = (values[0] / 1000.0, time.monotonic())
            elif self._dated is not None:
                self._pose(values, self._dated)

    def _pose(self, values: tuple[float, ...], dated: tuple[float, float]) -> None:
        time_s = dated[0] + (time.monotonic() - dated[1]) * self._speed
        if time_s <= self._last_s:
            return  # cameras need time that goes forward; a late packet is not worth a jump back
        self._last_s = time_s
        _, w, x, y, z, _, _, _, lat, lon, alt_mm, vx, vy, vz = values[:14]
        roll, pitch, yaw = euler_rad(w, x, y, z)
        amsl = alt_mm / 1000.0
        if self._home_amsl_m is None:
            self._home_amsl_m = amsl
        self._on_pose(
            TruePose(
                vehicle_id=self._vehicle_id,
                time_s=time_s,
                latitude_deg=lat / 1e7,
                longitude_deg=lon / 1e7,
                amsl_m=amsl,
                height_above_home_m=amsl - self._home_amsl_m,
                velocity_north_m_s=vx / 100.0,
                velocity_east_m_s=vy / 100.0,
                velocity_down_m_s=vz / 100.0,
                roll_deg=math.degrees(roll),
                pitch_deg=math.degrees(pitch),
                yaw_deg=math.degrees(yaw) % 360.0,
                gimbal_pitch_deg=None,
            )
        )
