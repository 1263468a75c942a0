# SPDX-License-Identifier: AGPL-3.0-or-later
"""Colour pictures that an eye keeps: whoever is in them is blurred, also who has no place and who was not looked for."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from missions.geo import GeoPoint
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain
from vision.clips import ClipWriter
from vision.detector import Detection
from vision.evidence import EvidenceStore
from vision.eye import CameraEye
from vision.frame import CameraPose, Frame, PixelKind
from vision.geolocate import Locator
from vision.sighting import Kind
from vision.tiled import TiledDetector
from vision.tiles import TileSettings

CAMERA = Camera("c", Modality.RGB, 960, 640, 700.0, 700.0, 480.0, 320.0)
LEVEL = CameraPose(29.7, 107.3, 60.0, 60.0, 0.0, 0.0, 0.0)  # looks at the horizon: the upper half has no ground
BELOW, ABOVE = (300, 600), (700, 100)  # two people's centres


class Everybody:
    """Finds each striped figure that lies whole in what it is shown: a fake network over made-up pictures."""

    name = "stripes"

    def detect(self, frame: Frame, gsd_m: float | None) -> list[Detection]:  # noqa: ARG002  # the protocol's
        marks = (cv2.subtract(frame.pixels[..., 2], frame.pixels[..., 1]) > 40).astype(np.uint8)
        joined = cv2.dilate(marks, np.ones((7, 7), np.uint8))
        outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(outline) for outline in outlines]
        return [Detection(x, y, x + w, y + h, Kind.PERSON, 0.9, self.name) for x, y, w, h in boxes if h >= 40]


def frame(number: int, pose: CameraPose | None) -> Frame:
    pixels = np.full((640, 960, 3), 90, np.uint8)
    for x, y in (BELOW, ABOVE):
        pixels[y - 30 : y + 30 : 3, x - 15 : x + 15] = (0, 0, 255)
    return Frame("c", "d1", number, 0.25 * number, pixels, PixelKind.BGR8, CAMERA, pose)


def detail(picture: np.ndarray, at: tuple[int, int]) -> float:
    """How strongly the red stripes are still there: mean step from row to row."""
    x, y = at
    patch = picture[y - 20 : y + 20, x - 8 : x + 8, 2].astype(float)
    return float(np.abs(np.diff(patch, axis=0)).mean())


def shown(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(p)) for p in sorted(folder.glob("*-context.jpg"))]


def test_who_stands_where_no_ground_is_seen_is_blurred_too_and_told(tmp_path: Path) -> None:
    locator = Locator(FlatTerrain(0.0), GeoPoint(29.7, 107.3))
    eye = CameraEye(CAMERA, "d1", Everybody(), None, locator, EvidenceStore(tmp_path), "run")
    outcomes = [eye.look(frame(n, LEVEL)) for n in range(6)]
    assert detail(frame(0, LEVEL).pixels, ABOVE) > 20
    pictures = shown(tmp_path)
    assert pictures
    for picture in pictures:
        assert detail(picture, BELOW) < 8
        assert detail(picture, ABOVE) < 8
    assert all(len(o.observations) == 2 for o in outcomes), "one of them has no place, and was seen all the same"


@pytest.mark.parametrize("posed", [True, False], ids=["with pose", "without"])
def test_who_was_not_looked_for_in_this_frame_cannot_be_known(tmp_path: Path, posed: bool) -> None:
    """A few tiles a frame: in the others nobody was looked for, and so nobody was blurred."""
    store = EvidenceStore(tmp_path)
    clips = ClipWriter(store)
    tiled = TiledDetector(Everybody(), (320, 320), TileSettings(per_frame=1 if posed else 2, unknown_scale=1.0))
    locator = Locator(FlatTerrain(0.0), GeoPoint(29.7, 107.3)) if posed else None
    pose = CameraPose(29.7, 107.3, 20.0, 20.0, 0.0, -90.0, 0.0) if posed else None
    eye = CameraEye(CAMERA, "d1", tiled, None, locator, store, "run", clips=clips)
    for number in range(40):
        eye.look(frame(number, pose))
        time.sleep(0.005)
    eye.finish()
    clips.close()
    pictures = shown(tmp_path)
    for clip in tmp_path.glob("*-clip.avi"):
        reader = cv2.VideoCapture(str(clip))
        while (got := reader.read())[0]:
            pictures.append(cv2.resize(got[1], (960, 640), interpolation=cv2.INTER_NEAREST))
    assert len(pictures) > 5
    for picture in pictures:
        assert max(detail(picture, BELOW), detail(picture, ABOVE)) < 8


class Plume:
    """A fake detector of smoke: the same place in every picture."""

    name = "plume"

    def detect(self, _frame: Frame, _gsd_m: float | None) -> list[Detection]:
        return [Detection(400.0, 250.0, 500.0, 350.0, Kind.SMOKE, 0.8, self.name)]


def filmed(folder: Path) -> list[np.ndarray]:
    found = []
    for clip in folder.glob("*-clip.avi"):
        reader = cv2.VideoCapture(str(clip))
        while (got := reader.read())[0]:
            found.append(cv2.resize(got[1], (960, 640), interpolation=cv2.INTER_NEAREST))
    return found


@pytest.mark.parametrize("posed", [True, False], ids=["with pose", "without"])
def test_where_no_model_looks_for_people_none_in_the_picture_of_smoke_can_be_known(tmp_path: Path, posed: bool) -> None:
    store = EvidenceStore(tmp_path)
    clips = ClipWriter(store)
    locator = Locator(FlatTerrain(0.0), GeoPoint(29.7, 107.3)) if posed else None
    pose = CameraPose(29.7, 107.3, 20.0, 20.0, 0.0, -90.0, 0.0) if posed else None
    eye = CameraEye(CAMERA, "d1", None, Plume(), locator, store, "run", clips=clips)
    for number in range(40):
        eye.look(frame(number, pose))
        time.sleep(0.005)
    clips.close()
    pictures = [*shown(tmp_path), *filmed(tmp_path)]
    assert len(pictures) > 5
    for picture in pictures:
        assert max(detail(picture, BELOW), detail(picture, ABOVE)) < 8


class OnlyAbove(Everybody):
    """It misses who stands near."""

    def detect(self, frame: Frame, gsd_m: float | None) -> list[Detection]:
        return [d for d in super().detect(frame, gsd_m) if d.bottom_px < 320]


def test_whom_the_model_misses_near_an_oblique_camera_is_too_small_in_clips_to_be_known(tmp_path: Path) -> None:
    """The picture's middle is 54 m away, where a person spans 25 pixels; at its lower edge it is 30 m."""
    store = EvidenceStore(tmp_path)
    clips = ClipWriter(store)
    pose = CameraPose(29.7, 107.3, 23.0, 23.0, 0.0, -25.0, 0.0)
    locator = Locator(FlatTerrain(0.0), GeoPoint(29.7, 107.3))
    eye = CameraEye(CAMERA, "d1", OnlyAbove(), None, locator, store, "run", clips=clips)
    for number in range(40):
        eye.look(frame(number, pose))
        time.sleep(0.005)
    clips.close()
    (clip,) = tmp_path.glob("*-clip.avi")
    ok, picture = cv2.VideoCapture(str(clip)).read()
    assert ok
    person_px = 1.9 * CAMERA.fx_px / 30.3 * picture.shape[1] / CAMERA.width_px
    assert 20 < person_px < 25.5
