# SPDX-License-Identifier: AGPL-3.0-or-later
"""Live streams, against an MJPEG server of our own on loopback: stalls, ends, refusals, drops."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from dronectl.errors import BadInputError, UnavailableError
from dronectl.ports import free_ports
from tests.vision_files import person_picture
from vision.errors import PictureError
from vision.sources.streams import (
    LiveStream,
    StreamLostError,
    StreamSettings,
    StreamUnavailableError,
    parse_address,
)
from vision.thread_turns import ThreadTurns

_LET_BE_S = 30.0  # what a busy machine may need besides; far below what the silent ones last
PART = cv2.imencode(".jpg", cv2.resize(person_picture(), (320, 256)))[1].tobytes()
Script = Callable[[int, Callable[[], None], threading.Event], None]


@contextmanager
def mjpeg(script: Script) -> Iterator[str]:
    """A server that runs script(connection number, send one picture, over) for each connection; its address."""
    over = threading.Event()
    connections = [0]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = connections[0]
            connections[0] += 1
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=edge")
            self.end_headers()

            def send() -> None:
                head = f"--edge\r\nContent-Type: image/jpeg\r\nContent-Length: {len(PART)}\r\n\r\n"
                self.wfile.write(head.encode() + PART + b"\r\n")
                self.wfile.flush()

            try:
                script(number, send, over)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://user:secret@127.0.0.1:{server.server_address[1]}/cam.mjpg?token=secret"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def stream(address: str, told: list[str] | None = None, **settings: float) -> LiveStream:
    parsed = parse_address(address)
    assert parsed is not None
    return LiveStream(parsed, StreamSettings(**settings), (told if told is not None else []).append)


def steady(_number: int, send: Callable[[], None], over: threading.Event) -> None:
    while not over.wait(0.04):
        send()


def leisurely(_number: int, send: Callable[[], None], over: threading.Event) -> None:
    while not over.wait(0.25):
        send()


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


app = typer.Typer()
app.command()(detect)


def test_the_command_looks_at_a_stream(tmp_path: Path) -> None:
    out, geo, review = tmp_path / "o.jsonl", tmp_path / "g.json", tmp_path / "r.html"
    with mjpeg(leisurely) as address:
        line = [
            address, "--gsd-cm", "8", "--seconds", "6", "--out", str(out), "--geojson", str(geo),
            "--review", str(review), "--open-timeout-s", "60", "--json",
        ]  # fmt: skip
        result = CliRunner().invoke(app, line, standalone_mode=False)
    assert result.return_value == 0 or result.exit_code == 0, result.stderr
    lines = [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()]
    frames = [entry for entry in lines if entry["type"] == "frame"]
    assert len(frames) >= 2
    assert {entry["media"] for entry in frames} == {"stream"}
    assert frames[0]["no_place"] == "a stream without telemetry has no pose"
    assert lines[-1]["type"] == "stream"
    assert lines[-1]["delivered"] == len(frames)
    assert json.loads(geo.read_text(encoding="utf-8"))["features"] == []
    assert review.is_file()
    for text in (out.read_text(encoding="utf-8"), review.read_text(encoding="utf-8"), result.stderr):
        assert "secret" not in text
    again = CliRunner().invoke(app, [address, "--out", str(out)], standalone_mode=False)
    assert isinstance(again.exception, BadInputError)
    assert "--fresh" in str(again.exception)


def test_the_command_gives_up_on_what_never_opens(tmp_path: Path) -> None:
    (port,) = free_ports(socket.SOCK_STREAM, 1)  # nobody answers here
    line = [f"rtsp://user:secret@127.0.0.1:{port}/x", "--open-timeout-s", "2", "--out", str(tmp_path / "o.jsonl")]
    result = CliRunner().invoke(app, line, standalone_mode=False)
    assert isinstance(result.exception, UnavailableError)
    assert str(result.exception).startswith(f"rtsp://127.0.0.1:{port}/x: no picture within 2 s")
    assert not (tmp_path / "o.jsonl").exists()
    result = CliRunner().invoke(app, ["rtsp://h/x", str(tmp_path)], standalone_mode=False)
    assert isinstance(result.exception, BadInputError)


@pytest.mark.parametrize("alone", [True, False])
def test_ctrl_c_ends_streams_with_all_that_was_seen(tmp_path: Path, alone: bool) -> None:
    out = tmp_path / "o.jsonl"

    def never(_number: int, _send: Callable[[], None], over: threading.Event) -> None:
        over.wait(300)

    with mjpeg(leisurely) as address, mjpeg(never) as silent:
        sources = [address] if alone else [address, silent]
        line = [sys.executable, "-m", "dronectl", "detect", *sources, "--engine", "opencv", "--open-timeout-s", "60"]
        line += ["--gsd-cm", "8", "--out", str(out), "--review", str(tmp_path / "r.html")]
        with subprocess.Popen(line, stderr=subprocess.PIPE, encoding="utf-8") as child:
            while child.poll() is None and not (out.exists() and b'"frame"' in out.read_bytes()):
                time.sleep(0.02)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate()
    assert child.returncode == (0 if alone else 1), said
    assert ("no picture before it was to end" in said) is not alone
    assert "ended as asked" in said
    assert "Traceback" not in said
    assert json.loads(out.read_text(encoding="utf-8").splitlines()[-1])["type"] == "stream"
    assert (tmp_path / "r.html").is_file()


def test_turns_are_one_at_a_time_and_go_on_after_one_that_fails() -> None:
    turns = ThreadTurns("abc")
    inside, most, done = [0], [0], dict.fromkeys("abc", 0)

    def work(name: str) -> None:
        for number in range(40):
            with contextlib.suppress(ZeroDivisionError), turns.of(name):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.0005)
                inside[0] -= 1
                done[name] += 1
                if number % 7 == 0:
                    raise ZeroDivisionError

    threads = [threading.Thread(target=work, args=(name,)) for name in done]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == {"a": 40, "b": 40, "c": 40}
    assert most == [1]


def test_whoever_had_more_waits_for_whoever_had_less() -> None:
    now, order = [0.0], []
    turns = ThreadTurns(("dear", "cheap", "third"), lambda: now[0])
    with turns.of("dear"):
        now[0] += 10.0

    def look(name: str) -> None:
        with turns.of(name):
            order.append(name)

    threads = [threading.Thread(target=look, args=(name,)) for name in ("dear", "cheap")]
    with turns.of("third"):
        for thread, name in zip(threads, ("dear", "cheap"), strict=True):  # they ask in this order
            thread.start()
            while turns._shares._shares[name].since is None:
                time.sleep(0.001)
    for thread in threads:
        thread.join(60)
    assert order == ["cheap", "dear"]


def test_several_streams_at_once_and_one_that_is_lost_ends_alone(tmp_path: Path) -> None:
    def once(number: int, send: Callable[[], None], _over: threading.Event) -> None:
        for _ in range(20 if number == 0 else 0):
            send()

    def never(_number: int, _send: Callable[[], None], over: threading.Event) -> None:
        over.wait(120)

    for seconds in (9, 25, 60):  # until the readers' processes come up before it ends
        out = tmp_path / f"{seconds}.jsonl"
        with mjpeg(once) as short, mjpeg(never) as silent, mjpeg(leisurely) as long:
            line = [short, silent, long, long.replace("token=secret", "token=other")]
            line += ["--gsd-cm", "8", "--seconds", str(seconds), "--give-up-s", "5", "--open-timeout-s", "60"]
            line += ["--out", str(out), "--annotate", str(tmp_path / f"a{seconds}"), "--confidence", "0.01"]
            result = CliRunner().invoke(app, line, standalone_mode=False)
        lines = [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
        ends = {entry["source"]: entry for entry in lines if entry["type"] == "stream"}
        if len(ends) == 4 and sum(e["delivered"] > 0 for e in ends.values()) == 3 and "lost for 5 s" in result.stderr:
            break
    assert 1 in {result.return_value, result.exit_code}, result.stderr
    label = long.partition("?")[0].replace("user:secret@", "")
    first, second = f"{label} #3", f"{label} #4"
    gone, silent = (text.partition("?")[0].replace("user:secret@", "") for text in (short, silent))
    assert set(ends) == {gone, silent, first, second}
    assert {name: end["lost"] for name, end in ends.items()} == {gone: True, silent: True, first: False, second: False}
    assert [entry["source"] for entry in lines if entry["type"] == "gap"].count(gone) == 1
    for name, end in ends.items():
        frames = [entry for entry in lines if entry["type"] == "frame" and entry["source"] == name]
        assert end["delivered"] == len(frames)
        assert [f["time_s"] for f in frames] == sorted(f["time_s"] for f in frames)
    assert min(ends[first]["delivered"], ends[second]["delivered"]) >= 2
    shown = sum(bool(entry.get("detections")) for entry in lines if entry["type"] == "frame")
    assert (
        len(list((tmp_path / f"a{seconds}").glob("*-detections.jpg"))) == shown > 0
    )  # no picture of one over one of another
    assert "secret" not in out.read_text(encoding="utf-8") + result.stderr


def test_streams_that_cannot_be_looked_at_together_are_refused(tmp_path: Path) -> None:
    for line, why in (
        (["rtsp://h/a", "rtsp://h/a"], "rtsp://h/a: is given twice"),
        ([f"rtsp://h/{n}" for n in range(17)], "at most 16 at once"),
        (["rtsp://h/a", str(tmp_path)], "streams and files"),
    ):
        result = CliRunner().invoke(app, line, standalone_mode=False)
        assert isinstance(result.exception, BadInputError)
        assert why in str(result.exception)
