# SPDX-License-Identifier: AGPL-3.0-or-later
"""A covered lens, a dead and a frozen camera: their pictures are no looks, and the time is a gap with its reason."""

from __future__ import annotations

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.terrain import FlatTerrain
from tests.vision_scene import CAMERA, GROUND_AMSL_M, ORIGIN, CameraServer, Flight
from vision.blindness import FROZEN, UNIFORM, Blindness, is_uniform
from vision.examine import Examiner
from vision.eye import CameraEye
from vision.frame import Frame, PixelKind
from vision.gaps import TOLERANCE_S, CoverageBook
from vision.geolocate import Locator
from vision.lookers import Lookers
from vision.model_card import DEFAULT_MODEL
from vision.pipeline import Feed, VisionPipeline
from vision.pose import camera_pose
from vision.thermal import HotSpotDetector
from vision.yolo import load_yolo

KINDS = {PixelKind.CELSIUS: np.float32, PixelKind.RAW16: np.uint16, PixelKind.GREY8: np.uint8, PixelKind.BGR8: np.uint8}


def frame(pixels: np.ndarray, kind: PixelKind, number: int = 0, every_s: float = 1.0) -> Frame:
    return Frame("c", None, number, number * every_s, pixels, kind)


def made(kind: PixelKind, seed: int, level: float, noise: float) -> np.ndarray:
    shape = (96, 128, 3) if kind is PixelKind.BGR8 else (96, 128)
    values = level + np.random.default_rng(seed).normal(0.0, noise, shape) if noise else np.full(shape, level)
    return values.clip(0, 65535 if kind is PixelKind.RAW16 else 255).astype(KINDS[kind])


@pytest.mark.parametrize("kind", list(PixelKind))
@pytest.mark.parametrize("level", [0.0, 20.0, 255.0])
def test_a_picture_of_one_value_shows_nothing(kind: PixelKind, level: float) -> None:
    assert is_uniform(frame(made(kind, 0, level, 0.0), kind))


@given(st.sampled_from([PixelKind.CELSIUS, PixelKind.RAW16, PixelKind.GREY8]), st.integers(0, 99), st.floats(0.6, 30))
def test_a_level_scene_in_a_thermal_camera_is_a_scene(kind: PixelKind, seed: int, noise: float) -> None:
    level = 20.0 if kind is PixelKind.CELSIUS else 128.0
    assert not is_uniform(frame(made(kind, seed, level, noise), kind))
    one = made(kind, seed, level, 0.0)
    one[41, 77] += 4  # somebody far off, and the sensor without any noise
    assert not is_uniform(frame(one, kind))


def test_a_covered_lens_has_noise_and_shows_nothing_and_a_night_shows_something() -> None:
    assert is_uniform(frame(made(PixelKind.BGR8, 1, 2.0, 3.0), PixelKind.BGR8))
    cover = cv2.resize(made(PixelKind.BGR8, 2, 12.0, 4.0), (1280, 960), interpolation=cv2.INTER_NEAREST)
    noise = np.random.default_rng(3).normal(0, 4.0, cover.shape)
    assert is_uniform(frame((np.full(cover.shape, 12.0) + noise).clip(0, 255).astype(np.uint8), PixelKind.BGR8))
    night = made(PixelKind.BGR8, 4, 6.0, 3.0)
    night[40:50, 60:70] = 90  # a lamp
    assert not is_uniform(frame(night, PixelKind.BGR8))


@given(st.integers(0, 12), st.integers(2, 12), st.floats(0.05, 12.0))
def test_only_what_repeats_itself_for_long_is_frozen(live: int, repeats: int, every_s: float) -> None:
    blindness = Blindness()
    pictures = [made(PixelKind.GREY8, k, 100.0, 5.0) for k in range(live + 1)]
    pictures += [pictures[-1].copy() for _ in range(repeats)] + [made(PixelKind.GREY8, 99, 100.0, 5.0)]
    said = [blindness.why(frame(p, PixelKind.GREY8, k, every_s)) for k, p in enumerate(pictures)]
    expected = [k >= 2 and round((live + k) * every_s - live * every_s, 9) >= 5.0 for k in range(repeats + 1)]
    assert said[:live] == [None] * live
    close = [abs(k * every_s - 5.0) < 1e-6 for k in range(repeats + 1)]
    assert all(c or (s is FROZEN) is e for s, e, c in zip(said[live:-1], expected, close, strict=True))
    assert said[-1] is None


def test_the_eye_says_why_and_looks_again_when_there_is_something() -> None:
    eye = CameraEye(CAMERA, None, None, HotSpotDetector(), None, None, "run")
    flight = Flight([], start_north_m=0.0, speed_m_s=0.0)
    still = flight.render(0.0)
    shown = [still] * 8 + [flight.render(9.0), np.full_like(still, 21.0), flight.render(11.0)]
    said = [eye.look(frame(p, PixelKind.CELSIUS, k)).why_not for k, p in enumerate(shown)]
    assert said == [None] * 5 + [FROZEN] * 3 + [None, UNIFORM, None]
    assert eye.looked_at == 7
    assert eye.not_looked_at == {FROZEN: 3, UNIFORM: 1}


class Frozen(Flight):
    """A camera whose picture stands still from its fourth second on, while its clock goes on."""

    def render(self, time_s: float) -> np.ndarray:
        if time_s < 3.0:
            self.kept = super().render(time_s)
        return self.kept


async def test_the_time_of_a_frozen_camera_is_a_gap_that_says_so() -> None:
    flight = Frozen([], start_north_m=0.0, speed_m_s=0.0)
    async with CameraServer(flight, count=14) as server:
        feed = Feed(CAMERA, None, "127.0.0.1", server.port, fixed_pose=camera_pose(CAMERA, flight.telemetry(0.0)))
        locator = Locator(FlatTerrain(GROUND_AMSL_M), ORIGIN)
        pipeline = VisionPipeline([feed], None, HotSpotDetector(), locator, None, "run", lambda _s: None)
        task = asyncio.create_task(pipeline.run())
        async with asyncio.timeout(60.0):
            await server.finished.wait()
        (report,) = pipeline.reports()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert report.received == 14
    assert report.looked_at == 7  # of the second frozen five seconds ago and more, none
    assert report.not_looked_at == {FROZEN: 7}
    assert report.attended_monotonic_s is not None
    book = CoverageBook({CAMERA.camera_id: TOLERANCE_S}, report.attended_monotonic_s - 1.0)
    book.report([report], report.attended_monotonic_s + 2 * TOLERANCE_S)
    (gap,) = book.blind()
    assert (gap.from_monotonic_s, gap.reason) == (report.attended_monotonic_s, FROZEN)


def test_a_still_that_shows_nothing_was_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "cap.png"
    cv2.imwrite(str(path), np.full((480, 640), 40, np.uint8))
    said: list[str] = []
    examiner = Examiner(Lookers(load_yolo(DEFAULT_MODEL)), HotSpotDetector(), tell=said.append)
    (line,) = list(examiner.file(path))
    assert line["not_looked_at"] == UNIFORM
    assert line["detections"] == []
    assert examiner.tally.not_looked_at == 1
    assert any(UNIFORM in text for text in said)
