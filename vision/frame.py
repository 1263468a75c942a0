# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the detectors get: a picture and, where it is known, the pose of the camera at exposure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from missions.model import Camera

_ENDLESS: Final = 1e6  # degrees


class PixelKind(StrEnum):
    """What a pixel's number means."""

    BGR8 = "bgr8"  # uint8 (h, w, 3)
    CELSIUS = "celsius"  # float32 (h, w), degrees Celsius
    RAW16 = "raw16"  # uint16 (h, w), proportional to radiance; no absolute temperature
    GREY8 = "grey8"  # uint8 (h, w), brighter is warmer; auto-gained, no absolute temperature


class ModalityFrom(StrEnum):
    """What says whether a picture is a thermal or a colour one."""

    VALUES = "values"  # it measures heat
    STATED = "stated"  # by the user or by the site
    FILE = "file"
    LOOK = "look"  # by whether it has colours


class PolarityFrom(StrEnum):
    """What says whether what is warm in a thermal picture of grey levels is white or black."""

    STATED = "stated"  # by the user
    PEOPLE = "people"  # they are seen in the negative (`vision.polarity`)
    ASSUMED = "assumed"  # white, where nothing says otherwise


def finite(pixels: NDArray[Any]) -> NDArray[Any]:
    """The picture, where pixels that are no number (dead, out of the formula's range) are as cold as its coldest.

    Endless heat is as hot as its hottest, and what nothing can be as hot as counts as endless: sums and differences of
    such figures overflow. ValueError where there is no number at all.
    """
    if pixels.dtype.kind != "f":
        return pixels
    good = np.abs(pixels) < _ENDLESS
    if good.all():
        return pixels
    if not good.any():
        raise ValueError("none of its pixels is a number")
    low, high = pixels[good].min(), pixels[good].max()
    return np.where(good, pixels, np.where(pixels > 0, high, low))


@dataclass(frozen=True, slots=True)
class CameraPose:
    """Where the camera was and where it looked when the shutter opened, with one-sigma doubts.

    Camera attitude is that of the optical axis in the north-east-down frame: yaw clockwise from north, pitch
    (-90 is straight down), roll about the axis; gimbal and body are already combined in it. `*_common_*` doubts
    are shared by all frames of a flight (GNSS, compass, gimbal mounting, camera clock), the others are drawn anew.
    """

    latitude_deg: float
    longitude_deg: float
    amsl_m: float
    height_above_home_m: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    velocity_north_m_s: float = 0.0
    velocity_east_m_s: float = 0.0
    velocity_down_m_s: float = 0.0
    horizontal_common_sigma_m: float = 1.5
    vertical_common_sigma_m: float = 2.5
    yaw_common_sigma_deg: float = 2.0
    tilt_common_sigma_deg: float = 0.8
    clock_common_sigma_s: float = 0.08
    horizontal_sigma_m: float = 0.3
    attitude_sigma_deg: float = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One exposure. `exposure_s` is on the vehicle's clock (seconds since its boot) where a pose is wanted."""

    source_id: str  # camera id, or file name
    vehicle_id: str | None
    sequence: int
    exposure_s: float
    pixels: NDArray[Any]
    kind: PixelKind
    camera: Camera | None = None
    pose: CameraPose | None = None
    utc_s: float | None = None  # of the exposure, seconds since 1970, where the source knows it
    modality_from: ModalityFrom = ModalityFrom.STATED
    false_colours: bool = False  # of GREY8: it is the brightness of a palette in colour
    file_pixels: NDArray[Any] | None = None  # of GREY8 that was turned over: what the black-hot file has

    def __post_init__(self) -> None:
        expected: dict[PixelKind, tuple[Any, int]] = {
            PixelKind.BGR8: (np.uint8, 3),
            PixelKind.CELSIUS: (np.float32, 2),
            PixelKind.RAW16: (np.uint16, 2),
            PixelKind.GREY8: (np.uint8, 2),
        }
        dtype, dimensions = expected[self.kind]
        if self.pixels.dtype != dtype or self.pixels.ndim != dimensions:
            raise ValueError(
                f"{self.kind} wants {np.dtype(dtype).name} with {dimensions} dimensions, "
                f"not {self.pixels.dtype} {self.pixels.shape}"
            )

    @property
    def may_show_who(self) -> bool:
        """Whether people could be known in it: in colour, or grey by an unknown camera, which may see as eyes do."""
        by_look = self.kind is PixelKind.GREY8 and self.modality_from is ModalityFrom.LOOK
        return self.kind is PixelKind.BGR8 or by_look

    @property
    def as_in_file(self) -> Self:
        """As its file shows it, for pictures that people look at; itself unless it was turned over."""
        return self if self.file_pixels is None else replace(self, pixels=self.file_pixels, file_pixels=None)

    @property
    def width_px(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height_px(self) -> int:
        return int(self.pixels.shape[0])
