# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a picture is a thermal one shown in grey, or a colour one: stated, else by its file, else by its colours.

A thermal camera's grey goes through JPEG without a trace of colour, which a colour camera's picture has even of snow in
fog, by its sensor's noise and its white balance. What cannot be told so is a colour camera's picture without colour, as
one by infrared lamps at night: a grey picture of which nothing else is known is "by its look", and people are blurred in
it as in a colour one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.model import Modality
from vision.colours import IN_STILLS, is_grey
from vision.errors import PictureError
from vision.frame import ModalityFrom, PixelKind, finite

_COLDEST_C: Final = -80.0  # a scene's median, as a drone sees it, lies between
_HOTTEST_C: Final = 150.0
_DJI_SOURCES: Final = {"infraredcamera": Modality.THERMAL, "widecamera": Modality.RGB, "zoomcamera": Modality.RGB}


class Sorted(NamedTuple):
    """Pixels, what they mean and what says so. false_colours: of GREY8, whether they were a palette in colour."""

    pixels: NDArray[np.generic]
    kind: PixelKind
    by: ModalityFrom
    false_colours: bool = False


def said_by_file(xmp: Mapping[str, str]) -> Modality | None:
    """The modality by what a drone wrote into its picture (drone-dji:ImageSource); None where it says nothing of it."""
    return _DJI_SOURCES.get(xmp.get("ImageSource", "").strip().lower())


def classify(
    path: Path,
    picture: NDArray[np.generic],
    stated: Modality | None = None,
    in_file: Modality | None = None,
    tolerance: float = IN_STILLS,
) -> Sorted:
    """What a decoded picture is: (h, w), (h, w, 3) or (h, w, 4), channels BGR.

    Values of more than 8 bits measure heat, whatever is stated of pictures. PictureError for what is no picture of ours.
    """
    if picture.ndim == 3 and picture.shape[2] == 4:
        picture = picture[:, :, :3]
    if picture.dtype == np.uint8 and (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        grey = picture.ndim == 2 or is_grey(picture, tolerance)
        modality, by = stated or in_file, ModalityFrom.STATED if stated is not None else ModalityFrom.FILE
        if modality is None:
            modality, by = Modality.THERMAL if grey else Modality.RGB, ModalityFrom.LOOK
        return Sorted(*_as(modality, picture, grey=grey), by, modality is Modality.THERMAL and not grey)
    if picture.ndim == 2 and picture.dtype == np.uint16:
        return Sorted(np.ascontiguousarray(picture), PixelKind.RAW16, ModalityFrom.VALUES)
    if picture.ndim == 2 and picture.dtype == np.float32:
        return Sorted(np.ascontiguousarray(_degrees(path, picture)), PixelKind.CELSIUS, ModalityFrom.VALUES)
    raise PictureError(f"{path}: a picture of {picture.dtype} with shape {picture.shape} is not understood")


def _as(modality: Modality, picture: NDArray[Any], *, grey: bool) -> tuple[NDArray[np.generic], PixelKind]:
    """A thermal picture as one channel, of false colours their brightness; a colour one as three."""
    if modality is Modality.RGB:
        three = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        return np.ascontiguousarray(three), PixelKind.BGR8
    if picture.ndim == 3:
        picture = picture[..., 1] if grey else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    return np.ascontiguousarray(picture), PixelKind.GREY8


def _degrees(path: Path, picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """Numbers with a fraction, which are degrees Celsius if they can be; PictureError if not."""
    try:
        degrees = finite(picture)
    except ValueError as error:
        raise PictureError(f"{path}: {error}") from error
    middle = float(np.median(degrees[::4, ::4]))
    if not _COLDEST_C <= middle <= _HOTTEST_C:
        raise PictureError(
            f"{path}: its values have a median of {middle:.0f}: no degrees Celsius (kelvin less 273.15 would be)"
        )
    return degrees
