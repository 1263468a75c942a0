# SPDX-License-Identifier: AGPL-3.0-or-later
"""Videos whose beginning is unlike the rest: in colour or black, before the first position, or on the ground."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from missions.geo import GeoPoint, LocalFrame
from missions.terrain import GridTerrain
from tests.vision_files import person_picture
from vision.errors import PictureError
from vision.examine import Examiner
from vision.examine_types import ExamineOptions
from vision.lookers import Lookers
from vision.merge_stills import things
from vision.model_card import DEFAULT_MODEL
from vision.sources.stills import read_video
from vision.thermal import HotSpotDetector
from vision.yolo import load_yolo

app = typer.Typer()
app.command()(detect)
HFOV_DEG = 45.8
HOME = GeoPoint(29.74, 107.27)


def lines_of(*arguments: str) -> list[dict]:
    result = CliRunner().invoke(app, list(arguments), standalone_mode=False)
    assert result.return_value == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def video(path: Path, first: list[np.ndarray]) -> None:
    """Pictures, then six with a person in the cold, five a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (640, 512))
    for picture in first + [np.repeat(person_picture()[..., None], 3, 2)] * 6:
        writer.write(picture)
    writer.release()


def tracks(lines: list[dict]) -> list[dict]:
    return [line for line in lines if line["type"] == "track" and line["kind"] == "person"]


def test_a_title_in_colour_does_not_make_a_thermal_video_one_of_colour(tmp_path: Path) -> None:
    title = np.zeros((512, 640, 3), np.uint8)
    title[..., 2] = np.linspace(0, 255, 640, dtype=np.uint8)
    path = tmp_path / "v.avi"
    video(path, [title, title])
    lines = lines_of(str(path), "--gsd-cm", "8")
    assert [f["pixels"] for f in lines if f["type"] == "frame"] == ["bgr8"] * 2 + ["grey8"] * 6
    assert tracks(lines)


def srt(entries: list[tuple[float, float]]) -> str:
    """(time in seconds, metres above take-off) at one place, looking down; above sea level 30 m too much."""
    return "\n\n".join(
        f"{n}\n00:00:{int(t):02d},{round(t % 1 * 1000):03d} --> 00:00:{int(t) + 1:02d},000\n"
        f"[focal_len: 42.70] [latitude: {HOME.latitude_deg}] [longitude: {HOME.longitude_deg}] "
        f"[rel_alt: {h:.3f} abs_alt: {h + 430.0:.3f}] [gb_yaw: 0.0 gb_pitch: -90.0 gb_roll: 0.0]"
        for n, (t, h) in enumerate(entries, 1)
    )


def test_a_first_frame_without_a_position_does_not_cost_the_places_of_the_rest(tmp_path: Path) -> None:
    video(tmp_path / "v.avi", [np.repeat(person_picture()[..., None], 3, 2)] * 4)
    (tmp_path / "v.srt").write_text(srt([(k / 10, 60.0) for k in range(7, 25)]), encoding="utf-8")
    lines = lines_of(str(tmp_path / "v.avi"))
    frames = [line for line in lines if line["type"] == "frame"]
    assert frames[0]["pose"] is None
    assert frames[-1]["pose"] is not None
    placed = [t for t in tracks(lines) if t["place"] is not None]
    assert placed
    assert len({t["track_id"] for t in lines if t["type"] == "track"}) == len(
        {(t["track_id"], t["place"] is None) for t in lines if t["type"] == "track"}
    )


