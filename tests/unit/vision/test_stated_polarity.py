# SPDX-License-Identifier: AGPL-3.0-or-later
"""Black-hot by statement: `dronectl detect --polarity` and a camera of the site file, down to pictures of evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from dronectl.cli.main import app
from dronectl.errors import BadInputError
from missions.model import Camera, Modality, Polarity
from tests.mjpeg_server import leisurely, mjpeg
from tests.vision_cold import plain
from vision.evidence import EvidenceStore
from vision.eye import CameraEye
from vision.frame import Frame, PixelKind
from vision.model_card import DEFAULT_MODEL
from vision.sighting import Kind, Sighting
from vision.thermal import HotSpotDetector
from vision.yolo import load_yolo

PEOPLE = ["--gsd-cm", "9"]  # plain's are bodies of some 20 pixels
Line = dict


def detect(*arguments: str) -> tuple[list[Line], str]:
    result = CliRunner().invoke(app, ["detect", *arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def negative(grey: np.ndarray) -> np.ndarray:
    return np.asarray(255 - grey)


def between_bars(grey: np.ndarray, bars_px: int) -> np.ndarray:
    """As a recorder fills a screen: they are black whatever the palette."""
    return np.asarray(cv2.copyMakeBorder(grey, 0, 0, bars_px, bars_px, cv2.BORDER_CONSTANT))


def write(path: Path, grey: np.ndarray) -> str:
    cv2.imwrite(str(path), grey)
    return str(path)


def write_video(path: Path, frames: list[np.ndarray]) -> str:
    """Without loss: what comes out is what went in, in three equal channels."""
    size = (frames[0].shape[1], frames[0].shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"HFYU"), 5.0, size)
    for grey in frames:
        writer.write(np.repeat(grey[..., None], 3, axis=2))
    writer.release()
    return str(path)


def noisy(seed: int, count: int) -> list[np.ndarray]:
    """A hovering camera's frames."""
    rng, grey = np.random.default_rng(seed), plain(seed).astype(np.float64)
    return [np.clip(grey + rng.normal(0, 2, grey.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def without(lines: list[Line], *keys: str) -> list[Line]:
    return [{k: v for k, v in line.items() if k not in keys} for line in lines]


def people(lines: list[Line]) -> int:
    return sum(d["kind"] == "person" for line in lines for d in line.get("detections", ()))


@pytest.mark.parametrize("seed", [1, 4])
@pytest.mark.parametrize("bars_px", [0, 60])
def test_a_still_stated_black_hot_is_seen_as_its_negative_is(tmp_path: Path, seed: int, bars_px: int) -> None:
    grey, other = plain(seed), negative(plain(seed))
    if bars_px:
        grey, other = between_bars(grey, bars_px), between_bars(other, bars_px)
    white, _ = detect(write(tmp_path / "white.png", grey), "--polarity", "white", *PEOPLE)
    black, said = detect(write(tmp_path / "black.png", other), "--polarity", "black", *PEOPLE)
    assert people(white) == 2
    assert without(black, "source", "polarity") == without(white, "source", "polarity")
    assert (white[0]["polarity"], white[0]["polarity_from"]) == ("white", "stated")
    assert (black[0]["polarity"], black[0]["polarity_from"]) == ("black", "stated")
    assert "1 frame(s) taken for black-hot, and turned over" in said


def test_stated_white_a_black_hot_still_is_never_turned_over(tmp_path: Path) -> None:
    path = write(tmp_path / "p.png", negative(plain(1)))
    auto, said = detect(path, *PEOPLE)
    assert (people(auto), auto[0]["polarity"], auto[0]["polarity_from"]) == (2, "black", "people")
    assert "1 frame(s) taken for black-hot" in said
    white, said = detect(path, "--polarity", "white", *PEOPLE)
    assert (people(white), white[0]["polarity"], white[0]["polarity_from"]) == (0, "white", "stated")
    assert "black-hot" not in said
    plainly, _ = detect(write(tmp_path / "w.png", plain(1)), *PEOPLE)
    assert (plainly[0]["polarity"], plainly[0]["polarity_from"]) == ("white", "assumed")


@pytest.mark.parametrize("bars_px", [0, 12])
def test_a_video_stated_black_hot_is_seen_and_tracked_as_its_negative_is(tmp_path: Path, bars_px: int) -> None:
    frames = noisy(1, 7)
    white, _ = detect(write_video(tmp_path / "v.avi", [between_bars(f, bars_px) for f in frames]), *PEOPLE)
    (tmp_path / "black").mkdir()
    path = write_video(tmp_path / "black" / "v.avi", [between_bars(negative(f), bars_px) for f in frames])
    black, said = detect(path, "--polarity", "black", *PEOPLE)
    told = {line["track_id"] for line in white if line["type"] == "track" and line["kind"] == "person"}
    assert (people(white) >= 10, len(told)) == (True, 2)
    taken = ("source", "polarity", "polarity_from")
    assert without(black, *taken) == without(white, *taken)
    assert {(line["polarity"], line["polarity_from"]) for line in white} == {("white", "assumed")}
    assert {(line["polarity"], line["polarity_from"]) for line in black} == {("black", "stated")}
    assert "7 frame(s) taken for black-hot" in said
    lost, _ = detect(path, *PEOPLE)  # nobody else turns videos over
    assert people(lost) == 0


def test_a_stream_stated_black_hot_is_turned_over(tmp_path: Path) -> None:
    pictures = [cv2.imencode(".jpg", negative(f), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for f in noisy(1, 9)]
    with mjpeg(leisurely, pictures) as address:
        lines, said = detect(address, "--polarity", "black", "--seconds", "5", "--open-timeout-s", "60", *PEOPLE)
    frames = [line for line in lines if line["type"] == "frame"]
    assert frames
    assert {(line["polarity"], line["polarity_from"]) for line in frames} == {("black", "stated")}
    assert people(frames) >= len(frames)
    assert f"{len(frames)} frame(s) taken for black-hot, and turned over" in said


@pytest.mark.parametrize("media", ["still", "video"])
@pytest.mark.parametrize("stated", ["thermal", "auto"])
def test_pictures_that_are_written_show_what_the_file_has(tmp_path: Path, media: str, stated: str) -> None:
    frames = [negative(f) for f in noisy(1, 7)]
    path = write(tmp_path / "p.png", frames[0]) if media == "still" else write_video(tmp_path / "p.avi", frames)
    drawn, review = tmp_path / "drawn", tmp_path / "r.html"
    arguments = [path, "--polarity", "black", "--modality", stated, "--annotate", str(drawn), "--review", str(review)]
    lines, _ = detect(*arguments, *PEOPLE)
    assert people(lines) >= 2
    whole = [*drawn.iterdir(), *(tmp_path / "r-pictures").glob("*context.jpg")]
    assert len(whole) >= 2
    for picture in whole:
        seen = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE).astype(float)
        assert np.corrcoef(seen.ravel(), frames[0].ravel())[0, 1] > 0.9
    crops = list((tmp_path / "r-pictures").glob("*crop.jpg"))
    assert crops
    for picture in crops:
        middle = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
        assert stated == "auto" or middle[150:170, 150:170].mean() < middle.mean() - 20  # who is warm is black in it


def test_it_is_of_grey_levels_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    false_colours = cv2.applyColorMap(plain(1), cv2.COLORMAP_HOT)
    write(tmp_path / "in" / "a.png", false_colours)
    write(tmp_path / "in" / "b.png", false_colours)
    cv2.imwrite(str(tmp_path / "in" / "c.tif"), plain(1).astype(np.uint16) * 40 + 7000)
    arguments = [str(tmp_path / "in"), "--modality", "thermal", *PEOPLE]
    white, _ = detect(*arguments)
    lines, said = detect(*arguments, "--polarity", "black")
    assert people(lines) >= 4
    assert lines == white
    assert [line.get("polarity_from") for line in lines] == ["assumed", "assumed", None]
    assert said.count("in false colours, and not turned over") == 1
    assert "--polarity black: applied to nothing" in said
    assert "turned over\n" not in said.replace("applied to nothing", "")


def test_the_summary_counts_what_was_taken_for_black_hot(tmp_path: Path) -> None:
    path = write(tmp_path / "p.png", negative(plain(1)))
    _, said = detect(path, "--polarity", "black", "--json")
    assert next(json.loads(line) for line in said.splitlines() if line.startswith("{"))["black_hot"] == 1


def test_a_run_goes_on_only_with_the_polarity_it_was_begun_with(tmp_path: Path) -> None:
    path, out = write(tmp_path / "p.png", negative(plain(1))), str(tmp_path / "o.jsonl")
    detect(path, "--out", out)
    begun = (tmp_path / "o.jsonl.journal").read_text(encoding="utf-8")
    assert "polarity" not in begun  # as runs begun before there was this option: they go on
    for stated in Polarity:
        with pytest.raises(BadInputError, match="was begun with another polarity; use the same to go on"):
            detect(path, "--out", out, "--polarity", stated.value)
    detect(path, "--out", out, "--polarity", "black", "--fresh")
    _, said = detect(path, "--out", out, "--polarity", "black")
    assert "1 file(s) are done already" in said
    assert "1 frame(s) taken for black-hot" in said
    with pytest.raises(BadInputError, match="was begun with another polarity"):
        detect(path, "--out", out)


def test_what_makes_no_sense_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "p.png", plain(1))
    with pytest.raises(BadInputError, match="--polarity hot: is none of auto, white, black"):
        detect(path, "--polarity", "hot")
    for stated in Polarity:
        with pytest.raises(BadInputError, match="is of thermal pictures, and --modality rgb"):
            detect(path, "--polarity", stated.value, "--modality", "rgb")


def camera_sees(polarity: Polarity, pixels: list[np.ndarray], kind: PixelKind, folder: Path) -> list[Sighting]:
    camera = Camera("mast-1", Modality.THERMAL, 640, 512, 758.0, 758.0, 319.5, 255.5, polarity=polarity)
    eye = CameraEye(
        camera, None, load_yolo(DEFAULT_MODEL), HotSpotDetector(), None, EvidenceStore(folder), "run", gsd_m=0.09
    )
    frames = [Frame("mast-1", None, k, float(k), p, kind, camera) for k, p in enumerate(pixels)]
    return [sighting for frame in frames for sighting in eye.look(frame).sightings]


def test_a_black_hot_camera_of_a_site_is_seen_as_its_negative_is(tmp_path: Path) -> None:
    frames = noisy(1, 6)
    white = camera_sees(Polarity.WHITE, frames, PixelKind.GREY8, tmp_path / "white")
    black = camera_sees(Polarity.BLACK, [negative(f) for f in frames], PixelKind.GREY8, tmp_path / "black")
    assert len({s.track_id for s in white if s.kind is Kind.PERSON}) == 2
    assert [replace(s, evidence=()) for s in black] == [replace(s, evidence=()) for s in white]
    contexts = [e.path for s in black for e in s.evidence if e.role == "context"]
    assert contexts
    for name in contexts:
        seen = cv2.imread(str(tmp_path / "black" / name), cv2.IMREAD_GRAYSCALE).astype(float)
        assert np.corrcoef(seen.ravel(), frames[0].ravel())[0, 1] < -0.9  # as the camera shows it
    degrees = [(f * 0.1 + 5).astype(np.float32) for f in frames]
    one, other = (
        camera_sees(p, degrees, PixelKind.CELSIUS, tmp_path / f"degrees-{p}") for p in (Polarity.WHITE, Polarity.BLACK)
    )
    assert one
    assert one == other
