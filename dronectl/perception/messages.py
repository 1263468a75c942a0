# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the service and the vision worker say to each other over their channel.

Service to worker: Configure once, then Poses as telemetry comes in. Worker to service: Ready once, then Seen for
every sighting, Report every second, and Refused when it cannot start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from missions.model import Camera
from vision.frame import CameraPose
from vision.pipeline_types import CameraReport
from vision.pose_types import BodyPose, PoseDoubts
from vision.sighting import Sighting


class PoseLike(Protocol):
    """A body pose of one vehicle, as `dronectl.fleet.link.PoseSample` has it."""

    @property
    def vehicle_id(self) -> str: ...
    @property
    def vehicle_time_s(self) -> float: ...
    @property
    def latitude_deg(self) -> float: ...
    @property
    def longitude_deg(self) -> float: ...
    @property
    def amsl_m(self) -> float: ...
    @property
    def height_above_home_m(self) -> float: ...
    @property
    def velocity_north_m_s(self) -> float: ...
    @property
    def velocity_east_m_s(self) -> float: ...
    @property
    def velocity_down_m_s(self) -> float: ...
    @property
    def roll_deg(self) -> float: ...
    @property
    def pitch_deg(self) -> float: ...
    @property
    def yaw_deg(self) -> float: ...


@dataclass(frozen=True, slots=True)
class CameraFeed:
    """One camera: what it is, on which vehicle (None: on a mast, with a fixed pose), and where its frames come from.

    That is a socket at host and port, or an address (rtsp, http) that is visited for one picture `every_s` seconds.
    """

    camera: Camera
    vehicle_id: str | None
    host: str = ""
    port: int = 0
    fixed_pose: CameraPose | None = None
    doubts: PoseDoubts = field(default_factory=PoseDoubts)
    stall_s: float = 15.0  # without a frame for so long, the connection is made anew
    share: float = 1.0  # weight of its share of the engine's time, where cameras want more than there is
    address: str | None = None
    every_s: float = 10.0


class Configure(msgspec.Struct, tag="configure", frozen=True):
    """What the worker is to do; sent once after it has started."""

    feeds: tuple[CameraFeed, ...]
    evidence_dir: str
    terrain_path: str | None = None  # an .npz grid; else `flat_amsl_m`; else no places
    flat_amsl_m: float | None = None
    flat_vertical_error_m: float = 3.0
    model_path: str | None = None  # None: the model that ships with the program
    engine: str | None = None  # None: the best that is installed
    confidence: float | None = None  # None: what the model's card says
    colour_model_path: str | None = None  # None: no detector for colour cameras, whose pictures are then evidence only
    threads: int = 2


class PosedVehicle(msgspec.Struct, frozen=True, array_like=True):
    """One pose of one vehicle."""

    vehicle_id: str
    pose: BodyPose


class Poses(msgspec.Struct, tag="poses", frozen=True):
    """A batch of poses."""

    samples: list[PosedVehicle]


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker looks from now on. `run_id` begins every track id of this run."""

    run_id: str
    detectors: tuple[str, ...]
    terrain: str | None


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """The worker cannot start, for a reason that a restart does not mend."""

    reason: str


class Seen(msgspec.Struct, tag="seen", frozen=True):
    """One sighting."""

    sighting: Sighting


class Report(msgspec.Struct, tag="report", frozen=True):
    """How the cameras do, once a second."""

    cameras: tuple[CameraReport, ...]


ToWorker = Configure | Poses
FromWorker = Ready | Refused | Seen | Report
