# SPDX-License-Identifier: AGPL-3.0-or-later
"""The simulator's configuration document: JSON in, checked Structs out. Unknown keys are refused.

Files named in the document (terrain, ready file, truth file) are relative to the folder of the document itself.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

MAX_VEHICLES = 128


class ConfigError(ValueError):
    """A document that cannot be used; the message is one line: file, field, what is wrong, how to mend it."""


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    pass


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _need_finite(**values: float) -> None:
    for name, value in values.items():
        _need(math.isfinite(value), f"{name} must be a finite number")


class Place(_Part, frozen=True, forbid_unknown_fields=True):
    """A WGS 84 position in degrees."""

    latitude_deg: float
    longitude_deg: float

    def __post_init__(self) -> None:
        swapped = " (latitude and longitude look swapped)" if abs(self.longitude_deg) <= 85.0 else ""
        _need(abs(self.latitude_deg) <= 85.0, f"latitude_deg {self.latitude_deg} is outside [-85, 85]{swapped}")
        _need(abs(self.longitude_deg) <= 180.0, f"longitude_deg {self.longitude_deg} is outside [-180, 180]")


class TerrainConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """Either a grid file or flat ground. error_sigma_m: how far the true ground is from this map, one sigma."""

    npz: str | None = None
    flat_amsl_m: float | None = None
    error_sigma_m: float = 0.0

    def __post_init__(self) -> None:
        _need((self.npz is None) != (self.flat_amsl_m is None), "give either npz or flat_amsl_m")
        _need_finite(flat_amsl_m=self.flat_amsl_m or 0.0)
        _need(0.0 <= self.error_sigma_m <= 100.0, "error_sigma_m must be within 0 and 100")


class WindConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """Mean wind, where it comes from (clockwise from north) and the standard deviation of gusts."""

    speed_m_s: float = 0.0
    from_deg: float = 0.0
    gust_m_s: float = 0.0

    def __post_init__(self) -> None:
        _need_finite(from_deg=self.from_deg)
        _need(0.0 <= self.speed_m_s <= 60.0, "speed_m_s must be within 0 and 60")
        _need(0.0 <= self.gust_m_s <= 30.0, "gust_m_s must be within 0 and 30")


class CameraConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """A camera as `missions.model.Camera` describes it, and the TCP port it serves frames on (0: any free one)."""

    camera_id: str
    modality: Literal["rgb", "thermal"]
    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    mount_pitch_deg: float = -90.0
    mount_yaw_deg: float = 0.0
    stabilised: bool = True
    rate_hz: float = 1.0
    port: int = 0

    def __post_init__(self) -> None:
        _need(bool(self.camera_id), "camera_id must not be empty")
        _need(16 <= self.width_px <= 8192 and 16 <= self.height_px <= 8192, "a picture is 16 to 8192 pixels a side")
        _need(self.fx_px > 0 and self.fy_px > 0, "fx_px and fy_px must be positive")
        _need(0.0 < self.rate_hz <= 60.0, "rate_hz must be above 0 and at most 60")
        _need(0 <= self.port <= 65535, "port must be within 0 and 65535")


class VehicleConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """One vehicle: it sends its MAVLink to target_host:target_port and answers whoever it last heard there."""

    vehicle_id: str
    system_id: int
    home: Place
    target_host: str
    target_port: int
    hardware_uid: str | None = None
    battery_fraction: float = 1.0
    endurance_s: float = 1800.0
    cameras: tuple[CameraConfig, ...] = ()

    def __post_init__(self) -> None:
        _need(bool(self.vehicle_id), "vehicle_id must not be empty")
        _need(1 <= self.system_id <= 254, "system_id must be within 1 and 254")
        _need(1 <= self.target_port <= 65535, "target_port must be within 1 and 65535")
        _need(0.0 <= self.battery_fraction <= 1.0, "battery_fraction must be within 0 and 1")
        _need(10.0 <= self.endurance_s <= 86400.0, "endurance_s must be within 10 and 86400")
        if self.hardware_uid is not None:
            try:
                size = len(bytes.fromhex(self.hardware_uid))
            except ValueError:
                size = 0
            _need(1 <= size <= 18, "hardware_uid must be 1 to 18 bytes in hexadecimal")


_COUNTED = (
    "people", "fires", "parked_vehicles", "animals", "rocks", "trees", "smokes", "hot_roofs", "glints", "clouds"
)  # fmt: skip


class LostConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """A lost person, placed by the seed: how far from where they were last seen, in any direction.

    distances_m and shares: the cumulative distribution of the distance, rising; even over the disc within the first
    distance and log-linear between the others. reach_m: nobody is farther. Places outside the scene's ring or inside a
    `keep_out` ring are drawn again.
    """

    last_seen: Place
    distances_m: tuple[float, ...]
    shares: tuple[float, ...]
    reach_m: float
    keep_out: tuple[tuple[tuple[float, float], ...], ...] = ()

    def __post_init__(self) -> None:
        _need(len(self.distances_m) == len(self.shares) >= 2, "distances_m and shares need the same length, 2 or more")
        _need(self.reach_m > 0.0, "reach_m must be positive")
        _need(self.distances_m[0] > 0.0 and self.shares[0] > 0.0, "distances_m and shares begin above 0")
        for name, values in (("distances_m", self.distances_m), ("shares", self.shares)):
            _need(all(a < b for a, b in pairwise(values)), f"{name} must rise")
        _need(self.shares[-1] <= 1.0, "shares are at most 1")
        for ring in self.keep_out:
            _need(len(ring) >= 3, "a keep_out ring needs at least 3 corners of [latitude, longitude]")


class SceneConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """What lies on the ground: counts, within `ring` and, where `near` is given, within near_m of those lines."""

    ring: tuple[tuple[float, float], ...]
    near: tuple[tuple[tuple[float, float], ...], ...] = ()
    near_m: float = 15.0
    people: int = 0
    fires: int = 0
    parked_vehicles: int = 0
    animals: int = 0
    rocks: int = 0
    trees: int = 0
    smokes: int = 0
    hot_roofs: int = 0
    glints: int = 0
    clouds: int = 0
    lost: LostConfig | None = None

    def __post_init__(self) -> None:
        _need(len(self.ring) >= 3, "ring needs at least 3 corners of [latitude, longitude]")
        _need(self.near_m > 0.0, "near_m must be positive")
        for line in (self.ring, *self.near):
            for lat, lon in line:
                _need(abs(lat) <= 85.0 and abs(lon) <= 180.0, f"[{lat}, {lon}] is not [latitude, longitude]")
        for name in _COUNTED:
            _need(0 <= getattr(self, name) <= 10_000, f"{name} must be within 0 and 10000")


class Px4Truth(_Part, frozen=True, forbid_unknown_fields=True):
    """Where PX4's ground truth of one vehicle comes in (UDP port on loopback)."""

    truth_port: int

    def __post_init__(self) -> None:
        _need(1 <= self.truth_port <= 65535, "truth_port must be within 1 and 65535")


class FaultConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """What the radio does to packets, both ways: shares dropped and duplicated, and a delay in real seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        _need(0.0 <= self.drop <= 1.0, "drop must be within 0 and 1")
        _need(0.0 <= self.duplicate <= 1.0, "duplicate must be within 0 and 1")
        _need(0.0 <= self.delay_s <= 60.0, "delay_s must be within 0 and 60")


class SimConfig(_Part, frozen=True, forbid_unknown_fields=True):
    """The whole document."""

    schema_version: Literal[1]
    origin: Place
    terrain: TerrainConfig
    vehicles: tuple[VehicleConfig, ...]
    seed: int = 1
    speed: float = 1.0
    night: bool = True
    wind: WindConfig = field(default_factory=WindConfig)
    scene: SceneConfig | None = None
    px4: dict[str, Px4Truth] | None = None
    faults: FaultConfig | None = None
    ready_file: str | None = None
    truth_file: str | None = None

    def __post_init__(self) -> None:
        _need(0.05 <= self.speed <= 100.0, "speed must be within 0.05 and 100")
        _need(1 <= len(self.vehicles) <= MAX_VEHICLES, f"vehicles: give 1 to {MAX_VEHICLES}")
        _refuse_twice("vehicle_id", [vehicle.vehicle_id for vehicle in self.vehicles])
        _refuse_twice("system_id", [vehicle.system_id for vehicle in self.vehicles])
        _refuse_twice("camera_id", [camera.camera_id for vehicle in self.vehicles for camera in vehicle.cameras])
        known = {vehicle.vehicle_id for vehicle in self.vehicles}
        for vehicle_id in self.px4 or {}:
            _need(vehicle_id in known, f"px4 names {vehicle_id!r}, which is not among the vehicles")


def _refuse_twice(name: str, values: list[str] | list[int]) -> None:
    seen: set[str | int] = set()
    for value in values:
        _need(value not in seen, f"vehicles: {name} {value!r} is given twice")
        seen.add(value)


def parse(document: bytes, *, name: str = "document", folder: Path | None = None) -> SimConfig:
    """Check a JSON document; relative file names become absolute against `folder`. Raises ConfigError."""
    try:
        config = msgspec.json.decode(document, type=SimConfig)
    except msgspec.DecodeError as error:  # ValidationError is one of these and names the field
        raise ConfigError(f"{name}: {error}") from error
    if folder is None:
        return config

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(folder.absolute() / path)

    return msgspec.structs.replace(
        config,
        terrain=msgspec.structs.replace(config.terrain, npz=absolute(config.terrain.npz)),
        ready_file=absolute(config.ready_file),
        truth_file=absolute(config.truth_file),
    )


def load(path: Path) -> SimConfig:
    """Read and check a document. Raises ConfigError, also when the file cannot be read."""
    try:
        document = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return parse(document, name=str(path), folder=path.parent)
