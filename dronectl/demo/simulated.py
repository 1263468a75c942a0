# SPDX-License-Identifier: AGPL-3.0-or-later
"""The simulator's document of a whole site: a vehicle for each drone, on its pad, with its cameras. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlsplit

from dronectl.errors import BadInputError
from dronectl.site import Drone, Site
from missions.model import Camera

_PATROL_SCENE: Final = {"people": 10, "fires": 1, "parked_vehicles": 6, "animals": 2, "rocks": 14, "trees": 260}
_NEAR_M: Final = 14.0
_HERE: Final = {"127.0.0.1", "localhost", "0.0.0.0"}  # noqa: S104  # read from a file, not bound here
WIND: Final = {"speed_m_s": 2.5, "from_deg": 220.0, "gust_m_s": 0.8}


def patrol_scene(site: Site) -> dict[str, Any]:
    """People, a fire and decoys, most of them near what is patrolled."""
    places = [[[p.latitude_deg, p.longitude_deg] for p in line.path] for line in site.lines]
    places += [
        [
            [p.position.latitude_deg, p.position.longitude_deg],
            [p.position.latitude_deg, p.position.longitude_deg + 1e-6],
        ]
        for p in site.points
    ]
    return {"near": places, "near_m": _NEAR_M, **_PATROL_SCENE}


def sim_document(site: Site, seed: int, speed: float, scene: Mapping[str, Any]) -> dict[str, Any]:
    """What `python -m sim run` reads. Raises BadInputError where a drone is not reached by UDP on this machine."""
    origin = site.docks[0].position
    return {
        "schema_version": 1,
        "seed": seed,
        "speed": speed,
        "night": True,
        "origin": {"latitude_deg": origin.latitude_deg, "longitude_deg": origin.longitude_deg},
        "terrain": {"npz": str(site.terrain_path), "error_sigma_m": 2.0},
        "wind": WIND,
        "vehicles": [_vehicle(site, drone) for drone in site.drones],
        "scene": {
            "ring": [[p.latitude_deg, p.longitude_deg] for p in site.fence.inclusion[0]],
            **scene,
        },
        "faults": None,
    }


def _camera(camera: Camera, port: int) -> dict[str, Any]:
    """Without a polarity: simulated thermal cameras measure degrees."""
    own = asdict(camera) | {"modality": camera.modality.value, "port": port}
    del own["polarity"]
    return own


def _vehicle(site: Site, drone: Drone) -> dict[str, Any]:
    where = urlsplit(drone.connection)
    if where.scheme != "udpin" or where.hostname not in _HERE or where.port is None:
        raise BadInputError(
            f"{site.file}: {drone.drone_id}: {drone.connection}: simulated vehicles send to udpin://127.0.0.1:PORT; "
            "give it in a copy of the site file"
        )
    cameras = [_camera(camera, port) for camera, _host, port in drone.cameras]
    return {
        "vehicle_id": drone.drone_id,
        "system_id": drone.system_id,
        "hardware_uid": drone.hardware_uid,
        "home": {"latitude_deg": drone.pad.latitude_deg, "longitude_deg": drone.pad.longitude_deg},
        "target_host": "127.0.0.1",
        "target_port": where.port,
        "battery_fraction": 1.0,
        "endurance_s": site.limits.endurance_s,
        "cameras": cameras,
    }
