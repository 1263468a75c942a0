# SPDX-License-Identifier: AGPL-3.0-or-later
"""Killed and started again: no file lost, none in the output twice."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from dronectl.errors import BadInputError
from dronectl.operations.detect_journal import Journal, Stamp, journal_path, read_journal

app = typer.Typer()
app.command()(detect)

SETTINGS = {"model": "m", "confidence": None}
FILES = [Path(f"p{i}.png") for i in range(9)]
STAMP: Stamp = (1, 2)


def work(out: Path, commits: set[int], stop_after: int | None = None) -> None:
    """One run over what is left: two lines for each file, committed after those in `commits`."""
    with Journal(out, SETTINGS, fresh=False) as journal:
        for number, path in enumerate(p for p in FILES if str(p) not in journal.past.done):
            if stop_after is not None and number >= stop_after:
                journal.write(b"the first half of a li")
                return
            for part in (1, 2):
                journal.write(json.dumps([path.name, part]).encode() + b"\n")
            journal.done(path, STAMP, {"pictures": 1 + journal.tally.get("pictures", 0)})
            if number in commits:
                journal.commit()
        journal.commit()


def assert_whole(out: Path) -> None:
    """Every file once, and counted once."""
    assert read_journal(journal_path(out).read_bytes())[1].tally == {"pictures": len(FILES)}
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert sorted(lines) == sorted([p.name, part] for p in FILES for part in (1, 2))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_cut_of_journal_and_output_is_mended(data: st.DataObject) -> None:
    """What a crash can leave: a journal cut anywhere, and an output at least as long as that journal vouches for."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "o.jsonl"
        work(out, data.draw(st.sets(st.integers(0, 8))), data.draw(st.integers(0, 9)))
        for _ in range(data.draw(st.integers(1, 3))):
            journal = journal_path(out).read_bytes()
            kept = journal[: data.draw(st.integers(0, len(journal)))] + data.draw(
                st.sampled_from([b"", b"\0\0\0", b'{"done":[["p'])
            )
            journal_path(out).write_bytes(kept)
            vouched = read_journal(kept)[1].out_bytes
            whole = out.read_bytes()
            torn = data.draw(st.binary(max_size=20))
            out.write_bytes(whole[: data.draw(st.integers(min(vouched, len(whole)), len(whole)))] + torn)
            work(out, data.draw(st.sets(st.integers(0, 8))), data.draw(st.none() | st.integers(0, 9)))
        work(out, set())
        assert_whole(out)
        before = out.read_bytes()
        work(out, set())
        assert out.read_bytes() == before


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_is_no_journal_and_no_traceback(data: bytes) -> None:
    settings_read, past = read_journal(data)
    assert settings_read is None
    assert past.done == {}


def test_other_settings_or_a_changed_output_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    work(out, set())
    with pytest.raises(BadInputError, match=r"begun with another confidence"):
        Journal(out, SETTINGS | {"confidence": 0.5}, fresh=False)
    whole = out.read_bytes()
    out.write_bytes(whole[:10])
    with pytest.raises(BadInputError, match=r"vouches for"):
        Journal(out, SETTINGS, fresh=False)
    with Journal(out, SETTINGS, fresh=True) as journal:
        assert journal.past.done == {}
        with pytest.raises(BadInputError, match=r"another run"):
            Journal(out, SETTINGS, fresh=False)
    assert out.read_bytes() == b""
    with pytest.raises(BadInputError, match=r"--out"):
        Journal(tmp_path / "none" / "o.jsonl", SETTINGS, fresh=False)


def stills(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(3)
    paths = []
    for i in range(count):
        picture = rng.integers(80, 110, (64, 80), dtype=np.uint8)
        paths.append(folder / f"{i:03d}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return paths


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dronectl", "detect", *arguments, "--engine", "opencv"]


def test_killed_with_sigkill_and_run_again(tmp_path: Path) -> None:
    count = 32
    paths = stills(tmp_path / "in", count)
    paths[7].write_bytes(paths[7].read_bytes()[:40])
    out = tmp_path / "o.jsonl"
    line = command(str(tmp_path / "in"), "--out", str(out))
    # Behind us in the queue for a busy machine: else it may have done them all before we look.
    with subprocess.Popen(["nice", "-n", "5", *line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        while child.poll() is None and not (journal_path(out).exists() and b'"done"' in journal_path(out).read_bytes()):
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    first = len(read_journal(journal_path(out).read_bytes())[1].done)
    assert 0 < first < count
    again = subprocess.run(line, capture_output=True, encoding="utf-8", check=False)
    assert again.returncode == 1  # one of them is damaged
    assert f"{first} file(s) are done already, {count - first} left" in again.stderr
    lines = [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()]
    assert [entry["source"] for entry in lines] == [str(p) for p in paths]
    assert [entry["type"] for entry in lines].count("error") == 1
    assert f"{count - 1} frame(s)" in again.stderr
    assert "1 file(s) unreadable" in again.stderr
    before = out.read_bytes()
    third = CliRunner().invoke(app, line[4:], standalone_mode=False)
    assert "0 left" in third.stderr
    assert third.return_value == 1
    assert out.read_bytes() == before


def test_a_full_disk_costs_pictures_and_is_reported(tmp_path: Path) -> None:
    """Files are limited to 12 kB: lines fit, pictures with boxes do not."""
    rng = np.random.default_rng(3)
    (tmp_path / "in").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"{i}.png"), rng.integers(80, 110, (512, 640), dtype=np.uint8))
    out, pictures = tmp_path / "o.jsonl", tmp_path / "pictures"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    done = subprocess.run(
        command(str(tmp_path / "in"), "--out", str(out), "--annotate", str(pictures), "--json"),
        capture_output=True, encoding="utf-8", check=False, preexec_fn=limit, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert len(out.read_text(encoding="utf-8").splitlines()) == 3
    assert list(pictures.glob("*")) == []
    assert "3 picture(s) of evidence could not be written" in done.stderr
    assert "evidence is being lost" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_room_for_lines_is_one_line_and_what_is_safe_stays(tmp_path: Path) -> None:
    paths = stills(tmp_path / "in", 8)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1200, 1200))

    out = tmp_path / "o.jsonl"
    line = command(*map(str, paths), "--out", str(out))
    done = subprocess.run(line, capture_output=True, encoding="utf-8", check=False, preexec_fn=limit)
    assert done.returncode == 2
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr
    again = CliRunner().invoke(app, line[4:], standalone_mode=False)
    assert again.return_value == 0, again.stderr
    assert [json.loads(text)["source"] for text in out.read_text(encoding="utf-8").splitlines()] == [
        str(p) for p in paths
    ]
