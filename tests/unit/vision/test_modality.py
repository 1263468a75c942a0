# SPDX-License-Identifier: AGPL-3.0-or-later
"""Thermal or colour: stated, else by the file, else by whether there is any colour; and in doubt nobody can be known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from dronectl.cli.main import app
from dronectl.errors import BadInputError
from missions.model import Modality
from vision.colours import IN_VIDEOS
from vision.errors import PictureError
from vision.evidence import annotate, crop
from vision.frame import Frame, ModalityFrom, PixelKind
from vision.sighting import Kind
from vision.sources.modality import classify
from vision.sources.stills import StillOptions, read_still, read_video
from vision.unite import Observation

HERE = Path("p.jpg")


def relief(seed: int, size: tuple[int, int] = (300, 400)) -> np.ndarray:
    slow = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, size).astype(np.float32), (0, 0), 6)
    return 190 + slow / slow.std() * 14


def snow(seed: int, tint: float) -> np.ndarray:
    """Fresh snow under cloud by an ordinary camera: hardly any tint, and a sensor's noise in each channel."""
    noise = np.random.default_rng(seed).normal(0, 2.0, (300, 400, 3))
    return (relief(seed)[..., None] + np.array([tint, 0.0, -tint]) / 2 + noise).clip(0, 255).astype(np.uint8)


def grey(seed: int) -> np.ndarray:
    return np.repeat(relief(seed).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize("tint", [0.0, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("quality", [90, 95])
def test_snow_under_cloud_is_a_colour_picture(tint: float, quality: int) -> None:
    assert classify(HERE, jpeg(snow(3, tint), quality))[1:3] == (PixelKind.BGR8, ModalityFrom.LOOK)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_what_has_no_colour_at_all_is_grey_also_with_coloured_signs_in_it(quality: int) -> None:
    picture = grey(4)
    cv2.putText(picture, "31 C", (300, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 255, 0), 1)
    assert classify(HERE, jpeg(picture, quality))[1:3] == (PixelKind.GREY8, ModalityFrom.LOOK)


def test_kinds_of_pictures() -> None:
    one = np.random.default_rng(1).integers(0, 255, (40, 60), dtype=np.uint8)
    assert classify(HERE, one)[1] is PixelKind.GREY8
    assert classify(HERE, np.repeat(one[..., None], 3, 2))[1] is PixelKind.GREY8
    colour = np.random.default_rng(1).integers(0, 255, (40, 60, 4), dtype=np.uint8)
    assert classify(HERE, colour)[1] is PixelKind.BGR8
    for stated in (None, Modality.RGB):  # they measure heat, whatever is said of other pictures
        assert classify(HERE, one.astype(np.uint16), stated)[1:3] == (PixelKind.RAW16, ModalityFrom.VALUES)
        assert classify(HERE, one.astype(np.float32), stated)[1:3] == (PixelKind.CELSIUS, ModalityFrom.VALUES)
    for wrong in (one.astype(np.float64), colour.astype(np.uint16), colour[..., :2]):
        with pytest.raises(PictureError, match="not understood"):
            classify(HERE, wrong)


def test_what_is_stated_goes_before_what_the_file_says_and_that_before_the_look() -> None:
    heat = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None], 40, axis=0)
    false_colours = cv2.applyColorMap(heat, cv2.COLORMAP_HOT)
    pixels, kind, by, _ = classify(HERE, false_colours, Modality.THERMAL, Modality.RGB)
    assert (kind, by) == (PixelKind.GREY8, ModalityFrom.STATED)
    assert (np.diff(pixels[0].astype(int)) >= 0).all()
    pixels, kind, by, _ = classify(HERE, heat, None, Modality.RGB)
    assert (kind, by, pixels.shape) == (PixelKind.BGR8, ModalityFrom.FILE, (40, 64, 3))


@pytest.mark.parametrize(("source", "kind"), [("WideCamera", PixelKind.BGR8), ("InfraredCamera", PixelKind.GREY8)])
def test_a_drone_says_which_of_its_cameras_it_was(tmp_path: Path, source: str, kind: PixelKind) -> None:
    packet = f'http://ns.adobe.com/xap/1.0/\0<x drone-dji:ImageSource="{source}"/>'.encode()
    data = cv2.imencode(".jpg", grey(5))[1].tobytes()
    path = tmp_path / "p.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet + data[2:])
    frame = read_still(path).frame
    assert (frame.kind, frame.modality_from) == (kind, ModalityFrom.FILE)
    assert read_still(path, StillOptions(modality=Modality.THERMAL)).frame.kind is PixelKind.GREY8


@pytest.mark.parametrize("code", ["mp4v", "MJPG"])
def test_a_grey_video_is_grey_through_a_codec_and_colour_if_so_stated(tmp_path: Path, code: str) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 5, (400, 300))
    for _ in range(3):
        writer.write(grey(6))
    writer.release()
    assert {f.kind for f in read_video(path)} == {PixelKind.GREY8}
    assert {f.kind for f in read_video(path, 1, Modality.RGB)} == {PixelKind.BGR8}
    assert classify(path, grey(6), tolerance=IN_VIDEOS)[1] is PixelKind.GREY8


@pytest.mark.parametrize("by", [ModalityFrom.LOOK, ModalityFrom.STATED])
def test_whoever_may_be_known_in_a_grey_picture_is_blurred(by: ModalityFrom) -> None:
    pixels = np.random.default_rng(7).integers(0, 255, (300, 400), dtype=np.uint8)
    frame = Frame("p", None, 0, 0.0, pixels, PixelKind.GREY8, modality_from=by)
    person = Observation(150, 100, 200, 200, learned_kind=Kind.PERSON, learned_score=0.8)
    for picture in (
        annotate(frame, [(person, Kind.PERSON, "")])[110:190, 160:190],
        crop(frame, person, Kind.PERSON)[130:190, 130:190],
    ):
        blurred = bool(picture.astype(float).std() < 0.5 * pixels.std())
        assert blurred is (by is ModalityFrom.LOOK)


def detect(*arguments: str) -> tuple[list[dict], str]:
    result = CliRunner().invoke(app, ["detect", *arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_detect_says_what_it_took_pictures_for_and_takes_what_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "night.png"
    cv2.imwrite(str(path), grey(8))
    lines, said = detect(str(path), "--annotate", str(tmp_path / "out"))
    assert (lines[0]["modality"], lines[0]["modality_from"]) == ("thermal", "look")
    assert "--modality rgb" in said
    lines, said = detect(str(path), "--modality", "rgb")
    assert (lines[0]["modality"], lines[0]["modality_from"], lines[0]["pixels"]) == ("rgb", "stated", "bgr8")
    assert "--modality rgb" not in said
    with pytest.raises(BadInputError, match="none of auto, thermal, rgb"):
        detect(str(path), "--modality", "infrared")
