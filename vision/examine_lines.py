# SPDX-License-Identifier: AGPL-3.0-or-later
"""The JSON lines of `dronectl detect`: frames with their detections, tracks, gaps. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from missions.geo import FloatArray
from missions.model import Modality, Polarity
from vision.ellipse import common_covariance, covariance, ellipse95
from vision.frame import CameraPose, Frame, PixelKind
from vision.lookers import Look
from vision.model_card import ModelCard
from vision.polarity import said_by
from vision.sighting import GroundEllipse, GroundVelocity, Kind, Sighting
from vision.unite import SMOKE_CUES, Observation

Line = dict[str, Any]


def kind_of(observation: Observation) -> tuple[Kind, float]:
    """What one look takes a thing for, and how surely; no more than a single look can say."""
    if observation.fire:
        return Kind.FIRE, 0.75
    if observation.flames > 0:
        return Kind.FIRE, observation.flames
    if observation.smoke > 0:
        return Kind.SMOKE, observation.smoke
    if observation.judged > 0:
        return Kind.PERSON, observation.judged
    if observation.learned_kind is not None:
        return observation.learned_kind, observation.learned_score
    return Kind.HOT_SPOT, 0.5 * (1.0 - 7.0 / (observation.hot_sigma + 7.0))


def why(observation: Observation) -> str:
    """The rule that a single look was reported by, in words."""
    kind, _ = kind_of(observation)
    parts = []
    if observation.fire:
        hottest = observation.temperature_max_c
        parts.append("fire temperature" if hottest is None else f"fire temperature, hottest {hottest:.0f} C")
    if observation.flames > 0:
        parts.append(f"learned {observation.flames:.2f}")
    if observation.smoke > 0:
        by_cues = SMOKE_CUES in observation.detectors
        cues = "moving, without colour and without edges of the ground"
        parts.append(cues if by_cues else f"learned {observation.smoke:.2f}")
    if observation.judged > 0:
        parts.append(f"judged {observation.judged:.2f}")
    if observation.learned_kind is not None:
        parts.append(f"learned {observation.learned_score:.2f}")
    if observation.hot_sigma > 0:
        parts.append(f"hot spot {observation.hot_sigma:.1f} sigma")
    return f"{kind.value}: one look, {' and '.join(parts)}"


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def place_line(place: GroundEllipse | None, *, amsl_known: bool = True) -> Line | None:
    """A place with its 95 % ellipse; covariances are of east and north, the second is what a flight's looks share."""
    if place is None:
        return None
    ellipse = ellipse95(place)
    return {
        "latitude_deg": round(place.latitude_deg, 7),
        "longitude_deg": round(place.longitude_deg, 7),
        "amsl_m": round(place.amsl_m, 1) if amsl_known else None,
        "ellipse_95": {
            "semi_major_m": round(ellipse.semi_major_m, 2),
            "semi_minor_m": round(ellipse.semi_minor_m, 2),
            "azimuth_deg": round(ellipse.azimuth_deg, 1),
        },
        "covariance_m2": _three(covariance(place)),
        "flight_covariance_m2": _three(common_covariance(place)),
    }


def _three(cov: FloatArray) -> list[float]:
    """East-east, east-north, north-north."""
    return [round(float(v), 4) for v in (cov[0, 0], cov[0, 1], cov[1, 1])]


def place_of(line: Line) -> GroundEllipse:
    """A place out of its line again."""
    return GroundEllipse(
        line["latitude_deg"],
        line["longitude_deg"],
        line["amsl_m"] or 0.0,
        *line["covariance_m2"],
        *line["flight_covariance_m2"],
    )


def velocity_line(velocity: GroundVelocity | None) -> Line | None:
    """A velocity over the ground with its covariance: east-east, east-north, north-north."""
    if velocity is None:
        return None
    cov = (velocity.cov_ee_m2_s2, velocity.cov_en_m2_s2, velocity.cov_nn_m2_s2)
    return {
        "east_m_s": round(velocity.east_m_s, 2),
        "north_m_s": round(velocity.north_m_s, 2),
        "covariance_m2_s2": [round(v, 4) for v in cov],
    }


