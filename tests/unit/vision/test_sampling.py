# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fixed cameras that are visited for one picture: over HTTP and from files, with failures, and the change gate."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.model import Camera, Modality
from vision.change import ChangeGate, ChangeSettings
from vision.detector import Detection
from vision.eye import CameraEye
from vision.eye_types import UNCHANGED, EyeSettings, sampled
from vision.frame import Frame, PixelKind
from vision.pipeline import Feed, VisionPipeline
from vision.sighting import Kind, Phase, Sighting
from vision.sources.sample_child import first_jpeg
from vision.sources.sampling import SampledCamera, Sampler, VisitFailedError, pause_s

PATIENCE_S = 60.0
CAMERA = Camera("mast-1", Modality.THERMAL, 160, 120, 200.0, 200.0, 79.5, 59.5)


def scene(number: int = 0) -> np.ndarray:
    rng = np.random.default_rng(4)
    picture = cv2.resize(rng.integers(40, 160, (12, 16, 3), dtype=np.uint8), (160, 120))
    cv2.circle(picture, (20 + 10 * number, 60), 6, (255, 255, 255), -1)
    return picture


def jpeg(number: int = 0) -> bytes:
    return cv2.imencode(".jpg", scene(number), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class Site:
    """An HTTP server of pictures; counts how much of an endless stream it could send."""

    def __init__(self) -> None:
        self.visits: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.visits.append(path)
            if path in ("/still", "/still?user=me&pwd=top%20secret%C3%BC"):
                body = jpeg()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
            elif path == "/stream":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
                for number in range(1000):
                    writer.write(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(number % 5) + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            elif path == "/cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg()[:500])
            elif path == "/silent":
                await asyncio.sleep(PATIENCE_S)
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def site() -> AsyncIterator[tuple[Site, str]]:
    here = Site()
    server = await asyncio.start_server(here.answer, "127.0.0.1", 0)
    try:
        yield here, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@asynccontextmanager
async def sampler() -> AsyncIterator[Sampler]:
    visits = Sampler(lanes=4)
    task = asyncio.create_task(visits.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield visits
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert visits.process_id is None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def test_one_picture_is_taken_and_the_rest_is_left(tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(video), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 25, (160, 120))
    for number in range(30):
        writer.write(scene(number % 5))
    writer.release()
    async with site() as (here, url), sampler() as visits:
        addresses = [f"{url}/still", f"{url}/stream", str(video)]
        pictures = await asyncio.gather(*(visits.visit(a) for a in addresses))
        for picture, at_s in pictures:
            assert picture.shape == (120, 160, 3)
            assert np.abs(picture.astype(int) - scene().astype(int)).mean() < 6
            assert at_s > 0
        assert sorted(here.visits) == ["/still", "/stream"]


@pytest.mark.parametrize(
    ("path", "why"), [("/none", "404 Not Found"), ("/cut", "no whole picture"), ("/silent", "timed out")]
)
async def test_a_visit_that_fails_says_why(path: str, why: str) -> None:
    async with site() as (_, url), sampler() as visits:
        with pytest.raises(VisitFailedError, match=why):
            await visits.visit(f"{url}{path}", open_s=0.5 if path == "/silent" else PATIENCE_S)
        picture, _ = await visits.visit(f"{url}/still")  # and the next goes well
        assert picture.shape == (120, 160, 3)


async def test_a_password_with_a_space_is_sent_and_never_told() -> None:
    async with site() as (here, url), sampler() as visits:
        picture, _ = await visits.visit(f"{url}/still?user=me&pwd=top secret\u00fc")
        assert picture.shape == (120, 160, 3)
        assert here.visits == ["/still?user=me&pwd=top%20secret%C3%BC"]
        with pytest.raises(VisitFailedError) as caught:
            await visits.visit(f"{url}/none?pwd=top secret")
        assert "secret" not in str(caught.value)


async def test_a_process_that_dies_is_started_again_and_its_visits_fail() -> None:
    async with site() as (here, url), sampler() as visits:
        await visits.visit(f"{url}/still")
        hanging = asyncio.create_task(visits.visit(f"{url}/silent"))
        await until(lambda: "/silent" in here.visits)
        victim = visits.process_id
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(VisitFailedError, match="died"):
            await hanging
        await visits.visit(f"{url}/still")
        assert visits.process_id != victim
        assert visits.restarts == 1


async def test_a_camera_is_visited_once_a_period_and_not_while_its_picture_waits() -> None:
    async with site() as (here, url), sampler() as visits:
        camera = SampledCamera(f"{url}/still", CAMERA, 0.2, visits)
        task = asyncio.create_task(camera.run())
        first = await camera.next()
        assert first.frame.kind is PixelKind.GREY8
        assert first.frame.pixels.shape == (120, 160)
        assert camera.stats.connected
        await until(lambda: len(here.visits) == 2)
        await asyncio.sleep(1.0)  # the second picture waits: nothing more is fetched
        assert len(here.visits) == 2
        assert [(await camera.next()).frame.sequence for _ in range(2)] == [2, 3]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_camera_that_fails_is_named_and_visited_less_often() -> None:
    async with site() as (_, url), sampler() as visits:
        camera = SampledCamera(f"{url}/none", CAMERA, 0.05, visits)
        began = time.monotonic()
        task = asyncio.create_task(camera.run())
        await until(lambda: camera.stats.bad >= 5)
        assert time.monotonic() - began >= 0.05 + 0.1 + 0.2 + 0.4  # and not four of its periods
        assert camera.stats.last_error is not None
        assert "404" in camera.stats.last_error
        assert not camera.stats.connected
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Away(Sampler):
    """Every visit fails at once, so that years pass in no time."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left = failures

    async def visit(self, *_: object, **__: object) -> tuple[np.ndarray, float]:
        self.left -= 1
        raise VisitFailedError("it is away")


async def test_a_camera_that_is_away_for_months_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = Away(3000)
    camera = SampledCamera("http://127.0.0.1:9/none", CAMERA, 10.0, visits)
    sleep, waits = asyncio.sleep, []

    async def soon(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("vision.sources.sampling.asyncio.sleep", soon)
    task = asyncio.create_task(camera.run())
    while visits.left > 0 and not task.done():
        await sleep(0)
    assert not task.done(), task.exception()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert camera.stats.bad == 3000 - visits.left


@given(st.floats(0.01, 3600.0), st.integers(0, 10**7))
def test_pauses_grow_to_a_minute_or_the_period(period_s: float, failures: int) -> None:
    assert pause_s(period_s, 0) == pause_s(period_s, 1) == period_s
    assert period_s <= pause_s(period_s, failures) <= pause_s(period_s, failures + 1) <= max(period_s, 60.0)


def grey(number: int, rng: np.random.Generator, gain: float = 1.0) -> Frame:
    picture = scene(number)[..., 1].astype(np.float32) * gain + rng.normal(0, 2, (120, 160))
    return Frame("c", None, 0, 0.0, np.clip(picture, 0, 255).astype(np.uint8), PixelKind.GREY8)


def test_the_gate_opens_for_what_changed_and_now_and_then_for_nothing() -> None:
    rng = np.random.default_rng(9)
    gate = ChangeGate(ChangeSettings(full_every=6))
    opened = [gate.open(grey(0, rng)) for _ in range(13)]
    assert [k for k, is_open in enumerate(opened) if is_open] == [0, 6, 12]
    assert gate.open(grey(1, rng))  # something has moved
    assert not gate.open(grey(1, rng))
    assert not gate.open(grey(1, rng, gain=0.97))  # a cloud
    assert gate.open(grey(1, rng), needed=True)
    small = scene(1)[..., 1].astype(np.float32)
    small[100:104, 100:103] += 60  # 12 pixels
    assert gate.open(Frame("c", None, 0, 0.0, np.clip(small, 0, 255).astype(np.uint8), PixelKind.GREY8))


class Bright:
    """Finds the white disc, as surely as a network."""

    name = "bright"

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, frame: Frame, _gsd_m: float | None) -> list[Detection]:
        self.asked += 1
        y, x = np.nonzero(frame.pixels > 235)
        if not len(x):
            return []
        return [
            Detection(float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1), Kind.PERSON, 0.8, "b")
        ]


def test_somebody_new_is_confirmed_by_full_looks_and_then_left_alone() -> None:
    rng = np.random.default_rng(11)
    learned = Bright()
    eye = CameraEye(CAMERA, None, learned, None, None, None, "run", sampled(10.0, EyeSettings()))
    told: list[Sighting] = []
    reasons: list[str | None] = []
    for k in range(20):
        picture = grey(0, rng)
        if k < 4:
            picture.pixels[40:80, 0:40] = 90  # nobody yet
        outcome = eye.look(Frame("c", None, k, 10.0 * k, picture.pixels, PixelKind.GREY8))
        told += outcome.sightings
        reasons.append(outcome.why_not)
    assert reasons[:4] == [None, UNCHANGED, UNCHANGED, UNCHANGED]
    assert reasons[4:7] == [None, None, None]  # seen, and looked at until it is known
    assert told[0].phase is Phase.NEW
    assert told[0].last_exposure_s == 60.0
    assert reasons.count(UNCHANGED) >= 10
    assert learned.asked == 20 - reasons.count(UNCHANGED)
    assert {s.track_id for s in told} == {told[0].track_id}
    assert all(s.phase is not Phase.END for s in told)
    assert eye.not_looked_at[UNCHANGED] == reasons.count(UNCHANGED)


async def test_sampled_cameras_go_through_the_pipeline() -> None:
    async with site() as (_, url):
        feeds = [
            Feed(CAMERA, None, address=f"{url}/still", every_s=0.2),
            Feed(Camera("mast-2", Modality.THERMAL, 160, 120, 200.0, 200.0, 79.5, 59.5), None, address=f"{url}/none"),
        ]
        told: list[Sighting] = []
        pipeline = VisionPipeline(feeds, Bright(), None, None, None, "run", told.append)
        task = asyncio.create_task(pipeline.run())
        await until(lambda: bool(told))
        await until(lambda: pipeline.reports()[1].why_not not in (None, "not connected yet"))
        works, broken = pipeline.reports()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert works.looked_at >= 3
    assert works.attended_monotonic_s is not None
    assert broken.looked_at == 0
    assert broken.why_not is not None
    assert "404" in broken.why_not


async def test_pictures_of_another_size_than_the_site_says_are_fitted_or_named() -> None:
    """The lens is known in the stated pixels: in others every place would be wrong."""
    async with site() as (_, url), sampler() as visits:
        twice = SampledCamera(f"{url}/still", replace(CAMERA, width_px=320, height_px=240), 0.2, visits)
        other = SampledCamera(f"{url}/still", replace(CAMERA, height_px=100), 0.2, visits)
        tasks = [asyncio.create_task(camera.run()) for camera in (twice, other)]
        received = await twice.next()
        assert (received.frame.width_px, received.frame.height_px) == (320, 240)
        await until(lambda: other.stats.last_error is not None)
        assert other.stats.last_error == "its pictures are 160x120 pixels, and the site file says 160x100"
        assert other.stats.received == 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_picture_with_a_small_one_in_its_headers_is_taken_whole() -> None:
    plain = jpeg(1)
    small = cv2.imencode(".jpg", cv2.resize(scene(1), (32, 24)))[1].tobytes()
    held = b"Exif\0\0" + small
    whole = plain[:2] + b"\xff\xe1" + (len(held) + 2).to_bytes(2, "big") + held + plain[2:]
    for before, after in ((b"", b""), (b"--next\r\nContent-Type: image/jpeg\r\n\r\n", b"\r\n--next" + jpeg(2))):
        for cut in range(0, len(whole), 97):
            assert first_jpeg(before + whole[:cut]) is None
        assert first_jpeg(before + whole + after) == whole
    assert np.array_equal(
        cv2.imdecode(np.frombuffer(whole, np.uint8), 0), cv2.imdecode(np.frombuffer(plain, np.uint8), 0)
    )
    assert first_jpeg(b"\xff\xd8 no picture, and then one: " + plain) == plain


@given(st.binary(max_size=400))
def test_any_bytes_hold_a_picture_or_none(data: bytes) -> None:
    found = first_jpeg(b"\xff\xd8\xff" + data)
    assert found is None or (found.startswith(b"\xff\xd8") and found.endswith(b"\xff\xd9"))
