# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from missions.model import Camera, Modality
from vision.frame import Frame, PixelKind
from vision.pipeline import ColourShelf, PoseBook
from vision.pose_types import BodyPose
from vision.sources.frame_socket import FrameSocket
from vision.wire import PREFIX, FrameHeader, WireError, decode_header, decode_prefix, encode

CAMERA = Camera("cam", Modality.THERMAL, 32, 24, 40.0, 40.0, 15.5, 11.5)
PATIENCE_S = 60.0
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def message(sequence: int, camera_id: str = "cam", **other: object) -> bytes:
    pixels = np.full((24, 32), float(sequence), np.float32)
    if other.get("kind") == "bgr8":
        pixels = np.zeros((24, 32, 3), np.uint8)
    header = FrameHeader(
        **{
            "camera_id": camera_id, "sequence": sequence, "exposure_s": float(sequence),
            "sent_monotonic_s": time.monotonic(), "kind": "celsius", "dtype": "float32", "shape": (24, 32),
            "payload_bytes": pixels.nbytes, **other,
        }  # type: ignore[arg-type]
    )  # fmt: skip
    return b"".join(encode(header, pixels))


@asynccontextmanager
async def camera(serve: Serve, stall_s: float = 30.0) -> AsyncIterator[FrameSocket]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    source = FrameSocket("127.0.0.1", server.sockets[0].getsockname()[1], CAMERA, "d1", stall_s)
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield source
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # the other side has no event to wait for
        await asyncio.sleep(0.01)


async def test_frames_come_in_order_and_each_is_answered() -> None:
    answers: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for k in range(5):
            writer.write(message(k))
            answers.append(json.loads(await reader.readline())["done"])
        await reader.read()

    async with camera(serve) as source:
        for k in range(5):
            received = await source.next()
            assert received.frame.sequence == k
            assert received.frame.pixels[3, 3] == k
            assert received.frame.vehicle_id == "d1"
            assert received.received_monotonic_s >= received.sent_monotonic_s
            source.done(received.frame)
        await until(lambda: len(answers) == 5)
        assert answers == [0, 1, 2, 3, 4]
        assert source.stats.dropped == 0


async def test_a_slow_reader_gets_the_newest_two_and_the_camera_hears_of_the_dropped() -> None:
    answers: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(message(k) for k in range(10)))
        while line := await reader.readline():
            answers.append(json.loads(line)["done"])

    async with camera(serve) as source:
        await until(lambda: source.stats.received == 10 and len(answers) == 8)
        assert answers == list(range(8))
        assert source.stats.dropped == 8
        assert [(await source.next()).frame.sequence for _ in range(2)] == [8, 9]


async def test_it_comes_back_after_a_lost_connection() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(message(connections))
        await reader.readline()

    async with camera(serve) as source:
        for k in (1, 2, 3):
            received = await source.next()
            assert received.frame.sequence == k
            source.done(received.frame)
        assert source.stats.connects >= 3


async def test_a_camera_that_stalls_is_dropped_and_asked_again() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            writer.write(message(7))
        else:
            writer.write(message(0)[:100])
        await reader.read()

    async with camera(serve, stall_s=0.3) as source:
        assert (await source.next()).frame.sequence == 7
        assert source.stats.stalls >= 1


async def test_a_camera_that_sends_nothing_is_told_of_in_words(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with camera(serve, stall_s=0.3) as source:
        await until(lambda: source.stats.last_error is not None)
        assert source.stats.last_error == "no whole frame within 0.3 s"
    assert any(record.message.endswith(": no whole frame within 0.3 s") for record in caplog.records)


GARBAGE = {
    "http": b"HTTP/1.1 200 OK\r\n\r\n" * 10,
    "long header": PREFIX.pack(b"DCF1", 2**31),
    "no json": PREFIX.pack(b"DCF1", 4) + b"ab\xff\xfe",
    "wrong camera": message(1, camera_id="other"),
    "wrong kind": message(1, kind="smell"),
    "kind against dtype": message(1, kind="grey8"),
    "no number of a frame": message(math.inf, exposure_s=1.0),
    "no time": message(1, exposure_s=math.nan),
    "sent at the end of time": message(1, sent_monotonic_s=math.inf),
    "a time of a thousand digits": message(1, exposure_s=10**1000),
    "a maze": PREFIX.pack(b"DCF1", 16_000) + b"[" * 16_000,
    "another size": message(1, shape=(12, 64)),
    "colour of a thermal camera": message(1, kind="bgr8", dtype="uint8", shape=(24, 32, 3)),
}


@pytest.mark.parametrize("name", sorted(GARBAGE))
async def test_nonsense_is_counted_and_the_next_connection_works(name: str) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(GARBAGE[name] if connections == 1 else message(3))
        await reader.read()

    async with camera(serve) as source:
        assert (await source.next()).frame.sequence == 3
        assert source.stats.bad == 1


@given(st.binary(max_size=200))
def test_any_bytes_as_a_header_are_refused_cleanly(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_header(data)
    if not data.startswith(b"DCF1") and len(data) >= PREFIX.size:
        with pytest.raises(WireError):
            decode_prefix(data[: PREFIX.size])


def body(time_s: float) -> BodyPose:
    return BodyPose(time_s, 29.7, 107.3, 300.0, 50.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


async def test_a_frame_waits_for_its_pose_and_not_for_ever() -> None:
    book = PoseBook()
    book.add([("d1", body(9.8))])
    waiting = asyncio.create_task(book.wait("d1", 10.0, PATIENCE_S))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    book.add([("d2", body(10.1))])
    await asyncio.sleep(0)
    assert not waiting.done()
    book.add([("d1", body(10.2))])
    found = await waiting
    assert found is not None
    assert found.vehicle_time_s == 10.0
    assert await book.wait("d1", 11.0, 0.05) is None
    assert await book.wait("nobody", 1.0, 0.05) is None


def test_colour_frames_are_kept_few_and_only_near_ones_are_given() -> None:
    shelf = ColourShelf()
    for k in range(20):
        shelf.put(Frame("rgb", "d1", k, float(k), np.zeros((4, 4, 3), np.uint8), PixelKind.BGR8))
    nearest = shelf.near("d1", 18.2)
    assert nearest is not None
    assert nearest.sequence == 18
    assert shelf.near("d1", 3.0) is None
    assert shelf.near("d2", 18.0) is None
    assert shelf.near(None, 18.0) is None
