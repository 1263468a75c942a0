# SPDX-License-Identifier: AGPL-3.0-or-later
"""The site file as it is written: Pydantic models with bounds, no unknown keys. Positions are [latitude, longitude]."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from missions.geo import GeoError, GeoPoint
from missions.model import Category, Modality

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Strict(BaseModel):
    """No unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_position(value: object) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("a position is [latitude, longitude] in degrees")
    try:
        latitude, longitude = float(value[0]), float(value[1])
    except (TypeError, ValueError):
        raise ValueError("a position is [latitude, longitude] in degrees") from None
    try:
        GeoPoint(latitude, longitude)
    except GeoError as error:
        raise ValueError(str(error)) from None
    return latitude, longitude


Position = Annotated[tuple[float, float], Field(description="[latitude, longitude] in degrees")]


class _Placed(Strict):
    id: Identifier
    name: str = ""
    position: Position

    _position = field_validator("position", mode="before")(check_position)


def check_ring(value: object) -> list[tuple[float, float]]:
    if not isinstance(value, list | tuple):
        raise ValueError("a ring is a list of [latitude, longitude]")  # noqa: TRY004  # pydantic wants ValueError
    points = [check_position(item) for item in value]
    if len(points) > 1 and points[0] == points[-1]:
        points.pop()
    if len(points) < 3:
        raise ValueError("a ring needs at least 3 different points")
    return points


def _check_path(value: object) -> list[tuple[float, float]]:
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise ValueError("a line needs at least 2 points")
    return [check_position(item) for item in value]


class SiteStatus(StrEnum):
    """Copied into every alert and report; no code branches on it."""

    ACTUAL = "actual"
    EXERCISE = "exercise"
    TEST = "test"


class ReferenceSystem(StrEnum):
    """What the file's coordinates are given in. CGCS2000 agrees with WGS 84 to centimetres."""

    WGS84 = "wgs84"
    CGCS2000 = "cgcs2000"
    GCJ02 = "gcj02"


class AuthorityModel(Strict):
    """Who orders flights here by default, and on what ground."""

    who: str = Field(min_length=1)
    ground: str = Field(min_length=1)


class MissionModel(Strict):
    """Purpose, authority and category of the routine patrol."""

    purpose: str = Field(min_length=1)
    authority: AuthorityModel
    category: Category = Category.PATROL


class DockModel(_Placed):
    """Where drones take off and land."""


class CameraModel(Strict):
    """One kind of camera, pinhole with Brown-Conrady distortion (OpenCV's k1, k2, p1, p2, k3)."""

    modality: Modality
    width_px: int = Field(ge=16, le=16384)
    height_px: int = Field(ge=16, le=16384)
    fx_px: float = Field(gt=0)
    fy_px: float = Field(gt=0)
    cx_px: float
    cy_px: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)
    mount_pitch_deg: float = Field(default=-90.0, ge=-90.0, le=30.0)
    mount_yaw_deg: float = Field(default=0.0, ge=-180.0, le=180.0)
    stabilised: bool = True
    rate_hz: float = Field(default=1.0, gt=0, le=60)


class DroneCameraModel(Strict):
    """A camera on a drone and where its frames come from (the frame wire format over TCP)."""

    type: str
    host: str = "127.0.0.1"
    port: Port


class DroneModel(Strict):
    """One vehicle."""

    id: Identifier
    name: str = ""
    dock: Identifier
    pad: Position | None = None
    system_id: int = Field(ge=1, le=250)
    hardware_uid: str | None = None
    connection: str = Field(pattern=r"^(udpin|udpout|tcpin|tcpout|serial)://.+$")
    cameras: list[DroneCameraModel] = []

    @field_validator("pad", mode="before")
    @classmethod
    def _pad(cls, value: object) -> object:
        return None if value is None else check_position(value)


class GeofenceModel(Strict):
    """Inside every inclusion ring, outside every exclusion ring, below max_height_m above the dock."""

    inclusion: list[list[Position]] = Field(min_length=1)
    exclusion: list[list[Position]] = []
    max_height_m: float = Field(default=120.0, gt=0, le=500)

    @field_validator("inclusion", "exclusion", mode="before")
    @classmethod
    def _rings(cls, value: object) -> object:
        if not isinstance(value, list):
            raise ValueError("a list of rings")  # noqa: TRY004  # pydantic wants ValueError
        return [check_ring(ring) for ring in value]


