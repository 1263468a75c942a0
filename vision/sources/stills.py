# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures, folders of pictures and videos as frames; a picture that cannot be read is one named problem."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.model import Modality
from vision.colours import IN_VIDEOS
from vision.errors import PictureError
from vision.frame import Frame, ModalityFrom, PixelKind
from vision.poses import Shot, focal_from_35mm, still_shot
from vision.sources.coded_size import SizeWatch
from vision.sources.decoding import decode
from vision.sources.exif import ExifFacts, count_pages
from vision.sources.files import read_bytes, stated_size
from vision.sources.jpeg_segments import dji_facts, exif_facts, read_jpeg
from vision.sources.modality import Sorted, classify, said_by_file
from vision.sources.raw16 import RAW, Counts, meaning, read_y16
from vision.sources.rjpeg import ThermalPicture, thermal_in
from vision.upright import CLOCKWISE_DEG, turned

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}) | RAW
VIDEOS: Final = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".ts", ".mjpeg", ".h264"})
_TIFF: Final = frozenset({".tif", ".tiff"})
_BARE: Final = frozenset({".mjpeg", ".h264"})
_END_S: Final = 1.0  # a video may end so much before its stated end, as by its sound
_END_SHARE: Final = 0.02
_MOST_PIXELS: Final = 120_000_000  # three bytes each: more would not fit the memory that a run is promised to take
_NO_FACTS: Final = Shot(None, None, 0.0, False, "the file does not say where it was taken from")


@dataclass(frozen=True, slots=True)
class Still:
    """A frame from a file, with its camera and pose where the file tells them.

    gsd_m: its own statement of ground sample distance, used where there is no pose. note: how far to trust its values.
    turned_deg: by how much it was turned clockwise to be upright, as its file says; camera and pose are turned with it.
    damage: what the decoder said of parts that it could not decode; None for a whole picture.
    """

    frame: Frame
    gsd_m: float | None
    note: str
    shot: Shot = _NO_FACTS
    taken_at: str | None = None
    turned_deg: int = 0
    damage: str | None = None

    @property
    def across_px(self) -> int:
        """Pixels across the sensor, which a stated field of view is of."""
        return self.frame.height_px if self.turned_deg % 180 else self.frame.width_px


@dataclass(frozen=True, slots=True)
class StillOptions:
    """What the user states about pictures that do not tell it themselves."""

    hfov_deg: float | None = None
    raw_size: tuple[int, int] | None = None  # width, height of headerless pictures
    counts: Counts = Counts.RELATIVE
    modality: Modality | None = None  # of pictures with 8 bits; None: as each file or its look says


def is_video(path: Path) -> bool:
    """Whether a file is read as a video."""
    return path.suffix.lower() in VIDEOS


def read_still(path: Path, options: StillOptions | None = None) -> Still:
    """One picture file as a frame. PictureError when it cannot be read whole."""
    options = options or StillOptions()
    suffix = path.suffix.lower()
    if suffix in RAW:
        pixels, kind, note = meaning(path, read_y16(path, options.raw_size), options.counts)
        return Still(_frame(path, Sorted(pixels, kind, ModalityFrom.VALUES)), None, note)
    if suffix in (".jpg", ".jpeg"):
        jpeg = read_jpeg(path)
        thermal = thermal_in(jpeg)
        if thermal is not None:
            frame = replace(thermal.frame(path.name), modality_from=ModalityFrom.VALUES)
            return _posed(frame, thermal.exif, thermal.flight, options, thermal.note, thermal)
        (decoded, damage), xmp = _decode(path, jpeg.data), dji_facts(jpeg)
        frame = _frame(path, classify(path, decoded, options.modality, said_by_file(xmp)))
        return replace(_posed(frame, exif_facts(jpeg), xmp, options, frame.kind.value, None), damage=damage)
    data = read_bytes(path)
    pages = count_pages(data) if suffix in _TIFF else 1
    if pages > 1:
        raise PictureError(f"{path}: {pages} pictures in one file; split it into files of one each")
    decoded, damage = _decode(path, data)
    known = classify(path, decoded, options.modality)
    note = known.kind.value
    if known.kind is PixelKind.RAW16:
        picture, kind, note = meaning(path, known.pixels.astype(np.uint16, copy=False), options.counts)
        known = known._replace(pixels=picture, kind=kind)
    return Still(_frame(path, known), None, note, damage=damage)


def _frame(path: Path, known: Sorted, sequence: int = 0, time_s: float = 0.0) -> Frame:
    return Frame(
        path.name,
        None,
        sequence,
        time_s,
        known.pixels,
        known.kind,
        modality_from=known.by,
        false_colours=known.false_colours,
    )


def _posed(
    frame: Frame,
    facts: ExifFacts,
    xmp: Mapping[str, str],
    options: StillOptions,
    note: str,
    thermal: ThermalPicture | None,
) -> Still:
    modality = Modality.RGB if frame.kind is PixelKind.BGR8 else Modality.THERMAL
    size = (frame.width_px, frame.height_px)
    shot = still_shot(facts.model or "camera", modality, size, facts, xmp, options.hfov_deg)
    turn_deg = CLOCKWISE_DEG.get(facts.orientation, 0)
    upright = turned(replace(frame, camera=shot.camera, pose=shot.pose), turn_deg)
    return Still(upright, None if thermal is None else own_gsd_m(thermal), note, shot, facts.taken_at, turn_deg)


