# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clips and the index of evidence: found again by place and time, deleted when due and not before, nobody to be known."""

import hashlib
import math
import os
import resource
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.geo import GeoPoint, destination, distance_m
from missions.model import Modality
from vision import clips
from vision.clips import ClipWriter, Film
from vision.evidence import About, EvidenceStore, unknowable
from vision.evidence_index import FILE, EvidenceIndex, Indexed
from vision.frame import CameraPose, Frame, PixelKind
from vision.sighting import GroundEllipse, Kind, Phase, Sighting
from vision.unite import Observation

HERE = GeoPoint(29.74, 107.27)
PERSON = Observation(200, 120, 260, 240, learned_kind=Kind.PERSON, learned_score=0.9)

LAST = Sighting(
    "t1", 4, Phase.END, Kind.PERSON, 0.8, Modality.RGB, "cam", "d1", None, 0.0, 5.0, None, 3, 4, "3 of 5", None, None, None,
    "onnx", (),
)  # fmt: skip


def indexed(name: str, at: GeoPoint | None = HERE, taken_at_s: float = 1000.0, tag: str = "person", **more) -> Indexed:
    place = (None, None, None) if at is None else (at.latitude_deg, at.longitude_deg, more.pop("doubt_m", 0.0))
    return Indexed(name, "a" * 64, "crop", tag, taken_at_s, "c", "d1", "t", *place, None, "onnx", **more)


def about(track: str = "t1", kind: Kind = Kind.PERSON) -> About:
    place = GroundEllipse(29.74, 107.27, 250.0, 4.0, 0.0, 4.0, 1.0, 0.0, 1.0)
    pose = CameraPose(29.74, 107.27, 310.0, 60.0, 10.0, -90.0, 0.0)
    return About(kind, track, "cam", "d1", place, pose, "onnx " + "b" * 64, 1000.0)


@given(st.lists(st.tuples(st.floats(0, 360), st.floats(0, 300), st.floats(0, 1000)), max_size=12), st.floats(1, 200))
@settings(max_examples=15)
def test_found_is_exactly_what_lies_within_the_distance_and_the_time(tmp_path_factory, things, within):
    index = EvidenceIndex(tmp_path_factory.mktemp("e"))
    places = [destination(HERE, azimuth, away) for azimuth, away, _ in things]
    for n, (place, (_, _, at)) in enumerate(zip(places, things, strict=True)):
        index.add(indexed(f"{n}.jpg", place, at))
    wanted = {
        f"{n}.jpg"
        for n, (place, (_, _, at)) in enumerate(zip(places, things, strict=True))
        if distance_m(HERE, place) <= within and 100.0 <= at <= 800.0
    }
    assert {i.path for i in index.find(HERE, within, 100.0, 800.0)} == wanted


def test_a_doubtful_place_counts_when_its_doubt_reaches_and_no_place_never(tmp_path):
    index = EvidenceIndex(tmp_path)
    index.add(indexed("far.jpg", destination(HERE, 10.0, 60.0), doubt_m=15.0))
    index.add(indexed("nowhere.jpg", None))
    assert [i.path for i in index.find(HERE, 50.0)] == ["far.jpg"]
    assert index.find(HERE, 40.0) == []
    assert [i.path for i in index.find()] == ["far.jpg", "nowhere.jpg"]
    assert index.find(tags=["fire"]) == []


def test_what_is_due_goes_with_its_file_and_what_is_held_stays(tmp_path):
    index = EvidenceIndex(tmp_path)
    day = 86400.0
    for name, tag, age in (
        ("p.jpg", "person", 31),
        ("v.jpg", "vehicle", 31),
        ("h.jpg", "person", 400),
        ("n.jpg", "person", 1),
    ):
        (tmp_path / name).write_bytes(b"x")
        index.add(indexed(name, taken_at_s=1e9 - age * day, tag=tag))
    assert index.hold("h.jpg", "case 7")
    assert not index.hold("none.jpg", "case 7")
    due = index.expired(1e9, {"person": 30.0, "default": 90.0})
    assert [i.path for i in due] == ["p.jpg"]
    index.hold("p.jpg", "at the last moment")
    assert not index.remove(due[0])
    assert (tmp_path / "p.jpg").exists()
    index.hold("p.jpg", None)
    assert index.remove(due[0])
    assert not (tmp_path / "p.jpg").exists()
    assert {i.path for i in index.find()} == {"v.jpg", "h.jpg", "n.jpg"}