class PatrolPointModel(_Placed):
    """A must-patrol point."""

    dwell_s: float = Field(default=5.0, ge=0, le=600)


class PatrolLineModel(Strict):
    """A must-patrol line, flown from one end to the other."""

    id: Identifier
    name: str = ""
    path: list[Position]

    _path = field_validator("path", mode="before")(_check_path)


class PatrolModel(Strict):
    """The routine patrol."""

    height_m: float = Field(default=60.0, gt=0, le=500, description="above ground")
    cruise_speed_m_s: float = Field(default=8.0, gt=0, le=30)
    points: list[PatrolPointModel] = []
    lines: list[PatrolLineModel] = []


class SchoolModel(Strict):
    """A school's ground."""

    id: Identifier
    name: str = ""
    ring: list[Position]

    _ring = field_validator("ring", mode="before")(check_ring)


class FixedCameraModel(_Placed):
    """A fixed camera; what it covers drones need not."""


class ResponderModel(_Placed):
    """Somebody who can be sent: a post or a role, never a person's name."""


class LimitsModel(Strict):
    """What the site's vehicles can do and may do."""

    max_speed_m_s: float = Field(default=12.0, gt=0, le=40)
    climb_rate_m_s: float = Field(default=3.0, gt=0, le=15)
    descent_rate_m_s: float = Field(default=1.5, gt=0, le=10)
    acceleration_m_s2: float = Field(default=3.0, gt=0, le=15)
    endurance_s: float = Field(default=1800.0, gt=60, le=20000)
    reserve_fraction: float = Field(default=0.25, ge=0.05, le=0.8)
    max_wind_m_s: float = Field(default=10.0, gt=0, le=30)
    min_height_above_ground_m: float = Field(default=30.0, ge=5, le=400)
    max_height_above_ground_m: float = Field(default=120.0, gt=10, le=500)
    first_waypoint_max_m: float = Field(default=3000.0, gt=0, le=50000)
    position_error_m: float = Field(default=3.0, gt=0, le=50)


class FailsafeModel(Strict):
    """What the autopilots are told to do on their own; set and read back before every arming."""

    link_loss_s: int = Field(default=15, ge=5, le=300)
    return_height_m: float = Field(default=60.0, ge=20, le=400)
    return_height_step_m: float = Field(default=8.0, ge=0, le=50)
    battery_low: float = Field(default=0.25, gt=0, lt=1)
    battery_critical: float = Field(default=0.15, gt=0, lt=1)
    battery_emergency: float = Field(default=0.08, gt=0, lt=1)


class BrokerModel(Strict):
    """The MQTT broker. `child` starts one of our own, loopback only; `external` needs a url."""

    mode: Literal["child", "external"] = "child"
    port: Port = 24883
    url: str | None = Field(default=None, description="mqtt[s]://[user@]host[:port] of an external broker")
    password_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mode == "external" and not self.url:
            raise ValueError("an external broker needs a url: mqtt[s]://[user@]host[:port]")
        return self


class HttpModel(Strict):
    """The service's own door; loopback only until TLS and roles exist."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    port: Port = 24880


class SiteModel(Strict):
    """The whole site file."""

    schema_version: Literal[1]
    site_id: Identifier
    name: dict[Literal["zh", "en"], str]
    status: SiteStatus
    timezone: str
    reference_system: ReferenceSystem
    terrain: Path
    mission: MissionModel
    docks: list[DockModel] = Field(min_length=1)
    cameras: dict[str, CameraModel] = {}
    drones: list[DroneModel] = Field(min_length=1, max_length=250)
    geofence: GeofenceModel
    patrol: PatrolModel
    schools: list[SchoolModel] = []
    fixed_cameras: list[FixedCameraModel] = []
    responders: list[ResponderModel] = []
    limits: LimitsModel = LimitsModel()
    failsafe: FailsafeModel = FailsafeModel()
    broker: BrokerModel = BrokerModel()
    http: HttpModel = HttpModel()
