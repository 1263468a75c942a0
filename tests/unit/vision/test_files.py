# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from dronectl.errors import BadInputError
from tests.vision_files import dji, person_picture
from vision.errors import PictureError
from vision.frame import PixelKind
from vision.model_card import DEFAULT_MODEL
from vision.sources.exif import count_pages
from vision.sources.files import find_files, read_bytes, stated_size
from vision.sources.flir import FlirCamera, celsius
from vision.sources.jpeg_segments import read_jpeg
from vision.sources.raw16 import read_y16
from vision.sources.rjpeg import dji_celsius, read_rjpeg
from vision.sources.stills import PICTURES, VIDEOS, read_still, read_video

app = typer.Typer()
app.command()(detect)


def test_dji_temperatures_of_a_made_up_picture(tmp_path: Path) -> None:
    raw = np.full((512, 640), round((20.0 + 273.15) * 16) << 2, np.uint16)
    raw[100, 200] = round((45.0 + 273.15) * 16) << 2
    path = tmp_path / "a_R.JPG"
    path.write_bytes(dji("M3T", raw))
    picture = read_rjpeg(path)
    assert picture is not None
    assert picture.kind is PixelKind.CELSIUS
    assert picture.pixels[100, 200] > 45.0  # the object is warmer than it looks when the sky mirrored in it is colder
    assert picture.pixels[0, 0] < 20.0
    path.write_bytes(dji("H30T", raw))
    other = read_rjpeg(path)
    assert other is not None
    assert other.kind is PixelKind.RAW16
    assert "no temperatures" in other.note


def test_dji_formula_turns_round() -> None:
    truth = np.linspace(-20, 120, 30)
    for e in (0.745, 0.79):
        apparent4 = e * (truth + 273.15) ** 4 + (1 - e) * (25 + 273.15) ** 4
        raw = (np.round(apparent4**0.25 * 16).astype(np.uint16) << 2).reshape(1, -1)
        assert np.abs(dji_celsius(raw, e) - truth).max() < 0.06


def test_flir_formula_turns_round() -> None:
    camera = FlirCamera(
        0.95, 2.0, 293.0, 293.0, 293.0, 1.0, 0.5, 17096.453, 1428.0, 1.0, -342.0, 0.0457,
        0.006569, 0.01262, -0.002276, -0.00667, 1.9,
    )  # fmt: skip
    truth_k = np.array([[263.15, 293.15, 323.15, 353.15]])
    counts = camera.r1 / (camera.r2 * (np.exp(camera.b / truth_k) - camera.f)) - camera.o
    reflected = camera.r1 / (camera.r2 * (np.exp(camera.b / 293.0) - camera.f)) - camera.o
    # two metres of air take away less than a hundredth
    seen = (camera.emissivity * counts + (1 - camera.emissivity) * reflected).astype(np.uint16)
    assert np.abs(celsius(seen, camera) + 273.15 - truth_k).max() < 0.6
    with pytest.raises(ValueError, match="out of range"):
        celsius(seen, FlirCamera(*([0.0] * 17)))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.98])
def test_a_cut_off_jpeg_is_named(tmp_path: Path, share: float) -> None:
    whole = dji("M3T", np.full((512, 640), 20_000, np.uint16))
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(PictureError, match=r"cut\.jpg.*cut off") as caught:
        read_still(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_jpeg_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.jpg"
    path.write_bytes(b"GIF89a" + bytes(100))
    with pytest.raises(PictureError, match="not a JPEG"):
        read_jpeg(path)
    path.write_bytes(b"\xff\xd8\x00\x00\x00\x00\x00")
    with pytest.raises(PictureError, match="damaged"):
        read_jpeg(path)


KINDS = PICTURES | VIDEOS


def test_files_are_found_or_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2.jpg", "1.png", "notes.txt", "b/3.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in find_files([tmp_path], KINDS).files] == ["1.png", "2.jpg", "3.mp4"]
    for path in (tmp_path / "none", tmp_path / "notes.txt"):
        with pytest.raises(PictureError, match=path.name):
            find_files([path], KINDS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="no pictures"):
        find_files([tmp_path / "empty"], KINDS)