def test_a_picture_that_cannot_be_entered_is_not_kept_and_is_counted(tmp_path):
    (tmp_path / FILE).write_bytes(b"this is no database" * 100)
    store = EvidenceStore(tmp_path, EvidenceIndex(tmp_path))
    assert store.save("t1", "crop", np.zeros((20, 20, 3), np.uint8), about()) is None
    assert store.lost == 1
    assert list(tmp_path.glob("*.jpg")) == []


def frames(count: int, people=(PERSON,)):
    rng = np.random.default_rng(5)
    ground = rng.integers(0, 255, (360, 480, 3), dtype=np.uint8)
    for n in range(count):
        pixels = ground.copy()
        pixels[120:240:2, 200:260] = 0  # stripes: whoever can read them knows the person
        pixels[121:240:2, 200:260] = 255
        yield Frame("cam", "d1", n, float(n), pixels, PixelKind.BGR8), people


def wait(condition) -> None:
    limit = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_clip_holds_the_seconds_around_and_nobody_who_could_be_known(tmp_path):
    index = EvidenceIndex(tmp_path)
    writer = ClipWriter(EvidenceStore(tmp_path, index))
    film = Film(writer, "cam")
    for frame, people in frames(20):
        film.take(frame, people, None)
        if frame.sequence == 8:
            film.begin("t1-1", about(), frame.exposure_s)
            film.begin("t1-2", about(), frame.exposure_s)
        time.sleep(0.005)
    wait(lambda: film.late() == () and film.of("t1"))
    (clip,) = film.of("t1")
    writer.close()
    data = (tmp_path / clip.path).read_bytes()
    assert clip.sha256 == hashlib.sha256(data).hexdigest()
    assert [i.role for i in index.find(HERE, 10.0)] == ["clip"]
    reader = cv2.VideoCapture(str(tmp_path / clip.path))
    pictures = []
    while (got := reader.read())[0]:
        pictures.append(got[1])
    assert len(pictures) == 9, "4 s before and 4 s after, at a frame a second"
    for picture in pictures:
        assert picture[130:230, 210:250].astype(float).std() < 25, "the person"
        assert picture[20:100, 20:100].astype(float).std() > 40, "and only the person"


def test_the_clip_of_a_track_that_has_ended_is_told_after_it(tmp_path):
    writer = ClipWriter(EvidenceStore(tmp_path))
    film = Film(writer, "cam")
    for frame, people in frames(6):
        film.take(frame, people, None)
        if frame.sequence == 2:
            film.begin("t1-1", about(), frame.exposure_s)
    film.ended(LAST)
    writer.close()
    (last,) = film.late()
    assert (last.track_id, last.sequence, [e.role for e in last.evidence]) == ("t1", 5, ["clip"])


@given(st.floats(0.005, 0.5))
@settings(max_examples=20)
def test_an_unsearched_colour_picture_is_too_small_to_know_anybody(gsd):
    picture = np.zeros((720, 960, 3), np.uint8)
    small = unknowable(picture, gsd)
    assert 1.9 / (gsd * 960 / small.shape[1]) <= 25.0 * 1.02 or small.shape == picture.shape
    if 1.9 / gsd <= 25.0:
        assert small is picture
    assert unknowable(picture, None) is picture
    assert math.isclose(small.shape[1] / small.shape[0], 960 / 720, rel_tol=0.05)


@pytest.mark.parametrize("broken", [True, False])
def test_a_folder_that_takes_no_clip_costs_the_clip_alone(tmp_path, broken):
    folder = tmp_path / "e"
    if broken:
        folder.write_text("a file where the folder should be")
    store = EvidenceStore(folder)
    writer = ClipWriter(store)
    film = Film(writer, "cam")
    for frame, people in frames(4):
        film.take(frame, people, None)
    film.begin("t1-1", about(), 2.0)
    writer.close()
    assert store.lost == (1 if broken else 0)
    assert len(list(tmp_path.glob("e/*.avi"))) == (0 if broken else 1)
    assert not list(tmp_path.glob("e/.*.tmp*"))


