# SPDX-License-Identifier: AGPL-3.0-or-later
"""Many simulated vehicles in one process: sockets and pace around the autopilots.

Each vehicle has a UDP socket of its own; it sends to its target and answers whoever it last heard there. All step
together in simulated time, which runs at `speed` times real time and crawls while a camera reader lags.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from missions.geo import GeoPoint
from missions.terrain import Terrain
from sim.autopilot import Autopilot, AutopilotConfig
from sim.config import ConfigError, FaultConfig, SimConfig, VehicleConfig
from sim.faults import Radio
from sim.pose import TruePose

_FINE_STEP_S = 0.05
_COARSE_STEP_S = 0.1
_FINE_UP_TO = 16  # vehicles; more of them step at 10 Hz
_MOST_STEPS_AT_ONCE = 10
_FORGIVEN_S = 0.5  # real seconds of a stall that are caught up; the rest is lost, so that time never spirals
_MOST_DATAGRAM_BYTES = 1300
_LAGGING_FRAMES = 2
_MOST_ASTRAY_M_S = 30.0
_FORGET_PEER_S = 5.0
_CRAWL_S = 0.5  # real seconds per step while cameras lag: time crawls rather than stands, so that links stay alive


class Cameras(Protocol):
    """What the runner needs of a camera rig."""

    def pose(self, pose: TruePose) -> None: ...

    def lag(self) -> int: ...


@dataclass(slots=True)
class Counts:
    """Datagrams and packets over all vehicles. garbage: datagrams without a single packet that we know."""

    packets_out: int = 0
    datagrams_in: int = 0
    garbage: int = 0


class HostedVehicle(asyncio.DatagramProtocol):
    """One autopilot on its UDP socket."""

    def __init__(self, config: VehicleConfig, autopilot: Autopilot, radio: Radio, counts: Counts) -> None:
        self.config = config
        self.autopilot = autopilot
        self.radio = radio
        self._counts = counts
        self._transport: asyncio.DatagramTransport | None = None
        self._target: tuple[str, int] = (config.target_host, config.target_port)
        self._peer = self._target
        self._heard_s = 0.0

    @property
    def port(self) -> int:
        """The local port, once connected."""
        if self._transport is None:
            raise RuntimeError(f"{self.config.vehicle_id} has no socket yet")
        return int(self._transport.get_extra_info("sockname")[1])

    def send_to(self, address: tuple[str, int]) -> None:
        """The numeric address of its target: a name would be looked up for every datagram."""
        self._target = self._peer = address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # Python 3.11's is one in all but name

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._counts.datagrams_in += 1
        if self.radio.clear:
            self._hear(data, addr)
            return
        loop = asyncio.get_running_loop()
        for delay_s in self.radio.deliveries():
            if delay_s > 0.0:
                loop.call_later(delay_s, self._hear, data, addr)
            else:
                self._hear(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens at the target (yet): a radio does not mind."""

    def _hear(self, data: bytes, addr: tuple[str, int]) -> None:
        counts = self.autopilot.counts
        ignored = counts.ignored
        if self.autopilot.receive(data):
            self._peer = (addr[0], addr[1])
            self._heard_s = time.monotonic()
            self.flush()
        elif counts.ignored == ignored:
            self._counts.garbage += 1

    def flush(self) -> None:
        """Send what the autopilot has to say."""
        packets = self.autopilot.take()
        if not packets or self._transport is None:
            return
        self._counts.packets_out += len(packets)
        if self._peer != self._target and time.monotonic() - self._heard_s > _FORGET_PEER_S:
            self._peer = self._target  # whoever spoke last is gone: be found where the site looks
        if self.radio.clear:
            for datagram in bundle(packets):
                self._transport.sendto(datagram, self._peer)
            return
        loop = asyncio.get_running_loop()
        for packet in packets:
            for delay_s in self.radio.deliveries():
                if delay_s > 0.0:
                    loop.call_later(delay_s, self._send_late, packet)
                else:
                    self._transport.sendto(packet, self._peer)

    def _send_late(self, packet: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(packet, self._peer)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _itself(vehicle: HostedVehicle) -> HostedVehicle:
    return vehicle


def bundle(packets: list[bytes]) -> list[bytes]:
    """Packets joined into datagrams that fit an Ethernet frame, in order."""
    datagrams: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for packet in packets:
        if size + len(packet) > _MOST_DATAGRAM_BYTES and batch:
            datagrams.append(b"".join(batch))
            batch, size = [], 0
        batch.append(packet)
        size += len(packet)
    datagrams.append(b"".join(batch))
    return datagrams


class Runner:
    """All vehicles of one configuration that are ours (not PX4's)."""

    def __init__(self, config: SimConfig, terrain: Terrain, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.counts = Counts()
        self.vehicles: dict[str, HostedVehicle] = {}
        self.simulated_s = 0.0
        self.waited_s = 0.0  # real time spent waiting for cameras
        self.lost_s = 0.0  # real time lost in stalls
        self._clock = clock
        hosted = [vehicle for vehicle in config.vehicles if vehicle.vehicle_id not in (config.px4 or {})]
        self.step_s = _FINE_STEP_S if len(hosted) <= _FINE_UP_TO else _COARSE_STEP_S
        for vehicle in hosted:
            autopilot = Autopilot(
                AutopilotConfig(
                    vehicle_id=vehicle.vehicle_id,
                    system_id=vehicle.system_id,
                    home=GeoPoint(vehicle.home.latitude_deg, vehicle.home.longitude_deg),
                    terrain=terrain,
                    seed=f"{config.seed}/{vehicle.vehicle_id}",
                    wind=config.wind,
                    battery_fraction=vehicle.battery_fraction,
                    endurance_s=vehicle.endurance_s,
                    hardware_uid=b"" if vehicle.hardware_uid is None else bytes.fromhex(vehicle.hardware_uid),
                    speed=config.speed,
                )
            )
            radio = Radio(vehicle.vehicle_id, config.faults)
            self.vehicles[vehicle.vehicle_id] = HostedVehicle(vehicle, autopilot, radio, self.counts)

    async def open(self) -> None:
        """Give each vehicle its socket. Raises ConfigError for a host that does not resolve."""
        loop = asyncio.get_running_loop()
        for vehicle in self.vehicles.values():
            target, port = vehicle.config.target_host, vehicle.config.target_port
            local = "127.0.0.1" if target in {"127.0.0.1", "localhost"} else "0.0.0.0"  # noqa: S104 (not loopback)
            try:
                found = await loop.getaddrinfo(target, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
            except (OSError, UnicodeError) as error:
                raise ConfigError(f"vehicle {vehicle.config.vehicle_id}: target_host {target}: {error}") from error
            vehicle.send_to((str(found[0][4][0]), port))
            try:
                await loop.create_datagram_endpoint(partial(_itself, vehicle), local_addr=(local, 0))
            except OSError as error:
                raise ConfigError(f"vehicle {vehicle.config.vehicle_id}: no UDP socket ({error})") from error

    def close(self) -> None:
        for vehicle in self.vehicles.values():
            vehicle.close()

    async def run(self, cameras: Cameras | None) -> None:
        """Until cancelled."""
        speed = self.config.speed
        before = self._clock()
        owed_s = 0.0  # real time not yet simulated
        tick_s = self.step_s / speed
        seen = {vehicle.vehicle_id for vehicle in self.config.vehicles if vehicle.cameras}
        crawled = before
        while True:
            now = self._clock()
            owed_s += now - before
            before = now
            if owed_s > _FORGIVEN_S:
                self.lost_s += owed_s - _FORGIVEN_S
                owed_s = _FORGIVEN_S
            steps = 0
            while owed_s >= tick_s and steps < _MOST_STEPS_AT_ONCE:
                if cameras is not None and cameras.lag() > _LAGGING_FRAMES:
                    self.waited_s += owed_s
                    owed_s = 0.0
                    if now - crawled >= _CRAWL_S:
                        crawled = now
                        self._step(cameras, seen)
                        self._heartbeats()
                    break
                self._step(cameras, seen)
                owed_s -= tick_s
                steps += 1
            await asyncio.sleep(max(0.001, tick_s - owed_s) if owed_s < tick_s else 0.0)

    def _step(self, cameras: Cameras | None, seen: set[str]) -> None:
        self.simulated_s += self.step_s
        for vehicle_id, vehicle in self.vehicles.items():
            vehicle.autopilot.step(self.step_s)
            vehicle.flush()
            if cameras is not None and vehicle_id in seen:
                cameras.pose(vehicle.autopilot.pose())

    def _heartbeats(self) -> None:
        """Say that the vehicles live: a heartbeat each simulated second would come too seldom while time crawls."""
        for vehicle in self.vehicles.values():
            vehicle.autopilot.streams.heartbeat()
            vehicle.flush()

    # At run time, for tests and demonstrations -------------------------------------------------------------------

    def cut(self, vehicle_id: str, *, cut: bool) -> None:
        """Lose a vehicle's link, or bring it back. Raises KeyError."""
        self.vehicles[vehicle_id].radio.cut = cut

    def set_faults(self, faults: FaultConfig | None) -> None:
        for vehicle in self.vehicles.values():
            vehicle.radio.set(faults)

    def set_battery(self, vehicle_id: str, fraction: float) -> None:
        """Raises KeyError, and ValueError or TypeError for what is no fraction from 0 to 1."""
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"{vehicle_id} takes a fraction from 0 to 1")
        self.vehicles[vehicle_id].autopilot.vehicle.battery.fraction = float(fraction)

    def set_astray(self, vehicle_id: str, speed_m_s: float | None) -> None:
        """See Core.go_astray. Raises KeyError, and ValueError or TypeError for what is no speed from 0 to 30 m/s."""
        if speed_m_s is not None and not 0.0 <= speed_m_s <= _MOST_ASTRAY_M_S:
            raise ValueError(f"{vehicle_id} takes a speed from 0 to {_MOST_ASTRAY_M_S:.0f} m/s, or null")
        self.vehicles[vehicle_id].autopilot.core.go_astray(speed_m_s)
