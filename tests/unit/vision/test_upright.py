# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures that lie on their side: seen upright, and placed where they would be placed as they lie."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.geo import GeoPoint
from missions.model import Camera, Modality
from missions.terrain import FlatTerrain
from tests.vision_files import jpeg, with_segments
from vision.examine import Examiner
from vision.examine_types import ExamineOptions
from vision.frame import CameraPose, Frame, PixelKind
from vision.geolocate import Locator
from vision.lookers import Lookers
from vision.model_card import DEFAULT_MODEL
from vision.sources.exif import parse_exif
from vision.sources.stills import StillOptions, read_still
from vision.thermal import HotSpotDetector
from vision.upright import turned
from vision.yolo import load_yolo

WIDTH, HEIGHT = 640, 512


def orientation(number: int, order: str = "<") -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    return head + struct.pack(order + "HHIH2xI", 0x0112, 3, 1, number, 0)


def file(path: Path, number: int, pixels: np.ndarray) -> Path:
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description drone-dji:GpsLatitude="+47.3977" '
        'drone-dji:GpsLongitude="+8.5456" drone-dji:AbsoluteAltitude="+460" drone-dji:RelativeAltitude="+60" '
        'drone-dji:GimbalYawDegree="+20" drone-dji:GimbalPitchDegree="-55" drone-dji:GimbalRollDegree="+3" '
        'drone-dji:ImageSource="InfraredCamera"/></x:xmpmeta>'
    )
    payload = b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode()
    path.write_bytes(with_segments(jpeg(pixels), (1, b"Exif\0\0" + orientation(number)), (1, payload)))
    return path


def scene() -> np.ndarray:
    """Somebody who stands, off the middle, on grey ground."""
    rng = np.random.default_rng(4)
    picture = cv2.resize(rng.normal(90, 6, (8, 10)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(picture, (410, 190), (4, 10), 20, 0, 360, 235, -1)
    return np.clip(picture + rng.normal(0, 1, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_says_how_a_picture_is_to_be_shown(order: str) -> None:
    assert [parse_exif(orientation(n, order)).orientation for n in (1, 3, 6, 8)] == [1, 3, 6, 8]
    assert [parse_exif(orientation(n, order)).orientation for n in (0, 9, 65535)] == [1, 1, 1]
    assert parse_exif(b"").orientation == 1


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8])
def test_pixels_are_turned_as_an_ordinary_reader_of_pictures_turns_them(tmp_path: Path, number: int) -> None:
    path = file(tmp_path / "a.jpg", number, scene())
    still = read_still(path)
    other = number if number in (1, 3, 6, 8) else 1  # mirrored ones are left as they lie
    wanted = cv2.imread(str(file(tmp_path / "b.jpg", other, scene())), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(still.frame.pixels, wanted)
    assert still.turned_deg == {3: 180, 6: 90, 8: 270}.get(number, 0)
    assert still.across_px == WIDTH


@given(
    st.sampled_from([90, 180, 270]), st.floats(0, 1), st.floats(0, 1), st.floats(-180, 180), st.floats(-90, -35),
    st.floats(-179, 179),
)  # fmt: skip
def test_every_pixel_keeps_its_place_on_the_ground(
    turn: int, across: float, down: float, yaw: float, pitch: float, roll: float
) -> None:
    lens = (0.03, -0.02, 0.004, -0.007, 0.01)
    camera = Camera("c", Modality.THERMAL, WIDTH, HEIGHT, 900.0, 880.0, 330.0, 240.0, lens)
    pose = CameraPose(47.3977, 8.5456, 460.0, 60.0, yaw, pitch, roll if pitch < -80 else 0.1 * roll)
    frame = Frame("c", None, 0, 0.0, np.zeros((HEIGHT, WIDTH), np.uint8), PixelKind.GREY8, camera, pose)
    locator = Locator(FlatTerrain(400.0), GeoPoint(47.3977, 8.5456))
    u, v = across * WIDTH, down * HEIGHT
    there = {90: (HEIGHT - v, u), 180: (WIDTH - u, HEIGHT - v), 270: (v, WIDTH - u)}[turn]
    other = turned(frame, turn)
    assert other.camera is not None
    assert other.pose is not None
    assert (other.camera.width_px, other.camera.height_px) == (other.width_px, other.height_px)
    was, now = locator.locate(camera, pose, u, v), locator.locate(other.camera, other.pose, *there)
    assert (was is None) == (now is None)
    if was is not None and now is not None:
        assert now.east_north_m == pytest.approx(was.east_north_m, abs=1e-6)
        assert now.metres_per_px == pytest.approx(was.metres_per_px, rel=1e-6)
        assert now.look_cov == pytest.approx(was.look_cov, rel=1e-3, abs=1e-6)
        back = locator.pixel_of(other.camera, other.pose, now.east_north_m, now.amsl_m)
        assert back == pytest.approx(there, abs=1e-3)


def test_detect_places_whoever_lies_on_the_side_where_they_are(tmp_path: Path) -> None:
    """The same scene as it lies, and stored by cameras held otherwise that say so: one place, one temperature, one size."""
    lookers = Lookers(load_yolo(DEFAULT_MODEL))
    options = ExamineOptions(still=StillOptions(hfov_deg=40.0))
    found = {}
    for number in (1, 6, 3, 8):
        examiner = Examiner(lookers, HotSpotDetector(), options)
        (line,) = examiner.file(file(tmp_path / f"{number}.jpg", number, scene()))
        assert line["no_place"] is None
        ((x0, y0, x1, y1),) = [d["box_px"] for d in line["detections"] if d["kind"] == "person"]
        (place,) = [d["place"] for d in line["detections"] if d["kind"] == "person"]
        found[number] = place
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        wanted = {1: (410, 190), 3: (230, 322), 6: (HEIGHT - 190, 410), 8: (190, WIDTH - 410)}[number]
        assert centre == pytest.approx(wanted, abs=4)
        assert line["gsd_cm"] == pytest.approx(9.0, abs=1.5)
        assert line["turned_deg"] == {1: 0, 3: 180, 6: 90, 8: 270}[number]
    for place in found.values():  # feet are elsewhere in a box that is turned: within a body
        assert place["latitude_deg"] == pytest.approx(found[1]["latitude_deg"], abs=2e-5)
        assert place["longitude_deg"] == pytest.approx(found[1]["longitude_deg"], abs=2e-5)
