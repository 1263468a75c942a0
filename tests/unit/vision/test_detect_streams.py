# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl detect` on live streams, one and several, and how they take turns."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from dronectl.errors import BadInputError, UnavailableError
from dronectl.ports import free_ports
from tests.mjpeg_server import leisurely, mjpeg
from vision.thread_turns import ThreadTurns

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