def test_linked_folders_are_looked_into_once(tmp_path: Path) -> None:
    card, here = tmp_path / "card", tmp_path / "here"
    (card / "deep").mkdir(parents=True)
    here.mkdir()
    for name in ("card/1.jpg", "card/deep/2.jpg", "here/3.jpg"):
        (tmp_path / name).write_bytes(b"")
    (here / "link").symlink_to(card)
    (here / "again").symlink_to(card)
    (card / "deep" / "round").symlink_to(here)
    assert sorted(p.name for p in find_files([here], KINDS).files) == ["1.jpg", "2.jpg", "3.jpg"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named_and_counted(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    cv2.imwrite(str(tmp_path / "1.png"), person_picture())
    closed.chmod(0)
    try:
        assert find_files([tmp_path], KINDS).unreadable == (f"{closed}: this folder cannot be read: Permission denied",)
        code, lines, said = invoke(str(tmp_path), "--json")
        with pytest.raises(PictureError, match="closed: this folder cannot be read"):
            find_files([closed], KINDS)
    finally:
        closed.chmod(0o700)
    assert code == 1
    assert [line["type"] for line in lines] == ["frame"]
    assert f"{closed}: this folder cannot be read" in said
    assert json.loads(next(line for line in said.splitlines() if line.startswith("{")))["unreadable_folders"] == 1


@pytest.mark.parametrize("read", [read_bytes, read_jpeg, read_still, lambda path: read_y16(path, None)])
def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # holes: it takes no room
    with pytest.raises(PictureError, match=r"huge\.jpg: larger than 400 MB"):
        read(path)


def headers_of_huge_pictures() -> dict[str, bytes]:
    """Of 30 000 x 30 000 pixels: some hundred bytes that ask for 2.7 GB."""
    side = 30_000
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, side) for tag in (0x100, 0x101))
    jpeg = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    frame = jpeg.index(b"\xff\xc0")
    return {
        "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5B", 13, b"IHDR", side, side, 8, 2, 0, 0, 0) + bytes(4),
        "bmp": b"BM" + bytes(16) + struct.pack("<ii", side, -side) + bytes(100),
        "tif": b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4),
        "jpg": jpeg[: frame + 5] + struct.pack(">HH", side, side) + jpeg[frame + 9 :],
    }


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "jpg"])
def test_a_picture_that_unfolds_to_more_than_memory_is_refused_by_its_header(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bomb.{suffix}"
    path.write_bytes(headers_of_huge_pictures()[suffix])
    with pytest.raises(PictureError, match=r"bomb\.\w+: 30000x30000 pixels are too many"):
        read_still(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "jpg"])
def test_headers_say_the_size_that_decoding_gives(tmp_path: Path, suffix: str) -> None:
    for size in ((48, 64), (333, 21)):
        data = cv2.imencode(f".{suffix}", np.full((*size, 3), 90, np.uint8))[1].tobytes()
        assert stated_size(data) == size[::-1]


@given(st.sampled_from([b"\x89PNG", b"BM", b"\xff\xd8", b"II*\0", b""]), st.binary(max_size=200))
def test_any_bytes_as_a_header_are_read_without_harm(start: bytes, rest: bytes) -> None:
    stated_size(start + rest)