@pytest.mark.parametrize("rising", [False, True], ids=["in the air", "from the ground"])
def test_a_video_that_begins_at_take_off_lies_on_the_height_model_too(tmp_path: Path, rising: bool) -> None:
    """400 m at take-off by the model, 430 m by the file, and the ground below the person rises by 20 m."""
    frame = LocalFrame(HOME)
    heights = np.full((41, 41), 400.0)
    heights[:, 18:] = 420.0  # the ground below the drone; take-off is west of it
    terrain = GridTerrain(frame, -200.0, -200.0, 10.0, heights, "made up", 1.0)
    take_off = frame.to_geo(-100.0, 0.0)
    path = tmp_path / "v.avi"
    ground = np.repeat(person_picture()[..., None], 3, 2)
    video(path, [ground] * 4)
    low = [(0.0, 0.0), (0.2, 0.2)] if rising else [(0.0, 80.0), (0.2, 80.0)]
    (tmp_path / "v.srt").write_text(srt([*low, *((k / 10, 80.0) for k in range(4, 25))]), encoding="utf-8")
    learned = load_yolo(DEFAULT_MODEL)
    said: list[str] = []
    options = ExamineOptions(terrain=terrain, take_off=take_off)
    lines = list(Examiner(Lookers(learned), HotSpotDetector(), options, tell=said.append).file(path))
    last = [line for line in lines if line["type"] == "frame"][-1]
    # the camera is 80 m above take-off and so 60 m above the ground there
    focal_px = 42.7 * np.hypot(640, 512) / 43.2666
    assert last["gsd_cm"] == pytest.approx(100 * 60.0 / focal_px, rel=0.01)
    (person,) = [d for d in last["detections"] if d["kind"] == "person"]
    assert person["place"]["amsl_m"] == pytest.approx(420.0, abs=0.5)


def recording(path: Path, fourcc: str, frames: int = 60) -> bytes:
    """Ten frames a second of a ground that passes by."""
    ground = np.repeat(person_picture()[..., None], 3, 2)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), 10.0, (640, 512))
    for k in range(frames):
        writer.write(np.roll(ground, 3 * k, axis=1))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize(("suffix", "fourcc"), [("avi", "MJPG"), ("mkv", "MJPG"), ("mp4", "mp4v")])
def test_a_video_that_ends_before_its_time_is_named(tmp_path: Path, suffix: str, fourcc: str) -> None:
    path = tmp_path / f"v.{suffix}"
    data = recording(path, fourcc)
    assert len(list(read_video(path))) == len(list(read_video(path, 7))) * 7 - 3 == 60
    if suffix == "mp4":  # its index is at the end: everything before it is gone
        damaged, index = bytearray(data), data.rindex(b"moov") - 4
        damaged[len(data) // 2 : index] = bytes(index - len(data) // 2)
    else:
        damaged = bytearray(data[: len(data) // 2])
    path.write_bytes(damaged)
    seen = []
    with pytest.raises(PictureError, match=r"v\.\w+: .* of 6\.\d s .*cut off"):
        seen.extend(read_video(path, 2))
    assert 5 < len(seen) < 20


def test_a_video_cut_off_keeps_its_lines_and_ends_with_code_1(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    data = recording(path, "MJPG", 30)
    path.write_bytes(data[: len(data) // 2])
    result = CliRunner().invoke(app, [str(path), "--gsd-cm", "8", "--every", "5"], standalone_mode=False)
    kinds = [json.loads(line)["type"] for line in result.stdout.splitlines()]
    assert result.return_value == 1
    assert kinds[-1] == "error"
    assert kinds.count("frame") == 3


def test_tracks_of_an_experimental_model_say_that_it_is_one(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(DEFAULT_MODEL.read_bytes())
    card = json.loads(DEFAULT_MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    model.with_suffix(".json").write_text(json.dumps(card | {"status": "experimental"}), encoding="utf-8")
    video(tmp_path / "v.avi", [])
    lines = lines_of(str(tmp_path / "v.avi"), "--gsd-cm", "8", "--model", str(model))
    assert lines
    assert all(line["experimental"] for line in lines)
    assert all(thing.experimental for thing in things(lines))
    assert not any("experimental" in line for line in lines_of(str(tmp_path / "v.avi"), "--gsd-cm", "8"))


def test_what_is_damaged_within_a_video_costs_no_frame_after_it(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (640, 512))
    high = np.pad(person_picture(), ((80, 80), (0, 0)), mode="reflect")
    for k in range(36):  # moved, so that there is something to write of each
        writer.write(np.repeat(np.ascontiguousarray(high[4 * k : 512 + 4 * k])[..., None], 3, 2))
    writer.release()
    data = bytearray(path.read_bytes())
    start, length = data.index(b"mdat") + 4, len(data)
    third = slice(start + length // 4, start + length // 2)
    data[third] = np.random.default_rng(2).bytes(third.stop - third.start)
    path.write_bytes(data)
    seen: list[float] = []
    with pytest.raises(PictureError, match=r"are damaged and could not be decoded; the rest was looked at$"):
        seen.extend(frame.exposure_s for frame in read_video(path))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(35 / 5.0)
    assert 5 <= len(seen) < 36
