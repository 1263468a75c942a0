# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures, folders of pictures and videos as frames; a picture that cannot be read is one named problem."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.errors import PictureError
from vision.frame import Frame, PixelKind
from vision.sources.jpeg_segments import ExifFacts
from vision.sources.rjpeg import ThermalPicture, read_rjpeg

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})
VIDEOS: Final = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".ts"})
_DIAGONAL_35MM: Final = 43.2666
_GREY_TOLERANCE: Final = 6.0  # JPEG's colour noise in a grey picture


@dataclass(frozen=True, slots=True)
class Still:
    """A frame from a file, its own statement of ground sample distance, and a note about its values."""

    frame: Frame
    gsd_m: float | None
    note: str


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Pictures and videos named or lying in named folders (sorted, below them too). PictureError if one is neither."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES | VIDEOS and p.is_file())
            if not inside:
                raise PictureError(f"{path}: no pictures or videos in this folder")
            files += inside
        elif not path.exists():
            raise PictureError(f"{path}: no such file or folder")
        elif path.suffix.lower() not in PICTURES | VIDEOS:
            raise PictureError(f"{path}: neither a picture nor a video ({', '.join(sorted(PICTURES | VIDEOS))})")
        else:
            files.append(path)
    return files


def is_video(path: Path) -> bool:
    """Whether a file is read as a video."""
    return path.suffix.lower() in VIDEOS


def read_still(path: Path) -> Still:
    """One picture file as a frame. PictureError when it cannot be read whole."""
    if path.suffix.lower() in (".jpg", ".jpeg"):
        thermal = read_rjpeg(path)
        if thermal is not None:
            return Still(thermal.frame(path.name), own_gsd_m(thermal), thermal.note)
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if picture is None:
        raise PictureError(f"{path}: this picture cannot be decoded; it is damaged or cut off")
    pixels, kind = classify(path, np.asarray(picture))
    return Still(Frame(path.name, None, 0, 0.0, pixels, kind), None, kind.value)


def classify(path: Path, picture: NDArray[np.generic]) -> tuple[NDArray[np.generic], PixelKind]:
    """Pixels and their kind from a decoded picture: equal colour channels are a grey (thermal) picture."""
    if picture.ndim == 3 and picture.shape[2] == 4:
        picture = picture[:, :, :3]
    if picture.ndim == 3 and picture.dtype == np.uint8:
        spread = np.abs(picture[..., 0].astype(np.int16) - picture[..., 2].astype(np.int16))
        if float(np.percentile(spread, 99)) <= _GREY_TOLERANCE:
            return np.ascontiguousarray(picture[..., 1]), PixelKind.GREY8
        return np.ascontiguousarray(picture), PixelKind.BGR8
    if picture.ndim == 2:
        for dtype, kind in (
            (np.uint8, PixelKind.GREY8),
            (np.uint16, PixelKind.RAW16),
            (np.float32, PixelKind.CELSIUS),
        ):
            if picture.dtype == dtype:
                return np.ascontiguousarray(picture), kind
    raise PictureError(f"{path}: a picture of {picture.dtype} with shape {picture.shape} is not understood")


def own_gsd_m(thermal: ThermalPicture) -> float | None:
    """Metres per pixel from what a drone wrote into its picture: height above take-off as if the ground were level.

    None when height, tilt or focal length are missing, or the camera looks less than 20 degrees down.
    """
    focal = thermal.exif.focal_length_35mm
    try:
        height = float(thermal.flight["RelativeAltitude"])
        pitch = math.radians(float(thermal.flight["GimbalPitchDegree"]))
    except (KeyError, ValueError):
        return None
    if focal is None or height <= 1 or math.sin(-pitch) < math.sin(math.radians(20)):
        return None
    rows, columns = thermal.pixels.shape
    return height / math.sin(-pitch) / focal_px(thermal.exif, columns, rows)


def focal_px(exif: ExifFacts, width_px: int, height_px: int) -> float:
    """Focal length in pixels from the 35 mm equivalent, which is defined over the diagonal."""
    if exif.focal_length_35mm is None:
        raise ValueError("no focal length")
    return exif.focal_length_35mm * math.hypot(width_px, height_px) / _DIAGONAL_35MM


def read_video(path: Path, every: int = 1) -> Iterator[Frame]:
    """Every n-th frame of a video; `exposure_s` is the time in the video. PictureError when it does not open."""
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise PictureError(f"{path}: this video cannot be opened; it is damaged, cut off or of an unknown codec")
        number = 0
        while True:
            if number % every:
                if not capture.grab():
                    break
            else:
                ok, picture = capture.read()
                if not ok:
                    break
                pixels, kind = classify(path, np.asarray(picture))
                time_s = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
                yield Frame(path.name, None, number, time_s, pixels, kind)
            number += 1
        if number == 0:
            raise PictureError(f"{path}: this video has no frames that can be decoded")
    finally:
        capture.release()
