# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where a picture was taken from, by what the drone wrote into its file, and which camera took it. Pure.

DJI's XMP gives position, height above take-off and the gimbal's attitude; Exif fills in a position that XMP lacks.
The ground is taken to be level at the height of take-off, because a file says nothing else; the doubt of that is in the
ellipse. Whatever is missing is named: a detection then has no place, and the reader is told why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from missions.geo import MAX_ABS_LATITUDE_DEG, GeoPoint, wrap_degrees
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain
from vision.frame import CameraPose
from vision.geolocate import Locator
from vision.sources.exif import ExifFacts

GROUND_ERROR_M: Final = 5.0  # of level ground at take-off height, one sigma: a slope of 5 % over 100 m
_DIAGONAL_35MM: Final = 43.2666
_CALIBRATION_AGREES: Final = 0.3  # a calibrated focal length this far off the lens's own belongs to another sensor
_FOV_RANGE_DEG: Final = (1.0, 150.0)
_MAX_HEIGHT_M: Final = 6000.0
_RTK_FIXED: Final = 50.0
_CLOCK_SIGMA_S: Final = 0.02  # a still's own tags are of its exposure
_ORIGIN_STEPS_PER_DEG: Final = 20  # one local frame per 0.05 degrees: its scale is exact to 1e-7 there


@dataclass(frozen=True, slots=True)
class Lens:
    """Focal length and principal point in pixels of the picture, distortion as `missions.model.Camera` has it."""

    focal_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Shot:
    """Camera and pose of one exposure, and the ground it looks at. `why_not` names what a place would need."""

    camera: Camera | None
    pose: CameraPose | None
    ground_amsl_m: float
    amsl_known: bool
    why_not: str | None


def number(values: Mapping[str, str], *names: str) -> float | None:
    """The first of these values that is a finite number."""
    for name in names:
        text = values.get(name)
        if text is None:
            continue
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            return value
    return None


def position(latitude_deg: float | None, longitude_deg: float | None) -> tuple[float, float] | None:
    """A usable position: inside the supported latitudes and not 0, 0, which receivers write without a fix."""
    if latitude_deg is None or longitude_deg is None:
        return None
    if not (math.isfinite(latitude_deg) and math.isfinite(longitude_deg)):
        return None
    if abs(latitude_deg) > MAX_ABS_LATITUDE_DEG or abs(longitude_deg) > 180.0:
        return None
    if abs(latitude_deg) < 1e-6 and abs(longitude_deg) < 1e-6:
        return None
    return latitude_deg, longitude_deg


def focal_from_35mm(focal_35mm: float | None, width_px: int, height_px: int) -> float | None:
    """Focal length in pixels from the 35 mm equivalent, which is defined over the diagonal (CIPA DCG-001)."""
    if focal_35mm is None or focal_35mm <= 0:
        return None
    return focal_35mm * math.hypot(width_px, height_px) / _DIAGONAL_35MM


def focal_from_fov(hfov_deg: float, width_px: int) -> float:
    """Focal length in pixels of a camera that sees so many degrees across."""
    return width_px / (2.0 * math.tan(math.radians(hfov_deg) / 2.0))


def plausible_focal(focal_px: float | None, width_px: int) -> bool:
    """Whether a focal length gives a field of view that cameras have."""
    if focal_px is None or not math.isfinite(focal_px) or focal_px <= 0:
        return False
    fov = math.degrees(2.0 * math.atan(width_px / (2.0 * focal_px)))
    return _FOV_RANGE_DEG[0] <= fov <= _FOV_RANGE_DEG[1]


def lens(
    facts: ExifFacts, xmp: Mapping[str, str], width_px: int, height_px: int, hfov_deg: float | None = None
) -> Lens | None:
    """The lens, best source first: what the user states, the camera's calibration, the 35 mm equivalent."""
    centre = (width_px / 2.0, height_px / 2.0)
    if hfov_deg is not None:
        return Lens(focal_from_fov(hfov_deg, width_px), *centre)
    nominal = focal_from_35mm(facts.focal_length_35mm, width_px, height_px)
    if not plausible_focal(nominal, width_px):
        nominal = None

    def fits(focal: float | None) -> bool:
        if not plausible_focal(focal, width_px):
            return False
        return nominal is None or abs((focal or 0.0) / nominal - 1.0) <= _CALIBRATION_AGREES

    dewarp = _dewarp(xmp.get("DewarpData", ""))
    if dewarp is not None and fits(dewarp[0]) and number(xmp, "DewarpFlag") == 0:
        cx, cy = centre[0] + dewarp[1], centre[1] + dewarp[2]
        if 0 < cx < width_px and 0 < cy < height_px:
            return Lens(dewarp[0], cx, cy, dewarp[3])
    calibrated = number(xmp, "CalibratedFocalLength")
    if calibrated is not None and fits(calibrated):
        cx = number(xmp, "CalibratedOpticalCenterX") or centre[0]
        cy = number(xmp, "CalibratedOpticalCenterY") or centre[1]
        if not (abs(cx - centre[0]) < 0.1 * width_px and abs(cy - centre[1]) < 0.1 * height_px):
            cx, cy = centre
        return Lens(calibrated, cx, cy)
    return None if nominal is None else Lens(nominal, *centre)


