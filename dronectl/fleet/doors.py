# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the vehicles' doors refused or lost, as the service knows it over all restarts of its link workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dronectl.fleet.link import VehicleAddress
from dronectl.noise import NoiseLog

_WHAT: Final = "datagrams that do not begin with a sound MAVLink packet, or more than we can take, come in"
_HINT: Final = (
    "they are counted and dropped. Is something else sending there? A bridge that cuts packets anywhere "
    "needs `whole_packets: false` at its drone in the site file"
)


@dataclass(frozen=True, slots=True)
class DoorCount:
    """One vehicle's door. None means that nobody counts there, never that nothing came."""

    refused_or_lost: int | None = None
    noisy: bool = False


class Doors:
    """All doors of a site."""

    def __init__(self, addresses: Sequence[VehicleAddress]) -> None:
        self._noise = {a.vehicle_id: NoiseLog(f"{a.vehicle_id} on {a.connection}", _WHAT, _HINT) for a in addresses}
        self._counted: set[str] = set()

    def take(self, more: Mapping[str, int | None], now_s: float) -> None:
        """What has come on top at each door; None where a worker cannot count."""
        for vehicle_id, count in more.items():
            if count is None:
                self._counted.discard(vehicle_id)
            else:
                self._counted.add(vehicle_id)
                self._noise[vehicle_id].add(count, now_s)

    def tick(self, now_s: float) -> None:
        """About once a second."""
        for noise in self._noise.values():
            noise.tick(now_s)

    def of(self, vehicle_id: str) -> DoorCount:
        """One door."""
        noise = self._noise[vehicle_id]
        return DoorCount(noise.total if vehicle_id in self._counted else None, noise.noisy)

    def all(self) -> dict[str, DoorCount]:
        """Every door by its vehicle."""
        return {vehicle_id: self.of(vehicle_id) for vehicle_id in self._noise}