def test_a_tiff_of_several_pictures_is_named_and_one_with_a_small_copy_is_one(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    page = np.random.default_rng(3).integers(0, 60_000, (40, 50), dtype=np.uint16)
    cv2.imwritemulti(str(path), [page, page, page])
    with pytest.raises(PictureError, match=r"stack\.tif: 3 pictures in one file"):
        read_still(path)
    cv2.imwrite(str(path), page)
    assert read_still(path).frame.pixels.shape == (40, 50)
    data = bytearray(path.read_bytes())
    assert count_pages(bytes(data)) == 1
    at = int.from_bytes(data[4:8], "little")
    last = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    for mark, pages in ((1, 1), (4, 1), (0, 2)):  # a reduced copy, a mask, a page
        second = bytes(data[:last]) + len(data).to_bytes(4, "little") + bytes(data[last + 4 :])
        entry = struct.pack("<HHHIIII", 1, 0x00FE, 4, 1, mark, 0, 0)
        assert count_pages(second + entry) == pages
    looped = bytes(data[:last]) + bytes(data[4:8]) + bytes(data[last + 4 :])
    assert count_pages(looped) == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_at_least_one_page(data: bytes) -> None:
    assert count_pages(data) >= 1
    assert count_pages(b"II*\0" + data) >= 1


def invoke(*arguments: str) -> tuple[int, list[dict], str]:
    result = CliRunner().invoke(app, list(arguments), standalone_mode=False)
    if isinstance(result.exception, BadInputError):
        return 2, [], str(result.exception)
    code = result.return_value if isinstance(result.return_value, int) else result.exit_code
    return code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_detect_writes_lines_and_pictures(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), person_picture())
    code, lines, said = invoke(str(picture), "--gsd-cm", "8", "--annotate", str(tmp_path / "out"))
    assert code == 0
    assert lines[0]["type"] == "frame"
    assert lines[0]["gsd_cm"] == 8.0
    assert lines[0]["gsd_from"] == "stated"
    boxes = [d["box_px"] for d in lines[0]["detections"]]
    assert any(b[0] < 320 < b[2] and b[1] < 250 < b[3] for b in boxes)
    assert (tmp_path / "out" / "p-detections.jpg").is_file()
    assert "1 frame(s)" in said
    code, lines, said = invoke(str(picture))
    assert code == 0
    assert lines[0]["gsd_cm"] is None
    assert "--gsd-cm" in said


def test_detect_names_and_counts_what_it_cannot_read(tmp_path: Path) -> None:
    level = np.full((512, 640), 20_000, np.uint16)
    level[::7] += 20  # a live sensor
    whole = dji("M3T", level)
    cut, good = tmp_path / "cut.jpg", tmp_path / "good.jpg"
    cut.write_bytes(whole[:200_000])
    code, lines, said = invoke(str(cut))
    assert code == 2
    assert lines[0]["type"] == "error"
    assert "cut.jpg" in said
    assert "1 file(s) unreadable" in said
    good.write_bytes(whole)
    code, lines, said = invoke(str(tmp_path), "--json")
    assert code == 1
    assert [line["type"] for line in lines] == ["error", "frame"]
    assert lines[1]["temperature_c"]["max"] == pytest.approx(lines[1]["temperature_c"]["min"], abs=3.0)
    assert json.loads(said.splitlines()[-2])["unreadable"] == 1


