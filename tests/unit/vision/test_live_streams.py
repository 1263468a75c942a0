# SPDX-License-Identifier: AGPL-3.0-or-later
"""Live streams, against an MJPEG server of our own on loopback: stalls, ends, refusals, drops."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

import pytest

from tests.mjpeg_server import mjpeg, steady
from vision.errors import PictureError
from vision.sources.streams import (
    LiveStream,
    StreamLostError,
    StreamSettings,
    StreamUnavailableError,
    parse_address,
)

_LET_BE_S = 30.0  # what a busy machine may need besides; far below what the silent ones last


def stream(address: str, told: list[str] | None = None, **settings: float) -> LiveStream:
    parsed = parse_address(address)
    assert parsed is not None
    return LiveStream(parsed, StreamSettings(**settings), (told if told is not None else []).append)


def test_a_slow_reader_gets_late_frames_dropped_and_counted() -> None:
    with mjpeg(steady) as address:
        source = stream(address, open_s=60, stall_s=60)
        times = []
        for frame in source.frames():
            times.append(frame.exposure_s)
            assert (frame.width_px, frame.height_px) == (320, 256)
            if len(times) == 6:
                break
            if len(times) >= 2 and source.stats.dropped == 0:
                time.sleep(0.5)  # a detector that takes its time
        assert times == sorted(times)
        assert times[0] == 0.0
        assert source.stats.dropped > 0
        assert source.stats.delivered == 6
        # two wait at most: whoever comes late gets what is new
        assert source.stats.received - source.stats.dropped - source.stats.delivered <= 2
        assert source.take_gaps() == []


def test_a_stall_is_noticed_and_the_stream_opened_again() -> None:
    def stalls(number: int, send: Callable[[], None], over: threading.Event) -> None:
        if number == 0:
            for _ in range(25):
                send()
            over.wait(60)
        else:
            steady(number, send, over)

    told: list[str] = []
    with mjpeg(stalls) as address:
        source = stream(address, told, open_s=60, stall_s=1.0, give_up_s=60)
        first = 0
        for _ in source.frames():
            if source.stats.reconnects:
                break
            first += 1
        assert first > 0
        assert source.stats.stalls == 1
        gaps = source.take_gaps()
        assert len(gaps) == 1
        assert gaps[0].reason == "it has stalled"
        assert gaps[0].to_s - gaps[0].from_s >= 1.0
        assert source.take_gaps() == []
        assert len(told) == 1
        assert "stalled" in told[0]
        assert "secret" not in told[0]


def test_a_stream_that_ends_for_good_is_given_up_with_its_gap() -> None:
    def once(number: int, send: Callable[[], None], _over: threading.Event) -> None:
        for _ in range(20 if number == 0 else 0):
            send()

    with mjpeg(once) as address:
        source = stream(address, open_s=60, give_up_s=1.5)
        with pytest.raises(StreamLostError, match=r"^http://127.0.0.1:\d+/cam.mjpg: lost for 1.5 s") as caught:
            deque(source.frames(), maxlen=0)
        assert source.stats.delivered > 0
        assert "secret" not in str(caught.value)
        assert len(source.take_gaps()) == 1


@pytest.mark.parametrize("ended_by", ["time", "signal"])
def test_what_is_missed_at_the_end_is_a_gap_too(ended_by: str) -> None:
    def once(number: int, send: Callable[[], None], over: threading.Event) -> None:
        for _ in range(20 if number == 0 else 0):
            send()

    def tell(_text: str) -> None:  # comes while the stream is opened again
        if ended_by == "signal":
            raise KeyboardInterrupt

    for run_s in (4.0, 16.0, 50.0):  # until the reader's process comes up before it ends
        with mjpeg(once) as address:
            parsed = parse_address(address)
            assert parsed is not None
            source = LiveStream(parsed, StreamSettings(open_s=60, give_up_s=60, run_s=run_s), tell)
            with contextlib.suppress(KeyboardInterrupt):
                deque(source.frames(), maxlen=0)
            if source.stats.delivered:
                break
    (gap,) = source.take_gaps()
    assert gap.to_s >= gap.from_s > 0.0
    assert gap.reason


@pytest.mark.parametrize("kind", ["silent", "empty"])
def test_a_stream_that_never_opens_is_one_line_in_time(kind: str) -> None:
    def never(_number: int, _send: Callable[[], None], over: threading.Event) -> None:
        if kind == "silent":
            over.wait(60)

    with mjpeg(never) as address:
        began = time.monotonic()
        with pytest.raises(StreamUnavailableError, match="no picture within 2 s") as caught:
            next(stream(address, open_s=2.0).frames())
        assert time.monotonic() - began < 2.0 + _LET_BE_S  # the reader's own process has to be ended, too
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


def test_it_ends_by_itself_when_it_shall() -> None:
    with mjpeg(steady) as address:
        source = stream(address, open_s=60, run_s=4.0)
        began = time.monotonic()
        for _ in source.frames():
            pass
        assert time.monotonic() - began < 4.0 + _LET_BE_S


def test_addresses() -> None:
    labels = {
        "rtsp://u:p@cam.example:554/h264?key=1": "rtsp://cam.example:554/h264",
        "http://[::1]:80/x": "http://[::1]:80/x",
        "usb:2": "camera 2",
        "/dev/video1": "camera 1",
        "0": "camera 0",
    }
    for text, label in labels.items():
        parsed = parse_address(text)
        assert parsed is not None
        assert parsed.label == label
    assert parse_address("folder/a.jpg") is None
    assert parse_address("1234") is None
    for text in ("gopher://host/x", "rtsp://", "rtsp://host:port/x", "http://[::1/x"):
        with pytest.raises(PictureError):
            parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://10.0.0.9:554/user=admin&password=secret&channel=1&stream=0.sdp",
        "rtsp://10.0.0.9:554/user=admin_password=secret_channel=1_stream=0.sdp?real_stream",
        "rtsp://10.0.0.9/h264/pass_secret/main",
        "http://10.0.0.9/cgi/token=secret/video.mjpg",
    ],
)
def test_a_password_in_the_path_is_not_shown_either(text: str) -> None:
    parsed = parse_address(text)
    assert parsed is not None
    assert parsed.address == text
    assert parsed.label.startswith(text[: text.index("10.0.0.9")])
    assert "secret" not in parsed.label
    assert "admin" not in parsed.label


@pytest.mark.parametrize("password", ["sec/ret", "1234/ret", "sec#ret", "sec?ret", "99?ret", "77#ret"])
def test_a_password_that_breaks_the_address_is_not_quoted(password: str) -> None:
    with pytest.raises(PictureError, match="%2F") as caught:
        parse_address(f"rtsp://admin:{password}@10.0.0.9:554/live")
    assert not any(part in str(caught.value) for part in ("sec", "ret", "1234", "99", "77", "admin"))


def test_a_file_named_like_a_camera_is_a_file(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").mkdir()
    assert parse_address("0") is None
    assert parse_address("usb:0") is not None