def _decode(path: Path, data: bytes) -> tuple[NDArray[np.generic], str | None]:
    """(the picture, what its decoder said of damage)."""
    _no_larger(path, stated_size(data))  # a small file can unfold to more than memory holds
    try:
        picture, damage = decode(data)
    except cv2.error as error:
        raise PictureError(f"{path}: this picture cannot be decoded: {_last_line(error)}") from error
    if picture is None:
        raise PictureError(f"{path}: this picture cannot be decoded; it is damaged or cut off")
    _no_larger(path, (picture.shape[1], picture.shape[0]))
    return picture, damage


def _no_larger(path: Path, size: tuple[int, int] | None) -> None:
    if size is not None and size[0] * size[1] > _MOST_PIXELS:
        raise PictureError(f"{path}: {size[0]}x{size[1]} pixels are too many; cut it into parts")


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else "unknown cause"


def own_gsd_m(thermal: ThermalPicture) -> float | None:
    """Metres per pixel from what a drone wrote into its picture: height above take-off as if the ground were level.

    None when height, tilt or focal length are missing, or the camera looks less than 20 degrees down.
    """
    try:
        height = float(thermal.flight["RelativeAltitude"])
        pitch = math.radians(float(thermal.flight["GimbalPitchDegree"]))
    except (KeyError, ValueError):
        return None
    rows, columns = thermal.pixels.shape
    focal = focal_from_35mm(thermal.exif.focal_length_35mm, columns, rows)
    if focal is None or not 1 < height < math.inf or not math.sin(-pitch) >= math.sin(math.radians(20)):
        return None
    return height / math.sin(-pitch) / focal


def read_video(path: Path, every: int = 1, modality: Modality | None = None) -> Iterator[Frame]:
    """Every n-th frame of a video; `exposure_s` is the time in the video. modality: stated by the user.

    What cannot be decoded within it is passed over. PictureError when it does not open, and, after the frames, where some
    could not be decoded, where the picture size changes, or where it ends before the time that it states.
    """
    capture = cv2.VideoCapture(str(path))
    watch: SizeWatch | None = None
    try:
        if not capture.isOpened():
            raise PictureError(f"{path}: this video cannot be opened; it is damaged, cut off or of an unknown codec")
        watch = SizeWatch(path)
        stated_s, stated_frames = _stated(path, capture)
        number, first, time_s = 0, None, 0.0
        decoded, failing, lost = 0, 0, _Lost()
        while True:
            size = watch.next()
            first = first or size
            if size is not None and first is not None and size != first:
                raise PictureError(
                    f"{path}: the picture size changes from {first[0]}x{first[1]} to {size[0]}x{size[1]} at frame "
                    f"{number} ({time_s:.1f} s); the part before it was looked at, cut the video there for the rest"
                )
            ok, picture = (capture.grab(), None) if number % every else capture.read()
            if not ok:  # one that is damaged, or the end: only what comes after it tells
                failing, number = failing + 1, number + 1
                if number >= stated_frames:
                    break
                continue
            before_s, time_s = time_s, _time_s(capture)
            if failing:
                lost.add(failing, before_s, time_s)
            decoded, failing = decoded + 1, 0
            if picture is not None:
                known = classify(path, np.asarray(picture), modality, tolerance=IN_VIDEOS)
                yield _frame(path, known, number, time_s)
            number += 1
        if decoded == 0:
            raise PictureError(f"{path}: this video has no frames that can be decoded")
        said = [] if lost.frames == 0 else [f"{lost.said}; the rest was looked at"]
        if stated_s is not None and time_s < stated_s - max(_END_S, _END_SHARE * stated_s):
            said.append(
                f"the video ends at {time_s:.1f} of {stated_s:.1f} s (frame {number - failing}): it is damaged or cut off; "
                "the part before it was looked at"
            )
        if said:
            raise PictureError(f"{path}: {'; '.join(said)}")
    finally:
        capture.release()
        if watch is not None:
            watch.close()


@dataclass(slots=True)
class _Lost:
    """Frames within a video that could not be decoded."""

    frames: int = 0
    first: tuple[float, float] | None = None  # seconds
    more: int = 0

    def add(self, frames: int, from_s: float, to_s: float) -> None:
        self.frames += frames
        if self.first is None:
            self.first = (from_s, to_s)
        else:
            self.more += 1

    @property
    def said(self) -> str:
        from_s, to_s = self.first or (0.0, 0.0)
        where = f"between {from_s:.1f} and {to_s:.1f} s" + (f" and at {self.more} other place(s)" if self.more else "")
        return f"{self.frames} frame(s) {where} are damaged and could not be decoded"


def _time_s(capture: cv2.VideoCapture) -> float:
    """The time in the video of the frame that was read last."""
    return float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0


def _stated(path: Path, capture: cv2.VideoCapture) -> tuple[float | None, int]:
    """How many seconds and frames a video says that it has; (None, 0) for a bare stream, of which the decoder only guesses."""
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    if path.suffix.lower() in _BARE or not (0 < frames < math.inf and 0 < rate < math.inf):
        return None, 0
    return float(frames / rate), int(frames)
