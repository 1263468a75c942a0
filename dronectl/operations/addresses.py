# SPDX-License-Identifier: AGPL-3.0-or-later
"""A site's drones as link addresses."""

from __future__ import annotations

from collections.abc import Sequence

from dronectl.fleet.link import VehicleAddress
from dronectl.site import Drone


def addresses(drones: Sequence[Drone]) -> list[VehicleAddress]:
    """Vehicles that carry cameras also stream their poses."""
    return [
        VehicleAddress(
            d.drone_id,
            d.connection,
            d.system_id,
            d.hardware_uid,
            pose_stream=bool(d.cameras),
            whole_packets=d.whole_packets,
        )
        for d in drones
    ]
