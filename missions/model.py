# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of the domain: what is flown, why, by what, and inside which limits.

Everything here is immutable. A `Mission` always has a purpose, an authority and a category, because a flight over
people must be able to say who ordered it and what for; when it ends it gets an `Outcome`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from missions.geo import Altitude, GeoPoint


class Category(StrEnum):
    """What a mission is for, in the terms of the flight ledger."""

    PATROL = "patrol"
    SEARCH = "search"
    RESCUE = "rescue"
    FIRE = "fire"
    EVENT = "event"
    TRAFFIC = "traffic"
    INVESTIGATION_SUPPORT = "investigation_support"
    TRAINING = "training"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who ordered the flight (an office or role) and on what ground."""

    who: str
    ground: str


@dataclass(frozen=True, slots=True)
class Mission:
    """One task for one or more vehicles."""

    mission_id: str
    purpose: str
    authority: Authority
    category: Category

    def __post_init__(self) -> None:
        for name, value in (
            ("purpose", self.purpose),
            ("authority.who", self.authority.who),
            ("authority.ground", self.authority.ground),
        ):
            if not value.strip():
                raise ValueError(f"a mission needs a {name}")


class OutcomeKind(StrEnum):
    """How a mission ended."""

    COMPLETED = "completed"
    PARTIAL = "partial"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a mission ended, and a sentence for the ledger."""

    kind: OutcomeKind
    note: str
    items_done: int
    items_total: int


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A place to fly to. None means "leave as it is"."""

    position: GeoPoint
    altitude: Altitude
    speed_m_s: float | None = None
    hold_s: float = 0.0
    acceptance_radius_m: float = 3.0
    yaw_deg: float | None = None
    gimbal_pitch_deg: float | None = None  # -90 is straight down
    trigger_m: float | None = None  # from here on a picture every so many metres; 0 ends them
    photo: bool = False  # one picture on reaching it
    serves: tuple[str, ...] = ()  # ids of the must-patrol points and lines that are done on reaching this


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a camera looks from a place: degrees clockwise from north, and below the horizon (-90 is straight down)."""

    yaw_deg: float
    pitch_deg: float


@dataclass(frozen=True, slots=True)
class Geofence:
    """Where a vehicle may fly. Rings are open (the last point is not the first again) and do not cross themselves.

    Inside every inclusion ring and outside every exclusion ring; below `max_altitude`.
    """

    inclusion: tuple[tuple[GeoPoint, ...], ...]
    exclusion: tuple[tuple[GeoPoint, ...], ...] = ()
    max_altitude: Altitude | None = None


class Modality(StrEnum):
    """What a camera measures."""

    RGB = "rgb"
    THERMAL = "thermal"


class Polarity(StrEnum):
    """What is warm in a thermal picture of grey levels: what is white in it, or what is black."""

    WHITE = "white"
    BLACK = "black"


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera with Brown-Conrady distortion (k1, k2, p1, p2, k3), as OpenCV defines it.

    mount_pitch_deg is the optical axis below the horizon, negative down (-90 is nadir); gimbal-stabilised cameras
    hold it against the horizon, fixed ones turn with the body. polarity is of a thermal camera's grey levels; degrees
    and raw values rise with heat whatever it says.
    """

    camera_id: str
    modality: Modality
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
    polarity: Polarity = Polarity.WHITE


@dataclass(frozen=True, slots=True)
class VehicleLimits:
    """What a vehicle can do; the planner's and the checks' view of it."""

    cruise_speed_m_s: float = 8.0
    max_speed_m_s: float = 12.0
    climb_rate_m_s: float = 3.0
    descent_rate_m_s: float = 1.5
    acceleration_m_s2: float = 3.0
    endurance_s: float = 1800.0  # hover time from full to empty
    reserve_fraction: float = 0.25  # of the battery, left at landing
    max_wind_m_s: float = 10.0
    min_height_above_ground_m: float = 30.0
    max_height_above_ground_m: float = 120.0
    first_waypoint_max_m: float = 5000.0
    position_error_m: float = 3.0


@dataclass(frozen=True, slots=True)
class Command:
    """One mission command of a foreign plan, as it goes aboard (MISSION_ITEM_INT; `command` is a MAV_CMD).

    params: None leaves a value unchanged. x and y are degrees x 1e7 where the command has a place, else plain numbers.
    waypoint: the last of the plan's waypoints that stands for it in checks; None for one that is not flown to.
    """

    command: int
    frame: int
    params: tuple[float | None, float | None, float | None, float | None]
    x: int
    y: int
    z: float
    autocontinue: bool = True
    waypoint: int | None = None


@dataclass(frozen=True, slots=True)
class FlightPlan:
    """What one vehicle is to fly: take-off at home, waypoints in order, then return to home and land.

    A plan drawn in another ground station may hold what waypoints cannot say (loops, loiters, camera commands of all
    kinds). It flies its `commands` as they were drawn; its waypoints are then the flight that these make, for checks.
    """

    vehicle_id: str
    mission: Mission
    home: GeoPoint
    home_amsl_m: float
    takeoff_height_m: float
    waypoints: tuple[Waypoint, ...]
    fence: Geofence
    return_height_m: float  # above home; layered per vehicle, because a lost site returns all at once
    cruise_speed_m_s: float
    commands: tuple[Command, ...] = ()
    start_after_s: float = 0.0  # when it starts, counted from the start of the set that it was planned with
    starts_first: bool = False  # its start of 0 is planned with the others of a set, not merely unsaid

    def at_start(self, start_s: float) -> FlightPlan:
        """The same plan with a start that was planned with the others of its set."""
        return replace(self, start_after_s=start_s, starts_first=start_s == 0.0)


class Severity(StrEnum):
    """How much a finding weighs. A blocker forbids the flight unless it is overridden with a reason."""

    INFO = "info"
    WARNING = "warning"
    BLOCKER = "blocker"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one named check that did not simply pass."""

    code: str  # stable and machine-readable, e.g. "leg-outside-fence"
    severity: Severity
    message: str  # one sentence: what, by how much, how to mend it
    item: int | None = None  # index into the plan's waypoints
    position: GeoPoint | None = None


def never_stop() -> bool:
    """The stop() of a budget that only iterations bound."""
    return False


def no_progress(_fraction: float, _message: str) -> None:
    """The progress() of a budget that nobody watches."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a planner may work: iterations, and a caller's own stop(). Same seed and iterations, same plan."""

    iterations: int = 20_000
    seed: int = 1
    stop: Callable[[], bool] = field(default=never_stop)
    progress: Callable[[float, str], None] = field(default=no_progress)