def test_a_full_disk_is_told_once_and_by_nobody_else(tmp_path, caplog, capfd):
    """A limit on the size of files comes in as a full disk does: in the middle of the clip, as an error of write."""
    store = EvidenceStore(tmp_path)
    writer = ClipWriter(store)
    film = Film(writer, "cam")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        for frame, people in frames(40):
            film.take(frame, people, None)
            if frame.sequence == 2:
                film.begin("t1-1", about(), frame.exposure_s)
                film.begin("t2-1", replace(about(), track_id="t2"), frame.exposure_s)
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (store.lost, store.written) == (2, 0)
    assert list(tmp_path.iterdir()) == []
    (said,) = [r.message for r in caplog.records if r.levelname == "ERROR"]
    assert said.startswith("evidence is being lost")
    assert said.endswith("File too large")
    assert capfd.readouterr().err == ""


def test_a_clip_whose_camera_changed_its_size_has_one_size(tmp_path):
    pictures = [np.full((45 if i < 3 else 90, 61, 3), 40 * i, np.uint8) for i in range(6)]
    coded = [(i * 0.5, cv2.imencode(".jpg", picture)[1]) for i, picture in enumerate(pictures)]
    clip = clips.write_clip(tmp_path, "a-clip.avi", coded)
    assert (clip.width_px, clip.height_px) == (60, 44)
    reader = cv2.VideoCapture(str(tmp_path / clip.path))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(2.0)
    read = []
    while (got := reader.read())[0]:
        read.append(got[1])
    assert [p.shape for p in read] == [(44, 60, 3)] * 6
    assert [float(p.mean()) for p in read] == pytest.approx([40.0 * i for i in range(6)], abs=3.0)


def test_a_frame_that_cannot_be_encoded_costs_no_clip(tmp_path, caplog):
    writer = ClipWriter(EvidenceStore(tmp_path))
    film = Film(writer, "cam")
    empty = Frame("cam", "d1", 1, 1.5, np.zeros((0, 0), np.uint8), PixelKind.GREY8)
    for frame, people in frames(6):
        film.take(frame, people, None)
        film.take(replace(empty, exposure_s=frame.exposure_s), (), None)
        if frame.sequence == 2:
            film.begin("t1-1", about(), frame.exposure_s)
    writer.close()
    assert [p.name for p in tmp_path.glob("*.avi")] == ["t1-1-clip.avi"]
    assert writer.dropped == 6
    assert len([r for r in caplog.records if "missing in clips" in r.message]) == 1


def test_a_camera_that_falls_silent_does_not_keep_its_clip_to_itself(tmp_path, monkeypatch):
    """It has landed, or is away: what it showed before is written all the same, and takes nobody's room."""
    monkeypatch.setattr(clips, "SILENT_S", 0.3)
    writer = ClipWriter(EvidenceStore(tmp_path))
    film = Film(writer, "cam")
    for frame, people in frames(4):
        film.take(frame, people, None)
    film.begin("t1-1", about(), 3.0)
    wait(lambda: film.late() == () and film.of("t1"))
    assert [p.name for p in tmp_path.glob("*.avi")] == ["t1-1-clip.avi"]
    writer.close()


def test_what_a_killed_process_left_without_an_entry_goes_too_when_its_time_is_up(tmp_path):
    index = EvidenceIndex(tmp_path)
    index.add(indexed("kept.jpg", taken_at_s=99 * 86400.0))
    index.add(replace(indexed("held.jpg", taken_at_s=0.0), hold="a case"))
    names = ("kept.jpg", "held.jpg", "stray.jpg", ".t1-clip.77.tmp.avi", ".t2.jpg.77.tmp", "young.jpg", "notes.txt")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        day = 99.0 if name == "young.jpg" else 1.0
        os.utime(tmp_path / name, (day * 86400.0, day * 86400.0))
    due = index.expired(100 * 86400.0, {"default": 30.0, "person": 90.0})
    assert sorted(item.path for item in due) == [".t1-clip.77.tmp.avi", ".t2.jpg.77.tmp", "stray.jpg"]
    assert {item.sha256 for item in due} == {hashlib.sha256(b"x").hexdigest()}
    assert all(index.remove(item) for item in due)
    assert not any(index.remove(item) for item in due)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == sorted(["kept.jpg", "held.jpg", "young.jpg", "notes.txt", FILE])
