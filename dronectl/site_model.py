# SPDX-License-Identifier: AGPL-3.0-or-later
"""The site file as it is written: Pydantic models with bounds, no unknown keys. Positions are [latitude, longitude]."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from dronectl.site_areas import AreaModel, EventsModel, EvidenceModel
from dronectl.site_parts import Identifier, Position, check_path, check_position, check_ring
from missions.model import Category, Modality, Polarity

Port = Annotated[int, Field(ge=1, le=65535)]
LINK_LOSS_MOST_S = 300


class Strict(BaseModel):
    """No unknown keys, immutable; YAML's yes, no, on and off are no numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_as_number(cls, value: object, info: ValidationInfo) -> object:
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and wanted in {int, float}:
            raise ValueError("a number, which `yes`, `no`, `on`, `off`, `true` and `false` are not")
        return value


class _Placed(Strict):
    id: Identifier
    name: str = ""
    position: Position

    _position = field_validator("position", mode="before")(check_position)


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
    polarity: Polarity = Field(
        default=Polarity.WHITE,
        description="thermal: what is warm in its grey levels of 8 bits; frames in degrees and raw values do not ask",
    )

    @field_validator("polarity", mode="after")
    @classmethod
    def _of_heat(cls, value: Polarity, info: ValidationInfo) -> Polarity:
        if value is Polarity.BLACK and info.data.get("modality") is Modality.RGB:
            raise ValueError("black is of thermal cameras, and this is a colour camera")
        return value


class DroneCameraModel(Strict):
    """A camera on a drone and where its frames come from (the frame wire format over TCP)."""

    type: str
    host: str = "127.0.0.1"
    port: Port | None = Field(default=None, description="none: it records on board, for maps and photo sweeps")


class DroneModel(Strict):
    """One vehicle."""

    id: Identifier
    name: str = ""
    dock: Identifier
    pad: Position | None = None
    system_id: int = Field(ge=1, le=250)
    hardware_uid: str | None = None
    connection: str = Field(pattern=r"^(udpin|udpout|tcpin|tcpout|serial)://.+$")
    whole_packets: bool = Field(
        default=True,
        description="udpin: every datagram begins with a MAVLink packet, so that others are refused and counted; "
        "false for a serial bridge that cuts the stream anywhere",
    )
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


class AimModel(Strict):
    """Where the camera looks while a drone stays: the drone's heading from north, and below the horizon (-90: down)."""

    yaw_deg: float = Field(ge=-180, le=360)
    pitch_deg: float = Field(ge=-90, le=0)


class PatrolPointModel(_Placed):
    """A must-patrol point; with `camera` the drone turns there and looks that way while it dwells."""

    dwell_s: float = Field(default=5.0, ge=0, le=600)
    camera: AimModel | None = None

    @model_validator(mode="after")
    def _time_to_look(self) -> Self:
        if self.camera is not None and self.dwell_s <= 0:
            raise ValueError("a camera direction needs a dwell_s above 0: without a stop nobody looks that way")
        return self


class PatrolLineModel(Strict):
    """A must-patrol line, flown from one end to the other; `forward`: only from its first point to its last."""

    id: Identifier
    name: str = ""
    path: list[Position]
    direction: Literal["both", "forward"] = "both"

    _path = field_validator("path", mode="before")(check_path)


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


class FixedLookModel(Strict):
    """How a fixed camera hangs, and the address that is visited for one picture now and then."""

    type: str
    address: str = Field(pattern=r"^(rtsps?|https?)://[^/].*$")
    every_s: float = Field(
        default=10.0, ge=1, le=3600, description="above 50 too seldom for rules about staying, standing and crowds"
    )
    height_m: float = Field(default=6.0, gt=0, le=300)
    yaw_deg: float = Field(ge=-180.0, le=360.0)
    pitch_deg: float = Field(ge=-90.0, le=30.0)


class FixedCameraModel(_Placed):
    """A fixed camera; what it covers drones need not. Without `look` nobody looks at its pictures here."""

    look: FixedLookModel | None = None


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

    link_loss_s: int = Field(default=15, ge=5, le=LINK_LOSS_MOST_S)
    return_height_m: float = Field(default=60.0, ge=20, le=400)
    return_height_step_m: float = Field(default=8.0, ge=0, le=50)
    battery_low: float = Field(default=0.25, gt=0, lt=1)
    battery_critical: float = Field(default=0.15, gt=0, lt=1)
    battery_emergency: float = Field(default=0.08, gt=0, lt=1)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.battery_emergency < self.battery_critical < self.battery_low:
            levels = f"{self.battery_emergency}, {self.battery_critical}, {self.battery_low}"
            raise ValueError(f"battery levels must rise from emergency to critical to low, not {levels}")
        return self


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


class TerrainModel(Strict):
    """A height model (GeoTIFF, ASCII grid) with what its file does not say itself."""

    file: Path
    datum: Literal["amsl", "ellipsoid"] | None = Field(default=None, description="what its heights are measured from")
    crs: str | None = Field(default=None, description="its reference system, for example EPSG:32648")
    vertical_error_m: float | None = Field(default=None, ge=0, le=100, description="one standard deviation")


class SiteModel(Strict):
    """The whole site file."""

    schema_version: Literal[1]
    site_id: Identifier
    name: dict[Literal["zh", "en"], str]
    status: SiteStatus
    timezone: str
    reference_system: ReferenceSystem
    terrain: Path | TerrainModel = Field(description="a terrain grid (.npz), or a height model as a raster")
    mission: MissionModel
    docks: list[DockModel] = Field(min_length=1)
    cameras: dict[str, CameraModel] = {}
    drones: list[DroneModel] = Field(min_length=1, max_length=250)
    geofence: GeofenceModel
    patrol: PatrolModel
    schools: list[SchoolModel] = []
    areas: list[AreaModel] = []
    events: EventsModel = EventsModel()
    evidence: EvidenceModel = EvidenceModel()
    colour_model: str | None = Field(
        default=None,
        min_length=1,
        description="what looks for people in colour cameras' pictures: `shipped` for the experimental model, or an ONNX "
        "file beside its card; none: those pictures are evidence only",
    )
    fixed_cameras: list[FixedCameraModel] = []
    responders: list[ResponderModel] = []
    limits: LimitsModel = LimitsModel()
    failsafe: FailsafeModel = FailsafeModel()
    broker: BrokerModel = BrokerModel()
    http: HttpModel = HttpModel()
