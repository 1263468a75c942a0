# SPDX-License-Identifier: AGPL-3.0-or-later
"""What leaves vision: one confirmed thing on the ground, with place, doubt, confidence and evidence.

A sighting is one camera's word for one track. `vision.merge` unites sightings of one thing by several cameras;
alerts are made from what comes out of that. Nothing here identifies anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from missions.model import Modality


class Kind(StrEnum):
    """What a thing is taken for."""

    PERSON = "person"
    VEHICLE = "vehicle"
    ANIMAL = "animal"
    STALL = "stall"  # of a market or a hawker: it stands where it was put up
    FIRE = "fire"
    HOT_SPOT = "hot_spot"
    SMOKE = "smoke"
    CROWD = "crowd"  # people close together; made by rules over tracks, never by a detector
    HAZARD = "hazard"  # something dangerous that must be looked at again; likewise


class Phase(StrEnum):
    """Whether a track has just been confirmed, is being followed, or has ended."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class GroundEllipse:
    """A place with the covariance of its east-north error in m^2.

    `common_*` is the part shared by all looks of one flight by one vehicle: it does not shrink with more looks.
    """

    latitude_deg: float
    longitude_deg: float
    amsl_m: float
    cov_ee_m2: float
    cov_en_m2: float
    cov_nn_m2: float
    common_cov_ee_m2: float
    common_cov_en_m2: float
    common_cov_nn_m2: float


@dataclass(frozen=True, slots=True)
class GroundVelocity:
    """A velocity over the ground with the covariance of its east-north error in (m/s)^2, errors of the flight included."""

    east_m_s: float
    north_m_s: float
    cov_ee_m2_s2: float
    cov_en_m2_s2: float
    cov_nn_m2_s2: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """A picture on disk that shows why."""

    path: str  # relative to the evidence folder
    sha256: str
    width_px: int
    height_px: int
    role: str  # crop, context, context-rgb, clip


@dataclass(frozen=True, slots=True)
class Sighting:
    """One track as it stands now. `sequence` rises by one per message of the track."""

    track_id: str  # unique over cameras and restarts
    sequence: int
    phase: Phase
    kind: Kind
    confidence: float  # 0..1
    modality: Modality
    camera_id: str
    vehicle_id: str | None
    place: GroundEllipse | None  # None: no pose, so no place; said so in the alert
    first_exposure_s: float  # vehicle clock
    last_exposure_s: float
    # Sender's monotonic clock at the frame that confirmed what is said here (its kind and confidence), for latency.
    confirmed_exposure_monotonic_s: float | None
    looks: int  # frames in which it was detected
    chances: int  # frames in which it could have been
    rule: str  # which rule confirmed it, in words
    temperature_max_c: float | None
    size_m: float | None
    speed_m_s: float | None  # 0: standing still explains the looks; None: too few looks to say
    detector: str  # engine, model name and its sha256, or the classical detector's name
    evidence: tuple[Evidence, ...]
    # Tracks of the same camera that were in some of the same frames, apart from this one: they are other things. None: not known.
    beside: tuple[str, ...] | None = None
    depression_deg: float | None = None  # how steeply it was looked down upon at the last look; 90 is straight down
    # The straight line through all looks, also where standing still explains them: to be read with its doubt. None: not known.
    velocity: GroundVelocity | None = None
    again_s: float = 0.0  # while the thing stays in view its camera tells of it about so often
