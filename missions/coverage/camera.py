# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a camera sees from a height, how far apart passes and pictures may be, and what wind does to a pass.

Flat ground below a camera that looks straight down: a pinhole maps one metre to f / h pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from missions.coverage.sweep import MetreCost
from missions.errors import PlanningError
from missions.model import Camera

PERSON_M = 0.9  # a curled-up person
PERSON_PX = 25.0  # on whom a detector, or an eye, still decides: a GSD of 3.6 cm


@dataclass(frozen=True, slots=True)
class PhotoGrid:
    """Heights and distances of a picture grid, in metres. `gsd_m` is the coarser of both axes.

    spacing_m, between passes, never exceeds the footprint along the track: a disc of half of it around the vehicle
    then lies within the picture at any heading, and turns are swept as well as passes.
    """

    height_m: float
    gsd_m: float
    across_m: float
    along_m: float
    spacing_m: float
    trigger_m: float

    def person_px(self, person_m: float = PERSON_M) -> float:
        """Pixels along a person of that size."""
        return person_m / self.gsd_m


def gsd_m(camera: Camera, height_m: float) -> float:
    """Ground sample distance straight below, the coarser of the two axes."""
    return height_m / min(camera.fx_px, camera.fy_px)


def height_for_gsd_m(camera: Camera, wanted_gsd_m: float) -> float:
    """The greatest height with at most that ground sample distance."""
    if not wanted_gsd_m > 0.0:
        raise PlanningError(f"a ground sample distance must be above 0, not {wanted_gsd_m} m")
    return wanted_gsd_m * min(camera.fx_px, camera.fy_px)


def gsd_for_person_m(person_px: float, person_m: float = PERSON_M) -> float:
    """The ground sample distance that puts so many pixels on a person."""
    if not person_px > 0.0:
        raise PlanningError(f"the pixels on a person must be above 0, not {person_px}")
    return person_m / person_px


def camera_of_sensor(
    camera_id: str, base: Camera, sensor_width_mm: float, sensor_height_mm: float, focal_mm: float
) -> Camera:
    """Return a camera like `base` with the focal lengths in pixels that a data sheet's millimetres give."""
    for what, value in (("width", sensor_width_mm), ("height", sensor_height_mm), ("focal length", focal_mm)):
        if not value > 0.0:
            raise PlanningError(f"the sensor's {what} must be above 0 mm, not {value}")
    return Camera(
        camera_id=camera_id,
        modality=base.modality,
        width_px=base.width_px,
        height_px=base.height_px,
        fx_px=focal_mm / sensor_width_mm * base.width_px,
        fy_px=focal_mm / sensor_height_mm * base.height_px,
        cx_px=(base.width_px - 1) / 2.0,
        cy_px=(base.height_px - 1) / 2.0,
    )


def photo_grid(camera: Camera, height_m: float, *, side_overlap: float, front_overlap: float) -> PhotoGrid:
    """Distances of a nadir grid. Overlaps are shares of the footprint, 0 up to but not 1."""
    for what, share in (("side", side_overlap), ("front", front_overlap)):
        if not 0.0 <= share < 0.99:
            raise PlanningError(f"the {what} overlap must be from 0 to under 0.99, not {share}")
    if not height_m > 0.0:
        raise PlanningError(f"the height must be above 0 m, not {height_m}")
    across = camera.width_px * height_m / camera.fx_px
    along = camera.height_px * height_m / camera.fy_px
    return PhotoGrid(
        height_m=height_m,
        gsd_m=gsd_m(camera, height_m),
        across_m=across,
        along_m=along,
        spacing_m=min(across * (1.0 - side_overlap), along),
        trigger_m=along * (1.0 - front_overlap),
    )


def wind_cost(air_speed_m_s: float, wind_m_s: float, wind_from_deg: float) -> MetreCost:
    """Mean time of a metre flown there and back under wind, over one in still air.

    sqrt(va^2 - W^2 sin^2 phi) va / (va^2 - W^2), phi between track and wind: flying across the wind is quickest.
    wind_from_deg is clockwise from north, as wind is reported. PlanningError when the wind cannot be flown against.
    """
    if wind_m_s >= air_speed_m_s:
        raise PlanningError(
            f"the wind of {wind_m_s:.1f} m/s is not below the air speed of {air_speed_m_s:.1f} m/s: the vehicle could "
            "not fly against it; wait until it calms, or fly faster"
        )
    if wind_m_s < 0.0:
        raise PlanningError(f"the wind must not be below 0 m/s, not {wind_m_s}")
    along = math.radians(90.0 - wind_from_deg)  # counter-clockwise from east

    def cost(direction_deg: float) -> float:
        cross = wind_m_s * math.sin(math.radians(direction_deg) - along)
        return math.sqrt(air_speed_m_s**2 - cross**2) * air_speed_m_s / (air_speed_m_s**2 - wind_m_s**2)

    return cost