def _dewarp(text: str) -> tuple[float, float, float, tuple[float, float, float, float, float]] | None:
    """(focal, cx - centre, cy - centre, distortion) of DJI's `date;fx,fy,cx,cy,k1,k2,p1,p2,k3`."""
    try:
        values = [float(v) for v in text.rsplit(";", maxsplit=1)[-1].split(",")]
    except ValueError:
        return None
    if len(values) != 9 or not all(math.isfinite(v) and abs(v) < 1e6 for v in values):
        return None
    fx, fy, cx, cy, k1, k2, p1, p2, k3 = values
    # a polynomial that folds the picture over is a damaged one
    if fx <= 0 or fy <= 0 or abs(k1) > 2 or abs(k2) > 5 or abs(k3) > 10 or abs(p1) > 0.1 or abs(p2) > 0.1:
        return None
    return (fx + fy) / 2.0, cx, cy, (k1, k2, p1, p2, k3)


def make_camera(camera_id: str, modality: Modality, width_px: int, height_px: int, of: Lens) -> Camera:
    """The camera of a lens."""
    return Camera(camera_id, modality, width_px, height_px, of.focal_px, of.focal_px, of.cx_px, of.cy_px, of.distortion)


def still_shot(
    camera_id: str,
    modality: Modality,
    size: tuple[int, int],
    facts: ExifFacts,
    xmp: Mapping[str, str],
    hfov_deg: float | None = None,
) -> Shot:
    """Camera and pose of a still. size: (width, height) in pixels; values are DJI's XMP names without prefix."""
    width_px, height_px = size
    glass = lens(facts, xmp, width_px, height_px, hfov_deg)
    camera = None if glass is None else make_camera(camera_id, modality, width_px, height_px, glass)
    place = position(
        number(xmp, "GpsLatitude"), number(xmp, "GpsLongitude", "GpsLongtitude")
    ) or position(facts.latitude_deg, facts.longitude_deg)  # fmt: skip
    above_home = number(xmp, "RelativeAltitude")
    yaw, pitch = number(xmp, "GimbalYawDegree"), number(xmp, "GimbalPitchDegree")
    missing = [
        name
        for name, there in (
            ("position", place),
            ("height above take-off", above_home),
            ("gimbal angles", yaw if pitch is not None else None),
            ("focal length", camera),
        )
        if there is None
    ]
    if place is None or above_home is None or yaw is None or pitch is None or camera is None:
        return Shot(camera, None, 0.0, False, f"the file does not say its {' or '.join(missing)}")
    if not (1.0 <= above_home <= _MAX_HEIGHT_M and abs(pitch) <= 180.0):
        return Shot(camera, None, 0.0, False, f"{above_home:g} m above take-off is no height to look from")
    amsl = number(xmp, "AbsoluteAltitude")
    if amsl is None:
        amsl = facts.altitude_m
    known = amsl is not None and abs(amsl) < 12_000
    height = amsl if known and amsl is not None else above_home
    horizontal, vertical, anew = _gnss_sigmas(xmp)
    pose = CameraPose(
        latitude_deg=place[0],
        longitude_deg=place[1],
        amsl_m=height,
        height_above_home_m=above_home,
        yaw_deg=wrap_degrees(yaw),
        pitch_deg=pitch,
        roll_deg=_roll(number(xmp, "GimbalRollDegree")),
        velocity_north_m_s=_speed(number(xmp, "FlightXSpeed")),
        velocity_east_m_s=_speed(number(xmp, "FlightYSpeed")),
        velocity_down_m_s=_speed(number(xmp, "FlightZSpeed")),
        horizontal_common_sigma_m=horizontal,
        vertical_common_sigma_m=vertical,
        clock_common_sigma_s=_CLOCK_SIGMA_S,
        horizontal_sigma_m=anew,
    )
    return Shot(camera, pose, height - above_home, known, None)


def _roll(value: float | None) -> float:
    return 0.0 if value is None else wrap_degrees(value)


def _speed(value: float | None) -> float:
    return value if value is not None and abs(value) < 100.0 else 0.0


def _gnss_sigmas(xmp: Mapping[str, str]) -> tuple[float, float, float]:
    """One sigma in metres: (horizontal common, vertical common, horizontal anew); RTK only where its fix is stated."""
    if number(xmp, "RtkFlag") != _RTK_FIXED:
        return 1.5, 2.5, 0.3
    north, east, up = (number(xmp, name) for name in ("RtkStdLat", "RtkStdLon", "RtkStdHgt"))
    horizontal = max(0.05, min(5.0, max(north or 0.0, east or 0.0)))
    return horizontal, max(0.5, min(5.0, up or 0.0)), 0.05  # height above take-off is the barometer's, RTK or not


@lru_cache(maxsize=32)
def _frame_locator(latitude_step: int, longitude_step: int, ground_amsl_m: float) -> Locator:
    origin = GeoPoint(latitude_step / _ORIGIN_STEPS_PER_DEG, longitude_step / _ORIGIN_STEPS_PER_DEG)
    return Locator(FlatTerrain(ground_amsl_m, "level at take-off height", 1.0, GROUND_ERROR_M), origin)


def locator_of(pose: CameraPose, ground_amsl_m: float) -> Locator:
    """A locator over level ground; pictures of one flight share it."""
    return _frame_locator(
        round(pose.latitude_deg * _ORIGIN_STEPS_PER_DEG),
        round(pose.longitude_deg * _ORIGIN_STEPS_PER_DEG),
        round(ground_amsl_m, 2),
    )