def test_detect_refuses_what_cannot_be(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), person_picture())
    assert invoke(str(picture), "--height-m", "60")[0] == 2
    assert invoke(str(picture), "--height-m", "60", "--hfov-deg", "45", "--gsd-cm", "8")[0] == 2
    assert invoke(str(tmp_path / "none.jpg"))[0] == 2
    rubbish = tmp_path / "m.onnx"
    rubbish.write_bytes(b"rubbish" * 100)
    code, _, message = invoke(str(picture), "--model", str(rubbish))
    assert code == 2
    assert "m.onnx" in message
    colour = tmp_path / "c.png"
    cv2.imwrite(str(colour), np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    code, lines, said = invoke(str(colour), "--model", str(DEFAULT_MODEL))
    assert code == 2
    assert "thermal" in lines[0]["not_looked_at"]
    assert "not looked at" in said


def test_a_video_gives_frames_and_tracks(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (640, 512))
    wide = np.pad(person_picture(), ((0, 0), (60, 60)), mode="reflect")
    for k in range(6):
        writer.write(np.repeat(np.ascontiguousarray(wide[:, 8 * k : 8 * k + 640])[..., None], 3, 2))
    writer.release()
    assert len(list(read_video(path, 2))) == 3
    code, lines, _ = invoke(str(path), "--height-m", "60", "--hfov-deg", "45.8")
    assert code == 0
    frames = [line for line in lines if line["type"] == "frame"]
    assert [f["sequence"] for f in frames] == list(range(6))
    assert frames[3]["time_s"] == pytest.approx(0.6, abs=0.05)
    assert frames[0]["gsd_cm"] == pytest.approx(7.9, abs=0.1)
    tracks = {line["track_id"] for line in lines if line["type"] == "track"}
    assert len(tracks) == 1
    path.write_bytes(b"RIFF" + bytes(50))
    assert invoke(str(path))[0] == 2


# model file, greatest rms in degrees Celsius against the vendor's own figures
DJI = {"M3T_DJI_0001_R.JPG": 0.05, "M30T_DJI_0001_R.JPG": 0.05, "H20N_DJI_0003_R.JPG": 0.05, "M2EA_DJI_0001_R.JPG": 0.1}


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(DJI))
def test_real_dji_temperatures_agree_with_the_vendors(data_dir: Path, name: str) -> None:
    reference = json.loads((data_dir / "rjpeg" / "temperatures.json").read_text(encoding="utf-8"))[name]
    picture = read_rjpeg(data_dir / "rjpeg" / name)
    assert picture is not None
    assert picture.kind is PixelKind.CELSIUS
    height, width = picture.pixels.shape
    mine = picture.pixels[np.ix_(np.arange(10) * height // 10, np.arange(10) * width // 10)]
    rms = float(np.sqrt(np.mean((mine - np.array(reference["T_at_10x10grid"])) ** 2)))
    assert rms < DJI[name] < 0.5
    assert float(np.median(picture.pixels)) == pytest.approx(reference["median"], abs=0.5)
    x, y = reference["argmax_xy"]
    assert picture.pixels[y, x] == pytest.approx(reference["max"], abs=0.5)


@pytest.mark.data
@pytest.mark.parametrize("name", ["H20T_DJI_0001_R.JPG", "M4T_DJI_0001_R.JPG", "XTS_DJI_0002_R.jpg"])
def test_other_dji_models_give_values_that_rise_with_temperature_and_say_so(data_dir: Path, name: str) -> None:
    reference = json.loads((data_dir / "rjpeg" / "temperatures.json").read_text(encoding="utf-8"))[name]
    picture = read_rjpeg(data_dir / "rjpeg" / name)
    assert picture is not None
    assert picture.kind is PixelKind.RAW16
    assert "no temperatures" in picture.note
    height, width = picture.pixels.shape
    mine = picture.pixels[np.ix_(np.arange(10) * height // 10, np.arange(10) * width // 10)].ravel()
    assert mine.tolist() == np.array(reference["raw_at_10x10grid"]).ravel().tolist()
    order = np.argsort(mine, kind="stable")
    temperatures = np.array(reference["T_at_10x10grid"]).ravel()[order]
    ranks = np.argsort(np.argsort(temperatures, kind="stable"))
    assert np.corrcoef(np.arange(100), ranks)[0, 1] > 0.99


@pytest.mark.data
@pytest.mark.parametrize("name", ["FLIR_AX8.jpg", "FLIR_E40.jpg"])
def test_real_flir_temperatures_agree_with_an_independent_reader(data_dir: Path, name: str) -> None:
    reference = json.loads((data_dir / "rjpeg" / "temperatures.json").read_text(encoding="utf-8"))[name]
    picture = read_rjpeg(data_dir / "rjpeg" / name)
    assert picture is not None
    assert picture.kind is PixelKind.CELSIUS
    assert list(picture.pixels.shape) == reference["shape"]
    for value, key in (
        (picture.pixels.min(), "min"),
        (np.median(picture.pixels), "median"),
        (picture.pixels.max(), "max"),
    ):
        assert float(value) == pytest.approx(reference[key], abs=0.05)