def pose_line(pose: CameraPose | None) -> Line | None:
    """Where the camera was."""
    if pose is None:
        return None
    return {
        "latitude_deg": round(pose.latitude_deg, 7),
        "longitude_deg": round(pose.longitude_deg, 7),
        "height_above_home_m": round(pose.height_above_home_m, 2),
        "yaw_deg": round(pose.yaw_deg, 2),
        "pitch_deg": round(pose.pitch_deg, 2),
        "roll_deg": round(pose.roll_deg, 2),
    }


def frame_line(
    source: str, media: str, frame: Frame, gsd_m: float | None, refusal: str | None, why_no_place: str | None
) -> Line:
    """A frame without its detections. media: "still", "video" or "stream"."""
    line: Line = {"type": "frame", "source": source, "media": media, "sequence": frame.sequence}
    if media != "still":
        line["time_s"] = round(frame.exposure_s, 3)
    return line | {
        "width_px": frame.width_px,
        "height_px": frame.height_px,
        "pixels": frame.kind.value,
        "modality": (Modality.RGB if frame.kind is PixelKind.BGR8 else Modality.THERMAL).value,
        "modality_from": frame.modality_from.value,
        "gsd_cm": None if gsd_m is None else round(gsd_m * 100, 2),
        "pose": pose_line(frame.pose),
        "no_place": None if frame.pose is not None else why_no_place,
        "not_looked_at": refusal,
    }


def model_line(model: ModelCard) -> Line:
    """Which model looked, and whether it is experimental."""
    line: Line = {"model": model.label}
    if model.experimental:
        line["experimental"] = True
    return line


def look_line(look: Look) -> Line:
    """The same of a look at a picture, and in how many tiles."""
    line = model_line(look.model)
    if look.tiles is not None:
        line["tiles"] = look.tiles.tiles
    return line


def polarity_line(frame: Frame, stated: Polarity | None, *, black_hot: bool) -> Line:
    """What a thermal picture of 8 bits was taken for, and what says so; nothing of others."""
    if frame.kind is not PixelKind.GREY8:
        return {}
    by = said_by(stated, black_hot=black_hot)
    return {"polarity": (Polarity.BLACK if black_hot else Polarity.WHITE).value, "polarity_from": by.value}


def values_line(frame: Frame) -> Line:
    """Least, median and greatest value of a picture that measures something."""
    if frame.kind not in (PixelKind.CELSIUS, PixelKind.RAW16):
        return {}
    low, middle, high = np.percentile(frame.pixels, (0, 50, 100))
    name = "temperature_c" if frame.kind is PixelKind.CELSIUS else "raw"
    return {name: {"min": round(float(low), 2), "median": round(float(middle), 2), "max": round(float(high), 2)}}


def detection_line(observation: Observation, gsd_m: float | None, place: Line | None) -> Line:
    """One thing in one frame."""
    kind, confidence = kind_of(observation)
    corners = (observation.left_px, observation.top_px, observation.right_px, observation.bottom_px)
    return {
        "kind": kind.value,
        "confidence": round(confidence, 3),
        "box_px": [round(v, 1) for v in corners],
        "judged": _round(observation.judged or None, 3),
        "learned_score": _round(observation.learned_score or None, 3),
        "hot_spot_sigma": _round(observation.hot_sigma or None, 1),
        "contrast_c": _round(observation.contrast_c, 2),
        "temperature_max_c": _round(observation.temperature_max_c, 2),
        "size_m": None if gsd_m is None else round(observation.longest_px * gsd_m, 2),
        "detectors": list(observation.detectors),
        "rule": why(observation),
        "place": place,
    }


def track_line(source: str, media: str, s: Sighting, *, amsl_known: bool) -> Line:
    """A track as it stands."""
    return {
        "type": "track",
        "source": source,
        "media": media,
        "track_id": s.track_id,
        "sequence": s.sequence,
        "phase": s.phase.value,
        "kind": s.kind.value,
        "confidence": round(s.confidence, 3),
        "first_s": round(s.first_exposure_s, 3),
        "last_s": round(s.last_exposure_s, 3),
        "looks": s.looks,
        "chances": s.chances,
        "rule": s.rule,
        "detector": s.detector,
        "temperature_max_c": _round(s.temperature_max_c, 2),
        "size_m": _round(s.size_m, 2),
        "speed_m_s": _round(s.speed_m_s, 2),
        "velocity": velocity_line(s.velocity),
        "place": place_line(s.place, amsl_known=amsl_known),
        "evidence": [e.path for e in s.evidence],
    }
